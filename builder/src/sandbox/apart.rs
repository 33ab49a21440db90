//! Runs one program of this machine in namespaces of its own, to make or unpack a root file system.
//!
//! Unlike a build it is root there, of ids that belong to nobody on the host, because packages of a
//! distribution bring scripts that only root can run. It sees `/usr`, what it is given, and a memory
//! file system; no network, no file of anybody, no host uid 0. What it was started for is all that
//! leaves: its standard output, and the one folder that is writable.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::sys::stat::{Mode, fstat, umask};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, execve, geteuid, setgroups, setsid};

use crate::outcome::IdMode;

use super::confine::{self, USER_NAMESPACES};
use super::fault::{Doing, SandboxError, in_one_line};
use super::ids::{self, Slot};
use super::mounts;
use super::sys::{self, Cloned};

/// Most bytes of complaints that are kept: the last ones.
const COMPLAINTS: usize = 8 << 10;

/// A program and what it gets.
pub(crate) struct Apart<'a> {
    /// Program, by its absolute path, and arguments.
    pub(crate) argv: &'a [String],
    /// The whole environment.
    pub(crate) variables: &'a [(&'static str, String)],
    /// A folder that is shown read-only, and where.
    pub(crate) shown: Option<(&'static str, &'a OwnedFd)>,
    /// A folder that it may fill, and where.
    pub(crate) filled: Option<(&'static str, &'a OwnedFd)>,
    /// Standard input.
    pub(crate) stdin: Option<&'a File>,
    /// Standard output.
    pub(crate) stdout: Option<&'a File>,
    /// Bytes of its memory file system.
    pub(crate) memory_bytes: u64,
}

/// Runs it to its end in the ids of a slot. The error tells what it complained of last.
pub(crate) fn run(apart: &Apart<'_>, mut slot: Slot) -> Result<(), SandboxError> {
    let is_root = geteuid().is_root();
    if is_root {
        setgroups(&[]).doing("dropping groups")?;
    }
    let prepare = || mounts::tool_trees(apart.shown, apart.filled);
    let trees = if is_root { Some(prepare()?) } else { None };
    let (mut complaints, complain) = io::pipe().doing("making a pipe")?;
    let (wait, mut go) = io::pipe().doing("making a pipe")?;
    let namespaces = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    let cloned = sys::clone_process(namespaces, None)
        .doing_or("making namespaces for a root", USER_NAMESPACES)?;
    let (pid, process) = match cloned {
        Cloned::Child => {
            drop((go, complaints));
            let complain = OwnedFd::from(complain);
            let failed = catch_unwind(AssertUnwindSafe(|| {
                become_program(apart, wait, &complain, trees)
            }));
            if let Ok(Err(error)) = failed {
                let _ = File::from(complain).write_all(in_one_line(&error).as_bytes());
            }
            sys::exit_now(125)
        }
        Cloned::Parent(pid, process) => (pid, process),
    };
    drop((complain, wait));
    let told = || -> Result<(), SandboxError> {
        let mode = slot.map_outer(pid)?;
        // the pid is of a child that was not waited for: it cannot mean another process
        let namespace = File::open(format!("/proc/{pid}/ns/user")).doing("opening a namespace")?;
        for (path, tree) in trees.iter().flatten() {
            mounts::map_owners(path, tree, &namespace)?;
        }
        go.write_all(&[code(mode)]).doing("waking a process")
    }();
    if told.is_err() {
        let _ = sys::pidfd_signal(process.as_fd(), libc::SIGKILL); // on the way out with a fault
    }
    drop(go);
    let kept = keep_last(&mut complaints);
    let ended =
        waitid(Id::PIDFd(process.as_fd()), WaitPidFlag::WEXITED).doing("waiting for a process")?;
    told?;
    match ended {
        WaitStatus::Exited(_, 0) => Ok(()),
        other => Err(SandboxError::Inside(format!(
            "{} ended with {other:?}: {}",
            apart.argv.first().map_or("", String::as_str),
            kept.escape_ascii()
        ))),
    }
}

const fn code(mode: IdMode) -> u8 {
    match mode {
        IdMode::RootRange => 0,
        IdMode::UserRange => 1,
        IdMode::SingleId => 2,
    }
}

/// Returns only why the program could not be started.
fn become_program(
    apart: &Apart<'_>,
    mut wait: io::PipeReader,
    complain: &OwnedFd,
    trees: Option<Vec<(String, OwnedFd)>>,
) -> Result<(), SandboxError> {
    confine::die_with_parent()?;
    let mut mode = [0];
    wait.read_exact(&mut mode).doing("waiting for ids")?;
    let mode = match mode {
        [0] => IdMode::RootRange,
        [1] => IdMode::UserRange,
        _ => IdMode::SingleId,
    };
    umask(Mode::from_bits_truncate(0o022));
    mounts::private()?;
    let trees = match trees {
        Some(trees) => trees,
        None => mounts::tool_trees(apart.shown, apart.filled)?,
    };
    ids::become_inner_root(mode)?;
    confine::die_with_parent()?; // changing ids has cleared it
    setsid().doing("making a session")?;
    confine::loopback_up()?;
    mounts::enter_tool_root(trees, apart.memory_bytes)?;
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .doing("opening /dev/null")?;
    dup2_stdin(apart.stdin.unwrap_or(&null)).doing("placing standard input")?;
    dup2_stdout(apart.stdout.unwrap_or(&null)).doing("placing standard output")?;
    dup2_stderr(complain).doing("placing standard error")?;
    sys::default_signals();
    sys::close_on_exec_from(3).doing("closing descriptors")?;
    let text = |text: &str| CString::new(text).map_err(io::Error::other);
    let argv: Result<Vec<CString>, _> = apart.argv.iter().map(|a| text(a)).collect();
    let argv = argv.doing("reading arguments")?;
    let variables = apart.variables.iter();
    let variables: Result<Vec<CString>, _> =
        variables.map(|(k, v)| text(&format!("{k}={v}"))).collect();
    let program = argv
        .first()
        .ok_or_else(|| SandboxError::Inside("no program to run".to_owned()))?;
    execve(program, &argv, &variables.doing("reading variables")?)
        .doing(&format!("starting {program:?}"))
        .map(drop)
}

fn keep_last(from: &mut io::PipeReader) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..read]); // read <= buffer.len()
        if kept.len() > 2 * COMPLAINTS {
            kept.drain(..kept.len() - COMPLAINTS); // the length is larger
        }
    }
    kept.drain(..kept.len().saturating_sub(COMPLAINTS));
    kept
}

/// Whether `path` is a program of this machine.
pub(crate) fn is_program(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file())
}

/// Opens a folder again as a tree that can be mounted.
///
/// In a mount namespace of its own a process cannot take a copy through a descriptor from outside, only
/// by a path; it must be the same folder.
pub(super) fn tree_of(folder: &OwnedFd, what: &str) -> Result<OwnedFd, SandboxError> {
    match sys::open_tree(folder.as_raw_fd(), c"", true) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        taken => return taken.doing(what),
    }
    let path = fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).doing(what)?;
    let path = CString::new(path.into_os_string().into_vec())
        .map_err(io::Error::other)
        .doing(what)?;
    let tree = sys::open_tree(libc::AT_FDCWD, &path, true).doing(what)?;
    let (meant, taken) = (fstat(folder).doing(what)?, fstat(&tree).doing(what)?);
    if (meant.st_dev, meant.st_ino) != (taken.st_dev, taken.st_ino) {
        return Err(SandboxError::Inside(format!(
            "{what}: another one has its name"
        )));
    }
    Ok(tree)
}
