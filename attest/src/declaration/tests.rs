//! Declarations that are read, and every attempt to have one read that must not be.

use zeroize::Zeroizing;

use super::*;
use crate::digest::Sha256;
use crate::key::PrivateKey;
use crate::time::Timestamp;

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(Zeroizing::new([seed; 32])).unwrap()
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

fn identity(seed: u8) -> Identity {
    Identity {
        rebuilder: "https://alice.example".into(),
        address: Some("https://alice.example/rebuilds/".into()),
        key: key(seed).public(),
        log: None,
        issued_on: moment(1_700_000_000),
    }
}

fn signed(declaration: Declaration, seed: u8) -> Vec<u8> {
    declaration.sign(&key(seed)).unwrap()
}

fn rotation(old: u8, new: u8, from: i64) -> Vec<u8> {
    let rotation = Declaration::Rotation(Rotation {
        rebuilder: "https://alice.example".into(),
        old: key(old).public(),
        new: key(new).public(),
        from: moment(from),
    });
    let halves = [old, new].map(|seed| signed(rotation.clone(), seed));
    join(&halves[0], &halves[1], &Limits::default()).unwrap()
}

fn card(seed: u8, rotations: &[Vec<u8>]) -> Result<Card, CardError> {
    let identity = signed(Declaration::Identity(identity(seed)), seed);
    let bytes = Card::write(&identity, rotations).unwrap();
    Card::parse(&bytes, &Limits::default())
}

#[test]
fn an_identity_is_signed_by_the_key_that_it_names_or_not_at_all() {
    let card = card(1, &[]).unwrap();
    assert_eq!(card.identity(), &identity(1));
    let other = Declaration::Identity(identity(1)).sign(&key(2));
    assert!(matches!(other, Err(SignError::OtherKey)));

    // somebody else signs the same words
    let payload = serde_json::to_vec(&identity(1)).unwrap();
    let forged = dsse::sign_payload(Identity::PAYLOAD_TYPE, &payload, &key(2)).unwrap();
    let bytes = Card::write(&forged, &[]).unwrap();
    let error = Card::parse(&bytes, &Limits::default()).unwrap_err();
    assert!(error.is_bad_signature(), "{error}");

    // the same words under another type
    let other = dsse::sign_payload(Rotation::PAYLOAD_TYPE, &payload, &key(1)).unwrap();
    let bytes = Card::write(&other, &[]).unwrap();
    let error = Card::parse(&bytes, &Limits::default()).unwrap_err();
    assert!(matches!(
        error,
        CardError::Identity(OpenError::PayloadType { .. })
    ));
}

#[test]
fn a_declaration_is_no_statement_and_a_statement_no_declaration() {
    let envelope = signed(Declaration::Identity(identity(1)), 1);
    let keys = [key(1).public()];
    let limits = Limits::default();
    assert!(matches!(
        dsse::open(&envelope, &keys, 1, &limits),
        Err(OpenError::PayloadType { .. })
    ));
    let payload = serde_json::to_vec(&identity(1)).unwrap();
    let statement = dsse::sign(&payload, &key(1)).unwrap();
    assert!(matches!(
        open::<Identity>(&statement, &keys, 1, &limits),
        Err(OpenError::PayloadType { .. })
    ));
}

