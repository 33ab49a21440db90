//! Promise: links of the public rebuilders of Arch Linux and Debian count as their operators' word, where a
//! policy says so, and with a byte changed they do not; and so do bundles of OSS Rebuild, made here.
//!
//! The links, keys and packages are those that repro-threshold ships for its own tests; `tests/setup` takes
//! them from its registry.

use std::fs;

use countersign_attest::digest::Sha256;
use countersign_attest::evidence::link;
use countersign_attest::key::PublicKey;
use countersign_fixtures::oss_rebuild::{KEYS, Run};
use countersign_tests::{Ran, World};
use serde_json::Value;

use crate::foreign::installed;

/// A public rebuilder: key, link, package, and what the package is.
struct Public {
    key: &'static str,
    link: &'static str,
    file: &'static str,
    purl: &'static str,
}

const PUBLIC: [Public; 2] = [
    Public {
        key: "reproducible-archlinux.pub",
        link: "filesystem-2025.10.12-1-any.in-toto.link",
        file: "filesystem-2025.10.12-1-any.pkg.tar.zst",
        purl: "pkg:alpm/arch/filesystem@2025.10.12-1?arch=any",
    },
    Public {
        key: "reproduce-debian-net-amd64.pub",
        link: "librust-as-slice-dev_0.2.1-1+b2_amd64.in-toto.link",
        file: "librust-as-slice-dev_0.2.1-1+b2_amd64.deb",
        purl: "pkg:deb/debian/librust-as-slice-dev@0.2.1-1%2Bb2?arch=amd64",
    },
];

fn shipped(name: &str) -> Vec<u8> {
    fs::read(installed(&format!("crates/test_data/{name}"))).expect("a file")
}

impl Public {
    fn key(&self) -> PublicKey {
        let pem = shipped(self.key);
        assert!(
            String::from_utf8_lossy(&pem).contains("MCwwBwYDK2VwBQAD"),
            "a key with the unusual NULL"
        );
        PublicKey::from_pem(&pem).expect("a key")
    }

    /// The package and its link; one operator with these attributes decides.
    fn world(&self, attributes: &str) -> World {
        let world = World::new();
        world.write(self.file, shipped(self.file));
        world.write("said/x.link", shipped(self.link));
        let key = self.key();
        world.write(
            "policy.yaml",
            format!(
                "version: 1\noperators:\n  public: {{ keys: [\"{key}\"]{attributes} }}\nrules:\n  \
                 - {{ scope: default, mode: warn, require: {{ k: 1, of: [public] }}, view: best-effort }}\n"
            ),
        );
        world
    }
}

const SOFTWARE: &str = ", attrs: { software: rebuilderd }";

fn verify(world: &World, subject: &str, more: &[&str]) -> Ran {
    let fixed = [
        "verify",
        subject,
        "--policy",
        "policy.yaml",
        "--attestation",
        "said",
        "--offline",
    ];
    world.run([&fixed, more].concat())
}

#[test]
fn links_of_public_rebuilders_count_where_the_policy_says_so() {
    for public in &PUBLIC {
        let world = public.world(SOFTWARE);
        for more in [&[][..], &["--as", public.purl][..]] {
            let ran = verify(&world, public.file, more).expect(0);
            assert!(
                ran.stdout.contains("does not say when, from which commit"),
                "{ran:#?}"
            );
        }
        // as another package or version; a version is always behind the last @
        let (name, _) = public.purl.rsplit_once('@').expect("a version");
        let other = format!("{name}@9?arch=any");
        assert_eq!(verify(&world, public.file, &["--as", &other]).code, Some(4));
        let mut bytes = shipped(public.file);
        bytes[0] ^= 1;
        world.write(public.file, bytes);
        assert_eq!(
            verify(&world, public.file, &[]).code,
            Some(4),
            "another file"
        );
        // an operator of other software
        let world = public.world(", attrs: { software: countersign }");
        let ran = verify(&world, public.file, &[]).expect(4);
        assert!(
            ran.stdout.contains("evidence of other software"),
            "{ran:#?}"
        );
    }
    let arch = &PUBLIC[0];
    let world = arch.world(SOFTWARE);
    world.write(
        "said/x.link",
        shipped("filesystem-2025.10.12-1-any.INVALID.in-toto.link"),
    );
    let ran = verify(&world, arch.file, &[]).expect(4);
    assert!(
        ran.stdout.contains("is not signed by a given key"),
        "{ran:#?}"
    );
    world.write("said/x.link", shipped(PUBLIC[1].link));
    assert_eq!(
        verify(&world, arch.file, &[]).code,
        Some(4),
        "another's link"
    );
}

