//! Promise: an operator can run a command in the sandbox of builds, and follow what a build says.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use countersign_tests::World;

use crate::running::{Daemon, free_address, until};

#[test]
fn a_command_runs_as_a_build_would_and_its_end_is_passed_on() {
    let world = World::new();
    let run = |arguments: &[&str]| world.run(["sandbox", "run"].iter().chain(arguments));
    let seen = run(&[
        "--",
        "sh",
        "-c",
        "id -un; uname -n; pwd; printf '\\033[31m'",
    ])
    .expect(0);
    assert_eq!(seen.stdout, "build\nlocalhost\n/build/source\n\u{1b}[31m");
    for part in [
        "countersign-sandbox/",
        "root-range|user-range|single-id",
        "namespaces",
        "bytes of memory",
    ] {
        let any = part.split('|').any(|word| seen.stderr.contains(word));
        assert!(any, "no {part}: {}", seen.stderr);
    }
    assert_eq!(run(&["--", "sh", "-c", "exit 42"]).code, Some(42));
    assert_eq!(run(&["--", "sh", "-c", "kill -9 $$"]).code, Some(137));
    assert_eq!(run(&["--", "no-such-program"]).code, Some(127));
    let late = run(&["--time", "1", "--", "sleep", "30"]).expect(3);
    assert!(late.stderr.contains("time"), "{}", late.stderr);
    // its own source, read and not written
    fs::create_dir(world.path("tree")).expect("a folder");
    world.write("tree/given", "given\n");
    let seen = run(&[
        "--source",
        "tree",
        "--",
        "sh",
        "-c",
        "cat given; echo > new; ls",
    ])
    .expect(0);
    assert_eq!(seen.stdout, "given\ngiven\nnew\n");
    assert!(!world.path("tree/new").exists());
    // refused, with the reason, before anything runs
    assert_eq!(run(&["--env", "moon", "--", "true"]).code, Some(2));
    assert_eq!(run(&["--source", "absent", "--", "true"]).code, Some(2));
    assert_eq!(run(&[]).code, Some(2));
    let outside = world.write("secret", "secret");
    let seen = run(&["--", "cat", &outside.display().to_string()]);
    assert_eq!(seen.code, Some(1), "{seen:#?}");
}

/// A world whose one release says something, then waits for ever, or ends.
fn saying(script: &str, address: std::net::SocketAddr) -> World {
    let world = World::new();
    let repository = world.repository("saying");
    repository.write("build.sh", script);
    repository.release("v1");
    world.write("out", "other\n");
    world.configure_with(
        &format!("listen: {address}"),
        "  - source: ./saying\n    tags: 'v*'\n    published: ['./out']\n    \
         build:\n      steps: [[sh, build.sh]]\n      outputs: [out]\n",
    );
    world
}

#[test]
fn the_log_of_a_running_build_is_followed_to_its_end() {
    let address = free_address();
    let script = "printf 'begun \\033[31m\\n'; sleep 3; echo over; echo made > out\n";
    let world = saying(script, address);
    let daemon = Daemon::start(&mut world.command(["daemon"]), address);
    let mut tail = until("the rebuild runs", || {
        let mut child = world
            .command(["log", "tail", "1", "--raw"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a follower");
        let mut first = [0; 5];
        let mut out = child.stdout.take().expect("its output");
        if out.read_exact(&mut first).is_err() || &first != b"begun" {
            child.wait().expect("an end");
            return None; // not queued yet, or queued
        }
        child.stdout = Some(out);
        Some(child)
    });
    let mut said = String::new();
    let mut out = tail.stdout.take().expect("its output");
    out.read_to_string(&mut said).expect("text");
    // raw, both builds, and it ends with the rebuild
    assert_eq!(said, " \u{1b}[31m\nover\nbegun \u{1b}[31m\nover\n");
    assert!(tail.wait().expect("an end").success());
    until("the verdict is there", || {
        let show = world.run(["log", "tail", "1"]);
        (show.code == Some(0) && show.stdout.contains("over\n")).then_some(())
    });
    assert_eq!(world.run(["log", "tail", "99"]).code, Some(2));
    drop(daemon);
}

#[test]
fn a_daemon_that_is_killed_ends_its_followers() {
    let address = free_address();
    let world = saying("echo begun; sleep 300\n", address);
    let daemon = Daemon::start(&mut world.command(["daemon"]), address);
    let live = world.path("data/scratch/live-1/0.log");
    until("the build speaks", || {
        fs::read(&live)
            .is_ok_and(|log| log == b"begun\n")
            .then_some(())
    });
    let mut tail = world
        .command(["log", "tail", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a follower");
    let mut first = [0; 6];
    let mut out = tail.stdout.take().expect("its output");
    out.read_exact(&mut first).expect("what was said");
    assert_eq!(&first, b"begun\n");
    drop(daemon); // kill -9
    assert!(tail.wait().expect("an end").success());
}
