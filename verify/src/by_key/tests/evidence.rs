//! Evidence of other software under a key that the user names: what it counts for, and what it leaves open.

use countersign_attest::digest::hex;
use countersign_attest::key::EcdsaP256Key;
use countersign_fixtures::oss_rebuild::{KEYS, Run, envelope};
use serde_json::{Value, json};

use super::*;

const FILE: &str = "lib-1.2.3.tgz";

/// A link as rebuilderd writes it, for these bytes.
fn link(file_name: &str, bytes: &[u8], seed: u8) -> Attestation {
    let signed = json!({
        "_type": "link", "byproducts": {}, "command": [], "environment": null, "materials": {},
        "name": format!("rebuild {file_name}"),
        "products": {file_name: {"sha256": Digests::of(bytes).sha256}},
    });
    let signature = key(seed).sign(signed.to_string().as_bytes()).unwrap(); // canonical: sorted, plain ASCII
    let signatures = json!([{"keyid": "", "sig": hex(signature.as_bytes())}]);
    Attestation {
        name: "x.link".into(),
        unverified_bytes: json!({"signatures": signatures, "signed": signed})
            .to_string()
            .into(),
    }
}

/// Both attestations of a run of OSS Rebuild that built `built`.
fn bundle(built: &[u8], key: usize) -> Vec<Attestation> {
    let published = subject().sha256.unwrap().to_string();
    let built = Digests::of(built).sha256.to_string();
    let run = Run {
        package: ["npm", "lib", "1.2.3"],
        file_name: FILE,
        published: &published,
        built: &built,
        source: ["git+https://forge.example/lib", &"1".repeat(40)],
    };
    let lines = [run.equivalence(), run.rebuild()].map(|statement| envelope(&statement, key));
    let named = |(index, unverified_bytes)| Attestation {
        name: format!("rebuild.intoto.jsonl:{}", index + 1),
        unverified_bytes,
    };
    lines.into_iter().enumerate().map(named).collect()
}

fn theirs(index: usize) -> AnyPublicKey {
    EcdsaP256Key::from_pem(KEYS[index].1.as_bytes())
        .unwrap()
        .into()
}

fn by(keys: &[AnyPublicKey], accept: &[Verdict], attestations: &[Attestation]) -> Decision {
    let accept = accept.iter().copied().collect();
    let subject = subject();
    let question = Question {
        subject: &subject,
        keys,
        accept: &accept,
        now: "2026-11-26T12:00:00Z".parse().unwrap(),
    };
    decide(&question, attestations, Vec::new())
}

fn report(decision: &Decision) -> Value {
    serde_json::to_value(render::report(&subject(), decision)).unwrap()
}

#[test]
fn a_link_counts_and_says_what_it_leaves_open() {
    let ours = [key(7).public().into()];
    let decision = by(&ours, &[], &[link(FILE, b"published bytes", 7)]);
    assert_eq!(decision.answer, Answer::Accepted(Verdict::Reproduced));
    let text = render::text(&subject(), &decision);
    assert!(
        text.contains("a link of rebuilderd") && text.contains("when       not said"),
        "{text}"
    );
    let said = &report(&decision)["decided_by"];
    assert_eq!(
        (&said["form"], &said["verdict"]),
        (&json!("link"), &json!("reproduced"))
    );
    assert_eq!(
        (&said["commit"], &said["decided_on"]),
        (&json!(null), &json!(null))
    );
    assert!(
        said["weaker"]
            .as_str()
            .unwrap()
            .contains("does not say when")
    );

    let foreign = by(&ours, &[], &[link(FILE, b"published bytes", 8)]);
    assert_eq!(foreign.answer, Answer::BadSignature);
    let other = by(&ours, &[], &[link(FILE, b"other bytes", 7)]);
    assert_eq!(other.answer, Answer::AnotherBinary);
    let elsewhere = by(&ours, &[], &[link("other.tgz", b"other bytes", 7)]);
    assert_eq!(elsewhere.answer, Answer::AboutAnotherFile);
    let mut changed = link(FILE, b"published bytes", 7);
    let at = changed.unverified_bytes.len() - 5;
    changed.unverified_bytes[at] ^= 1;
    assert_ne!(by(&ours, &[], &[changed]).answer.exit().code(), 0);
}

