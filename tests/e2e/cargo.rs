//! Promise: a published crate is rebuilt from its tag by the cargo that packed it, bit for bit; one that
//! was tampered with is found out; and where the right cargo is not at hand, nothing is said against it.
//!
//! One test takes a real crate from the registry, through cargo's own client.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::digest::Sha256;
use countersign_fixtures::registries::Registry;
use countersign_tests::{Ran, Repository, World, ran};
use serde_json::{Value, json};

/// When the crates of these tests were published.
const PUBLISHED: &str = "2025-04-19T16:52:25Z";

/// A crate that was published from outside a git repository, and without dependencies.
const REAL: (&str, &str) = ("lru-slab", "0.1.3");
/// The time that cargo gives members, and the one that it gave to files of its own up to 1.92.
const CARGO_TIME: u64 = 1_153_704_088;
const EARLY_TIME: u64 = 1;

/// Members by name without the top folder: content, mode, time.
type Members = BTreeMap<String, (Vec<u8>, u32, u64)>;

fn members(file: &[u8]) -> Members {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut members = Members::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("a member");
        let path = entry.path().expect("a path").display().to_string();
        let (_, name) = path.split_once('/').expect("a top folder");
        let name = name.to_owned();
        let (mode, time) = (entry.header().mode(), entry.header().mtime());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("content");
        members.insert(
            name,
            (content, mode.expect("a mode"), time.expect("a time")),
        );
    }
    members
}

fn packed(top: &str, members: &Members) -> Vec<u8> {
    let encoder = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::best());
    let mut archive = tar::Builder::new(encoder);
    for (name, (content, mode, time)) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        header.set_mtime(*time);
        let path = format!("{top}/{name}");
        archive
            .append_data(&mut header, path, content.as_slice())
            .expect("a member");
    }
    archive
        .into_inner()
        .and_then(flate2::write::GzEncoder::finish)
        .expect("an archive")
}

/// A crate file as cargo's own client fetches it.
pub(crate) fn download(world: &World, name: &str, version: &str) -> Vec<u8> {
    world.write(
        "client/Cargo.toml",
        format!(
            "[package]\nname = \"client\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n[dependencies]\n{name} = \"={version}\"\n"
        ),
    );
    world.write("client/lib.rs", "");
    let mut fetch = cargo(&world.path("client"));
    fetch.arg("fetch").env("CARGO_HOME", world.path("home"));
    let fetched = ran(&mut fetch);
    assert_eq!(fetched.code, Some(0), "{fetched:#?}");
    let cache = world.path("home/registry/cache");
    let registry = fs::read_dir(cache).expect("a cache").next();
    let registry = registry.expect("a registry").expect("a folder").path();
    fs::read(registry.join(format!("{name}-{version}.crate"))).expect("the crate")
}

fn cargo(folder: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(folder).env_remove("CARGO_TARGET_DIR");
    command
}

/// A repository with the files that a crate was packed from.
fn unpacked(world: &World, members: &Members) -> Repository {
    let repository = world.repository("source");
    for (name, (content, ..)) in members {
        match name.as_str() {
            "Cargo.toml" | "Cargo.lock" | ".cargo_vcs_info.json" => {} // cargo's own
            "Cargo.toml.orig" => repository.write("Cargo.toml", content),
            name => repository.write(name, content),
        }
    }
    repository
}

/// Publishes a file and rebuilds it.
fn rebuild(world: &World, name: &str, version: &str, file: &[u8]) -> Ran {
    rebuild_with(world, name, version, file, &[])
}

fn rebuild_with(world: &World, name: &str, version: &str, file: &[u8], more: &[&str]) -> Ran {
    let registry = Registry::start().expect("a registry");
    registry.publish_crate(name, version, file, Some(PUBLISHED));
    let tag = format!("v{version}");
    let published = format!("pkg:cargo/{name}");
    let index = format!("sparse+{}index/", registry.url());
    let mut arguments = vec![
        "rebuild",
        "--source",
        "source",
        "--tag",
        &tag,
        "--published",
        &published,
        "--cargo-index",
        &index,
        "--format",
        "json",
    ];
    arguments.extend(more);
    world.run(arguments)
}

