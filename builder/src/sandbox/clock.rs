//! The clocks of a sandbox that count from the machine's start. The time of day has no namespace.

use std::fs::{self, File};

use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::time::{ClockId, clock_gettime};

use super::fault::{Doing, SandboxError};
use super::sys;

const REMEDY: &str = "use Linux 5.6 or newer with CONFIG_TIME_NS";

/// Lets this process, and all that it will start, see a machine that started `uptime_seconds` ago.
///
/// Needs the privilege of the sandbox's first user namespace.
pub(crate) fn restart(uptime_seconds: u32) -> Result<(), SandboxError> {
    sys::unshare_time().doing_or("making a time namespace", REMEDY)?;
    // /proc/self belongs to nobody we are unless the process can be debugged; no stranger runs yet
    prctl::set_dumpable(true).doing("opening /proc/self for the clocks")?;
    let offset = |clock| {
        let now = clock_gettime(clock).doing("reading a clock")?;
        Ok::<_, SandboxError>(i64::from(uptime_seconds) - now.tv_sec())
    };
    let text = format!(
        "monotonic {} 0\nboottime {} 0\n",
        offset(ClockId::CLOCK_MONOTONIC)?,
        offset(ClockId::CLOCK_BOOTTIME)?
    );
    fs::write("/proc/self/timens_offsets", text).doing_or("setting the clocks", REMEDY)?;
    // itself, too: a child that shares its memory until it is another program could not go there alone
    let own = File::open("/proc/self/ns/time_for_children").doing("opening a time namespace")?;
    setns(own, CloneFlags::empty()).doing_or("entering a time namespace", REMEDY)
}