/// A key that signs both: a link has no time, so that a statement always is the newer one.
#[test]
fn a_link_stands_behind_every_statement_of_its_key() {
    let ours = [key(7).public().into()];
    let link = link(FILE, b"published bytes", 7);
    for verdict in [Verdict::Differs, Verdict::Unstable] {
        let decision = by(&ours, &[], &[link.clone(), signed(&facts(verdict), 7)]);
        assert_eq!(decision.answer, Answer::NotAccepted(verdict));
        assert_eq!(decision.others.len(), 1);
    }
    // and who took a verdict on these bytes back did not mean to leave its link
    let good = signed(&facts(Verdict::Reproduced), 7);
    let withdrawal = signed(&taking_back(&facts(Verdict::Reproduced), &good), 7);
    let back = by(&ours, &[], &[link.clone(), withdrawal.clone()]);
    assert_eq!(back.answer, Answer::Withdrawn);
    let both = by(&ours, &[], &[link.clone(), good, withdrawal]);
    assert_eq!(both.answer, Answer::Withdrawn);
}

#[test]
fn a_bundle_of_oss_rebuild_counts_as_what_it_says() {
    let same = by(&[theirs(0)], &[], &bundle(b"published bytes", 0));
    assert_eq!(same.answer, Answer::Accepted(Verdict::Reproduced));
    assert!(same.problems.is_empty(), "{:?}", same.problems);
    let text = render::text(&subject(), &same);
    assert!(
        text.contains("OSS Rebuild: built once, with a network"),
        "{text}"
    );
    assert!(
        text.contains("source     git+https://forge.example/lib"),
        "{text}"
    );
    let said = &report(&same)["decided_by"];
    assert_eq!(
        (&said["form"], &said["source"]),
        (
            &json!("oss-rebuild"),
            &json!("git+https://forge.example/lib")
        )
    );
    assert_eq!(said["keys"], json!([theirs(0).key_id()]));

    let packed = by(&[theirs(0)], &[], &bundle(b"other bytes", 0));
    assert_eq!(packed.answer, Answer::NotAccepted(Verdict::Equivalent));
    assert_eq!(packed.answer.exit().code(), 1);
    let text = render::text(&subject(), &packed);
    assert!(
        text.contains("stabilization") && text.contains("modes"),
        "{text}"
    );
    let widened = by(
        &[theirs(0)],
        &[Verdict::Equivalent],
        &bundle(b"other bytes", 0),
    );
    assert_eq!(widened.answer, Answer::Accepted(Verdict::Equivalent));
}

#[test]
fn a_bundle_counts_for_nothing_else() {
    let good = bundle(b"published bytes", 0);
    let ours: AnyPublicKey = key(7).public().into();
    assert_eq!(by(&[theirs(1)], &[], &good).answer, Answer::BadSignature);
    assert_eq!(by(&[ours], &[], &good).answer, Answer::BadSignature);
    // half of it: the comparison alone suffices for the same bytes, how it was built never does
    let half = by(&[theirs(0)], &[], &good[..1]);
    assert_eq!(half.answer, Answer::Accepted(Verdict::Reproduced));
    let other = by(&[theirs(0)], &[], &good[1..]);
    assert_eq!(
        (other.answer, other.problems[0].kind),
        (Answer::Nothing, ProblemKind::NoVerdict)
    );
    let packed = bundle(b"other bytes", 0);
    assert_eq!(
        by(&[theirs(0)], &[Verdict::Equivalent], &packed[..1]).answer,
        Answer::Unreadable
    );
    // somebody has the file that was built: the bundle is about the published one
    let built = of_file(FILE, &Digests::of(b"other bytes"));
    let question = Question {
        subject: &built,
        keys: &[theirs(0)],
        accept: &[Verdict::Equivalent].into(),
        now: "2026-11-26T12:00:00Z".parse().unwrap(),
    };
    assert_eq!(
        decide(&question, &packed, Vec::new()).answer,
        Answer::AnotherBinary
    );
    // from the future, by its clock
    let early = Question {
        subject: &subject(),
        keys: &[theirs(0)],
        accept: &BTreeSet::new(),
        now: "2026-11-01T09:54:59Z".parse().unwrap(),
    };
    assert_eq!(
        decide(&early, &good, Vec::new()).problems[0].kind,
        ProblemKind::FromTheFuture
    );
}
