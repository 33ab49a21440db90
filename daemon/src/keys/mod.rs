//! Key files: made, imported, read and shown. The one place that touches a stored secret.
//!
//! A private key is one file that only its owner can read, never overwritten, with the public key in
//! a file beside it. Everything here blocks and is short.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use countersign_attest::key::{KeyError, MAX_PEM_BYTES, PrivateKey, PublicKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::trouble::Trouble;

#[cfg(test)]
mod tests;

/// Says why a key file is not used, or not made. The texts name the path and the remedy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    /// The file is there already.
    #[error("{} is there already; a key is never overwritten", .0.display())]
    Exists(PathBuf),
    /// Others could read the secret.
    #[error("others may read the private key {} (mode {mode:o}): chmod 600 {}", path.display(), path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others could replace the files in the folder.
    #[error("others may write into the folder {} of a private key (mode {mode:o}): chmod 700 {}", path.display(), path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a regular file.
    #[error("the key {} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The content is not a key that we use.
    #[error("reading the key {}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What was found.
        #[source]
        source: KeyError,
    },
    /// The system refuses.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The system's random source fails.
    #[error("the system's random source fails")]
    Random,
}

impl KeyFileError {
    /// As the command line takes it: what the system refuses is a fault, all else is input.
    pub(crate) fn into_trouble(self) -> Trouble {
        match self {
            Self::Io { ref source, .. } if source.kind() != io::ErrorKind::NotFound => {
                Trouble::fault("key", self)
            }
            Self::Random => Trouble::fault("random", self),
            Self::Exists(_)
            | Self::Readable { .. }
            | Self::Folder { .. }
            | Self::NotAFile(_)
            | Self::Key { .. }
            | Self::Io { .. } => Trouble::refused("key", self),
        }
    }
}

/// Draws a secret from the system's random source.
///
/// # Errors
/// When that source fails.
pub(crate) fn generate() -> Result<PrivateKey, KeyFileError> {
    let mut seed = Zeroizing::new([0u8; 32]);
    SystemRandom::new()
        .fill(&mut seed[..])
        .map_err(|_| KeyFileError::Random)?;
    PrivateKey::from_seed(seed).map_err(|_| KeyFileError::Random)
}

/// Makes a new key file and the public one beside it; makes its folder where there is none.
///
/// # Errors
/// When either file exists, or the folder is open to others.
pub(crate) fn new(path: &Path) -> Result<PublicKey, KeyFileError> {
    store(path, &generate()?)
}

/// Copies a private key that other software made (`openssl genpkey -algorithm ed25519`) to a place
/// of ours.
///
/// # Errors
/// When `from` is not such a key or others can read it, and as [`new`].
pub(crate) fn import(from: &Path, to: &Path) -> Result<PublicKey, KeyFileError> {
    store(to, &load(from)?)
}

/// Reads a private key.
///
/// A symbolic link is followed, as deployments that mount secrets use them: the permissions of the
/// file behind it decide, looked at through the descriptor that is then read.
///
/// # Errors
/// When others can read it, or it is not an unencrypted Ed25519 key.
pub(crate) fn load(path: &Path) -> Result<PrivateKey, KeyFileError> {
    let (text, mode) = read(path)?;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Readable {
            path: path.to_owned(),
            mode,
        });
    }
    PrivateKey::from_pem(&text).map_err(|source| KeyFileError::Key {
        path: path.to_owned(),
        source,
    })
}

/// Looks whether a private key could be loaded, without reading it: for the host, which must not
/// hold the secret and wants to say early what is wrong.
///
/// # Errors
/// When it is not there, not a file, or others can read it.
pub(crate) fn check(path: &Path) -> Result<(), KeyFileError> {
    let found = fs::metadata(path).map_err(|source| KeyFileError::Io {
        doing: "looking for the key",
        path: path.to_owned(),
        source,
    })?;
    if !found.is_file() {
        return Err(KeyFileError::NotAFile(path.to_owned()));
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Readable {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// Reads a public key file, or the public half of a private one.
///
/// # Errors
/// When it is neither; a private key that others can read is refused here too.
pub(crate) fn show(path: &Path) -> Result<PublicKey, KeyFileError> {
    let (text, _) = read(path)?;
    match PublicKey::from_pem(&text) {
        Err(KeyError::OtherHalf { .. }) => load(path).map(|key| key.public()),
        other => other.map_err(|source| KeyFileError::Key {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Where the public key of a private key file is: `key.pem` has `key.pub.pem`.
#[must_use]
pub(crate) fn public_path(path: &Path) -> PathBuf {
    let stem = match path.extension() {
        Some(extension) if extension == "pem" => path.with_extension(""),
        Some(_) | None => path.to_owned(),
    };
    let mut name = stem.into_os_string();
    name.push(".pub.pem");
    name.into()
}

/// Writes both files. A crash in between leaves a private key without its public file, which
/// [`show`] can print again; it never leaves half a file under the final name of a private key that
/// was reported as made.
fn store(path: &Path, key: &PrivateKey) -> Result<PublicKey, KeyFileError> {
    let public = public_path(path);
    for file in [path, &public] {
        if fs::symlink_metadata(file).is_ok() {
            return Err(KeyFileError::Exists(file.to_owned()));
        }
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    private_folder(folder)?;
    create(path, 0o600, key.to_pem().as_bytes())?;
    create(&public, 0o644, key.public().to_pem().as_bytes())?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(failed("syncing the folder", folder))?;
    Ok(key.public())
}

fn private_folder(folder: &Path) -> Result<(), KeyFileError> {
    if !folder.exists() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(failed("making the folder", folder))?;
    }
    let found = fs::metadata(folder).map_err(failed("looking at the folder", folder))?;
    if found.mode() & 0o022 != 0 {
        return Err(KeyFileError::Folder {
            path: folder.to_owned(),
            mode: found.mode() & 0o7777,
        });
    }
    Ok(())
}

fn create(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), KeyFileError> {
    // create_new is O_EXCL, which follows no symbolic link
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    let mut file = match opened {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KeyFileError::Exists(path.to_owned()));
        }
        other => other.map_err(failed("making the key file", path))?,
    };
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // half a key helps nobody, and its name would block the next attempt
        let _ = fs::remove_file(path);
        return Err(failed("writing the key file", path)(error));
    }
    Ok(())
}

/// Reads a bounded regular file and its permission bits.
fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, u32), KeyFileError> {
    // before opening: opening a named pipe would wait for its writer
    let found = fs::metadata(path).map_err(failed("looking at the key", path))?;
    if !found.is_file() {
        return Err(KeyFileError::NotAFile(path.to_owned()));
    }
    let file = File::open(path).map_err(failed("opening the key", path))?;
    let opened = file
        .metadata()
        .map_err(failed("looking at the key", path))?;
    let limit = MAX_PEM_BYTES + 1; // one more, so that a longer file is refused as too long
    let mut text = Zeroizing::new(Vec::with_capacity(limit));
    let read = file.take(limit as u64).read_to_end(&mut text);
    read.map_err(failed("reading the key", path))?;
    Ok((text, opened.mode() & 0o7777))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |source| KeyFileError::Io {
        doing,
        path,
        source,
    }
}
