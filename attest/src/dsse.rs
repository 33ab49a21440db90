//! Envelopes: DSSE v1 (PAE, sign, open). The only way from an envelope to a believed statement.
//!
//! Signatures are verified first, over the very bytes that are parsed afterwards. A key id never
//! decides what is tried, only what is tried first. Signatures are counted by distinct keys.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde::{Deserialize, Serialize};

use crate::declaration::DeclarationError;
use crate::digest::Sha256;
use crate::json::{self, JsonError};
use crate::key::{self, KeyError, PublicKey, Sign, Signature};
use crate::statement::{Statement, StatementError};

#[cfg(test)]
mod tests;

/// The payload type of in-toto statements; compared by its exact characters.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const READ_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const READ_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// What an envelope may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The JSON of the envelope and of its payload.
    pub json: json::Limits,
    /// Most signatures that are tried.
    pub signatures: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            json: json::Limits::default(),
            signatures: 32,
        }
    }
}

/// Says why an envelope is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A threshold of zero would believe anything.
    #[error("a threshold of zero signatures")]
    ZeroThreshold,
    /// Not an envelope.
    #[error("reading an envelope")]
    Envelope(#[source] JsonError),
    /// The payload is another kind of document.
    #[error("an envelope with a payload of another type than {expected}")]
    PayloadType {
        /// The type that was asked for.
        expected: &'static str,
    },
    /// The payload is not base64.
    #[error("an envelope whose payload is not base64")]
    Base64,
    /// More signatures than are tried.
    #[error("an envelope with {found} signatures, more than the limit of {limit}")]
    TooManySignatures {
        /// How many there are.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Too few of the given keys signed these bytes.
    #[error("{good} of the given keys signed this envelope, {threshold} must")]
    Threshold {
        /// Distinct given keys with a good signature.
        good: usize,
        /// How many must have.
        threshold: usize,
    },
    /// The signatures are good and what they sign is not a statement that we believe.
    #[error("reading a signed statement")]
    Statement(#[source] StatementError),
    /// The signatures are good and what they sign is no declaration that we can use.
    #[error("reading a signed declaration")]
    Declaration(#[source] DeclarationError),
}

/// A value whose bytes were signed by enough of the keys that the caller gave. There is no other way
/// to get one than [`open`], for an envelope inside a bundle [`bundle::open`](crate::bundle::open), and
/// for what is no statement [`declaration::open`](crate::declaration::open).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    signers: Vec<PublicKey>,
    signed: Sha256,
}

impl<T> Verified<T> {
    /// What was signed.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// The keys whose signatures are good, each once, in their order.
    #[must_use]
    pub fn signers(&self) -> &[PublicKey] {
        &self.signers
    }

    /// Digest of the bytes under the signatures, which are those of [`pae`]. Two envelopes with the
    /// same one say the same thing, however each is written down.
    #[must_use]
    pub const fn signed(&self) -> Sha256 {
        self.signed
    }
}

/// An envelope as it is written; nothing of it is believed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) payload: String,
    #[serde(rename = "payloadType")]
    pub(crate) payload_type: String,
    pub(crate) signatures: Vec<EnvelopeSignature>,
}

impl Envelope {
    /// One line of JSON, the same bytes each time.
    pub(crate) fn to_line(&self) -> Vec<u8> {
        // strings only: serde_json cannot fail on them
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// The payload as it is, if it says that it has this type. Nothing of it is verified.
    pub(crate) fn unverified_payload(&self, expected: &'static str) -> Result<Vec<u8>, OpenError> {
        if self.payload_type != expected {
            return Err(OpenError::PayloadType { expected });
        }
        base64_of_either_alphabet(&self.payload).ok_or(OpenError::Base64)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EnvelopeSignature {
    #[serde(default)]
    pub(crate) keyid: Option<String>,
    sig: String,
}

impl EnvelopeSignature {
    /// The signature itself, whatever it is; `None` where it is not base64.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        base64_of_either_alphabet(&self.sig)
    }
}

/// What an envelope says of itself, to somebody who trusts nobody yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedClaim {
    /// The rebuilder that the payload names, where it names one.
    pub rebuilder: Option<String>,
    /// The key that each signature names.
    pub key_ids: Vec<Option<String>>,
}

/// Reads who is named in an envelope, or in a bundle around one. Nothing is verified, so nothing of it
/// may decide anything: it tells a user whom to ask about.
///
/// # Errors
/// When it is no envelope.
pub fn unverified_claim(document: &[u8], limits: &Limits) -> Result<UnverifiedClaim, OpenError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Bundle {
            #[serde(rename = "dsseEnvelope")]
            envelope: Envelope,
        },
        Bare(Envelope),
    }
    let either: Either = json::from_slice(document, &limits.json).map_err(OpenError::Envelope)?;
    let (Either::Bundle { envelope } | Either::Bare(envelope)) = either;
    if envelope.signatures.len() > limits.signatures {
        return Err(OpenError::TooManySignatures {
            found: envelope.signatures.len(),
            limit: limits.signatures,
        });
    }
    let payload = base64_of_either_alphabet(&envelope.payload).ok_or(OpenError::Base64)?;
    let payload: serde_json::Value =
        json::from_slice(&payload, &limits.json).map_err(OpenError::Envelope)?;
    let named = [
        "/predicate/rebuilder/id",
        "/predicate/runDetails/builder/id",
    ];
    let named = named.iter().find_map(|at| payload.pointer(at)?.as_str());
    Ok(UnverifiedClaim {
        rebuilder: named.map(str::to_owned),
        key_ids: envelope.signatures.into_iter().map(|s| s.keyid).collect(),
    })
}

