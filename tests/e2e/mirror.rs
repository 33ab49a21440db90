//! Promise: what a build fetches comes through the mirror, is recorded, and is all that counts.
//!
//! A generic recipe whose script fetches from the mirror with nothing but bash, against a registry on
//! loopback.

use countersign_fixtures::registries::{Answer, Registry};
use countersign_tests::{Ran, World};
use serde_json::Value;

/// Defines `fetch PATH FILE`, which fails on everything but 200.
const FETCH: &str = r#"set -eu
mkdir -p dist
fetch() {
    exec 3<>/dev/tcp/mirror/80
    printf 'GET %s HTTP/1.1\r\nHost: mirror\r\nX-Secret: of the build\r\n\r\n' "$1" >&3
    cat <&3 > response
    exec 3>&-
    head -n 1 response | grep -q ' 200 ' || { head -n 1 response; exit 9; }
    sed '1,/^\r$/d' response > "$2"
}
"#;

const RECIPE: &str = r#"steps: [[bash, build.sh]]
outputs: ["dist/out"]
network: mirror
as_of: 2024-06-01T00:00:00Z
limits: { time_seconds: 600 }
"#;

/// A world with a repository whose script does this after defining `fetch`.
fn world(script: &str) -> World {
    let world = World::new();
    let repository = world.repository("hello");
    repository.write("build.sh", format!("{FETCH}{script}\n"));
    repository.release("v1.0.0");
    world.write("build.yaml", RECIPE);
    world
}

fn rebuild(world: &World, registry: &Registry, published: &str, more: &[&str]) -> Ran {
    let (cargo, pypi) = (registry.cargo_index(), registry.pypi_index());
    let mut arguments = vec!["rebuild", "--source", "hello", "--tag", "v1.0.0"];
    arguments.extend(["--published", published, "--recipe", "build.yaml"]);
    arguments.extend(["--cargo-index", &cargo, "--pypi-index", &pypi]);
    arguments.extend(["--format", "json"]);
    arguments.extend(more);
    world.run(arguments)
}

fn registry() -> Registry {
    let registry = Registry::start().expect("a registry");
    let (old, new) = (Some("2024-05-01T00:00:00Z"), Some("2024-07-01T00:00:00Z"));
    registry.publish_crate("depend", "1.0.0", b"crate one\n", old);
    registry.publish_crate("depend", "2.0.0", b"crate two\n", new);
    registry.publish_pypi("depend", "depend-1.0.tar.gz", b"python one\n", old);
    registry.publish_pypi("depend", "depend-2.0.tar.gz", b"python two\n", new);
    registry
}

const TWO_REGISTRIES: &str = "\
    fetch /cargo/index/config.json dist/config
    fetch /cargo/index/de/pe/depend dist/index
    fetch /cargo/dl/depend/1.0.0/download dist/crate
    fetch /pypi/simple/depend/ dist/simple
    fetch /pypi/files/depend/depend-1.0.tar.gz dist/sdist
    fetch /pypi/files/depend/depend-1.0.tar.gz dist/again
    { cat dist/crate dist/sdist dist/again; grep -c . dist/index; grep -c '<a' dist/simple; } > dist/out";

/// Of what these bytes are: what the script makes.
const MADE: &str = "crate one\npython one\npython one\n1\n1\n";

fn artifact(json: &Value) -> &Value {
    &json["artifacts"][0]
}

fn plan(json: &Value) -> String {
    let plan = json["attempts"][0]["plan"].as_str().expect("a plan");
    plan.strip_prefix("sha256:").expect("its digest").to_owned()
}

