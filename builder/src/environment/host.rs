//! The host environment: this machine's /usr and toolchains, read-only.
//!
//! What a machine can do is found by doing it, inside a builder child. A setting that says that
//! something is allowed is never believed, and a tool's version is what it prints in a sandbox.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::outcome::{Ended, IdMode};
use crate::sandbox::confine::{self, Confinement, Isolation, USER_NAMESPACES};
use crate::sandbox::fault::{Doing, in_one_line};
use crate::sandbox::launch::{self, Audience, Found};
use crate::sandbox::spec::Spec;
use crate::sandbox::sys::{self, Cloned};
use crate::sandbox::{ID_BASE, ID_SLOTS, SandboxError};
use crate::sandbox::{ids, landlock, seccomp};

use super::{Capabilities, Check, FoundTool};

type Attempt = fn() -> Result<(), SandboxError>;

/// What is tried on its own, so that a sandbox that cannot be made has a cause with a name.
const ATTEMPTS: [(&str, &str, Attempt); 7] = [
    ("user namespaces", USER_NAMESPACES, try_user_namespace),
    (
        "limited tmpfs in a user namespace",
        USER_NAMESPACES,
        try_tmpfs,
    ),
    ("private loopback", USER_NAMESPACES, try_loopback),
    (
        "opening files without following links (openat2)",
        "use Linux 5.6 or newer",
        try_openat2,
    ),
    (
        "file access rules (landlock)",
        "use Linux 5.13 or newer with landlock among its security modules",
        try_landlock,
    ),
    (
        "system call filters (seccomp)",
        "use a kernel with CONFIG_SECCOMP_FILTER",
        try_seccomp,
    ),
    (
        "confining a parsing child",
        "see the checks above",
        try_confinement,
    ),
];

/// Tries everything. Must run in a builder child: single-threaded, and nobody's keys in memory.
#[must_use]
pub(crate) fn probe(toolchains: &[String], tools: &BTreeMap<String, Vec<String>>) -> Capabilities {
    let mut checks: Vec<Check> = ATTEMPTS
        .iter()
        .map(|(name, remedy, attempt)| check(name, remedy, apart(*attempt)))
        .collect();
    let trivial = run(toolchains, vec!["true".into()]);
    let id_mode = trivial.as_ref().ok().and_then(|ran| ran.mode);
    let result = trivial.and_then(|ran| match ran.ended {
        Some(Ended::Completed) => Ok(()),
        other => Err(format!("`true` ended with {other:?} in a sandbox")),
    });
    checks.push(check(
        "a program in a full sandbox",
        "see the checks above",
        result,
    ));
    let works = checks.last().is_some_and(|check| check.problem.is_none());
    let tools = tools.iter().filter(|_| works);
    Capabilities {
        architecture: std::env::consts::ARCH.to_owned(),
        id_mode: id_mode.filter(|_| works),
        checks,
        tools: tools
            .filter_map(|(name, command)| find(toolchains, name, command))
            .collect(),
        alternatives: Vec::new(), // a probe is of one set of toolchains
    }
}

fn check(name: &str, remedy: &str, result: Result<(), String>) -> Check {
    let problem = result.err();
    Check {
        name: name.to_owned(),
        required: true,
        remedy: problem.as_ref().map(|_| remedy.to_owned()),
        problem,
    }
}

fn find(toolchains: &[String], name: &str, command: &[String]) -> Option<FoundTool> {
    let ran = run(toolchains, command.to_vec()).ok()?;
    let version = match ran.ended? {
        Ended::Completed => version_in(&String::from_utf8_lossy(&ran.log))?,
        Ended::Exited { .. }
        | Ended::Signalled { .. }
        | Ended::NotStarted { .. }
        | Ended::TimedOut { .. }
        | Ended::LimitReached { .. }
        | Ended::OutputMissing { .. }
        | Ended::OutputRejected { .. } => return None,
    };
    Some(FoundTool {
        name: name.to_owned(),
        version,
    })
}

/// The first word part of the form `1.2…`: digits, a dot, digits, and what follows without a break.
fn version_in(text: &str) -> Option<String> {
    let starts = text.char_indices().filter(|(at, c)| {
        let before = text
            .get(..*at)
            .and_then(|before| before.chars().next_back());
        c.is_ascii_digit() && !before.is_some_and(|b| b.is_ascii_digit() || b == '.')
    });
    for (at, _) in starts {
        let rest = text.get(at..)?;
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let after = rest.get(digits..)?;
        let dotted = after
            .strip_prefix('.')
            .is_some_and(|minor| minor.starts_with(|c: char| c.is_ascii_digit()));
        if dotted {
            let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '~');
            let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
            return Some(
                rest.get(..end)?
                    .trim_end_matches(['.', '-', '+', '~'])
                    .to_owned(),
            );
        }
    }
    None
}

#[derive(Default)]
struct Ran {
    mode: Option<IdMode>,
    log: Vec<u8>,
    ended: Option<Ended>,
}

impl Audience for Ran {
    fn hang_up(&self) -> Option<BorrowedFd<'_>> {
        None // the kernel kills a probe whose host is gone
    }

    fn listening(&mut self, _: OwnedFd) -> Result<(), SandboxError> {
        Err(SandboxError::Inside("a probe with a mirror".into())) // a probe's spec has none
    }

    fn started(&mut self, found: Found) -> Result<(), SandboxError> {
        self.mode = Some(found.mode);
        Ok(())
    }

    fn log(&mut self, bytes: &[u8]) -> Result<(), SandboxError> {
        self.log.extend_from_slice(bytes); // the limit of a probe's log is small
        Ok(())
    }
}

