//! Signed documents that are no statements about artifacts: who an operator is, that its key changes,
//! which operators somebody recommends, which candidate a project wants rebuilt.
//!
//! Each has a payload type of its own, which stands under the signature, so that none can be taken for
//! another or for a statement. Nothing here says that anybody is to be trusted.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::dsse::{self, Envelope, Limits, OpenError, Verified};
use crate::escape::is_printable;
use crate::json::{self, JsonError};
use crate::key::{KeyError, PublicKey, Sign};

mod candidate;
mod identity;
mod operators;
#[cfg(test)]
mod tests;

pub use candidate::{CandidateArtifact, CandidateRequest};
pub use identity::{Card, CardError, Identity, Rotation};
pub use operators::{ListedOperator, OperatorList};

/// Longest text of a declaration in bytes.
const MAX_TEXT_BYTES: usize = 2048;

/// Says why a declaration is not used.
#[derive(Debug, thiserror::Error)]
pub enum DeclarationError {
    /// Not JSON of its shape.
    #[error("{0}")]
    Json(#[source] JsonError),
    /// A value that cannot be meant.
    #[error("{field}: {problem}")]
    Value {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// One kind of declaration.
pub trait Kind: Serialize + DeserializeOwned {
    /// The type of its payload.
    const PAYLOAD_TYPE: &'static str;

    /// Fails where a value cannot be meant. Called on everything that is opened or signed.
    ///
    /// # Errors
    /// Names the field.
    fn check(&self) -> Result<(), DeclarationError>;
}

/// A declaration of any kind, as a signer is asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Declaration {
    /// Who an operator is.
    Identity(Identity),
    /// One of the two signatures of a change of key.
    Rotation(Rotation),
    /// Operators that somebody recommends.
    Operators(OperatorList),
    /// A candidate that a project wants rebuilt.
    Candidate(CandidateRequest),
}

/// Says why a declaration is not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// It says something that cannot be meant.
    #[error("a declaration that says nothing")]
    Declaration(#[source] DeclarationError),
    /// It is about another key than the one that would sign it.
    #[error("a declaration about another key than the one that signs it")]
    OtherKey,
    /// The cryptographic library refuses the key.
    #[error("signing a declaration")]
    Key(#[source] KeyError),
}

impl Declaration {
    /// Signs it: one line with its envelope, the same bytes each time.
    ///
    /// # Errors
    /// When it says nothing, or names another key as its own.
    pub fn sign(&self, key: &dyn Sign) -> Result<Vec<u8>, SignError> {
        let own = key.public();
        match self {
            Self::Identity(identity) if identity.key != own => Err(SignError::OtherKey),
            Self::Rotation(rotation) if ![rotation.old, rotation.new].contains(&own) => {
                Err(SignError::OtherKey)
            }
            Self::Identity(identity) => sign(identity, key),
            Self::Rotation(rotation) => sign(rotation, key),
            Self::Operators(list) => sign(list, key),
            Self::Candidate(request) => sign(request, key),
        }
    }
}

fn sign<K: Kind>(declaration: &K, key: &dyn Sign) -> Result<Vec<u8>, SignError> {
    declaration.check().map_err(SignError::Declaration)?;
    // names and texts only: serde_json cannot fail on them
    let payload = serde_json::to_vec(declaration).unwrap_or_default();
    dsse::sign_payload(K::PAYLOAD_TYPE, &payload, key).map_err(SignError::Key)
}

/// Opens a declaration that at least `threshold` distinct ones of `keys` must have signed.
///
/// # Errors
/// Whenever anything is wrong with it; nothing of it comes out then.
pub fn open<K: Kind>(
    envelope: &[u8],
    keys: &[PublicKey],
    threshold: usize,
    limits: &Limits,
) -> Result<Verified<K>, OpenError> {
    let envelope: Envelope =
        json::from_slice(envelope, &limits.json).map_err(OpenError::Envelope)?;
    open_parsed(&envelope, keys, threshold, limits)
}

fn open_parsed<K: Kind>(
    envelope: &Envelope,
    keys: &[PublicKey],
    threshold: usize,
    limits: &Limits,
) -> Result<Verified<K>, OpenError> {
    dsse::open_as(
        envelope,
        K::PAYLOAD_TYPE,
        keys,
        threshold,
        limits,
        |payload| parse(payload, limits).map_err(OpenError::Declaration),
    )
}

fn parse<K: Kind>(payload: &[u8], limits: &Limits) -> Result<K, DeclarationError> {
    let read: K = json::from_slice(payload, &limits.json).map_err(DeclarationError::Json)?;
    read.check()?;
    Ok(read)
}

/// Joins two envelopes of one payload: what both keys of a rotation signed.
///
/// # Errors
/// When they are not about the same payload.
pub fn join(first: &[u8], second: &[u8], limits: &Limits) -> Result<Vec<u8>, OpenError> {
    let read = |bytes| json::from_slice::<Envelope>(bytes, &limits.json);
    let mut joined = read(first).map_err(OpenError::Envelope)?;
    let other = read(second).map_err(OpenError::Envelope)?;
    if (&joined.payload, &joined.payload_type) != (&other.payload, &other.payload_type) {
        return Err(OpenError::Base64);
    }
    joined.signatures.extend(other.signatures);
    Ok(joined.to_line())
}

fn value<T>(field: &'static str, problem: &'static str) -> Result<T, DeclarationError> {
    Err(DeclarationError::Value { field, problem })
}

/// A text that a person may be shown.
fn check_text(field: &'static str, text: &str) -> Result<(), DeclarationError> {
    if text.is_empty() || text.len() > MAX_TEXT_BYTES {
        return value(field, "is empty or longer than 2048 bytes");
    }
    if !is_printable(text) {
        return value(field, "has characters that do not show");
    }
    Ok(())
}

/// The address of a service.
fn check_address(field: &'static str, text: &str) -> Result<(), DeclarationError> {
    check_text(field, text)?;
    let http = text.starts_with("https://") || text.starts_with("http://");
    if !http || text.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#' | '@')) {
        return value(field, "is no https:// address of a service");
    }
    Ok(())
}
