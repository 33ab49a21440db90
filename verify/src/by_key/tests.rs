//! Each answer with the attestations that lead to it, and each attempt to get a better one.

use std::fs;

use countersign_attest::dsse;
use countersign_attest::key::PrivateKey;
use countersign_attest::statement::{Custody, Facts, Kind, Withdrawal, compose};
use countersign_attest::verdict::WithdrawalReason;
use zeroize::Zeroizing;

use super::*;
use crate::files::{ReadError, ReadLimits, attestations};
use crate::render::by_key as render;
use countersign_attest::bundle;
use countersign_attest::digest::Digests;

mod evidence;

const FACTS: [(Verdict, &str); 7] = [
    (
        Verdict::Reproduced,
        include_str!("../../../attest/golden/facts/reproduced.json"),
    ),
    (
        Verdict::Assisted,
        include_str!("../../../attest/golden/facts/assisted.json"),
    ),
    (
        Verdict::Equivalent,
        include_str!("../../../attest/golden/facts/equivalent.json"),
    ),
    (
        Verdict::Differs,
        include_str!("../../../attest/golden/facts/differs.json"),
    ),
    (
        Verdict::Unstable,
        include_str!("../../../attest/golden/facts/unstable.json"),
    ),
    (
        Verdict::BuildFailed,
        include_str!("../../../attest/golden/facts/build-failed.json"),
    ),
    (
        Verdict::Indeterminate,
        include_str!("../../../attest/golden/facts/indeterminate.json"),
    ),
];

fn facts(verdict: Verdict) -> Facts {
    let (_, text) = FACTS.iter().find(|(v, _)| *v == verdict).unwrap();
    serde_json::from_str(text).unwrap()
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(Zeroizing::new([seed; 32])).unwrap()
}

fn signed(facts: &Facts, seed: u8) -> Attestation {
    let statement = compose(facts, Custody::Operator).unwrap();
    let unverified_bytes = dsse::sign(&statement, &key(seed)).unwrap();
    Attestation {
        name: format!("{}.json", facts.verdict),
        unverified_bytes,
    }
}

/// Facts that take back what key 7 signed.
fn taking_back(facts: &Facts, attestation: &Attestation) -> Facts {
    let (opened, _) = open_all(std::slice::from_ref(attestation), &[key(7).public().into()]);
    let Content::Statement(verified) = &opened[0].content else {
        panic!("a statement of ours");
    };
    let mut withdrawal = facts.clone();
    withdrawal.kind = Kind::Withdrawn;
    withdrawal.withdrawal = Some(Withdrawal {
        statement: verified.signed(),
        withdrawn_on: facts.decided_on.plus_seconds(5),
        reason: WithdrawalReason::WrongSource,
        note: None,
    });
    withdrawal
}

/// The bytes that the golden facts are about.
fn subject() -> Asked {
    of_file("lib-1.2.3.tgz", &Digests::of(b"published bytes"))
}

fn of_file(name: &str, digests: &Digests) -> Asked {
    Asked {
        purl: None,
        file_name: Some(name.into()),
        sha256: Some(digests.sha256),
        sha512: Some(digests.sha512),
    }
}

fn now() -> Timestamp {
    facts(Verdict::Reproduced).decided_on
}

fn ask(subject: &Asked, accept: &[Verdict], attestations: &[Attestation]) -> Decision {
    let accept = accept.iter().copied().collect();
    let keys = [key(7).public().into()];
    decide(
        &Question {
            subject,
            keys: &keys,
            accept: &accept,
            now: now(),
        },
        attestations,
        Vec::new(),
    )
}

fn answer(attestations: &[Attestation]) -> Answer {
    ask(&subject(), &[], attestations).answer
}

