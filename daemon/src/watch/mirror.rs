//! A repository's objects on disk, read by the git child: a mirror of ours, or a local source.
//!
//! Opens an object folder and nothing else of a repository: no configuration, no hook, no attribute
//! and no reference of it is ever read through libgit2. Objects are named by what they are: libgit2
//! digests each one when it reads it.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use countersign_attest::digest::GitOid;
use git2::{ErrorCode, Indexer, ObjectType, Odb, OdbObject, Oid};
use serde::{Deserialize, Serialize};

use super::error::{Fault, Refusal, WatchError, printable};
use super::object::{self, Commit};

/// Most tag objects between a tag and its commit.
pub(crate) const MAX_NESTED_TAGS: usize = 5;
/// Most bytes of a commit, a tag or a tree.
const MAX_HEADER_OBJECT: usize = 64 << 20;
/// How many commits a mirror remembers as complete.
const MAX_COMPLETE: usize = 16;
/// The file of a mirror with the commits whose trees are complete. It is git's own list of commits
/// without parents, so that git can read a mirror too.
const COMPLETE: &str = "shallow";

/// Where a tag leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peeled {
    /// The tag object, where there is one.
    pub tag_object: Option<GitOid>,
    /// The commit.
    pub commit: GitOid,
}

/// An object folder.
pub(crate) struct Objects {
    odb: Odb<'static>,
}

impl Objects {
    /// Opens `FOLDER/objects`, which must not point to other folders.
    ///
    /// # Errors
    /// A refusal when it borrows from elsewhere, a fault when it cannot be opened.
    pub(crate) fn open(repository: &Path) -> Result<Self, WatchError> {
        let folder = repository.join("objects");
        for borrowed in ["info/alternates", "info/http-alternates"] {
            if fs::symlink_metadata(folder.join(borrowed)).is_ok() {
                let detail = "it borrows objects from another repository (objects/info/alternates): use that one, or make a full clone with git clone --no-local".into();
                let path = repository.display().to_string();
                return Err(Refusal::LocalRepository { path, detail }.into());
            }
        }
        let what = || format!("opening the objects of {}", repository.display());
        let text = folder
            .to_str()
            .ok_or_else(|| Fault::Child(format!("cannot name {what}", what = what())))?;
        let odb = Odb::new().map_err(|error| git_fault(what(), &error))?;
        odb.add_disk_alternate(text)
            .map_err(|error| git_fault(what(), &error))?;
        Ok(Self { odb })
    }

    /// Kind and length of an object.
    ///
    /// # Errors
    /// A refusal when it is absent or damaged.
    pub(crate) fn header(&self, oid: GitOid) -> Result<(ObjectType, u64), WatchError> {
        let found = self.odb.read_header(name(oid));
        let (size, kind) = found.map_err(|error| unreadable(oid, &error))?;
        Ok((kind, size as u64))
    }

    /// An object of a kind, unless it is longer than `limit` bytes.
    ///
    /// # Errors
    /// A refusal when it is absent, damaged, too long or of another kind.
    pub(crate) fn read(
        &self,
        oid: GitOid,
        kind: ObjectType,
        limit: usize,
    ) -> Result<OdbObject<'_>, WatchError> {
        let (found, size) = self.header(oid)?;
        if found != kind {
            return Err(bad(oid, format!("it is a {found}, and a {kind} was due")));
        }
        if size > limit as u64 {
            return Err(Refusal::Limit {
                what: format!("object {oid}"),
                limit: limit as u64,
            }
            .into());
        }
        self.odb
            .read(name(oid))
            .map_err(|error| unreadable(oid, &error))
    }

    /// A commit, a tag or a tree.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_small(
        &self,
        oid: GitOid,
        kind: ObjectType,
    ) -> Result<OdbObject<'_>, WatchError> {
        self.read(oid, kind, MAX_HEADER_OBJECT)
    }

    /// The commit that an object leads to through at most [`MAX_NESTED_TAGS`] tags.
    ///
    /// # Errors
    /// A refusal when it leads to anything else.
    pub(crate) fn peel(&self, start: GitOid) -> Result<(Peeled, Commit), WatchError> {
        let mut oid = start;
        for _ in 0..=MAX_NESTED_TAGS {
            let (kind, _) = self.header(oid)?;
            match kind {
                ObjectType::Commit => {
                    let commit = self.read_small(oid, kind)?;
                    let commit = object::parse_commit(commit.data()).map_err(|e| bad(oid, e))?;
                    let tag_object = (oid != start).then_some(start);
                    return Ok((
                        Peeled {
                            tag_object,
                            commit: oid,
                        },
                        commit,
                    ));
                }
                ObjectType::Tag => {
                    let bytes = self.read_small(oid, kind)?;
                    let tag = object::parse_tag(bytes.data()).map_err(|e| bad(oid, e))?;
                    let (target, _) = self.header(tag.target)?;
                    if target.str().as_bytes() != tag.kind {
                        let claim = printable(&tag.kind);
                        return Err(bad(
                            oid,
                            format!("it claims to name a {claim}, and names a {target}"),
                        ));
                    }
                    oid = tag.target;
                }
                ObjectType::Any | ObjectType::Tree | ObjectType::Blob => {
                    let found = kind.str().to_owned();
                    return Err(Refusal::NotACommit {
                        oid: oid.to_string(),
                        found,
                    }
                    .into());
                }
            }
        }
        let what = format!("the chain of tags at {start}");
        Err(Refusal::Limit {
            what,
            limit: MAX_NESTED_TAGS as u64,
        }
        .into())
    }
}

