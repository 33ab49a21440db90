//! How user ids are mapped into a sandbox, and that no two sandboxes share any. Host uid 0 is never
//! among them, nor an id that a user of the host may have.
//!
//! Three ways, best first: a range that root chooses, a range that the system lends to an ordinary user
//! (`/etc/subuid`, mapped by `newuidmap`), and the one id of an ordinary user. Which one works is found
//! by doing it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Gid, Uid, User, getegid, geteuid, setgroups, setresgid, setresuid};

use crate::outcome::IdMode;

use super::confine::{self, USER_NAMESPACES};
use super::fault::{Doing, SandboxError};
use super::sys::{self, Cloned};

/// Ids in the range of one sandbox that root starts.
pub(crate) const RANGE: u32 = 65_536;
/// Ids in the range of one sandbox that a user with lent ids starts: eight sandboxes to the usual loan.
const USER_RANGE: u32 = 8192;
/// The lowest first id: below are the host's own users.
pub(crate) const LOWEST_BASE: u32 = 65_536;

/// By absolute path: they are set-user-id, and a search path is somebody's choice.
const HELPERS: [(&str, &str); 2] = [
    ("/usr/bin/newuidmap", "/etc/subuid"),
    ("/usr/bin/newgidmap", "/etc/subgid"),
];

/// The ids of one sandbox, ours alone as long as this lives.
#[derive(Debug)]
pub(crate) struct Slot {
    mode: IdMode,
    uids: u32,
    gids: u32,
    count: u32,
    /// Bound to a name that means this range: a lock that ends with its holder and leaves nothing.
    _lock: Option<UnixListener>,
}

/// Takes a free range for whoever runs this: for root, one of `slots` ranges from `first` on.
///
/// # Errors
/// When every range is taken or could reach a user of the host.
pub(crate) fn choose(first: u32, slots: u32) -> Result<Slot, SandboxError> {
    if geteuid().is_root() {
        return choose_for_root(first, slots);
    }
    Ok(choose_lent()?.unwrap_or(Slot::SINGLE))
}

fn choose_for_root(first: u32, slots: u32) -> Result<Slot, SandboxError> {
    // the last id, u32::MAX, means "no change" to the kernel
    let size = slots.max(1).checked_mul(RANGE);
    if first < LOWEST_BASE || size.and_then(|size| first.checked_add(size)).is_none() {
        return Err(SandboxError::Refused {
            what: format!("mapping host ids from {first} on into a sandbox"),
            remedy: "choose an id range that starts at 65536 or above and belongs to no user",
        });
    }
    let lent: Vec<Loan> = HELPERS.iter().flat_map(|(_, file)| loans(file)).collect();
    for number in 0..slots.max(1) {
        let base = first + number * RANGE; // fits: checked above
        let overlaps = |loan: &Loan| {
            u64::from(base) < u64::from(loan.first) + u64::from(loan.count)
                && u64::from(loan.first) < u64::from(base) + u64::from(RANGE)
        };
        if lent.iter().any(overlaps) {
            continue; // a user of the host could be these ids, too
        }
        if let Some(lock) = lock(base)? {
            return Ok(Slot {
                mode: IdMode::RootRange,
                uids: base,
                gids: base,
                count: RANGE,
                _lock: Some(lock),
            });
        }
    }
    Err(SandboxError::Refused {
        what: format!(
            "each of the {slots} ranges of host ids from {first} on is in use by another sandbox or \
             lent to a user"
        ),
        remedy: "build less at once, or choose a range beyond what /etc/subuid lends",
    })
}

/// Takes a range for making a root file system, in which files belong to every id that a package may
/// name: of 65,536, which for an ordinary user is all that the system lends.
///
/// # Errors
/// When there is none.
pub(crate) fn choose_whole(first: u32, slots: u32) -> Result<Slot, SandboxError> {
    if geteuid().is_root() {
        return choose_for_root(first, slots);
    }
    let uids = lent("/etc/subuid", RANGE);
    let gids = lent("/etc/subgid", RANGE);
    match (uids, gids) {
        (Some(uids), Some(gids)) => Ok(Slot {
            mode: IdMode::UserRange,
            uids: uids.first,
            gids: gids.first,
            count: RANGE,
            _lock: None, // builds may hold parts of it: their processes are in other namespaces
        }),
        _ => Err(SandboxError::Refused {
            what: "making a root file system needs 65536 ids, and the system lends this user fewer"
                .into(),
            remedy: "install uidmap, and lend them with usermod --add-subuids and --add-subgids",
        }),
    }
}