#[test]
fn each_verdict_has_the_exit_code_of_the_contract() {
    for (verdict, code, widened) in [
        (Verdict::Reproduced, 0, 0),
        (Verdict::Assisted, 1, 0),
        (Verdict::Equivalent, 1, 0),
        (Verdict::Differs, 1, 1),
        (Verdict::Unstable, 3, 3),
        (Verdict::BuildFailed, 3, 3),
        (Verdict::Indeterminate, 3, 3),
    ] {
        let attestation = [signed(&facts(verdict), 7)];
        assert_eq!(
            ask(&subject(), &[], &attestation).answer.exit().code(),
            code,
            "{verdict}"
        );
        let wide = ask(&subject(), &Verdict::ALL, &attestation).answer;
        assert_eq!(wide.exit().code(), widened, "{verdict}");
    }
    let equivalent = [signed(&facts(Verdict::Equivalent), 7)];
    let narrow = ask(&subject(), &[Verdict::Assisted], &equivalent).answer;
    assert_eq!(narrow, Answer::NotAccepted(Verdict::Equivalent));
}

#[test]
fn only_the_given_key_is_believed() {
    assert_eq!(answer(&[]), Answer::Nothing);
    let foreign = signed(&facts(Verdict::Reproduced), 8);
    assert_eq!(answer(std::slice::from_ref(&foreign)), Answer::BadSignature);
    let own = signed(&facts(Verdict::Reproduced), 7);
    assert_eq!(
        answer(&[foreign, own.clone()]),
        Answer::Accepted(Verdict::Reproduced)
    );

    let text = String::from_utf8(own.unverified_bytes).unwrap();
    let tampered = |text: String| Attestation {
        name: "t".into(),
        unverified_bytes: text.into(),
    };
    // one character of the payload, which is base64
    let changed = text.replacen("eyJ", "eyK", 1);
    assert_ne!(changed, text);
    assert_eq!(answer(&[tampered(changed)]), Answer::BadSignature);
    assert_eq!(answer(&[tampered("{}".into())]), Answer::Unreadable);
    let other_type = text.replace("in-toto+json", "other+json");
    assert_eq!(answer(&[tampered(other_type)]), Answer::Unreadable);
    for answer in [Answer::Nothing, Answer::BadSignature, Answer::Unreadable] {
        assert_eq!(answer.exit().code(), 4);
    }
}

#[test]
fn other_bytes_under_the_name_are_another_binary() {
    let attestation = [signed(&facts(Verdict::Reproduced), 7)];
    let mut tampered = of_file("lib-1.2.3.tgz", &Digests::of(b"tampered"));
    let decision = ask(&tampered, &[], &attestation);
    assert_eq!(
        (decision.answer, decision.answer.exit().code()),
        (Answer::AnotherBinary, 1)
    );
    assert!(decision.decided_by.is_none());

    tampered.file_name = Some("something-else.tgz".into());
    let decision = ask(&tampered, &[], &attestation);
    assert_eq!(
        (decision.answer, decision.answer.exit().code()),
        (Answer::AboutAnotherFile, 4)
    );
    tampered.purl = "pkg:npm/%40scope/lib@1.2.3".parse().ok();
    assert_eq!(
        ask(&tampered, &[], &attestation).answer,
        Answer::AnotherBinary
    );
    tampered.purl = "pkg:npm/%40scope/lib@1.2.4".parse().ok();
    assert_eq!(
        ask(&tampered, &[], &attestation).answer,
        Answer::AboutAnotherFile
    );
}

#[test]
fn the_bytes_count_and_not_their_name() {
    let attestation = [signed(&facts(Verdict::Reproduced), 7)];
    let mut renamed = subject();
    renamed.file_name = Some("renamed".into());
    assert_eq!(ask(&renamed, &[], &attestation).answer.exit().code(), 0);

    // every digest that both sides know has to be the same
    let mut mixed = subject();
    mixed.sha512 = Some(Digests::of(b"other").sha512);
    assert_ne!(ask(&mixed, &[], &attestation).answer.exit().code(), 0);
    mixed = subject();
    mixed.sha256 = None;
    assert_eq!(ask(&mixed, &[], &attestation).answer.exit().code(), 0);
    let mut without = facts(Verdict::Reproduced);
    without.published.sha512 = None;
    assert_ne!(
        ask(&mixed, &[], &[signed(&without, 7)])
            .answer
            .exit()
            .code(),
        0
    );
    assert_ne!(
        ask(&Asked::default(), &[], &attestation)
            .answer
            .exit()
            .code(),
        0
    );
}

