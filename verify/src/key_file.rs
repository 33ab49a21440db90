//! Public keys as users name them: a PEM file, or the key itself.

use std::path::{Path, PathBuf};

use countersign_attest::key::{KeyError, MAX_PEM_BYTES, PublicKey};

use crate::files;

/// Says why there is no public key.
#[derive(Debug, thiserror::Error)]
pub enum PublicKeyError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] files::ReadError),
    /// The file is something else.
    #[error("reading the public key {}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What was found.
        #[source]
        source: KeyError,
    },
}

/// Takes `ed25519:…`, or reads SubjectPublicKeyInfo in PEM.
///
/// # Errors
/// When it is neither.
pub fn read(text: &str) -> Result<PublicKey, PublicKeyError> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let path = Path::new(text);
    let bytes = files::bounded(path, MAX_PEM_BYTES as u64)?;
    PublicKey::from_pem(&bytes).map_err(|source| PublicKeyError::Key {
        path: path.to_owned(),
        source,
    })
}
