//! How a parsing child locks itself in before it reads its first untrusted byte.
//!
//! A parsing child (`inspect`, `compare`, git, the signer) is our own code over strangers' bytes:
//! it needs no program, no network and no file beyond what it was given. It gets an own user
//! namespace in which no id of the host is mapped, which leaves it its own files by ordinary
//! permission bits and no privilege at all, even when it was started by root.

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

use super::fault::{Doing, SandboxError};
pub use super::landlock::Place;
use super::{landlock, seccomp, sys};

pub(crate) const USER_NAMESPACES: &str = "allow unprivileged user namespaces: \
    user.max_user_namespaces above 0, kernel.unprivileged_userns_clone=1 where it exists (Debian), \
    kernel.apparmor_restrict_unprivileged_userns=0 or an AppArmor profile with `userns,` (Ubuntu); \
    in a container, allow unshare(2) and clone3(2) in its system call filter";

/// What a parsing child keeps.
#[derive(Debug, Clone, Copy)]
pub struct Confinement<'a> {
    /// Folders and files that it may read. Descriptors that are open already need no rule.
    pub read: &'a [Place<'a>],
    /// Folders in which it may also make, change and remove files.
    pub write: &'a [Place<'a>],
    /// What network it has.
    pub network: Isolation,
    /// A host id of nobody, to be taken where root starts this child; `None` keeps the user.
    pub user: Option<u32>,
    /// Most bytes of address space; `None` leaves the host's limit.
    pub memory_bytes: Option<u64>,
    /// Most bytes of one file that it writes; `None` leaves the host's limit.
    pub file_bytes: Option<u64>,
}

/// What locking in has come to.
#[derive(Debug)]
pub struct Confined {
    /// The listener, where the network is [`Isolation::Loopback`].
    pub listener: Option<TcpListener>,
    /// Whether this process now has the user that [`Confinement::user`] asked for.
    pub own_user: bool,
}

/// What network a confined child has. Never the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// None: it cannot even make a socket.
    Nothing,
    /// A loopback of its own, with one listener on it that the child hands to the host: what it
    /// connects to, the host serves.
    Loopback,
}

/// Begins a child: single-threaded, no inherited descriptor beyond standard error, dead as soon as
/// the thread that started it is dead. Comes before a descriptor is received.
///
/// # Errors
/// When the process has threads already, or the system refuses.
pub fn enter() -> Result<(), SandboxError> {
    // refused to a process with threads, without effect in any other (unshare(2))
    if unshare(CloneFlags::CLONE_VM) == Err(Errno::EINVAL) {
        return Err(SandboxError::Refused {
            what: "a child that confines itself has more than one thread".into(),
            remedy: "start children before any runtime; this is a bug",
        });
    }
    sys::close_from(3).doing("closing inherited descriptors")?;
    die_with_parent()
}

/// Locks this process in.
///
/// Descriptors that are open stay usable. After this, only what [`Confinement`] names is reachable,
/// for good.
///
/// # Errors
/// When the system lacks a wall; the process must then not go on.
pub fn parsing(keep: &Confinement<'_>) -> Result<Confined, SandboxError> {
    let fresh = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    let apart = keep.user.filter(|_| geteuid().is_root());
    let namespaces = match apart {
        Some(_) => fresh, // of root itself: an ordinary user may not be allowed a user namespace
        None => fresh | CloneFlags::CLONE_NEWUSER,
    };
    unshare(namespaces).doing_or("making a user and a network namespace", USER_NAMESPACES)?;
    let listener = match keep.network {
        Isolation::Nothing => None,
        Isolation::Loopback => {
            loopback_up()?;
            let address = (Ipv4Addr::LOCALHOST, 0);
            Some(TcpListener::bind(address).doing("listening on the private loopback")?)
        }
    };
    limit(Resource::RLIMIT_CORE, 0)?;
    if let Some(bytes) = keep.memory_bytes {
        limit(Resource::RLIMIT_AS, bytes)?;
    }
    if let Some(bytes) = keep.file_bytes {
        limit(Resource::RLIMIT_FSIZE, bytes)?;
    }
    let own_user = match apart {
        None => false,
        Some(user) => {
            drop_bounding_set()?;
            become_user(user)?
        }
    };
    // a user of nobody's is out of reach already, and may not be allowed a namespace besides
    match apart.map_or(Ok(()), |_| unshare(CloneFlags::CLONE_NEWUSER)) {
        Ok(()) => drop_bounding_set()?, // a new namespace begins with a full one
        Err(_) if own_user => {}
        Err(error) => return Err(error).doing_or("making a user namespace", USER_NAMESPACES),
    }
    keep_capabilities(0)?;
    landlock::restrict(keep.read, keep.write)?;
    seccomp::parsing(keep.network == Isolation::Loopback)?;
    Ok(Confined { listener, own_user })
}

