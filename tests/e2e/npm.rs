//! Promise: an npm package is built as its author builds it, by npm's own client through the mirror:
//! frozen by its lock file, else as of its publication; and what its dependencies cannot tell us is
//! never held against it.
//!
//! The registry is one of ours with known times. A dependency makes the package's only file.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::digest::Digests;
use countersign_fixtures::archives::{TarEntry, gzip, tar};
use countersign_fixtures::registries::Registry;
use countersign_tests::{Ran, Repository, World, ran};
use serde_json::{Value, json};

const OLD: &str = "2023-05-01T00:00:00Z";
const PUBLISHED: &str = "2023-06-01T00:00:00Z";
const YOUNG: &str = "2023-07-01T00:00:00Z";
/// What the dependency of the moment makes.
const MADE: &[(&str, &str)] = &[("dist/index.js", "made by 1.0.0\nfalse")];

/// A dependency that writes its version into the package that it builds.
fn maker(version: &str) -> Vec<u8> {
    let manifest = json!({ "name": "maker", "version": version, "bin": "maker.js",
        "scripts": { "postinstall": "echo installed > /tmp/installed" } });
    let program = format!(
        "#!/usr/bin/env node\nconst fs = require('fs');\nfs.mkdirSync('dist');\n\
         fs.writeFileSync('dist/index.js', 'made by {version}\\n' + fs.existsSync('/tmp/installed'));\n"
    );
    let program = TarEntry {
        mode: 0o755,
        ..TarEntry::file("package/maker.js", program.as_bytes())
    };
    let manifest = TarEntry::file("package/package.json", manifest.to_string().as_bytes());
    gzip(&tar(&[manifest, program]))
}

fn registry() -> Registry {
    let registry = Registry::start().expect("a registry");
    for (version, time) in [("1.0.0", OLD), ("1.1.0", YOUNG)] {
        registry.publish_npm_at("maker", version, &maker(version), time);
        let scripts = json!({ "postinstall": "true" });
        registry.edit_npm("maker", |document| {
            document["versions"][version]["bin"] = json!({ "maker": "maker.js" });
            document["versions"][version]["scripts"] = scripts;
        });
    }
    registry
}

/// npm and the node that it runs on, as they are installed here.
fn installed() -> String {
    let node = ran(Command::new("node").arg("--version")).expect(0);
    node.stdout.trim().to_owned()
}

/// A package in a folder of the repository, whose build is the dependency.
fn source(world: &World, folder: &str) -> Repository {
    let repository = world.repository("made");
    let manifest = json!({
        "name": "@s/made", "version": "1.0.0", "files": ["dist"],
        "scripts": { "build": "maker" }, "devDependencies": { "maker": "^1.0.0" },
    });
    repository.write(&format!("{folder}package.json"), manifest.to_string());
    repository.write(".nvmrc", installed());
    repository
}

/// A lock file for version 1.0.0, as if it had come from another registry.
fn lock() -> String {
    let integrity = STANDARD.encode(Digests::of(&maker("1.0.0")).sha512.as_bytes());
    json!({
        "name": "@s/made", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
        "packages": {
            "": { "name": "@s/made", "version": "1.0.0", "devDependencies": { "maker": "^1.0.0" } },
            "node_modules/maker": {
                "version": "1.0.0",
                "resolved": "https://registry.invalid/some/path/maker/-/maker-1.0.0.tgz",
                "integrity": format!("sha512-{integrity}"),
                "dev": true, "hasInstallScript": true, "bin": { "maker": "maker.js" },
            },
        },
    })
    .to_string()
}

/// Packs what a publisher had, with npm itself, and publishes it.
fn publish(
    world: &World,
    registry: &Registry,
    repository: &Repository,
    folder: &str,
    made: &[(&str, &str)],
) {
    let package = world.path("publisher");
    std::fs::create_dir_all(&package).expect("a folder");
    let manifest = repository.path.join(format!("{folder}package.json"));
    std::fs::copy(manifest, package.join("package.json")).expect("a file");
    for (path, content) in made {
        world.write(format!("publisher/{path}"), content);
    }
    let mut pack = Command::new("npm");
    pack.args(["pack", "--ignore-scripts", "--offline", "--loglevel=error"]);
    let _ = ran(pack.current_dir(&package)).expect(0);
    let tarball: PathBuf = package.join("s-made-1.0.0.tgz");
    let tarball = std::fs::read(tarball).expect("a tarball");
    registry.publish_npm_at("@s/made", "1.0.0", &tarball, PUBLISHED);
}

fn rebuild(world: &World, registry: &Registry, more: &[&str]) -> Ran {
    let url = registry.url();
    let mut arguments = vec!["rebuild", "--source", "made", "--tag", "v1.0.0"];
    arguments.extend(["--published", "pkg:npm/%40s/made", "--npm-registry", &url]);
    arguments.extend(["--format", "json"]);
    arguments.extend(more);
    world.run(arguments)
}

fn verdict(json: &Value) -> (&str, &str) {
    let artifact = &json["artifacts"][0];
    let text = |key: &str| artifact[key].as_str().unwrap_or_default();
    (text("verdict"), text("reason"))
}

