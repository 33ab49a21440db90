//! Why is a build not the same everywhere? Builds a plan with other values of what must not matter, and
//! names what it noticed (SANDBOX C8). It changes no verdict.

use std::fs;
use std::io;
use std::path::Path;

use countersign_attest::digest::Sha256;
use countersign_builder::environment::Capabilities;
use countersign_builder::outcome::{Ended, EnvironmentFound, Outcome};
use countersign_builder::plan::{Limits, Plan};
use countersign_builder::profile::variation::{self, Explored, Place};
use countersign_builder::sandbox::Profile;

use super::replay::{self, Replay};
use super::{Resolved, blocking, environment};
use crate::sandboxed::{self, Listener, Sandboxed};
use crate::trouble::Trouble;
use crate::workshop::{Step, Workshop};

/// Explores one plan, whose first replay ended well.
pub(super) async fn vary(
    workshop: &Workshop,
    resolved: &Resolved,
    plan: &Plan,
    digest: Sha256,
    first: &Outcome,
    capabilities: &Capabilities,
) -> Result<Explored, Trouble> {
    let place = place(workshop, plan).await?;
    let settings = &plan.candidate.settings;
    let runtime = tokio::runtime::Handle::current();
    let mut tried = 0;
    let mut same = |profile: Profile| -> Result<bool, Trouble> {
        tried += 1;
        workshop.progress(Step::Varying { build: tried });
        let build = replay::replay(workshop, resolved, plan, digest, profile, capabilities);
        let Replay { outcome, .. } = runtime.block_on(build)?;
        Ok(outcome.ended == Ended::Completed && outcome.outputs == first.outputs)
    };
    // the strategy is plain code: it waits for each build on this thread
    tokio::task::block_in_place(|| variation::explore(settings, &place, &mut same))
}

/// What the plan's environment has other values of.
async fn place(workshop: &Workshop, plan: &Plan) -> Result<Place, Trouble> {
    let root = environment::root(workshop, &plan.candidate.environment);
    let bash = has_bash(root.as_deref().unwrap_or(Path::new("/")));
    let command = Sandboxed {
        argv: ["locale", "-a"].map(str::to_owned).to_vec(),
        source: None,
        environment: plan.candidate.environment.clone(),
        root,
        toolchains: workshop.toolchains(),
        limits: Limits::default(),
    };
    let binary = workshop.binary().to_owned();
    let said = blocking(move || {
        let mut heard = Heard::default();
        let outcome = sandboxed::run(&binary, &command, &mut heard)?;
        // an environment without the program has no locales but those of the C library
        let works = outcome.ended == Ended::Completed;
        Ok::<_, Trouble>(if works { heard.0 } else { Vec::new() })
    })
    .await??;
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
    Ok(Place {
        locales: String::from_utf8_lossy(&said)
            .lines()
            .map(str::to_owned)
            .collect(),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        bash,
    })
}

/// Whether a root has a bash that is not its `/bin/sh`. No link of it is followed.
fn has_bash(root: &Path) -> bool {
    let bin = root.join("usr/bin");
    let is_file = fs::symlink_metadata(bin.join("bash")).is_ok_and(|found| found.is_file());
    let target = fs::read_link(bin.join("sh")).unwrap_or_default();
    is_file && target.file_name() != Some("bash".as_ref())
}

/// Keeps what a command said; its log is bounded.
#[derive(Default)]
struct Heard(Vec<u8>);

impl Listener for Heard {
    fn started(&mut self, _: &EnvironmentFound) -> io::Result<()> {
        Ok(())
    }

    fn said(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
