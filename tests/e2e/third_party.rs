//! Promise: somebody who has a file, a public key and an attestation learns what was found, and is
//! not fooled by anything that was changed.

use std::fs;
use std::path::{Path, PathBuf};

use countersign_tests::World;

/// A world with one reproduced release: the file, the public key, and what was signed.
pub(crate) struct Reproduced {
    pub(crate) world: World,
    /// The verdict's envelope.
    pub(crate) verdict: PathBuf,
    /// The list of all that was signed, as `rebuild` reports it.
    pub(crate) attestations: serde_json::Value,
}

impl Reproduced {
    /// Where `rebuild` says that it wrote something.
    pub(crate) fn path(&self, kind: &str, format: &str) -> PathBuf {
        let list = self.attestations.as_array().expect("a list");
        let found = list
            .iter()
            .find(|a| a["kind"] == kind && a["format"] == format)
            .unwrap_or_else(|| panic!("no {kind} as {format}: {:#}", self.attestations));
        self.world.path(found["path"].as_str().expect("a path"))
    }
}

pub(crate) fn reproduced() -> Reproduced {
    let world = World::new();
    let repository = world.repository("tool");
    repository.write("build.sh", "mkdir dist\necho tool $1 > dist/tool-$1.txt\n");
    repository.release("1.2.3");
    world.write("tool-1.2.3.txt", "tool 1.2.3\n");
    world.write(
        "build.yaml",
        "steps: [[sh, build.sh, \"{version}\"]]\noutputs: [\"dist/tool-{version}.txt\"]\n",
    );
    let json = world
        .run([
            "rebuild",
            "--source",
            "tool",
            "--tag",
            "1.2.3",
            "--published",
            "tool-1.2.3.txt",
            "--recipe",
            "build.yaml",
            "--format",
            "json",
            "--out",
            "out",
        ])
        .expect(0)
        .json();
    let mut made = Reproduced {
        world,
        verdict: PathBuf::new(),
        attestations: json["artifacts"][0]["attestations"].clone(),
    };
    made.verdict = made.path("verdict", "dsse");
    made
}

fn verify(world: &World, file: &str, key: &str, attestation: &Path) -> countersign_tests::Ran {
    let attestation = attestation.to_str().expect("UTF-8");
    world.run(["verify", file, "--key", key, "--attestation", attestation])
}

#[test]
fn a_reproduced_file_is_accepted_from_a_file_or_a_folder() {
    let Reproduced { world, verdict, .. } = reproduced();
    let ran = verify(&world, "tool-1.2.3.txt", "out/signer.pub.pem", &verdict).expect(0);
    assert!(ran.stdout.contains("Reproduced: same bytes"), "{ran:#?}");
    let ran = verify(
        &world,
        "tool-1.2.3.txt",
        "out/signer.pub.pem",
        &world.path("out"),
    )
    .expect(0);
    assert!(
        !ran.stdout.contains("safe") && !ran.stdout.contains("verified"),
        "{ran:#?}"
    );
}

#[test]
fn whatever_was_changed_is_refused() {
    let Reproduced { world, verdict, .. } = reproduced();
    // another file
    world.write("other.txt", "tool 1.2.4\n");
    let _ = verify(&world, "other.txt", "out/signer.pub.pem", &verdict).expect(4);
    // another key
    let _ = world.run(["key", "new", "stranger.pem"]).expect(0);
    let _ = verify(&world, "tool-1.2.3.txt", "stranger.pub.pem", &verdict).expect(4);
    // every part of the envelope, one byte each
    let envelope = fs::read_to_string(&verdict).expect("an envelope");
    let value: serde_json::Value = serde_json::from_str(&envelope).expect("JSON");
    for part in ["payload", "payloadType"] {
        let text = value[part].as_str().expect("text");
        let middle = text.len() / 2;
        let old = &text[middle..=middle];
        let new = if old == "A" { "B" } else { "A" };
        let changed = envelope.replace(
            text,
            &format!("{}{new}{}", &text[..middle], &text[middle + 1..]),
        );
        assert_ne!(changed, envelope);
        let path = world.write("changed.json", changed);
        let ran = verify(&world, "tool-1.2.3.txt", "out/signer.pub.pem", &path);
        assert_eq!(ran.code, Some(4), "{part}: {ran:#?}");
    }
    let signature = value["signatures"][0]["sig"].as_str().expect("text");
    let new = if signature.starts_with('A') { "B" } else { "A" };
    let path = world.write(
        "changed.json",
        envelope.replace(signature, &format!("{new}{}", &signature[1..])),
    );
    let _ = verify(&world, "tool-1.2.3.txt", "out/signer.pub.pem", &path).expect(4);
    // nothing there, no JSON, an empty folder
    let _ = verify(
        &world,
        "tool-1.2.3.txt",
        "out/signer.pub.pem",
        &world.write("no.json", "no"),
    )
    .expect(4);
    fs::create_dir(world.path("empty")).expect("a folder");
    let _ = verify(
        &world,
        "tool-1.2.3.txt",
        "out/signer.pub.pem",
        &world.path("empty"),
    )
    .expect(4);
    // what is not there at all is the caller's mistake
    let _ = verify(
        &world,
        "tool-1.2.3.txt",
        "out/signer.pub.pem",
        &world.path("absent"),
    )
    .expect(2);
    let _ = verify(&world, "absent", "out/signer.pub.pem", &verdict).expect(2);
    let _ = verify(&world, "tool-1.2.3.txt", "absent.pem", &verdict).expect(2);
}

fn private(path: &Path) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
}

#[test]
fn a_key_that_openssl_wrote_is_imported_and_signs() {
    let Reproduced { world, .. } = reproduced();
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    private(&world.write("foreign.pem", key));
    let _ = world
        .run(["key", "import", "foreign.pem", "imported.pem"])
        .expect(0);
    assert_eq!(
        fs::read_to_string(world.path("imported.pem")).expect("a key"),
        key
    );
    // RFC 8032 §7.1, test 1
    let shown = world
        .run(["key", "show", "imported.pem", "--format", "json"])
        .expect(0)
        .json();
    let public = shown["publicKey"].as_str().expect("PEM");
    assert!(
        public.contains("MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
        "{public}"
    );
    // nothing is ever overwritten
    let _ = world.run(["key", "new", "imported.pem"]).expect(2);
    let _ = world
        .run(["key", "import", "foreign.pem", "imported.pem"])
        .expect(2);
    for bad in [
        "",
        "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n",
        "\u{0}\u{1}",
    ] {
        private(&world.write("bad.pem", bad));
        let _ = world
            .run(["key", "import", "bad.pem", "never.pem"])
            .expect(2);
        assert!(!world.path("never.pem").exists());
    }
}
