//! Promise: what ARCHITECTURE.md says of the tree is so. Lints cannot check these.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A third-party crate and the one place that may name it.
const HOMES: &[(&str, &[&str])] = &[
    ("sha2", &["attest/src/digest.rs"]),
    ("in_toto", &["attest/src/link.rs", "attest/src/link/"]),
    ("packageurl", &["attest/src/purl.rs"]),
    ("nix", &["builder/src/"]),
    ("libc", &["builder/src/"]),
    ("landlock", &["builder/src/sandbox/"]),
    ("git2", &["daemon/src/watch/"]),
    // policies are read by the verifier too, which has no daemon
    (
        "serde_yaml",
        &["daemon/src/config/", "verify/src/policy_file.rs"],
    ),
    ("sqlx", &["daemon/src/store/"]),
    (
        "axum",
        // watch/server.rs is a git server for the tests beside it
        &[
            "daemon/src/api/",
            "daemon/src/web/",
            "daemon/src/watch/server.rs",
            "fixtures/src/",
        ],
    ),
    ("askama", &["daemon/src/web/"]),
    (
        "reqwest",
        &[
            "daemon/src/http.rs",
            "daemon/src/http/",
            "daemon/src/watch/",
        ],
    ),
    ("clap", &["daemon/src/cli/", "verify/src/main.rs"]),
    ("indicatif", &["daemon/src/cli/"]),
];

/// Who may import whom.
const IMPORTS: &[(&str, &[&str])] = &[
    ("attest", &[]),
    ("builder", &["countersign_attest"]),
    ("verify", &["countersign_attest"]),
    (
        "daemon",
        &[
            "countersign_attest",
            "countersign_builder",
            "countersign_verify",
        ],
    ),
    ("fixtures", &["countersign_attest", "countersign_builder"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_owned()
}

/// Every Rust file of a folder as (path from the root, text).
fn rust_files(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path
                    .strip_prefix(root())
                    .expect("inside")
                    .display()
                    .to_string();
                files.push((name, fs::read_to_string(&path).expect("text")));
            }
        }
    }
    files.sort();
    assert!(
        !files.is_empty(),
        "{folder} has no Rust files: this test looks in the wrong place"
    );
    files
}

fn all_files() -> Vec<(String, String)> {
    ["attest", "builder", "daemon", "fixtures", "tests", "verify"]
        .into_iter()
        .flat_map(rust_files)
        .collect()
}

/// The lines of a file that are code, as far as a line shows it.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with("//"))
}

/// Whether a file imports a module of ours that has a crate's name.
fn has_module(text: &str, krate: &str) -> bool {
    code(text)
        .filter(|line| line.starts_with("use crate::") || line.starts_with("use super::"))
        .any(|line| {
            line.split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word == krate)
        })
}

/// Whether a line of code names a crate at the start of a path.
fn names(line: &str, krate: &str) -> bool {
    line.match_indices(&format!("{krate}::")).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

#[test]
fn every_file_says_what_it_owns() {
    let silent: Vec<String> = all_files()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(name, _)| name)
        .collect();
    assert!(silent.is_empty(), "no //! at the top of: {silent:#?}");
}

#[test]
fn imports_point_one_way() {
    let ours = [
        "countersign_attest",
        "countersign_builder",
        "countersign_fixtures",
        "countersign_tests",
        "countersign_verify",
    ];
    for (folder, allowed) in IMPORTS {
        for (name, text) in rust_files(folder) {
            for line in code(&text) {
                for krate in ours.iter().filter(|krate| names(line, krate)) {
                    let own = *krate == format!("countersign_{folder}");
                    // a dev-dependency: the compiler keeps it out of everything but tests
                    let dev = *krate == "countersign_fixtures" && *folder != "attest";
                    assert!(
                        own || dev || allowed.contains(krate),
                        "{name} imports {krate}: {line}"
                    );
                }
            }
        }
    }
}

/// Who verifies may sit before another system than who rebuilds.
#[test]
fn a_verifier_knows_no_single_system() {
    for (name, text) in ["attest/src", "verify/src"]
        .into_iter()
        .flat_map(rust_files)
    {
        let test = name.contains("tests");
        for line in code(&text) {
            let words = ["std::os::", "cfg(unix)", "cfg(windows)", "target_os"];
            assert!(
                test || !words.iter().any(|word| line.contains(word)),
                "{name}: {line}"
            );
        }
    }
}

