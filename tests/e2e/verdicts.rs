//! Promise: the seven words are told apart, each with the exit code of the contract.
//!
//! One repository with a build script of ours; what was published is made here.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use countersign_tests::{Ran, World};

/// Builds `dist/hello-VERSION.tar.gz` from the tree.
const BUILD: &str = r#"set -eu
mkdir -p dist
printf 'hello %s\n' "$1" > dist/greeting
tar --sort=name --owner=0 --group=0 --numeric-owner --mode=0644 --mtime="@$SOURCE_DATE_EPOCH" \
    --format=ustar -cf - dist/greeting | gzip -9n > "dist/hello-$1.tar.gz"
"#;

const RECIPE: &str = r#"steps: [[sh, build.sh, "{version}"]]
outputs: ["dist/hello-{version}.tar.gz"]
limits: { time_seconds: 600 }
"#;

/// A world with a released repository and a recipe; the script may be another one.
fn world(script: &str) -> World {
    let world = World::new();
    let repository = world.repository("hello");
    repository.write("build.sh", script);
    repository.release("v1.0.0");
    world.write("build.yaml", RECIPE);
    world
}

fn rebuild(world: &World, published: &str, more: &[&str]) -> Ran {
    let mut arguments = vec![
        "rebuild",
        "--source",
        "hello",
        "--tag",
        "v1.0.0",
        "--published",
        published,
        "--recipe",
        "build.yaml",
        "--format",
        "json",
    ];
    arguments.extend(more);
    world.run(arguments)
}

/// A gzipped tar with one member.
fn tar_gz(level: u32, content: &str, mode: u32, seconds: u64) -> Vec<u8> {
    let encoder = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::new(level));
    let mut archive = tar::Builder::new(encoder);
    let mut header = tar::Header::new_ustar();
    header.set_path("dist/greeting").expect("a path");
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    header.set_mtime(seconds);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    archive
        .append(&header, content.as_bytes())
        .expect("a member");
    archive
        .into_inner()
        .and_then(flate2::write::GzEncoder::finish)
        .expect("an archive")
}

#[track_caller]
fn check(ran: Ran, code: i32, verdict: &str, reason: Option<&str>) -> serde_json::Value {
    let json = ran.expect(code).json();
    let artifact = &json["artifacts"][0];
    assert_eq!(artifact["verdict"], verdict, "{json:#}");
    assert_eq!(artifact["reason"], serde_json::json!(reason), "{json:#}");
    json
}

/// What a first rebuild leaves as evidence is what an honest maintainer would have published.
fn honest(world: &World) -> Vec<u8> {
    let zeros = "sha256:".to_owned() + &"0".repeat(64);
    let json = check(
        rebuild(world, &zeros, &[]),
        3,
        "indeterminate",
        Some("digest-only"),
    );
    let sha256 = json["artifacts"][0]["rebuilt"][0]["sha256"]
        .as_str()
        .expect("a digest");
    let folder = world.path(format!("countersign-out/rebuilt/{sha256}"));
    let file = fs::read_dir(folder)
        .expect("kept")
        .next()
        .expect("a file")
        .expect("a file");
    fs::read(file.path()).expect("bytes")
}

#[test]
fn same_bytes_are_reproduced() {
    let world = world(BUILD);
    let bytes = honest(&world);
    world.write("hello-1.0.0.tar.gz", &bytes);
    let json = check(
        rebuild(&world, "hello-1.0.0.tar.gz", &[]),
        0,
        "reproduced",
        None,
    );
    let rebuilt = json["artifacts"][0]["rebuilt"].as_array().expect("a list");
    assert_eq!(rebuilt.len(), 2, "two builds of ours: {json:#}");
    let kinds: Vec<(&str, &str)> = json["artifacts"][0]["attestations"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|a| Some((a["kind"].as_str()?, a["format"].as_str()?)))
        .collect();
    assert_eq!(
        kinds,
        [
            ("verdict", "dsse"),
            ("verdict", "bundle"),
            ("link", "metablock"),
            ("provenance", "dsse"),
            ("provenance", "bundle"),
        ]
    );
    // only the digest is known: just as good where it is the same
    let digest = format!(
        "sha256:{}",
        json["artifacts"][0]["published"]["sha256"]
            .as_str()
            .expect("hex")
    );
    check(rebuild(&world, &digest, &[]), 0, "reproduced", None);
}

