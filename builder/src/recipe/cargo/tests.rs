//! Tests of the cargo recipe: what it reads, and what it tries in which order.

use std::fs;
use std::os::fd::AsFd as _;

use countersign_attest::digest::GitOid;
use countersign_attest::time::Timestamp;
use countersign_fixtures::archives::{TarEntry, gzip, tar};

use super::*;
use crate::archive::ReadLimits;
use crate::environment::Capabilities;
use crate::recipe::{Attempt, Hints, InspectRequest};
use crate::release::{Published, Release, Stage};

const VCS: &str = r#"{ "git": { "sha1": "0101010101010101010101010101010101010101" }, "path_in_vcs": "crates/b" }"#;

fn inspect(files: &[(&str, &str)], subdir: &str, file: Option<&[u8]>) -> Evidence {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let artifact = file.map(|bytes| {
        let path = folder.path().join(".published");
        fs::write(&path, bytes).unwrap();
        File::open(path).unwrap()
    });
    let tree = File::open(folder.path()).unwrap();
    let request = InspectRequest {
        recipe: "cargo".into(),
        subdir: subdir.into(),
        limits: ReadLimits::default(),
    };
    crate::recipe::inspect(&request, tree.as_fd(), artifact).unwrap()
}

#[track_caller]
fn evidence(files: &[(&str, &str)], subdir: &str, file: Option<&[u8]>) -> CargoEvidence {
    match inspect(files, subdir, file) {
        Evidence::Cargo(evidence) => *evidence,
        other => panic!("{other:?}"),
    }
}

fn crate_file(members: &[(&str, &str, u64)]) -> Vec<u8> {
    let entries: Vec<TarEntry> = members
        .iter()
        .map(|(name, content, time)| TarEntry {
            mtime: *time,
            ..TarEntry::file(&format!("b-1.0.0/{name}"), content.as_bytes())
        })
        .collect();
    gzip(&tar(&entries))
}

#[track_caller]
fn facts(members: &[(&str, &str, u64)]) -> CrateFacts {
    match evidence(TREE, "", Some(&crate_file(members))).published {
        PublishedCrate::Found(facts) => facts,
        other => panic!("{other:?}"),
    }
}

const TREE: &[(&str, &str)] = &[
    ("Cargo.toml", "[workspace]\n[workspace.package]\nversion = '1.0.0'\n"),
    ("a/Cargo.toml", "[package]\nname = 'a'\nversion = '0.1.0'\n"),
    ("crates/b/Cargo.toml", "[package]\nname = 'b'\nversion.workspace = true\n"),
    ("test-data/Cargo.toml", "[package\n"),
];
const MANIFEST: &str = "[package]\nname = 'b'\nversion = '1.0.0'\nautolib = false\n[lib]\n";
const T: u64 = 1_153_704_088;
