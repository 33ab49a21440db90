//! The targets of what is signed: envelopes, statements, bundles, links, evidence of other software, policies,
//! package URLs. What must
//! hold in all of them: nothing is accepted because something could not be read.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::bundle;
use countersign_attest::dsse::{self, Limits, PAYLOAD_TYPE, pae};
use countersign_attest::evidence::oss_rebuild::{self, OssRebuild};
use countersign_attest::json;
use countersign_attest::key::{EcdsaP256Key, PrivateKey, PublicKey, Signature};
use countersign_attest::link;
use countersign_attest::policy::Policy;
use countersign_attest::purl::Purl;
use countersign_attest::statement::{Custody, Facts, Statement};
use countersign_fixtures::oss_rebuild::{KEYS, Run, envelope as signed_by_ecdsa};
use countersign_verify::policy_file;
use serde_json::Value;
use zeroize::Zeroizing;

/// A golden file of the crate `attest`.
macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("../../attest/golden/", $name))
    };
}

/// What is signed in honest documents of the targets.
const STATEMENTS: [&[u8]; 5] = [
    golden!("statements/reproduced.json"),
    golden!("statements/complete.json"),
    golden!("statements/equivalent.json"),
    golden!("statements/withdrawn.json"),
    golden!("statements/replay.provenance.json"),
];
const POLICY: &[u8] = include_bytes!("../../config/examples/policy.yaml");

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(Zeroizing::new([seed; 32])).expect("any 32 bytes")
}

/// Runs one case of a target of this file.
pub(crate) fn run(target: &str, data: &[u8]) {
    match target {
        "envelope" => envelope(data),
        "statement" => statement(data),
        "bundle" => bundle(data),
        "link" => read_link(data),
        "oss-rebuild" => oss_rebuild(data),
        "policy" => policy(data),
        "purl" => purl(data),
        other => panic!("no target {other}"),
    }
}

/// An envelope opens only where the key made a signature over the very payload, written down here once
/// more; and never for a key that signed nothing.
fn envelope(data: &[u8]) {
    let (ours, stranger) = (key(7).public(), key(9).public());
    let limits = Limits::default();
    assert!(dsse::open(data, &[stranger], 1, &limits).is_err());
    assert!(dsse::open(data, &[], 1, &limits).is_err());
    assert!(dsse::open(data, &[ours, ours], 2, &limits).is_err());
    let _ = dsse::unverified_claim(data, &limits);
    if let Ok(opened) = dsse::open(data, &[ours, stranger], 1, &limits) {
        assert_eq!(opened.signers(), [ours]);
        let document: Value = serde_json::from_slice(data).expect("it was read");
        assert!(is_signed(&document, &ours), "opened without a signature");
        assert_eq!(document["payloadType"], PAYLOAD_TYPE);
    }
}

/// Whether one of the signatures is the key's over the payload, in either alphabet of base64.
fn is_signed(envelope: &Value, key: &PublicKey) -> bool {
    let decoded = |value: &Value| {
        let text = value.as_str()?.replace('-', "+").replace('_', "/");
        let text = text.trim_end_matches('=');
        STANDARD
            .decode(format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4)))
            .ok()
    };
    let Some(payload) = decoded(&envelope["payload"]) else {
        return false;
    };
    let message = pae(PAYLOAD_TYPE, &payload);
    let mut signatures = envelope["signatures"].as_array().into_iter().flatten();
    signatures.any(|signature| {
        let bytes = decoded(&signature["sig"]);
        let signature = bytes.and_then(|bytes| Signature::from_slice(&bytes));
        signature.is_some_and(|signature| key.verifies(&message, &signature))
    })
}

/// What is read as a verdict is what its JSON says, about the one subject that stands there.
fn statement(data: &[u8]) {
    let limits = json::Limits::default();
    let Ok(read) = Statement::parse(data, &limits) else {
        return;
    };
    let document: Value = serde_json::from_slice(data).expect("it was read");
    assert_eq!(document["_type"], "https://in-toto.io/Statement/v1");
    let subjects = document["subject"].as_array().expect("it was read");
    let sha256 = |at: usize| {
        subjects[at]["digest"]["sha256"]
            .as_str()
            .expect("it was read")
            .to_owned()
    };
    let predicate = &document["predicate"];
    let name = document["predicateType"].as_str().expect("it was read");
    match read {
        Statement::Verdict(verdict) => {
            assert_eq!(subjects.len(), 1);
            assert_eq!(verdict.subject.digest.sha256.to_string(), sha256(0));
            assert_eq!(predicate["verdict"], verdict.predicate.verdict.word());
            let word = verdict.predicate.verdict.word();
            assert!(
                name.contains(word) || name.contains("/not-rebuilt/"),
                "{name}"
            );
        }
        Statement::Withdrawn(withdrawn) => {
            assert_eq!(subjects.len(), 1);
            assert_eq!(withdrawn.subject.digest.sha256.to_string(), sha256(0));
            assert!(name.contains("/withdrawn/"), "{name}");
        }
        Statement::Build(built) => {
            assert_eq!(built.subjects.len(), subjects.len());
            assert_eq!(
                built.is_provenance,
                !name.contains("/build-record/"),
                "{name}"
            );
        }
    }
}

