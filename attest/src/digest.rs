//! Digests of bytes and the names git gives to objects. The one home of `sha2`.
//!
//! Each kind of digest is its own fixed-size type, so that one cannot stand where another is meant.
//! Text is lower-case hexadecimal; parsing refuses anything else.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// Says why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseDigestError {
    /// The number of hexadecimal characters is not what the algorithm needs.
    #[error("a {kind} digest has {expected} hexadecimal characters, this text has {found}")]
    Length {
        /// The algorithm.
        kind: &'static str,
        /// Characters that it needs.
        expected: usize,
        /// Characters that were there.
        found: usize,
    },
    /// A character is not one of `0-9a-f`.
    #[error("a {0} digest is written in lower-case hexadecimal")]
    Character(&'static str),
    /// The algorithm prefix is absent or not one that we use.
    #[error("a digest starts with sha256: or sha512:")]
    Prefix,
}

/// Writes bytes as lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char); // a nibble is below 16
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

/// Reads lower-case hexadecimal; `None` for odd length or another character.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?))
        .collect()
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident, $length:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; $length]);

        impl $name {
            /// Wraps the raw bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, ParseDigestError> {
                if text.len() != $length * 2 {
                    return Err(ParseDigestError::Length {
                        kind: $kind,
                        expected: $length * 2,
                        found: text.chars().count(),
                    });
                }
                let bytes = unhex(text).ok_or(ParseDigestError::Character($kind))?;
                bytes.try_into().map(Self).map_err(|_| ParseDigestError::Character($kind))
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseDigestError;
            fn try_from(text: String) -> Result<Self, ParseDigestError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(digest: $name) -> Self {
                digest.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{self}", $kind)
            }
        }
    };
}

digest_type!(
    /// A SHA-256 digest (FIPS 180-4).
    Sha256, 32, "sha256"
);
digest_type!(
    /// A SHA-512 digest (FIPS 180-4).
    Sha512, 64, "sha512"
);
digest_type!(
    /// The name of a git object in a SHA-1 repository: a commit, a tree, a tag or a blob.
    GitOid, 20, "git"
);

impl Sha256 {
    /// Digests bytes that are already in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Digests everything that `reader` yields.
    ///
    /// # Errors
    /// When reading fails.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut hasher = Sha256Hasher::new();
        let mut buffer = vec![0u8; 1 << 17];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(read) => hasher.update(&buffer[..read]), // read <= buffer.len() by the contract of Read
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Takes a SHA-256 alone of bytes that pass by, for those who need no other digest of them.
#[derive(Clone, Default)]
pub struct Sha256Hasher(sha2::Sha256);

impl Sha256Hasher {
    /// Starts with no bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Ends and yields the digest of all bytes added.
    #[must_use]
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

/// A digest as users write it: `sha256:…` or `sha512:…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyDigest {
    /// `sha256:…`
    Sha256(Sha256),
    /// `sha512:…`
    Sha512(Sha512),
}

impl FromStr for AnyDigest {
    type Err = ParseDigestError;
    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        match text.split_once(':') {
            Some(("sha256", rest)) => rest.parse().map(Self::Sha256),
            Some(("sha512", rest)) => rest.parse().map(Self::Sha512),
            _ => Err(ParseDigestError::Prefix),
        }
    }
}

/// The digests and the length of one file, all taken in one pass over its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digests {
    /// SHA-256 of the bytes.
    pub sha256: Sha256,
    /// SHA-512 of the bytes.
    pub sha512: Sha512,
    /// Number of bytes.
    pub size_bytes: u64,
}

impl Digests {
    /// Digests bytes that are already in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Digests everything that `reader` yields.
    ///
    /// # Errors
    /// When reading fails.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut hasher = Hasher::new();
        let mut buffer = vec![0u8; 1 << 17];
        loop {
            let read = reader.read(&mut buffer)?;
            if read == 0 {
                return Ok(hasher.finish());
            }
            hasher.update(&buffer[..read]); // read <= buffer.len() by the contract of Read
        }
    }
}

/// Takes [`Digests`] of bytes that pass by. Also a [`Write`] that keeps nothing.
#[derive(Clone, Default)]
pub struct Hasher {
    sha256: sha2::Sha256,
    sha512: sha2::Sha512,
    size_bytes: u64,
}

impl Hasher {
    /// Starts with no bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.sha512.update(bytes);
        self.size_bytes += bytes.len() as u64;
    }

    /// Ends and yields the digests of all bytes added.
    #[must_use]
    pub fn finish(self) -> Digests {
        Digests {
            sha256: Sha256(self.sha256.finalize().into()),
            sha512: Sha512(self.sha512.finalize().into()),
            size_bytes: self.size_bytes,
        }
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_match_the_published_vectors() {
        let digests = Digests::of(b"abc");
        assert_eq!(
            digests.sha256.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(
            digests
                .sha512
                .to_string()
                .starts_with("ddaf35a193617abacc417349ae204131")
        );
        assert_eq!(digests.size_bytes, 3);
        assert_eq!(Digests::of_reader(&b"abc"[..]).ok(), Some(digests));
        let mut alone = Sha256Hasher::new();
        alone.update(b"a");
        let mut other = alone.clone();
        alone.update(b"bc");
        other.update(b"d");
        assert_eq!(alone.finish(), digests.sha256);
        assert_eq!(other.finish(), Sha256::of(b"ad"));
        let sha256 = Sha256::of_reader(&b"abc"[..]);
        assert_eq!(sha256.ok(), Some(digests.sha256));
    }

    #[test]
    fn parsing_refuses_what_printing_never_writes() {
        let good = Sha256::of(b"abc").to_string();
        assert_eq!(good.parse::<Sha256>(), Ok(Sha256::of(b"abc")));
        assert!(good.to_uppercase().parse::<Sha256>().is_err());
        assert!(good[1..].parse::<Sha256>().is_err());
        assert!(format!("{good}0").parse::<Sha256>().is_err());
        assert!(format!("é{}", &good[2..]).parse::<Sha256>().is_err());
        assert!(good.parse::<AnyDigest>().is_err());
        assert!(format!("sha256:{good}").parse::<AnyDigest>().is_ok());
        assert!(format!("md5:{good}").parse::<AnyDigest>().is_err());
    }
}