#[track_caller]
fn artifact(ran: Ran, code: i32, verdict: &str, reason: Option<&str>) -> Value {
    let json = ran.expect(code).json();
    let artifact = json["artifacts"][0].clone();
    assert_eq!(artifact["verdict"], verdict, "{json:#}");
    assert_eq!(artifact["reason"], json!(reason), "{json:#}");
    artifact
}

/// Rebuilds a published crate from what it holds; the bytes that both are.
pub(crate) fn reproduced(name: &str, version: &str) -> Vec<u8> {
    let world = World::new();
    let (published, _) = rebuilt(&world, name, version);
    published
}

fn rebuilt(world: &World, name: &str, version: &str) -> (Vec<u8>, Members) {
    let published = download(world, name, version);
    let members = members(&published);
    unpacked(world, &members).release(&format!("v{version}"));
    let ran = rebuild(world, name, version, &published);
    artifact(ran, 0, "reproduced", None);
    (published, members)
}

#[test]
fn a_real_crate_is_reproduced_and_a_tampered_copy_differs() {
    let world = World::new();
    let (name, version) = REAL;
    let (_, mut members) = rebuilt(&world, name, version);

    let top = format!("{name}-{version}");
    let lib = members.get_mut("src/lib.rs").expect("a library");
    lib.0.extend(b"\npub fn canary() {}\n");
    let tampered = packed(&top, &members);
    let ran = rebuild(&world, name, version, &tampered);
    let artifact = artifact(ran, 1, "differs", Some("content-differs"));
    let causes = artifact["causes"].to_string();
    assert!(causes.contains("src/lib.rs"), "{causes}");
}

/// A workspace with a member whose version is the workspace's, packed by the installed cargo in a clone.
fn workspace(world: &World) -> (Repository, Vec<u8>) {
    let repository = world.repository("source");
    repository.write(
        "Cargo.toml",
        "[workspace]\nmembers = [\"crates/*\"]\nresolver = \"2\"\n[workspace.package]\nversion = \"1.2.0\"\nedition = \"2021\"\n",
    );
    repository.write(
        "crates/inner/Cargo.toml",
        "[package]\nname = \"inner-crate\"\nversion.workspace = true\nedition.workspace = true\nlicense = \"MIT\"\ndescription = \"d\"\n",
    );
    repository.write("crates/inner/src/lib.rs", "pub fn f() {}\n");
    repository.write("crates/inner/run.sh", "#!/bin/sh\n");
    repository.git(["add", "-A"]);
    repository.git(["update-index", "--chmod=+x", "crates/inner/run.sh"]);
    repository.git(["commit", "-q", "-m", "before"]);
    repository.git(["commit", "-q", "--allow-empty", "-m", "release"]);
    repository.git(["tag", "v1.2.0"]);
    let published = packed_at(world, &repository, "HEAD");
    (repository, published)
}

/// The member as the installed cargo packs it in a clone at a commit.
fn packed_at(world: &World, repository: &Repository, commit: &str) -> Vec<u8> {
    let clone = world.path(format!("clone-{commit}"));
    let commit = repository.git(["rev-parse", commit]);
    repository.git(["clone", "-q", ".", clone.to_str().expect("UTF-8")]);
    let checkout = ran(Command::new("git")
        .current_dir(&clone)
        .args(["checkout", "-q", &commit]));
    assert_eq!(checkout.code, Some(0), "{checkout:#?}");
    let mut package = cargo(&clone.join("crates/inner"));
    package.args(["package", "--no-verify", "--offline"]);
    let packaged = ran(&mut package);
    assert_eq!(packaged.code, Some(0), "{packaged:#?}");
    let file: PathBuf = clone.join("target/package/inner-crate-1.2.0.crate");
    fs::read(file).expect("a crate")
}

