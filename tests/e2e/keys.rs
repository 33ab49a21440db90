//! Promise: an operator's key may be encrypted, given by the service manager, or kept by a program; it may
//! be replaced, and nothing that it signed is lost by that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use countersign_tests::{Ran, World, ran};

/// What a world's daemon says after one round.
fn round(world: &World) -> Ran {
    world.run(["daemon", "--once"])
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// A world with one release of a repository that has an address, so that the operator's key signs.
fn world(keys: &str) -> World {
    let world = World::new();
    let repository = world.repository("x");
    repository.write("build.sh", "mkdir out; echo $1 > out/x-$1.txt\n");
    repository.release("v1.0.0");
    world.write("published/x-1.0.0.txt", "1.0.0\n");
    configure(&world, keys);
    world
}

fn configure(world: &World, keys: &str) {
    let text = format!(
        "version: 1\nrebuilder: {{ id: urn:countersign:test }}\nallow_local: true\n{keys}\nrepositories:\n  \
         - source: https://forge.example/x\n    fetch_from: ./x\n    published: './published/x-{{version}}.txt'\n    build:\n      \
         steps: [[sh, build.sh, '{{version}}']]\n      outputs: ['out/x-{{version}}.txt']\n"
    );
    world.write("countersign.yaml", text);
}

fn verify(world: &World, keys: &[&str]) -> Ran {
    let mut arguments = vec![
        "verify",
        "published/x-1.0.0.txt",
        "--attestation",
        "data/attestations",
    ];
    for key in keys {
        arguments.extend(["--key", key]);
    }
    world.run(arguments)
}

fn secret(world: &World, name: &str, text: &str) {
    let path = world.write(name, text);
    mode(&path, 0o600);
}

fn openssl(world: &World, arguments: &[&str]) -> Ran {
    ran(Command::new("openssl")
        .current_dir(world.path(""))
        .args(arguments))
}

#[test]
fn an_encrypted_key_signs_with_its_pass_phrase_and_openssl_reads_it() {
    let world = world("key: key.pem\npassphrase: phrase");
    secret(&world, "phrase", "correct horse\nnot this line\n");
    let _ = world
        .run(["key", "new", "key.pem", "--passphrase", "phrase"])
        .expect(0);
    let text = fs::read_to_string(world.path("key.pem")).expect("a key");
    assert!(
        text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
        "{text}"
    );
    let _ = round(&world).expect(0);
    let _ = verify(&world, &["key.pub.pem"]).expect(0);

    let public = fs::read_to_string(world.path("key.pub.pem")).expect("a key");
    let read = openssl(
        &world,
        &[
            "pkey",
            "-in",
            "key.pem",
            "-passin",
            "file:phrase",
            "-pubout",
        ],
    );
    assert_eq!(read.expect(0).stdout, public);
    assert_ne!(
        openssl(&world, &["pkey", "-in", "key.pem", "-passin", "pass:x"]).code,
        Some(0)
    );

    // what openssl makes is read
    #[rustfmt::skip]
    let make = [
        "genpkey", "-algorithm", "ed25519", "-aes-256-cbc", "-pass", "file:phrase", "-out", "theirs.pem",
    ];
    let _ = openssl(&world, &make).expect(0);
    mode(&world.path("theirs.pem"), 0o600);
    let import = |to| world.run(["key", "import", "theirs.pem", to, "--passphrase", "phrase"]);
    let shown = import("mine.pem").expect(0).stdout;
    let theirs = openssl(
        &world,
        &[
            "pkey",
            "-in",
            "theirs.pem",
            "-passin",
            "file:phrase",
            "-pubout",
        ],
    );
    assert!(shown.contains(&theirs.expect(0).stdout), "{shown}");

    // another pass phrase, none at all, one that others can read
    secret(&world, "phrase", "wrong\n");
    let ran = import("other.pem").expect(2);
    assert!(ran.stderr.contains("another pass phrase"), "{ran:#?}");
    let mut apart = Command::new("setsid"); // from whatever terminal runs the tests
    apart
        .current_dir(world.path(""))
        .arg("-w")
        .arg(countersign_tests::binary());
    let shown = countersign_tests::ran(apart.args(["key", "show", "key.pem"])).expect(2);
    assert!(shown.stderr.contains("pass phrase"), "{shown:#?}");
    mode(&world.path("phrase"), 0o644);
    let ran = import("other.pem").expect(2);
    assert!(ran.stderr.contains("chmod 600"), "{ran:#?}");
    assert!(!world.path("other.pem").exists());
    assert_eq!(round(&world).code, Some(5));
}

#[test]
fn a_pass_phrase_is_asked_at_a_terminal_and_does_not_show() {
    let world = World::new();
    secret(&world, "phrase", "correct horse\n");
    let _ = world
        .run(["key", "new", "key.pem", "--passphrase", "phrase"])
        .expect(0);
    let public = fs::read_to_string(world.path("key.pub.pem")).expect("a key");
    let at_a_terminal = |typed: &str| {
        let binary = countersign_tests::binary().display();
        let script = format!(
            "{{ sleep 1; printf '{typed}\\n'; sleep 1; }} | script -qec '{binary} key show key.pem' /dev/null"
        );
        ran(Command::new("sh")
            .current_dir(world.path(""))
            .args(["-c", &script]))
    };
    let shown = at_a_terminal("correct horse").stdout.replace('\r', "");
    assert!(
        shown.contains("pass phrase of key.pem: ") && shown.contains(&public),
        "{shown}"
    );
    let refused = at_a_terminal("wrong horse").stdout;
    assert!(refused.contains("another pass phrase"), "{refused}");
}

#[test]
fn keys_come_as_credentials_of_the_service_manager() {
    let world = world("key: credential:statement\npassphrase: credential:phrase");
    secret(&world, "phrase", "correct horse");
    let _ = world
        .run([
            "key",
            "new",
            "credentials/statement",
            "--passphrase",
            "phrase",
        ])
        .expect(0);
    fs::rename(world.path("phrase"), world.path("credentials/phrase")).expect("a file");
    // as systemd shows its access lists
    mode(&world.path("credentials/statement"), 0o440);
    let with = |folder: &str| {
        let mut command = world.command(["daemon", "--once"]);
        ran(command.env("CREDENTIALS_DIRECTORY", world.path(folder)))
    };
    let ran = round(&world).expect(2);
    assert!(ran.stderr.contains("LoadCredential"), "{ran:#?}");
    let ran = with("nowhere").expect(2);
    assert!(ran.stderr.contains("statement"), "{ran:#?}");
    let _ = with("credentials").expect(0);
    let _ = verify(&world, &["credentials/statement.pub.pem"]).expect(0);
}

/// A program that signs with openssl, which wants a file; `more` comes before.
fn program(world: &World, more: &str) {
    let folder = world.path("");
    let folder = folder.display();
    let script = format!(
        "#!/bin/sh\nset -e\n{more}\nt=$(mktemp -d)\ntrap 'rm -rf $t' EXIT\ncat >$t/m\n\
         openssl pkeyutl -sign -inkey {folder}/token.pem -rawin -in $t/m -out $t/s\nbase64 -w0 $t/s\n"
    );
    let script = script.replace("openssl", "/usr/bin/env PATH=/usr/bin:/bin openssl");
    let path = world.write(
        "sign",
        format!(
            "{}\n",
            script.replace("set -e", "set -e\nexport PATH=/usr/bin:/bin")
        ),
    );
    mode(&path, 0o700);
}

#[test]
fn a_program_signs_and_its_result_is_looked_at() {
    let world = world("");
    let _ = world.run(["key", "new", "token.pem"]).expect(0);
    let _ = world.run(["key", "new", "stranger.pem"]).expect(0);
    let signer = |public: &str, more: &str| {
        let exec = world.path("sign").display().to_string();
        configure(
            &world,
            &format!("signer: {{ exec: ['{exec}'], public: {public}{more} }}"),
        );
    };
    // a signature of another key, none, and a program that hangs: nothing is signed, and it is a fault
    program(&world, "");
    signer("stranger.pub.pem", "");
    let failed = |expected: &str| {
        let ran = round(&world);
        assert!(
            ran.code == Some(5) && ran.stderr.contains(expected),
            "{expected}: {ran:#?}"
        );
        assert_eq!(
            fs::read_dir(world.path("data/attestations")).map_or(0, Iterator::count),
            0
        );
    };
    failed("does not verify");
    signer("token.pub.pem", "");
    program(&world, "echo nonsense; exit 0");
    failed("no signature");
    program(&world, "exit 7");
    failed("exit status: 7");
    program(&world, "exec sleep 600");
    signer("token.pub.pem", ", seconds: 1");
    failed("did not end");

    signer("token.pub.pem", "");
    program(&world, "");
    let _ = round(&world).expect(0);
    let _ = verify(&world, &["token.pub.pem"]).expect(0);
    let _ = verify(&world, &["stranger.pub.pem"]).expect(4);
    let shown = world.run(["key", "show"]).expect(0).stdout;
    let public = fs::read_to_string(world.path("token.pub.pem")).expect("a key");
    assert!(shown.contains(&public), "{shown}");
    assert_eq!(isolation(&world), "same-uid");
}

#[test]
fn a_key_in_hardware_is_the_operators_word() {
    let world = world("");
    let _ = world.run(["key", "new", "token.pem"]).expect(0);
    program(&world, "");
    let exec = world.path("sign").display().to_string();
    configure(
        &world,
        &format!("signer: {{ exec: ['{exec}'], public: token.pub.pem, hardware: true }}"),
    );
    let _ = round(&world).expect(0);
    assert_eq!(isolation(&world), "hardware");
}

fn isolation(world: &World) -> String {
    use base64::Engine as _;
    let mut folder = fs::read_dir(world.path("data/attestations")).expect("a folder");
    let verdict = folder.find_map(|entry| {
        let path = entry.expect("an entry").path();
        path.to_str()?
            .ends_with(".verdict.dsse.json")
            .then_some(path)
    });
    let envelope = fs::read(verdict.expect("a verdict")).expect("a file");
    let envelope: serde_json::Value = serde_json::from_slice(&envelope).expect("JSON");
    let payload = envelope["payload"].as_str().expect("text");
    let payload = base64::engine::general_purpose::STANDARD
        .decode(payload)
        .expect("base64");
    let statement: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
    let isolation = &statement["predicate"]["rebuilder"]["keyIsolation"];
    isolation.as_str().expect("a word").to_owned()
}

#[test]
fn after_a_rotation_old_statements_stay_and_can_be_withdrawn() {
    let world = world("key: old.pem");
    let _ = world.run(["key", "new", "old.pem"]).expect(0);
    let _ = round(&world).expect(0);
    let _ = verify(&world, &["old.pub.pem"]).expect(0);
    let _ = world.run(["key", "new", "new.pem"]).expect(0);
    // the secret is gone, its public half is kept
    fs::remove_file(world.path("old.pem")).expect("a file");
    let retired = |window: &str| {
        let keys = format!("key: new.pem\nretired_keys: [{{ public: old.pub.pem, {window} }}]");
        configure(&world, &keys);
    };
    retired("from: 2026-01-02, until: 2026-01-01");
    let ran = world.run(["config", "check"]).expect(2);
    assert!(ran.stderr.contains("retired_keys[0].until"), "{ran:#?}");
    retired("until: 2026-01-01");
    let _ = round(&world).expect(0);
    let _ = verify(&world, &["old.pub.pem"]).expect(0);
    let _ = verify(&world, &["new.pub.pem"]).expect(4);

    let shown = world
        .run(["release", "show", "1", "--format", "json"])
        .expect(0)
        .json();
    let statements = shown["artifacts"][0]["statements"]
        .as_array()
        .expect("a list")
        .clone();
    let verdict = statements
        .iter()
        .find(|s| s["kind"] == "verdict")
        .expect("a verdict");
    let digest = format!("sha256:{}", verdict["digest"].as_str().expect("hex"));
    let _ = world
        .run(["withdraw", &digest, "--reason", "key-exposed"])
        .expect(0);
    let said = |keys: &[&str]| verify(&world, keys);
    // who knows both keys learns of it; who knows the old one alone cannot
    let ran = said(&["old.pub.pem", "new.pub.pem"]).expect(4);
    assert!(
        ran.stdout.contains("withdrawn") || ran.stderr.contains("withdrawn"),
        "{ran:#?}"
    );
    let _ = said(&["old.pub.pem"]).expect(0);
    let policy = |keys: &str| {
        let text = format!(
            "version: 1\noperators:\n  alice: {{ keys: [{keys}] }}\nrules:\n  - {{ scope: default, mode: warn, \
             require: {{ k: 1, of: [alice] }}, view: best-effort }}\n"
        );
        world.write("policy.yaml", text);
        #[rustfmt::skip]
        let arguments = [
            "verify", "published/x-1.0.0.txt", "--policy", "policy.yaml", "--attestation",
            "data/attestations", "--offline", "--format", "json",
        ];
        world.run(arguments)
    };
    let id = |file: &str| {
        let pem = fs::read(world.path(file)).expect("a key");
        countersign_attest::key::PublicKey::from_pem(&pem)
            .expect("a key")
            .to_string()
    };
    let (old, new) = (id("old.pub.pem"), id("new.pub.pem"));
    let decided = |ran: Ran| ran.json()["decision"].clone();
    assert_eq!(decided(policy(&format!("'{old}'"))), "accept");
    assert_eq!(decided(policy(&format!("'{old}', '{new}'"))), "not-enough");
}
