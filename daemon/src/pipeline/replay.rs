//! `Plan -> Outcome`: one build in a sandbox. Digests are taken here, of bytes that came out.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use countersign_attest::digest::{Digests, Sha256};
use countersign_builder::child::{self, ReplayCall, ReplayRequest, ReplaySink};
use countersign_builder::environment::Capabilities;
use countersign_builder::outcome::{EnvironmentFound, Outcome};
use countersign_builder::plan::{EnvironmentSpec, Plan};
use countersign_builder::sandbox::Profile;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{Resolved, blocking, child_fault, source};
use crate::trouble::Trouble;
use crate::workshop::Workshop;

/// A build that ended, and what it left.
#[derive(Debug)]
pub(crate) struct Replay {
    /// The facts.
    pub outcome: Outcome,
    /// The files, as `0`, `1`, … in the order of the outcome's outputs; gone when this value is.
    files: TempDir,
}

/// A file that a build of ours made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RebuiltFile {
    /// Which run, from 0.
    pub run: usize,
    /// Its name.
    pub file_name: String,
    /// Digests of the bytes that we received.
    pub digests: Digests,
    /// Where it is until the findings are gone.
    #[serde(skip)]
    pub path: PathBuf,
}

impl Replay {
    /// The output that stands for a published artifact: the one of its name, or the only one where
    /// only one artifact was published.
    pub(super) fn output_for(&self, run: usize, name: &str, alone: bool) -> Option<RebuiltFile> {
        let outputs = &self.outcome.outputs;
        let index = outputs
            .iter()
            .position(|output| output.file_name() == name)
            .or_else(|| (alone && outputs.len() == 1).then_some(0))?;
        let output = outputs.get(index)?;
        Some(RebuiltFile {
            run,
            file_name: output.file_name().to_owned(),
            digests: output.digests,
            path: self.files.path().join(index.to_string()),
        })
    }
}

/// Runs a plan once.
pub(super) async fn replay(
    workshop: &Workshop,
    resolved: &Resolved,
    plan: &Plan,
    digest: Sha256,
    profile: Profile,
    capabilities: &Capabilities,
) -> Result<Replay, Trouble> {
    let EnvironmentSpec::Host { tools } = &plan.candidate.environment;
    let request = ReplayRequest {
        plan: plan.clone(),
        tools: tools.clone(),
        toolchains: toolchains(workshop, tools, capabilities)?,
        profile,
        id_base: workshop.id_base(),
    };
    let files = workshop.scratch("outputs-")?;
    let log = tempfile::tempfile_in(files.path())
        .context("making a log file")
        .map_err(|error| Trouble::fault("disk", error))?;
    let mut sink = Sink {
        folder: files.path().to_owned(),
        count: 0,
        log,
    };
    let tree = source::open(resolved, plan.candidate.source_form)?;
    let binary = workshop.binary().to_owned();
    let (outcome, sink) = blocking(move || {
        let call = ReplayCall {
            binary: &binary,
            request: &request,
            plan: digest,
            tree: tree.as_fd(),
            clock: &crate::clock::now,
            cancel: &AtomicBool::new(false),
        };
        child::replay(&call, &mut sink).map(|outcome| (outcome, sink))
    })
    .await?
    .map_err(child_fault)?;
    workshop.keep(sink.log)?;
    Ok(Replay { outcome, files })
}

/// The toolchains that have what a plan wants, each tool at exactly the version that it names.
fn toolchains(
    workshop: &Workshop,
    wanted: &[countersign_builder::plan::ToolVersion],
    capabilities: &Capabilities,
) -> Result<Vec<String>, Trouble> {
    if let Some(toolchains) = workshop.toolchains_for(wanted, capabilities) {
        return Ok(toolchains);
    }
    let sets = std::iter::once(&capabilities.tools).chain(&capabilities.alternatives);
    let here: Vec<String> = sets
        .flatten()
        .filter(|found| wanted.iter().any(|tool| tool.name == found.name))
        .map(|found| format!("{} {}", found.name, found.version))
        .collect();
    let wanted: Vec<String> = wanted
        .iter()
        .map(|tool| format!("{} {}", tool.name, tool.version))
        .collect();
    Err(Trouble::refused(
        "toolchain-unavailable",
        anyhow::anyhow!(
            "the plan needs {}; this machine has {}",
            wanted.join(" and "),
            if here.is_empty() {
                "none of them".to_owned()
            } else {
                here.join(", ")
            },
        ),
    ))
}

/// Keeps what a build sends: its log and its outputs.
struct Sink {
    folder: PathBuf,
    count: usize,
    log: File,
}

impl ReplaySink for Sink {
    fn on_started(&mut self, _: &EnvironmentFound) -> io::Result<()> {
        Ok(())
    }

    fn on_log(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.log.write_all(bytes)
    }

    fn open_output(&mut self, _path: &str, _size_bytes: u64) -> io::Result<Box<dyn Write>> {
        let path = self.folder.join(self.count.to_string());
        self.count += 1;
        Ok(Box::new(File::create_new(path)?))
    }
}