#[test]
fn a_member_that_was_packed_in_a_repository_carries_the_commit() {
    let world = World::new();
    let (repository, published) = workspace(&world);
    let mut members = members(&published);
    let said = members[".cargo_vcs_info.json"].0.clone();
    let said = String::from_utf8(said).expect("UTF-8");
    let commit = repository.git(["rev-parse", "HEAD"]);
    assert!(said.contains(&commit), "{said}");
    let ran = rebuild(&world, "inner-crate", "1.2.0", &published);
    artifact(ran, 0, "reproduced", None);

    // a commit that is in no branch and under no tag, though its object is there: as a fork's on a forge
    let tree = repository.git(["rev-parse", "HEAD^{tree}"]);
    let other = repository.git(["commit-tree", &tree, "-m", "nobody's"]);
    let lie = said.replace(&commit, &other).into_bytes();
    members.get_mut(".cargo_vcs_info.json").expect("it").0 = lie;
    let lying = packed("inner-crate-1.2.0", &members);
    let ran = rebuild(&world, "inner-crate", "1.2.0", &lying);
    let artifact = artifact(ran, 3, "indeterminate", Some("evidence-contradicts"));
    let detail = artifact["detail"].to_string();
    assert!(
        detail.contains(&commit) && detail.contains(&other),
        "{detail}"
    );
}

/// The commit that a crate names is built where it is of the repository's own history; that it is another
/// than the tag's is said, and the verdict is `assisted` at best.
#[test]
fn another_commit_of_the_history_is_built_and_said() {
    let world = World::new();
    let (repository, _) = workspace(&world);
    let before = repository.git(["rev-parse", "HEAD^"]);
    let published = packed_at(&world, &repository, "HEAD^");
    let json = rebuild(&world, "inner-crate", "1.2.0", &published);
    let json = json.expect(1).json();
    let artifact = &json["artifacts"][0];
    assert_eq!(artifact["verdict"], "assisted", "{json:#}");
    assert_eq!(artifact["assisted_by"], json!(["commit"]), "{json:#}");
    let said = artifact["findings"].to_string();
    assert!(said.contains(&before), "{json:#}");
    assert_ne!(json["release"]["commit"], before.as_str(), "the tag's");

    // what is signed names the claim by its digest
    let out = fs::read_dir(world.path("countersign-out")).expect("a folder");
    let verdict = out
        .map(|entry| entry.expect("a file").path())
        .find(|path| path.to_string_lossy().ends_with(".verdict.dsse.json"));
    let bytes = fs::read(verdict.expect("a verdict")).expect("an envelope");
    let envelope: Value = serde_json::from_slice(&bytes).expect("JSON");
    let payload = envelope["payload"].as_str().expect("a payload");
    let payload = STANDARD.decode(payload).expect("base64");
    let statement: Value = serde_json::from_slice(&payload).expect("JSON");
    let assist = &statement["predicate"]["assistedBy"][0];
    assert_eq!(assist["kind"], "commit", "{statement:#}");
    let sha256 = Sha256::of(before.as_bytes()).to_string();
    assert!(assist.to_string().contains(&sha256), "{statement:#}");
}

/// A crate as a cargo before 1.83 has packed it.
fn early_crate(world: &World) -> Vec<u8> {
    let (_, published) = workspace(world);
    let mut members = members(&published);
    for (name, (_, _, time)) in &mut members {
        let made_by_cargo = matches!(name.as_str(), "Cargo.toml" | "Cargo.lock");
        *time = if made_by_cargo {
            EARLY_TIME
        } else {
            CARGO_TIME
        };
    }
    let manifest = &mut members.get_mut("Cargo.toml").expect("a manifest").0;
    // as it was before 1.83
    let text = String::from_utf8(manifest.clone()).expect("UTF-8");
    *manifest = text.replace("autolib = false\n", "").into_bytes();
    members.remove("Cargo.lock");
    packed("inner-crate-1.2.0", &members)
}

/// A crate that an absent cargo has packed is not said to differ, and what to install is said.
#[test]
fn a_missing_toolchain_is_named() {
    let world = World::new();
    let early = early_crate(&world);
    let ran = rebuild(&world, "inner-crate", "1.2.0", &early);
    let artifact = artifact(ran, 3, "indeterminate", Some("toolchain-unavailable"));
    let detail = artifact["detail"].as_str().expect("a detail");
    assert!(detail.contains("1.64 to 1.82"), "{detail}");
    let install = "cargo install cargo --version 0.83.0 --locked --root DIR";
    assert!(detail.contains(install), "{detail}");
}