#[test]
fn the_newest_verdict_counts_and_of_two_at_once_the_worse() {
    let good = signed(&facts(Verdict::Reproduced), 7);
    let mut later = facts(Verdict::Differs);
    later.decided_on = later.decided_on.plus_seconds(60);
    let bad_later = signed(&later, 7);
    let bad_at_once = signed(&facts(Verdict::Differs), 7);
    later.decided_on = later.decided_on.plus_seconds(-120);
    let bad_earlier = signed(&later, 7);
    for (bad, code) in [(bad_later, 1), (bad_at_once, 1), (bad_earlier, 0)] {
        for order in [[good.clone(), bad.clone()], [bad.clone(), good.clone()]] {
            let decision = ask(&subject(), &[], &order);
            assert_eq!(decision.answer.exit().code(), code);
            assert_eq!(decision.others.len(), 1);
        }
    }
}

#[test]
fn the_future_does_not_count_and_provenance_is_no_verdict() {
    let mut facts = facts(Verdict::Reproduced);
    facts.decided_on = now().plus_seconds(CLOCK_SKEW_SECONDS);
    assert_eq!(answer(&[signed(&facts, 7)]).exit().code(), 0);
    facts.decided_on = now().plus_seconds(CLOCK_SKEW_SECONDS + 1);
    assert_eq!(answer(&[signed(&facts, 7)]), Answer::Unreadable);

    facts.decided_on = now();
    facts.kind = Kind::Provenance;
    let decision = ask(&subject(), &[], &[signed(&facts, 7)]);
    assert_eq!(decision.answer, Answer::Nothing);
    assert_eq!(
        decision.problems.first().map(|p| p.kind),
        Some(ProblemKind::NoVerdict)
    );
}

#[test]
fn text_says_who_what_and_from_where_in_the_words_of_the_contract() {
    for (verdict, _) in FACTS {
        let subject = subject();
        let decision = ask(&subject, &[], &[signed(&facts(verdict), 7)]);
        let text = render::text(&subject, &decision);
        assert!(text.contains(verdict.sentence()), "{text}");
        for needed in [
            "https://rebuilder.example/",
            "git+https://forge.example/owner/lib",
            "v1.2.3",
        ] {
            assert!(text.contains(needed), "{text}");
        }
        assert!(
            text.contains("1111111111111111111111111111111111111111"),
            "{text}"
        );
        for never in ["safe", "verified", "trusted"] {
            assert!(!text.to_lowercase().contains(never), "{text}");
        }
        let json = serde_json::to_value(render::report(&subject, &decision)).unwrap();
        assert_eq!(json["exit_code"], decision.answer.exit().code());
        assert_eq!(json["decided_by"]["verdict"], verdict.word());
        assert_eq!(json["view"], "partial");
    }
}

#[test]
fn nothing_of_a_stranger_reaches_a_terminal_raw() {
    let mut hostile = facts(Verdict::Differs);
    hostile.published.file_name = "gpj.\u{202e}exe".into();
    hostile.comparison.as_mut().unwrap().differing_members[0].name = "a\u{2066}b".into();
    let mut attestation = signed(&hostile, 7);
    attestation.name = "a\u{1b}[2J.json".into();
    let mut subject = subject();
    subject.file_name = Some("x\u{1b}]0;y".into());
    let broken = Attestation {
        name: "b\n\u{7}".into(),
        unverified_bytes: b"{\x1b".to_vec(),
    };
    hostile.decided_on = hostile.decided_on.plus_seconds(1);
    let newer = signed(&hostile, 7);
    let decision = ask(&subject, &[], &[attestation, newer, broken]);
    let text = render::text(&subject, &decision);
    assert!(
        text.lines().all(countersign_attest::escape::is_printable),
        "{text}"
    );
    assert!(
        text.contains("a\\u{2066}b") && text.contains("\\u{1b}[2J"),
        "{text}"
    );
    let json = serde_json::to_string(&render::report(&subject, &decision)).unwrap();
    assert!(!json.contains(char::is_control));
}

