//! What a build may try: it runs, in the sandbox, and reaches nothing of the host.

use std::fs;
use std::process::{Command, Stdio};

use countersign_attest::digest::Digests;
use countersign_tests::ran;

use super::{RECIPE, Trap};
use crate::running::{Daemon, free_address, processes_with, until};

/// What a build tries while the daemon runs. `WORLD` is the folder with the daemon's key and data,
/// `PORT` is where it listens. Each ends with 0 where it works.
const ATTEMPTS: &[&str] = &[
    "cat WORLD/keys/statement.pem",
    "cat WORLD/keys/local.pem",
    "ls WORLD/data/blobs",
    "cat WORLD/data/countersign.db",
    "cat WORLD/countersign.yaml",
    "ls WORLD/x/.git",
    "cat WORLD/p/x.txt",
    "touch WORLD/canary && rm WORLD/canary",
    // a process that has gone meanwhile is none of its business
    "ls -d /proc/[0-9]*/root/WORLD/keys 2>&- | grep -q .",
    "exec 3<>/dev/tcp/127.0.0.1/PORT",
    "env | grep -q CANARY_OF_THE_HOST",
    "grep -aqs CANARY_OF_THE_HOST /proc/[0-9]*/environ",
    // the pattern is in a file, so that no command line of this build holds it
    "grep -aqsf world-path /proc/[0-9]*/cmdline",
    "for p in /proc/[0-9]*; do grep -aqsf world-path $p/cmdline && kill -0 ${p#/proc/} && exit 0; done; exit 1",
    "grep -qsf world-path /proc/self/mountinfo /proc/[0-9]*/maps /proc/[0-9]*/cmdline",
    "ls /home /root /srv /var /run /sys | grep -q .",
];

/// The published file is the report of a build for which nothing worked: `reproduced` says that
/// nothing did. Outside, every attempt works.
#[test]
fn what_a_running_daemon_holds_is_out_of_reach() {
    let trap = Trap::new();
    let repository = trap.repository();
    let folder = trap.world.path("").display().to_string();
    let folder = folder.trim_end_matches('/');
    let address = free_address();
    let mut script = "mkdir out\n".to_owned();
    for (number, attempt) in ATTEMPTS.iter().enumerate() {
        let command = attempt
            .replace("WORLD", folder)
            .replace("PORT", &address.port().to_string());
        repository.write(&format!("attempts/{number}.sh"), command + "\n");
        script += &format!(
            "bash attempts/{number}.sh > /tmp/said 2>&1 && echo 'worked: {number}' | tee -a out/x.txt && cat /tmp/said\n"
        );
    }
    script += "echo done >> out/x.txt\n";
    repository.write("build.sh", script);
    repository.write("world-path", folder);
    repository.commit("first");
    repository.tag("v1");
    trap.world.write("p/x.txt", "done\n");
    trap.world
        .configure_with(&format!("listen: {address}"), super::ENTRY);
    let configuration = trap.world.path("countersign.yaml").display().to_string();
    let mut command = trap.world.command(["daemon", "--config", &configuration]);
    let daemon = Daemon::start(command.env("CANARY_OF_THE_HOST", "1"), address);

    let verdict = until("a verdict", || {
        let release = daemon.releases().into_iter().next()?;
        release["artifacts"][0]["verdict"]
            .as_str()
            .map(str::to_owned)
    });
    for (number, attempt) in ATTEMPTS.iter().enumerate() {
        // its own file, because bash would leave a last command's arguments in nobody's view
        let control = ran(Command::new("bash")
            .arg(format!("attempts/{number}.sh"))
            .current_dir(&repository.path)
            .env("CANARY_OF_THE_HOST", "1")
            .stdin(Stdio::null()));
        assert_eq!(
            control.code,
            Some(0),
            "control arm: {attempt}: {control:#?}"
        );
    }
    drop(daemon);
    trap.quiet("the daemon");
    let logs = ran(Command::new("grep")
        .args(["-rah", "-A3", "worked: "])
        .arg(trap.world.path("data/blobs")));
    assert_eq!(logs.stdout, "", "these attempts worked");
    assert_eq!(verdict, "reproduced");
}

