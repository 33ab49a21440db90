//! What a process of ours can do to itself before it touches a secret or a stranger's byte, and to a
//! program that it has started without a sandbox.

use std::io;
use std::process::Child;

use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Keeps debuggers, `/proc/PID/mem` and core files of the same user away from this process.
///
/// # Errors
/// When the system refuses, which Linux never does.
pub fn make_non_dumpable() -> io::Result<()> {
    prctl::set_dumpable(false).map_err(io::Error::from)
}

/// Ends a program that was started in a process group of its own, with all of that group. It must not have
/// been waited for: until then its number is nobody else's.
///
/// # Errors
/// When nothing of the group is left.
pub fn kill_group(leader: &Child) -> io::Result<()> {
    let number = i32::try_from(leader.id()).map_err(io::Error::other)?;
    killpg(Pid::from_raw(number), Signal::SIGKILL).map_err(io::Error::from)
}
