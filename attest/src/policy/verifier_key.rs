//! Verifier keys of signed notes: how the logs and witnesses of a policy are named (C2SP signed-note).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use serde::{Deserialize, Serialize};

use crate::digest::{Sha256, hex};
use crate::key::PublicKey;

/// Longest name of a log or witness in bytes.
const MAX_NAME_BYTES: usize = 255;

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// The note itself: a log's checkpoint.
    Ed25519,
    /// The note with a time: a witness's cosignature/v1.
    CosignatureV1,
}

impl Algorithm {
    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::CosignatureV1 => 4,
        }
    }
}

/// A name and a key, written `NAME+HASH+KEY`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VerifierKey {
    name: String,
    algorithm: Algorithm,
    key: PublicKey,
}

/// The text is not a verifier key of an algorithm that we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a log or witness is named by its verifier key, NAME+HASH+KEY of an Ed25519 key, as it publishes it"
)]
pub struct ParseVerifierKeyError;

impl VerifierKey {
    /// The log's origin or the witness's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        self.key
    }

    /// The first four bytes of a digest over name and key, which stand in front of signatures.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let key = self.key.as_bytes();
        let text = [self.name.as_bytes(), b"\n", &[self.algorithm.byte()], key].concat();
        let [a, b, c, d, ..] = *Sha256::of(&text).as_bytes();
        [a, b, c, d]
    }
}

impl FromStr for VerifierKey {
    type Err = ParseVerifierKeyError;

    fn from_str(text: &str) -> Result<Self, ParseVerifierKeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ParseVerifierKeyError);
        };
        let plain = !name.is_empty()
            && name.len() <= MAX_NAME_BYTES
            && !name.contains(|c: char| c.is_whitespace() || c.is_control());
        let decoded = STANDARD.decode(key).map_err(|_| ParseVerifierKeyError)?;
        let (algorithm, bytes) = decoded.split_first().ok_or(ParseVerifierKeyError)?;
        let algorithm = match algorithm {
            1 => Algorithm::Ed25519,
            4 => Algorithm::CosignatureV1,
            _ => return Err(ParseVerifierKeyError),
        };
        let bytes = bytes.try_into().map_err(|_| ParseVerifierKeyError)?;
        let found = Self {
            name: name.to_owned(),
            algorithm,
            key: PublicKey::from_bytes(bytes),
        };
        if plain && hex(&found.id()) == id {
            Ok(found)
        } else {
            Err(ParseVerifierKeyError)
        }
    }
}

impl TryFrom<String> for VerifierKey {
    type Error = ParseVerifierKeyError;

    fn try_from(text: String) -> Result<Self, ParseVerifierKeyError> {
        text.parse()
    }
}

impl From<VerifierKey> for String {
    fn from(key: VerifierKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.algorithm.byte()], &self.key.as_bytes()[..]].concat();
        write!(
            f,
            "{}+{}+{}",
            self.name,
            hex(&self.id()),
            STANDARD.encode(key)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the package that notes come from.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    #[test]
    fn the_published_example_is_read_and_written() {
        let key: VerifierKey = PETER.parse().unwrap();
        assert_eq!(
            (key.name(), key.algorithm()),
            ("PeterNeumann", Algorithm::Ed25519)
        );
        assert_eq!(key.to_string(), PETER);
    }

    #[test]
    fn another_name_hash_or_algorithm_is_refused() {
        for bad in [
            "",
            "PeterNeumann",
            &PETER.replace("Peter", "peter"),
            &PETER.replace("c74f", "c74e"),
            &PETER.replace("+ARpc", "+Ahpc"),
            &PETER.replace("10TW", "10TX"),
            &PETER[..PETER.len() - 4],
            &PETER.replace("PeterNeumann", "Peter Neumann"),
        ] {
            assert_eq!(
                bad.parse::<VerifierKey>(),
                Err(ParseVerifierKeyError),
                "{bad}"
            );
        }
    }
}
