//! Promise: what we sign is accepted by software that is not ours, and what was tampered with is not.
//!
//! The verifiers are other people's, at exact versions, put into `target/interop` by `tests/setup`; the
//! scripts in `tests/interop` only hand them files. Everything they see comes from one real `rebuild`.
//! Each test asks about the untouched file first, so that a verifier that refuses everything fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::digest::Sha256;
use countersign_attest::key::PublicKey;
use countersign_tests::{Ran, World, ran};
use serde_json::{Value, json};

use crate::third_party::{Reproduced, reproduced};

const ACCEPTED: i32 = 0;
/// A script's code for the verifier's own no; a script that does not work has another one.
const REFUSED: i32 = 10;
const FILE: &str = "tool-1.2.3.txt";
const KEY: &str = "out/signer.pub.pem";

/// Something done to a document, and its name.
type Tampering = (&'static str, fn(&mut Value));

/// What is done to an envelope, bare or in a bundle.
const ENVELOPE: [Tampering; 7] = [
    ("a byte of the payload", |envelope| {
        edit(&mut envelope["payload"], |bytes| bytes[40] ^= 1);
    }),
    ("another subject", |envelope| {
        edit(&mut envelope["payload"], |bytes| {
            let mut statement: Value = serde_json::from_slice(bytes).expect("JSON");
            statement["subject"][0]["digest"]["sha256"] = "00".repeat(32).into();
            *bytes = statement.to_string().into_bytes();
        });
    }),
    ("another payload type", |envelope| {
        envelope["payloadType"] = "application/vnd.in-toto.other+json".into();
    }),
    ("a byte of the signature", |envelope| {
        edit(signature(envelope), |bytes| bytes[5] ^= 1);
    }),
    ("a signature cut short", |envelope| {
        edit(signature(envelope), |bytes| bytes.truncate(63));
    }),
    ("an empty signature", |envelope| {
        *signature(envelope) = "".into();
    }),
    ("no signature", |envelope| {
        envelope["signatures"] = json!([]);
    }),
];

/// What is done to a link with one product.
pub(crate) const LINK: [Tampering; 6] = [
    ("another product", |link| {
        product(link)["sha256"] = "00".repeat(32).into();
    }),
    ("a further product", |link| {
        link["signed"]["products"]["other"] = product(link).clone();
    }),
    ("another command", |link| {
        link["signed"]["command"] = json!(["true"]);
    }),
    ("a byte of the signature", |link| {
        for signature in link["signatures"].as_array_mut().expect("a list") {
            let text = signature["sig"].as_str().expect("hex");
            let first = if text.starts_with('0') { "1" } else { "0" };
            signature["sig"] = format!("{first}{}", &text[1..]).into();
        }
    }),
    ("a signature cut short", |link| {
        for signature in link["signatures"].as_array_mut().expect("a list") {
            let text = signature["sig"].as_str().expect("hex");
            signature["sig"] = text[..126].into();
        }
    }),
    ("no signature", |link| {
        link["signatures"] = json!([]);
    }),
];

const STATEMENT: [Tampering; 7] = [
    ("another type", |statement| {
        statement["_type"] = "https://in-toto.io/Statement/v0.1".into();
    }),
    ("no subject", |statement| {
        statement["subject"] = json!([]);
    }),
    ("a subject without a digest", |statement| {
        statement["subject"][0]["digest"] = json!({});
    }),
    ("another subject", |statement| {
        statement["subject"][0]["digest"]["sha256"] = "00".repeat(32).into();
    }),
    ("no predicate type", |statement| {
        statement["predicateType"] = "".into();
    }),
    ("no predicate", |statement| {
        statement["predicate"] = json!({});
    }),
    ("a field that statements do not have", |statement| {
        statement["verdict"] = "reproduced".into();
    }),
];

fn product(link: &mut Value) -> &mut Value {
    let products = link["signed"]["products"].as_object_mut();
    products
        .expect("an object")
        .values_mut()
        .next()
        .expect("one")
}

fn signature(envelope: &mut Value) -> &mut Value {
    &mut envelope["signatures"][0]["sig"]
}

/// Changes bytes that are written in base64.
fn edit(text: &mut Value, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = STANDARD
        .decode(text.as_str().expect("text"))
        .expect("base64");
    change(&mut bytes);
    *text = STANDARD.encode(bytes).into();
}

/// The workspace.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace").to_owned()
}

/// A file below `target/interop`.
pub(crate) fn installed(name: &str) -> PathBuf {
    let path = root().join("target/interop").join(name);
    assert!(
        path.exists(),
        "{} is missing: run tests/setup, which installs other people's verifiers",
        path.display()
    );
    path
}

