//! Attestations as OSS Rebuild makes them, under keys of ours, and everything that could be taken for one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::dsse::Limits;

#[path = "../../../../fixtures/src/oss_rebuild.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "a file of the crate of fixtures, which builds on this one"
)]
mod fixture;

use fixture::{Run as Made, envelope, with_definition};

const FILE: &str = "absl_py-2.0.0-py3-none-any.whl";
const PUBLISHED: &str = "9a28abb62774ae4e8edbe2dd4c49ffcd45a6a848952a5eccc6a49f3f0fc1e2f3";
const BUILT_BYTES: &str = "bb238e140b6e813c65a8b4be429efbda3ff81fe1b08a5cca0f7b4f316b827ab0";
const COMMIT: &str = "37dad4d356ca9e13f1c533ad6309631b397a2b6b";

const SAME: Made<'_> = Made {
    package: ["pypi", "absl_py", "2.0.0"],
    file_name: FILE,
    published: PUBLISHED,
    built: PUBLISHED,
    source: ["git+https://forge.example/absl", COMMIT],
};
const OTHER: Made<'_> = Made {
    built: BUILT_BYTES,
    ..SAME
};

fn key(index: usize) -> EcdsaP256Key {
    EcdsaP256Key::from_pem(fixture::KEYS[index].1.as_bytes()).unwrap()
}

fn opened(statement: &Value) -> Result<OssRebuild, OssRebuildError> {
    open(&envelope(statement, 0), &[key(0)])
}

/// What a set of statements, each signed well, says of the published file.
fn said(statements: &[Value]) -> Result<VerdictSaid, OssRebuildError> {
    testimony(statements).map(|testimony| match testimony.said {
        Said::Verdict(said) => *said,
        Said::Withdrawn(_) => panic!("a verdict"),
    })
}

fn testimony(statements: &[Value]) -> Result<Testimony, OssRebuildError> {
    let mut equivalences = Vec::new();
    let mut rebuilds = Vec::new();
    for statement in statements {
        match opened(statement)? {
            OssRebuild::Equivalence(equivalence) => equivalences.push(*equivalence),
            OssRebuild::Rebuild(rebuild) => rebuilds.push(*rebuild),
        }
    }
    let [equivalence] = &equivalences[..] else {
        panic!("one comparison");
    };
    equivalence.testimony(&rebuilds)
}

#[track_caller]
fn is_no_claim<T: std::fmt::Debug>(result: Result<T, OssRebuildError>, what: &str) {
    assert!(
        matches!(result, Err(OssRebuildError::Claim(_))),
        "{what}: {result:?}"
    );
}

#[test]
fn both_attestations_of_a_run_say_what_was_built_from_where() {
    let said = said(&[SAME.equivalence(), SAME.rebuild()]).unwrap();
    assert_eq!(
        (said.verdict, said.form),
        (Verdict::Reproduced, Form::OssRebuild)
    );
    assert_eq!(
        (&*said.file_name, said.sha256.to_string()),
        (FILE, PUBLISHED.to_owned())
    );
    assert_eq!(said.rebuilt, Some(said.sha256));
    assert_eq!(
        said.purl,
        Some(
            "pkg:pypi/absl-py@2.0.0?file_name=absl_py-2.0.0-py3-none-any.whl"
                .parse()
                .unwrap()
        )
    );
    assert_eq!(
        said.source.as_deref(),
        Some("git+https://forge.example/absl")
    );
    assert_eq!(
        said.commit.map(|commit| commit.to_string()).as_deref(),
        Some(COMMIT)
    );
    assert_eq!(
        said.decided_on,
        Some("2026-11-01T10:05:00Z".parse().unwrap())
    );
    assert_eq!((said.sha512, said.plan), (None, None));
}

