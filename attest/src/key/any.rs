//! A key that somebody may speak with: whose word counts is a question of keys of either kind, what a kind
//! may sign is not. Ours sign statements, declarations and links; those of P-256 sign evidence of OSS Rebuild
//! alone, and there is no way from one to the other here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{EcdsaP256Key, KeyError, PublicKey, grouped};

/// A public key of one of the kinds that are known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AnyPublicKey {
    /// Ed25519.
    Ed25519(PublicKey),
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256(EcdsaP256Key),
}

/// The text is not a public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a public key is written ed25519: and 64, or ecdsa-p256: and 130 characters of lower-case hexadecimal"
)]
pub struct ParseAnyPublicKeyError;

impl AnyPublicKey {
    /// Reads SubjectPublicKeyInfo in PEM.
    ///
    /// # Errors
    /// Says what else was found.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        match PublicKey::from_pem(text) {
            Err(KeyError::OtherKind) => EcdsaP256Key::from_pem(text).map(Self::EcdsaP256),
            other => other.map(Self::Ed25519),
        }
    }

    /// Whether a text is meant to be a key rather than the name of a file.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("ed25519:") || text.starts_with(super::ecdsa::PREFIX)
    }

    /// 64 characters of hexadecimal that name it.
    #[must_use]
    pub fn key_id(&self) -> String {
        match self {
            Self::Ed25519(key) => key.key_id(),
            Self::EcdsaP256(key) => key.key_id(),
        }
    }

    /// The same in groups that people can compare.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        grouped(&self.key_id())
    }

    /// The key id of Sigstore bundles: base64 of the SHA-256 of the key's DER.
    #[must_use]
    pub fn spki_key_id(&self) -> String {
        match self {
            Self::Ed25519(key) => key.spki_key_id(),
            Self::EcdsaP256(key) => key.spki_key_id(),
        }
    }

    /// Writes SubjectPublicKeyInfo in PEM, byte for byte as OpenSSL does.
    #[must_use]
    pub fn to_pem(&self) -> String {
        match self {
            Self::Ed25519(key) => key.to_pem(),
            Self::EcdsaP256(key) => key.to_pem(),
        }
    }

    /// The key, where statements of ours can be signed with it.
    #[must_use]
    pub const fn ed25519(&self) -> Option<PublicKey> {
        match self {
            Self::Ed25519(key) => Some(*key),
            Self::EcdsaP256(_) => None,
        }
    }

    /// The key, where evidence of OSS Rebuild can be signed with it.
    #[must_use]
    pub const fn ecdsa_p256(&self) -> Option<EcdsaP256Key> {
        match self {
            Self::Ed25519(_) => None,
            Self::EcdsaP256(key) => Some(*key),
        }
    }
}

impl From<PublicKey> for AnyPublicKey {
    fn from(key: PublicKey) -> Self {
        Self::Ed25519(key)
    }
}

impl From<EcdsaP256Key> for AnyPublicKey {
    fn from(key: EcdsaP256Key) -> Self {
        Self::EcdsaP256(key)
    }
}

impl PartialEq<PublicKey> for AnyPublicKey {
    fn eq(&self, other: &PublicKey) -> bool {
        self.ed25519().as_ref() == Some(other)
    }
}

impl FromStr for AnyPublicKey {
    type Err = ParseAnyPublicKeyError;

    fn from_str(text: &str) -> Result<Self, ParseAnyPublicKeyError> {
        let ed25519 = text.parse().map(Self::Ed25519);
        ed25519
            .or_else(|_| text.parse().map(Self::EcdsaP256))
            .map_err(|_| ParseAnyPublicKeyError)
    }
}

impl TryFrom<String> for AnyPublicKey {
    type Error = ParseAnyPublicKeyError;

    fn try_from(text: String) -> Result<Self, ParseAnyPublicKeyError> {
        text.parse()
    }
}

impl From<AnyPublicKey> for String {
    fn from(key: AnyPublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for AnyPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ed25519(key) => key.fmt(f),
            Self::EcdsaP256(key) => key.fmt(f),
        }
    }
}

impl fmt::Debug for AnyPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
