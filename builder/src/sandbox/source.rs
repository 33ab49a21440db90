//! Copies the source tree into a sandbox: the launcher reads and sends, the first process inside
//! writes.
//!
//! Nothing inside ever holds a descriptor of the host's tree, and what was sent is digested as it is
//! sent, so that the tree that a plan names is the tree that is built.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use countersign_attest::digest::{Hasher, Sha256};
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use serde::{Deserialize, Serialize};

use crate::channel::{Channel, ChannelError, Frame};
use crate::tree::{self, Entry, Order, TreeDigester, TreeError};

use super::fault::{Doing, SandboxError};

const ROOM: &str = "raise the limits disk_bytes and disk_inodes of the plan, or free memory";

/// One entry on its way in. Paths are raw bytes.
#[derive(Debug, Serialize, Deserialize)]
enum Item {
    Folder(Vec<u8>),
    /// Bytes follow, ended by an empty frame.
    File(Vec<u8>, bool),
    Link(Vec<u8>, Vec<u8>),
    Leave(Vec<u8>),
    End,
}

impl From<TreeError> for SandboxError {
    fn from(error: TreeError) -> Self {
        Self::System {
            what: error.to_string(),
            remedy: None,
            source: match error {
                TreeError::Io { source, .. } => source,
                TreeError::Kind { .. } | TreeError::Depth { .. } => {
                    io::Error::from(io::ErrorKind::InvalidData)
                }
            },
        }
    }
}

/// Sends a tree and returns the digest of what was sent. `None` sends an empty tree.
pub(crate) fn send(
    tree: Option<BorrowedFd<'_>>,
    order: Order,
    to: &mut Channel,
) -> Result<Sha256, SandboxError> {
    let mut digester = TreeDigester::default();
    if let Some(tree) = tree {
        tree::walk(tree, order, &mut |path, entry| {
            let name = path.to_vec();
            match entry {
                Entry::Folder => to.send(&Item::Folder(name))?,
                Entry::Leave => to.send(&Item::Leave(name))?,
                Entry::Link(target) => {
                    digester.link(path, &target);
                    to.send(&Item::Link(name, target))?;
                }
                Entry::File(file, executable) => {
                    let digest = send_file(path, file, executable, to)?;
                    digester.file(path, executable, digest);
                }
            }
            Ok::<_, SandboxError>(())
        })?;
    }
    to.send(&Item::End)?;
    Ok(digester.finish().sha256)
}

fn send_file(
    path: &[u8],
    file: File,
    executable: bool,
    to: &mut Channel,
) -> Result<Sha256, SandboxError> {
    to.send(&Item::File(path.to_vec(), executable))?;
    let mut hasher = Hasher::new();
    tree::pieces::<SandboxError>(path, file, &mut |piece| {
        hasher.update(piece);
        Ok(to.send_bytes(piece)?)
    })?;
    to.send_bytes(b"")?;
    Ok(hasher.finish().sha256)
}

/// Writes what [`send`] sends below `folder`, which must be new and our own. Modes are 0644 and
/// 0755, all times are `epoch`; the process has the build user's ids and umask 022.
pub(crate) fn receive(from: &mut Channel, folder: &Path, epoch: i64) -> Result<(), SandboxError> {
    loop {
        match from.receive_message()? {
            Item::Folder(path) => {
                fs::create_dir(below(folder, &path)).doing_or(&copying(&path), ROOM)?;
            }
            Item::File(path, executable) => {
                write_file(from, &below(folder, &path), executable)
                    .map_err(|error| error.at(&path))?;
                settle(&below(folder, &path), epoch)?;
            }
            Item::Link(path, target) => {
                let link = below(folder, &path);
                symlink(OsStr::from_bytes(&target), &link).doing_or(&copying(&path), ROOM)?;
                settle(&link, epoch)?;
            }
            Item::Leave(path) => settle(&below(folder, &path), epoch)?,
            Item::End => return settle(folder, epoch),
        }
    }
}

enum CopyError {
    Write(io::Error),
    Channel(ChannelError),
}

impl CopyError {
    fn at(self, path: &[u8]) -> SandboxError {
        match self {
            Self::Write(source) => SandboxError::System {
                what: copying(path),
                remedy: Some(ROOM),
                source,
            },
            Self::Channel(error) => error.into(),
        }
    }
}

fn write_file(from: &mut Channel, path: &Path, executable: bool) -> Result<(), CopyError> {
    let mode = if executable { 0o755 } else { 0o644 };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(CopyError::Write)?;
    loop {
        match from.receive().map_err(CopyError::Channel)? {
            Frame::Bytes(bytes) if bytes.is_empty() => return Ok(()),
            Frame::Bytes(bytes) => file.write_all(&bytes).map_err(CopyError::Write)?,
            Frame::Json(..) => {
                let error = ChannelError::Protocol("a message where bytes were due");
                return Err(CopyError::Channel(error));
            }
        }
    }
}

/// Sets the times of a file or folder.
pub(crate) fn settle(path: &Path, epoch: i64) -> Result<(), SandboxError> {
    let time = TimeSpec::new(epoch, 0);
    let flag = UtimensatFlags::NoFollowSymlink;
    utimensat(AT_FDCWD, path, &time, &time, flag).doing("setting the time of a source file")
}

fn below(folder: &Path, path: &[u8]) -> PathBuf {
    folder.join(OsStr::from_bytes(path))
}

fn copying(path: &[u8]) -> String {
    format!("copying {} into the sandbox", path.escape_ascii())
}