#[test]
fn other_bytes_are_equivalent_where_all_of_them_were_compared() {
    let (compared, how) = (OTHER.equivalence(), OTHER.rebuild());
    let full = said(&[compared.clone(), how.clone()]).unwrap();
    assert_eq!(full.verdict, Verdict::Equivalent);
    assert_eq!(
        (full.sha256.to_string(), full.rebuilt.unwrap().to_string()),
        (PUBLISHED.into(), BUILT_BYTES.into())
    );
    let plain = with_definition(how.clone(), &json!({"manual": {"repo": "x"}}));
    assert_eq!(
        said(&[compared.clone(), plain]).unwrap().verdict,
        Verdict::Equivalent
    );
    let empty = with_definition(how.clone(), &json!({"custom_stabilizers": []}));
    assert_eq!(
        said(&[compared.clone(), empty]).unwrap().verdict,
        Verdict::Equivalent
    );

    is_no_claim(
        said(std::slice::from_ref(&compared)),
        "nobody says how they were compared",
    );
    let own =
        json!({"custom_stabilizers": [{"config": {"exclude_path": {"paths": ["lib/evil.py"]}}}]});
    let of_its_own = with_definition(how.clone(), &own);
    is_no_claim(
        said(&[compared.clone(), of_its_own.clone()]),
        "files are left out",
    );
    let mut twice = with_definition(how.clone(), &json!({}));
    twice = with_definition(twice, &own);
    is_no_claim(said(&[compared.clone(), twice]), "two definitions");
    let mut hidden = of_its_own.clone();
    let used = &mut hidden["predicate"]["buildDefinition"]["resolvedDependencies"];
    used.as_array_mut().unwrap().pop();
    is_no_claim(
        said(&[compared.clone(), hidden]),
        "a definition that is not shown",
    );
    for content in [json!(null), json!("%"), json!("W10="), json!("e30=e30=")] {
        let mut unreadable = of_its_own.clone();
        unreadable["predicate"]["buildDefinition"]["resolvedDependencies"][2]["content"] = content;
        is_no_claim(
            said(&[compared.clone(), unreadable]),
            "a definition that cannot be read",
        );
    }
    // the same bytes need no comparison of that kind
    let same = [SAME.equivalence(), with_definition(SAME.rebuild(), &own)];
    assert_eq!(said(&same).unwrap().verdict, Verdict::Reproduced);
}

#[test]
fn how_a_file_was_built_counts_for_its_own_run_alone() {
    let without = |said: VerdictSaid| (said.purl, said.source, said.commit, said.decided_on);
    let alone = said(&[SAME.equivalence()]).unwrap();
    assert_eq!(without(alone), (None, None, None, None));
    for (what, change) in [
        (
            "another run",
            (|s| s["predicate"]["runDetails"]["metadata"]["invocationId"] = json!("run-2"))
                as fn(&mut Value),
        ),
        ("another host", |s| {
            s["predicate"]["runDetails"]["builder"]["id"] = json!("x");
        }),
        ("other bytes", |s| {
            s["subject"][0]["digest"]["sha256"] = json!("1".repeat(64));
        }),
        ("another file", |s| {
            s["subject"][0]["name"] = json!("rebuild/x.whl");
            s["predicate"]["buildDefinition"]["externalParameters"]["artifact"] = json!("x.whl");
        }),
    ] {
        let mut how = SAME.rebuild();
        change(&mut how);
        let said = said(&[SAME.equivalence(), how]).unwrap();
        assert_eq!(without(said), (None, None, None, None), "{what}");
    }
    // of another key that is believed too
    let keys = [key(0), key(1)];
    let OssRebuild::Equivalence(compared) = opened(&SAME.equivalence()).unwrap() else {
        panic!("a comparison");
    };
    let OssRebuild::Rebuild(how) = open(&envelope(&SAME.rebuild(), 1), &keys).unwrap() else {
        panic!("a build");
    };
    let Said::Verdict(other) = compared.testimony(&[*how]).unwrap().said else {
        panic!("a verdict");
    };
    assert_eq!(other.source, None);
    // two that contradict each other, in either order, and the same one twice
    let mut second = SAME.rebuild();
    second["predicate"]["buildDefinition"]["externalParameters"]["version"] = json!("9");
    let two = [SAME.equivalence(), SAME.rebuild(), second.clone()];
    assert_eq!(said(&two).unwrap().purl, None);
    let turned = [SAME.equivalence(), second, SAME.rebuild()];
    assert_eq!(said(&turned).unwrap().purl, None);
    let copies = [SAME.equivalence(), SAME.rebuild(), SAME.rebuild()];
    assert!(said(&copies).unwrap().purl.is_some());
    // a source that is not one commit of one repository
    for digest in [
        json!({"sha256": "1".repeat(64)}),
        json!({"sha1": "main"}),
        json!(null),
    ] {
        let mut how = SAME.rebuild();
        how["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"] = digest;
        let said = said(&[SAME.equivalence(), how]).unwrap();
        assert!(said.source.is_none() && said.commit.is_none() && said.purl.is_some());
    }
    let mut how = SAME.rebuild();
    let used = &mut how["predicate"]["buildDefinition"]["resolvedDependencies"];
    let source = used[0].clone();
    used.as_array_mut().unwrap().push(source);
    assert_eq!(said(&[SAME.equivalence(), how]).unwrap().source, None);
}