/// Cargo is a crate, too: a folder with it alone, as `cargo install cargo --root DIR` leaves it, is a rung
/// of the ladder, with a rustc from elsewhere. Where it fails, that says nothing of a crate that yet
/// another may have packed.
#[test]
fn a_folder_with_cargo_alone_is_a_rung() {
    let world = World::new();
    let early = early_crate(&world);
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && echo cargo 1.82.0 && exit\nexit 9\n";
    let cargo = world.write("old/bin/cargo", script);
    fs::set_permissions(&cargo, PermissionsExt::from_mode(0o755)).expect("a mode");
    let ran = rebuild_with(
        &world,
        "inner-crate",
        "1.2.0",
        &early,
        &["--toolchain", "old"],
    );
    let json = ran.expect(3).json();
    let artifact = &json["artifacts"][0];
    assert_eq!(artifact["reason"], "toolchain-unavailable", "{json:#}");
    let detail = artifact["detail"].as_str().expect("a detail");
    assert!(detail.contains("step 1 exited with 9"), "{detail}");
    let attempt = &json["attempts"][0];
    let tool = &attempt["candidate"]["environment"]["tools"][0];
    assert_eq!(
        (&tool["name"], &tool["version"]),
        (&json!("cargo"), &json!("1.82.0"))
    );

    let old = world.path("old");
    world.configure_with(&format!("toolchains: [{}]", old.display()), " []");
    let said = world.run(["doctor", "--format", "json"]).expect(0).json();
    let rungs = said["alternatives"].as_array().expect("rungs");
    let rung = rungs.iter().find(|rung| rung[0]["version"] == "1.82.0");
    let rung = rung.expect("the folder's cargo");
    assert_eq!(rung[1]["name"], "rustc", "{said:#}");
    let text = world.run(["doctor"]).expect(0).stdout;
    assert!(text.contains("instead  cargo 1.82.0, rustc "), "{text}");
}

/// A crate with a dependency, and a registry that has both. The lock is not in git.
fn with_dependency(world: &World) -> (Registry, Vec<u8>) {
    with(world, ("below", "1.0.0"), "[dependencies]\nbelow = \"1\"\n")
}

/// A crate with these sections, and a registry that has it and what it depends on.
fn with(world: &World, below: (&str, &str), sections: &str) -> (Registry, Vec<u8>) {
    let registry = Registry::start().expect("a registry");
    let early = |lines: &mut Vec<Value>| lines[0]["pubtime"] = "2024-01-01T00:00:00Z".into();
    registry.publish_crate(below.0, below.1, b"never fetched", Some(PUBLISHED));
    registry.edit_crate(below.0, early);
    let repository = world.repository("source");
    repository.write(
        "Cargo.toml",
        format!("[package]\nname = \"above\"\nversion = \"1.0.0\"\nedition = \"2021\"\nlicense = \"MIT\"\ndescription = \"d\"\n{sections}"),
    );
    repository.write("src/lib.rs", "pub fn f() {}\n");
    repository.write(".gitignore", "Cargo.lock\n");
    repository.release("v1.0.0");
    let clone = world.path("clone");
    repository.git(["clone", "-q", ".", clone.to_str().expect("UTF-8")]);
    let mut package = cargo(&clone);
    package
        .env("CARGO_HOME", world.path("home"))
        .args(["package", "--no-verify", "--config"])
        .arg("source.crates-io.replace-with=\"local\"")
        .arg("--config")
        .arg(format!(
            "source.local.registry=\"sparse+{}index/\"",
            registry.url()
        ));
    let packaged = ran(&mut package);
    assert_eq!(packaged.code, Some(0), "{packaged:#?}");
    let file = fs::read(clone.join("target/package/above-1.0.0.crate")).expect("a crate");
    registry.publish_crate("above", "1.0.0", &file, Some(PUBLISHED));
    (registry, file)
}

fn rebuild_above(world: &World, registry: &Registry, more: &[&str]) -> Ran {
    rebuild_as(world, registry, "json", more)
}