#[test]
fn other_packing_is_equivalent_and_not_reproduced() {
    let world = world(BUILD);
    // not compressed at all, as no known encoder writes it
    let mut stored = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    let honest = honest(&world);
    let mut honest = flate2::read::GzDecoder::new(&honest[..]);
    std::io::copy(&mut honest, &mut stored).expect("memory");
    world.write("hello-1.0.0.tar.gz", stored.finish().expect("memory"));
    let json = check(
        rebuild(&world, "hello-1.0.0.tar.gz", &[]),
        1,
        "equivalent",
        None,
    );
    assert_eq!(
        json["artifacts"][0]["normalizations"],
        // an encoder that only stores says so in the header, too
        serde_json::json!(["gzip-header/v1", "gzip-deflate/v1"])
    );
    let accepted = rebuild(&world, "hello-1.0.0.tar.gz", &["--accept", "equivalent"]);
    check(accepted, 0, "equivalent", None);

    world.write(
        "hello-1.0.0.tar.gz",
        packed_otherwise(&world, "gzip -9n", 1_600_000_000),
    );
    let json = check(
        rebuild(&world, "hello-1.0.0.tar.gz", &[]),
        1,
        "equivalent",
        None,
    );
    let used = json["artifacts"][0]["normalizations"].to_string();
    assert!(used.contains("archive-times/v1"), "{used}");
}

/// What the build script makes, with other file times and another gzip, made outside by the same tools.
fn packed_otherwise(world: &World, gzip: &str, seconds: u64) -> Vec<u8> {
    let folder = world.path("elsewhere");
    fs::create_dir_all(&folder).expect("a folder");
    let script = BUILD
        .replace("gzip -9n", gzip)
        .replace("mkdir -p", "umask 022; mkdir -p");
    let mut shell = std::process::Command::new("sh");
    shell
        .current_dir(&folder)
        .args(["-c", &script, "sh", "1.0.0"]);
    shell.env("SOURCE_DATE_EPOCH", seconds.to_string());
    let ran = countersign_tests::ran(&mut shell);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    fs::read(folder.join("dist/hello-1.0.0.tar.gz")).expect("an archive")
}

#[test]
fn other_content_or_mode_differs() {
    let world = world(BUILD);
    for bytes in [
        tar_gz(9, "hello 1.0.0 and more\n", 0o644, 1_700_000_000),
        tar_gz(9, "hello 1.0.0\n", 0o755, 1_700_000_000),
    ] {
        world.write("hello-1.0.0.tar.gz", bytes);
        let json = check(
            rebuild(&world, "hello-1.0.0.tar.gz", &[]),
            1,
            "differs",
            Some("content-differs"),
        );
        let causes = json["artifacts"][0]["causes"].to_string();
        assert!(causes.contains("dist/greeting"), "{causes}");
        // accepting what is packed differently does not accept what is different
        check(
            rebuild(
                &world,
                "hello-1.0.0.tar.gz",
                &["--accept", "equivalent,assisted"],
            ),
            1,
            "differs",
            Some("content-differs"),
        );
    }
    // trailing bytes hide behind no normalization
    let mut bytes = honest(&world);
    bytes.write_all(b"and a payload").expect("memory");
    world.write("hello-1.0.0.tar.gz", bytes);
    let ran = rebuild(&world, "hello-1.0.0.tar.gz", &[]);
    check(ran, 1, "differs", Some("content-differs"));
}

#[test]
fn builds_that_disagree_are_unstable_even_if_one_fits() {
    let script = format!("{BUILD}\nhead -c 16 /dev/urandom >> \"dist/hello-$1.tar.gz\"\n");
    let world = world(&script);
    world.write(
        "hello-1.0.0.tar.gz",
        tar_gz(9, "hello 1.0.0\n", 0o644, 1_700_000_000),
    );
    let json = check(
        rebuild(&world, "hello-1.0.0.tar.gz", &[]),
        3,
        "unstable",
        Some("rebuilds-disagree"),
    );
    assert_ne!(
        json["artifacts"][0]["rebuilt"][0],
        json["artifacts"][0]["rebuilt"][1]
    );
}

/// The second build runs under another user and host name, with files listed in another order.
#[test]
fn a_build_that_looks_at_what_must_not_matter_is_unstable() {
    for look in ["hostname", "id -un", "ls -U .", "echo $USER"] {
        let world = world(&format!(
            "mkdir dist\n{{ {look}; }} > dist/hello-$1.tar.gz\n"
        ));
        if look == "ls -U ." {
            let repository = countersign_tests::Repository {
                path: world.path("hello"),
            };
            repository.write("another", "file");
            repository.git(["tag", "-d", "v1.0.0"]);
            repository.release("v1.0.0");
        }
        let zeros = "sha256:".to_owned() + &"0".repeat(64);
        check(
            rebuild(&world, &zeros, &[]),
            3,
            "unstable",
            Some("rebuilds-disagree"),
        );
    }
}