/// The bytes that are signed: DSSE v1 section PAE.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Signs a statement's bytes: one line of JSON, the same bytes each time.
///
/// # Errors
/// When the key cannot be used, or what came of it does not verify.
pub fn sign(statement: &[u8], key: &dyn Sign) -> Result<Vec<u8>, KeyError> {
    sign_payload(PAYLOAD_TYPE, statement, key)
}

/// The same for a payload of another type.
pub(crate) fn sign_payload(
    payload_type: &str,
    payload: &[u8],
    key: &dyn Sign,
) -> Result<Vec<u8>, KeyError> {
    let signature = key::signed(key, &pae(payload_type, payload))?;
    let envelope = Envelope {
        payload: STANDARD.encode(payload),
        payload_type: payload_type.to_owned(),
        signatures: vec![EnvelopeSignature {
            keyid: Some(key.public().key_id()),
            sig: STANDARD.encode(signature.as_bytes()),
        }],
    };
    Ok(envelope.to_line())
}

/// Opens an envelope of a stranger: at least `threshold` distinct ones of `keys` must have signed it.
///
/// # Errors
/// Whenever anything is wrong with it; nothing of its payload comes out then.
pub fn open(
    envelope: &[u8],
    keys: &[PublicKey],
    threshold: usize,
    limits: &Limits,
) -> Result<Verified<Statement>, OpenError> {
    let envelope: Envelope =
        json::from_slice(envelope, &limits.json).map_err(OpenError::Envelope)?;
    open_parsed(&envelope, keys, threshold, limits)
}

/// The same for an envelope that stood inside another document, which was read strictly.
pub(crate) fn open_parsed(
    envelope: &Envelope,
    keys: &[PublicKey],
    threshold: usize,
    limits: &Limits,
) -> Result<Verified<Statement>, OpenError> {
    open_as(envelope, PAYLOAD_TYPE, keys, threshold, limits, |payload| {
        Statement::parse(payload, &limits.json).map_err(OpenError::Statement)
    })
}

/// Opens an envelope with a payload of some type: `parse` sees it only once enough keys signed it.
pub(crate) fn open_as<T>(
    envelope: &Envelope,
    payload_type: &'static str,
    keys: &[PublicKey],
    threshold: usize,
    limits: &Limits,
    parse: impl FnOnce(&[u8]) -> Result<T, OpenError>,
) -> Result<Verified<T>, OpenError> {
    if threshold == 0 {
        return Err(OpenError::ZeroThreshold);
    }
    if envelope.signatures.len() > limits.signatures {
        return Err(OpenError::TooManySignatures {
            found: envelope.signatures.len(),
            limit: limits.signatures,
        });
    }
    let payload = envelope.unverified_payload(payload_type)?;
    let signed = pae(payload_type, &payload);
    let signers = signers(&signed, &envelope.signatures, keys);
    if signers.len() < threshold {
        return Err(OpenError::Threshold {
            good: signers.len(),
            threshold,
        });
    }
    Ok(Verified {
        value: parse(&payload)?,
        signers,
        signed: Sha256::of(&signed),
    })
}

/// The distinct keys that have a good signature among these. A signature that cannot be decoded or
/// belongs to nobody we know is skipped: others may sign the same envelope.
fn signers(signed: &[u8], signatures: &[EnvelopeSignature], keys: &[PublicKey]) -> Vec<PublicKey> {
    let named: Vec<(String, PublicKey)> = keys.iter().map(|key| (key.key_id(), *key)).collect();
    let mut good = BTreeSet::new();
    for candidate in signatures {
        let bytes = candidate.bytes();
        let Some(signature) = bytes.and_then(|bytes| Signature::from_slice(&bytes)) else {
            continue;
        };
        let is_named = |id: &str| candidate.keyid.as_deref() == Some(id);
        let first = named.iter().filter(|(id, _)| is_named(id));
        let then = named.iter().filter(|(id, _)| !is_named(id));
        if let Some((_, key)) = first
            .chain(then)
            .find(|(_, key)| key.verifies(signed, &signature))
        {
            good.insert(*key);
        }
    }
    good.into_iter().collect()
}

fn base64_of_either_alphabet(text: &str) -> Option<Vec<u8>> {
    READ_STANDARD
        .decode(text)
        .or_else(|_| READ_URL_SAFE.decode(text))
        .ok()
}
