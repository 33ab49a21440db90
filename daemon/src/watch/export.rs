//! From a commit to a folder: the tree as it is in git's objects, and nothing of git.
//!
//! Runs in the git child. Bytes are written as they are: no filter, no end-of-line conversion, no
//! substitution, no submodule, no large-file fetch. The folder is new and ours alone, so that no
//! link of the tree can lead a later write out of it.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use countersign_attest::digest::GitOid;
use countersign_attest::time::Timestamp;
use git2::ObjectType;
use serde::{Deserialize, Serialize};

use super::error::{Fault, Refusal, WatchError, printable};
use super::git_form::GitForm;
use super::mirror::{Objects, Peeled, bad};
use super::object::{EntryKind, parse_tree};
use super::signature::{self, TagSignature};
use crate::config::project::{self, Project};

/// Longest path of an entry in bytes, and longest target of a link.
const MAX_PATH: usize = 4095;
/// How many submodules or pointers are named in an answer.
const MAX_NAMED: usize = 1000;
/// What a pointer file of the large-file extension starts with.
const LFS: &[u8] = b"version https://git-lfs";

/// What a tree may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TreeLimits {
    /// Files, links and folders.
    pub entries: u64,
    /// Bytes of all files and links.
    pub bytes: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Folders within folders.
    pub depth: u32,
}

impl Default for TreeLimits {
    fn default() -> Self {
        Self {
            entries: 400_000,
            bytes: 8 << 30,
            file_bytes: 512 << 20,
            depth: 64,
        }
    }
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exported {
    /// The tag object, where the tag is annotated.
    pub tag_object: Option<GitOid>,
    /// What the tag object bears, where it is signed.
    pub signature: Option<TagSignature>,
    /// The commit.
    pub commit: GitOid,
    /// Its tree.
    pub tree: GitOid,
    /// The committer's time.
    pub commit_time: Timestamp,
    /// Paths at which other repositories belong, which were not fetched. At most 1000 are named.
    pub submodules: Vec<String>,
    /// Paths of files whose content lies elsewhere. At most 1000 are named.
    pub lfs_pointers: Vec<String>,
    /// What the project says of itself in a file at the top, read here; or why that cannot be used.
    pub project: Option<Result<Project, String>>,
    /// Files and links written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What the walk comes by.
enum Visit<'a> {
    Folder {
        path: &'a Path,
        oid: GitOid,
    },
    File {
        path: &'a Path,
        kind: EntryKind,
        oid: GitOid,
    },
    Submodule {
        path: &'a Path,
        oid: GitOid,
    },
}

/// Walks a tree in git's order, under limits, and knows of every blob that it exists.
struct Walk<'a> {
    objects: &'a Objects,
    limits: TreeLimits,
    entries: u64,
    files: u64,
    bytes: u64,
}

/// Checks that a commit's whole tree is there and within limits.
///
/// # Errors
/// A refusal that names the object.
pub(crate) fn check_complete(
    objects: &Objects,
    oid: GitOid,
    limits: TreeLimits,
) -> Result<Peeled, WatchError> {
    let (peeled, commit) = objects.peel(oid)?;
    Walk::new(objects, limits).tree(commit.tree, Path::new(""), 0, &mut |_| Ok(()))?;
    Ok(peeled)
}

/// Writes the tree that a tag or commit leads to into a folder that exists and is empty; with a `.git`
/// that is made for it ([`super::git_form`]), where one is wanted.
///
/// # Errors
/// A refusal when the tree is not acceptable, a fault when writing fails; the folder then holds a part
/// of it and must be removed.
pub(crate) fn export(
    objects: &Objects,
    oid: GitOid,
    into: &Path,
    limits: TreeLimits,
    with_git: bool,
) -> Result<Exported, WatchError> {
    let what = || format!("reading {}", into.display());
    if fs::read_dir(into)
        .map_err(Fault::io(what()))?
        .next()
        .is_some()
    {
        return Err(Fault::Child(format!(
            "was to write into {}, which is not empty",
            into.display()
        ))
        .into());
    }
    let (peeled, commit) = objects.peel(oid)?;
    let (mut submodules, mut lfs_pointers) = (Vec::new(), Vec::new());
    let mut project = None;
    let mut git = match with_git {
        true => Some(GitForm::begin(objects, peeled.commit, commit.tree, into)?),
        false => None,
    };
    let mut walk = Walk::new(objects, limits);
    walk.tree(commit.tree, Path::new(""), 0, &mut |visit| {
        match visit {
            Visit::Folder { path, oid } => {
                make_folder(&into.join(path))?;
                if let Some(git) = &git {
                    git.folder(oid)?;
                }
            }
            Visit::Submodule { path, oid } => {
                if let Some(git) = &mut git {
                    git.entry(path, EntryKind::Submodule, oid)?;
                }
                // as git leaves it where submodules are not fetched: an empty folder
                make_folder(&into.join(path))?;
                note(&mut submodules, path);
            }
            Visit::File { path, kind, oid } => {
                let limit = usize::try_from(limits.file_bytes).unwrap_or(usize::MAX);
                let blob = objects.read(oid, ObjectType::Blob, limit)?;
                write(&into.join(path), kind, oid, blob.data())?;
                if let Some(git) = &mut git {
                    git.entry(path, kind, oid)?;
                }
                if path == Path::new(project::PATH) && kind != EntryKind::Link {
                    project = Some(project::read(blob.data()));
                }
                if blob.len() < 1024 && blob.data().starts_with(LFS) {
                    note(&mut lfs_pointers, path);
                }
            }
        }
        Ok(())
    })?;
    let (files, bytes) = (walk.files, walk.bytes);
    if let Some(git) = git {
        git.end()?;
    }
    Ok(Exported {
        tag_object: peeled.tag_object,
        signature: match peeled.tag_object {
            Some(oid) => signature::split(objects.read_small(oid, ObjectType::Tag)?.data()),
            None => None,
        },
        commit: peeled.commit,
        tree: commit.tree,
        commit_time: commit.time,
        submodules,
        lfs_pointers,
        project,
        files,
        bytes,
    })
}

