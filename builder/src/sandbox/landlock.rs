//! Which files a process may reach, by Landlock: a second wall beside mounts and ids.
//!
//! Scopes (abstract sockets, signals) are used where the kernel has them; file rules are required of
//! parsing children, which see the host's file system.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use nix::sys::stat::{SFlag, fstat};

use super::fault::{Doing, SandboxError};

/// What is asked for; an older kernel gives less.
const WANTED: ABI = ABI::V6;

const REMEDY: &str = "use Linux 5.13 or newer with landlock among the enabled security modules \
    (CONFIG_SECURITY_LANDLOCK=y and `landlock` in the `lsm=` boot parameter)";

/// A folder or file that stays reachable.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// One that is open already.
    Fd(BorrowedFd<'a>),
    /// One by name; it must exist.
    Path(&'a Path),
}

/// Leaves only these places; an error where the kernel cannot enforce that.
pub(crate) fn restrict(read: &[Place<'_>], write: &[Place<'_>]) -> Result<(), SandboxError> {
    if enforce(read, write).doing_or("restricting file access", REMEDY)? {
        return Ok(());
    }
    Err(SandboxError::Refused {
        what: "this kernel does not enforce landlock rules".into(),
        remedy: REMEDY,
    })
}

/// Leaves only these places where the kernel can, and says whether it could.
pub(crate) fn restrict_where_possible(
    read: &[Place<'_>],
    write: &[Place<'_>],
) -> Result<bool, SandboxError> {
    enforce(read, write).doing("restricting file access")
}

fn enforce(read: &[Place<'_>], write: &[Place<'_>]) -> io::Result<bool> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(WANTED))
        .and_then(|rules| rules.scope(Scope::AbstractUnixSocket | Scope::Signal))
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    for place in read {
        rules = allow(rules, *place, AccessFs::from_read(WANTED))?;
    }
    for place in write {
        rules = allow(rules, *place, AccessFs::from_all(WANTED))?;
    }
    let status = rules.restrict_self().map_err(io::Error::other)?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

fn allow(
    rules: RulesetCreated,
    place: Place<'_>,
    access: BitFlags<AccessFs>,
) -> io::Result<RulesetCreated> {
    match place {
        Place::Fd(fd) => add(rules, fd, access),
        Place::Path(path) => {
            let fd = PathFd::new(path).map_err(|error| {
                io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("{}: {error}", path.display()),
                )
            })?;
            add(rules, fd.as_fd(), access)
        }
    }
}

fn add(
    rules: RulesetCreated,
    fd: BorrowedFd<'_>,
    access: BitFlags<AccessFs>,
) -> io::Result<RulesetCreated> {
    let kind = SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT;
    let access = if kind == SFlag::S_IFDIR {
        access
    } else {
        access & AccessFs::from_file(WANTED)
    };
    rules
        .add_rule(PathBeneath::new(fd, access))
        .map_err(|error: RulesetError| io::Error::other(error))
}