#[test]
fn packages_have_the_urls_that_others_give_them() {
    for (package, expected) in [
        (
            ["npm", "@scope/lib", "1.0.0"],
            Some("pkg:npm/%40scope/lib@1.0.0"),
        ),
        (
            ["cratesio", "bytes", "1.0.0+x"],
            Some("pkg:cargo/bytes@1.0.0%2Bx"),
        ),
        (["rubygems", "rake", "13.0"], Some("pkg:gem/rake@13.0")),
        (
            ["maven", "org.example:lib", "1"],
            Some("pkg:maven/org.example/lib@1"),
        ),
        (["debian", "main/xz-utils", "5"], None),
        (["npm", "a@1?x=y#z", ""], None),
    ] {
        let run = Made { package, ..SAME };
        let said = said(&[run.equivalence(), run.rebuild()]).unwrap();
        assert_eq!(
            said.purl,
            expected.map(|text| text.parse().unwrap()),
            "{package:?}"
        );
    }
    let sly = Made {
        package: ["npm", "a@1?x=y#z", "2"],
        ..SAME
    };
    let said = said(&[sly.equivalence(), sly.rebuild()]).unwrap();
    let purl = said.purl.unwrap();
    assert_eq!((purl.name(), purl.version()), ("a@1?x=y#z", "2"));
}

