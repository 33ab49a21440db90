//! ECDSA keys on P-256 with SHA-256, for verifying what others signed. Nothing of ours is signed with one,
//! and no statement or declaration of ours is believed under one: see [`AnyPublicKey`](super::AnyPublicKey).

use std::fmt;
use std::str::FromStr;

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::pem::{self, KeyError};
use crate::digest::{Sha256, hex, unhex};

/// How its text begins.
pub(super) const PREFIX: &str = "ecdsa-p256:";
/// Bytes of an uncompressed point (SEC 1 section 2.3.3): 4, then both coordinates.
const POINT_BYTES: usize = 65;

/// A point that is written out in full, which is its only form here: two keys are one key exactly when these
/// bytes are equal. As text it is `ecdsa-p256:` and 130 hexadecimal characters.
///
/// Whether the point lies on the curve is looked at with each signature: under one that does not, none is good.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EcdsaP256Key([u8; POINT_BYTES]);

impl EcdsaP256Key {
    /// Takes an uncompressed point; `None` for any other encoding.
    #[must_use]
    pub fn from_point(bytes: &[u8]) -> Option<Self> {
        let point: [u8; POINT_BYTES] = bytes.try_into().ok()?;
        point.starts_with(&[4]).then_some(Self(point))
    }

    /// Reads SubjectPublicKeyInfo in PEM, with the curve by its name and the point uncompressed, as OpenSSL and
    /// key management services write it.
    ///
    /// # Errors
    /// Says what else was found.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let der = pem::public_der(text)?;
        let point = der
            .strip_prefix(pem::P256_SPKI)
            .ok_or(KeyError::OtherPublicKind)?;
        Self::from_point(point).ok_or(KeyError::Damaged)
    }

    /// Writes SubjectPublicKeyInfo in PEM, byte for byte as OpenSSL does.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::public_pem(&self.spki())
    }

    /// Whether this key made the signature, which is in DER, over exactly this message. Either of the two values
    /// of `s` that ECDSA has is good, since signers in use choose neither: what is signed has a name, its
    /// signature has none.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature_der: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)
            .verify(message, signature_der)
            .is_ok()
    }

    /// SHA-256 of the DER, in hexadecimal, as `openssl pkey -pubin -outform DER | sha256sum` prints it.
    #[must_use]
    pub fn key_id(&self) -> String {
        Sha256::of(&self.spki()).to_string()
    }

    /// The same digest in base64, as Sigstore bundles have it.
    #[must_use]
    pub fn spki_key_id(&self) -> String {
        pem::digest_in_base64(&self.spki())
    }

    fn spki(&self) -> Vec<u8> {
        [pem::P256_SPKI, &self.0].concat()
    }
}

impl FromStr for EcdsaP256Key {
    type Err = super::ParsePublicKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix(PREFIX)
            .and_then(unhex)
            .and_then(|bytes| Self::from_point(&bytes))
            .ok_or(super::ParsePublicKeyError)
    }
}

impl fmt::Display for EcdsaP256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", hex(&self.0))
    }
}

impl fmt::Debug for EcdsaP256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests;
