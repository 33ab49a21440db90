//! Key files: made, imported, read and shown. The one place that touches a stored secret.
//!
//! A private key is one file that only its owner can read, never overwritten, with the public key in
//! a file beside it. Everything here blocks and is short.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use countersign_attest::key::{AnyPublicKey, KeyError, PrivateKey, PublicKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use self::encrypted::EncryptionError;
use self::file::{create, failed, private_folder, read};
pub(crate) use self::passphrase::Passphrase;
use self::place::SecretFile;
use crate::trouble::Trouble;

mod encrypted;
mod file;
mod passphrase;
pub(crate) mod place;
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
    /// It is encrypted, and does not open.
    #[error("decrypting the key {}", path.display())]
    Encryption {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: EncryptionError,
    },
    /// It is encrypted, and nobody says its pass phrase.
    #[error("the key {} is encrypted: name the file of its pass phrase (`passphrase`), or use a terminal", path.display())]
    NoPassphrase {
        /// The file.
        path: PathBuf,
        /// Why nobody was asked.
        #[source]
        source: io::Error,
    },
    /// A pass phrase is empty, or was typed in two ways.
    #[error("{0}")]
    Passphrase(&'static str),
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
            | Self::Encryption { .. }
            | Self::NoPassphrase { .. }
            | Self::Passphrase(_)
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
    fill(&mut seed[..])?;
    PrivateKey::from_seed(seed).map_err(|_| KeyFileError::Random)
}

fn fill(bytes: &mut [u8]) -> Result<(), KeyFileError> {
    SystemRandom::new()
        .fill(bytes)
        .map_err(|_| KeyFileError::Random)
}

/// Makes a new key file and the public one beside it; makes its folder where there is none. With a pass
/// phrase the key is encrypted under it.
///
/// # Errors
/// When either file exists, or the folder is open to others.
pub(crate) fn new(path: &Path, passphrase: &Passphrase) -> Result<PublicKey, KeyFileError> {
    let phrase = passphrase.new_phrase(path)?;
    store(
        path,
        &generate()?,
        phrase.as_ref().map(|phrase| &phrase[..]),
    )
}

/// Copies a private key that other software made (`openssl genpkey -algorithm ed25519`) to a place
/// of ours. One that is encrypted stays so, under the same pass phrase.
///
/// # Errors
/// When `from` is not such a key or others can read it, and as [`new`].
pub(crate) fn import(
    from: &Path,
    to: &Path,
    passphrase: &Passphrase,
) -> Result<PublicKey, KeyFileError> {
    let (key, phrase) = open(&SecretFile::at(from.to_owned()), passphrase)?;
    store(to, &key, phrase.as_ref().map(|phrase| &phrase[..]))
}

/// Reads a private key, and decrypts it where it is encrypted.
///
/// # Errors
/// When others can read it, or it is not an Ed25519 key, or the pass phrase is another one, or the public
/// key beside it is another's: nothing else shows that an encrypted key is damaged.
pub(crate) fn load(file: &SecretFile, passphrase: &Passphrase) -> Result<PrivateKey, KeyFileError> {
    let (key, _) = open(file, passphrase)?;
    let beside = read(&public_path(file.path())).ok();
    let beside = beside.map(|(text, _)| PublicKey::from_pem(&text));
    match beside {
        Some(Ok(public)) if public != key.public() => Err(KeyFileError::Key {
            path: file.path().to_owned(),
            source: KeyError::Mismatch,
        }),
        Some(_) | None => Ok(key),
    }
}

/// A key, and the pass phrase that it is encrypted under.
type Opened = (PrivateKey, Option<Zeroizing<Vec<u8>>>);

fn open(file: &SecretFile, passphrase: &Passphrase) -> Result<Opened, KeyFileError> {
    let text = file.read()?;
    let wrong = |source| KeyFileError::Key {
        path: file.path().to_owned(),
        source,
    };
    match PrivateKey::from_pem(&text) {
        Ok(key) => Ok((key, None)),
        Err(KeyError::Encrypted) => {
            let phrase = passphrase.phrase(file.path())?;
            let key =
                encrypted::read(&text, &phrase).map_err(|source| KeyFileError::Encryption {
                    path: file.path().to_owned(),
                    source,
                })?;
            Ok((key, Some(phrase)))
        }
        Err(error) => Err(wrong(error)),
    }
}

/// Reads a public key file of ours, or the public half of a private one.
///
/// # Errors
/// When it is neither; a private key that others can read is refused here too.
pub(crate) fn show(path: &Path, passphrase: &Passphrase) -> Result<PublicKey, KeyFileError> {
    let key = show_any(path, passphrase)?.ed25519();
    key.ok_or_else(|| KeyFileError::Key {
        path: path.to_owned(),
        source: KeyError::OtherKind,
    })
}

/// Reads anybody's public key file, or the public half of a private key of ours.
///
/// # Errors
/// As [`show`].
pub(crate) fn show_any(path: &Path, passphrase: &Passphrase) -> Result<AnyPublicKey, KeyFileError> {
    let (text, _) = read(path)?;
    match AnyPublicKey::from_pem(&text) {
        Err(KeyError::OtherHalf { .. } | KeyError::Encrypted) => {
            load(&SecretFile::at(path.to_owned()), passphrase).map(|key| key.public().into())
        }
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
fn store(path: &Path, key: &PrivateKey, phrase: Option<&[u8]>) -> Result<PublicKey, KeyFileError> {
    let text = match phrase {
        None => key.to_pem(),
        Some(phrase) => {
            let (mut salt, mut iv) = ([0; 16], [0; 16]);
            fill(&mut salt)?;
            fill(&mut iv)?;
            encrypted::write(key, phrase, &salt, &iv)
        }
    };
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
    create(path, 0o600, text.as_bytes())?;
    create(&public, 0o644, key.public().to_pem().as_bytes())?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(failed("syncing the folder", folder))?;
    Ok(key.public())
}
