//! `countersign sandbox run`: one command in the sandbox that builds get, for operators.
//!
//! What the command says goes to standard output, raw unless that is a terminal; what was enforced is said
//! on standard error. The exit code is the command's own.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use countersign_attest::escape::printable;
use countersign_builder::outcome::{Ended, EnvironmentFound};
use countersign_builder::plan::{EnvironmentSpec, Limits};

use super::{Exit, output};
use crate::roots;
use crate::sandboxed::{self, Listener, Sandboxed};
use crate::trouble::Trouble;

/// Subcommands of `sandbox`.
#[derive(Debug, Subcommand)]
pub(super) enum SandboxCommand {
    /// Runs a command as a build would be run, and says what was enforced.
    Run(RunArguments),
}

/// Arguments of `sandbox run`.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// What it runs in: `host`, this machine's /usr, or the folder or tar of a root file system.
    #[arg(long, default_value = "host", value_name = "ENV")]
    env: String,
    /// A folder whose files the command finds in its own; its changes are lost.
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// A folder with a toolchain beside /usr; its bin comes first in PATH.
    #[arg(long, value_name = "DIR")]
    toolchain: Vec<PathBuf>,
    /// Seconds after which everything is killed.
    #[arg(long, default_value_t = Limits::default().time_seconds, value_name = "SECONDS")]
    time: u64,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

pub(super) fn run(command: &SandboxCommand) -> Result<Exit, Trouble> {
    let SandboxCommand::Run(arguments) = command;
    let mut toolchains = Vec::new();
    for folder in &arguments.toolchain {
        let real = std::fs::canonicalize(folder)
            .with_context(|| format!("--toolchain {}", folder.display()))
            .map_err(|error| Trouble::refused("toolchain", error))?;
        toolchains.push(real.display().to_string());
    }
    let binary = std::env::current_exe()
        .context("finding this program's own file")
        .map_err(|error| Trouble::fault("binary", error))?;
    let kept = tempfile::tempdir()
        .context("making a folder (set TMPDIR to choose where)")
        .map_err(|error| Trouble::fault("disk", error))?;
    let (environment, root) = environment(&arguments.env, &binary, kept.path())?;
    let sandboxed = Sandboxed {
        root,
        argv: arguments.command.clone(),
        source: arguments.source.clone(),
        environment,
        toolchains,
        limits: Limits {
            time_seconds: arguments.time,
            ..Limits::default()
        },
    };
    let escaped = io::stdout().is_terminal();
    let mut console = Console(escaped.then(output::Escaper::default));
    let outcome = sandboxed::run(&binary, &sandboxed, &mut console)?;
    if outcome.log.dropped_bytes > 0 {
        let dropped = outcome.log.dropped_bytes;
        output::say(&format!("and {dropped} bytes beyond the limit of a log"));
    }
    Ok(match &outcome.ended {
        Ended::Completed => Exit::Good,
        Ended::Exited { code, .. } => Exit::Command(u8::try_from(*code).unwrap_or(u8::MAX)),
        other => {
            let what = countersign_builder::judge::describe(other);
            output::say(&format!("countersign: {}", printable(&what)));
            match other {
                Ended::Signalled { signal, .. } => {
                    Exit::Command(128_u8.saturating_add(u8::try_from(*signal).unwrap_or(0)))
                }
                Ended::NotStarted { .. } => Exit::Command(127),
                _ => Exit::Undecided,
            }
        }
    })
}

/// What `--env` names, and the folder of the root file system where it names one. A tar is unpacked into
/// `kept`.
fn environment(
    text: &str,
    binary: &Path,
    kept: &Path,
) -> Result<(EnvironmentSpec, Option<PathBuf>), Trouble> {
    if text == "host" {
        return Ok((EnvironmentSpec::Host { tools: Vec::new() }, None));
    }
    let root = roots::open(Path::new(text), binary, kept).map_err(|error| {
        let what =
            format!("--env: {text:?} is neither `host` nor a root file system's folder or tar");
        Trouble::refused("environment", error.context(what))
    })?;
    Ok((
        EnvironmentSpec::Rootfs { sha256: root.tree },
        Some(root.folder),
    ))
}

/// Passes on what a command says, escaped where there is something to escape it with.
struct Console(Option<output::Escaper>);

impl Listener for Console {
    fn started(&mut self, found: &EnvironmentFound) -> io::Result<()> {
        output::say(&enforced(found));
        Ok(())
    }

    fn said(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match &mut self.0 {
            Some(escaper) => out.write_all(escaper.push(bytes).as_bytes())?,
            None => out.write_all(bytes)?,
        }
        out.flush()
    }
}

/// What a sandbox held, a line each, for people.
fn enforced(found: &EnvironmentFound) -> String {
    let limits = &found.limits;
    let mode = serde_json::to_value(found.id_mode).unwrap_or_default();
    let means = serde_json::to_value(found.enforcement).unwrap_or_default();
    let by = |name: &str| means[name].as_str().unwrap_or("none").to_owned();
    let root = found.root.map_or_else(
        || "this machine's /usr".to_owned(),
        |sha256| format!("root file system {sha256}"),
    );
    format!(
        "profile     {}\n\
         environment {root}\n\
         ids         {}\n\
         namespaces  user (two), mount, pid, network, ipc, uts, cgroup, time\n\
         filters     system calls (seccomp), files (landlock), no new privileges, no capability\n\
         limits      {} s, {} bytes of memory ({}), {} processes ({}), processors ({}), \
         {} bytes in {} files on disk, {} bytes of log",
        found.profile,
        mode.as_str().unwrap_or("unknown"),
        limits.time_seconds,
        limits.memory_bytes,
        by("memory"),
        limits.processes,
        by("processes"),
        by("cpus"),
        limits.disk_bytes,
        limits.disk_inodes,
        limits.log_bytes,
    )
}
