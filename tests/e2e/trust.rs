//! Promise: a policy decides, not whoever speaks first. Both programs that judge say the same.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use countersign_attest::digest::Digests;
use countersign_attest::dsse;
use countersign_attest::key::PrivateKey;
use countersign_attest::statement::{Custody, Facts, compose};
use countersign_tests::{Ran, World, ran, verifier};
use zeroize::Zeroizing;

const FILE: &str = "lib-1.2.3.tgz";
const PURL: &str = "pkg:npm/%40scope/lib@1.2.3";
const OPERATORS: [&str; 4] = ["alice", "bob", "carol", "dave"];

fn key(operator: &str) -> PrivateKey {
    let seed = OPERATORS.iter().position(|name| *name == operator);
    let seed = u8::try_from(seed.expect("an operator") + 1).expect("few");
    PrivateKey::from_seed(Zeroizing::new([seed; 32])).expect("a key")
}

fn facts(verdict: &str) -> Facts {
    let path = format!(
        "{}/../attest/golden/facts/{verdict}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_slice(&text).expect("facts")
}

/// Has an operator sign a verdict and leaves it in `said/`.
fn say(world: &World, operator: &str, facts: &Facts) -> PathBuf {
    let statement = compose(facts, Custody::Operator).expect("a statement");
    let envelope = dsse::sign(&statement, &key(operator)).expect("an envelope");
    let name = format!("said/{operator}-{}.json", facts.verdict);
    world.write(name, envelope)
}

fn texts<'a>(values: impl Iterator<Item = &'a serde_json::Value>) -> BTreeSet<String> {
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    values.map(text).collect()
}

/// A policy: k of alice, bob and carol for npm, one of alice and bob for everything else.
fn policy(world: &World, k: usize, further: &str) -> PathBuf {
    let mut text = String::from("version: 1\noperators:\n");
    for name in OPERATORS {
        let public = key(name).public();
        text.push_str(&format!("  {name}: {{ keys: [\"{public}\"] }}\n"));
    }
    text.push_str(&format!(
        "rules:\n  - {{ scope: \"pkg:npm/*\", mode: warn, require: {{ k: {k}, of: [alice, bob, carol] }}, view: best-effort }}\n  \
         - {{ scope: default, mode: warn, require: {{ k: 1, of: [alice, bob] }}, view: best-effort }}\n{further}"
    ));
    world.write("policy.yaml", text)
}

/// What both programs say about the file; they must agree.
fn judge(world: &World, arguments: &[&str]) -> Ran {
    // a memory that one of them taught would make the other's answer a different one
    let memory = world.path("memory.json");
    let before = std::fs::read(&memory).ok();
    let own = world.run([&["verify", "--format", "json", "--offline"], arguments].concat());
    match before {
        Some(bytes) => std::fs::write(&memory, bytes).expect("a memory"),
        None => drop(std::fs::remove_file(&memory)),
    }
    let mut thin = Command::new(verifier());
    thin.current_dir(world.path(""))
        .arg("--json")
        .args(arguments);
    let thin = ran(&mut thin);
    assert_eq!(own.code, thin.code, "{own:#?}\n{thin:#?}");
    if own.code != Some(2) {
        assert_eq!(own.json(), thin.json());
    }
    own
}

fn by_policy(world: &World) -> Ran {
    let arguments = [
        FILE,
        "--as",
        PURL,
        "--policy",
        "policy.yaml",
        "--attestation",
        "said",
    ];
    judge(world, &arguments)
}

fn world() -> World {
    let world = World::new();
    world.write(FILE, b"published bytes");
    world
}

