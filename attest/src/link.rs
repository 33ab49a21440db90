//! Legacy in-toto links for `reproduced`, for software that knows nothing newer. The one home of the
//! in-toto crate, of which only building a link is used.
//!
//! That crate's readers take canonical JSON after replacing backslash-n by a line end, so strings with
//! either are refused before. What is signed is our own canonical JSON of what the crate built, and the
//! whole is verified here before it leaves.

use std::collections::{BTreeMap, HashMap};

use in_toto::crypto::{HashAlgorithm, HashValue};
use in_toto::interchange::Json;
use in_toto::models::byproducts::ByProducts;
use in_toto::models::step::Command;
use in_toto::models::{LinkMetadataBuilder, TargetDescription, VirtualTargetPath};
use serde_json::Value;

use crate::canonical::canonical_json;
use crate::digest::{Digests, hex, unhex};
use crate::key::{self, KeyError, PublicKey, Sign, Signature};
use crate::statement::{Contradiction, Custody, Facts, Kind, compose};
use crate::verdict::Verdict;

/// The step name that a layout of a verifier refers to.
pub const STEP: &str = "rebuild";

/// Says why no link is made.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A link has no words for anything but the same bytes.
    #[error("a link for the verdict {0}; there is one for reproduced only")]
    Verdict(Verdict),
    /// The facts would not give a verdict statement either.
    #[error("facts that contradict each other")]
    Contradiction(#[source] Contradiction),
    /// A control character, or a backslash before an n, which the format does not sign faithfully.
    #[error("a string that a link cannot carry: {0:?}")]
    Text(String),
    /// The key cannot be used.
    #[error("signing a link")]
    Key(#[source] KeyError),
    /// The in-toto crate refuses.
    #[error("building a link")]
    Build(#[source] in_toto::Error),
    /// What the in-toto crate made is not what was meant, or its signature is not ours.
    #[error("a link that does not verify after it was made")]
    NotVerified,
}

impl LinkError {
    /// Whether the facts are to blame; else it is a fault of ours.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Verdict(_) | Self::Contradiction(_) | Self::Text(_) => true,
            Self::Key(_) | Self::Build(_) | Self::NotVerified => false,
        }
    }
}

/// Makes the link for a reproduced artifact and signs it under both key ids that are in use: the
/// modern one first, then the one of older software. One line of JSON.
///
/// # Errors
/// When the facts do not say `reproduced`, or a string cannot be carried.
pub fn sign(facts: &Facts, custody: Custody, key: &dyn Sign) -> Result<Vec<u8>, LinkError> {
    if facts.verdict != Verdict::Reproduced {
        return Err(LinkError::Verdict(facts.verdict));
    }
    let facts = Facts {
        kind: Kind::Verdict,
        ..facts.clone()
    };
    compose(&facts, custody).map_err(LinkError::Contradiction)?;
    let products = products(&facts);
    for text in products.keys().chain(&command(&facts)) {
        check_text(text)?;
    }
    let mut link = build(&facts, &products)?;
    let said = link.get("signed").and_then(canonical_json);
    let said = said.ok_or(LinkError::NotVerified)?;
    let signature = key::signed(key, &said).map_err(LinkError::Key)?;
    let finished = finish(&mut link, key.public(), &signature).ok_or(LinkError::NotVerified)?;
    verify(&finished, key.public(), &products).ok_or(LinkError::NotVerified)?;
    Ok(finished)
}

/// Every rebuilt file under its name; all of them are the published bytes.
fn products(facts: &Facts) -> BTreeMap<String, Digests> {
    facts
        .rebuilt
        .iter()
        .map(|rebuilt| (rebuilt.file_name.clone(), rebuilt.digests))
        .collect()
}

/// What a reader would run to get the same bytes.
fn command(facts: &Facts) -> Vec<String> {
    let source = &facts.source;
    let tag = source
        .reference
        .strip_prefix("refs/tags/")
        .unwrap_or(&source.reference);
    let words = [
        "countersign",
        "rebuild",
        "--source",
        &source.uri,
        "--tag",
        tag,
    ];
    words.map(str::to_owned).to_vec()
}

fn check_text(text: &str) -> Result<(), LinkError> {
    if text.contains(char::is_control) || text.contains("\\n") {
        return Err(LinkError::Text(text.to_owned()));
    }
    Ok(())
}

/// The link in its frame, without a signature.
fn build(facts: &Facts, products: &BTreeMap<String, Digests>) -> Result<Value, LinkError> {
    let mut targets = BTreeMap::new();
    for (name, digests) in products {
        let path = VirtualTargetPath::new(name.clone()).map_err(LinkError::Build)?;
        targets.insert(path, target(digests));
    }
    let block = LinkMetadataBuilder::new()
        .name(STEP.to_owned())
        .products(targets)
        .env(Some(BTreeMap::new()))
        .byproducts(ByProducts::new())
        .command(Command::from(command(facts)))
        .unsigned::<Json>()
        .map_err(LinkError::Build)?;
    serde_json::to_value(&block).map_err(|_| LinkError::NotVerified)
}

