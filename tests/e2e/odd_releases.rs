//! Promise: a release that lies about itself, that needs what is not there, or that asks for what no sandbox
//! has has a clear outcome, in bounded time.

use std::fs;
use std::process::Command;

use countersign_fixtures::archives::{TarEntry, gzip, tar};
use countersign_fixtures::registries::Registry;
use countersign_tests::{Ran, Repository, World, ran};
use serde_json::{Value, json};

const PUBLISHED: &str = "2024-01-01T00:00:00Z";

/// A kind of package, as simple as it can be.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Crate,
    Npm,
    Python,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Crate, Self::Npm, Self::Python];

    /// Where a tree says its version, and how.
    fn manifest(self, version: &str) -> (&'static str, String) {
        match self {
            Self::Crate => (
                "Cargo.toml",
                format!(
                    "[package]\nname = \"oddly\"\nversion = \"{version}\"\nedition = \"2021\"\n\
                     license = \"MIT\"\ndescription = \"d\"\n"
                ),
            ),
            Self::Npm => (
                "package.json",
                json!({ "name": "oddly", "version": version, "files": ["index.js"] }).to_string(),
            ),
            Self::Python => (
                "pyproject.toml",
                format!(
                    "[project]\nname = \"oddly\"\nversion = \"{version}\"\n[build-system]\n\
                     requires = [\"flit_core\"]\nbuild-backend = \"flit_core.buildapi\"\n"
                ),
            ),
        }
    }

    /// A published file that says that it is this version.
    fn file(self, version: &str) -> Vec<u8> {
        let (name, text) = match self {
            Self::Crate | Self::Npm => self.manifest(version),
            Self::Python => (
                "PKG-INFO",
                format!("Metadata-Version: 2.1\nName: oddly\nVersion: {version}\n"),
            ),
        };
        let folder = match self {
            Self::Npm => "package",
            Self::Crate | Self::Python => "oddly-1.0.0",
        };
        let path = format!("{folder}/{name}");
        gzip(&tar(&[TarEntry::file(&path, text.as_bytes())]))
    }

    /// A published npm package with a file that only a build makes.
    fn built() -> Vec<u8> {
        let (_, manifest) = Self::Npm.manifest("1.0.0");
        gzip(&tar(&[
            TarEntry::file("package/package.json", manifest.as_bytes()),
            TarEntry::file("package/dist/index.js", b"built by a stranger\n"),
        ]))
    }

    /// Publishes a file as version 1.0.0.
    fn publish(self, registry: &Registry, file: &[u8]) {
        match self {
            Self::Crate => registry.publish_crate("oddly", "1.0.0", file, Some(PUBLISHED)),
            Self::Npm => registry.publish_npm_at("oddly", "1.0.0", file, PUBLISHED),
            Self::Python => {
                registry.publish_pypi("oddly", "oddly-1.0.0.tar.gz", file, Some(PUBLISHED))
            }
        };
    }

    const fn purl(self) -> &'static str {
        match self {
            Self::Crate => "pkg:cargo/oddly",
            Self::Npm => "pkg:npm/oddly",
            Self::Python => "pkg:pypi/oddly",
        }
    }
}

/// Rebuilds tag `v1.0.0` of the folder `source` against a registry of every kind.
fn rebuild(world: &World, registry: &Registry, published: &[&str]) -> Ran {
    let (npm, pypi) = (registry.url(), registry.pypi_index());
    let index = format!("sparse+{}", registry.cargo_index());
    let mut arguments = vec!["rebuild", "--source", "source", "--tag", "v1.0.0"];
    arguments.extend(["--npm-registry", &npm, "--pypi-index", &pypi]);
    arguments.extend(["--cargo-index", &index, "--format", "json"]);
    for published in published {
        arguments.extend(["--published", published]);
    }
    let ran = world.run(arguments);
    assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
    ran
}

