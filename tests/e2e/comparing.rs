//! Promise: what differs is shown member by member: on a terminal, in JSON, in the files of a rebuild and
//! on a page; and what strangers wrote into it is text everywhere.

use std::fs;

use countersign_fixtures::archives::{TarEntry, gzip, gzip_with, tar};
use countersign_tests::{Ran, World};
use flate2::{Compression, GzBuilder};
use serde_json::Value;

use crate::pages::{Served, title};

/// A member's name that a terminal and a page would act on.
const HOSTILE: &str = "x\u{1b}[2J<script>document.title='pwned'</script>";

fn package(content: &str) -> Vec<u8> {
    tar(&[
        TarEntry::file("package/same.js", b"same\n"),
        TarEntry::file(HOSTILE, content.as_bytes()),
    ])
}

fn compare(world: &World, more: &[&str]) -> Ran {
    let mut arguments = vec!["compare", "published.tgz", "built.tgz"];
    arguments.extend(more);
    world.run(arguments)
}

fn world(published: &[u8], built: &[u8]) -> World {
    let world = World::new();
    world.write("published.tgz", published);
    world.write("built.tgz", built);
    world
}

#[test]
fn two_files_are_compared_without_a_build() {
    let (one, other) = (gzip(&package("one")), gzip(&package("other")));
    let packed = gzip_with(GzBuilder::new(), Compression::fast(), &package("one"));

    let same = compare(&world(&one, &one), &[]).expect(0);
    assert!(same.stdout.starts_with("same-bytes\n"), "{same:?}");

    let world_ = world(&one, &packed);
    let equivalent = compare(&world_, &[]).expect(1);
    assert!(
        equivalent.stdout.starts_with("equivalent\nafter gzip-"),
        "{equivalent:?}"
    );
    let _ = compare(&world_, &["--accept", "equivalent"]).expect(0);

    let world_ = world(&one, &other);
    let text = compare(&world_, &["--accept", "equivalent"])
        .expect(1)
        .stdout;
    for says in [
        "differs",
        "(1 more): the same in both",
        "differs from byte 1 on",
        "other content",
    ] {
        assert!(text.contains(says), "{says:?} in {text}");
    }
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
    let json = compare(&world_, &["--format", "json"]).expect(1).json();
    assert_eq!(json["result"], "differs", "{json:#}");
    let tar = &json["difference"]["tree"]["root"]["children"][0];
    assert_eq!(
        tar["children"][0]["firstDifference"]["offset"], 1,
        "{json:#}"
    );

    let unlike = compare(&world(&one, b"text"), &[]).expect(3);
    assert!(unlike.stdout.starts_with("not-comparable\n"), "{unlike:?}");
    let damaged = compare(&world(&one, &other[..40]), &["--format", "json"])
        .expect(3)
        .json();
    assert_eq!(damaged["result"], "failed", "{damaged:#}");
}

#[test]
fn what_is_no_file_is_refused() {
    let world = World::new();
    world.write("built.tgz", b"x");
    let absent = compare(&world, &[]).expect(2);
    assert!(absent.stderr.contains("published.tgz"), "{absent:?}");
    fs::create_dir(world.path("published.tgz")).expect("a folder");
    let folder = compare(&world, &[]).expect(2);
    assert!(folder.stderr.contains("no regular file"), "{folder:?}");
}

/// Copies a tar.gz of the repository to where the recipe looks for it.
const BUILD: &str = "      steps: [[cp, in.tgz, out.tgz]]\n      outputs: [out.tgz]\n";

#[test]
fn a_rebuild_keeps_what_differs_and_the_page_shows_it_as_text() {
    let world = World::new();
    let repository = world.repository("lib");
    // compressed anew, so that the output is no file of the tree
    repository.write("in.tar", package("other"));
    repository.release("v1.0.0");
    let build = BUILD.replace(
        "[cp, in.tgz, out.tgz]",
        "[sh, -c, 'gzip -n <in.tar >out.tgz']",
    );
    world.write("published/lib.tgz", gzip(&package("one")));
    world.write("build.yaml", build.replace("      ", ""));
    let arguments = [
        "rebuild",
        "--source",
        "lib",
        "--tag",
        "v1.0.0",
        "--published",
        "published/lib.tgz",
        "--recipe",
        "build.yaml",
        "--format",
        "json",
    ];
    let json = world.run(arguments).expect(1).json();
    let sha256 = json["artifacts"][0]["published"]["sha256"]
        .as_str()
        .expect("a digest");
    let read = |kind: &str| {
        let name = format!("countersign-out/{sha256}.difference.{kind}");
        fs::read_to_string(world.path(name)).expect("what differs")
    };
    let kept: Value = serde_json::from_str(&read("json")).expect("JSON");
    assert_eq!(kept["published"], sha256);
    let text = read("txt");
    assert!(text.contains("differs from byte 1 on"), "{text}");
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );

    let repositories =
        format!("  - source: ./lib\n    published: ['./published/lib.tgz']\n    build:\n{build}");
    let served = Served::start(world, &repositories, |releases| {
        releases.len() == 1 && releases[0]["artifacts"][0]["verdict"] == "differs"
    });
    let path = format!("/releases/1/differences/sha256:{sha256}");
    let (head, body) = served.ask(&format!("/api/v1{path}"));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let document: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(document, kept);
    let page = served.shown(&served.url(&path));
    assert_eq!(title(&page), "lib.tgz side by side · countersign");
    assert!(page.contains("differs from byte 1 on"), "{page}");
    let overview = served.shown(&served.url("/releases/1"));
    assert!(overview.contains("Both files side by side"), "{overview}");
}
