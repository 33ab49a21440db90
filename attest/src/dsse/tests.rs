//! Envelopes that open, and every attempt to open one that must not.

use super::*;
use crate::key::PrivateKey;
use crate::statement::tests::{facts, golden};
use crate::statement::{Custody, compose};
use crate::verdict::Verdict;
use zeroize::Zeroizing;

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(Zeroizing::new([seed; 32])).unwrap()
}

fn statement() -> Vec<u8> {
    compose(&facts(Verdict::Reproduced), Custody::Operator).unwrap()
}

fn opened(
    envelope: &[u8],
    keys: &[u8],
    threshold: usize,
) -> Result<Verified<Statement>, OpenError> {
    let keys: Vec<PublicKey> = keys.iter().map(|seed| key(*seed).public()).collect();
    open(envelope, &keys, threshold, &Limits::default())
}

/// An envelope of `statement()` with these signatures.
fn envelope(signatures: &[(Option<String>, String)]) -> serde_json::Value {
    let signatures: Vec<_> = signatures
        .iter()
        .map(|(keyid, sig)| serde_json::json!({"keyid": keyid, "sig": sig, "cert": "ignored"}))
        .collect();
    serde_json::json!({
        "payload": STANDARD.encode(statement()),
        "payloadType": PAYLOAD_TYPE,
        "signatures": signatures,
        "unknown": {"field": 1},
    })
}

fn signature(seed: u8) -> String {
    STANDARD.encode(
        key(seed)
            .sign(&pae(PAYLOAD_TYPE, &statement()))
            .unwrap()
            .as_bytes(),
    )
}

/// The vector of the DSSE specification, protocol.md.
#[test]
fn pae_is_that_of_the_specification() {
    assert_eq!(
        pae("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
    assert_eq!(pae("é", b""), "DSSEv1 2 é 0 ".as_bytes());
}

#[test]
fn what_was_signed_opens_under_its_key_and_no_other() {
    let line = sign(&statement(), &key(7)).unwrap();
    assert_eq!(line, sign(&statement(), &key(7)).unwrap());
    golden("envelope.json", &line);
    let verified = opened(&line, &[7], 1).unwrap();
    assert_eq!(verified.signers(), [key(7).public()]);
    assert!(matches!(verified.value(), Statement::Verdict(_)));
    assert!(opened(&line, &[8, 7, 9], 1).is_ok());
    assert!(matches!(
        opened(&line, &[8, 9], 1),
        Err(OpenError::Threshold {
            good: 0,
            threshold: 1
        })
    ));
    assert!(matches!(
        opened(&line, &[], 1),
        Err(OpenError::Threshold { .. })
    ));
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let line = sign(&statement(), &key(7)).unwrap();
    let text = String::from_utf8(line.clone()).unwrap();
    let id = text.find(&key(7).public().key_id()).unwrap();
    for at in 0..line.len() - 1 {
        let mut bytes = line.clone();
        bytes[at] ^= 1;
        // the key id only orders what is tried, and its name may be unknown
        if !(id - 9..id + 65).contains(&at) {
            assert!(opened(&bytes, &[7], 1).is_err(), "{at}: {}", &text[at..=at]);
        }
    }
}

#[test]
fn a_threshold_counts_distinct_keys() {
    let twice = envelope(&[(None, signature(7)), (Some("other".into()), signature(7))]);
    let twice = twice.to_string();
    assert_eq!(
        opened(twice.as_bytes(), &[7, 7], 1)
            .unwrap()
            .signers()
            .len(),
        1
    );
    assert!(matches!(
        opened(twice.as_bytes(), &[7, 7, 8], 2),
        Err(OpenError::Threshold {
            good: 1,
            threshold: 2
        })
    ));
    let both = envelope(&[(None, signature(7)), (None, signature(8))]).to_string();
    assert_eq!(
        opened(both.as_bytes(), &[7, 8], 2).unwrap().signers().len(),
        2
    );
    assert!(matches!(
        opened(both.as_bytes(), &[7, 8], 0),
        Err(OpenError::ZeroThreshold)
    ));
}

#[test]
fn a_key_id_orders_and_never_excludes() {
    let wrong_id = Some(key(8).public().key_id());
    let text = envelope(&[(wrong_id, signature(7))]).to_string();
    assert_eq!(
        opened(text.as_bytes(), &[8, 7], 1).unwrap().signers(),
        [key(7).public()]
    );
    let text = envelope(&[(Some(String::new()), "!".into()), (None, signature(7))]).to_string();
    assert!(opened(text.as_bytes(), &[7], 1).is_ok());
}

#[test]
fn both_alphabets_are_read() {
    let url_safe = |text: &str| text.replace('+', "-").replace('/', "_").replace('=', "");
    let mut value = envelope(&[(None, url_safe(&signature(7)))]);
    value["payload"] = url_safe(&STANDARD.encode(statement())).into();
    assert!(opened(value.to_string().as_bytes(), &[7], 1).is_ok());
    value["payload"] = "!".into();
    assert!(matches!(
        opened(value.to_string().as_bytes(), &[7], 1),
        Err(OpenError::Base64)
    ));
}

#[test]
fn other_envelopes_are_refused() {
    let mut value = envelope(&[(None, signature(7))]);
    value["payloadType"] = "application/vnd.in-toto+json ".into();
    let result = opened(value.to_string().as_bytes(), &[7], 1);
    assert!(matches!(result, Err(OpenError::PayloadType { .. })));

    let line = String::from_utf8(sign(&statement(), &key(7)).unwrap()).unwrap();
    let repeated = line.replacen("{\"payload\"", "{\"payload\":\"\",\"payload\"", 1);
    let result = opened(repeated.as_bytes(), &[7], 1);
    assert!(matches!(result, Err(OpenError::Envelope(_))));

    let many: Vec<_> = (0..33).map(|_| (None, signature(7))).collect();
    let result = opened(envelope(&many).to_string().as_bytes(), &[7], 1);
    assert!(matches!(
        result,
        Err(OpenError::TooManySignatures {
            found: 33,
            limit: 32
        })
    ));
    let result = opened(envelope(&many[..32]).to_string().as_bytes(), &[7], 1);
    assert!(result.is_ok());

    let mut limits = Limits::default();
    limits.json.bytes = line.len();
    let keys = [key(7).public()];
    assert!(open(line.as_bytes(), &keys, 1, &limits).is_ok());
    limits.json.bytes = line.len() - 1;
    let result = open(line.as_bytes(), &keys, 1, &limits);
    assert!(matches!(
        result,
        Err(OpenError::Envelope(JsonError::TooLong { .. }))
    ));
}

#[test]
fn a_good_signature_does_not_excuse_a_bad_statement() {
    for bad in [&b"{}"[..], b"", b"\xff"] {
        let line = sign(bad, &key(7)).unwrap();
        assert!(matches!(
            opened(&line, &[7], 1),
            Err(OpenError::Statement(_))
        ));
    }
}