fn inputs(world: &World, json: &Value) -> Vec<String> {
    let plan = json["attempts"][0]["plan"].as_str().expect("a plan");
    let name = plan.strip_prefix("sha256:").expect("a digest");
    let path = world.path(format!("countersign-out/{name}.plan.json"));
    let plan: Value = serde_json::from_slice(&std::fs::read(path).expect("a plan")).expect("JSON");
    let requests = plan["inputs"].as_array().expect("inputs").iter();
    requests
        .map(|input| input["request"].as_str().expect("a request").to_owned())
        .collect()
}

#[test]
fn a_locked_build_fetches_what_the_lock_names() {
    let (world, registry) = (World::new(), registry());
    let repository = source(&world, "");
    repository.write("package-lock.json", lock());
    repository.release("v1.0.0");
    publish(&world, &registry, &repository, "", MADE);
    let json = rebuild(&world, &registry, &[]).expect(0).json();
    assert_eq!(verdict(&json), ("reproduced", ""), "{json:#}");
    assert_eq!(inputs(&world, &json), ["npm:file/maker/1.0.0"]);
}

#[test]
fn a_folder_that_the_release_workflow_publishes_is_packed_and_a_build_may_ask_git() {
    let (world, registry) = (World::new(), registry());
    let repository = source(&world, "");
    let build = "maker && git rev-parse HEAD > dist/commit && cp package.json dist";
    let manifest = json!({
        "name": "@s/made", "version": "1.0.0",
        "scripts": { "build": build }, "devDependencies": { "maker": "^1.0.0" },
    });
    repository.write("package.json", manifest.to_string());
    repository.write("package-lock.json", lock());
    repository.write(
        ".github/workflows/release.yml",
        "steps:\n  - run: npm run build\n  - run: npm publish\n    working-directory: dist\n",
    );
    repository.release("v1.0.0");
    let commit = format!("{}\n", repository.git(["rev-parse", "HEAD"]).trim());
    let made = [("index.js", MADE[0].1), ("commit", &commit)];
    publish(&world, &registry, &repository, "", &made);
    let json = rebuild(&world, &registry, &[]).expect(0).json();
    assert_eq!(verdict(&json), ("reproduced", ""), "{json:#}");
}

#[test]
fn an_unlocked_build_of_a_member_is_as_of_publication() {
    let (world, registry) = (World::new(), registry());
    let repository = source(&world, "packages/made/");
    let workspace = json!({ "name": "root", "private": true, "workspaces": ["packages/*"] });
    repository.write("package.json", workspace.to_string());
    repository.release("v1.0.0");
    publish(&world, &registry, &repository, "packages/made/", MADE);
    let json = rebuild(&world, &registry, &[]).expect(0).json();
    assert_eq!(verdict(&json), ("reproduced", ""), "{json:#}");
    let inputs = inputs(&world, &json);
    assert_eq!(inputs, ["npm:file/maker/1.0.0", "npm:index/maker"]);
}

#[test]
fn what_a_registry_cannot_date_is_not_held_against_a_release() {
    let (world, registry) = (World::new(), registry());
    let repository = source(&world, "");
    repository.release("v1.0.0");
    publish(&world, &registry, &repository, "", MADE);
    // the registry says that the later version came first
    registry.edit_npm("maker", |document| {
        document["time"]["1.1.0"] = "2023-04-01T00:00:00Z".into();
    });
    let json = rebuild(&world, &registry, &[]).expect(3).json();
    let expected = ("indeterminate", "dependencies-undated");
    assert_eq!(verdict(&json), expected, "{json:#}");
    let detail = json["artifacts"][0]["detail"].as_str().expect("words");
    assert!(detail.contains("npm:index/maker"), "{detail}");
}

#[test]
fn a_package_that_was_tampered_with_differs() {
    let (world, registry) = (World::new(), registry());
    let repository = source(&world, "");
    repository.write("package-lock.json", lock());
    repository.release("v1.0.0");
    let other = [("dist/index.js", "made by somebody else\n")];
    publish(&world, &registry, &repository, "", &other);
    let json = rebuild(&world, &registry, &[]).expect(1).json();
    assert_eq!(verdict(&json), ("differs", "content-differs"), "{json:#}");
    let causes = &json["artifacts"][0]["causes"];
    assert!(
        causes.to_string().contains("package/dist/index.js"),
        "{causes}"
    );
}

#[test]
fn a_lock_that_leaves_the_registries_has_a_clear_outcome() {
    for place in [
        "git+ssh://git@forge.invalid/x/maker.git#0123456",
        "https://192.0.2.1/maker.tar.gz",
    ] {
        let (world, registry) = (World::new(), registry());
        let repository = source(&world, "");
        let mut lock: Value = serde_json::from_str(&lock()).expect("JSON");
        lock["packages"]["node_modules/maker"]["resolved"] = place.into();
        repository.write("package-lock.json", lock.to_string());
        repository.release("v1.0.0");
        publish(&world, &registry, &repository, "", MADE);
        let json = rebuild(&world, &registry, &[]).expect(3).json();
        let expected = ("indeterminate", "dependencies-elsewhere");
        assert_eq!(verdict(&json), expected, "{json:#}");
        let detail = json["artifacts"][0]["detail"].as_str().expect("words");
        assert!(detail.contains(place), "{detail}");
    }
}