fn python(ours: &Reproduced, script: &str, arguments: &[&str]) -> Ran {
    python_in(&ours.world, script, arguments)
}

/// Runs a script of `tests/interop` in a world's folder.
pub(crate) fn python_in(world: &World, script: &str, arguments: &[&str]) -> Ran {
    python_of("venv", world, script, arguments)
}

fn python_of(environment: &str, world: &World, script: &str, arguments: &[&str]) -> Ran {
    let mut command = Command::new(installed(environment).join("bin/python"));
    command
        .current_dir(world.path(""))
        .args(["-I", "-B"])
        .arg(root().join("tests/interop").join(script))
        .args(arguments);
    ran(&mut command)
}

fn node(ours: &Reproduced, bundle: &Path, key: &str) -> Ran {
    let mut command = Command::new("node");
    command
        .current_dir(ours.world.path(""))
        .arg(root().join("tests/interop/bundle.mjs"))
        .args([&installed("npm"), bundle, Path::new(key)]);
    ran(&mut command)
}

fn read(path: &Path) -> Value {
    let bytes = fs::read(path).expect("a file");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A key that signed nothing.
fn stranger(ours: &Reproduced) -> &'static str {
    let _ = ours.world.run(["key", "new", "stranger.pem"]).expect(0);
    "stranger.pub.pem"
}

/// Fails unless the verifier says no, and says why.
#[track_caller]
fn refused(ran: Ran, what: &str) {
    let ran = ran.expect(REFUSED);
    assert!(!ran.stdout.trim().is_empty(), "{what}: {ran:#?}");
}

#[test]
fn securesystemslib_accepts_our_envelopes() {
    let ours = reproduced();
    accepts_our_envelopes(&ours, |path, key| {
        python(&ours, "dsse.py", &[text(path), key])
    });
}

#[test]
fn the_crate_dsse_accepts_our_envelopes() {
    let ours = reproduced();
    accepts_our_envelopes(&ours, |path, key| {
        let mut command = Command::new(installed("dsse/debug/dsse-interop"));
        ran(command.current_dir(ours.world.path("")).arg(path).arg(key))
    });
}

fn accepts_our_envelopes(ours: &Reproduced, ask: impl Fn(&Path, &str) -> Ran) {
    let stranger = stranger(ours);
    for kind in ["verdict", "provenance"] {
        let path = ours.path(kind, "dsse");
        let _ = ask(&path, KEY).expect(ACCEPTED);
        refused(ask(&path, stranger), "a stranger's key");
        for (what, change) in ENVELOPE {
            let mut envelope = read(&path);
            change(&mut envelope);
            let tampered = ours.world.write("tampered.json", envelope.to_string());
            refused(ask(&tampered, KEY), what);
        }
    }
}

#[test]
fn sigstore_accepts_our_bundles() {
    let ours = reproduced();
    let stranger = stranger(&ours);
    for kind in ["verdict", "provenance"] {
        let path = ours.path(kind, "bundle");
        let _ = node(&ours, &path, KEY).expect(ACCEPTED);
        refused(node(&ours, &path, stranger), "a stranger's key");
        let written = |bundle: &Value| ours.world.write("tampered.json", bundle.to_string());
        for (what, change) in ENVELOPE {
            let mut bundle = read(&path);
            change(&mut bundle["dsseEnvelope"]);
            refused(node(&ours, &written(&bundle), KEY), what);
        }
        // the stranger's hint finds the stranger's key, which did not sign this
        let mut bundle = read(&path);
        let key = fs::read(ours.world.path(stranger)).expect("a key");
        let key = PublicKey::from_pem(&key).expect("a key");
        bundle["verificationMaterial"]["publicKey"]["hint"] = key.spki_key_id().into();
        let hinted = written(&bundle);
        refused(node(&ours, &hinted, stranger), "a stranger's key and hint");
        refused(node(&ours, &hinted, KEY), "a stranger's hint");
        bundle["mediaType"] = "application/json".into();
        refused(node(&ours, &written(&bundle), KEY), "another media type");
    }
}

#[test]
fn in_toto_accepts_our_links() {
    let ours = reproduced();
    let path = ours.path("link", "metablock");
    let _ = python(&ours, "link.py", &[text(&path), KEY, FILE, "legacy"]).expect(ACCEPTED);
    accepts_our_links(&ours, |path, key, file| {
        python(&ours, "link.py", &[text(path), key, file])
    });
}

#[test]
fn in_toto_1_accepts_our_links() {
    let ours = reproduced();
    accepts_our_links(&ours, |path, key, file| {
        let arguments = [text(path), key, file];
        python_of("venv-in-toto-1", &ours.world, "link13.py", &arguments)
    });
}

