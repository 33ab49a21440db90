//! Promise: the daemon finds tags, keeps what it has seen, and makes no verdict of a tag that moved.

use countersign_tests::{Repository, World};
use serde_json::Value;

/// A repository whose release builds to `out/x.txt`, and what was published for it.
fn world() -> (World, Repository) {
    let world = World::new();
    let repository = world.repository("x");
    repository.write("build.sh", "mkdir out; echo $1 > out/x-$1.txt\n");
    for version in ["0.9.0", "1.0.0", "1.10.0", "1.2.0"] {
        repository.write("version", version);
        repository.release(&format!("v{version}"));
        world.write(format!("published/x-{version}.txt"), format!("{version}\n"));
    }
    repository.git(["tag", "unrelated"]);
    (world, repository)
}

fn entry(more: &str) -> String {
    format!(
        "  - source: ./x\n    tags: 'v*'\n    published: './published/x-{{version}}.txt'\n    build:\n      \
         steps: [[sh, build.sh, '{{version}}']]\n      outputs: ['out/x-{{version}}.txt']\n{more}"
    )
}

fn releases(world: &World) -> Vec<Value> {
    let list = world
        .run(["release", "list", "--format", "json"])
        .expect(0)
        .json();
    list["releases"].as_array().expect("releases").clone()
}

fn release<'a>(releases: &'a [Value], tag: &str) -> &'a Value {
    releases
        .iter()
        .find(|r| r["tag"] == tag)
        .unwrap_or_else(|| panic!("no {tag} in {releases:#?}"))
}

#[test]
fn the_pattern_and_the_backlog_choose_what_is_rebuilt() {
    let (world, _) = world();
    world.configure(&entry("    backlog: 2\n"));
    let _ = world.run(["daemon", "--once"]).expect(0);
    let releases = releases(&world);
    assert_eq!(releases.len(), 4, "{releases:#?}");
    for tag in ["v1.10.0", "v1.2.0"] {
        assert_eq!(
            release(&releases, tag)["artifacts"][0]["verdict"],
            "reproduced",
            "{tag}"
        );
    }
    for tag in ["v1.0.0", "v0.9.0"] {
        assert_eq!(release(&releases, tag)["state"], "skipped", "{releases:#?}");
        assert_eq!(release(&releases, tag)["artifacts"], serde_json::json!([]));
    }
}

#[test]
fn a_second_run_does_nothing_again_and_a_new_tag_is_found() {
    let (world, repository) = world();
    world.configure(&entry(""));
    let _ = world.run(["daemon", "--once"]).expect(0);
    let first = releases(&world);
    let _ = world.run(["daemon", "--once"]).expect(0);
    assert_eq!(releases(&world), first, "nothing was due");
    repository.write("version", "2.0.0");
    repository.release("v2.0.0");
    // the tag comes before what is published for it: no verdict yet, and none that is bad
    let _ = world.run(["daemon", "--once"]).expect(5);
    assert_eq!(
        release(&releases(&world), "v2.0.0")["artifacts"],
        serde_json::json!([])
    );
    world.write("published/x-2.0.0.txt", "2.0.0\n");
    let id = release(&releases(&world), "v2.0.0")["id"].to_string();
    let _ = world.run(["release", "retry", &id]).expect(0);
    let _ = world.run(["daemon", "--once"]).expect(0);
    assert_eq!(
        release(&releases(&world), "v2.0.0")["artifacts"][0]["verdict"],
        "reproduced"
    );
}

#[test]
fn a_moved_tag_is_indeterminate_until_it_is_acknowledged() {
    let (world, repository) = world();
    world.configure(&entry("    backlog: 1\n"));
    let _ = world.run(["daemon", "--once"]).expect(0);
    let before = releases(&world);
    let moved = release(&before, "v1.10.0");
    assert_eq!(moved["artifacts"][0]["verdict"], "reproduced");
    let id = moved["id"].to_string();
    let _ = world.run(["release", "ack", &id]).expect(2); // there is nothing to acknowledge

    repository.write("more", "content");
    repository.git(["add", "-A"]);
    repository.git(["commit", "-q", "-m", "later"]);
    repository.git(["tag", "-f", "v1.10.0"]);
    let _ = world.run(["daemon", "--once"]).expect(0);
    let after = releases(&world);
    let artifact = &release(&after, "v1.10.0")["artifacts"][0];
    assert_eq!(artifact["verdict"], "indeterminate", "{after:#?}");
    assert_eq!(artifact["reason"], "tag-moved");
    let shown = world.run(["release", "show", &id]).expect(0);
    assert!(shown.stdout.contains("tag-moved"), "{shown:#?}");

    let _ = world.run(["release", "ack", &id]).expect(0);
    let _ = world.run(["daemon", "--once"]).expect(0);
    let acknowledged = releases(&world);
    let artifact = &release(&acknowledged, "v1.10.0")["artifacts"][0];
    assert_eq!(artifact["verdict"], "reproduced", "{acknowledged:#?}");
}

#[test]
fn a_repository_that_cannot_be_reached_does_not_stop_the_others() {
    let (world, _) = world();
    // a port that nobody listens on
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("it")
        .port();
    let gone = format!(
        "  - source: http://127.0.0.1:{port}/gone.git\n    published: './published/x-{{version}}.txt'\n    recipe: generic\n"
    );
    world.configure(&(gone + &entry("    backlog: 1\n")));
    let ran = world.run(["daemon", "--once"]).expect(5);
    assert!(ran.stderr.contains("a poll failed"), "{ran:#?}");
    assert_eq!(
        release(&releases(&world), "v1.10.0")["artifacts"][0]["verdict"],
        "reproduced"
    );
    let status = world.run(["status", "--format", "json"]).expect(0).json();
    let failing = status["repositories"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|r| r["failures"] == 1);
    assert!(failing.is_some(), "{status:#}");
}
