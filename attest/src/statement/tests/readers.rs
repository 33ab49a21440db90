//! A reader refuses what the signer would not have signed, though a trusted key did.

use super::*;

/// Replaces in a composed statement, as somebody with a trusted key could.
fn tampered(verdict: Verdict, from: &str, to: &str) -> Result<Statement, StatementError> {
    let text = String::from_utf8(composed(&facts(verdict))).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    parse(text.replacen(from, to, 1).as_bytes())
}

#[test]
fn readers_refuse_what_the_signer_would() {
    let published = Sha256::of(PUBLISHED).to_string();
    let other = Sha256::of(OTHER).to_string();
    use Verdict::{Differs, Equivalent, Reproduced};
    assert!(tampered(Reproduced, "\"reproduced\"", "\"reproduced\"").is_ok());
    let contradiction = |verdict, from: &str, to: &str| {
        let result = tampered(verdict, from, to);
        assert!(
            matches!(result, Err(StatementError::Contradiction(_))),
            "{to}: {result:?}"
        );
    };
    contradiction(Reproduced, "/reproduced/v1", "/equivalent/v1");
    contradiction(Equivalent, "/equivalent/v1", "/reproduced/v1");
    contradiction(
        Reproduced,
        "\"verdict\":\"reproduced\"",
        "\"verdict\":\"assisted\"",
    );
    contradiction(
        Reproduced,
        "\"verdict\":",
        "\"reason\":\"tag-moved\",\"verdict\":",
    );
    contradiction(Differs, "\"reason\":\"content-differs\",", "");
    contradiction(Reproduced, &published, &other);
    contradiction(
        Reproduced,
        "\"name\":\"lib-1.2.3.tgz\"",
        "\"name\":\"other.tgz\"",
    );
    contradiction(Reproduced, "\"annotated\"", "\"lightweight\"");
    contradiction(Reproduced, "\"run\":1", "\"run\":0");

    let result = tampered(Reproduced, "/reproduced/v1", "/reproduced/v0");
    assert!(matches!(result, Err(StatementError::UnknownType(_))));
    let result = tampered(Reproduced, "countersign.dev", "countersign.example");
    assert!(matches!(result, Err(StatementError::UnknownType(_))));
    let result = tampered(Reproduced, "/Statement/v1", "/Statement/v0.1");
    assert!(matches!(result, Err(StatementError::NotAStatement)));
    let result = tampered(
        Reproduced,
        "\"sha256\":",
        "\"gitCommit\":\"aa\",\"sha256\":",
    );
    assert!(matches!(result, Err(StatementError::Predicate(_))));
    let result = tampered(Reproduced, "{\"sha256\":", "{\"sha999\":");
    assert!(matches!(result, Err(StatementError::Predicate(_))));
    let result = tampered(Reproduced, "{\"_type\":", "{\"_type\":\"x\",\"_type\":");
    assert!(matches!(result, Err(StatementError::Json(_))));
    let result = tampered(
        Reproduced,
        "\"verdict\":",
        "\"verdict\":\"differs\",\"verdict\":",
    );
    assert!(matches!(result, Err(StatementError::Json(_))));
    // a field that this version does not know takes nothing away
    assert!(tampered(Reproduced, "\"verdict\":", "\"note\":1,\"verdict\":").is_ok());
}

#[test]
fn a_verdict_has_exactly_one_subject() {
    let text = String::from_utf8(composed(&facts(Verdict::Reproduced))).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let subject = value["subject"][0].clone();
    for subjects in [vec![], vec![subject.clone(), subject]] {
        let count = subjects.len();
        value["subject"] = subjects.into();
        let result = parse(value.to_string().as_bytes());
        assert!(matches!(result, Err(StatementError::Subjects(n)) if n == count));
    }
}

#[test]
fn what_is_said_of_a_tags_signature_fits_its_state() {
    let signed = |key: Option<&str>| {
        Some(Signed {
            format: SignatureFormat::Ssh,
            key_fingerprint: key.map(str::to_owned),
        })
    };
    let key = || signed(Some("SHA256:abc"));
    for (state, signed, good) in [
        (SignatureState::Valid, key(), true),
        (SignatureState::Valid, signed(None), false),
        (SignatureState::Valid, None, false),
        (SignatureState::ExpiredKey, key(), true),
        (SignatureState::ExpiredKey, signed(None), false),
        (SignatureState::UnknownKey, signed(None), true),
        (SignatureState::UnknownKey, key(), true),
        (SignatureState::UnknownKey, None, false),
        (SignatureState::Invalid, signed(None), true),
        (SignatureState::Invalid, key(), false),
        (SignatureState::Unsigned, None, true),
        (SignatureState::Unsigned, signed(None), false),
        (SignatureState::Unchecked, None, true),
        (SignatureState::Unchecked, signed(None), true),
        (SignatureState::Unchecked, key(), false),
        (SignatureState::Valid, signed(Some("a\nb")), false),
    ] {
        let mut facts = base();
        facts.source.signature = state;
        facts.source.signed.clone_from(&signed);
        assert_eq!(
            compose(&facts, Custody::Operator).is_ok(),
            good,
            "{state:?} {signed:?}"
        );
        // a name for a commit bears nothing
        facts.source.tag_object = None;
        let unsigned = good && signed.is_none();
        assert_eq!(
            compose(&facts, Custody::Operator).is_ok(),
            unsigned,
            "{state:?} {signed:?}"
        );
    }
    let mut facts = base();
    (facts.source.signature, facts.source.signed) = (SignatureState::Valid, key());
    let text = String::from_utf8(composed(&facts)).unwrap();
    let field = r#""signature":{"state":"VALID","format":"ssh","keyFingerprint":"SHA256:abc"}"#;
    assert!(text.contains(field), "{text}");
}