impl<'a> Walk<'a> {
    const fn new(objects: &'a Objects, limits: TreeLimits) -> Self {
        Self {
            objects,
            limits,
            entries: 0,
            files: 0,
            bytes: 0,
        }
    }

    fn tree(
        &mut self,
        oid: GitOid,
        folder: &Path,
        depth: u32,
        visit: &mut dyn FnMut(Visit<'_>) -> Result<(), WatchError>,
    ) -> Result<(), WatchError> {
        if depth > self.limits.depth {
            return Err(over("the depth of the tree", self.limits.depth.into()));
        }
        let tree = self.objects.read_small(oid, ObjectType::Tree)?;
        for entry in parse_tree(tree.data()).map_err(|error| bad(oid, error))? {
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(over("the number of files and folders", self.limits.entries));
            }
            let path: PathBuf = folder.join(std::ffi::OsStr::from_bytes(entry.name));
            if path.as_os_str().len() > MAX_PATH {
                return Err(over("the length of a path", MAX_PATH as u64));
            }
            match entry.kind {
                EntryKind::Submodule => visit(Visit::Submodule {
                    path: &path,
                    oid: entry.oid,
                })?,
                EntryKind::Folder => {
                    visit(Visit::Folder {
                        path: &path,
                        oid: entry.oid,
                    })?;
                    self.tree(entry.oid, &path, depth + 1, visit)?;
                }
                kind @ (EntryKind::File | EntryKind::Executable | EntryKind::Link) => {
                    self.count(entry.oid)?;
                    visit(Visit::File {
                        path: &path,
                        kind,
                        oid: entry.oid,
                    })?;
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, oid: GitOid) -> Result<(), WatchError> {
        let (kind, size) = self.objects.header(oid)?;
        if kind != ObjectType::Blob {
            return Err(bad(oid, format!("it is a {kind} where a file was due")));
        }
        if size > self.limits.file_bytes {
            return Err(over("the size of a file", self.limits.file_bytes));
        }
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.bytes {
            return Err(over("the size of the tree", self.limits.bytes));
        }
        Ok(())
    }
}

fn make_folder(path: &Path) -> Result<(), WatchError> {
    // fails where anything is already, a link included
    DirBuilder::new()
        .mode(0o755)
        .create(path)
        .map_err(writing(path))?;
    fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(writing(path)) // whatever the umask
}

fn write(path: &Path, kind: EntryKind, oid: GitOid, bytes: &[u8]) -> Result<(), WatchError> {
    let mode = match kind {
        EntryKind::Link => {
            if bytes.is_empty() || bytes.len() > MAX_PATH || bytes.contains(&0) {
                return Err(bad(oid, "it is no target of a link"));
            }
            return symlink(std::ffi::OsStr::from_bytes(bytes), path).map_err(writing(path));
        }
        EntryKind::Executable => 0o755,
        EntryKind::File | EntryKind::Folder | EntryKind::Submodule => 0o644,
    };
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    let mut file = opened.map_err(writing(path))?;
    file.write_all(bytes).map_err(writing(path))?;
    file.set_permissions(Permissions::from_mode(mode))
        .map_err(writing(path))
}

fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> WatchError {
    Fault::io(format!(
        "writing {}",
        printable(path.as_os_str().as_bytes())
    ))
}

fn note(list: &mut Vec<String>, path: &Path) {
    if list.len() < MAX_NAMED {
        list.push(path.to_string_lossy().into_owned());
    }
}

fn over(what: &str, limit: u64) -> WatchError {
    Refusal::Limit {
        what: what.into(),
        limit,
    }
    .into()
}
