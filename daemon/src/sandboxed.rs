//! One command in a sandbox of its own, without a release: for operators, and to look into an environment.
//!
//! It is a replay of a plan that is made here and that nobody signs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use countersign_attest::digest::{GitOid, Sha256};
use countersign_attest::origin::Origin;
use countersign_attest::time::Timestamp;
use countersign_builder::child::{self, ReplayCall, ReplayRequest, ReplaySink};
use countersign_builder::outcome::{EnvironmentFound, Outcome};
use countersign_builder::plan::{
    Candidate, EnvironmentSpec, Limits, Network, Plan, PlanSource, SCHEMA, Settings, SourceForm,
    Step, Valued,
};
use countersign_builder::sandbox::{ID_BASE, ID_SLOTS, Profile};
use countersign_builder::tree;

use crate::trouble::Trouble;

/// A command and where it runs.
pub(crate) struct Sandboxed {
    /// The program and its arguments, never empty.
    pub(crate) argv: Vec<String>,
    /// A folder whose files the command finds in its own; none is an empty one.
    pub(crate) source: Option<PathBuf>,
    /// What it runs in.
    pub(crate) environment: EnvironmentSpec,
    /// The folder of that environment's root, where it has one of its own.
    pub(crate) root: Option<PathBuf>,
    /// Folders with toolchains beside `/usr`.
    pub(crate) toolchains: Vec<String>,
    /// What it may use.
    pub(crate) limits: Limits,
}

/// Hears what happens in the sandbox.
pub(crate) trait Listener {
    /// It is up; the command begins.
    fn started(&mut self, found: &EnvironmentFound) -> io::Result<()>;
    /// The next bytes of what the command says, which are a stranger's.
    fn said(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Runs a command to its end. Blocks.
///
/// # Errors
/// When the sandbox cannot be made, the source cannot be read, or the listener fails.
pub(crate) fn run(
    binary: &Path,
    command: &Sandboxed,
    listener: &mut dyn Listener,
) -> Result<Outcome, Trouble> {
    let nothing = tempfile::tempdir()
        .context("making an empty folder (set TMPDIR to choose where)")
        .map_err(|error| Trouble::fault("disk", error))?;
    let folder = command.source.as_deref().unwrap_or(nothing.path());
    let refused = |error: anyhow::Error| {
        Trouble::refused("source", error.context(folder.display().to_string()))
    };
    let tree = File::open(folder).map_err(|error| refused(error.into()))?;
    let digest = tree::digest(tree.as_fd()).map_err(|error| refused(error.into()))?;
    let plan = plan(command, digest.sha256);
    plan.candidate.check().map_err(Trouble::refusal)?;
    let request = ReplayRequest {
        tools: Vec::new(),
        toolchains: command.toolchains.clone(),
        root: command.root.as_ref().map(|root| root.display().to_string()),
        profile: Profile::first(),
        id_base: ID_BASE,
        id_slots: ID_SLOTS,
        plan,
    };
    let call = ReplayCall {
        binary,
        plan: Sha256::of(&request.plan.to_bytes()),
        request: &request,
        tree: tree.as_fd(),
        clock: &crate::clock::now,
        cancel: &AtomicBool::new(false),
    };
    child::replay(&call, &mut Sink(listener))
        .map_err(|error| Trouble::fault("sandbox", anyhow::Error::new(error)))
}

fn plan(command: &Sandboxed, tree_sha256: Sha256) -> Plan {
    let given = |text: &String| Valued::new(text.clone(), Origin::Operator);
    Plan {
        schema: SCHEMA.to_owned(),
        source: PlanSource {
            uri: "git+file:sandbox".to_owned(),
            reference: "refs/tags/none".to_owned(),
            commit: GitOid::from_bytes([0; 20]),
            tree_sha256,
            epoch: Timestamp::EPOCH,
        },
        candidate: Candidate {
            recipe: "generic".to_owned(),
            environment: command.environment.clone(),
            source_form: SourceForm::Tree,
            subdir: String::new(),
            steps: vec![Step {
                argv: command.argv.iter().map(given).collect(),
            }],
            variables: BTreeMap::new(),
            outputs: Vec::new(),
            limits: command.limits,
            network: Network::None,
            as_of: None,
            own_releases: false,
            incomplete: None,
            missing: None,
            assists: Vec::new(),
            encoding: None,
            settings: Settings::default(),
        },
        inputs: Vec::new(),
    }
}

struct Sink<'a>(&'a mut dyn Listener);

impl ReplaySink for Sink<'_> {
    fn on_listening(&mut self, _: TcpListener) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into()) // these plans have no mirror
    }

    fn on_started(&mut self, environment: &EnvironmentFound) -> io::Result<()> {
        self.0.started(environment)
    }

    fn on_log(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.said(bytes)
    }

    fn open_output(&mut self, _: &str, _: u64) -> io::Result<Box<dyn Write + '_>> {
        Err(io::ErrorKind::Unsupported.into()) // these plans have no output
    }
}