/// Takes the ids of whoever owns what is unpacked for builds: root's range, or the one id of a user.
///
/// # Errors
/// As [`choose`].
pub(crate) fn choose_owner(first: u32, slots: u32) -> Result<Slot, SandboxError> {
    if geteuid().is_root() {
        return choose_for_root(first, slots);
    }
    Ok(Slot::SINGLE)
}

/// What the system lends to this user, where it is that much.
fn lent(file: &str, count: u32) -> Option<Loan> {
    let own = geteuid();
    let name = User::from_uid(own).ok().flatten().map(|user| user.name);
    let mine = |loan: &Loan| loan.to == own.to_string() || Some(&loan.to) == name.as_ref();
    let mut all = loans(file).into_iter();
    all.find(|loan| mine(loan) && loan.first >= LOWEST_BASE && loan.count >= count)
}

/// A slice of what the system lends to this user; `None` where it lends nothing.
fn choose_lent() -> Result<Option<Slot>, SandboxError> {
    if HELPERS
        .iter()
        .any(|(helper, _)| fs::metadata(helper).is_err())
    {
        return Ok(None);
    }
    let (uids, gids) = (
        lent("/etc/subuid", USER_RANGE),
        lent("/etc/subgid", USER_RANGE),
    );
    let (Some(uids), Some(gids)) = (uids, gids) else {
        return Ok(None);
    };
    for number in 0..uids.count.min(gids.count) / USER_RANGE {
        let skip = number * USER_RANGE; // below the smaller count
        if let Some(lock) = lock(uids.first.saturating_add(skip))? {
            return Ok(Some(Slot {
                mode: IdMode::UserRange,
                uids: uids.first.saturating_add(skip),
                gids: gids.first.saturating_add(skip),
                count: USER_RANGE,
                _lock: Some(lock),
            }));
        }
    }
    Err(SandboxError::Refused {
        what: "all ids that /etc/subuid lends to this user are in use by other sandboxes".into(),
        remedy: "build less at once, or lend more ids (usermod --add-subuids, --add-subgids)",
    })
}

/// One line of `/etc/subuid` (subuid(5)).
struct Loan {
    to: String,
    first: u32,
    count: u32,
}

fn loans(file: &str) -> Vec<Loan> {
    parse_loans(&fs::read_to_string(file).unwrap_or_default()) // most machines lend nothing
}

fn parse_loans(text: &str) -> Vec<Loan> {
    let loan = |line: &str| {
        let mut fields = line.trim().splitn(3, ':');
        let to = fields.next()?.to_owned();
        let first = fields.next()?.parse().ok()?;
        let count = fields.next()?.parse().ok()?;
        Some(Loan { to, first, count })
    };
    text.lines().filter_map(loan).collect()
}

/// Takes the lock of a range; `None` where another process has it.
fn lock(base: u32) -> Result<Option<UnixListener>, SandboxError> {
    let name = format!("countersign-ids-{base}");
    let what = format!("taking host ids from {base} on");
    let address = SocketAddr::from_abstract_name(name).doing(&what)?;
    match UnixListener::bind_addr(&address) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(error).doing(&what),
    }
}

impl Slot {
    /// A number that other sandboxes of this machine have not got, where there are ranges.
    pub(crate) const fn first(&self) -> u32 {
        self.uids
    }

    const SINGLE: Self = Self {
        mode: IdMode::SingleId,
        uids: 0,
        gids: 0,
        count: 1,
        _lock: None,
    };

    /// Maps the ids of a process that was just cloned into a new user namespace, and says how. Run by
    /// the launcher.
    pub(crate) fn map_outer(&mut self, pid: i32) -> Result<IdMode, SandboxError> {
        if self.mode == IdMode::UserRange && !self.map_lent(pid) {
            *self = Self::SINGLE; // weaker, and recorded as what it is
        }
        let file = |file: &str| format!("/proc/{pid}/{file}");
        let (uids, gids) = match self.mode {
            IdMode::UserRange => return Ok(self.mode),
            IdMode::RootRange => (
                format!("0 {} {}", self.uids, self.count),
                format!("0 {} {}", self.gids, self.count),
            ),
            IdMode::SingleId => {
                fs::write(file("setgroups"), "deny").doing("denying setgroups")?;
                (format!("0 {} 1", geteuid()), format!("0 {} 1", getegid()))
            }
        };
        let remedy =
            "run as an ordinary user, or as a root whose own user namespace has the whole range";
        fs::write(file("uid_map"), uids).doing_or("mapping user ids", remedy)?;
        fs::write(file("gid_map"), gids).doing_or("mapping group ids", remedy)?;
        Ok(self.mode)
    }