#[test]
fn k_of_n_operators_must_confirm_and_nobody_else_counts() {
    let world = world();
    policy(&world, 2, "");
    say(&world, "dave", &facts("reproduced"));
    let ran = by_policy(&world).expect(4);
    assert_eq!(ran.json()["decision"], "not-enough");
    assert_eq!(
        ran.json()["policy"]["reasons"],
        serde_json::json!(["too-few"])
    );
    say(&world, "alice", &facts("reproduced"));
    let ran = by_policy(&world).expect(4);
    assert_eq!(
        ran.json()["policy"]["missing"],
        serde_json::json!(["bob", "carol"])
    );
    // the same statement under the same key again, in another form of the same folder
    let again = std::fs::read(world.path("said/alice-reproduced.json")).expect("an envelope");
    world.write("said/alice-again.json", again);
    let _ = by_policy(&world).expect(4);
    say(&world, "carol", &facts("assisted"));
    let _ = by_policy(&world).expect(4);
    say(&world, "bob", &facts("reproduced"));
    let ran = by_policy(&world).expect(0);
    assert_eq!(ran.json()["policy"]["confirming"], 2);

    // in words, and never in words that promise more
    let arguments = ["verify", FILE, "--as", PURL, "--policy", "policy.yaml"];
    let text = world.run([&arguments[..], &["--offline", "--attestation", "said"]].concat());
    let text = text.expect(0).stdout;
    assert!(
        text.contains("Accepted: 2 operators confirm these bytes; 2 are asked for."),
        "{text}"
    );
    for needed in [
        "alice",
        "pkg:npm/*",
        "git+https://forge.example/owner/lib",
        "in part",
    ] {
        assert!(text.contains(needed), "{needed}: {text}");
    }
    for never in ["safe", "verified", "trusted"] {
        assert!(!text.to_lowercase().contains(never), "{text}");
    }
}

#[test]
fn other_bytes_other_names_and_other_versions_are_not_accepted() {
    let world = world();
    policy(&world, 2, "");
    say(&world, "alice", &facts("reproduced"));
    say(&world, "bob", &facts("reproduced"));
    let _ = by_policy(&world).expect(0);
    let as_another = [
        "--as",
        "pkg:npm/%40scope/lib@1.2.4",
        "--policy",
        "policy.yaml",
    ];
    let ran = judge(
        &world,
        &[&[FILE][..], &as_another, &["--attestation", "said"]].concat(),
    );
    let ignored = ran.expect(4).json()["policy"]["ignored"].clone();
    let reasons = texts(ignored.as_object().expect("a map").values());
    assert_eq!(reasons, BTreeSet::from(["purl-mismatch".to_owned()]));
    // a renamed file needs to be told what it is; bytes that were changed help nobody
    std::fs::copy(world.path(FILE), world.path("renamed")).expect("a copy");
    let given = ["--policy", "policy.yaml", "--attestation", "said"];
    let _ = judge(&world, &[&["renamed", "--as", PURL][..], &given].concat()).expect(0);
    let _ = judge(&world, &[&["renamed"][..], &given].concat()).expect(4);
    let _ = judge(&world, &[&[FILE][..], &given].concat()).expect(0);
    world.write(FILE, b"changed bytes");
    let ran = by_policy(&world);
    // both know other bytes under this name; in part, so that it is no rejection
    let said = ran.expect(4).json();
    let reasons = serde_json::json!(["view-incomplete", "different-binary-served"]);
    assert_eq!(said["policy"]["reasons"], reasons);
    assert_eq!(
        said["policy"]["alarms"],
        serde_json::json!(["different-binary-served"])
    );
}

#[test]
fn a_package_without_a_file_is_judged_by_what_was_attested_of_it() {
    let world = world();
    policy(&world, 2, "");
    let given = ["--policy", "policy.yaml", "--attestation", "said"];
    std::fs::create_dir(world.path("said")).expect("a folder");
    let _ = judge(&world, &[&[PURL][..], &given].concat()).expect(4);
    say(&world, "alice", &facts("reproduced"));
    let _ = judge(&world, &[&[PURL][..], &given].concat()).expect(4);
    say(&world, "bob", &facts("reproduced"));
    let ran = judge(&world, &[&[PURL][..], &given].concat()).expect(0);
    assert_eq!(ran.json()["subject"]["name"], FILE);
    let sha256 = format!("sha256:{}", Digests::of(b"published bytes").sha256);
    let _ = judge(&world, &[&[sha256.as_str()][..], &given].concat()).expect(0);
}

