//! Source trees, plans and replays for the cases.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use countersign_attest::digest::{GitOid, Sha256};
use countersign_attest::origin::Origin;
use countersign_attest::time::Timestamp;
use countersign_builder::child::{self, CallError, ReplayCall, ReplayRequest, ReplaySink};
use countersign_builder::environment::version_command;
use countersign_builder::outcome::{Ended, EnvironmentFound, IdMode, Outcome};
use countersign_builder::plan::{
    Candidate, EnvironmentSpec, Limits, Network, Plan, PlanSource, SCHEMA, Settings, SourceForm,
    Step, Valued,
};
use countersign_builder::sandbox::Profile;
use countersign_builder::sandbox::wall::Wall;
use countersign_builder::tree;

use crate::controls::{self, Shown};

/// The payload's name inside, by which a search path finds this binary.
pub(crate) const PAYLOAD: &str = "payload";

/// The name of the program of hostile acts, inside and outside.
pub(crate) const HOSTILE: &str = "hostile";

/// What the stand-in for a mirror says.
pub(crate) const MIRROR_WORD: &[u8] = b"the mirror";

/// The moment of every source in here.
pub(crate) const EPOCH: i64 = 1_700_000_000;

/// What cases share.
pub(crate) struct Bench {
    /// This binary.
    pub(crate) binary: PathBuf,
    /// A folder of ours on the host, in which only this process may look.
    pub(crate) scratch: tempfile::TempDir,
    /// What was shown of hostile acts.
    pub(crate) shown: Shown,
    toolchain: String,
}

/// What a replay came to.
pub(crate) struct Replayed {
    pub(crate) outcome: Outcome,
    pub(crate) log: String,
    pub(crate) outputs: BTreeMap<String, Vec<u8>>,
}

/// Keeps everything; calls a hook with the log so far whenever some comes.
struct Keep<'a> {
    log: Vec<u8>,
    outputs: BTreeMap<String, Vec<u8>>,
    on_log: &'a mut dyn FnMut(&[u8]),
}

