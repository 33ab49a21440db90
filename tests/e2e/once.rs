//! Promise: `daemon --once` takes real releases to signed verdicts.
//!
//! Npm packages without a build step, at exact versions, come through npm's own configured
//! registry; a git repository with a tag is made from their content. A tampered copy of what was
//! published differs. What node's zlib can encode decides between reproduced and equivalent, so the
//! test states which node it found. One was published with stock zlib, which the second step finds in
//! python3.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use countersign_tests::{World, ran};

/// Downloads a published tarball with npm itself and unpacks its files into a repository.
pub(crate) fn released(world: &World, name: &str, version: &str) -> Vec<u8> {
    fs::create_dir_all(world.path("npm")).expect("a folder");
    let mut pack = Command::new("npm");
    pack.current_dir(world.path("npm"))
        .args(["pack", "--silent", "--pack-destination", "."]);
    pack.arg(format!("{name}@{version}"));
    let packed = ran(&mut pack);
    assert_eq!(
        packed.code,
        Some(0),
        "npm pack {name}@{version}: {}",
        packed.stderr
    );
    let tarball = fs::read(world.path(format!("npm/{name}-{version}.tgz"))).expect("a tarball");
    let repository = world.repository(name);
    for (path, mode, content) in members(&tarball) {
        let path = path.strip_prefix("package/").expect("npm's folder");
        repository.write(path, content);
        if mode & 0o100 != 0 {
            let file = repository.path.join(path);
            fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .expect("a mode");
        }
    }
    repository.release(&format!("v{version}"));
    tarball
}

/// Rebuilds a published package from what it holds; the bytes that both are.
pub(crate) fn reproduced(name: &str, version: &str) -> Vec<u8> {
    let world = World::new();
    let published = released(&world, name, version);
    let file = format!("{name}-{version}.tgz");
    world.write(&file, &published);
    let tag = format!("v{version}");
    let arguments = [
        "rebuild",
        "--source",
        name,
        "--tag",
        &tag,
        "--published",
        &file,
        "--recipe",
        "npm",
        "--format",
        "json",
    ];
    let json = world.run(arguments).expect(0).json();
    let artifact = &json["artifacts"][0];
    println!("{file}: {} {}", artifact["verdict"], artifact["causes"]);
    assert_eq!(artifact["verdict"], "reproduced", "{json:#}");
    published
}

fn members(tarball: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(tarball));
    archive
        .entries()
        .expect("a tar")
        .map(|entry| {
            let mut entry = entry.expect("a member");
            let path = entry.path().expect("a name").display().to_string();
            let mode = entry.header().mode().expect("a mode");
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("content");
            (path, mode, content)
        })
        .collect()
}

/// The same tarball with one byte of one text file changed.
fn tampered(tarball: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(tarball)
        .read_to_end(&mut plain)
        .expect("gzip");
    let at = plain
        .windows(9)
        .position(|window| window == b"copyright" || window == b"Copyright");
    let at = at.expect("a licence");
    plain[at] ^= 0x20; // one letter in the other case
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &plain).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn real_npm_releases_get_their_verdicts() {
    let node = ran(
        Command::new("node").args(["-p", "process.version + ' zlib ' + process.versions.zlib"])
    );
    let npm = ran(Command::new("npm").arg("--version"));
    println!("node {} npm {}", node.stdout.trim(), npm.stdout.trim());
    let world = World::new();
    let yocto = released(&world, "yocto-queue", "1.2.2");
    let express = released(&world, "express", "5.2.1");
    world.write("tampered/express-5.2.1.tgz", tampered(&express));
    let _ = reproduced("yocto-queue", "1.0.0");
    let _ = world.repository("again");
    copy_repository(&world.path("express"), &world.path("again"));
    world.configure(
        "  - { source: ./yocto-queue, published: 'pkg:npm/yocto-queue' }\n  \
           - { source: ./express, published: 'pkg:npm/express' }\n  \
           - { source: ./again, published: './tampered/express-{version}.tgz', recipe: npm }\n",
    );
    let once = world.run(["daemon", "--once"]).expect(0);
    println!("{}", once.stderr);
    let list = world
        .run(["release", "list", "--format", "json"])
        .expect(0)
        .json();
    for (source, file, bytes) in [
        ("git+file:yocto-queue", "yocto-queue-1.2.2.tgz", yocto),
        ("git+file:express", "express-5.2.1.tgz", express),
    ] {
        let verdict = verdict_of(&list, source);
        println!("{file}: {verdict}");
        world.write(file, bytes);
        let arguments = [
            "verify",
            file,
            "--key",
            "keys/local.pub.pem",
            "--attestation",
            "data/attestations",
            "--accept",
            "equivalent",
        ];
        let said = world.run(arguments).expect(0);
        // another zlib packs the same content into other bytes; everything else must be exact
        let exact = said.stdout.contains("Reproduced: same bytes");
        let packed = said.stdout.contains("Same content, packed differently");
        assert!(exact || packed, "{said:#?}");
        assert!(["reproduced", "equivalent"].contains(&verdict), "{list:#}");
    }
    assert_eq!(verdict_of(&list, "git+file:again"), "differs", "{list:#}");
    let arguments = [
        "verify",
        "tampered/express-5.2.1.tgz",
        "--key",
        "keys/local.pub.pem",
        "--attestation",
        "data/attestations",
    ];
    let said = world.run(arguments).expect(1);
    assert!(
        said.stdout
            .contains("Does not match its source as we built it"),
        "{said:#?}"
    );
}

fn copy_repository(from: &Path, to: &Path) {
    let copied = ran(Command::new("cp").arg("-a").arg(from.join(".")).arg(to));
    assert_eq!(copied.code, Some(0), "{copied:#?}");
}

fn verdict_of<'a>(list: &'a serde_json::Value, source: &str) -> &'a str {
    let release = list["releases"]
        .as_array()
        .expect("releases")
        .iter()
        .find(|release| release["source"] == source)
        .unwrap_or_else(|| panic!("{source} is not in {list:#}"));
    release["artifacts"][0]["verdict"]
        .as_str()
        .unwrap_or_else(|| panic!("no verdict: {list:#}"))
}
