//! Writes the `.git` of an exported tree, for tools that ask git which files are the project's and at
//! which commit.
//!
//! It is made here and never copied: the commit and its trees, an index without file times, and a
//! detached `HEAD`. It has no history, no reference, no hook, no setting of a stranger, and no contents
//! of files, which are in the tree beside it. The same commit gives the same bytes everywhere: objects
//! are stored and not compressed.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use countersign_attest::digest::GitOid;
use git2::{Index, IndexEntry, IndexTime, ObjectType, Oid};

use super::error::{Fault, WatchError};
use super::mirror::Objects;
use super::object::EntryKind;

/// All of the configuration.
const CONFIG: &str = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n";
/// Most bytes of one stored block (RFC 1951 §3.2.4).
const BLOCK_BYTES: usize = 0xffff;

/// A `.git` that is being written.
pub(crate) struct GitForm<'a> {
    objects: &'a Objects,
    folder: PathBuf,
    index: Index,
}

impl<'a> GitForm<'a> {
    /// Begins with the commit, in a folder `.git` of `tree` that is made for it.
    ///
    /// # Errors
    /// A refusal when the commit cannot be read, a fault when writing fails.
    pub(crate) fn begin(
        objects: &'a Objects,
        commit: GitOid,
        root: GitOid,
        tree: &Path,
    ) -> Result<Self, WatchError> {
        let folder = tree.join(".git");
        for name in ["", "info", "objects", "refs", "refs/heads", "refs/tags"] {
            make_folder(&folder.join(name))?;
        }
        let head = format!("{commit}\n");
        write(&folder.join("HEAD"), head.as_bytes())?;
        write(&folder.join("config"), CONFIG.as_bytes())?;
        // the history ends here
        write(&folder.join("shallow"), head.as_bytes())?;
        let index = Index::open(&folder.join("index")).map_err(|error| failed(&error))?;
        let form = Self {
            objects,
            folder,
            index,
        };
        form.object(commit, ObjectType::Commit)?;
        form.folder(root)?;
        Ok(form)
    }

    /// Adds the object of a folder.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn folder(&self, oid: GitOid) -> Result<(), WatchError> {
        self.object(oid, ObjectType::Tree)
    }

    /// Adds a file, a link or a submodule to the index.
    ///
    /// # Errors
    /// As [`Self::begin`], and a fault when git's library refuses it.
    pub(crate) fn entry(
        &mut self,
        path: &Path,
        kind: EntryKind,
        oid: GitOid,
    ) -> Result<(), WatchError> {
        let mode = match kind {
            EntryKind::File => 0o100_644,
            EntryKind::Executable => 0o100_755,
            EntryKind::Link => {
                // git compares a link with its object, where it only takes the digest of a file
                self.object(oid, ObjectType::Blob)?;
                0o120_000
            }
            EntryKind::Submodule => 0o160_000,
            EntryKind::Folder => return Ok(()),
        };
        let id = Oid::from_bytes(oid.as_bytes()).map_err(|error| failed(&error))?;
        let never = IndexTime::new(0, 0);
        let entry = IndexEntry {
            ctime: never,
            mtime: never,
            dev: 0,
            ino: 0,
            mode,
            uid: 0,
            gid: 0,
            file_size: 0,
            id,
            flags: 0,
            flags_extended: 0,
            path: path.as_os_str().as_bytes().to_vec(),
        };
        self.index.add(&entry).map_err(|error| failed(&error))
    }

    /// Writes the index.
    ///
    /// # Errors
    /// A fault when that fails.
    pub(crate) fn end(mut self) -> Result<(), WatchError> {
        self.index.write().map_err(|error| failed(&error))
    }

    /// Copies an object as a loose one.
    fn object(&self, oid: GitOid, kind: ObjectType) -> Result<(), WatchError> {
        let object = self.objects.read_small(oid, kind)?;
        let data = object.data();
        let mut bytes = format!("{kind} {}\0", data.len()).into_bytes();
        bytes.extend_from_slice(data);
        let name = oid.to_string();
        let (start, rest) = name.split_at(2); // forty digits
        let folder = self.folder.join("objects").join(start);
        if !folder.exists() {
            make_folder(&folder)?;
        }
        let path = folder.join(rest);
        if path.exists() {
            return Ok(()); // a folder that is there twice
        }
        write(&path, &stored(&bytes))
    }
}

/// A zlib stream (RFC 1950) of stored blocks.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(BLOCK_BYTES).peekable();
    while let Some(block) = blocks.next() {
        stream.push(u8::from(blocks.peek().is_none()));
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX); // BLOCK_BYTES fit
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&(!length).to_le_bytes());
        stream.extend_from_slice(block);
    }
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65521;
        high = (high + low) % 65521;
    }
    stream.extend_from_slice(&(high << 16 | low).to_be_bytes());
    stream
}

fn make_folder(path: &Path) -> Result<(), WatchError> {
    DirBuilder::new()
        .mode(0o755)
        .create(path)
        .map_err(|error| Fault::io(format!("making {}", path.display()))(error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), WatchError> {
    let writing = || format!("writing {}", path.display());
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path);
    let mut file = opened.map_err(Fault::io(writing()))?;
    file.write_all(bytes).map_err(Fault::io(writing()))?;
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644);
    file.set_permissions(mode).map_err(Fault::io(writing()))
}

fn failed(error: &git2::Error) -> WatchError {
    Fault::Child(format!("cannot write an index: {}", error.message())).into()
}

#[cfg(test)]
mod tests {
    use super::stored;

    #[test]
    fn stored_streams_are_those_of_zlib() {
        // python3 -c 'import zlib; print(zlib.compress(b"abc", 0).hex())'
        assert_eq!(
            stored(b"abc"),
            [
                0x78, 0x01, 1, 3, 0, 0xfc, 0xff, b'a', b'b', b'c', 0x02, 0x4d, 0x01, 0x27
            ]
        );
        let long = stored(&vec![7; 0x1_0000]);
        assert_eq!(&long[2..7], [0, 0xff, 0xff, 0, 0]);
        assert_eq!(long.len(), 2 + 5 + 0xffff + 5 + 1 + 4);
    }
}
