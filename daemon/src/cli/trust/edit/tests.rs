//! Policies in many forms: what an edit means is read back strictly, and nothing else may change.

use std::path::Path;

use countersign_attest::policy::Policy;
use countersign_verify::policy_file;

use super::*;

const EXAMPLE: &str = include_str!("../../../../../config/examples/policy.yaml");

fn policy(text: &str) -> Policy {
    policy_file::parse(text, Path::new("policy.yaml")).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn key(byte: u8) -> PublicKey {
    PublicKey::from_bytes([byte; 32])
}

fn entry(name: &str, byte: u8) -> Entry {
    Entry {
        name: name.into(),
        keys: vec![key(byte).into()],
        rebuilder: Some("https://dora.example/\"x\\".into()),
        log: None,
        attrs: [("country".to_owned(), "a: \"b\" # c".to_owned())].into(),
    }
}

fn comments(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|l| l.split_once('#').map(|(_, c)| c))
        .collect()
}

/// Ways to write one policy.
fn forms() -> Vec<String> {
    let first = entry("alice", 1);
    let fresh = fresh(&first);
    let public = key(1);
    vec![
        fresh.clone(),
        fresh.trim_end().to_owned(),
        fresh.replace("operators:\n", "operators: # who\n\n  # the first\n"),
        fresh.replace("rules:\n", "\n# what is asked\nrules:\n"),
        format!(
            "version: 1\noperators:\n    alice: {{ keys: [\"{public}\"] }}   # mine\nrules:\n- {{ scope: default, mode: warn, require: {{ k: 1, of: [alice] }}, view: best-effort }}\n"
        ),
        format!(
            "rules:\n  - scope: default # of: [x]\n    mode: warn\n    require:\n      k: 1\n      of: [ \"alice\" ]\noperators:\n  'alice':\n    keys:\n      - {public} # it\nversion: 1\n"
        ),
        format!(
            "version: 1\noperators:\n  alice:\n    keys:\n      - {{ key: \"{public}\", from: 2020-01-01 }}\nrules:\n  - {{ scope: default, mode: warn, require: {{ of: [alice], k: 1 }} }}\nexempt: []\n"
        ),
    ]
}

#[test]
fn an_operator_is_added_and_asked_whatever_the_form() {
    for text in forms() {
        let added = add(&text, &entry("dora", 4)).unwrap();
        let asked = require(&ask(&added, "dora").unwrap(), 2).unwrap();
        let (old, new) = (policy(&text), policy(&asked));
        let mut wanted = old.operators().clone();
        wanted.insert("dora".into(), entry("dora", 4).operator());
        assert_eq!(new.operators(), &wanted, "{asked}");
        let mut rule = old.rule(None).clone();
        rule.of.insert("dora".into());
        rule.k = 2;
        assert_eq!(new.rule(None), &rule, "{asked}");
        for comment in comments(&text) {
            assert!(asked.contains(comment), "{comment}: {asked}");
        }
        // and taken out again, all is as it was
        let back = require(&remove(&asked, "dora").unwrap(), 1).unwrap();
        assert_eq!(policy(&back), old, "{back}");
    }
}

#[test]
fn a_key_ends_and_another_one_begins_whatever_the_form() {
    let from: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
    for text in forms() {
        let rotated = rotate(&text, &key(1), &key(2), from).unwrap();
        let new = policy(&rotated);
        let keys = &new.operators()["alice"].keys;
        let found: Vec<_> = keys
            .iter()
            .map(|k| (k.key, k.until, k.from == Some(from)))
            .collect();
        let wanted = [
            (key(1).into(), Some(from), false),
            (key(2).into(), None, true),
        ];
        assert_eq!(found, wanted, "{rotated}");
        let later = from.plus_seconds(60);
        let again = rotate(&rotated, &key(2), &key(3), later).unwrap();
        assert_eq!(policy(&again).operators()["alice"].keys.len(), 3, "{again}");
    }
}

#[test]
fn a_log_is_named_and_renamed() {
    let logs: Vec<VerifierKey> = policy(EXAMPLE)
        .operators()
        .values()
        .filter_map(|o| o.log.clone())
        .collect();
    let [first, second, ..] = &logs[..] else {
        panic!("logs")
    };
    let text = fresh(&entry("alice", 1));
    let named = log(&text, "alice", None, first).unwrap();
    assert_eq!(
        policy(&named).operators()["alice"].log.as_ref(),
        Some(first)
    );
    let renamed = log(&named, "alice", Some(first), second).unwrap();
    assert_eq!(
        policy(&renamed).operators()["alice"].log.as_ref(),
        Some(second)
    );
}

#[test]
fn the_example_loses_nothing() {
    let added = add(EXAMPLE, &entry("dora", 4)).unwrap();
    let asked = ask(&added, "dora").unwrap();
    let (old, new) = (policy(EXAMPLE), policy(&asked));
    assert_eq!(new.operators().len(), 4);
    assert_eq!(new.rules()[0], old.rules()[0]);
    assert!(new.rule(None).of.contains("dora"));
    assert_eq!(
        (new.witnesses(), new.exemptions()),
        (old.witnesses(), old.exemptions())
    );
    assert_eq!(
        comments(EXAMPLE),
        comments(&asked)
            .into_iter()
            .filter(|c| !c.ends_with("c\" }"))
            .collect::<Vec<_>>()
    );
    assert_eq!(policy(&remove(&asked, "dora").unwrap()), old);
}

#[test]
fn what_is_not_understood_is_left_to_the_user() {
    let flow = format!(
        "version: 1\noperators: {{ alice: {{ keys: [\"{}\"] }} }}\nrules:\n  - require: {{ k: 1, of: [alice] }}\n    mode: warn\n    scope: default\n",
        key(1)
    );
    let _ = policy(&flow);
    let error = add(&flow, &entry("dora", 4)).unwrap_err().to_string();
    assert!(
        error.contains("keys: [") && error.contains("dora"),
        "{error}"
    );
    assert!(ask(&flow, "dora").is_err());
    assert!(require(&flow, 2).is_err());
    assert!(remove(&flow, "alice").is_err());
    let twice = format!("{}# {}\n", forms()[0], key(1));
    assert!(rotate(&twice, &key(1), &key(2), Timestamp::EPOCH).is_ok());
    let ended = rotate(
        &forms()[0],
        &key(1),
        &key(2),
        Timestamp::EPOCH.plus_seconds(1),
    )
    .unwrap();
    assert!(rotate(&ended, &key(1), &key(3), Timestamp::EPOCH.plus_seconds(2)).is_err());
}
