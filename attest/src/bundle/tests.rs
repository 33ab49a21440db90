//! Bundles that open, and every attempt to open one that must not.

use super::*;
use crate::key::PrivateKey;
use crate::statement::tests::{facts, golden};
use crate::statement::{Custody, compose};
use crate::verdict::Verdict;
use serde_json::{Value, json};
use zeroize::Zeroizing;

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(Zeroizing::new([seed; 32])).unwrap()
}

fn envelope() -> Vec<u8> {
    let statement = compose(&facts(Verdict::Reproduced), Custody::Operator).unwrap();
    dsse::sign(&statement, &key(7)).unwrap()
}

fn bundle() -> Vec<u8> {
    from_envelope(&envelope(), &key(7).public()).unwrap()
}

fn opened(bundle: &[u8], seed: u8) -> Result<Verified<Statement>, BundleError> {
    open(bundle, &[key(seed).public()], 1, &Limits::default())
}

/// The bundle with something changed in it.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(&bundle()).unwrap();
    change(&mut value);
    value.to_string().into_bytes()
}

#[test]
fn a_bundle_holds_the_signature_of_the_envelope_under_the_other_key_id() {
    let line = bundle();
    assert_eq!(line, bundle());
    golden("bundle.sigstore.json", &line);
    let written: Value = serde_json::from_slice(&line).unwrap();
    let plain: Value = serde_json::from_slice(&envelope()).unwrap();
    let inside = &written["dsseEnvelope"];
    for same in ["payload", "payloadType"] {
        assert_eq!(inside[same], plain[same]);
    }
    assert_eq!(
        inside["signatures"][0]["sig"],
        plain["signatures"][0]["sig"]
    );
    let id = key(7).public().spki_key_id();
    assert_eq!(inside["signatures"][0]["keyid"], id);
    assert_eq!(written["verificationMaterial"]["publicKey"]["hint"], id);
    let from_bundle = opened(&line, 7).unwrap();
    let keys = [key(7).public()];
    let from_envelope = dsse::open(&envelope(), &keys, 1, &Limits::default()).unwrap();
    assert_eq!(from_bundle, from_envelope);
    assert!(matches!(
        opened(&line, 8),
        Err(BundleError::Envelope(OpenError::Threshold { good: 0, .. }))
    ));
    let nobody = open(&line, &keys, 0, &Limits::default());
    assert!(matches!(
        nobody,
        Err(BundleError::Envelope(OpenError::ZeroThreshold))
    ));
}

#[test]
fn nothing_is_exported_that_the_key_did_not_sign_alone() {
    assert!(matches!(
        from_envelope(&envelope(), &key(8).public()),
        Err(BundleError::Envelope(OpenError::Threshold { .. }))
    ));
    let mut twice: Value = serde_json::from_slice(&envelope()).unwrap();
    let again = twice["signatures"][0].clone();
    twice["signatures"].as_array_mut().unwrap().push(again);
    assert!(matches!(
        from_envelope(twice.to_string().as_bytes(), &key(7).public()),
        Err(BundleError::Signatures { found: 2 })
    ));
    assert!(matches!(
        from_envelope(b"{}", &key(7).public()),
        Err(BundleError::Json(_))
    ));
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let line = bundle();
    let text = String::from_utf8(line.clone()).unwrap();
    let hint =
        text.find("\"verificationMaterial\"").unwrap()..text.find("\"dsseEnvelope\"").unwrap();
    let id = text.find("\"keyid\"").unwrap();
    let id = id..id + "\"keyid\":\"\"".len() + key(7).public().spki_key_id().len();
    for at in 0..line.len() - 1 {
        let mut bytes = line.clone();
        bytes[at] ^= 1;
        // hint and key id are nobody's word
        if !hint.contains(&at) && !id.contains(&at) {
            assert!(opened(&bytes, 7).is_err(), "{at}: {}", &text[at..=at]);
        }
    }
}

#[test]
fn other_material_adds_no_belief_and_takes_none_away() {
    let material = json!({
        "publicKey": {"hint": "another"},
        "certificate": {"rawBytes": "AAAA"},
        "tlogEntries": [{"logIndex": "1"}],
        "timestampVerificationData": {},
    });
    let with = changed(|bundle| bundle["verificationMaterial"] = material);
    assert!(opened(&with, 7).is_ok());
    assert!(opened(&with, 8).is_err());
    let without = changed(|bundle| {
        bundle
            .as_object_mut()
            .unwrap()
            .remove("verificationMaterial");
    });
    assert!(opened(&without, 7).is_ok());
}

#[test]
fn what_is_no_bundle_of_this_version_is_refused() {
    for other in [
        "application/vnd.dev.sigstore.bundle.v0.4+json",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
        "application/vnd.dev.sigstore.bundle.v0.3+json ",
        "",
    ] {
        let bytes = changed(|bundle| bundle["mediaType"] = other.into());
        let result = opened(&bytes, 7);
        assert!(matches!(result, Err(BundleError::MediaType)), "{other}");
    }
    let of_a_message = changed(|bundle| {
        let fields = bundle.as_object_mut().unwrap();
        fields.remove("dsseEnvelope");
        fields.insert("messageSignature".into(), json!({"signature": "AAAA"}));
    });
    assert!(matches!(
        opened(&of_a_message, 7),
        Err(BundleError::Json(_))
    ));
    assert!(matches!(opened(&envelope(), 7), Err(BundleError::Json(_))));
    for count in [0, 2] {
        let bytes = changed(|bundle| {
            let one = bundle["dsseEnvelope"]["signatures"][0].clone();
            bundle["dsseEnvelope"]["signatures"] = vec![one; count].into();
        });
        let result = opened(&bytes, 7);
        assert!(matches!(result, Err(BundleError::Signatures { found }) if found == count));
    }
}

#[test]
fn repeated_keys_and_lengths_are_refused() {
    let text = String::from_utf8(bundle()).unwrap();
    for key in ["mediaType", "dsseEnvelope", "payload", "sig"] {
        let needle = format!("\"{key}\":");
        let repeated = text.replacen(&needle, &format!("{needle}\"\",{needle}"), 1);
        assert_ne!(repeated, text);
        let result = opened(repeated.as_bytes(), 7);
        assert!(matches!(result, Err(BundleError::Json(_))), "{key}");
    }
    let mut limits = Limits::default();
    let keys = [key(7).public()];
    limits.json.bytes = text.len();
    assert!(open(text.as_bytes(), &keys, 1, &limits).is_ok());
    limits.json.bytes = text.len() - 1;
    assert!(matches!(
        open(text.as_bytes(), &keys, 1, &limits),
        Err(BundleError::Json(JsonError::TooLong { .. }))
    ));
}

#[test]
fn either_form_is_told_by_its_media_type() {
    let either = |bytes: &[u8]| open_either(bytes, &[key(7).public()], 1, &Limits::default());
    assert_eq!(either(&bundle()).unwrap(), either(&envelope()).unwrap());
    // an envelope that calls itself a bundle is one that lacks its content
    let mut both: Value = serde_json::from_slice(&envelope()).unwrap();
    both["mediaType"] = MEDIA_TYPE.into();
    let result = either(both.to_string().as_bytes());
    assert!(matches!(result, Err(BundleError::Json(_))));
    both["mediaType"] = 1.into();
    assert!(either(both.to_string().as_bytes()).is_err());
    for bad in [&b""[..], b"{", b"[]", b"\xff"] {
        assert!(matches!(
            either(bad),
            Err(BundleError::Envelope(OpenError::Envelope(_)))
        ));
    }
}