/// Each of these is signed well and says something else.
#[test]
fn what_does_not_compare_the_published_file_is_no_evidence() {
    let good = OTHER.equivalence();
    for (what, change) in [
        (
            "another type of document",
            (|s| s["_type"] = json!("https://in-toto.io/Statement/v0.1")) as fn(&mut Value),
        ),
        ("another predicate", |s| {
            s["predicateType"] = json!("https://slsa.dev/provenance/v0.2");
        }),
        ("another build type", |s| {
            let builds = json!("https://docs.oss-rebuild.dev/builds/NetworkRebuild@v0.1");
            s["predicate"]["buildDefinition"]["buildType"] = builds;
        }),
        ("a later build type", |s| {
            let builds = json!("https://docs.oss-rebuild.dev/builds/ArtifactEquivalence@v0.2");
            s["predicate"]["buildDefinition"]["buildType"] = builds;
        }),
        ("no build type", |s| {
            s["predicate"]["buildDefinition"]["buildType"] = json!(1);
        }),
        ("no subject", |s| s["subject"] = json!([])),
        ("two subjects", |s| {
            let subject = s["subject"][0].clone();
            s["subject"].as_array_mut().unwrap().push(subject);
        }),
        ("the built file as subject", |s| {
            s["subject"][0]["digest"]["sha256"] = json!(BUILT_BYTES);
        }),
        ("a third file as subject", |s| {
            s["subject"][0]["digest"]["sha256"] = json!("1".repeat(64));
        }),
        ("another name", |s| s["subject"][0]["name"] = json!("x.whl")),
        ("a name with a folder", |s| {
            s["subject"][0]["name"] = json!("../x");
            let compared = &mut s["predicate"]["buildDefinition"];
            compared["externalParameters"]["candidate"] = json!("rebuild/../x");
            compared["resolvedDependencies"][0]["name"] = json!("rebuild/../x");
        }),
        ("both files swapped", |s| {
            let compared = &mut s["predicate"]["buildDefinition"]["resolvedDependencies"];
            let (one, other) = (compared[0]["digest"].clone(), compared[1]["digest"].clone());
            compared[0]["digest"] = other;
            compared[1]["digest"] = one;
        }),
        ("the built file on both sides", |s| {
            s["predicate"]["buildDefinition"]["externalParameters"]["target"] =
                json!(format!("rebuild/{FILE}"));
        }),
        ("one file", |s| {
            s["predicate"]["buildDefinition"]["resolvedDependencies"]
                .as_array_mut()
                .unwrap()
                .pop();
        }),
        ("three files", |s| {
            let used = &mut s["predicate"]["buildDefinition"]["resolvedDependencies"];
            let file = used[0].clone();
            used.as_array_mut().unwrap().push(file);
        }),
        ("another target", |s| {
            s["predicate"]["buildDefinition"]["externalParameters"]["target"] =
                json!("https://registry.example/y");
        }),
        ("no digest of what was built", |s| {
            s["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"] =
                json!({"sha1": COMMIT});
        }),
        ("an upper-case digest", |s| {
            s["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]["sha256"] =
                json!("A".repeat(64));
        }),
        ("no stabilized form", |s| {
            s["predicate"]["runDetails"]["byproducts"] = json!([]);
        }),
        ("no run", |s| {
            s["predicate"]["runDetails"]["metadata"]["invocationId"] = json!("");
        }),
        ("no host", |s| {
            s["predicate"]["runDetails"]["builder"]["id"] = json!("");
        }),
    ] {
        let mut changed = good.clone();
        change(&mut changed);
        assert_ne!(changed, good, "{what}");
        is_no_claim(opened(&changed), what);
    }
    let mut without = good.clone();
    without["subject"][0]["digest"] = json!({"sha512": "1".repeat(128)});
    assert!(
        opened(&without).is_err(),
        "no SHA-256 of the published file"
    );
    let mut contradicts = good.clone();
    contradicts["subject"][0]["digest"]["sha512"] = json!("1".repeat(128));
    let published = &mut contradicts["predicate"]["buildDefinition"]["resolvedDependencies"][1];
    published["digest"]["sha512"] = json!("2".repeat(128));
    is_no_claim(opened(&contradicts), "two SHA-512");
    let mut other_file = OTHER.rebuild();
    other_file["subject"][0]["name"] = json!(FILE);
    is_no_claim(
        opened(&other_file),
        "a build that calls its file as the published one",
    );
}

#[test]
fn only_the_given_key_is_believed() {
    let good = envelope(&SAME.equivalence(), 0);
    assert!(open(&good, &[key(1), key(0)]).is_ok());
    for keys in [&[][..], &[key(1)]] {
        assert!(matches!(open(&good, keys), Err(OssRebuildError::Signature)));
    }
    // who else signed changes nothing, and neither does how it is written down
    let believed = open(&good, &[key(0)]).unwrap();
    let mut document: Value = serde_json::from_slice(&good).unwrap();
    let stranger: Value = serde_json::from_slice(&envelope(&SAME.equivalence(), 1)).unwrap();
    let first = document["signatures"].as_array_mut().unwrap();
    first.insert(0, stranger["signatures"][0].clone());
    let pretty = serde_json::to_string_pretty(&document).unwrap();
    assert_eq!(open(pretty.as_bytes(), &[key(0)]).unwrap(), believed);
    let both = open(pretty.as_bytes(), &[key(1), key(0)]).unwrap();
    assert!(matches!(both, OssRebuild::Equivalence(both) if both.signers.len() == 2));
    // no statement of ours is opened by such a key's signature, nor by one of ours over theirs
    let ours = [crate::key::PublicKey::from_bytes([4; 32])];
    assert!(dsse::open(&good, &ours, 1, &Limits::default()).is_err());
}

#[test]
fn no_attestation_with_a_byte_changed_is_believed() {
    let good = envelope(&SAME.equivalence(), 0);
    let believed = open(&good, &[key(0)]).unwrap();
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        // the id of a key is not looked at
        if let Ok(opened) = open(&changed, &[key(0)]) {
            assert_eq!(opened, believed, "{at}");
        }
        assert!(
            at + 2 > good.len() || open(&good[..at], &[key(0)]).is_err(),
            "{at}"
        );
    }
}

