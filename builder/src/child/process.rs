//! One child process from its start to its death: started without a fork of ours, bounded in time,
//! its complaints kept, and always killed and waited for.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::channel::Channel;
use crate::sandbox::sys;

use super::ARGUMENT;
use super::call::CallError;

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
        let (talking, over) = channel::<()>();
        let process = &process;
        let watchdog = scope.spawn(move || watch(process, &over, deadline, cancel));
        let stderr = scope.spawn(move || read_bounded(stderr));
        let result = talk(&mut ours);
        drop(talking);
        let _ = sys::pidfd_signal(process.as_fd(), libc::SIGKILL); // dead already, mostly
        let _ = child.wait(); // reaps; what it said has been read
        let stopped = watchdog.join().unwrap_or(None);
        (result, stopped, stderr.join().unwrap_or_default())
    });
    match (result, stopped) {
        (Err(CallError::Channel { source, .. }), None) => {
            Err(CallError::Channel { stderr, source })
        }
        (Err(CallError::Channel { .. }), Some(stopped)) => Err(stopped),
        (result, _) => result,
    }
}

/// Kills the child at its deadline or when the caller cancels. Ends when `over` is dropped.
fn watch(
    process: &OwnedFd,
    over: &Receiver<()>,
    deadline: Duration,
    cancel: &AtomicBool,
) -> Option<CallError> {
    let started = Instant::now();
    loop {
        let left = deadline.saturating_sub(started.elapsed());
        let stop = if cancel.load(Ordering::Relaxed) {
            Some(CallError::Cancelled)
        } else if left.is_zero() {
            Some(CallError::Deadline(deadline.as_secs()))
        } else {
            None
        };
        if stop.is_some() {
            // not waited for yet, so the descriptor names our child and nobody else
            let _ = sys::pidfd_signal(process.as_fd(), libc::SIGKILL);
            return stop;
        }
        match over.recv_timeout(left.min(Duration::from_millis(50))) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// Keeps the first 4 KiB of what a child complains of, and reads the rest away.
fn read_bounded(stderr: Option<ChildStderr>) -> String {
    let Some(mut stderr) = stderr else {
        return String::new();
    };
    let mut kept = Vec::new();
    let _ = (&mut stderr).take(4096).read_to_end(&mut kept); // what came is what there is
    let _ = io::copy(&mut stderr, &mut io::sink());
    kept.trim_ascii().escape_ascii().to_string()
}
