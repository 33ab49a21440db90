//! Collects the declared outputs of a build, after everything in its sandbox is dead.
//!
//! The collector is the launcher, stripped of what it was: it is root of the sandbox's user
//! namespace and nobody outside, can reach `/build` and nothing else, and walks it by descriptor.
//! Nothing is trusted but regular files that a pattern of the plan names.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::{FileStat, SFlag, fstat};

use crate::outcome::{Ended, IdMode};
use crate::plan::{Candidate, Limits};
use crate::tree::open_beneath;

use super::fault::{Doing, SandboxError};
use super::landlock::Place;
use super::launch::Dead;
use super::{confine, ids, landlock, seccomp};

/// `CAP_DAC_OVERRIDE` and `CAP_DAC_READ_SEARCH`: reading files that the build made unreadable.
const READ_ANYTHING: u32 = 1 << 1 | 1 << 2;

/// Takes what is collected, file by file. Its errors end the collection.
pub(crate) trait Take {
    /// A file begins: its path relative to the plan's `subdir`, and its length as the system reported it.
    fn output(&mut self, path: &str, size_bytes: u64) -> Result<(), SandboxError>;
    /// The next bytes of the file; none at its end.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), SandboxError>;
}

/// Gives up what the launcher could do on the host. Only `/build` stays reachable.
pub(crate) fn become_collector(dead: &Dead, mode: IdMode) -> Result<(), SandboxError> {
    setns(&dead.user_namespace, CloneFlags::CLONE_NEWUSER)
        .doing("entering the user namespace of a sandbox")?;
    ids::become_inner_root(mode)?;
    confine::drop_privileges(READ_ANYTHING)?;
    let build = [Place::Fd(dead.build.as_fd())];
    landlock::restrict_where_possible(&build, &[])?;
    seccomp::parsing(false)
}

/// Finds the outputs, sends each with its bytes, and says how the build has ended now.
pub(crate) fn collect(
    build: BorrowedFd<'_>,
    source: &str,
    candidate: &Candidate,
    to: &mut dyn Take,
) -> Result<Ended, SandboxError> {
    // the source lies below /build, of which only the descriptor is left
    let folder = source.strip_prefix("/build/").unwrap_or_default();
    let base = format!("{folder}/{}", candidate.subdir);
    let base = base.trim_end_matches('/');
    let mut found = BTreeMap::new();
    for pattern in &candidate.outputs {
        let mut search = Search {
            limits: &candidate.limits,
            found: &mut found,
            matched: false,
        };
        let result = search.below(build, base, &pattern.value);
        match result {
            Ok(()) if search.matched => {}
            Ok(()) => {
                return Ok(Ended::OutputMissing {
                    pattern: pattern.value.clone(),
                });
            }
            Err(Stop::Rejected(message)) => return Ok(Ended::OutputRejected { message }),
            Err(Stop::Fault(error)) => return Err(error),
        }
    }
    let total = found
        .values()
        .try_fold(0u64, |sum, size| sum.checked_add(*size));
    if total.is_none_or(|total| total > candidate.limits.output_bytes) {
        return Ok(Ended::OutputRejected {
            message: format!(
                "the outputs have more than the limit of {} bytes",
                candidate.limits.output_bytes
            ),
        });
    }
    for (path, size_bytes) in found {
        match send(build, base, &path, size_bytes, to) {
            Ok(()) => {}
            Err(Stop::Rejected(message)) => return Ok(Ended::OutputRejected { message }),
            Err(Stop::Fault(error)) => return Err(error),
        }
    }
    Ok(Ended::Completed)
}

/// Why collecting stops.
enum Stop {
    /// The release's outputs are not what a release may have.
    Rejected(String),
    /// Our own trouble.
    Fault(SandboxError),
}

impl<E: Into<SandboxError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

fn rejected<T>(path: &[u8], what: &str) -> Result<T, Stop> {
    Err(Stop::Rejected(format!("{} {what}", path.escape_ascii())))
}

/// The search for one pattern.
struct Search<'a> {
    limits: &'a Limits,
    found: &'a mut BTreeMap<String, u64>,
    matched: bool,
}