/// The first artifact, which must have come to this and say all that.
#[track_caller]
fn came_to(ran: Ran, code: i32, verdict: (&str, &str), says: &[&str]) -> Value {
    let json = ran.expect(code).json();
    let artifact = &json["artifacts"][0];
    assert_eq!(artifact["verdict"], verdict.0, "{json:#}");
    assert_eq!(artifact["reason"], verdict.1, "{json:#}");
    let detail = artifact["detail"].as_str().unwrap_or_default();
    for text in says {
        assert!(detail.contains(text), "{text:?} is not said: {detail}");
    }
    json
}

fn repository(world: &World, kind: Kind, version: &str) -> Repository {
    let repository = world.repository("source");
    let (name, text) = kind.manifest(version);
    repository.write(name, text);
    repository.write("src/lib.rs", "");
    repository.write("index.js", "");
    repository.write("oddly.py", "");
    repository
}

#[test]
fn a_manifest_that_lies_about_its_version_contradicts_and_nothing_is_built() {
    for kind in Kind::ALL {
        for (tree, file) in [("2.0.0", "1.0.0"), ("1.0.0", "2.0.0")] {
            let (world, registry) = (World::new(), Registry::start().expect("a registry"));
            repository(&world, kind, tree).release("v1.0.0");
            kind.publish(&registry, &kind.file(file));
            let ran = rebuild(&world, &registry, &[kind.purl()]);
            let verdict = ("indeterminate", "evidence-contradicts");
            let json = came_to(ran, 3, verdict, &["1.0.0", "2.0.0"]);
            assert_eq!(json["attempts"], json!([]), "{kind:?}: {json:#}");
        }
    }
}

/// One tag, two packages in two registries: each has its own recipe and verdict.
#[test]
fn a_tag_that_names_two_packages_has_a_verdict_for_each() {
    let (world, registry) = (World::new(), Registry::start().expect("a registry"));
    let repository = repository(&world, Kind::Crate, "1.0.0");
    let (name, text) = Kind::Npm.manifest("1.0.0");
    repository.write(name, text);
    repository.release("v1.0.0");
    let clone = world.path("publisher");
    repository.git(["clone", "-q", ".", clone.to_str().expect("UTF-8")]);
    let pack = |program: &str, arguments: &[&str], file: &str| {
        let mut command = Command::new(program);
        command.current_dir(&clone).env_remove("CARGO_TARGET_DIR");
        let _ = ran(command.args(arguments)).expect(0);
        fs::read(clone.join(file)).expect("what was packed")
    };
    let package = ["package", "--no-verify", "--offline"];
    let of_cargo = pack("cargo", &package, "target/package/oddly-1.0.0.crate");
    Kind::Crate.publish(&registry, &of_cargo);
    let package = ["pack", "--ignore-scripts", "--offline"];
    let of_npm = pack("npm", &package, "oddly-1.0.0.tgz");
    Kind::Npm.publish(&registry, &of_npm);

    let both = [Kind::Npm.purl(), Kind::Crate.purl()];
    let json = rebuild(&world, &registry, &both).expect(0).json();
    let verdicts = |json: &Value| {
        let artifacts = json["artifacts"].as_array().expect("a list").clone();
        let of = |artifact: &Value| (artifact["name"].clone(), artifact["verdict"].clone());
        artifacts.iter().map(of).collect::<Vec<_>>()
    };
    let (tgz, krate) = (json!("oddly-1.0.0.tgz"), json!("oddly-1.0.0.crate"));
    let good = json!("reproduced");
    let expected = [(tgz.clone(), good.clone()), (krate.clone(), good.clone())];
    assert_eq!(verdicts(&json), expected, "{json:#}");

    // what is wrong with one says nothing about the other, and the worst is the exit code
    registry.edit_npm("oddly", |document| *document = Value::Null);
    Kind::Npm.publish(&registry, &Kind::Npm.file("1.0.0"));
    let json = rebuild(&world, &registry, &both).expect(1).json();
    let expected = [(tgz, json!("differs")), (krate, good)];
    assert_eq!(verdicts(&json), expected, "{json:#}");
}

