//! Public keys as users name them: a PEM file, or the key itself.

use std::path::{Path, PathBuf};

use countersign_attest::key::{AnyPublicKey, KeyError, MAX_PEM_BYTES};

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

/// Takes `ed25519:…` or `ecdsa-p256:…`, or reads SubjectPublicKeyInfo in PEM.
///
/// # Errors
/// When it is neither.
pub fn read(text: &str) -> Result<AnyPublicKey, PublicKeyError> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let path = Path::new(text);
    let bytes = files::bounded(path, MAX_PEM_BYTES as u64)?;
    AnyPublicKey::from_pem(&bytes).map_err(|source| PublicKeyError::Key {
        path: path.to_owned(),
        source,
    })
}
