//! Links of rebuilderd: in-toto's format before DSSE, signed over canonical JSON.
//!
//! A link names a step and its products. Only the step of a rebuilder about one file is taken: a link of
//! another step, such as a publisher's own build, says nothing of a rebuild.

use serde::Deserialize;
use serde_json::Value;

use crate::canonical::canonical_json;
use crate::decide::{Form, Said, Testimony, VerdictSaid};
use crate::digest::{Sha256, Sha512, unhex};
use crate::escape::is_printable;
use crate::json::{self, JsonError};
use crate::key::{PublicKey, Signature};
use crate::verdict::Verdict;

/// Longest link in bytes. Those of rebuilderd have less than two thousand.
const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of its JSON.
const DEPTH: usize = 16;
/// Most signatures that are tried.
const SIGNATURES: usize = 32;

/// Says why a link is not believed.
#[derive(Debug, thiserror::Error)]
pub enum LinkReadError {
    /// No link, or one that is read differently by different software.
    #[error("reading a link")]
    Json(#[source] JsonError),
    /// None of the given keys signed it as it stands there.
    #[error("a link that none of the given keys signed")]
    Signature,
    /// It says something else than that one file was built again.
    #[error("a link that is not about the rebuild of one file: {0}")]
    Claim(&'static str),
}

/// A link as it is written; nothing of it is believed.
#[derive(Deserialize)]
struct Block {
    signatures: Vec<BlockSignature>,
    signed: Value,
}

#[derive(Deserialize)]
struct BlockSignature {
    keyid: String,
    sig: String,
}

/// The part that is read, after its signatures.
#[derive(Deserialize)]
struct Signed {
    #[serde(rename = "_type")]
    kind: String,
    name: String,
    products: std::collections::BTreeMap<String, Product>,
}

#[derive(Deserialize)]
struct Product {
    sha256: Sha256,
    #[serde(default)]
    sha512: Option<Sha512>,
}

/// Whether a document is meant to be a link. Nothing is verified.
#[must_use]
pub fn is_link(document: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Mark {
        signed: Kind,
    }
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "_type")]
        kind: String,
    }
    let mark: Result<Mark, _> = json::from_slice(document, &limits());
    mark.is_ok_and(|mark| mark.signed.kind == "link")
}

/// The keys that a link names, to somebody who trusts nobody yet. Nothing is verified.
///
/// # Errors
/// When it is no link.
pub fn unverified_key_ids(document: &[u8]) -> Result<Vec<String>, LinkReadError> {
    let block: Block = json::from_slice(document, &limits()).map_err(LinkReadError::Json)?;
    let signatures = block.signatures.into_iter().take(SIGNATURES);
    Ok(signatures.map(|signature| signature.keyid).collect())
}

/// Opens a link of a stranger: at least one of `keys` must have signed it.
///
/// # Errors
/// Whenever anything is wrong with it; nothing that it says comes out then.
pub fn open(document: &[u8], keys: &[PublicKey]) -> Result<Testimony, LinkReadError> {
    let block: Block = json::from_slice(document, &limits()).map_err(LinkReadError::Json)?;
    let signed = canonical_json(&block.signed).ok_or(LinkReadError::Signature)?;
    let signers = signers(&signed, &block.signatures, keys);
    if signers.is_empty() {
        return Err(LinkReadError::Signature);
    }
    Ok(Testimony {
        statement: Sha256::of(&signed),
        signers: signers.into_iter().map(Into::into).collect(),
        said: Said::Verdict(Box::new(claim(&block.signed)?)),
        place: None,
    })
}

const fn limits() -> json::Limits {
    json::Limits {
        bytes: MAX_BYTES,
        depth: DEPTH,
    }
}

/// The distinct keys with a good signature. An id only says which key is tried first; what it names is
/// believed of none.
fn signers(signed: &[u8], signatures: &[BlockSignature], keys: &[PublicKey]) -> Vec<PublicKey> {
    let mut good = std::collections::BTreeSet::new();
    for candidate in signatures.iter().take(SIGNATURES) {
        let bytes = unhex(&candidate.sig);
        let Some(signature) = bytes.and_then(|bytes| Signature::from_slice(&bytes)) else {
            continue;
        };
        let is_named =
            |key: &&PublicKey| [key.key_id(), key.legacy_key_id()].contains(&candidate.keyid);
        let first = keys.iter().filter(is_named);
        let then = keys.iter().filter(|key| !is_named(key));
        good.extend(
            first
                .chain(then)
                .find(|key| key.verifies(signed, &signature)),
        );
    }
    good.into_iter().collect()
}

fn claim(signed: &Value) -> Result<VerdictSaid, LinkReadError> {
    let signed: Signed = serde_json::from_value(signed.clone())
        .map_err(|_| LinkReadError::Claim("its fields are others"))?;
    if signed.kind != "link" {
        return Err(LinkReadError::Claim("its type is another"));
    }
    let mut products = signed.products.into_iter();
    let (Some((file_name, product)), None) = (products.next(), products.next()) else {
        return Err(LinkReadError::Claim("it has none or several products"));
    };
    let names_a_file =
        !file_name.is_empty() && !file_name.contains(['/', '\\']) && is_printable(&file_name);
    if !names_a_file {
        return Err(LinkReadError::Claim("its product has no file's name"));
    }
    // as rebuilderd names the step, and as we do
    if signed.name != format!("rebuild {file_name}") && signed.name != "rebuild" {
        return Err(LinkReadError::Claim("its step is another"));
    }
    Ok(VerdictSaid {
        verdict: Verdict::Reproduced,
        form: Form::Link,
        decided_on: None,
        purl: None,
        file_name,
        sha256: product.sha256,
        sha512: product.sha512,
        rebuilt: Some(product.sha256),
        source: None,
        commit: None,
        plan: None,
    })
}

#[cfg(test)]
mod tests;