#[test]
fn a_lock_with_a_git_dependency_names_it_and_nothing_is_built() {
    let (world, registry) = (World::new(), Registry::start().expect("a registry"));
    let repository = repository(&world, Kind::Crate, "1.0.0");
    let place = "git+https://forge.invalid/below.git#0123456789012345678901234567890123456789";
    let package = |name: &str, more: &str| format!("[[package]]\nname = \"{name}\"\n{more}\n");
    let lock = [
        "version = 4\n".to_owned(),
        package(
            "below",
            &format!("version = \"1.0.0\"\nsource = \"{place}\""),
        ),
        package("oddly", "version = \"1.0.0\"\ndependencies = [\"below\"]"),
    ];
    repository.write("Cargo.lock", lock.concat());
    repository.release("v1.0.0");
    Kind::Crate.publish(&registry, &Kind::Crate.file("1.0.0"));
    let ran = rebuild(&world, &registry, &[Kind::Crate.purl()]);
    let verdict = ("indeterminate", "dependencies-elsewhere");
    came_to(
        ran,
        3,
        verdict,
        &["Cargo.lock", "git+https://forge.invalid/below.git"],
    );
}

/// What a path leads to beside the tree was never part of the source.
#[test]
fn a_dependency_beside_the_tree_is_not_looked_for() {
    let (world, registry) = (World::new(), Registry::start().expect("a registry"));
    let repository = repository(&world, Kind::Crate, "1.0.0");
    let (name, text) = Kind::Crate.manifest("1.0.0");
    let dependency = "[dependencies]\nbelow = { version = \"1\", path = \"../outside\" }\n";
    repository.write(name, text + dependency);
    repository.release("v1.0.0");
    // it is there for everybody else
    world.write(
        "outside/Cargo.toml",
        "[package]\nname = \"below\"\nversion = \"1.0.0\"\nedition = \"2021\"\n",
    );
    world.write("outside/src/lib.rs", "");
    Kind::Crate.publish(&registry, &Kind::Crate.file("1.0.0"));
    let ran = rebuild(&world, &registry, &[Kind::Crate.purl()]);
    let json = ran.expect(3).json();
    let artifact = &json["artifacts"][0];
    // which of them depends on whether this machine has a cargo of that time
    let reason = artifact["reason"].as_str();
    let known = matches!(reason, Some("step-failed" | "toolchain-unavailable"));
    assert!(known && artifact["rebuilt"] == json!([]), "{json:#}");

    let lock = json!({ "name": "oddly", "version": "1.0.0", "lockfileVersion": 3, "packages": {
        "": { "dependencies": { "below": "file:../outside" } },
        "../outside": { "name": "below", "version": "1.0.0" },
        "node_modules/below": { "resolved": "../outside", "link": true },
    } });
    let repository = world.repository("npm");
    let manifest = json!({ "name": "oddly", "version": "1.0.0", "files": ["dist"],
        "scripts": { "build": "below" }, "dependencies": { "below": "file:../outside" } });
    repository.write("package.json", manifest.to_string());
    repository.write("package-lock.json", lock.to_string());
    repository.release("v1.0.0");
    fs::remove_dir_all(world.path("source")).expect("a folder");
    fs::rename(world.path("npm"), world.path("source")).expect("a folder");
    Kind::Npm.publish(&registry, &Kind::built());
    let ran = rebuild(&world, &registry, &[Kind::Npm.purl()]);
    let verdict = ("indeterminate", "dependencies-elsewhere");
    came_to(ran, 3, verdict, &["package-lock.json", "../outside"]);
}