#[test]
fn each_fenced_crate_has_one_home() {
    for (krate, homes) in HOMES {
        let mut used = false;
        for (name, text) in all_files() {
            let at_home = homes
                .iter()
                .any(|home| name == *home || name.starts_with(home));
            if !at_home && has_module(&text, krate) {
                continue;
            }
            for line in code(&text).filter(|line| names(line, krate)) {
                used |= at_home;
                let test = name.contains("tests") || name.starts_with("tests/");
                assert!(
                    at_home || test,
                    "{krate} is used outside its home, in {name}: {line}"
                );
            }
        }
        assert!(
            used,
            "nothing uses {krate} at its home: is the list out of date?"
        );
    }
}

#[test]
fn unsafe_code_stands_in_one_file_and_each_block_says_why() {
    for (name, text) in all_files() {
        let blocks = code(&text)
            .filter(|l| l.contains("unsafe {") || l.contains("unsafe fn"))
            .count();
        let allows = text.contains("allow(unsafe_code");
        if name == "builder/src/sandbox/sys.rs" {
            assert!(blocks > 0);
            let reasons = text.matches("SAFETY:").count();
            assert!(
                reasons >= blocks,
                "{name}: {blocks} unsafe, {reasons} reasons"
            );
        } else if name != "tests/e2e/tidy.rs" {
            assert!(blocks == 0 && !allows, "{name} has unsafe code");
        }
    }
}

/// Endpoints come from the configuration or from the ecosystem's own client, never from us.
/// A wall of the sandbox can be left out for a control arm; the product must not be able to.
#[test]
fn only_the_sandbox_suite_leaves_a_wall_out() {
    let mut callers = Vec::new();
    for (name, text) in all_files() {
        let inner = name.starts_with("builder/src/child") || name == "tests/e2e/tidy.rs";
        if !inner && code(&text).any(|line| line.contains("serve_without")) {
            callers.push(name);
        }
    }
    assert_eq!(callers, ["builder/tests/sandbox/controls.rs"]);
}

#[test]
fn no_registry_is_named() {
    let tlds = ["io", "com", "org"];
    let words = [
        "crates",
        "npmjs",
        "pypi",
        "pythonhosted",
        "debian",
        "rust-lang",
        "maven",
        "golang",
    ];
    let mut hosts = BTreeSet::new();
    for word in words {
        for tld in tlds {
            hosts.insert(format!("{word}.{tld}"));
        }
    }
    for file in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "config/countersign.yaml",
        "Cargo.toml",
        "deny.toml",
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        check_hosts(file, &text, &hosts);
    }
    for (name, text) in all_files() {
        check_hosts(&name, &text, &hosts);
    }
}

fn check_hosts(name: &str, text: &str, hosts: &BTreeSet<String>) {
    for host in hosts {
        assert!(!text.contains(host), "{name} names {host}");
    }
}

#[test]
fn nothing_is_left_open() {
    let marks = [
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
        ["#[ign", "ore"].concat(),
        ["FIX", "ME"].concat(),
    ];
    for (name, text) in all_files() {
        for mark in &marks {
            assert!(!text.contains(mark.as_str()), "{name} has {mark}");
        }
    }
}

/// One TLS stack, and a budget for packages.
#[test]
fn the_lock_file_stays_in_its_budget() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    let packages: Vec<&str> = lock
        .lines()
        .filter_map(|l| l.strip_prefix("name = "))
        .collect();
    assert!(
        packages.len() <= 305,
        "{} packages; the budget is 305",
        packages.len()
    );
    for banned in [
        "aws-lc-rs",
        "aws-lc-sys",
        "native-tls",
        "openssl-sys",
        "libssh2-sys",
    ] {
        let quoted = format!("\"{banned}\"");
        assert!(
            !packages.contains(&quoted.as_str()),
            "{banned} is in Cargo.lock"
        );
    }
}

/// ARCHITECTURE.md names a function for each arrow; it must be there.
#[test]
fn the_map_names_functions_that_exist() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut named = 0;
    for line in map
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains(".rs::"))
    {
        let Some(path) = line.split('`').find(|part| part.contains(".rs::")) else {
            continue;
        };
        let (file, function) = path.split_once("::").expect("checked above");
        let text = fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(
            text.contains(&format!("fn {function}(")) || text.contains(&format!("fn {function}<")),
            "{file} has no function {function}"
        );
        named += 1;
    }
    assert!(named >= 12, "the map names {named} functions");
}