impl Search<'_> {
    fn below(&mut self, build: BorrowedFd<'_>, base: &str, pattern: &str) -> Result<(), Stop> {
        match open_beneath(build, base.as_bytes(), OFlag::O_DIRECTORY) {
            Ok(folder) => {
                let parts: Vec<&str> = pattern.split('/').collect();
                self.descend(folder, &parts, &mut Vec::new())
            }
            Err(Errno::ENOENT) => Ok(()),
            Err(Errno::ELOOP | Errno::ENOTDIR) => {
                rejected(base.as_bytes(), "is not a folder any more")
            }
            Err(error) => Err(fault(base.as_bytes(), error)),
        }
    }

    /// Matches the rest of a pattern in a folder. Its depth is that of the pattern.
    fn descend(&mut self, folder: OwnedFd, parts: &[&str], path: &mut Vec<u8>) -> Result<(), Stop> {
        let Some((part, rest)) = parts.split_first() else {
            return Ok(());
        };
        let wild = part.contains('*');
        let names = if wild {
            matching(&folder, part.as_bytes()).map_err(|error| fault(path, error))?
        } else {
            vec![part.as_bytes().to_vec()]
        };
        for name in names {
            let parent = path.len();
            if parent > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            if rest.is_empty() {
                self.take(folder.as_fd(), &name, path, wild)?;
            } else {
                match open_beneath(folder.as_fd(), &name, OFlag::O_DIRECTORY) {
                    Ok(inner) => self.descend(inner, rest, path)?,
                    Err(Errno::ENOENT | Errno::ENOTDIR) => {} // nothing below it can match
                    Err(Errno::ELOOP) => {
                        return rejected(path, "is a symbolic link on the way to an output");
                    }
                    Err(error) => return Err(fault(path, error)),
                }
            }
            path.truncate(parent);
        }
        Ok(())
    }

    /// Takes one regular file; anything else that a pattern names is refused. Folders are passed
    /// over where a `*` has met them.
    fn take(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        wild: bool,
    ) -> Result<(), Stop> {
        // not even opened before its kind is known; nothing is alive that could swap it
        let seen = match open_beneath(folder, name, OFlag::O_PATH | OFlag::O_NOFOLLOW) {
            Ok(seen) => seen,
            // RESOLVE_NO_SYMLINKS with O_PATH|O_NOFOLLOW yields the link itself on newer kernels
            Err(Errno::ELOOP) => return rejected(path, "is a symbolic link, not a regular file"),
            Err(Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(fault(path, error)),
        };
        let stat = fstat(&seen).doing("looking at an output")?;
        match kind(&stat) {
            SFlag::S_IFREG => {}
            SFlag::S_IFDIR if wild => return Ok(()),
            SFlag::S_IFDIR => return rejected(path, "is a folder, not a regular file"),
            SFlag::S_IFLNK => return rejected(path, "is a symbolic link, not a regular file"),
            SFlag::S_IFIFO => return rejected(path, "is a named pipe, not a regular file"),
            SFlag::S_IFSOCK => return rejected(path, "is a socket, not a regular file"),
            _ => return rejected(path, "is a device, not a regular file"),
        }
        let name_shown = match std::str::from_utf8(path) {
            Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
            Ok(_) | Err(_) => return rejected(path, "has a name that cannot be attested"),
        };
        let Ok(size) = u64::try_from(stat.st_size) else {
            return rejected(path, "has a negative size");
        };
        self.matched = true;
        self.found.insert(name_shown, size);
        if self.found.len() as u64 > self.limits.output_files {
            let limit = self.limits.output_files;
            let message = format!("there are more outputs than the limit of {limit} files");
            return Err(Stop::Rejected(message));
        }
        Ok(())
    }
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn fault(path: &[u8], error: Errno) -> Stop {
    let what = format!("looking for the output {}", path.escape_ascii());
    match Err::<(), _>(error).doing(&what) {
        Err(error) => Stop::Fault(error),
        Ok(()) => Stop::Rejected(what), // unreachable: an Err stays one
    }
}

/// The names in a folder that match one component of a pattern, sorted.
fn matching(folder: &OwnedFd, pattern: &[u8]) -> nix::Result<Vec<Vec<u8>>> {
    let again = open_beneath(folder.as_fd(), b".", OFlag::O_DIRECTORY)?;
    let mut names = Vec::new();
    for entry in Dir::from_fd(again)?.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." && matches(pattern, name) {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a name matches a pattern in which `*` stands for any run of bytes. Linear in memory,
/// at most pattern times name in time: it never goes back further than the last `*`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut back) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(byte) if name.get(n) == Some(byte) => {
                p += 1;
                n += 1;
            }
            Some(_) | None => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    p = star + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

/// Sends exactly the bytes that the system said are there.
fn send(
    build: BorrowedFd<'_>,
    base: &str,
    path: &str,
    size_bytes: u64,
    to: &mut dyn Take,
) -> Result<(), Stop> {
    let full = format!("{base}/{path}");
    let fd = open_beneath(build, full.as_bytes(), OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
        .map_err(|error| fault(path.as_bytes(), error))?;
    if kind(&fstat(&fd).doing("looking at an output")?) != SFlag::S_IFREG {
        return rejected(path.as_bytes(), "changed its kind");
    }
    let mut file = File::from(fd);
    to.output(path, size_bytes)?;
    let mut buffer = vec![0; 256 << 10];
    let mut left = size_bytes;
    loop {
        let read = file.read(&mut buffer).doing("reading an output")?;
        if read as u64 > left {
            return rejected(path.as_bytes(), "grew while it was read");
        }
        if read == 0 {
            break;
        }
        left -= read as u64;
        to.bytes(&buffer[..read])?; // read <= buffer.len() by the contract of Read
    }
    if left > 0 {
        return rejected(path.as_bytes(), "shrank while it was read");
    }
    Ok(to.bytes(b"")?)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_run_and_nothing_else_is_special() {
        for (pattern, name, expected) in [
            ("a.tgz", "a.tgz", true),
            ("*.tgz", "a.tgz", true),
            ("*.tgz", ".tgz", true),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("*.tgz", "a.tgz.asc", false),
            ("a?c", "abc", false),
            ("[a]", "a", false),
            ("a", "", false),
            ("", "a", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
        let (pattern, name) = ("*a".repeat(100), "a".repeat(50_000) + "b");
        assert!(!matches(pattern.as_bytes(), name.as_bytes()));
    }
}
