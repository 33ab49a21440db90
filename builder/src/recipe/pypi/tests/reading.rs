//! What is read off trees and published files.

use std::fs;
use std::io::Write as _;
use std::os::fd::AsFd as _;

use countersign_fixtures::archives::{TarEntry, ZipEntry, gzip, sign_header, zip};

use super::super::super::inspect;
use super::super::*;
use crate::archive::ReadLimits;

fn read(pyproject: &[u8], artifact: Option<&[u8]>) -> Evidence {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("pyproject.toml"), pyproject).unwrap();
    let folder: std::os::fd::OwnedFd = fs::File::open(tree.path()).unwrap().into();
    let request = InspectRequest {
        recipe: RECIPE.name.into(),
        subdir: String::new(),
        file_name: String::new(),
        limits: ReadLimits::default(),
    };
    let artifact = artifact.map(|bytes| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    });
    inspect(&request, folder.as_fd(), artifact).unwrap()
}

const PYPROJECT: &[u8] =
    b"[build-system]\nrequires = [\"flit_core\"]\nbuild-backend = \"flit_core.buildapi\"\n[project]\nname = \"a\"\nversion = \"1\"\n";

fn wheel(members: &[(&str, &str)]) -> Vec<u8> {
    let entries = members.iter().map(|(name, content)| ZipEntry {
        time: [0, 0, 0x42, 0x50], // 2020-02-02
        ..ZipEntry::file(name, content.as_bytes())
    });
    zip(&entries.collect::<Vec<_>>(), b"")
}

const METADATA: (&str, &str) = (
    "a-1.dist-info/METADATA",
    "Metadata-Version: 2.1\nName: a\nVersion: 1\n\ntext\n",
);
const GENERATOR: (&str, &str) = (
    "a-1.dist-info/WHEEL",
    "Wheel-Version: 1.0\nGenerator: hatchling 1.27.0\n",
);

#[test]
fn a_wheel_is_read() {
    let Evidence::Pypi(evidence) = read(PYPROJECT, Some(&wheel(&[METADATA, GENERATOR]))) else {
        panic!("no evidence")
    };
    assert_eq!(evidence.project.name.as_deref(), Some("a"));
    let expect = Says {
        name: Some("a".into()),
        version: Some("1".into()),
        generator: Some(Generator {
            tool: "hatchling".into(),
            version: "1.27.0".into(),
        }),
        times: vec![1_580_601_600],
        recorded: Some(Recorded {
            packed: None,
            members: [METADATA.0, GENERATOR.0]
                .map(|name| recorded::RecordedMember {
                    name: name.into(),
                    time: recorded::Time::Zip([2020, 2, 2, 0, 0, 0]),
                    owner: None,
                })
                .into(),
        }),
        ..Says::default()
    };
    assert_eq!(evidence.published, PublishedFile::Read(expect));
}

#[test]
fn an_sdist_tells_an_older_python_and_files_with_a_dot() {
    let sdist = |names: &[&str], device: &[u8; 8]| {
        let mut bytes = Vec::new();
        for name in names {
            let mut entry = TarEntry::file(name, b"Name: a\nVersion: 1\n").bytes();
            entry[329..337].copy_from_slice(device);
            entry[337..345].copy_from_slice(device);
            sign_header(&mut entry[..512]);
            bytes.extend(entry);
        }
        bytes.extend([0; 1024]);
        match read(PYPROJECT, Some(&gzip(&bytes))) {
            Evidence::Pypi(PypiEvidence {
                published: PublishedFile::Read(says),
                ..
            }) => (says.device_numbers, says.has_dot_files),
            other => panic!("{other:?}"),
        }
    };
    for (names, device, expect) in [
        (&["a-1/PKG-INFO", "a-1/x"][..], b"0000000\0", (true, false)),
        (
            &["a-1/PKG-INFO", "a-1/.x"],
            b"\0\0\0\0\0\0\0\0",
            (false, true),
        ),
        (
            &["a-1/PKG-INFO", "a-1/b/.x", "a-1/.y/z"],
            b"\0\0\0\0\0\0\0\0",
            (false, false),
        ),
    ] {
        assert_eq!(sdist(names, device), expect, "{names:?}");
    }
}

#[test]
fn a_published_file_that_is_odd_is_unreadable_and_no_fault() {
    let second = ("b-1.dist-info/WHEEL", GENERATOR.1);
    for bytes in [
        Vec::new(),
        b"neither".to_vec(),
        b"PK\x03\x04".to_vec(),
        b"\x1f\x8b\x08".to_vec(),
        wheel(&[METADATA]),
        wheel(&[METADATA, GENERATOR, second]),
    ] {
        let Evidence::Pypi(evidence) = read(PYPROJECT, Some(&bytes)) else {
            panic!("no evidence")
        };
        assert!(
            matches!(evidence.published, PublishedFile::Unreadable { .. }),
            "{:?}",
            evidence.published
        );
    }
}

#[test]
fn a_tree_that_says_nothing_usable_is_unusable() {
    for bad in [&b"\xff"[..], b"[", b"[build-system]\nrequires = 1"] {
        assert!(matches!(read(bad, None), Evidence::Unusable { .. }));
    }
    let nested = "[".repeat(100_000);
    assert!(matches!(
        read(nested.as_bytes(), None),
        Evidence::Unusable { .. }
    ));
}

#[test]
fn a_umask_is_read_off_modes_that_it_gives_all_files() {
    let of = |modes: &[u32]| {
        let entries: Vec<ZipEntry> = (0_u32..)
            .zip(modes)
            .map(|(n, mode)| ZipEntry {
                mode: 0o100_000 | mode,
                ..ZipEntry::file(&format!("a/{n}.py"), b"x")
            })
            .collect();
        let mut all = entries;
        for (name, text) in [METADATA, GENERATOR] {
            all.push(ZipEntry::file(name, text.as_bytes()));
        }
        let Evidence::Pypi(evidence) = read(PYPROJECT, Some(&zip(&all, b""))) else {
            panic!("no evidence")
        };
        let PublishedFile::Read(says) = evidence.published else {
            panic!("{:?}", evidence.published)
        };
        says.umask
    };
    assert_eq!(of(&[0o644, 0o755]), None);
    assert_eq!(of(&[0o664, 0o775]), Some(0o002));
    assert_eq!(of(&[0o666]), Some(0));
    assert_eq!(of(&[0o640]), Some(0o027));
    assert_eq!(of(&[0o644, 0o664]), None);
}