/// A build is not told what was published: not the bytes, not the digest, not where they are.
#[test]
fn what_was_published_is_nowhere_in_view() {
    let trap = Trap::new();
    let repository = trap.repository();
    // everything that the build can read below a folder, its environment, and every process
    repository.write(
        "build.sh",
        "mkdir -p out \"${2:-/tmp}/dump\"; dump=${2:-/tmp}/dump/all; cd \"${1:-/}\"\n\
         { env; id; ls -lR . 2>/dev/null | head -c 200000000\n\
         cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/self/mountinfo /proc/self/status /proc/self/fdinfo/*\n\
         find . \\( -path ./proc -o -path ./usr -o -path ./sys -o -path ./dev -o -path ./toolchains -o -path ./tmp/dump \\) -prune \
         -o -type f -size -2000k -exec cat {} +\n} > \"$dump\" 2>/dev/null\nmv \"$dump\" \"${2:-/build/source}/out/x.txt\"\n",
    );
    repository.commit("first");
    repository.tag("v1");
    let marker = format!("published-{:x}", std::process::id());
    let published = trap.world.write("published/x.txt", &marker);
    trap.world.write("build.yaml", RECIPE);
    let digests = Digests::of(marker.as_bytes());
    let secrets = [
        marker.clone(),
        digests.sha256.to_string(),
        digests.sha512.to_string(),
        trap.world.path("").display().to_string(),
    ];
    trap.world.write("published/x.txt.sums", secrets.join("\n"));

    let outside = trap.world.path("published").display().to_string();
    fs::create_dir_all(trap.world.path("control/out")).expect("a folder");
    let mut control = Command::new("sh");
    control.current_dir(trap.world.path("control"));
    control
        .arg(repository.path.join("build.sh"))
        .arg(&outside)
        .arg(trap.world.path("control"));
    let _ = ran(&mut control).expect(0);
    let dump = fs::read(trap.world.path("control/out/x.txt")).expect("a dump");
    let holds = |dump: &[u8], text: &str| {
        dump.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    for secret in &secrets {
        assert!(holds(&dump, secret), "control arm: {secret} is not found");
    }

    let json = trap
        .rebuild(
            &published.display().to_string(),
            "build.yaml",
            &["--format", "json"],
        )
        .json();
    let dump = trap.rebuilt(&json);
    for seen in [
        "SOURCE_DATE_EPOCH=",
        "build.sh",
        "uid=",
        "nr_inodes",
        "NoNewPrivs",
    ] {
        assert!(
            holds(&dump, seen),
            "{seen} is not in the dump: it does not see what it should"
        );
    }
    for secret in &secrets {
        assert!(
            !holds(&dump, secret.trim_end_matches('/')),
            "the build saw {secret}"
        );
    }
    assert!(!holds(&dump, "PRIVATE KEY"));
}

#[test]
fn processes_of_a_build_end_with_it() {
    let trap = Trap::new();
    let repository = trap.repository();
    let marker = format!("86399.{}", std::process::id());
    let leave = format!(
        "(trap '' HUP TERM INT; setsid nohup sleep {marker} > /dev/null 2>&1 &)\nsetsid sleep {marker} < /dev/null > /dev/null 2>&1 &\n"
    );
    repository.write(
        "build.sh",
        format!("mkdir out\n{leave}echo built > out/x.txt\n"),
    );
    repository.commit("first");
    repository.tag("v1");
    trap.world.write("build.yaml", RECIPE);
    trap.world.write("p/x.txt", "built\n");
    let _ = ran(Command::new("sh").args(["-c", &leave])).expect(0);
    let left = until("two processes", || {
        let left = processes_with(&format!("sleep {marker}"));
        (left.len() == 2).then_some(left)
    });
    for pid in &left {
        let _ = ran(Command::new("kill").args(["-9", &pid.to_string()])).expect(0);
    }
    until("their end", || {
        processes_with(&format!("sleep {marker}"))
            .is_empty()
            .then_some(())
    });
    trap.check("p/x.txt", "build.yaml", 0, "reproduced", None);
    assert_eq!(processes_with(&marker), [0; 0]);
}

/// Violence is an outcome of the build, never a fault of ours.
#[test]
fn violence_ends_the_build_and_nothing_else() {
    let trap = Trap::new();
    let repository = trap.repository();
    trap.world.write("build.yaml", RECIPE);
    // what never ends is not waited for long; what does may take its time on a busy machine
    trap.world.write("short.yaml", RECIPE.replace("600", "3"));
    trap.world.write("p/x.txt", "built\n");
    let canary = trap.canary().display().to_string();
    for (script, code, verdict, reason) in [
        // its parent is the sandbox's first process, which signals do not reach
        (
            "kill -9 1; kill -STOP 1; kill -9 $PPID; sleep 0.1; echo built > out/x.txt",
            0,
            "reproduced",
            None,
        ),
        (
            "(kill -9 -1); exec sleep 9",
            3,
            "build-failed",
            Some("step-failed"),
        ),
        ("kill -9 $$", 3, "build-failed", Some("step-failed")),
        ("exit 7", 3, "build-failed", Some("step-failed")),
        ("kill -STOP $$", 3, "build-failed", Some("timed-out")),
        (
            "touch CANARY /usr/canary /etc/canary /canary; echo built > out/x.txt",
            0,
            "reproduced",
            None,
        ),
        (
            "rm -rf --no-preserve-root / 2>/dev/null; echo built > out/x.txt",
            3,
            "build-failed",
            Some("step-failed"),
        ),
        (
            "ln -s /etc/passwd out/x.txt",
            3,
            "build-failed",
            Some("output-rejected"),
        ),
        (
            "mkfifo out/x.txt",
            3,
            "build-failed",
            Some("output-rejected"),
        ),
        (
            "mkdir out/x.txt",
            3,
            "build-failed",
            Some("output-rejected"),
        ),
        (
            "rmdir out; ln -s /etc out; ln -s /etc/passwd x.txt",
            3,
            "build-failed",
            Some("output-rejected"),
        ),
        (
            "ln /etc/passwd out/x.txt || exit 0",
            3,
            "build-failed",
            Some("output-missing"),
        ),
    ] {
        repository.write(
            "build.sh",
            format!("mkdir out\n{}\n", script.replace("CANARY", &canary)),
        );
        repository.commit("again");
        repository.git(&["tag", "-f", "v1"]);
        println!("{script}");
        let recipe = match reason {
            Some("timed-out") => "short.yaml",
            _ => "build.yaml",
        };
        trap.check("p/x.txt", recipe, code, verdict, reason);
    }
    for path in ["/usr/canary", "/etc/canary", "/canary"] {
        assert!(fs::symlink_metadata(path).is_err(), "{path}");
    }
}
