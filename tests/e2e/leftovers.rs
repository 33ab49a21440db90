//! Promise: kill -9 of the daemon in the middle of a build leaves no process, mount, control group or file.
//!
//! `COUNTERSIGN_BUILD_KILLS` says how often (tests/long: 100).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use countersign_tests::World;

use crate::running::{processes_with, until};

/// What a sandbox could leave on the machine.
fn machine() -> BTreeSet<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let mut found: BTreeSet<String> = mounts.lines().map(str::to_owned).collect();
    groups(Path::new("/sys/fs/cgroup"), 0, &mut found);
    found
}

fn groups(folder: &Path, depth: u32, found: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if depth < 6 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // other tests run beside this one: a group with a process in it is not a leftover
            let processes = fs::read_to_string(entry.path().join("cgroup.procs"));
            let empty = processes.is_ok_and(|text| text.is_empty());
            if name.starts_with("countersign-") && empty {
                found.insert(entry.path().display().to_string());
            }
            groups(&entry.path(), depth + 1, found);
        }
    }
}

/// Every file below a folder but the database's, which a start after a kill repairs.
fn files(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if !path.display().to_string().contains("countersign.db") {
            found.insert(path.display().to_string());
        }
    }
}

#[test]
fn a_daemon_killed_in_mid_build_leaves_nothing() {
    let kills: usize =
        std::env::var("COUNTERSIGN_BUILD_KILLS").map_or(3, |text| text.parse().expect("a number"));
    let world = World::new();
    let repository = world.repository("long");
    let marker = format!("7000.{}", std::process::id());
    repository.write(
        "build.sh",
        format!("if [ -e stop ]; then exit 1; fi; (setsid sleep {marker} &); sleep {marker} & echo up; wait\n"),
    );
    repository.release("v1");
    world.write("out", "other\n");
    world.configure(
        "  - source: ./long\n    tags: 'v*'\n    published: ['./out']\n    \
         build:\n      steps: [[sh, build.sh]]\n      outputs: [out]\n",
    );
    let before = machine();
    let mut settled = BTreeSet::new();
    for kill in 0..kills {
        let mut daemon = world
            .command(["daemon", "--once"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("a daemon");
        until("the build runs", || {
            (processes_with(&marker).len() >= 2).then_some(())
        });
        sleep(Duration::from_millis(7 * (kill as u64 % 13)));
        daemon.kill().expect("a kill");
        daemon.wait().expect("an end");
        until("no process is left", || {
            processes_with(&marker).is_empty().then_some(())
        });
        let scratch = world.path("data/scratch").display().to_string();
        let mut now = BTreeSet::new();
        files(&world.path("data"), &mut now);
        // what lies in the scratch space is taken away by the next start; nothing else may grow
        now.retain(|path| !path.starts_with(&scratch));
        if kill == 0 {
            settled = now;
        } else {
            let new: Vec<_> = now.difference(&settled).collect();
            assert!(new.is_empty(), "kill {kill} left {new:?}");
        }
        let mut in_scratch = BTreeSet::new();
        files(Path::new(&scratch), &mut in_scratch);
        assert!(in_scratch.len() < 100, "scratch grows: {in_scratch:?}");
    }
    // groups of other tests come and go; what is there in every look is a leftover
    let mut left: BTreeSet<String> = machine().difference(&before).cloned().collect();
    until("no mount or control group is left", || {
        let now = machine();
        left.retain(|name| now.contains(name));
        left.is_empty().then_some(())
    });
    println!("{kills} daemons were killed in mid-build and left nothing");
}