    /// Has the system's helpers map the range; `false` when either refuses, before anything is mapped.
    fn map_lent(&self, pid: i32) -> bool {
        [self.gids, self.uids]
            .iter()
            .zip(HELPERS.iter().rev())
            .all(|(first, (helper, _))| {
                let run = Command::new(helper)
                    .args([pid.to_string(), "0".into(), first.to_string()])
                    .arg(self.count.to_string())
                    .env_clear()
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
                run.is_ok_and(|status| status.success())
            })
    }
}

/// Becomes root of the namespace that [`Slot::map_outer`] has mapped.
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
/// third user namespace can be made. The build user exists in it under `build_id`. The process must be
/// dumpable, else its `/proc/self` is not its own; [`start_mapper`] listens.
pub(crate) fn nest(
    mode: IdMode,
    build_id: u32,
    mut mapper: &UnixStream,
) -> Result<(), SandboxError> {
    fs::write("/proc/sys/user/max_user_namespaces", "1").doing("bounding user namespaces")?;
    let second = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
    match mode {
        IdMode::SingleId => {
            unshare(second).doing_or("making the second user namespace", USER_NAMESPACES)?;
            let map = format!("{build_id} 0 1");
            fs::write("/proc/self/setgroups", "deny").doing("denying setgroups")?;
            fs::write("/proc/self/uid_map", &map).doing("mapping the build user")?;
            fs::write("/proc/self/gid_map", &map).doing("mapping the build group")
        }
        IdMode::RootRange | IdMode::UserRange => {
            unshare(second).doing_or("making the second user namespace", USER_NAMESPACES)?;
            let what = "mapping ids into the second user namespace";
            mapper.write_all(&[1]).doing(what)?;
            mapper.read_exact(&mut [0]).doing(what) // end of file where it failed
        }
    }
}

/// Starts a helper that maps ids into the second user namespace of a process once that asks: only a process
/// that is in the first and not in the second may. Run by the launcher, while the process makes mounts.
pub(crate) fn start_mapper(
    mode: IdMode,
    pid: i32,
    first: &File,
    mut asked: UnixStream,
) -> Result<Option<OwnedFd>, SandboxError> {
    let count = match mode {
        IdMode::RootRange => RANGE,
        IdMode::UserRange => USER_RANGE,
        IdMode::SingleId => return Ok(None), // it maps its one id by itself
    };
    let mut map = || -> Result<(), SandboxError> {
        confine::die_with_parent()?;
        let what = "mapping ids";
        setns(first, CloneFlags::CLONE_NEWUSER).doing(what)?;
        asked.read_exact(&mut [0]).doing(what)?;
        for file in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{pid}/{file}"), format!("0 0 {count}")).doing(what)?;
        }
        asked.write_all(&[1]).doing(what)
    };
    match sys::fork().doing("starting the mapping helper")? {
        Cloned::Child => sys::exit_now(i32::from(map().is_err())),
        Cloned::Parent(_, helper) => Ok(Some(helper)),
    }
}

/// Becomes the build user for good. The bounding set must be dropped before.
pub(crate) fn become_build_user(mode: IdMode, build_id: u32) -> Result<(), SandboxError> {
    match mode {
        IdMode::SingleId => Ok(()), // the only id there is
        IdMode::RootRange | IdMode::UserRange => {
            let (gid, uid) = (Gid::from_raw(build_id), Uid::from_raw(build_id));
            setresgid(gid, gid, gid).doing("becoming the build group")?;
            setresuid(uid, uid, uid).doing("becoming the build user")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loans_are_read_and_nonsense_is_passed_over() {
        let text = "alice:100000:65536\n1001:200000:65536\n# none\nbob:x:1\nbob:1\n\n";
        let all = parse_loans(text);
        let told: Vec<_> = all
            .iter()
            .map(|loan| (loan.to.as_str(), loan.first, loan.count))
            .collect();
        assert_eq!(
            told,
            [("alice", 100_000, 65_536), ("1001", 200_000, 65_536)]
        );
    }

    #[test]
    fn a_range_has_one_holder_at_a_time() {
        let base = 3_000_000_000; // of no other test, and no sandbox
        let held = lock(base).unwrap();
        assert!(held.is_some());
        assert!(lock(base).unwrap().is_none());
        assert!(lock(base + 1).unwrap().is_some());
        drop(held);
        assert!(lock(base).unwrap().is_some());
    }
}