/// SHA-256 alone: the reference implementation compares all digests of a product with the one that it
/// takes of the file at hand, so that a further one in a link makes its MATCH rule fail.
fn target(digests: &Digests) -> TargetDescription {
    HashMap::from([(
        HashAlgorithm::Sha256,
        HashValue::new(digests.sha256.as_bytes().to_vec()),
    )])
}

/// Adds the one signature under both key ids.
fn finish(link: &mut Value, key: PublicKey, signature: &Signature) -> Option<Vec<u8>> {
    let sig = hex(signature.as_bytes());
    let signatures = [key.key_id(), key.legacy_key_id()];
    let signatures = signatures.map(|keyid| serde_json::json!({"keyid": keyid, "sig": sig}));
    *link.get_mut("signatures")? = Value::Array(signatures.to_vec());
    let mut line = canonical_json(link)?;
    line.push(b'\n');
    Some(line)
}

/// Verifies a finished link with nothing of the in-toto crate: both signatures over our own canonical
/// JSON of what stands there, and exactly the products that were meant.
fn verify(line: &[u8], key: PublicKey, products: &BTreeMap<String, Digests>) -> Option<()> {
    let block: Value = crate::json::from_slice(line, &crate::json::Limits::default()).ok()?;
    let signed = block.get("signed")?;
    let bytes = canonical_json(signed)?;
    let ids = [key.key_id(), key.legacy_key_id()];
    let signatures = block.get("signatures")?.as_array()?;
    if signatures.len() != ids.len() {
        return None;
    }
    for (signature, id) in signatures.iter().zip(&ids) {
        let value = Signature::from_slice(&unhex(signature.get("sig")?.as_str()?)?)?;
        if signature.get("keyid")?.as_str()? != id || !key.verifies(&bytes, &value) {
            return None;
        }
    }
    let said = signed.get("products")?.as_object()?;
    let as_meant = said.len() == products.len()
        && products.iter().all(|(name, digests)| {
            let meant = serde_json::json!({"sha256": hex(digests.sha256.as_bytes())});
            said.get(name) == Some(&meant)
        });
    let is_link =
        signed.get("_type")?.as_str()? == "link" && signed.get("environment")?.is_object();
    (as_meant && is_link).then_some(())
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::digest::Sha256;
    use crate::key::PrivateKey;
    use crate::statement::tests::{facts, golden};

    fn key() -> PrivateKey {
        PrivateKey::from_seed(Zeroizing::new([7; 32])).unwrap()
    }

    #[test]
    fn a_reproduced_artifact_has_a_link_under_both_key_ids() {
        let facts = facts(Verdict::Reproduced);
        let link = sign(&facts, Custody::Operator, &key()).unwrap();
        assert_eq!(link, sign(&facts, Custody::Operator, &key()).unwrap());
        golden("link.json", &link);
        assert!(verify(&link, key().public(), &products(&facts)).is_some());
    }

    #[test]
    fn no_tampered_link_verifies() {
        let facts = facts(Verdict::Reproduced);
        let link = sign(&facts, Custody::Operator, &key()).unwrap();
        let other = PrivateKey::from_seed(Zeroizing::new([8; 32])).unwrap();
        assert!(verify(&link, other.public(), &products(&facts)).is_none());
        for at in 0..link.len() - 1 {
            let mut bytes = link.clone();
            bytes[at] ^= 1;
            assert!(
                verify(&bytes, key().public(), &products(&facts)).is_none(),
                "{at}"
            );
        }
        let mut swapped = products(&facts);
        swapped
            .values_mut()
            .for_each(|digests| digests.sha256 = Sha256::of(b"other"));
        assert!(verify(&link, key().public(), &swapped).is_none());
    }

    #[test]
    fn links_exist_for_reproduced_only() {
        for verdict in Verdict::ALL {
            let result = sign(&facts(verdict), Custody::Operator, &key());
            match verdict {
                Verdict::Reproduced => assert!(result.is_ok()),
                _ => assert!(matches!(result, Err(LinkError::Verdict(v)) if v == verdict)),
            }
        }
        let mut lying = facts(Verdict::Differs);
        lying.verdict = Verdict::Reproduced;
        lying.reason = None;
        let result = sign(&lying, Custody::Operator, &key());
        assert!(matches!(result, Err(LinkError::Contradiction(_))));
    }

    #[test]
    fn strings_that_would_be_signed_as_others_are_refused() {
        for bad in ["v1\\n2", "v1\\\\n"] {
            let mut facts = facts(Verdict::Reproduced);
            facts.source.reference = format!("refs/tags/{bad}");
            let error = sign(&facts, Custody::Operator, &key()).unwrap_err();
            assert!(
                matches!(&error, LinkError::Text(text) if text == bad),
                "{error}"
            );
            assert!(error.is_refusal());
        }
        let mut quoted = facts(Verdict::Reproduced);
        quoted.source.reference = "refs/tags/v1\"\\x".to_owned();
        assert!(sign(&quoted, Custody::Operator, &key()).is_ok());
    }
}