fn run(toolchains: &[String], argv: Vec<String>) -> Result<Ran, String> {
    let mut ran = Ran::default();
    let spec = Spec::of_probe(toolchains, argv);
    let dead = launch::run(&spec, None, &mut ran).map_err(|error| in_one_line(&error))?;
    ran.ended = Some(dead.ended);
    Ok(ran)
}

/// Runs an attempt in a process of its own, which it may change beyond repair.
fn apart(attempt: Attempt) -> Result<(), String> {
    let told = || -> io::Result<String> {
        let (mut read, mut write) = io::pipe()?;
        match sys::fork()? {
            Cloned::Child => {
                drop(read);
                let text = match catch_unwind(AssertUnwindSafe(attempt)) {
                    Ok(Ok(())) => "works".to_owned(),
                    Ok(Err(error)) => in_one_line(&error),
                    Err(_) => "the attempt panicked".to_owned(),
                };
                let written = write.write_all(text.as_bytes());
                sys::exit_now(i32::from(written.is_err()))
            }
            Cloned::Parent(pid, _) => {
                drop(write);
                let mut text = String::new();
                read.read_to_string(&mut text)?;
                waitpid(Pid::from_raw(pid), None)?;
                Ok(text)
            }
        }
    };
    match told() {
        Ok(text) if text == "works" => Ok(()),
        Ok(text) if text.is_empty() => Err("the attempt was killed".into()),
        Ok(text) => Err(text),
        Err(error) => Err(error.to_string()),
    }
}

fn try_user_namespace() -> Result<(), SandboxError> {
    unshare(CloneFlags::CLONE_NEWUSER).doing("making a user namespace")
}

fn try_tmpfs() -> Result<(), SandboxError> {
    let namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNS;
    let (mut wait, mut go) = io::pipe().doing("making a pipe")?;
    let mut slot = ids::choose(ID_BASE, ID_SLOTS)?;
    match sys::clone_process(namespaces, None).doing("making a user and a mount namespace")? {
        Cloned::Child => {
            drop(go);
            let mounted = wait
                .read_exact(&mut [0])
                .doing("waiting for a mapping")
                .and_then(|()| ids::become_inner_root(IdMode::SingleId))
                .and_then(|()| {
                    let options = Some("size=1m,nr_inodes=10");
                    mount(
                        Some("tmpfs"),
                        "/tmp",
                        Some("tmpfs"),
                        MsFlags::empty(),
                        options,
                    )
                    .doing("mounting a tmpfs")
                });
            sys::exit_now(i32::from(mounted.is_err()))
        }
        Cloned::Parent(pid, _) => {
            drop(wait);
            slot.map_outer(pid)?;
            go.write_all(&[1]).doing("waking a process")?;
            match waitpid(Pid::from_raw(pid), None).doing("waiting for a process")? {
                nix::sys::wait::WaitStatus::Exited(_, 0) => Ok(()),
                _ => Err(SandboxError::Inside("mounting a tmpfs failed".into())),
            }
        }
    }
}

fn try_loopback() -> Result<(), SandboxError> {
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .doing("making a network namespace")?;
    confine::loopback_up()?;
    let listener = TcpListener::bind("127.0.0.1:0").doing("listening on a private loopback")?;
    let address = listener.local_addr().doing("reading an address")?;
    TcpStream::connect(address)
        .doing("connecting on a private loopback")
        .map(drop)
}

fn try_openat2() -> Result<(), SandboxError> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(AT_FDCWD, "/", how)
        .doing("opening / by openat2")
        .map(drop)
}

fn try_landlock() -> Result<(), SandboxError> {
    prctl::set_no_new_privs().doing("setting no_new_privs")?;
    landlock::restrict(&[], &[])?;
    match std::fs::File::open("/proc/self/status") {
        Err(_) => Ok(()),
        Ok(_) => Err(SandboxError::Inside(
            "a forbidden file could be opened".into(),
        )),
    }
}

fn try_seccomp() -> Result<(), SandboxError> {
    prctl::set_no_new_privs().doing("setting no_new_privs")?;
    seccomp::parsing(false)?;
    match TcpListener::bind("127.0.0.1:0") {
        Err(_) => Ok(()),
        Ok(_) => Err(SandboxError::Inside(
            "a forbidden socket could be made".into(),
        )),
    }
}

fn try_confinement() -> Result<(), SandboxError> {
    confine::parsing(&Confinement {
        read: &[],
        write: &[],
        network: Isolation::Loopback,
        user: None,
        memory_bytes: None,
        file_bytes: None,
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_are_found_in_what_tools_print() {
        for (text, version) in [
            ("v20.20.2\n", Some("20.20.2")),
            ("git version 2.39.5", Some("2.39.5")),
            ("rustc 1.95.0 (59807616e 2026-04-14)", Some("1.95.0")),
            ("go version go1.21.3 linux/amd64", Some("1.21.3")),
            ("cargo 1.96.0-nightly.", Some("1.96.0-nightly")),
            ("Python 3.11.2", Some("3.11.2")),
            ("bsdtar 3", None),
            ("2026 was 1. a year", None),
            ("", None),
            ("é1.2é", Some("1.2")),
        ] {
            assert_eq!(version_in(text).as_deref(), version, "{text}");
        }
    }
}