#[test]
fn a_public_link_with_any_byte_changed_is_not_believed() {
    for public in &PUBLIC {
        let (bytes, keys) = (shipped(public.link), [public.key()]);
        let believed = link::open(&bytes, &keys).expect("a good link");
        let text = String::from_utf8(bytes.clone()).expect("JSON");
        let signed = text.find("\"signed\":").expect("what is signed") + "\"signed\":".len();
        let mut refused = 0;
        for at in 0..bytes.len() {
            for bit in [0, 5] {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                match link::open(&changed, &keys) {
                    Err(_) => refused += 1,
                    // ids of keys, and the signature of a worker whose key nobody gave
                    Ok(testimony) => {
                        assert!(at < signed, "byte {at} of {}", public.link);
                        assert_eq!(testimony, believed);
                    }
                }
            }
        }
        println!(
            "{}: {refused} of {} changes refused",
            public.link,
            bytes.len() * 2
        );
        assert!(refused >= (bytes.len() - signed) * 2);
    }
}

const WHEEL: &str = "lib-1.0-py3-none-any.whl";

/// A published file, and a bundle of OSS Rebuild about it under a key of ours.
fn oss_rebuild_world(built: &[u8]) -> World {
    let world = World::new();
    let published = b"a wheel";
    let digest = |bytes: &[u8]| Sha256::of(bytes).to_string();
    let run = Run {
        package: ["pypi", "lib", "1.0"],
        file_name: WHEEL,
        published: &digest(published),
        built: &digest(built),
        source: ["git+https://forge.example/lib", &"1".repeat(40)],
    };
    world.write(WHEEL, published);
    world.write("rebuild.intoto.jsonl", run.bundle());
    world.write("oss.pub.pem", KEYS[0].1);
    world
}

fn trust_oss_rebuild(world: &World) -> String {
    let shown = world
        .run(["key", "show", "oss.pub.pem", "--format", "json"])
        .expect(0);
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let fingerprint = shown["keyId"].as_str().expect("an id").to_owned();
    let other = ["--yes", "--key", &"0".repeat(64)];
    let add = [
        "trust",
        "add",
        "--software",
        "oss-rebuild",
        "--public",
        "oss.pub.pem",
        "--name",
        "oss",
    ];
    let policy = ["--policy", "policy.yaml"];
    let ran = world.run([&add[..], &policy, &other].concat()).expect(4);
    assert!(ran.stderr.contains("nothing was changed"), "{ran:#?}");
    let pinned = ["--yes", "--key", &fingerprint];
    let _ = world.run([&add[..], &policy, &pinned].concat()).expect(0);
    shown["policyKey"].as_str().expect("a key").to_owned()
}

