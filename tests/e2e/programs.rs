//! Promise: an executable of a tagged Rust program, published alone or in an archive, is rebuilt bit for bit
//! though it was compiled in another folder; one that was tampered with, or comes of other source or
//! another profile, is found out; and what is not the program's is not called so.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use countersign_tests::{Ran, Repository, World, ran};
use serde_json::Value;

const MAIN: &str = "fn main() { println!(\"{}\", [1, 2][std::env::args().count()..].len()) }\n";

/// A program, released.
fn source(world: &World) -> Repository {
    let repository = world.repository("source");
    repository.write(
        "Cargo.toml",
        "[package]\nname = \"tool\"\nversion = \"1.2.0\"\nedition = \"2021\"\n",
    );
    repository.write("src/main.rs", MAIN);
    repository.write("README.md", "What it does.\n");
    repository.write(".gitignore", "target\n");
    let lock = ran(cargo(&repository.path).args(["generate-lockfile", "--offline"]));
    assert_eq!(lock.code, Some(0), "{lock:#?}");
    repository.release("v1.2.0");
    repository
}

fn cargo(folder: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(folder);
    for variable in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(variable);
    }
    command
}

/// The program as a publisher compiles it, in a folder of theirs.
fn published(world: &World, repository: &Repository, change: impl FnOnce(&Path)) -> Vec<u8> {
    let folder = world.path("elsewhere/checkout");
    let _ = fs::remove_dir_all(&folder);
    repository.git(["clone", "-q", ".", folder.to_str().expect("UTF-8")]);
    change(&folder);
    let built = ran(cargo(&folder).args(["build", "--release", "--offline"]));
    assert_eq!(built.code, Some(0), "{built:#?}");
    fs::read(folder.join("target/release/tool")).expect("the program")
}

fn rebuild(world: &World, file: &str) -> Ran {
    world.run([
        "rebuild",
        "--source",
        "source",
        "--tag",
        "v1.2.0",
        "--published",
        file,
        "--format",
        "json",
    ])
}

#[track_caller]
fn artifact(ran: Ran, code: i32, verdict: &str, reason: &str) -> Value {
    let json = ran.expect(code).json();
    let artifact = json["artifacts"][0].clone();
    assert_eq!(artifact["verdict"], verdict, "{json:#}");
    assert_eq!(
        artifact["reason"].as_str().unwrap_or_default(),
        reason,
        "{json:#}"
    );
    artifact
}

/// An archive of the program and the read-me file as a publisher packs it, at a time.
fn archive(world: &World, program: &[u8], readme: &str, time: &str) -> Ran {
    world.write("stage/tool-1.2.0/README.md", readme);
    let path = world.write("stage/tool-1.2.0/tool", program);
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("a mode");
    let mut tar = Command::new("tar");
    tar.current_dir(world.path("stage"))
        .args([
            "-czf",
            "../tool-1.2.0.tar.gz",
            "--sort=name",
            "--mode=go=u-w",
        ])
        .arg(format!("--mtime={time}"))
        .args(["tool-1.2.0/README.md", "tool-1.2.0/tool"]);
    let packed = ran(&mut tar);
    assert_eq!(packed.code, Some(0), "{packed:#?}");
    rebuild(world, "tool-1.2.0.tar.gz")
}

#[test]
fn a_program_is_reproduced_and_what_is_not_it_differs() {
    let world = World::new();
    let repository = source(&world);
    let program = published(&world, &repository, |_| {});
    world.write("tool-linux", &program);
    let found = artifact(rebuild(&world, "tool-linux"), 0, "reproduced", "");
    assert_eq!(found["assisted_by"], serde_json::json!([]));

    let mut tampered = program.clone();
    let text = b"index out of bounds";
    let at = program
        .windows(text.len())
        .position(|window| window == text);
    let at = at.expect("a text of the program");
    tampered[at] ^= 1;
    world.write("tool-linux", &tampered);
    artifact(
        rebuild(&world, "tool-linux"),
        1,
        "differs",
        "content-differs",
    );

    let other = published(&world, &repository, |folder| {
        fs::write(
            folder.join("src/main.rs"),
            MAIN.replace("[1, 2]", "[1, 2, 3]"),
        )
        .expect("a file");
    });
    world.write("tool-linux", &other);
    artifact(
        rebuild(&world, "tool-linux"),
        1,
        "differs",
        "content-differs",
    );

    let profile = published(&world, &repository, |folder| {
        let path = folder.join("Cargo.toml");
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(path)
            .expect("a manifest");
        file.write_all(b"[profile.release]\nopt-level = \"z\"\n")
            .expect("a profile");
    });
    world.write("tool-linux", &profile);
    artifact(
        rebuild(&world, "tool-linux"),
        1,
        "differs",
        "content-differs",
    );

    archives(&world, &program, &tampered);

    // what git packs is no program
    repository.git([
        "archive",
        "-o",
        "../tool-1.2.0-src.tar.gz",
        "--prefix=tool-1.2.0/",
        "v1.2.0",
    ]);
    let ran = rebuild(&world, "tool-1.2.0-src.tar.gz");
    let json: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let recipe = &json["attempts"][0]["candidate"]["recipe"];
    assert_eq!(recipe, "generic", "{json:#}");

    // a tree without a lock does not say what was compiled
    repository.git(["rm", "-q", "--cached", "Cargo.lock"]);
    repository.git(["commit", "-q", "-m", "without"]);
    repository.git(["tag", "-f", "v1.2.0"]);
    world.write("tool-linux", &program);
    artifact(
        rebuild(&world, "tool-linux"),
        3,
        "indeterminate",
        "source-incomplete",
    );
}

/// An archive is equal only if its bytes are; here they never are, for the time that gzip writes.
fn archives(world: &World, program: &[u8], tampered: &[u8]) {
    let (readme, time) = ("What it does.\n", "@1600000000");
    let found = artifact(archive(world, program, readme, time), 1, "equivalent", "");
    let named = found["normalizations"].to_string();
    assert!(named.contains("archive-times/v1"), "{named}");
    // what is neither the program nor a file of the tree
    let other = archive(world, program, "What it does?\n", time);
    let found = artifact(other, 3, "indeterminate", "build-step-unsupported");
    assert!(found["detail"].to_string().contains("1 members"), "{found}");
    artifact(
        archive(world, tampered, readme, time),
        1,
        "differs",
        "content-differs",
    );
}