/// A package manager that no recipe runs installs by a lock that no recipe reads: what is built without
/// it says nothing against a release.
#[test]
fn an_unknown_package_manager_is_named_and_accuses_nobody() {
    for (key, file, says) in [
        (json!("bun@1.2.0"), None, "bun@1.2.0"),
        (json!("cargo-of-mine@3"), None, "cargo-of-mine@3"),
        (Value::Null, Some("bun.lock"), "bun.lock"),
        (Value::Null, Some("bun.lockb"), "bun.lockb"),
    ] {
        let (world, registry) = (World::new(), Registry::start().expect("a registry"));
        let repository = world.repository("source");
        let manifest = json!({ "name": "oddly", "version": "1.0.0", "files": ["dist"],
            "scripts": { "build": "mkdir dist && echo built > dist/index.js" },
            "packageManager": key });
        repository.write("package.json", manifest.to_string());
        if let Some(file) = file {
            repository.write(file, "{}");
        }
        repository.release("v1.0.0");
        Kind::Npm.publish(&registry, &Kind::built());
        let ran = rebuild(&world, &registry, &[Kind::Npm.purl()]);
        let verdict = ("indeterminate", "build-step-unsupported");
        came_to(ran, 3, verdict, &[says]);
    }
}

#[test]
fn a_backend_that_no_index_has_is_a_build_that_failed() {
    let (world, registry) = (World::new(), Registry::start().expect("a registry"));
    let repository = repository(&world, Kind::Python, "1.0.0");
    let (name, text) = Kind::Python.manifest("1.0.0");
    let text = text
        .replace("flit_core.buildapi", "made_here.backend")
        .replace("flit_core", "made-here");
    repository.write(name, text);
    repository.release("v1.0.0");
    Kind::Python.publish(&registry, &Kind::Python.file("1.0.0"));
    let ran = rebuild(&world, &registry, &[Kind::Python.purl()]);
    let json = came_to(ran, 3, ("build-failed", "step-failed"), &[]);
    let missed = json["attempts"][0]["misses"]["listed"].to_string();
    assert!(missed.contains("pypi:index/made-here"), "{json:#}");
}

/// A build asks who is there: nobody, at once. One that waits for an answer all the same meets its limit.
#[test]
fn a_build_that_asks_for_a_terminal_gets_none() {
    let world = World::new();
    let repository = world.repository("source");
    repository.write(
        "ask.sh",
        "for fd in 0 1 2; do [ -t $fd ] && echo terminal $fd; done\n\
         read answer && echo \"was told $answer\"\n\
         (: < /dev/tty) 2>&- && echo there is one\n\
         mkdir out; echo nobody there > out/x.txt\n",
    );
    repository.write("insist.sh", "read answer < /dev/tty\n");
    repository.write("wait.sh", "until [ -t 0 ]; do sleep 0.2; done\n");
    repository.release("v1.0.0");
    world.write("p/x.txt", "nobody there\n");
    let registry = Registry::start().expect("a registry");
    for (script, code, verdict, reason) in [
        ("ask.sh", 0, "reproduced", Value::Null),
        ("insist.sh", 3, "build-failed", json!("step-failed")),
        ("wait.sh", 3, "build-failed", json!("silent")),
    ] {
        let recipe = format!(
            "steps: [[sh, {script}]]\noutputs: [out/x.txt]\nlimits: {{ silence_seconds: 2 }}\n"
        );
        world.write("build.yaml", recipe);
        let ran = world.run([
            "rebuild",
            "--source",
            "source",
            "--tag",
            "v1.0.0",
            "--published",
            "p/x.txt",
            "--recipe",
            "build.yaml",
            "--format",
            "json",
        ]);
        let json = ran.expect(code).json();
        let artifact = &json["artifacts"][0];
        assert_eq!(artifact["verdict"], verdict, "{script}: {json:#}");
        assert_eq!(artifact["reason"], reason, "{script}: {json:#}");
    }
    drop(registry);
}