#[test]
fn what_was_accepted_is_remembered_and_a_change_is_noticed() {
    let world = world();
    policy(&world, 2, "");
    for operator in ["alice", "bob"] {
        say(&world, operator, &facts("reproduced"));
    }
    let given = [
        FILE,
        "--as",
        PURL,
        "--policy",
        "policy.yaml",
        "--attestation",
        "said",
    ];
    let remember = [&given[..], &["--remember", "memory.json"]].concat();
    let ran = judge(&world, &remember).expect(0);
    let notes = ran.json()["policy"]["notes"].clone();
    assert!(
        notes
            .as_array()
            .expect("a list")
            .contains(&"source-first-seen".into())
    );
    let remembered = std::fs::read_to_string(world.path("memory.json")).expect("a memory");
    let notes = judge(&world, &remember).expect(0).json()["policy"]["notes"].clone();
    assert!(
        !notes
            .as_array()
            .expect("a list")
            .contains(&"source-first-seen".into())
    );

    for operator in ["alice", "bob"] {
        let mut moved = facts("reproduced");
        moved.source.uri = "git+https://forge.example/somebody-else/lib".into();
        moved.decided_on = moved.decided_on.plus_seconds(60);
        say(&world, operator, &moved);
    }
    let reasons = judge(&world, &remember).expect(4).json()["policy"]["reasons"].clone();
    assert_eq!(
        reasons,
        serde_json::json!(["view-incomplete", "source-changed"])
    );
    let after = std::fs::read_to_string(world.path("memory.json")).expect("a memory");
    assert_eq!(remembered, after);
    // a memory that cannot be read is never taken for an empty one, nor replaced
    world.write("memory.json", "{\"version\":1,");
    let _ = judge(&world, &remember).expect(2);
    let after = std::fs::read_to_string(world.path("memory.json")).expect("a memory");
    assert_eq!(after, "{\"version\":1,");
}

