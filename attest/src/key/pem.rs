//! Reads and writes key files: PKCS#8 and SubjectPublicKeyInfo for Ed25519 (RFC 8410) in PEM
//! (RFC 7468), as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them.
//!
//! There is no general DER parser: a key of a kind has one encoding, which is compared byte by byte.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{PrivateKey, PublicKey};
use crate::digest::Sha256;

/// Longest key file that is looked at, in bytes. Ours have less than 200.
pub const MAX_PEM_BYTES: usize = 16 << 10;

/// Everything before the 32 secret bytes in PKCS#8 version 1.
const PKCS8_V1: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
/// The same in version 2 (RFC 5958) with the public key as its only further field, in the two
/// spellings that are in use: a primitive context tag, and a constructed one around a BIT STRING.
const PKCS8_V2: &[u8] = b"\x30\x51\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
const V2_PUBLIC: &[u8] = b"\x81\x21\x00";
const PKCS8_V2_NESTED: &[u8] = b"\x30\x53\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
const V2_NESTED_PUBLIC: &[u8] = b"\xa1\x23\x03\x21\x00";
/// Everything before the 32 public bytes.
const SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// The same with the NULL parameter that some software writes against RFC 8410.
const SPKI_NULL: &[u8] = b"\x30\x2c\x30\x07\x06\x03\x2b\x65\x70\x05\x00\x03\x21\x00";
/// The same for ECDSA on the named curve P-256 (RFC 5480), before an uncompressed point.
pub(super) const P256_SPKI: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// The object identifier of Ed25519.
const OID: &[u8] = b"\x06\x03\x2b\x65\x70";

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Says why bytes are not a key that we use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Longer than any key file.
    #[error("a key file of more than {MAX_PEM_BYTES} bytes")]
    TooLong,
    /// There is no complete PEM block.
    #[error("no complete PEM block (-----BEGIN … to -----END …)")]
    NoPem,
    /// The block is the secret half encrypted under a pass phrase.
    #[error("an encrypted private key where a plain one is needed: openssl pkey -in OLD -out NEW")]
    Encrypted,
    /// A public key where a private one is needed, or the other way round.
    #[error("a {found} where a {wanted} is needed")]
    OtherHalf {
        /// What the block's label says.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// Another kind of key, or another container.
    #[error(
        "not an Ed25519 key in PKCS#8 or SubjectPublicKeyInfo; make one: countersign key new, or openssl genpkey -algorithm ed25519"
    )]
    OtherKind,
    /// Another kind of public key than anybody may speak with.
    #[error(
        "neither an Ed25519 key nor an ECDSA key on P-256 with its point uncompressed, in SubjectPublicKeyInfo"
    )]
    OtherPublicKind,
    /// The base64 or the DER inside is damaged or cut off.
    #[error("a damaged or truncated key")]
    Damaged,
    /// The file names a public key that does not belong to its secret.
    #[error("the public key in or beside the file does not belong to the private key")]
    Mismatch,
    /// Who holds the key outside of this process did not sign.
    #[error("{0}")]
    Elsewhere(String),
    /// A signature that was made just now does not verify; it is not used.
    #[error("a signature that does not verify under the public key; nothing is signed with it")]
    BadSignature,
    /// The cryptographic library refuses it.
    #[error("the cryptographic library refuses this key")]
    Rejected,
}

impl PrivateKey {
    /// Reads PKCS#8 in PEM, version 1 or 2, unencrypted.
    ///
    /// # Errors
    /// Says what else was found.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        Self::from_pkcs8(&decode(text, PRIVATE)?)
    }

    /// Reads PKCS#8 in DER, version 1 or 2.
    ///
    /// # Errors
    /// Says what else was found.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let (rest, middle) = if let Some(rest) = der.strip_prefix(PKCS8_V1) {
            (rest, None)
        } else if let Some(rest) = der.strip_prefix(PKCS8_V2) {
            (rest, Some(V2_PUBLIC))
        } else if let Some(rest) = der.strip_prefix(PKCS8_V2_NESTED) {
            (rest, Some(V2_NESTED_PUBLIC))
        } else {
            return Err(unlike(der));
        };
        let (seed, rest) = rest.split_first_chunk::<32>().ok_or(KeyError::Damaged)?;
        let key = Self::from_seed(Zeroizing::new(*seed))?;
        let named = match middle {
            None if rest.is_empty() => return Ok(key),
            None => None,
            Some(middle) => rest.strip_prefix(middle).and_then(PublicKey::from_slice),
        };
        match named {
            None => Err(KeyError::Damaged),
            Some(public) if public == key.public => Ok(key),
            Some(_) => Err(KeyError::Mismatch),
        }
    }

    /// Writes PKCS#8 version 1 in PEM, byte for byte as OpenSSL does.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        encode(&self.to_pkcs8()[..], PRIVATE)
    }

    /// Writes PKCS#8 version 1 in DER.
    #[must_use]
    pub fn to_pkcs8(&self) -> Zeroizing<[u8; 48]> {
        let mut der = Zeroizing::new([0u8; 48]);
        let (head, seed) = der.split_at_mut(PKCS8_V1.len());
        head.copy_from_slice(PKCS8_V1);
        seed.copy_from_slice(&self.seed[..]);
        der
    }
}

