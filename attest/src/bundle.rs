//! Sigstore bundles, version 0.3: the other form of an envelope, for software that knows only that one.
//!
//! A bundle is made from a signed envelope and holds the very same signature; nothing is signed here.
//! Whatever else stands in a bundle of a stranger (certificates, log entries, timestamps, the hint) was
//! signed by nobody, so it is passed over: it can add no belief, and take none away.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::dsse::{self, Envelope, Limits, OpenError, Verified};
use crate::json::{self, JsonError};
use crate::key::PublicKey;
use crate::statement::Statement;

#[cfg(test)]
mod tests;

/// The media type of what we write and the only one that we read; compared by its exact characters.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Says why a bundle is not made or not opened.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not a bundle around an envelope.
    #[error("reading a bundle")]
    Json(#[source] JsonError),
    /// Another version of the format, or no bundle at all.
    #[error("a bundle of another media type than {MEDIA_TYPE}")]
    MediaType,
    /// The format has exactly one signature.
    #[error("a bundle with {found} signatures; there must be one")]
    Signatures {
        /// How many there are.
        found: usize,
    },
    /// The envelope inside, or where there is no bundle around it, the envelope.
    #[error(transparent)]
    Envelope(#[from] OpenError),
}

#[derive(Serialize)]
struct Written {
    #[serde(rename = "mediaType")]
    media_type: &'static str,
    #[serde(rename = "verificationMaterial")]
    material: Material,
    #[serde(rename = "dsseEnvelope")]
    envelope: Envelope,
}

#[derive(Serialize)]
struct Material {
    #[serde(rename = "publicKey")]
    public_key: Hint,
}

#[derive(Serialize)]
struct Hint {
    hint: String,
}

#[derive(Deserialize)]
struct Read {
    #[serde(rename = "mediaType")]
    media_type: String,
    #[serde(rename = "dsseEnvelope")]
    envelope: Envelope,
}

/// What tells a bundle from a bare envelope.
#[derive(Deserialize)]
struct Mark {
    #[serde(rename = "mediaType")]
    media_type: Option<IgnoredAny>,
}

/// Writes an envelope of ours as a bundle: one line of JSON, the same bytes each time. Hint and key id
/// are [`PublicKey::spki_key_id`].
///
/// # Errors
/// When `key` did not sign this envelope, or somebody else did too: what leaves is checked first.
pub fn from_envelope(envelope: &[u8], key: &PublicKey) -> Result<Vec<u8>, BundleError> {
    let limits = Limits::default();
    let mut parsed: Envelope =
        json::from_slice(envelope, &limits.json).map_err(BundleError::Json)?;
    dsse::open_parsed(&parsed, &[*key], 1, &limits)?;
    let found = parsed.signatures.len();
    let [signature] = &mut parsed.signatures[..] else {
        return Err(BundleError::Signatures { found });
    };
    signature.keyid = Some(key.spki_key_id());
    let bundle = Written {
        media_type: MEDIA_TYPE,
        material: Material {
            public_key: Hint {
                hint: key.spki_key_id(),
            },
        },
        envelope: parsed,
    };
    // strings only: serde_json cannot fail on them
    let mut line = serde_json::to_vec(&bundle).unwrap_or_default();
    line.push(b'\n');
    Ok(line)
}

/// Opens a bundle of a stranger: at least `threshold` distinct ones of `keys` must have signed the
/// envelope in it. Only these keys are tried, whatever the bundle says of keys.
///
/// # Errors
/// Whenever anything is wrong with it; nothing of its payload comes out then.
pub fn open(
    bundle: &[u8],
    keys: &[PublicKey],
    threshold: usize,
    limits: &Limits,
) -> Result<Verified<Statement>, BundleError> {
    let Read {
        media_type,
        envelope,
    } = json::from_slice(bundle, &limits.json).map_err(BundleError::Json)?;
    if media_type != MEDIA_TYPE {
        return Err(BundleError::MediaType);
    }
    let found = envelope.signatures.len();
    if found != 1 {
        return Err(BundleError::Signatures { found });
    }
    Ok(dsse::open_parsed(&envelope, keys, threshold, limits)?)
}

/// Opens what may be either: a bundle where a `mediaType` stands, else a bare envelope.
///
/// # Errors
/// As [`open`] and [`dsse::open`].
pub fn open_either(
    document: &[u8],
    keys: &[PublicKey],
    threshold: usize,
    limits: &Limits,
) -> Result<Verified<Statement>, BundleError> {
    let mark: Mark = json::from_slice(document, &limits.json).map_err(OpenError::Envelope)?;
    match mark.media_type {
        Some(_) => open(document, keys, threshold, limits),
        None => Ok(dsse::open(document, keys, threshold, limits)?),
    }
}
