//! One child process from its start to its death: started without a fork of ours, bounded in time,
//! its complaints kept, and always killed and waited for.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::channel::Channel;
use crate::sandbox::sys;

use super::error::CallError;
use super::{ARGUMENT, Answer};

/// Most bytes of a child's complaints that are kept: the first ones.
const COMPLAINTS: usize = 4096;

/// Starts a child, talks to it, and kills it: a child serves one request.
pub(super) fn with_child<T>(
    binary: &Path,
    deadline: Duration,
    cancel: &AtomicBool,
    talk: impl FnOnce(&mut Channel) -> Result<T, CallError>,
) -> Result<T, CallError> {
    let (mut ours, theirs) = Channel::pair().map_err(CallError::Start)?;
    let mut child = Command::new(binary) // no pre_exec, uid or groups: std then need not fork
        .arg0("builder")
        .arg(ARGUMENT)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(CallError::Start)?;
    let stderr = child.stderr.take();
    let process = sys::pidfd_open(child.id()).map_err(CallError::Start)?;
    let (result, stopped, stderr) = thread::scope(|scope| {
        let process = &process;
        let watch = scope.spawn(move || watch(process, stderr, deadline, cancel));
        let result = talk(&mut ours);
        let _ = sys::pidfd_signal(process.as_fd(), libc::SIGKILL); // dead already, mostly
        let _ = child.wait(); // reaps; what it said has been read
        let (stopped, stderr) = watch.join().unwrap_or_default();
        (result, stopped, stderr)
    });
    match (result, stopped) {
        (Err(CallError::Channel { source, .. }), None) => {
            Err(CallError::Channel { stderr, source })
        }
        (Err(CallError::Channel { .. }), Some(stopped)) => Err(stopped),
        (result, _) => result,
    }
}

/// Reads what the child complains of until it is dead, and kills it at its deadline or when the caller
/// cancels. Returns why it was killed here, where it was.
fn watch(
    process: &OwnedFd,
    stderr: Option<ChildStderr>,
    deadline: Duration,
    cancel: &AtomicBool,
) -> (Option<CallError>, String) {
    let started = Instant::now();
    let (mut stopped, mut kept) = (None, Vec::new());
    let Some(mut stderr) = stderr else {
        return (stopped, String::new()); // it was asked for
    };
    loop {
        let left = deadline.saturating_sub(started.elapsed());
        if stopped.is_none() {
            if cancel.load(Ordering::Relaxed) {
                stopped = Some(CallError::Cancelled);
            } else if left.is_zero() {
                stopped = Some(CallError::Deadline(deadline.as_secs()));
            }
            if stopped.is_some() {
                // the descriptor names our child or, when it was waited for, nobody
                let _ = sys::pidfd_signal(process.as_fd(), libc::SIGKILL);
            }
        }
        let wait = PollTimeout::try_from(left.min(Duration::from_millis(50)));
        let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, wait.unwrap_or(PollTimeout::ZERO)) == Ok(0) {
            continue;
        }
        let mut buffer = [0; COMPLAINTS];
        match stderr.read(&mut buffer) {
            Ok(read @ 1..) => {
                let room = COMPLAINTS - kept.len(); // it never has more
                kept.extend_from_slice(&buffer[..read.min(room)]); // read <= buffer.len()
            }
            Ok(0) | Err(_) => return (stopped, kept.trim_ascii().escape_ascii().to_string()),
        }
    }
}

/// The next answer; a fault that the child tells is one of the call.
pub(super) fn receive(child: &mut Channel) -> Result<Answer, CallError> {
    match child.receive_message()? {
        Answer::Fault { message } => Err(CallError::Fault(message)),
        answer => Ok(answer),
    }
}
