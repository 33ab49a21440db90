//! Promise: a repository costs what the tree of a tag costs. A long history is not read, and one that never
//! ends is cut off by bytes and by time; nothing of it stays on disk.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use countersign_fixtures::forges::Endless;
use countersign_tests::{World, ran};

/// How long a history is, in bytes: enough to see the limits, or as much as `tests/long` says.
fn history_bytes() -> u64 {
    let text = std::env::var("COUNTERSIGN_HISTORY_BYTES");
    text.map_or(16 << 20, |text| text.parse().expect("a number"))
}

/// Bytes on disk below a folder.
fn disk(folder: &Path) -> u64 {
    let mut du = Command::new("du");
    let text = ran(du.arg("-sk").arg(folder)).expect(0).stdout;
    let kib = text.split_whitespace().next().expect("a number");
    kib.parse::<u64>().expect("a number") << 10
}

/// A forge that sends for ever is cut off by bytes, which it is refused for, or by time, which is tried
/// again; of what it sent nothing stays.
#[test]
fn a_history_that_never_ends_is_cut_off_by_bytes_and_by_time() {
    let world = World::new();
    let limit = history_bytes();
    world.write("p/x.txt", "x\n");
    for (pause, limits, code, says) in [
        (
            Duration::ZERO,
            format!("fetch_bytes: {limit}"),
            2,
            "goes over the limit of",
        ),
        (
            Duration::from_millis(20),
            "fetch_seconds: 1".to_owned(),
            5,
            "took longer than 1 s",
        ),
    ] {
        let forge = Endless::start("v1", pause).expect("a forge");
        let entry = format!(
            "  - source: {}\n    published: './p/x.txt'\n    build:\n      \
             steps: [['true']]\n      outputs: [x]\n",
            forge.url()
        );
        let _ = fs::remove_dir_all(world.path("data"));
        world.configure_with(&format!("limits: {{ {limits} }}"), &entry);
        let ran = world.run(["daemon", "--once"]).expect(code);
        assert!(ran.stderr.contains(says), "{says:?} is not said: {ran:#?}");
        let sent = forge.sent();
        assert!(sent > 0, "nothing was asked for");
        // what the sockets hold is sent and never read
        assert!(sent < limit + (32 << 20), "{sent} bytes of {limit}");
        let left = disk(&world.path("data"));
        assert!(left < 4 << 20, "{left} bytes are left");
    }
}

/// A tree with a long history costs what the tree costs.
#[test]
fn a_long_history_is_not_read() {
    const COMMIT_BYTES: u64 = 4 << 20;
    let world = World::new();
    let repository = world.repository("source");
    let mut state = 1u64;
    for _ in 0..history_bytes() / COMMIT_BYTES {
        let mut blob = Vec::new();
        while (blob.len() as u64) < COMMIT_BYTES {
            // bytes that do not compress
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            blob.extend_from_slice(&state.to_le_bytes());
        }
        repository.write("blob", blob);
        repository.git(["add", "-A"]);
        repository.git(["-c", "core.compression=0", "commit", "-q", "-m", "more"]);
    }
    fs::remove_file(repository.path.join("blob")).expect("a file");
    repository.write("file", "x\n");
    repository.release("v1");
    world.write("p/x.txt", "x\n");
    world.configure(
        "  - source: ./source\n    published: './p/x.txt'\n    build:\n      \
         steps: [[cp, file, x.txt]]\n      outputs: [x.txt]\n",
    );
    let _ = world.run(["daemon", "--once"]).expect(0);
    let left = disk(&world.path("data"));
    assert!(left < 4 << 20, "{left} bytes for one small tree");
}