#[test]
fn a_chain_of_changes_leads_from_a_pinned_key() {
    let changes = [rotation(1, 2, 100), rotation(2, 3, 200)];
    let card = card(3, &changes).unwrap();
    let way = |seed| {
        let way = card.way_from(&key(seed).public())?;
        Some(
            way.iter()
                .map(|r| r.from.unix_seconds())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(way(3), Some(vec![]));
    assert_eq!(way(2), Some(vec![200]));
    assert_eq!(way(1), Some(vec![100, 200]));
    assert_eq!(way(4), None);
}

#[test]
fn changes_that_go_back_in_time_or_in_circles_lead_nowhere() {
    let back = card(3, &[rotation(1, 2, 200), rotation(2, 3, 100)]).unwrap();
    assert_eq!(back.way_from(&key(1).public()), None);
    let circle = card(3, &[rotation(1, 2, 100), rotation(2, 1, 200)]).unwrap();
    assert_eq!(circle.way_from(&key(1).public()), None);
}

#[test]
fn a_change_needs_both_keys() {
    let change = Rotation {
        rebuilder: "https://alice.example".into(),
        old: key(1).public(),
        new: key(2).public(),
        from: moment(100),
    };
    for seed in [1, 2] {
        let half = signed(Declaration::Rotation(change.clone()), seed);
        let error = card(2, &[half]).unwrap_err();
        assert!(error.is_bad_signature(), "{error}");
    }
    // the same half twice is one key
    let half = signed(Declaration::Rotation(change.clone()), 2);
    let twice = join(&half, &half, &Limits::default()).unwrap();
    assert!(card(2, &[twice]).unwrap_err().is_bad_signature());

    let other = Rotation {
        rebuilder: "https://bob.example".into(),
        ..change
    };
    let halves = [1, 2].map(|seed| signed(Declaration::Rotation(other.clone()), seed));
    let whole = join(&halves[0], &halves[1], &Limits::default()).unwrap();
    assert!(matches!(card(2, &[whole]), Err(CardError::OtherOperator)));
    assert!(join(&halves[0], &rotation(1, 2, 5), &Limits::default()).is_err());
}

#[test]
fn what_cannot_be_meant_is_neither_signed_nor_read() {
    type Change = fn(&mut Identity);
    let changes: [Change; 6] = [
        |i| i.rebuilder = String::new(),
        |i| i.rebuilder = "\u{1b}]0;x\u{7}".into(),
        |i| i.rebuilder = "x".repeat(2049),
        |i| i.address = Some("ftp://alice.example".into()),
        |i| i.address = Some("https://alice.example/?x".into()),
        |i| i.address = Some("https://user@alice.example/".into()),
    ];
    for change in changes {
        let mut bad = identity(1);
        change(&mut bad);
        assert!(Declaration::Identity(bad.clone()).sign(&key(1)).is_err());
        let payload = serde_json::to_vec(&bad).unwrap();
        let envelope = dsse::sign_payload(Identity::PAYLOAD_TYPE, &payload, &key(1)).unwrap();
        let bytes = Card::write(&envelope, &[]).unwrap();
        assert!(Card::parse(&bytes, &Limits::default()).is_err(), "{bad:?}");
    }
    let many: Vec<_> = (0..33).map(|n| rotation(1, 2, n)).collect();
    assert!(matches!(card(1, &many), Err(CardError::TooMany)));
}

fn list() -> OperatorList {
    let alice = ListedOperator {
        keys: vec![key(1).public().into()],
        rebuilder: Some("https://alice.example/".into()),
        log: None,
        attrs: [("country".to_owned(), "FIN".to_owned())].into(),
    };
    OperatorList {
        name: "A list".into(),
        issued_on: moment(100),
        expires_on: moment(200),
        operators: [("alice".to_owned(), alice)].into(),
    }
}

#[test]
fn a_list_names_operators_and_nothing_else() {
    let limits = Limits::default();
    let keys = [key(9).public()];
    let envelope = signed(Declaration::Operators(list()), 9);
    let opened = open::<OperatorList>(&envelope, &keys, 1, &limits).unwrap();
    assert_eq!(opened.value(), &list());
    assert!(open::<OperatorList>(&envelope, &[key(1).public()], 1, &limits).is_err());

    let mut nested = serde_json::to_value(list()).unwrap();
    nested["lists"] = serde_json::json!(["https://other.example/list"]);
    let mut inside = serde_json::to_value(list()).unwrap();
    inside["operators"]["alice"]["list"] = "https://other.example/list".into();
    let mut empty = serde_json::to_value(list()).unwrap();
    empty["operators"] = serde_json::json!({});
    let mut named = serde_json::to_value(list()).unwrap();
    named["operators"]["a: b\n"] = named["operators"]["alice"].clone();
    let mut expired = serde_json::to_value(list()).unwrap();
    expired["expiresOn"] = expired["issuedOn"].clone();
    for bad in [nested, inside, empty, named, expired] {
        let payload = serde_json::to_vec(&bad).unwrap();
        let envelope = dsse::sign_payload(OperatorList::PAYLOAD_TYPE, &payload, &key(9)).unwrap();
        let error = open::<OperatorList>(&envelope, &keys, 1, &limits).unwrap_err();
        assert!(matches!(error, OpenError::Declaration(_)), "{bad}: {error}");
    }
}

fn candidate() -> CandidateRequest {
    let artifact = |name: &str| CandidateArtifact {
        name: name.into(),
        sha256: Sha256::of(name.as_bytes()),
    };
    CandidateRequest {
        source: "git+https://forge.example/me/lib".into(),
        tag: "v1".into(),
        artifacts: vec![artifact("a.tgz"), artifact("b.tgz")],
        expires_on: moment(100),
    }
}

#[test]
fn a_request_is_the_same_whenever_and_in_whatever_order_it_asks() {
    let mut same = candidate();
    same.artifacts.reverse();
    same.expires_on = moment(200);
    assert_eq!(same.id(), candidate().id());
    type Change = fn(&mut CandidateRequest);
    let others: [Change; 4] = [
        |r| r.tag = "v2".into(),
        |r| r.source.push('x'),
        |r| drop(r.artifacts.pop()),
        |r| r.artifacts[0].sha256 = Sha256::of(b"other"),
    ];
    for change in others {
        let mut other = candidate();
        change(&mut other);
        assert_ne!(other.id(), candidate().id(), "{other:?}");
    }
    let bad: [Change; 6] = [
        |r| r.artifacts.clear(),
        |r| r.artifacts[0].name = "../x".into(),
        |r| r.artifacts[0].name = "..".into(),
        |r| r.artifacts[1].name = "a.tgz".into(),
        |r| r.source = "https://forge.example/me/lib".into(),
        |r| r.tag = "v1\u{202e}".into(),
    ];
    for change in bad {
        let mut bad = candidate();
        change(&mut bad);
        assert!(bad.check().is_err(), "{bad:?}");
    }
}