#[test]
fn what_a_build_fetches_is_recorded_and_replayed() {
    let (world, registry) = (world(TWO_REGISTRIES), registry());
    world.write("published/out", MADE);
    let first = rebuild(&world, &registry, "published/out", &["--out", "first"]);
    let first = first.expect(0).json();
    assert_eq!(artifact(&first)["verdict"], "reproduced", "{first:#}");

    // every request is the mirror's own, and each document was asked for once
    let requests = registry.requests();
    assert_eq!(
        requests,
        [
            "/index/de/pe/depend",
            "/index/config.json",
            "/dl/depend/depend-1.0.0.crate",
            "/simple/depend/",
            "/packages/depend-1.0.tar.gz",
        ]
    );
    for headers in registry.headers() {
        assert!(
            headers.iter().all(|(name, _)| name != "x-secret"),
            "{headers:?}"
        );
    }

    let digest = plan(&first);
    let path = format!("first/{digest}.plan.json");
    let text = std::fs::read_to_string(world.path(&path)).expect("the plan");
    let read: Value = serde_json::from_str(&text).expect("a plan");
    let inputs: Vec<&str> = read["inputs"]
        .as_array()
        .expect("inputs")
        .iter()
        .map(|input| input["request"].as_str().expect("a request"))
        .collect();
    assert_eq!(
        inputs,
        [
            "cargo:config",
            "cargo:file/depend/1.0.0",
            "cargo:index/depend",
            "pypi:file/depend/depend-1.0.tar.gz",
            "pypi:index/depend",
        ]
    );
    assert!(!text.contains("127.0.0.1"), "{text}");

    // another data directory with an empty cache: the same plan, and from the plan the same bytes
    let again = rebuild(&world, &registry, "published/out", &["--out", "second"]);
    assert_eq!(plan(&again.expect(0).json()), digest);
    let replayed = rebuild(
        &world,
        &registry,
        "published/out",
        &["--out", "third", "--plan", &path],
    );
    let replayed = replayed.expect(0).json();
    assert_eq!(plan(&replayed), digest);
    let rebuilt = |json: &Value| artifact(json)["rebuilt"][0]["sha256"].clone();
    assert_eq!(rebuilt(&replayed), rebuilt(&first));

    // a plan whose word on an input's origin is not ours is refused
    let lying = text.replacen("\"origin\": \"registry\"", "\"origin\": \"artifact\"", 1);
    assert_ne!(lying, text);
    world.write("lying.json", lying);
    let said = rebuild(
        &world,
        &registry,
        "published/out",
        &["--out", "lying", "--plan", "lying.json"],
    );
    assert_eq!(said.expect(2).json()["error"]["code"], "plan-origins");

    // what the registry no longer has, or has otherwise, is said and nothing is built
    registry.put(
        "/packages/depend-1.0.tar.gz",
        Answer::Bytes(b"other".to_vec()),
    );
    let said = rebuild(
        &world,
        &registry,
        "published/out",
        &["--out", "fourth", "--plan", &path],
    );
    assert_eq!(said.expect(5).json()["error"]["code"], "registry");
    registry.put("/simple/depend/", Answer::Status(404));
    let said = rebuild(
        &world,
        &registry,
        "published/out",
        &["--out", "fifth", "--plan", &path],
    );
    let said = said.expect(2).json();
    assert_eq!(said["error"]["code"], "plan-inputs", "{said:#}");
    let message = said["error"]["message"].as_str().expect("words");
    assert!(message.contains("pypi:index/depend"), "{message}");
    assert!(!message.contains("cargo:"), "{message}");
}

#[test]
fn the_attestations_name_what_was_fetched() {
    let (world, registry) = (world(TWO_REGISTRIES), registry());
    world.write("published/out", MADE);
    let ran = rebuild(&world, &registry, "published/out", &[])
        .expect(0)
        .json();
    let attestations = artifact(&ran)["attestations"].as_array().expect("some");
    let mut kinds = 0;
    for attestation in attestations {
        let path = world.path(attestation["path"].as_str().expect("a path"));
        let kind = attestation["kind"].as_str().expect("a kind");
        if attestation["format"] != "dsse" {
            continue;
        }
        let envelope = std::fs::read(path).expect("an envelope");
        let envelope: Value = serde_json::from_slice(&envelope).expect("JSON");
        let statement = payload(envelope["payload"].as_str().expect("a payload"));
        let predicate = &statement["predicate"];
        match kind {
            "verdict" => assert_eq!(predicate["build"]["network"], "replay"),
            "provenance" => {
                let definition = &predicate["buildDefinition"];
                assert_eq!(definition["internalParameters"]["network"], "replay");
                let list = definition["resolvedDependencies"].as_array().expect("some");
                let names: Vec<_> = list.iter().map(|d| d["name"].as_str()).collect();
                assert_eq!(names.len(), 6, "{names:?}");
                assert!(
                    names.contains(&Some("cargo:file/depend/1.0.0")),
                    "{names:?}"
                );
            }
            other => panic!("an attestation of the kind {other}"),
        }
        kinds += 1;
    }
    assert_eq!(kinds, 2, "{attestations:#?}");
}

fn payload(base64: &str) -> Value {
    let mut decode = std::process::Command::new("base64");
    decode.arg("-d").stdin(std::process::Stdio::piped());
    let mut child = decode
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("base64");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, base64.as_bytes()).expect("a pipe");
    drop(stdin);
    let output = child.wait_with_output().expect("base64");
    serde_json::from_slice(&output.stdout).expect("a statement")
}