#[test]
fn who_signed_can_take_back_and_nobody_else_can() {
    let facts = facts(Verdict::Reproduced);
    let good = signed(&facts, 7);
    let withdrawal = taking_back(&facts, &good);
    let own = signed(&withdrawal, 7);
    assert_eq!(answer(&[good.clone(), own.clone()]), Answer::Withdrawn);
    assert_eq!(answer(&[own.clone(), good.clone()]), Answer::Withdrawn);
    assert_eq!(Answer::Withdrawn.exit().code(), 4);
    assert_eq!(answer(std::slice::from_ref(&own)), Answer::Nothing);
    // another key that is believed too
    let mut others = withdrawal.clone();
    others.rebuilder.id = "https://another.example/".into();
    let foreign = signed(&others, 8);
    let asked = subject();
    let question = Question {
        subject: &asked,
        keys: &[key(7).public().into(), key(8).public().into()],
        accept: &BTreeSet::new(),
        now: now(),
    };
    let answered = decide(&question, &[good.clone(), foreign], Vec::new()).answer;
    assert_eq!(answered, Answer::Accepted(Verdict::Reproduced));
    // the same rebuilder's next key, where the user believes it; else it is nobody's
    let next = signed(&withdrawal, 8);
    let answered = decide(&question, &[good.clone(), next.clone()], Vec::new()).answer;
    assert_eq!(answered, Answer::Withdrawn);
    assert_eq!(
        answer(&[good.clone(), next]),
        Answer::Accepted(Verdict::Reproduced)
    );
    // no older verdict appears behind it, and a newer one counts
    let mut other = facts.clone();
    other.decided_on = other.decided_on.plus_seconds(-60);
    let older = signed(&other, 7);
    assert_eq!(
        answer(&[older, good.clone(), own.clone()]),
        Answer::Withdrawn
    );
    other.decided_on = facts.decided_on.plus_seconds(60);
    let newer = signed(&other, 7);
    let answered = answer(&[newer, good, own]);
    assert_eq!(answered, Answer::Accepted(Verdict::Reproduced));
}

#[test]
fn bundles_are_read_like_envelopes_and_count_once() {
    let envelope = signed(&facts(Verdict::Reproduced), 7);
    let bundled = |seed| Attestation {
        name: "b.sigstore.json".into(),
        unverified_bytes: {
            let envelope = signed(&facts(Verdict::Reproduced), seed).unverified_bytes;
            bundle::from_envelope(&envelope, &key(seed).public()).unwrap()
        },
    };
    assert_eq!(answer(&[bundled(7)]), Answer::Accepted(Verdict::Reproduced));
    assert_eq!(answer(&[bundled(8)]), Answer::BadSignature);
    let both = ask(&subject(), &[], &[envelope, bundled(7)]);
    assert_eq!(both.answer, Answer::Accepted(Verdict::Reproduced));
    assert!(both.others.is_empty() && both.problems.is_empty());

    let text = String::from_utf8(bundled(7).unverified_bytes).unwrap();
    for (changed, expected) in [
        (text.replacen("eyJ", "eyK", 1), Answer::BadSignature),
        (text.replace("v0.3", "v0.4"), Answer::Unreadable),
        (
            text.replace("in-toto+json", "other+json"),
            Answer::Unreadable,
        ),
        (
            text.replacen("{\"mediaType\"", "{\"mediaType\":1,\"mediaType\"", 1),
            Answer::Unreadable,
        ),
    ] {
        assert_ne!(changed, text);
        let attestation = Attestation {
            name: "t".into(),
            unverified_bytes: changed.into(),
        };
        assert_eq!(answer(&[attestation]), expected);
    }
}

