//! What a process of ours can do to itself before it touches a secret or a stranger's byte.

use std::io;

use nix::sys::prctl;

/// Keeps debuggers, `/proc/PID/mem` and core files of the same user away from this process.
///
/// # Errors
/// When the system refuses, which Linux never does.
pub fn make_non_dumpable() -> io::Result<()> {
    prctl::set_dumpable(false).map_err(io::Error::from)
}
