//! The content-addressed store: files named by the SHA-256 of their bytes, on local disk.
//!
//! Nothing half-written is ever visible under a digest's name: bytes go to `tmp/`, are synced, made
//! read-only and renamed. Files are never changed, and never opened for writing again. What a blob
//! means and how long it is kept is for the caller.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use countersign_attest::digest::{Digests, Hasher, Sha256};
use tempfile::NamedTempFile;

/// Says why a blob could not be kept or read. Every one is our own fault, never a release's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// No space, no inodes or no quota is left.
    #[error("no space is left in {dir}; free some and try again")]
    Full {
        /// The store's folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No blob has this digest.
    #[error("no blob {0:?} is stored here")]
    Absent(Sha256),
    /// The bytes on disk are not what the name says: damage, or somebody wrote to them.
    #[error("the stored blob {expected:?} has other bytes ({found:?})")]
    Damaged {
        /// The name.
        expected: Sha256,
        /// The digest of what is there.
        found: Sha256,
    },
    /// The bytes to store could not be read from where they come.
    #[error("reading what is to be stored")]
    Input(#[source] io::Error),
    /// Anything else that the file system says.
    #[error("{what} in {dir}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The store's folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A folder of blobs.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    dir: PathBuf,
}

impl Blobs {
    /// Opens or makes a store. Leaves what a crash left in `tmp/`: see [`Blobs::sweep`].
    ///
    /// # Errors
    /// When the folders cannot be made.
    pub(crate) fn open(dir: impl Into<PathBuf>) -> Result<Self, BlobError> {
        let blobs = Self { dir: dir.into() };
        for name in ["sha256", "tmp"] {
            blobs.tried("making folders", fs::create_dir_all(blobs.dir.join(name)))?;
        }
        Ok(blobs)
    }

    /// Removes what unfinished writes left behind. Only for the one process that owns the store,
    /// before anything is written.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub(crate) fn sweep(&self) -> Result<(), BlobError> {
        let entries = self.tried("listing tmp", fs::read_dir(self.dir.join("tmp")))?;
        for entry in entries {
            let path = self.tried("listing tmp", entry)?.path();
            self.tried("removing an unfinished file", fs::remove_file(path))?;
        }
        Ok(())
    }

    /// Starts a blob whose digest is not known yet. Dropped without a commit, it is gone.
    ///
    /// # Errors
    /// When no file can be made.
    pub(crate) fn begin(&self) -> Result<Incoming, BlobError> {
        let file = NamedTempFile::new_in(self.dir.join("tmp"));
        let file = self.tried("making a file", file)?;
        Ok(Incoming {
            blobs: self.clone(),
            file,
        })
    }

    /// Stores everything that `reader` yields. Storing the same bytes again changes nothing.
    ///
    /// # Errors
    /// [`BlobError::Input`] when `reader` fails, else the store's own trouble.
    pub(crate) fn put(&self, mut reader: impl Read) -> Result<Digests, BlobError> {
        let mut incoming = self.begin()?;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0u8; 1 << 17];
        loop {
            let piece = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => &buffer[..read], // read <= buffer.len() by the contract of Read
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(BlobError::Input(error)),
            };
            hasher.update(piece);
            self.tried("writing", incoming.file.write_all(piece))?;
        }
        let digests = hasher.finish();
        incoming.commit(&digests)?;
        Ok(digests)
    }

    /// Opens a blob for reading, trusting its name. See [`Blobs::check`].
    ///
    /// # Errors
    /// [`BlobError::Absent`], or the file system's trouble.
    pub(crate) fn file(&self, sha256: &Sha256) -> Result<File, BlobError> {
        match File::open(self.path(sha256)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(BlobError::Absent(*sha256))
            }
            result => self.tried("opening a blob", result),
        }
    }

    /// Reads a blob to its end and compares it with its name.
    ///
    /// # Errors
    /// [`BlobError::Damaged`] when the bytes are others, [`BlobError::Absent`] when there are none.
    pub(crate) fn check(&self, sha256: &Sha256) -> Result<Digests, BlobError> {
        let file = self.file(sha256)?;
        let digests = self.tried("reading a blob", Digests::of_reader(file))?;
        if digests.sha256 == *sha256 {
            Ok(digests)
        } else {
            Err(BlobError::Damaged {
                expected: *sha256,
                found: digests.sha256,
            })
        }
    }

    /// Reads a small blob into memory and compares it with its name.
    ///
    /// # Errors
    /// As [`Blobs::check`]; a blob longer than `limit_bytes` is an error too.
    pub(crate) fn bytes(&self, sha256: &Sha256, limit_bytes: u64) -> Result<Vec<u8>, BlobError> {
        let mut bytes = Vec::new();
        let mut file = self.file(sha256)?.take(limit_bytes.saturating_add(1));
        self.tried("reading a blob", file.read_to_end(&mut bytes))?;
        if bytes.len() as u64 > limit_bytes {
            let error = io::Error::from(io::ErrorKind::FileTooLarge);
            return self.tried("reading a blob into memory", Err(error));
        }
        let found = Sha256::of(&bytes);
        if found == *sha256 {
            Ok(bytes)
        } else {
            Err(BlobError::Damaged {
                expected: *sha256,
                found,
            })
        }
    }

    /// Where a blob is, or would be.
    pub(crate) fn path(&self, sha256: &Sha256) -> PathBuf {
        let name = sha256.to_string();
        let (shelf, _) = name.split_at(2); // 64 ASCII characters
        self.dir.join("sha256").join(shelf).join(&name)
    }

    fn tried<T>(&self, what: &'static str, result: io::Result<T>) -> Result<T, BlobError> {
        result.map_err(|source| {
            let dir = self.dir.clone();
            if is_full(&source) {
                BlobError::Full { dir, source }
            } else {
                BlobError::Io { what, dir, source }
            }
        })
    }
}

/// Whether the system says that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A blob on its way in.
#[derive(Debug)]
pub(crate) struct Incoming {
    blobs: Blobs,
    file: NamedTempFile,
}

impl Incoming {
    /// A writer onto the unfinished file for code that may not block. Whoever writes takes the
    /// digests on the way and flushes at the end.
    ///
    /// # Errors
    /// When no more files can be opened.
    pub(crate) fn sink(&self) -> Result<tokio::fs::File, BlobError> {
        let file = self
            .blobs
            .tried("opening a file", self.file.as_file().try_clone())?;
        Ok(tokio::fs::File::from_std(file))
    }

    /// Makes the blob visible under its digest: synced, read-only, renamed. Blocks on the disk.
    /// `digests` are those of exactly the bytes that were written.
    ///
    /// # Errors
    /// When the disk refuses; nothing is visible then.
    pub(crate) fn commit(self, digests: &Digests) -> Result<(), BlobError> {
        let Self { blobs, file } = self;
        let target = blobs.path(&digests.sha256);
        let shelf = target.parent().unwrap_or(&blobs.dir); // path() always has a parent
        blobs.tried("making folders", fs::create_dir_all(shelf))?;
        let mode = Permissions::from_mode(0o444);
        blobs.tried("setting a mode", file.as_file().set_permissions(mode))?;
        blobs.tried("syncing", file.as_file().sync_all())?;
        // a rename over an equal blob also heals one that the disk had damaged
        blobs.tried("renaming", file.persist(&target).map_err(|e| e.error))?;
        for dir in [shelf, &blobs.dir.join("sha256")] {
            blobs.tried("syncing a folder", sync_dir(dir))?;
        }
        Ok(())
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests;