#[test]
fn the_type_of_the_payload_is_under_the_signature() {
    let payload = SAME.equivalence().to_string();
    let made = |says: &str, signed: &str| {
        let sig = STANDARD.encode(fixture::sign(signed, payload.as_bytes(), 0));
        let document = json!({"payloadType": says, "payload": STANDARD.encode(&payload), "signatures": [{"sig": sig}]});
        open(document.to_string().as_bytes(), &[key(0)])
    };
    for good in PAYLOAD_TYPES {
        assert!(made(good, good).is_ok(), "{good}");
    }
    assert!(made(PAYLOAD_TYPES[0], PAYLOAD_TYPES[1]).is_err());
    assert!(made(PAYLOAD_TYPES[1], PAYLOAD_TYPES[0]).is_err());
    assert!(made("text/plain", "text/plain").is_err());
}

#[test]
fn what_software_reads_differently_is_read_by_none() {
    let payload = SAME.equivalence().to_string();
    let signed = |payload: &str| {
        let sig = STANDARD.encode(fixture::sign(dsse::PAYLOAD_TYPE, payload.as_bytes(), 0));
        let encoded = STANDARD.encode(payload);
        let document = json!({"payloadType": dsse::PAYLOAD_TYPE, "payload": encoded, "signatures": [{"sig": sig}]});
        open(document.to_string().as_bytes(), &[key(0)])
    };
    assert!(signed(&payload).is_ok());
    let twice = format!("{{\"subject\":[],{}", &payload[1..]);
    let deep = payload.replacen(
        "\"prebuildConfig\":{",
        &format!(
            "\"x\":{}{},\"prebuildConfig\":{{",
            "[".repeat(40),
            "]".repeat(40)
        ),
        1,
    );
    let long = payload.replacen(
        "\"dir\":\"dir\"",
        &format!("\"dir\":\"{}\"", "x".repeat(MAX_BYTES)),
        1,
    );
    for (what, bad) in [
        ("a key twice", twice),
        ("nested too deeply", deep),
        ("too long", long),
        ("something behind it", format!("{payload}{payload}")),
        ("nothing", String::new()),
        ("no object", "[]".to_owned()),
    ] {
        assert_ne!(bad, payload);
        assert!(
            matches!(signed(&bad), Err(OssRebuildError::Json(_))),
            "{what}"
        );
    }
    let good = envelope(&SAME.equivalence(), 0);
    let text = String::from_utf8(good.clone()).unwrap();
    let doubled = text.replacen('{', "{\"payload\":\"\",", 1);
    assert!(matches!(
        open(doubled.as_bytes(), &[key(0)]),
        Err(OssRebuildError::Json(_))
    ));
    // of very many signatures the last are not tried
    let mut many: Value = serde_json::from_slice(&good).unwrap();
    let last = many["signatures"][0].clone();
    let mut signatures = vec![json!({"sig": "AA=="}); SIGNATURES];
    signatures.push(last);
    many["signatures"] = signatures.clone().into();
    assert!(matches!(
        open(many.to_string().as_bytes(), &[key(0)]),
        Err(OssRebuildError::Signature)
    ));
    signatures.swap(0, SIGNATURES);
    many["signatures"] = signatures.into();
    assert!(open(many.to_string().as_bytes(), &[key(0)]).is_ok());
}

#[test]
fn they_are_told_from_statements_of_ours() {
    let bundle = SAME.bundle();
    for line in bundle.split_inclusive(|byte| *byte == b'\n') {
        assert!(is_oss_rebuild(line));
    }
    let ours: Value = serde_json::from_str(include_str!(
        "../../../golden/statements/reproduced.provenance.json"
    ))
    .unwrap();
    assert!(!is_oss_rebuild(&envelope(&ours, 0)));
    for other in ["{}", "", "{\"signed\":{\"_type\":\"link\"}}"] {
        assert!(!is_oss_rebuild(other.as_bytes()), "{other}");
    }
}