#[test]
fn a_build_that_fails_says_how() {
    for (script, reason) in [
        ("exit 3", "step-failed"),
        ("kill -SEGV $$", "step-failed"),
        ("true", "output-missing"),
        (
            "mkdir dist; ln -s /etc/passwd dist/hello-1.0.0.tar.gz",
            "output-rejected",
        ),
        (
            "mkdir dist; mkfifo dist/hello-1.0.0.tar.gz",
            "output-rejected",
        ),
    ] {
        let world = world(script);
        let zeros = "sha256:".to_owned() + &"0".repeat(64);
        check(
            rebuild(&world, &zeros, &[]),
            3,
            "build-failed",
            Some(reason),
        );
    }
    let world = world("sleep 600");
    world.write("build.yaml", RECIPE.replace("600", "1"));
    let zeros = "sha256:".to_owned() + &"0".repeat(64);
    check(
        rebuild(&world, &zeros, &[]),
        3,
        "build-failed",
        Some("timed-out"),
    );
}

/// What a build that failed has said is shown to a user, harmless, and kept as it was.
#[test]
fn the_end_of_a_failed_builds_log_is_shown_and_the_log_is_kept() {
    let world = world("echo first; printf '\\033]0;owned\\007 last words\\n' >&2; exit 3");
    let zeros = "sha256:".to_owned() + &"0".repeat(64);
    let arguments = [
        "rebuild",
        "--source",
        "hello",
        "--tag",
        "v1.0.0",
        "--published",
        &zeros,
        "--recipe",
        "build.yaml",
    ];
    let said = world.run(arguments).expect(3);
    assert!(
        said.stdout.contains("last words") && !said.stdout.contains('\u{1b}'),
        "{said:#?}"
    );
    let kept = fs::read_dir(world.path("countersign-out"))
        .expect("a folder")
        .flatten();
    let kept = kept
        .map(|file| file.path())
        .find(|path| path.extension().is_some_and(|e| e == "log"));
    let log = fs::read(kept.expect("a log")).expect("bytes");
    assert_eq!(log, b"first\n\x1b]0;owned\x07 last words\n");
}

#[test]
fn what_cannot_be_compared_is_indeterminate() {
    let world = world("mkdir dist; echo ours > dist/hello-$1.tar.gz");
    world.write("hello-1.0.0.tar.gz", "theirs, and no archive");
    check(
        rebuild(&world, "hello-1.0.0.tar.gz", &[]),
        3,
        "indeterminate",
        Some("not-comparable"),
    );

    // an output that was in the tree all along was not built
    let world = self::world("mkdir dist; cp stored dist/hello-$1.tar.gz");
    let repository = countersign_tests::Repository {
        path: world.path("hello"),
    };
    repository.write("stored", "a binary in git");
    repository.git(["tag", "-d", "v1.0.0"]);
    repository.release("v1.0.0");
    world.write("hello-1.0.0.tar.gz", "a binary in git");
    check(
        rebuild(&world, "hello-1.0.0.tar.gz", &[]),
        3,
        "indeterminate",
        Some("prebuilt"),
    );
}

#[test]
fn a_plan_repeats_and_names_what_is_missing() {
    let world = world(BUILD);
    let bytes = honest(&world);
    world.write("hello-1.0.0.tar.gz", bytes);
    let first = check(
        rebuild(&world, "hello-1.0.0.tar.gz", &[]),
        0,
        "reproduced",
        None,
    );
    let plan = first["attempts"][0]["plan"]
        .as_str()
        .expect("a digest")
        .to_owned();
    let file = format!(
        "countersign-out/{}.plan.json",
        plan.trim_start_matches("sha256:")
    );
    let arguments = [
        "rebuild",
        "--source",
        "hello",
        "--tag",
        "v1.0.0",
        "--published",
        "hello-1.0.0.tar.gz",
        "--plan",
        &file,
        "--format",
        "json",
        "--out",
        "second",
    ];
    let second = check(world.run(arguments), 0, "reproduced", None);
    assert_eq!(second["attempts"][0]["plan"], first["attempts"][0]["plan"]);

    // a plan from elsewhere says itself who chose its values: an operator's key does not vouch for that
    let with_key = arguments.iter().chain(&["--key", "operator.pem"]);
    let refused = world.run(with_key.copied()).expect(2);
    assert!(refused.stderr.contains("--plan"), "{refused:#?}");

    // one changed byte is another plan, and a plan that leaves the tree is refused
    let text = fs::read_to_string(world.path(&file)).expect("a plan");
    world.write(&file, text.replacen("dist/", "../dist/", 1));
    let refused = world.run(arguments).expect(2).json();
    assert_eq!(refused["error"]["kind"], "refusal", "{refused:#}");
    world.write(&file, text.replace("  ", " "));
    let _ = world.run(arguments).expect(2);
    assert!(Path::new(&world.path("second")).exists());
}