impl ReplaySink for Keep<'_> {
    fn on_listening(&mut self, listener: TcpListener) -> io::Result<()> {
        // says the same word to whoever connects, until the sandbox and this thread's test are over
        std::thread::spawn(move || {
            while let Ok((mut peer, _)) = listener.accept() {
                let _ = peer.write_all(MIRROR_WORD); // a payload that has gone needs no word
            }
        });
        Ok(())
    }

    fn on_started(&mut self, _: &EnvironmentFound) -> io::Result<()> {
        Ok(())
    }

    fn on_log(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.log.extend_from_slice(bytes);
        (self.on_log)(&self.log);
        Ok(())
    }

    fn open_output(&mut self, path: &str, _: u64) -> io::Result<Box<dyn Write + '_>> {
        Ok(Box::new(self.outputs.entry(path.to_owned()).or_default()))
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let binary = std::env::current_exe().expect("the path of this binary");
        let toolchain = scratch.path().join("toolchain");
        fs::create_dir_all(toolchain.join("bin")).expect("mkdir");
        let payload = toolchain.join("bin").join(PAYLOAD);
        fs::copy(&binary, &payload).expect("copying this binary");
        let hostile = compile_hostile(scratch.path(), &toolchain.join("bin"));
        for path in [&toolchain, &toolchain.join("bin"), &payload, &hostile] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
        }
        Self {
            toolchain: toolchain.to_str().expect("a path in UTF-8").to_owned(),
            binary,
            scratch,
            shown: Shown::default(),
        }
    }

    /// Runs an act of the hostile payload outside.
    pub(crate) fn hostile_outside(&self, act: &[&str]) -> Result<(), String> {
        let output = Command::new(Path::new(&self.toolchain).join("bin").join(HOSTILE))
            .args(act)
            .stdin(std::process::Stdio::null())
            .output()
            .map_err(|e| e.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Err(format!("{said} ({})", output.status))
    }

    /// The folder of programs of the tests' own, as the host has it.
    pub(crate) fn toolchain_bin(&self) -> PathBuf {
        Path::new(&self.toolchain).join("bin")
    }

    /// Runs a shell script in a sandbox that lacks a wall where one is named.
    pub(crate) fn script_without(
        &self,
        script: &str,
        without: Option<Wall>,
    ) -> Result<Replayed, String> {
        let binary = self.binary_without(without)?;
        let step: &[&str] = &["sh", "-c", script];
        self.replay_by(&binary, self.tree().path(), &[step], |_| (), &mut |_| ())
            .map_err(shown)
    }

    fn binary_without(&self, wall: Option<Wall>) -> Result<PathBuf, String> {
        match wall {
            None => Ok(self.binary.clone()),
            Some(wall) => controls::binary_without(self, wall),
        }
    }

    /// Runs an act of the hostile payload inside, in a sandbox that lacks a wall where one is named.
    /// The inner `Err` is what the act met.
    pub(crate) fn hostile(
        &self,
        act: &[&str],
        without: Option<Wall>,
        change: impl FnOnce(&mut ReplayRequest),
    ) -> Result<Result<(), String>, String> {
        let mut argv = vec![HOSTILE];
        argv.extend(act);
        let binary = self.binary_without(without)?;
        let tree = self.tree();
        let replayed = self
            .replay_by(&binary, tree.path(), &[&argv], change, &mut |_| ())
            .map_err(shown)?;
        let log = replayed.log.trim().to_owned();
        match replayed.outcome.ended {
            Ended::Completed => Ok(Ok(())),
            Ended::Exited { code: 2, .. } => Err(format!("{act:?}: {log}")),
            Ended::Exited { .. } => Ok(Err(log)),
            other => Ok(Err(format!("{log} {other:?}"))),
        }
    }

    /// Fails with the remedy when this machine cannot run sandboxes.
    pub(crate) fn probe(&self) -> Result<(), String> {
        let tools = [
            (
                "sh-that-is-not-there".to_owned(),
                version_command("sh-that-is-not-there"),
            ),
            ("tar".to_owned(), version_command("tar")),
        ];
        let deadline = Duration::from_secs(60);
        let found = child::probe(&self.binary, &[], &tools.into(), deadline).map_err(shown)?;
        for check in &found.checks {
            if let Some(problem) = &check.problem {
                return Err(format!("{}: {problem}: {:?}", check.name, check.remedy));
            }
        }
        if !found.can_build() || found.tool("tar").is_none() || found.tools.len() != 1 {
            return Err(format!("a probe that contradicts itself: {found:?}"));
        }
        println!("probed: {found:?}");
        Ok(())
    }

    /// Runs an act outside, as the control arm.
    pub(crate) fn outside(&self, arguments: &[&str]) -> Result<(), String> {
        let output = Command::new(&self.binary)
            .arg("act")
            .args(arguments)
            .output()
            .map_err(|e| e.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Runs an act inside; `Err` is what the sandbox made of it.
    pub(crate) fn inside(&self, arguments: &[&str]) -> Result<Result<(), String>, String> {
        let mut argv = vec![PAYLOAD, "act"];
        argv.extend(arguments);
        let replayed = self.replay(&[&argv], |_| ())?;
        Ok(match replayed.outcome.ended {
            Ended::Completed => Ok(()),
            Ended::Exited { code: 1, .. } => Err(replayed.log.trim().to_owned()),
            other => return Err(format!("ended with {other:?}: {}", replayed.log)),
        })
    }

    /// A small source tree.
    pub(crate) fn tree(&self) -> tempfile::TempDir {
        let tree = tempfile::tempdir_in(self.scratch.path()).expect("a temporary folder");
        fs::create_dir(tree.path().join("sub")).expect("mkdir");
        for name in ["a", "b", "c", "sub/inner"] {
            fs::write(tree.path().join(name), name).expect("write");
        }
        let script = tree.path().join("run.sh");
        fs::write(&script, "#!/bin/sh\necho ran\n").expect("write");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("chmod");
        std::os::unix::fs::symlink("/etc/shadow", tree.path().join("link")).expect("symlink");
        tree
    }

    pub(crate) fn replay(
        &self,
        steps: &[&[&str]],
        change: impl FnOnce(&mut ReplayRequest),
    ) -> Result<Replayed, String> {
        self.replay_tree(self.tree().path(), steps, change, &mut |_| ())
            .map_err(shown)
    }

    /// Runs a shell script inside.
    pub(crate) fn script(
        &self,
        script: &str,
        change: impl FnOnce(&mut ReplayRequest),
    ) -> Result<Replayed, String> {
        self.replay(&[&["sh", "-c", script]], change)
    }

    pub(crate) fn replay_tree(
        &self,
        tree: &Path,
        steps: &[&[&str]],
        change: impl FnOnce(&mut ReplayRequest),
        on_log: &mut dyn FnMut(&[u8]),
    ) -> Result<Replayed, CallError> {
        self.replay_by(&self.binary, tree, steps, change, on_log)
    }

    /// The same with another binary as the builder child.
    fn replay_by(
        &self,
        binary: &Path,
        tree: &Path,
        steps: &[&[&str]],
        change: impl FnOnce(&mut ReplayRequest),
        on_log: &mut dyn FnMut(&[u8]),
    ) -> Result<Replayed, CallError> {
        let tree = File::open(tree).expect("opening a tree");
        let tree_sha256 = tree::digest(tree.as_fd())
            .expect("the digest of a tree")
            .sha256;
        let mut request = self.request(steps, tree_sha256);
        change(&mut request);
        let mut keep = Keep {
            log: Vec::new(),
            outputs: BTreeMap::new(),
            on_log,
        };
        let call = ReplayCall {
            binary,
            plan: Sha256::of(&request.plan.to_bytes()),
            request: &request,
            tree: tree.as_fd(),
            clock: &|| Timestamp::EPOCH,
            cancel: &AtomicBool::new(false),
        };
        let outcome = child::replay(&call, &mut keep)?;
        Ok(Replayed {
            outcome,
            log: String::from_utf8_lossy(&keep.log).into_owned(),
            outputs: keep.outputs,
        })
    }

    /// Makes a request for the small source tree.
    pub(crate) fn with_request<T>(
        &self,
        steps: &[&[&str]],
        call: impl FnOnce(&mut ReplayRequest, BorrowedFd<'_>) -> T,
    ) -> T {
        let folder = self.tree();
        let tree = File::open(folder.path()).expect("opening a tree");
        let digest = tree::digest(tree.as_fd())
            .expect("the digest of a tree")
            .sha256;
        call(&mut self.request(steps, digest), tree.as_fd())
    }

    fn request(&self, steps: &[&[&str]], tree_sha256: Sha256) -> ReplayRequest {
        let value = |text: &&str| Valued::new((*text).to_owned(), Origin::Operator);
        let step = |argv: &&[&str]| Step {
            argv: argv.iter().map(value).collect(),
        };
        ReplayRequest {
            root: None,
            plan: Plan {
                schema: SCHEMA.into(),
                source: PlanSource {
                    uri: "git+file:tree".into(),
                    reference: "refs/tags/v1".into(),
                    commit: GitOid::from_bytes([7; 20]),
                    tree_sha256,
                    epoch: Timestamp::from_unix_seconds(EPOCH).expect("in range"),
                },
                candidate: Candidate {
                    recipe: "generic".into(),
                    environment: EnvironmentSpec::Host { tools: Vec::new() },
                    source_form: SourceForm::Tree,
                    subdir: String::new(),
                    steps: steps.iter().map(step).collect(),
                    variables: BTreeMap::new(),
                    outputs: Vec::new(),
                    limits: Limits {
                        time_seconds: 60,
                        disk_bytes: 64 << 20,
                        disk_inodes: 5000,
                        processes: 64,
                        ..Limits::default()
                    },
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
            },
            tools: Vec::new(),
            toolchains: vec![self.toolchain.clone()],
            profile: Profile::first(),
            id_base: id_base(),
            id_slots: 16,
        }
    }
}

/// The first host id of this run's sandboxes: another run at the same time has others.
fn id_base() -> u32 {
    let slots = 16 * 65_536;
    1_000_000 + std::process::id() % 256 * slots
}

/// The host's id of what is root inside, and of the build user.
pub(crate) fn host_ids(mode: IdMode) -> (u32, u32) {
    let own = nix::unistd::geteuid();
    let first = match mode {
        IdMode::SingleId => return (own.as_raw(), own.as_raw()),
        IdMode::RootRange => id_base(),
        IdMode::UserRange => {
            let lent = fs::read_to_string("/etc/subuid").expect("/etc/subuid");
            let first = lent.lines().next().and_then(|line| line.split(':').nth(1));
            first.expect("a loan").parse().expect("an id")
        }
    };
    (first, first + 1000)
}

/// Compiles the payload of hostile acts, which needs system calls that no safe library has.
fn compile_hostile(scratch: &Path, folder: &Path) -> PathBuf {
    let (source, program) = (scratch.join("payload.c"), folder.join(HOSTILE));
    fs::write(&source, include_str!("payload.c")).expect("write");
    let compiled = Command::new("cc")
        .args(["-O1", "-w", "-o"])
        .arg(&program)
        .arg(&source)
        .output()
        .expect("a C compiler: install gcc or clang with `cc` in PATH");
    assert!(
        compiled.status.success(),
        "compiling payload.c: {}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    program
}

/// Declares outputs.
pub(crate) fn outputs(request: &mut ReplayRequest, patterns: &[&str]) {
    let value = |text: &&str| Valued::new((*text).to_owned(), Origin::Operator);
    request.plan.candidate.outputs = patterns.iter().map(value).collect();
}

/// An error and its causes.
pub(crate) fn shown(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
