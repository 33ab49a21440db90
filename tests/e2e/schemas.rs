//! Promise: the JSON Schemas in `attest/schema` are true. Somebody else's validator finds every golden
//! statement valid under the schema of its type, and nothing that was tampered with; and what it
//! refuses, our own reader refuses too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use countersign_attest::json::Limits;
use countersign_attest::statement::Statement;
use countersign_tests::World;
use serde_json::{Value, json};

use crate::foreign::{python_in, root};

/// A change that no statement of ours survives, and its name. One that does not apply changes nothing.
type Tampering = (&'static str, fn(&mut Value));

const STATEMENT: [Tampering; 10] = [
    ("no _type", |s| {
        remove(s, "", "_type");
    }),
    ("no subject", |s| {
        remove(s, "", "subject");
    }),
    ("no predicate type", |s| {
        remove(s, "", "predicateType");
    }),
    ("no predicate", |s| {
        remove(s, "", "predicate");
    }),
    ("another _type", |s| {
        s["_type"] = "https://in-toto.io/Statement/v0.1".into();
    }),
    ("another version of the type", |s| {
        let name = s["predicateType"].as_str().expect("text").to_owned();
        s["predicateType"] = format!("{name}0").into();
    }),
    ("an empty subject", |s| {
        s["subject"] = json!([]);
    }),
    ("a subject without sha256", |s| {
        remove(s, "/subject/0/digest", "sha256");
    }),
    ("a digest in capitals", |s| {
        let digest = s["subject"][0]["digest"]["sha256"]
            .as_str()
            .expect("text")
            .to_uppercase();
        s["subject"][0]["digest"]["sha256"] = digest.into();
    }),
    ("a commit among the digests", |s| {
        s["subject"][0]["digest"]["gitCommit"] = "11".repeat(20).into();
    }),
];

const VERDICT: [Tampering; 15] = [
    ("two subjects", |s| {
        let subject = s["subject"][0].clone();
        s["subject"].as_array_mut().expect("a list").push(subject);
    }),
    ("no verdict", |s| {
        remove(s, "/predicate", "verdict");
    }),
    ("a verdict on no list", |s| {
        s["predicate"]["verdict"] = "verified".into();
    }),
    ("a reason on no list", |s| {
        s["predicate"]["reason"] = "whim".into();
    }),
    ("another verdict's reason", |s| {
        let other = if s["predicate"]["verdict"] == "differs" {
            "step-failed"
        } else {
            "content-differs"
        };
        s["predicate"]["reason"] = other.into();
    }),
    ("no reason where one is due", |s| {
        remove(s, "/predicate", "reason");
    }),
    ("no time", |s| {
        remove(s, "/predicate", "decidedOn");
    }),
    ("a time of no zone", |s| {
        s["predicate"]["decidedOn"] = "2023-11-14T22:15:00".into();
    }),
    ("no rebuilder", |s| {
        remove(s, "/predicate", "rebuilder");
    }),
    ("a key that is kept on no list", |s| {
        s["predicate"]["rebuilder"]["keyIsolation"] = "safe".into();
    }),
    ("no commit", |s| {
        remove(s, "/predicate/source/digest", "gitCommit");
    }),
    ("a branch", |s| {
        s["predicate"]["source"]["ref"] = "refs/heads/main".into();
    }),
    ("a path for a file name", |s| {
        s["predicate"]["published"]["fileName"] = "../lib".into();
    }),
    ("built from a tree of no digest", |s| {
        if !s["predicate"]["build"].is_null() {
            remove(s, "/predicate/source", "treeSha256");
        }
    }),
    ("copied without a word for it", |s| {
        let copied = json!([{"kind": "everything", "sha256": "00".repeat(32)}]);
        s["predicate"]["assistedBy"] = copied;
    }),
];

/// Where two builds and how they were made must stand.
const BUILT: [Tampering; 4] = [
    ("no build", |s| {
        remove(s, "/predicate", "build");
    }),
    ("one rebuilt file", |s| {
        s["predicate"]["rebuilt"]
            .as_array_mut()
            .expect("a list")
            .truncate(1);
    }),
    ("a limit on no list", |s| {
        s["predicate"]["build"]["runs"][0]["exit"] = json!({"how": "bored", "step": 0});
    }),
    ("no plan", |s| {
        remove(s, "/predicate/build", "plan");
    }),
];

const WITHDRAWN: [Tampering; 5] = [
    ("no reason", |s| {
        remove(s, "/predicate", "reason");
    }),
    ("a reason on no list", |s| {
        s["predicate"]["reason"] = "whim".into();
    }),
    ("which statement is not said", |s| {
        remove(s, "/predicate/withdraws", "statement");
    }),
    ("a statement's type that is no verdict's", |s| {
        s["predicate"]["withdraws"]["predicateType"] = s["predicateType"].clone();
    }),
    ("no artifact", |s| {
        remove(s, "/predicate", "published");
    }),
];

const BUILD: [Tampering; 5] = [
    ("another build type", |s| {
        s["predicate"]["buildDefinition"]["buildType"] = "https://example.org/build/v1".into();
    }),
    ("no plan", |s| {
        remove(s, "/predicate/buildDefinition/externalParameters", "plan");
    }),
    ("no source tree", |s| {
        remove(
            s,
            "/predicate/buildDefinition/internalParameters",
            "treeSha256",
        );
    }),
    ("no builder", |s| {
        remove(s, "/predicate/runDetails", "builder");
    }),
    ("logs that are no list", |s| {
        s["predicate"]["runDetails"]["byproducts"] = json!({});
    }),
];

fn remove(document: &mut Value, place: &str, field: &str) {
    if let Some(object) = document.pointer_mut(place).and_then(Value::as_object_mut) {
        object.remove(field);
    }
}

fn tamperings(statement: &Value) -> Vec<Tampering> {
    let name = statement["predicateType"].as_str().expect("text");
    let more: &[&[Tampering]] = match name.rsplit('/').nth(1).expect("a name") {
        "reproduced" | "assisted" | "equivalent" | "differs" => &[&VERDICT, &BUILT],
        "not-rebuilt" => &[&VERDICT],
        "withdrawn" => &[&WITHDRAWN],
        "provenance" | "build-record" => &[&BUILD],
        other => panic!("no list for {other}"),
    };
    STATEMENT
        .iter()
        .chain(more.iter().copied().flatten())
        .copied()
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

#[test]
fn schemas_accept_golden_statements_and_nothing_tampered() {
    let attest = root().join("attest");
    let by_type: BTreeMap<String, PathBuf> = files(&attest.join("schema"))
        .into_iter()
        .map(|path| {
            let schema: Value =
                serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
            let name = &schema["properties"]["predicateType"]["const"];
            (name.as_str().expect("a type").to_owned(), path)
        })
        .collect();
    let (mut cases, mut expected) = (Vec::new(), Vec::new());
    for path in files(&attest.join("golden/statements")) {
        let golden: Value =
            serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
        let schema = &by_type[golden["predicateType"].as_str().expect("text")];
        let mut add = |document: &Value, what: String, valid: bool| {
            cases.push(json!([schema, document]).to_string());
            let read = Statement::parse(document.to_string().as_bytes(), &Limits::default());
            assert_eq!(read.is_ok(), valid, "{what}: {read:?}");
            expected.push((what, valid));
        };
        let name = path.file_name().expect("a name").to_string_lossy();
        add(&golden, format!("{name} as it is"), true);
        for (what, change) in tamperings(&golden) {
            let mut tampered = golden.clone();
            change(&mut tampered);
            if tampered != golden {
                add(&tampered, format!("{name} with {what}"), false);
            }
        }
    }
    let world = World::new();
    let list = world.write("cases", cases.join("\n"));
    let ran = python_in(&world, "schema.py", &[list.to_str().expect("UTF-8")]).expect(0);
    let answers: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(answers.len(), expected.len());
    for (answer, (what, valid)) in answers.iter().zip(&expected) {
        assert_eq!(*answer == "valid", *valid, "{what}: {answer}");
    }
    assert!(expected.len() > 200, "only {} cases", expected.len());
}
