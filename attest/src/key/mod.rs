//! Ed25519 keys: signing, verifying, the names of keys. The files around them are in [`pem`], the keys of
//! others that are of another kind in [`ecdsa`], and what has a key of either kind in [`any`].
//!
//! A secret is never printed, compared or copied out; only [`PrivateKey::to_pem`] writes it, for the
//! one place that stores it.

use std::fmt;
use std::str::FromStr;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::digest::{Sha256, hex, unhex};

mod any;
mod ecdsa;
mod pem;
#[cfg(test)]
mod tests;

pub use any::{AnyPublicKey, ParseAnyPublicKeyError};
pub use ecdsa::EcdsaP256Key;
pub use pem::{KeyError, MAX_PEM_BYTES, armored_encrypted, unarmored_encrypted};

/// An Ed25519 signature (RFC 8032). The same key and message always give the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Takes the bytes of a signature; `None` when there are not 64.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

/// Whoever can sign with one key, which may be kept outside of this process.
pub trait Sign {
    /// The public half.
    fn public(&self) -> PublicKey;

    /// Signs a message. The result is not believed: [`signed`] looks at it.
    ///
    /// # Errors
    /// When the key cannot be used.
    fn sign(&self, message: &[u8]) -> Result<Signature, KeyError>;
}

/// A signature on a message that verifies.
///
/// # Errors
/// When there is none.
pub fn signed(key: &dyn Sign, message: &[u8]) -> Result<Signature, KeyError> {
    let signature = key.sign(message)?;
    if key.public().verifies(message, &signature) {
        Ok(signature)
    } else {
        Err(KeyError::BadSignature)
    }
}

/// A secret key and its public half. The secret is wiped from memory when the value goes away.
pub struct PrivateKey {
    seed: Zeroizing<[u8; 32]>,
    public: PublicKey,
}

impl PrivateKey {
    /// Takes the 32 secret bytes, which must come from the system's random source.
    ///
    /// # Errors
    /// When the cryptographic library refuses them, which it does for no seed known.
    pub fn from_seed(seed: Zeroizing<[u8; 32]>) -> Result<Self, KeyError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(&seed[..]).map_err(|_| KeyError::Rejected)?;
        let public = PublicKey::from_slice(pair.public_key().as_ref()).ok_or(KeyError::Rejected)?;
        Ok(Self { seed, public })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs a message.
    ///
    /// # Errors
    /// When the cryptographic library refuses the key, which it did not when the key was made.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(&self.seed[..]).map_err(|_| KeyError::Rejected)?;
        Signature::from_slice(pair.sign(message).as_ref()).ok_or(KeyError::Rejected)
    }
}

impl Sign for PrivateKey {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        Self::sign(self, message)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {:?})", self.public)
    }
}

/// A public key: 32 bytes. Two keys are one key exactly when these bytes are equal. As text it is
/// `ed25519:` and 64 hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

/// The text is not a public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a public key is written ed25519: and 64 characters of lower-case hexadecimal")]
pub struct ParsePublicKeyError;

impl PublicKey {
    /// Takes the raw bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this key made the signature over exactly this message.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, &signature.0)
            .is_ok()
    }

    /// The key id of in-toto and securesystemslib: SHA-256 over the canonical JSON of the key.
    #[must_use]
    pub fn key_id(&self) -> String {
        let text = format!(
            r#"{{"keytype":"ed25519","keyval":{{"public":"{}"}},"scheme":"ed25519"}}"#,
            hex(&self.0)
        );
        Sha256::of(text.as_bytes()).to_string()
    }

    /// The key id of older in-toto software, which counts two more fields of the key.
    #[must_use]
    pub fn legacy_key_id(&self) -> String {
        let text = format!(
            r#"{{"keyid_hash_algorithms":["sha256","sha512"],"keytype":"ed25519","keyval":{{"public":"{}"}},"scheme":"ed25519"}}"#,
            hex(&self.0)
        );
        Sha256::of(text.as_bytes()).to_string()
    }

    /// The key id of Sigstore bundles: base64 of the SHA-256 of the key's DER.
    #[must_use]
    pub fn spki_key_id(&self) -> String {
        pem::digest_in_base64(&pem::spki(self))
    }

    /// All 256 bits of [`Self::key_id`] in groups that people can compare.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        grouped(&self.key_id())
    }
}

/// Hexadecimal in groups that people can compare.
fn grouped(id: &str) -> String {
    let groups: Vec<&str> = (0..id.len())
        .step_by(4)
        .filter_map(|at| id.get(at..at + 4))
        .collect();
    groups.join(" ")
}

impl FromStr for PublicKey {
    type Err = ParsePublicKeyError;
    fn from_str(text: &str) -> Result<Self, ParsePublicKeyError> {
        text.strip_prefix("ed25519:")
            .and_then(unhex)
            .and_then(|bytes| Self::from_slice(&bytes))
            .ok_or(ParsePublicKeyError)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = ParsePublicKeyError;
    fn try_from(text: String) -> Result<Self, ParsePublicKeyError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}", hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
