//! `Plan -> Outcome`: one build in a sandbox. Digests are taken here, of bytes that came out.

use std::fs::File;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use countersign_attest::digest::{Digests, Sha256};
use countersign_builder::child::{self, ReplayCall, ReplayRequest, ReplaySink};
use countersign_builder::environment::Capabilities;
use countersign_builder::outcome::{EnvironmentFound, Misses, Outcome};
use countersign_builder::plan::{Network, Plan};
use countersign_builder::sandbox::{ID_BASE, ID_SLOTS, Profile};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{Resolved, blocking, child_fault, environment, source};
use crate::mirror::{Mirror, Mode, Report, Setup};
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
    let mode = Mode::Replay {
        inputs: plan.inputs.clone(),
    };
    let setup = (plan.candidate.network == Network::Mirror).then(|| workshop.mirror_setup(mode));
    let build = Build {
        plan,
        digest,
        profile,
        call: child::replay,
        mirror: setup,
    };
    let mut ran = run(workshop, resolved, build, capabilities).await?;
    if let Some(report) = ran.report {
        if let Some(told) = report.trouble {
            return Err(told.into());
        }
        ran.outcome.misses = Misses::of(&report.unanswered);
    }
    workshop.keep(ran.log)?;
    Ok(Replay {
        outcome: ran.outcome,
        files: ran.files,
    })
}

/// One run of a plan's steps, of whichever kind.
pub(super) struct Build<'a> {
    /// The plan.
    pub(super) plan: &'a Plan,
    /// The digest of its bytes.
    pub(super) digest: Sha256,
    /// The values that must not matter.
    pub(super) profile: Profile,
    /// [`child::replay`] or [`child::record`].
    pub(super) call: fn(&ReplayCall<'_>, &mut dyn ReplaySink) -> Result<Outcome, child::CallError>,
    /// The mirror, where the plan has one.
    pub(super) mirror: Option<Setup>,
}

/// What a run came to.
pub(super) struct Ran {
    /// The facts.
    pub(super) outcome: Outcome,
    /// What the mirror did.
    pub(super) report: Option<Report>,
    log: File,
    files: TempDir,
}

/// Runs a plan's steps in a sandbox, with a mirror beside it where the plan has one.
pub(super) async fn run(
    workshop: &Workshop,
    resolved: &Resolved,
    build: Build<'_>,
    capabilities: &Capabilities,
) -> Result<Ran, Trouble> {
    let spec = &build.plan.candidate.environment;
    let root = environment::root(workshop, spec);
    let request = ReplayRequest {
        plan: build.plan.clone(),
        tools: spec.found(),
        toolchains: match root {
            None => toolchains(workshop, spec.tools(), capabilities)?,
            Some(_) => Vec::new(),
        },
        root: root.map(|folder| folder.display().to_string()),
        profile: build.profile,
        id_base: ID_BASE,
        id_slots: ID_SLOTS,
    };
    let files = workshop.scratch("outputs-")?;
    let log = match &resolved.live {
        Some(live) => live.log(),
        None => tempfile::tempfile_in(files.path()),
    };
    let log = log
        .context("making a log file")
        .map_err(|error| Trouble::fault("disk", error))?;
    let tree = source::open(resolved, build.plan.candidate.source_form)?;
    let binary = workshop.binary().to_owned();
    let (digest, call) = (build.digest, build.call);
    let mut sink = Sink {
        folder: files.path().to_owned(),
        count: 0,
        log,
        binary: binary.clone(),
        setup: build.mirror,
        mirror: None,
    };
    // the mirror is started, served and ended on this one thread, and dies with it
    let (outcome, report, log) = blocking(move || {
        let replay = ReplayCall {
            binary: &binary,
            request: &request,
            plan: digest,
            tree: tree.as_fd(),
            clock: &crate::clock::now,
            cancel: &AtomicBool::new(false),
        };
        let outcome = call(&replay, &mut sink).map_err(child_fault)?;
        let report = sink.mirror.take().map(Mirror::stop).transpose();
        let report = report.map_err(|error| Trouble::fault("mirror", error))?;
        Ok::<_, Trouble>((outcome, report, sink.log))
    })
    .await??;
    Ok(Ran {
        outcome,
        report,
        log,
        files,
    })
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
    binary: PathBuf,
    setup: Option<Setup>,
    mirror: Option<Mirror>,
}

impl ReplaySink for Sink {
    fn on_listening(&mut self, listener: TcpListener) -> io::Result<()> {
        let setup = self.setup.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let mirror = Mirror::start(&self.binary, setup, &listener).map_err(io::Error::other)?;
        self.mirror = Some(mirror);
        Ok(())
    }

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