/// As an envelope; and what stands beside the envelope in a bundle adds no belief.
fn bundle(data: &[u8]) {
    let (ours, stranger) = (key(7).public(), key(9).public());
    let limits = Limits::default();
    assert!(bundle::open_either(data, &[stranger], 1, &limits).is_err());
    if bundle::open_either(data, &[ours], 1, &limits).is_ok() {
        let document: Value = serde_json::from_slice(data).expect("it was read");
        let envelope = match document.get("dsseEnvelope") {
            Some(envelope) => envelope,
            None => &document,
        };
        assert!(is_signed(envelope, &ours), "opened without a signature");
    }
}

/// Links are made and never believed here: facts are read, and what is made of them verifies or is refused.
fn read_link(data: &[u8]) {
    let Ok(facts) = serde_json::from_slice::<Facts>(data) else {
        return;
    };
    let key = key(7);
    let Ok(made) = link::sign(&facts, Custody::Operator, &key) else {
        return;
    };
    let document: Value = serde_json::from_slice(&made).expect("JSON");
    let product = facts.rebuilt.first().expect("reproduced");
    assert_eq!(product.digests.sha256, facts.published.sha256);
    let said = &document["signed"]["products"][&product.file_name]["sha256"];
    assert_eq!(said, &product.digests.sha256.to_string());
}

fn ecdsa_key(index: usize) -> EcdsaP256Key {
    EcdsaP256Key::from_pem(KEYS[index].1.as_bytes()).expect("a key")
}

/// As an envelope, under an ECDSA key; what comes out is about the subject that stands there.
fn oss_rebuild(data: &[u8]) {
    let (ours, stranger) = (ecdsa_key(0), ecdsa_key(1));
    let _ = oss_rebuild::is_oss_rebuild(data);
    assert!(oss_rebuild::open(data, &[stranger]).is_err());
    assert!(oss_rebuild::open(data, &[]).is_err());
    let Ok(opened) = oss_rebuild::open(data, &[stranger, ours]) else {
        return;
    };
    let document: Value = serde_json::from_slice(data).expect("it was read");
    let text = document["payload"].as_str().expect("it was read");
    let text = text.replace('-', "+").replace('_', "/");
    let text = text.trim_end_matches('=');
    let padded = format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4));
    let payload = STANDARD.decode(padded).expect("it was read");
    let payload: Value = serde_json::from_slice(&payload).expect("it was read");
    if let OssRebuild::Equivalence(compared) = opened
        && let Ok(testimony) = compared.testimony(&[])
    {
        let said = serde_json::to_value(&testimony.said).expect("plain data");
        assert_eq!(said["sha256"], payload["subject"][0]["digest"]["sha256"]);
        assert_eq!(said["verdict"], "reproduced");
        assert_eq!(said["rebuilt"], said["sha256"]);
    }
}

/// A policy that is read has a default rule, and each of its rules asks for somebody whom it names.
fn policy(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(policy) = policy_file::parse(text, Path::new("policy.yaml")) else {
        return;
    };
    let policy: Policy = policy;
    let _ = policy.rule(None);
    for rule in policy.rules() {
        assert!(rule.k > 0, "a rule that asks for nobody");
        assert!(rule.of.len() >= rule.k, "a rule that nobody can meet");
    }
    for key in policy.keys() {
        assert!(policy.owner(&key).is_some(), "a key of nobody");
    }
}

/// What is read as a package URL is written and read as the same again.
fn purl(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(purl) = text.parse::<Purl>() {
        assert!(
            !purl.version().is_empty() && !purl.name().is_empty(),
            "{text:?}"
        );
        let again: Purl = purl.as_str().parse().expect("its own form is read");
        assert_eq!(again.as_str(), purl.as_str());
        assert!(!purl.as_str().contains(char::is_control), "{text:?}");
    }
}

/// Some honest documents of a target of this file.
#[must_use]
pub(crate) fn corpus(target: &str) -> Vec<Vec<u8>> {
    let signed = |seed: u8| {
        let key = key(seed);
        let sign = move |statement: &&[u8]| dsse::sign(statement, &key).expect("a key that signs");
        STATEMENTS.iter().map(sign).collect::<Vec<_>>()
    };
    match target {
        "envelope" => [signed(7), signed(8)].concat(),
        "statement" => STATEMENTS.map(<[u8]>::to_vec).to_vec(),
        "bundle" => {
            let bundled = |envelope: Vec<u8>| {
                bundle::from_envelope(&envelope, &key(7).public()).expect("an envelope of the key")
            };
            [signed(7).into_iter().map(bundled).collect(), signed(7)].concat()
        }
        "link" => vec![
            golden!("facts/reproduced.json").to_vec(),
            golden!("facts/replay.json").to_vec(),
        ],
        "oss-rebuild" => {
            let (one, other) = ("1".repeat(64), "2".repeat(64));
            let of = |built| Run {
                package: ["pypi", "lib", "1.0"],
                file_name: "lib-1.0.tar.gz",
                published: &one,
                built,
                source: [
                    "git+https://forge.example/lib",
                    "37dad4d356ca9e13f1c533ad6309631b397a2b6b",
                ],
            };
            let runs = [of(&*one), of(&*other)];
            let lines = runs
                .iter()
                .flat_map(|run| [run.equivalence(), run.rebuild()]);
            lines
                .map(|statement| signed_by_ecdsa(&statement, 0))
                .collect()
        }
        "policy" => vec![POLICY.to_vec()],
        "purl" => [
            "pkg:npm/%40scope/lib@1.2.3",
            "pkg:deb/debian/hello@2.10-3?arch=amd64&distro=bookworm",
            "pkg:generic/a/b/c@1%2B2#sub/path",
            "pkg:pypi/Django_x.y@5.0rc1",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
        other => panic!("no target {other}"),
    }
}
