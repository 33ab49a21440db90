//! Opens files of a source tree without following a link and without leaving the tree.

use std::fs::File;
use std::io::Read;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::InspectError;
use crate::plan::is_inside;

/// What came of looking for a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TreeFile {
    /// Its bytes.
    Read(Vec<u8>),
    /// It is not there, or a link or something else stands in its place, or it is too long.
    Unusable(&'static str),
}

/// Reads `path` below `tree`, at most `max_bytes` of it.
///
/// # Errors
/// When the system fails for another reason than what stands in the tree.
pub(super) fn read(
    tree: BorrowedFd<'_>,
    path: &str,
    max_bytes: u64,
) -> Result<TreeFile, InspectError> {
    let failed = |source: std::io::Error| InspectError::Tree {
        path: path.to_owned(),
        source,
    };
    if !is_inside(path) {
        return Ok(TreeFile::Unusable("leaves the source tree"));
    }
    let file = match open(tree, path) {
        Ok(file) => File::from(file),
        Err(Errno::ENOENT) => return Ok(TreeFile::Unusable("is not in the source tree")),
        Err(Errno::ELOOP | Errno::ENOTDIR) => {
            return Ok(TreeFile::Unusable("is behind a link or no folder"));
        }
        Err(Errno::ENAMETOOLONG | Errno::ENXIO) => {
            return Ok(TreeFile::Unusable("is not a regular file"));
        }
        Err(errno) => return Err(failed(errno.into())),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Ok(TreeFile::Unusable("is not a regular file"));
    }
    let mut bytes = Vec::new();
    let read = file
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes);
    if read.map_err(failed)? as u64 > max_bytes {
        return Ok(TreeFile::Unusable("is too long to be read"));
    }
    Ok(TreeFile::Read(bytes))
}

/// The names in a folder below `tree`, in order; none where there is no such folder.
///
/// # Errors
/// When the system fails for another reason than what stands in the tree.
pub(super) fn names(tree: BorrowedFd<'_>, folder: &str) -> Result<Vec<String>, InspectError> {
    let failed = |errno: Errno| InspectError::Tree {
        path: folder.to_owned(),
        source: errno.into(),
    };
    // the last part is opened as a folder too
    let opened = match open(tree, &format!("{folder}/.")) {
        Ok(opened) => opened,
        Err(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR) => return Ok(Vec::new()),
        Err(errno) => return Err(failed(errno)),
    };
    let mut names = Vec::new();
    for entry in Dir::from_fd(opened).map_err(failed)?.iter() {
        let entry = entry.map_err(failed)?;
        names.extend(entry.file_name().to_str().ok().map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}

/// Walks component by component; each is refused if it is a link. Non-blocking, so that a named pipe
/// in the tree cannot hold us.
fn open(tree: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let (folders, file) = match path.rsplit_once('/') {
        Some((folders, file)) => (Some(folders), file),
        None => (None, path),
    };
    let mut at: Option<OwnedFd> = None;
    for folder in folders.into_iter().flat_map(|folders| folders.split('/')) {
        let flags = flags | OFlag::O_DIRECTORY;
        at = Some(match &at {
            Some(parent) => openat(parent, folder, flags, Mode::empty())?,
            None => openat(tree, folder, flags, Mode::empty())?,
        });
    }
    match &at {
        Some(parent) => openat(parent, file, flags, Mode::empty()),
        None => openat(tree, file, flags, Mode::empty()),
    }
}