#[test]
fn bundles_of_oss_rebuild_count_by_policy_and_by_key_as_what_they_say() {
    let world = oss_rebuild_world(b"a wheel");
    let key = trust_oss_rebuild(&world);
    assert!(key.starts_with("ecdsa-p256:04"), "{key}");
    let listed = world
        .run(["trust", "list", "--policy", "policy.yaml"])
        .expect(0);
    for part in ["ECDSA P-256", "oss-rebuild"] {
        assert!(listed.stdout.contains(part), "{part}: {listed:#?}");
    }
    let as_purl = [
        "--as",
        "pkg:pypi/lib@1.0?file_name=lib-1.0-py3-none-any.whl",
    ];
    let given = ["--attestation", "rebuild.intoto.jsonl", "--offline"];
    let by_policy = |world: &World, more: &[&str]| {
        world.run(
            [
                &["verify", WHEEL, "--policy", "policy.yaml"][..],
                &given,
                more,
            ]
            .concat(),
        )
    };
    for more in [&[][..], &as_purl] {
        let ran = by_policy(&world, more).expect(0);
        assert!(
            ran.stdout.contains("built once, with a network"),
            "{ran:#?}"
        );
        assert!(
            ran.stdout.contains("git+https://forge.example/lib"),
            "{ran:#?}"
        );
    }
    let _ = by_policy(
        &world,
        &[
            "--as",
            "pkg:pypi/lib@1.1?file_name=lib-1.0-py3-none-any.whl",
        ],
    )
    .expect(4);
    for key in [key.as_str(), "oss.pub.pem"] {
        let ran = world
            .run([&["verify", WHEEL, "--key", key][..], &given].concat())
            .expect(0);
        assert!(
            ran.stdout.contains("built once, with a network"),
            "{ran:#?}"
        );
    }
    let json = ["verify", WHEEL, "--key", &key, "--format", "json"];
    let ran = world.run([&json[..], &given].concat()).expect(0);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["decided_by"]["form"], "oss-rebuild");

    // other bytes that are equal after stabilization: less, and taken only where that is asked for
    let packed = oss_rebuild_world(b"packed differently");
    let _ = trust_oss_rebuild(&packed);
    let ran = by_policy(&packed, &[]).expect(4);
    assert!(ran.stdout.contains("stabilization"), "{ran:#?}");
    let by_key = [&["verify", WHEEL, "--key", "oss.pub.pem"][..], &given].concat();
    let _ = packed.run(&by_key).expect(1);
    let _ = packed
        .run([&by_key[..], &["--accept", "equivalent"]].concat())
        .expect(0);
    // the file that was built is another file than the published one
    packed.write(WHEEL, b"packed differently");
    let _ = packed
        .run([&by_key[..], &["--accept", "equivalent"]].concat())
        .expect(1);
}

#[test]
fn a_tampered_bundle_of_oss_rebuild_counts_for_nothing() {
    let world = oss_rebuild_world(b"a wheel");
    let given = ["--attestation", "rebuild.intoto.jsonl", "--offline"];
    let verify = |key: &str| world.run([&["verify", WHEEL, "--key", key][..], &given].concat());
    let _ = verify("oss.pub.pem").expect(0);
    world.write("other.pub.pem", KEYS[1].1);
    let ran = verify("other.pub.pem").expect(4);
    assert!(
        ran.stdout.contains("is not signed by a given key"),
        "{ran:#?}"
    );
    // an operator's own key never signs such a thing
    let _ = verify(&format!("ed25519:{}", "07".repeat(32))).expect(4);
    let bundle = String::from_utf8(fs::read(world.path("rebuild.intoto.jsonl")).expect("a file"))
        .expect("JSON");
    let (first, _) = bundle.split_once('\n').expect("two lines");
    for (what, changed, code) in [
        (
            "a bit of the payload",
            bundle.replacen("\"payload\":\"ey", "\"payload\":\"ez", 1),
            4,
        ),
        (
            "a signature for another",
            bundle.replacen("\"sig\":\"ME", "\"sig\":\"MF", 1),
            4,
        ),
        (
            "a key twice",
            first.replacen('{', "{\"payload\":\"\",", 1),
            4,
        ),
        ("half a line", first[..first.len() - 2].to_owned(), 4),
    ] {
        assert_ne!(changed, bundle, "{what}");
        world.write("rebuild.intoto.jsonl", changed);
        assert_eq!(verify("oss.pub.pem").code, Some(code), "{what}");
    }
    for curve in ["p384", "secp256k1", "p256-compressed"] {
        let golden = format!(
            "{}/../attest/golden/keys/{curve}.pub.pem",
            env!("CARGO_MANIFEST_DIR")
        );
        let ran = verify(&golden).expect(2);
        assert!(ran.stderr.contains("P-256"), "{ran:#?}");
    }
}
