//! How user ids are mapped into a sandbox. Host uid 0 is never among them.

use std::fs;
use std::io::{Read, Write};

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Gid, Uid, getegid, geteuid, setgroups, setresgid, setresuid};
use std::os::fd::AsFd;

use crate::outcome::IdMode;

use super::confine::USER_NAMESPACES;
use super::fault::{Doing, SandboxError};
use super::sys::{self, Cloned};

/// The build user's and group's id inside.
pub(crate) const BUILD_ID: u32 = 1000;
/// Ids in the range of one sandbox.
pub(crate) const RANGE: u32 = 65_536;
/// The lowest first id: below are the host's own users.
pub(crate) const LOWEST_BASE: u32 = 65_536;

/// Decides the mode for whoever runs this, and refuses a range that could reach a user of the host.
///
/// # Errors
/// For root, when the range is too low or does not fit.
pub(crate) fn choose(id_base: u32) -> Result<IdMode, SandboxError> {
    if !geteuid().is_root() {
        return Ok(IdMode::SingleId);
    }
    // the last id, u32::MAX, means "no change" to the kernel
    if id_base < LOWEST_BASE || id_base.checked_add(RANGE).is_none() {
        return Err(SandboxError::Refused {
            what: format!("mapping host ids from {id_base} on into a sandbox"),
            remedy: "choose an id range that starts at 65536 or above and belongs to no user",
        });
    }
    Ok(IdMode::RootRange)
}

/// Maps the ids of a process that was just cloned into a new user namespace. Run by the launcher.
pub(crate) fn map_outer(pid: i32, mode: IdMode, id_base: u32) -> Result<(), SandboxError> {
    let proc = |file: &str| format!("/proc/{pid}/{file}");
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let (uids, gids) = match mode {
        IdMode::RootRange | IdMode::UserRange => {
            let map = format!("0 {id_base} {RANGE}");
            (map.clone(), map)
        }
        IdMode::SingleId => {
            fs::write(proc("setgroups"), "deny").doing("denying setgroups")?;
            (format!("0 {uid} 1"), format!("0 {gid} 1"))
        }
    };
    let remedy =
        "run as an ordinary user, or as a root whose own user namespace has the whole range";
    fs::write(proc("uid_map"), uids).doing_or("mapping user ids", remedy)?;
    fs::write(proc("gid_map"), gids).doing_or("mapping group ids", remedy)
}

/// Becomes root of the namespace that [`map_outer`] has mapped.
pub(crate) fn become_inner_root(mode: IdMode) -> Result<(), SandboxError> {
    let (root_gid, root_uid) = (Gid::from_raw(0), Uid::from_raw(0));
    setresgid(root_gid, root_gid, root_gid).doing("becoming group 0 of the namespace")?;
    setresuid(root_uid, root_uid, root_uid).doing("becoming user 0 of the namespace")?;
    match mode {
        IdMode::RootRange | IdMode::UserRange => setgroups(&[]).doing("dropping groups"),
        IdMode::SingleId => Ok(()), // denied, and an ordinary user's groups are not mapped
    }
}

/// Enters a second user and mount namespace: from there all mounts made so far are locked, and no
/// third user namespace can be made. The build user exists in it under [`BUILD_ID`].
pub(crate) fn nest(mode: IdMode) -> Result<(), SandboxError> {
    // /proc/self belongs to nobody we are unless the process can be debugged; no stranger runs yet
    prctl::set_dumpable(true).doing("opening /proc/self for the second mapping")?;
    fs::write("/proc/sys/user/max_user_namespaces", "1").doing("bounding user namespaces")?;
    let second = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
    match mode {
        IdMode::SingleId => {
            unshare(second).doing_or("making the second user namespace", USER_NAMESPACES)?;
            let map = format!("{BUILD_ID} 0 1");
            fs::write("/proc/self/setgroups", "deny").doing("denying setgroups")?;
            fs::write("/proc/self/uid_map", &map).doing("mapping the build user")?;
            fs::write("/proc/self/gid_map", &map).doing("mapping the build group")
        }
        IdMode::RootRange | IdMode::UserRange => nest_range(second),
    }
}

/// Only a process that is still outside the second namespace may map a range into it.
fn nest_range(second: CloneFlags) -> Result<(), SandboxError> {
    let (mut wait, mut go) = std::io::pipe().doing("making a pipe")?;
    let own = nix::unistd::getpid();
    match sys::fork().doing("starting the mapping helper")? {
        Cloned::Child => {
            drop(go);
            let mut byte = [0];
            let map = format!("0 0 {RANGE}");
            let mapped = wait
                .read_exact(&mut byte)
                .and_then(|()| fs::write(format!("/proc/{own}/uid_map"), &map))
                .and_then(|()| fs::write(format!("/proc/{own}/gid_map"), &map));
            sys::exit_now(i32::from(mapped.is_err()))
        }
        Cloned::Parent(_, helper) => {
            drop(wait);
            unshare(second).doing_or("making the second user namespace", USER_NAMESPACES)?;
            go.write_all(&[1]).doing("waking the mapping helper")?;
            let ended = waitid(Id::PIDFd(helper.as_fd()), WaitPidFlag::WEXITED)
                .doing("waiting for the mapping helper")?;
            match ended {
                WaitStatus::Exited(_, 0) => Ok(()),
                other => Err(SandboxError::Inside(format!(
                    "mapping ids into the second user namespace failed: {other:?}"
                ))),
            }
        }
    }
}

/// Becomes the build user for good. The bounding set must be dropped before.
pub(crate) fn become_build_user(mode: IdMode) -> Result<(), SandboxError> {
    match mode {
        IdMode::SingleId => Ok(()), // the only id there is
        IdMode::RootRange | IdMode::UserRange => {
            let (gid, uid) = (Gid::from_raw(BUILD_ID), Uid::from_raw(BUILD_ID));
            setresgid(gid, gid, gid).doing("becoming the build group")?;
            setresuid(uid, uid, uid).doing("becoming the build user")
        }
    }
}