#[test]
fn who_trusts_nobody_learns_who_spoke() {
    let world = world();
    say(&world, "alice", &facts("reproduced"));
    say(&world, "bob", &facts("differs"));
    let said = judge(&world, &[FILE, "--attestation", "said"])
        .expect(4)
        .json();
    assert_eq!(said["decision"], "nobody-trusted");
    let speakers = said["speakers"].as_array().expect("a list");
    let ids = texts(speakers.iter().map(|s| &s["unverified_key_id"]));
    let expected = ["alice", "bob"].map(|name| key(name).public().key_id());
    assert_eq!(ids, BTreeSet::from(expected));
    let text = world
        .run(["verify", FILE, "--attestation", "said"])
        .expect(4)
        .stdout;
    assert!(
        text.contains("You trust nobody yet") && text.contains("trust add"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_read_is_refused_or_named_and_never_counts() {
    let world = world();
    policy(&world, 2, "");
    say(&world, "alice", &facts("reproduced"));
    say(&world, "bob", &facts("reproduced"));
    let _ = by_policy(&world).expect(0);
    let envelope = std::fs::read_to_string(world.path("said/bob-reproduced.json")).expect("text");
    for changed in [
        envelope.replacen("eyJ", "eyK", 1),
        envelope.replace("in-toto+json", "other+json"),
        envelope.replacen("{\"payload\"", "{\"payload\":\"\",\"payload\"", 1),
        envelope[..envelope.len() / 2].to_owned(),
        String::new(),
    ] {
        assert_ne!(changed, envelope);
        world.write("said/bob-reproduced.json", changed);
        let _ = by_policy(&world).expect(4);
    }
    for (name, text) in [
        ("no YAML", "version: 1\n\toperators"),
        ("no policy", "[]"),
        (
            "an unknown key",
            "version: 1\noperators: {}\nrules: []\nrule: []\n",
        ),
        ("no default", "version: 1\noperators: {}\nrules: []\n"),
    ] {
        world.write("policy.yaml", text);
        let ran = by_policy(&world);
        assert_eq!(ran.code, Some(2), "{name}: {ran:#?}");
        assert!(ran.stderr.contains("policy.yaml"), "{name}: {ran:#?}");
    }
}

#[test]
fn policies_are_checked_explained_and_tried() {
    let world = world();
    let further =
        "exempt:\n  - { scope: \"pkg:npm/left*\", reason: \"nobody yet\", expires: 2999-01-01 }\n";
    policy(&world, 2, further);
    let ran = world.run(["policy", "check", "policy.yaml"]).expect(0);
    assert!(ran.stdout.contains("4 operators"), "{ran:#?}");
    let ran = world
        .run(["policy", "explain", "pkg:npm/left-pad@1.0.0"])
        .expect(0);
    for needed in [
        "pkg:npm/*",
        "2 of alice, bob, carol",
        "exempt",
        "nobody yet",
    ] {
        assert!(ran.stdout.contains(needed), "{needed}: {ran:#?}");
    }
    let ran = world
        .run(["policy", "explain", "pkg:pypi/x@1", "--format", "json"])
        .expect(0);
    assert_eq!(ran.json()["rule"], "default");
    let ran = world
        .run(["policy", "explain", "pkg:npm/left-pad"])
        .expect(2);
    assert!(ran.stderr.contains("version"), "{ran:#?}");

    let vectors = format!("{}/../attest/vectors/decision", env!("CARGO_MANIFEST_DIR"));
    let ran = world
        .run(["policy", "test", &vectors, "--format", "json"])
        .expect(0);
    assert!(ran.json()["right"].as_u64() >= Some(80), "{ran:#?}");
    let one = format!("{vectors}/accept-two-of-four.json");
    let text = std::fs::read_to_string(one).expect("a vector");
    world.write(
        "wrong.json",
        text.replace("\"decision\": \"accept\"", "\"decision\": \"hold\""),
    );
    let ran = world.run(["policy", "test", "wrong.json"]).expect(4);
    assert!(ran.stdout.contains("0 as they say, 1 not"), "{ran:#?}");
    world.write("wrong.json", "{}");
    let _ = world.run(["policy", "test", "wrong.json"]).expect(2);
}

/// What the verifier is made of on a system.
fn packages_of_the_verifier(target: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    tree.args([
        "tree",
        "--locked",
        "-p",
        "countersign-verify",
        "--target",
        target,
    ]);
    tree.args(["-e", "normal,build", "--prefix", "none", "--format", "{p}"]);
    let tree = ran(&mut tree).expect(0).stdout;
    let named = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    tree.lines().map(named).collect()
}

/// A verifier that a distribution can build and a reviewer can read: few packages, nothing that fetches,
/// stores or runs anything, and nothing that only one system has (`tidy` looks at our own code). What other
/// systems add is for the colours of a terminal, and is named here.
#[test]
fn the_verifier_stays_small_and_knows_one_system_as_well_as_another() {
    let here = packages_of_the_verifier("x86_64-unknown-linux-gnu");
    for target in [
        "x86_64-pc-windows-msvc",
        "x86_64-pc-windows-gnu",
        "aarch64-apple-darwin",
    ] {
        let there = packages_of_the_verifier(target);
        assert!(there.len() <= 80, "{target}: {} packages", there.len());
        for package in there.difference(&here) {
            let known = [
                "anstyle-wincon",
                "once_cell_polyfill",
                "windows-link",
                "windows-sys",
            ];
            let known =
                target.contains("windows") && known.iter().any(|name| package.starts_with(name));
            assert!(known, "{target} adds {package}");
        }
    }
    println!("countersign-verify: {} packages", here.len());
    assert!((21..=80).contains(&here.len()), "{} packages", here.len());
    for banned in [
        "git2",
        "sqlx",
        "tokio",
        "reqwest",
        "axum",
        "nix",
        "rustls",
        "in-toto",
        "countersign-builder",
    ] {
        let named = format!("{banned} ");
        assert!(!here.iter().any(|p| p.starts_with(&named)), "{banned}");
    }
}