impl PublicKey {
    /// Reads SubjectPublicKeyInfo in PEM.
    ///
    /// # Errors
    /// Says what else was found.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let der = public_der(text)?;
        let rest = der
            .strip_prefix(SPKI)
            .or_else(|| der.strip_prefix(SPKI_NULL));
        match rest {
            Some(bytes) => Self::from_slice(bytes).ok_or(KeyError::Damaged),
            None => Err(unlike(&der)),
        }
    }

    /// Writes SubjectPublicKeyInfo in PEM with the NULL parameter without which in-toto's Rust software
    /// reads no key.
    #[must_use]
    pub fn to_pem_with_null(&self) -> String {
        encode(&[SPKI_NULL, self.as_bytes()].concat(), PUBLIC).to_string()
    }

    /// Writes SubjectPublicKeyInfo in PEM, byte for byte as OpenSSL does.
    #[must_use]
    pub fn to_pem(&self) -> String {
        public_pem(&spki(self))
    }
}

/// What stands in a public key's file, in DER.
pub(super) fn public_der(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    decode(text, PUBLIC)
}

/// Writes a public key's DER in PEM.
pub(super) fn public_pem(der: &[u8]) -> String {
    encode(der, PUBLIC).to_string()
}

/// The digest of a public key's DER as Sigstore bundles have it.
pub(super) fn digest_in_base64(der: &[u8]) -> String {
    STANDARD.encode(Sha256::of(der).as_bytes())
}

/// SubjectPublicKeyInfo in DER.
pub(super) fn spki(key: &PublicKey) -> Vec<u8> {
    [SPKI, key.as_bytes()].concat()
}

fn unlike(der: &[u8]) -> KeyError {
    if der.windows(OID.len()).take(16).any(|window| window == OID) {
        KeyError::Damaged
    } else {
        KeyError::OtherKind
    }
}

/// What stands in an encrypted private key, as bytes.
///
/// # Errors
/// When it is another kind of file.
pub fn unarmored_encrypted(text: &[u8]) -> Result<Vec<u8>, KeyError> {
    decode(text, ENCRYPTED).map(|der| der.to_vec())
}

/// Writes an encrypted private key in PEM.
#[must_use]
pub fn armored_encrypted(der: &[u8]) -> Zeroizing<String> {
    encode(der, ENCRYPTED)
}

/// Lines of 48 bytes, which are 64 characters.
fn encode(der: &[u8], label: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * der.len() + 128)); // never moved
    let _ = writeln!(text, "-----BEGIN {label}-----");
    for line in der.chunks(48) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    let _ = writeln!(text, "-----END {label}-----");
    text
}

/// Finds the first block and decodes it. Text before and after is allowed (RFC 7468 section 2).
fn decode(text: &[u8], wanted: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    if text.len() > MAX_PEM_BYTES {
        return Err(KeyError::TooLong);
    }
    let text = str::from_utf8(text).map_err(|_| KeyError::NoPem)?;
    let mut lines = text.lines().map(str::trim_end);
    let label = lines
        .find_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
        .ok_or(KeyError::NoPem)?;
    match label {
        _ if label == wanted => {}
        PRIVATE => {
            return Err(KeyError::OtherHalf {
                found: "private key",
                wanted: "public key",
            });
        }
        PUBLIC => {
            return Err(KeyError::OtherHalf {
                found: "public key",
                wanted: "private key",
            });
        }
        ENCRYPTED => return Err(KeyError::Encrypted),
        _ => return Err(KeyError::OtherKind),
    }
    let mut body = Zeroizing::new(String::with_capacity(text.len()));
    for line in lines {
        if line
            .strip_prefix("-----END ")
            .and_then(|l| l.strip_suffix("-----"))
            == Some(label)
        {
            return STANDARD
                .decode(body.as_bytes())
                .map(Zeroizing::new)
                .map_err(|_| KeyError::Damaged);
        }
        body.push_str(line.trim());
    }
    Err(KeyError::NoPem)
}