/// Becomes a user that is nobody else. `false` where this system has no such id (in a container, say).
fn become_user(user: u32) -> Result<bool, SandboxError> {
    let (gid, uid) = (Gid::from_raw(user), Uid::from_raw(user));
    setgroups(&[]).doing("dropping groups")?;
    match setresgid(gid, gid, gid).and_then(|()| setresuid(uid, uid, uid)) {
        Ok(()) => Ok(true),
        Err(Errno::EINVAL) => Ok(false),
        Err(error) => Err(error).doing("becoming a user of its own"),
    }
}

/// Locks in a process that needs the host's network (the mirror): no file but those, no privilege, no
/// program, no debugging, and no more of the kernel than a parsing child has.
///
/// # Errors
/// When the system lacks a wall; the process must then not go on.
pub fn networked(read: &[Place<'_>], write: &[Place<'_>]) -> Result<(), SandboxError> {
    limit(Resource::RLIMIT_CORE, 0)?;
    // the bounding set stays: an ordinary user may not empty it, and nothing can be gained any more
    keep_capabilities(0)?;
    landlock::restrict(read, write)?;
    seccomp::parsing(true)
}

/// Gives up every capability but those of `mask`, for this process and all that it may start.
pub(crate) fn drop_privileges(mask: u32) -> Result<(), SandboxError> {
    drop_bounding_set()?;
    keep_capabilities(mask)
}

/// Empties the bounding set. Must come before a change of user: after it the kernel refuses.
pub(crate) fn drop_bounding_set() -> Result<(), SandboxError> {
    for capability in 0..64 {
        if !sys::drop_bounding(capability).doing("dropping the bounding set")? {
            break;
        }
    }
    Ok(())
}

/// Keeps the capabilities of `mask` (below 32) and no way to gain any; out of debuggers' reach.
pub(crate) fn keep_capabilities(mask: u32) -> Result<(), SandboxError> {
    sys::set_capabilities(mask).doing("dropping capabilities")?;
    prctl::set_no_new_privs().doing("setting no_new_privs")?;
    prctl::set_dumpable(false).doing("leaving the reach of debuggers")?;
    die_with_parent() // a change of credentials clears it
}

/// Asks the kernel to kill this process when the thread that started it ends.
pub(crate) fn die_with_parent() -> Result<(), SandboxError> {
    prctl::set_pdeathsig(Signal::SIGKILL).doing("tying this process to its parent")
}

/// Takes that back: this process sees its host hang up, and ends by itself.
pub(crate) fn outlive_parent() -> Result<(), SandboxError> {
    prctl::set_pdeathsig(None).doing("untying this process from its parent")
}

/// Sets a limit, or leaves the lower one that the host has.
pub(crate) fn limit(resource: Resource, value: u64) -> Result<(), SandboxError> {
    let (_, hard) = getrlimit(resource).doing("reading a resource limit")?;
    let value = value.min(hard);
    setrlimit(resource, value, value).doing("setting a resource limit")
}

/// Brings up `lo` in a network namespace that this process owns.
pub(crate) fn loopback_up() -> Result<(), SandboxError> {
    let (family, kind) = (AddressFamily::Inet, SockType::Datagram);
    let socket =
        socket(family, kind, SockFlag::SOCK_CLOEXEC, None).doing("making a control socket")?;
    sys::loopback_up(socket.as_fd()).doing("bringing the private loopback up")
}