/// Makes an empty mirror where there is none yet.
///
/// # Errors
/// A fault when the folders cannot be made.
pub(crate) fn prepare(mirror: &Path) -> Result<(), WatchError> {
    let what = || format!("making the mirror {}", mirror.display());
    for folder in ["objects/pack", "objects/info", "refs"] {
        fs::create_dir_all(mirror.join(folder)).map_err(Fault::io(what()))?;
    }
    let head = mirror.join("HEAD");
    if !head.exists() {
        fs::write(head, "ref: refs/heads/none\n").map_err(Fault::io(what()))?;
    }
    Ok(())
}

/// Adds a pack to a mirror, at most `max_bytes` of it, and removes what a killed child left there.
///
/// # Errors
/// A refusal when it is not a pack, or leans on objects that are not here.
pub(crate) fn import_pack(
    mirror: &Path,
    mut pack: impl Read,
    max_bytes: u64,
) -> Result<(), WatchError> {
    let damaged = |detail: String| {
        WatchError::from(Refusal::BadPack {
            detail: printable(detail.as_bytes()),
        })
    };
    let folder = mirror.join("objects/pack");
    remove_drafts(&folder)?;
    let mut start = [0u8; 12];
    pack.read_exact(&mut start)
        .map_err(|_| damaged("it is cut off".into()))?;
    let [b'P', b'A', b'C', b'K', _, _, _, _, count @ ..] = start else {
        return Err(damaged("it does not start as one".into()));
    };
    if count == [0; 4] {
        return Ok(()); // nothing new; libgit2 has no name for an empty pack
    }
    let here = Objects::open(mirror)?; // a thin pack leans on what is here already
    let mut indexer = Indexer::new(Some(&here.odb), &folder, 0o444, false)
        .map_err(|error| git_fault(format!("writing to {}", folder.display()), &error))?;
    indexer
        .write_all(&start)
        .map_err(|error| damaged(error.to_string()))?;
    let mut left = max_bytes;
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        let read = pack
            .read(&mut buffer)
            .map_err(Fault::io("reading the pack"))?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else {
            break;
        };
        left = left.checked_sub(read as u64).ok_or_else(|| {
            WatchError::from(Refusal::Limit {
                what: "the pack".into(),
                limit: max_bytes,
            })
        })?;
        indexer
            .write_all(piece)
            .map_err(|error| damaged(error.to_string()))?;
    }
    indexer
        .commit()
        .map(|_| ())
        .map_err(|error| damaged(error.message().to_owned()))
}

/// libgit2 writes a pack under this name until it is whole.
const DRAFT: &str = "pack_git2_";

fn remove_drafts(folder: &Path) -> Result<(), WatchError> {
    let what = || format!("tidying {}", folder.display());
    for entry in fs::read_dir(folder).map_err(Fault::io(what()))? {
        let entry = entry.map_err(Fault::io(what()))?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(DRAFT.as_bytes())
        {
            fs::remove_file(entry.path()).map_err(Fault::io(what()))?;
        }
    }
    Ok(())
}

/// The commits whose trees are complete in a mirror, newest last. Empty where nothing is known.
#[must_use]
pub(crate) fn complete_commits(mirror: &Path) -> Vec<GitOid> {
    let mut text = String::new();
    let read = fs::File::open(mirror.join(COMPLETE)).and_then(|file| {
        file.take(41 * MAX_COMPLETE as u64)
            .read_to_string(&mut text)
    });
    match read {
        Ok(_) => text.lines().filter_map(|line| line.parse().ok()).collect(),
        Err(_) => Vec::new(), // it only saves bytes on the way
    }
}

/// Remembers that a commit's tree is complete.
///
/// # Errors
/// A fault when the list cannot be written.
pub(crate) fn remember_complete(mirror: &Path, commit: GitOid) -> Result<(), WatchError> {
    let mut commits = complete_commits(mirror);
    commits.retain(|known| *known != commit);
    commits.push(commit);
    let skip = commits.len().saturating_sub(MAX_COMPLETE);
    let text: String = commits
        .iter()
        .skip(skip)
        .map(|oid| format!("{oid}\n"))
        .collect();
    let what = || format!("writing to {}", mirror.display());
    let draft = mirror.join("shallow.new");
    fs::write(&draft, text).map_err(Fault::io(what()))?;
    fs::rename(draft, mirror.join(COMPLETE)).map_err(Fault::io(what()))
}

pub(crate) fn bad(oid: GitOid, detail: impl ToString) -> WatchError {
    Refusal::BadObject {
        oid: oid.to_string(),
        detail: detail.to_string(),
    }
    .into()
}

fn name(oid: GitOid) -> Oid {
    Oid::from_bytes(oid.as_bytes()).unwrap_or(Oid::ZERO_SHA1) // 20 bytes are always a name
}

fn unreadable(oid: GitOid, error: &git2::Error) -> WatchError {
    if error.code() == ErrorCode::NotFound {
        return Refusal::Incomplete {
            oid: oid.to_string(),
        }
        .into();
    }
    bad(oid, printable(error.message().as_bytes()))
}

fn git_fault(what: String, error: &git2::Error) -> WatchError {
    let source = std::io::Error::other(printable(error.message().as_bytes()));
    Fault::Io { what, source }.into()
}
