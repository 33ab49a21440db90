//! What is read off trees and tarballs.

use std::fs;

use countersign_fixtures::archives::{TarEntry, gzip, tar};

use super::super::super::tests::{MANIFEST, inspect_npm, npm_evidence};
use super::*;

#[test]
fn a_member_of_a_workspace_is_found_by_its_name() {
    let tree = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("room");
    };
    write("packages/b/package.json", MANIFEST);
    write("packages/b/index.js", "");
    write("a/package.json", &MANIFEST.replace("1.0.0", "0.9.0"));
    write("node_modules/b/package.json", MANIFEST);
    let scripts = r#"{"name":"c","version":"2.0.0","scripts":{"test":"x","prepack":"y","build":"x"},
        "packageManager":"pnpm@9.1.0","devDependencies":{"d":"1"},"bundledDependencies":["d"]}"#;
    write("package.json", scripts);
    write(".nvmrc", "v18.1.0\n");
    write("pnpm-lock.yaml", "lockfileVersion: '9.0'\n");
    write("yarn.lock", "# yarn lockfile v1\n");
    let tarball = gzip(&tar(&[
        TarEntry::file("package/index.js", b""),
        TarEntry::file("package/package.json", MANIFEST.as_bytes()),
        TarEntry::file("package/dist/made.js", b"{}"),
    ]));
    for subdir in ["", "packages/b"] {
        let expected = NpmEvidence {
            folder: "packages/b".into(),
            builds_at_root: true,
            installs: true,
            declared: Declared {
                node: Some("18.1.0".into()),
                npm: None,
                manager: Some("pnpm@9.1.0".into()),
            },
            lock: Some(Lock {
                manager: Manager::Pnpm,
                file: "pnpm-lock.yaml".into(),
                format: "9.0".into(),
                names_itself: false,
                elsewhere: Vec::new(),
            }),
            published: npm_published("@a/b", "1.0.0", Packer::Pnpm, &["dist/made.js"]),
            ..npm_evidence()
        };
        assert_eq!(
            inspect_npm(tree.path(), subdir, Some(&tarball)),
            Evidence::Npm(Box::new(expected))
        );
    }
    let Evidence::Npm(root) = inspect_npm(tree.path(), "", None) else {
        panic!("expected evidence");
    };
    let expected = [("build", "x"), ("prepack", "y")];
    assert_eq!(
        root.scripts,
        expected.map(|(k, v)| (k.into(), v.into())).into()
    );
    assert!(root.bundles_dependencies);
    assert_eq!(root.published, PublishedManifest::NotGiven);
}

#[test]
fn what_packed_a_tarball_is_read_off_its_headers() {
    const NPM: u64 = 499_162_500;
    let tree = tempfile::tempdir().expect("a folder");
    fs::write(tree.path().join("package.json"), MANIFEST).expect("room");
    let packed = |mtime: u64, owned: bool, names: [&str; 2], level: u8, manifest: &str| {
        let mut tarball = Vec::new();
        for name in names {
            let entry = TarEntry {
                mtime,
                ..TarEntry::file(name, manifest.as_bytes())
            };
            let mut bytes = entry.bytes();
            if !owned {
                bytes[108..124].fill(0);
                countersign_fixtures::archives::sign_header(&mut bytes[..512]);
            }
            tarball.extend(bytes);
        }
        tarball.extend([0; 1024]);
        let mut tarball = gzip(&tarball);
        tarball[8] = level;
        let Evidence::Npm(evidence) = inspect_npm(tree.path(), "", Some(&tarball)) else {
            panic!("expected evidence");
        };
        match evidence.published {
            PublishedManifest::Found { packer, .. } => packer,
            other => panic!("{other:?}"),
        }
    };
    let packer = |mtime, owned, names, level| packed(mtime, owned, names, level, MANIFEST);
    let last = ["package/a.js", "package/package.json"];
    let first = ["package/package.json", "package/a.js"];
    assert_eq!(packer(NPM, false, last, 2), Packer::Npm);
    assert_eq!(packer(NPM, false, last, 0), Packer::Npm6);
    assert_eq!(packer(NPM, false, first, 0), Packer::Npm5);
    assert_eq!(packer(NPM, true, last, 0), Packer::Pnpm);
    assert_eq!(packer(456_789_000, true, last, 0), Packer::Yarn);
    assert_eq!(packer(NPM + 1, false, last, 2), Packer::Other);
    // what says what changed, packed without having been asked for
    for (name, more, expect) in [
        ("CHANGELOG.md", r#","files":["a.js"]"#, Packer::Npm7),
        ("HISTORY", r#","files":[]"#, Packer::Npm7),
        ("a/CHANGELOG.md", r#","files":["a"]"#, Packer::Npm),
        ("CHANGELOG.md", r#","files":["changelog.md"]"#, Packer::Npm),
        ("CHANGELOG.md", r#","files":["*.md"]"#, Packer::Npm),
        (
            "history.js",
            r#","files":["x"],"main":"./history.js""#,
            Packer::Npm,
        ),
        ("CHANGELOG.md", "", Packer::Npm),
    ] {
        let name = format!("package/{name}");
        let manifest = MANIFEST.replace('}', &format!("{more}}}"));
        let names = [name.as_str(), "package/package.json"];
        assert_eq!(
            packed(NPM, false, names, 2, &manifest),
            expect,
            "{name} {more}"
        );
    }
}