#[test]
fn who_could_not_be_asked_matters_only_where_nothing_else_decides() {
    let gathered = |kind| Problem {
        name: "https://rebuilder.example/".into(),
        kind,
        message: "x".into(),
    };
    let with = |attestations: &[Attestation], kinds: &[ProblemKind]| {
        let subject = subject();
        let question = Question {
            subject: &subject,
            keys: &[key(7).public().into()],
            accept: &BTreeSet::new(),
            now: now(),
        };
        let gathering = kinds.iter().map(|kind| gathered(*kind)).collect();
        decide(&question, attestations, gathering).answer
    };
    let down = [ProblemKind::Unreachable];
    assert_eq!(with(&[], &down), Answer::Unreachable);
    assert_eq!(Answer::Unreachable.exit().code(), 5);
    assert_eq!(with(&[], &[ProblemKind::NothingThere]), Answer::Nothing);
    assert_eq!(with(&[], &[ProblemKind::BadAnswer]), Answer::Unreadable);
    let both = [ProblemKind::Unreachable, ProblemKind::BadAnswer];
    assert_eq!(with(&[], &both), Answer::Unreadable);

    let good = signed(&facts(Verdict::Reproduced), 7);
    let bad = signed(&facts(Verdict::Differs), 7);
    assert_eq!(with(&[good], &both), Answer::Accepted(Verdict::Reproduced));
    assert_eq!(with(&[bad], &down), Answer::NotAccepted(Verdict::Differs));
    let foreign = signed(&facts(Verdict::Reproduced), 8);
    assert_eq!(with(&[foreign], &down), Answer::BadSignature);
    let mut elsewhere = facts(Verdict::Reproduced);
    elsewhere.published.file_name = "other.tgz".into();
    elsewhere.published.sha256 = Digests::of(b"other").sha256;
    elsewhere.published.sha512 = None;
    elsewhere.published.size_bytes = None;
    for rebuilt in &mut elsewhere.rebuilt {
        rebuilt.digests = Digests::of(b"other");
    }
    let elsewhere = signed(&elsewhere, 7);
    assert_eq!(
        with(std::slice::from_ref(&elsewhere), &[]),
        Answer::AboutAnotherFile
    );
    assert_eq!(with(&[elsewhere], &down), Answer::Unreachable);
}

#[test]
fn folders_are_read_flat_and_under_limits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let [one, two] = [Verdict::Reproduced, Verdict::Differs].map(|v| signed(&facts(v), 7));
    fs::write(path.join("b.json"), &one.unverified_bytes).unwrap();
    fs::write(
        path.join("a.jsonl"),
        [&one.unverified_bytes[..], &two.unverified_bytes].concat(),
    )
    .unwrap();
    fs::write(path.join("lib.tgz"), b"\x1f\x8b").unwrap();
    fs::create_dir(path.join("inner")).unwrap();
    fs::write(path.join("inner/c.json"), &one.unverified_bytes).unwrap();
    std::os::unix::fs::symlink(path.join("b.json"), path.join("link.json")).unwrap();

    let limits = ReadLimits::default();
    let found = attestations(path, &limits).unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|a| a.name.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["a.jsonl:1", "a.jsonl:2", "b.json"]);
    assert_eq!(answer(&found), Answer::NotAccepted(Verdict::Differs));

    // a file that is named is taken even if it is not an envelope, so that somebody says so
    let named = attestations(&path.join("lib.tgz"), &limits).unwrap();
    assert_eq!(answer(&named), Answer::Unreadable);

    let length = one.unverified_bytes.len() as u64;
    let exact = ReadLimits {
        file_bytes: length,
        ..limits
    };
    assert_eq!(attestations(&path.join("b.json"), &exact).unwrap().len(), 1);
    let short = ReadLimits {
        file_bytes: length - 1,
        ..limits
    };
    let error = attestations(&path.join("b.json"), &short).unwrap_err();
    assert!(matches!(error, ReadError::TooLong { .. }));
    let few = ReadLimits { files: 2, ..limits };
    assert!(matches!(
        attestations(path, &few),
        Err(ReadError::TooMany { .. })
    ));
    let few = ReadLimits {
        attestations: 2,
        ..limits
    };
    assert!(matches!(
        attestations(path, &few),
        Err(ReadError::TooMany { .. })
    ));
    assert!(matches!(
        attestations(&path.join("none"), &limits),
        Err(ReadError::Io { .. })
    ));
}