#[test]
fn what_came_later_or_is_under_test_is_not_there() {
    let registry = registry();
    let crate_two = "cargo:file/depend/2.0.0";
    for (path, published, missed) in [
        // younger than the moment
        (
            "/cargo/dl/depend/2.0.0/download",
            "published/out",
            crate_two,
        ),
        (
            "/pypi/files/depend/depend-2.0.tar.gz",
            "published/out",
            "pypi:file/depend/depend-2.0.tar.gz",
        ),
        // its own published file, by its digest
        (
            "/pypi/files/depend/depend-1.0.tar.gz",
            "published/depend-1.0.tar.gz",
            "pypi:file/depend/depend-1.0.tar.gz",
        ),
        (
            "/cargo/dl/depend/1.0.0/download",
            "published/depend-1.0.0.crate",
            "cargo:file/depend/1.0.0",
        ),
        // outside the grammar
        ("/gem/depend", "published/out", "/gem/depend"),
        ("http://other.example/", "published/out", "(refused: 400)"),
    ] {
        let world = world(&format!("fetch {path} dist/out"));
        world.write("published/out", "whatever\n");
        world.write("published/depend-1.0.tar.gz", "python one\n");
        world.write("published/depend-1.0.0.crate", "crate one\n");
        let json = rebuild(&world, &registry, published, &[]).expect(3).json();
        assert_eq!(
            artifact(&json)["verdict"],
            "build-failed",
            "{path}: {json:#}"
        );
        assert_eq!(artifact(&json)["reason"], "step-failed", "{path}: {json:#}");
        let misses = &json["attempts"][0]["misses"];
        assert_eq!(misses["listed"], serde_json::json!([missed]), "{json:#}");
    }
    // the control arm: the same request where something else is under test
    let world = world("fetch /pypi/files/depend/depend-1.0.tar.gz dist/out");
    world.write("published/out", "whatever\n");
    let json = rebuild(&world, &registry, "published/out", &[]).json();
    // a build that only hands on what it was given proves nothing
    assert_eq!(artifact(&json)["reason"], "prebuilt", "{json:#}");
}

#[test]
fn trouble_of_a_registry_is_ours_and_never_the_releases() {
    for (break_it, code, exit) in [
        (
            ("/index/de/pe/depend", Answer::Bytes(b"nonsense\n".to_vec())),
            "registry",
            5,
        ),
        (
            (
                "/dl/depend/depend-1.0.0.crate",
                Answer::Bytes(b"tampered".to_vec()),
            ),
            "registry",
            5,
        ),
        (
            ("/index/config.json", Answer::Status(403)),
            "registry-unreachable",
            5,
        ),
        (
            (
                "/dl/depend/depend-1.0.0.crate",
                Answer::Redirect("http://192.0.2.1/x".into()),
            ),
            "registry-unreachable",
            5,
        ),
    ] {
        let (world, registry) = (
            world("fetch /cargo/dl/depend/1.0.0/download dist/out || true"),
            registry(),
        );
        world.write("published/out", "whatever\n");
        registry.put(break_it.0, break_it.1);
        let json = rebuild(&world, &registry, "published/out", &[])
            .expect(exit)
            .json();
        assert_eq!(json["error"]["code"], code, "{}: {json:#}", break_it.0);
    }
    // a registry that never says when anything came
    let (world, registry) = (
        world("fetch /cargo/index/ti/me/timeless dist/out || true"),
        registry(),
    );
    world.write("published/out", "whatever\n");
    registry.publish_crate("timeless", "1.0.0", b"when", None);
    let json = rebuild(&world, &registry, "published/out", &[])
        .expect(5)
        .json();
    assert_eq!(json["error"]["code"], "registry-without-times", "{json:#}");
}

#[test]
fn a_build_without_the_mirror_has_none() {
    let (world, registry) = (world("fetch /cargo/index/config.json dist/out"), registry());
    world.write("build.yaml", RECIPE.replace("network: mirror\n", ""));
    world.write("published/out", "whatever\n");
    let json = rebuild(&world, &registry, "published/out", &[])
        .expect(3)
        .json();
    assert_eq!(artifact(&json)["reason"], "step-failed", "{json:#}");
    assert!(registry.requests().is_empty());
}

#[test]
fn a_replay_asks_no_registry_and_an_unknown_request_fails_it() {
    // what is asked for depends on how often the build ran, which only the kernel's clock can tell apart
    let script = "\
        fetch /cargo/dl/depend/1.0.0/download dist/crate
        if [ \"$USER\" = build ]; then echo one > dist/out
        else fetch /pypi/files/depend/depend-1.0.tar.gz dist/out; fi";
    let (world, registry) = (world(script), registry());
    world.write("published/out", "whatever\n");
    let json = rebuild(&world, &registry, "published/out", &[])
        .expect(3)
        .json();
    assert_eq!(artifact(&json)["verdict"], "unstable", "{json:#}");
    assert!(
        registry
            .requests()
            .iter()
            .all(|request| !request.contains("simple"))
    );
}