fn accepts_our_links(ours: &Reproduced, ask: impl Fn(&Path, &str, &str) -> Ran) {
    let stranger = stranger(ours);
    let path = ours.path("link", "metablock");
    let _ = ask(&path, KEY, FILE).expect(ACCEPTED);
    refused(ask(&path, stranger, FILE), "a stranger's key");
    ours.world.write(format!("other/{FILE}"), "tool 1.2.4\n");
    refused(ask(&path, KEY, &format!("other/{FILE}")), "another file");
    ours.world.write("other.txt", "tool 1.2.3\n");
    refused(ask(&path, KEY, "other.txt"), "another name");
    for (what, change) in LINK {
        let mut link = read(&path);
        change(&mut link);
        let tampered = ours.world.write("tampered.json", link.to_string());
        refused(ask(&tampered, KEY, FILE), what);
    }
}

#[test]
fn in_toto_attestation_accepts_our_statements() {
    let ours = reproduced();
    let file = Sha256::of(&fs::read(ours.world.path(FILE)).expect("a file")).to_string();
    for kind in ["verdict", "provenance"] {
        let envelope = read(&ours.path(kind, "dsse"));
        let statement = payload(&envelope);
        let ask = |bytes: &[u8]| {
            let path = ours.world.write("statement.json", bytes);
            python(&ours, "statement.py", &[text(&path), &file])
        };
        let _ = ask(&statement).expect(ACCEPTED);
        for (what, change) in STATEMENT {
            let mut tampered: Value = serde_json::from_slice(&statement).expect("JSON");
            change(&mut tampered);
            refused(ask(tampered.to_string().as_bytes()), what);
        }
        refused(ask(&statement[..statement.len() / 2]), "half of it");
    }
}

/// The payload of an envelope.
fn payload(envelope: &Value) -> Vec<u8> {
    let text = envelope["payload"].as_str().expect("text");
    STANDARD.decode(text).expect("base64")
}

fn openssl(ours: &Reproduced, arguments: &[&str]) -> Ran {
    let mut command = Command::new("openssl");
    command.current_dir(ours.world.path("")).args(arguments);
    ran(&mut command)
}

#[test]
fn openssl_reads_our_keys() {
    let ours = reproduced();
    let stranger = stranger(&ours);
    let public = fs::read_to_string(ours.world.path(stranger)).expect("a key");
    let read = openssl(&ours, &["pkey", "-in", "stranger.pem", "-pubout"]).expect(0);
    assert_eq!(read.stdout, public);
    let shown = openssl(&ours, &["pkey", "-in", "stranger.pem", "-text", "-noout"]).expect(0);
    assert!(shown.stdout.contains("ED25519"), "{shown:#?}");
    // what openssl writes of the key is what we wrote
    let private = fs::read_to_string(ours.world.path("stranger.pem")).expect("a key");
    let written = openssl(&ours, &["pkey", "-in", "stranger.pem"]).expect(0);
    assert_eq!(written.stdout, private);
}

#[test]
fn openssl_verifies_our_signatures() {
    let ours = reproduced();
    let stranger = stranger(&ours);
    let mut envelope = read(&ours.verdict);
    // DSSE v1 section PAE, written down once more
    let payload = payload(&envelope);
    let kind = envelope["payloadType"].as_str().expect("text");
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend_from_slice(&payload);
    let good = STANDARD
        .decode(signature(&mut envelope).as_str().expect("text"))
        .expect("base64");
    let ask = |signed: &[u8], signature: &[u8], key: &str| {
        ours.world.write("signed", signed);
        ours.world.write("signature", signature);
        #[rustfmt::skip]
        let arguments = [
            "pkeyutl", "-verify", "-pubin", "-inkey", key,
            "-rawin", "-in", "signed", "-sigfile", "signature",
        ];
        openssl(&ours, &arguments)
    };
    let _ = ask(&signed, &good, KEY).expect(0);
    let _ = ask(&signed, &good, stranger).expect(1);
    for at in [0, 10, signed.len() - 1] {
        let mut tampered = signed.clone();
        tampered[at] ^= 1;
        let _ = ask(&tampered, &good, KEY).expect(1);
    }
    for at in [0, 32, 63] {
        let mut tampered = good.clone();
        tampered[at] ^= 1;
        let _ = ask(&signed, &tampered, KEY).expect(1);
    }
    let _ = ask(&signed, &good[..63], KEY).expect(1);
    let _ = ask(&signed, b"", KEY).expect(1);
}
