//! Promise: what a tag's signature is, and what an artifact says of its source, stands beside the
//! verdict and in the statement, and never makes the verdict.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_tests::{Ran, Repository, World, ran};
use serde_json::Value;

const RECIPE: &str = "steps: [[cp, in.txt, out.txt]]\noutputs: [out.txt]\n";

/// A key of its own, and a file that allows it to sign.
fn signer(world: &World, name: &str) -> String {
    let key = world.path(name).display().to_string();
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &key]);
    let _ = ran(&mut make).expect(0);
    let public = std::fs::read_to_string(world.path(format!("{name}.pub"))).expect("a key");
    world.write(format!("{name}.allowed"), format!("{name} {public}"));
    key
}

fn world() -> (World, Repository, String) {
    let world = World::new();
    let key = signer(&world, "author");
    signer(&world, "other");
    let repository = world.repository("signed");
    repository.write("in.txt", "in\n");
    repository.release("v1.0.0");
    let setting = format!("user.signingkey={key}");
    let sign = [
        "-c",
        "gpg.format=ssh",
        "-c",
        &setting,
        "tag",
        "-s",
        "-m",
        "words",
    ];
    repository.git(sign.into_iter().chain(["v2.0.0", "HEAD"]));
    world.write("build.yaml", RECIPE);
    world.write("published/out.txt", "in\n");
    (world, repository, key)
}

fn rebuild(world: &World, tag: &str, out: &str, more: &[&str]) -> Ran {
    let mut arguments = vec!["rebuild", "--source", "signed", "--tag", tag, "--out", out];
    arguments.extend(["--published", "published/out.txt", "--recipe", "build.yaml"]);
    arguments.extend(["--format", "json"]);
    arguments.extend(more);
    world.run(arguments)
}

/// What the signed statement says of the tag.
fn tag(world: &World, json: &Value) -> Value {
    let all = json["artifacts"][0]["attestations"]
        .as_array()
        .expect("some");
    let verdict = all
        .iter()
        .find(|a| a["kind"] == "verdict" && a["format"] == "dsse");
    let path = verdict.expect("a verdict")["path"]
        .as_str()
        .expect("a path");
    let envelope = std::fs::read(world.path(path)).expect("an envelope");
    let envelope: Value = serde_json::from_slice(&envelope).expect("JSON");
    let payload = STANDARD.decode(envelope["payload"].as_str().expect("text"));
    let statement: Value = serde_json::from_slice(&payload.expect("base64")).expect("JSON");
    statement["predicate"]["source"]["tag"]["signature"].clone()
}

#[test]
fn a_tags_signature_stands_beside_the_verdict() {
    let (world, ..) = world();
    for (name, tag_name, options, state, findings) in [
        ("plain", "v1.0.0", &[][..], "UNSIGNED", 0),
        ("unchecked", "v2.0.0", &[], "UNCHECKED", 0),
        (
            "valid",
            "v2.0.0",
            &["--allowed-signers", "author.allowed"],
            "VALID",
            0,
        ),
        (
            "unknown",
            "v2.0.0",
            &["--allowed-signers", "other.allowed"],
            "UNKNOWN_KEY",
            1,
        ),
    ] {
        // the output equals a file of the tree, so that there is a verdict of its own either way
        let json = rebuild(&world, tag_name, name, options).json();
        let signature = tag(&world, &json);
        assert_eq!(signature["state"], state, "{name}");
        assert_eq!(signature["format"] == "ssh", tag_name == "v2.0.0", "{name}");
        let key = signature["keyFingerprint"].as_str().unwrap_or_default();
        assert_eq!(
            key.starts_with("SHA256:"),
            options.len() == 2,
            "{name}: {key}"
        );
        let listed = json["artifacts"][0]["findings"].as_array().expect("a list");
        assert_eq!(listed.len(), findings, "{name}: {listed:?}");
    }
}

#[test]
fn keys_that_cannot_be_read_are_our_trouble() {
    let (world, ..) = world();
    let said = rebuild(&world, "v2.0.0", "out", &["--allowed-signers", "nowhere"]);
    let said = said.expect(5).json();
    assert_eq!(said["error"]["code"], "tag-signature", "{said:#}");
}

#[test]
fn what_neither_source_nor_build_has_is_found_in_any_archive() {
    let (world, ..) = world();
    let tar = |name: &str, members: &[&str]| {
        let mut tar = Command::new("tar");
        tar.args([
            "--mtime=@0",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "-cf",
            name,
        ]);
        let _ = ran(tar.args(members).current_dir(world.path("published"))).expect(0);
    };
    world.write(
        "build.yaml",
        "steps: [[tar, --mtime=@0, --owner=0, --group=0, --numeric-owner, -cf, out.tar, in.txt]]\noutputs: [out.tar]\n",
    );
    world.write("published/in.txt", "in\n");
    world.write("published/evil.sh", "act\n");
    tar("out.tar", &["in.txt", "evil.sh"]);
    let mut arguments = vec![
        "rebuild", "--source", "signed", "--tag", "v1.0.0", "--out", "out",
    ];
    arguments.extend(["--published", "published/out.tar", "--recipe", "build.yaml"]);
    arguments.extend(["--format", "json"]);
    let json = world.run(arguments).expect(1).json();
    let artifact = &json["artifacts"][0];
    assert_eq!(artifact["verdict"], "differs", "{json:#}");
    assert_eq!(
        artifact["findings"][0]["finding"], "not-in-source",
        "{json:#}"
    );
    assert_eq!(artifact["findings"][0]["members"][0], "evil.sh");
    assert_eq!(json["attempts"][0]["way"], "as configured");
    assert_ne!(json["attempts"][0]["why"], "");
}