fn rebuild_as(world: &World, registry: &Registry, format: &str, more: &[&str]) -> Ran {
    let index = format!("{}index/", registry.url());
    let mut arguments = vec![
        "rebuild",
        "--source",
        "source",
        "--tag",
        "v1.0.0",
        "--published",
        "pkg:cargo/above",
        "--cargo-index",
        &index,
        "--format",
        format,
    ];
    arguments.extend(more);
    world.run(arguments)
}

/// What came to the registry after the crate did is not seen.
#[test]
fn a_lock_that_is_not_in_git_is_resolved_as_of_publication() {
    let world = World::new();
    let (registry, _) = with_dependency(&world);
    registry.publish_crate("below", "1.0.1", b"as young as the crate", Some(PUBLISHED));
    let json = rebuild_above(&world, &registry, &[]).expect(0).json();
    assert_eq!(json["artifacts"][0]["verdict"], "reproduced", "{json:#}");
    assert_eq!(json["attempts"][0]["candidate"]["network"], "mirror");
    let asked = registry.requests();
    assert!(
        !asked.iter().any(|path| path.starts_with("/dl/below")),
        "{asked:?}"
    );
}

/// The publisher's own lock was older than the crate: it is copied, said, and nothing of it is built.
#[test]
fn a_lock_that_only_the_publisher_had_makes_it_assisted() {
    let world = World::new();
    let (registry, file) = with_dependency(&world);
    registry.publish_crate(
        "below",
        "1.0.1",
        b"there when the crate was packed",
        Some(PUBLISHED),
    );
    let early = |lines: &mut Vec<Value>| lines[1]["pubtime"] = "2024-01-02T00:00:00Z".into();
    registry.edit_crate("below", early);
    let json = rebuild_above(&world, &registry, &[]).expect(1).json();
    let artifact = &json["artifacts"][0];
    assert_eq!(artifact["verdict"], "assisted", "{json:#}");
    assert_eq!(
        artifact["assisted_by"],
        json!(["lockfile-inert"]),
        "{json:#}"
    );
    let _ = rebuild_above(&world, &registry, &["--accept", "assisted"]).expect(0);

    // a lock never helps a crate whose content is another
    let mut members = members(&file);
    let lib = &mut members.get_mut("src/lib.rs").expect("a library").0;
    lib.extend(b"pub fn canary() {}\n");
    let drop = |lines: &mut Vec<Value>| lines.clear();
    registry.edit_crate("above", drop);
    registry.publish_crate(
        "above",
        "1.0.0",
        &packed("above-1.0.0", &members),
        Some(PUBLISHED),
    );
    let json = rebuild_above(&world, &registry, &["--accept", "assisted"])
        .expect(1)
        .json();
    assert_eq!(json["artifacts"][0]["verdict"], "differs", "{json:#}");
}

/// A crate that needs an older version of itself: the mirror serves it nothing of its own name, and once
/// it does, that is said.
#[test]
fn a_crate_that_needs_itself_is_assisted() {
    let world = World::new();
    let itself = "[dev-dependencies]\nold = { package = \"above\", version = \"0.9\" }\n";
    let (registry, _) = with(&world, ("above", "0.9.0"), itself);
    let json = rebuild_above(&world, &registry, &[]).expect(1).json();
    let artifact = &json["artifacts"][0];
    assert_eq!(artifact["verdict"], "assisted", "{json:#}");
    assert_eq!(artifact["assisted_by"], json!(["own-release"]), "{json:#}");
    let attempts = json["attempts"].as_array().expect("attempts");
    let own = |attempt: &&Value| attempt["candidate"]["own_releases"] == true;
    let (with, without): (Vec<&Value>, Vec<&Value>) = attempts.iter().partition(own);
    assert_eq!((with.len(), without.len()), (2, 1), "{json:#}");
    for attempt in with {
        assert_eq!(attempt["outcome"]["how"], "completed", "{json:#}");
    }
    for attempt in without {
        assert_eq!(attempt["outcome"]["how"], "exited", "{json:#}");
        assert_eq!(
            attempt["misses"]["listed"],
            json!(["cargo:index/above"]),
            "{json:#}"
        );
    }
    let text = rebuild_as(&world, &registry, "text", &["--explain"]);
    let text = text.expect(1).stdout;
    assert!(text.contains("not served: cargo:index/above"), "{text}");
}
