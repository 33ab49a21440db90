//! Promise: links of the public rebuilders of Arch Linux and Debian count as their operators' word, where a
//! policy says so, and with a byte changed they do not.
//!
//! The links, keys and packages are those that repro-threshold ships for its own tests; `tests/setup` takes
//! them from its registry.

use std::fs;

use countersign_attest::evidence::link;
use countersign_attest::key::PublicKey;
use countersign_tests::{Ran, World};

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
                ran.stdout.contains("not when or from which commit"),
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
