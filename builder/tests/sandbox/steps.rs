//! How steps start, end and are limited.

use std::process::Command;

use countersign_attest::digest::Sha256;
use countersign_builder::outcome::Ended;

use crate::bench::{Bench, shown};
use crate::{Case, ensure};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("exit codes and the step that failed are told", exit_codes),
    ("a signal is told apart from an exit code", signals),
    (
        "a program that is not there is not an exit code",
        not_started,
    ),
    (
        "steps run in the named folder, never through a link",
        folders,
    ),
    ("the source has fixed times, modes and owner", source),
    ("the time limit ends everything", time_limit),
    ("a log flood is capped and does not hang", log_flood),
    ("the log's digest is of what arrived", log_digest),
    ("disk, inodes, file size and processes are limited", limits),
    ("a source that does not fit is a fault", does_not_fit),
    ("another source than the plan's is a fault", other_source),
    ("a host id range that could hold users is refused", id_range),
    ("a plan that leaves its tree is refused", hostile_plan),
    (
        "a caller with less priority starts sandboxes",
        less_priority,
    ),
    (
        "a missing toolchain is a fault that names it",
        missing_toolchain,
    ),
];

fn less_priority(bench: &Bench) -> Result<(), String> {
    let output = Command::new("nice")
        .args(["-n", "5"])
        .arg(&bench.binary)
        .arg("seen")
        .output()
        .map_err(|e| e.to_string())?;
    let seen = String::from_utf8_lossy(&output.stdout);
    let kept = seen.split("== scheduling\n").nth(1).unwrap_or_default();
    ensure!(output.status.success() && kept.starts_with("5\n"), "{seen}");
    Ok(())
}

fn ended(bench: &Bench, steps: &[&[&str]]) -> Result<Ended, String> {
    Ok(bench.replay(steps, |_| ())?.outcome.ended)
}

fn exit_codes(bench: &Bench) -> Result<(), String> {
    for code in [1, 2, 127, 255] {
        let exit = format!("exit {code}");
        let found = ended(bench, &[&["true"], &["sh", "-c", &exit], &["false"]])?;
        ensure!(
            found == Ended::Exited { step: 1, code },
            "{code}: {found:?}"
        );
    }
    ensure!(
        ended(bench, &[&["true"], &["./run.sh"]])? == Ended::Completed,
        "success"
    );
    ensure!(ended(bench, &[])? == Ended::Completed, "no steps");
    Ok(())
}

fn signals(bench: &Bench) -> Result<(), String> {
    for (name, signal) in [("KILL", 9), ("SEGV", 11), ("PIPE", 13), ("TERM", 15)] {
        let kill = format!("kill -{name} $$");
        let found = ended(bench, &[&["sh", "-c", &kill]])?;
        ensure!(
            found == Ended::Signalled { step: 0, signal },
            "{name}: {found:?}"
        );
    }
    Ok(())
}

fn not_started(bench: &Bench) -> Result<(), String> {
    for (program, cause) in [
        ("no-such-program", "No such file"),
        ("./a", "Permission denied"),
        ("./sub", "Permission denied"),
        ("/etc/shadow", "No such file"),
    ] {
        match ended(bench, &[&["true"], &[program]])? {
            Ended::NotStarted { step: 1, message } => {
                ensure!(message.contains(cause), "{program}: {message}");
            }
            other => return Err(format!("{program}: {other:?}")),
        }
    }
    let shell = ended(bench, &[&["sh", "-c", "exit 127"]])?;
    ensure!(shell == Ended::Exited { step: 0, code: 127 }, "{shell:?}");
    Ok(())
}

fn folders(bench: &Bench) -> Result<(), String> {
    let tree = bench.tree();
    std::os::unix::fs::symlink("sub", tree.path().join("alias")).map_err(|e| e.to_string())?;
    let run = |subdir: &str| {
        let subdir = subdir.to_owned();
        let change = |r: &mut countersign_builder::child::ReplayRequest| {
            r.plan.candidate.subdir = subdir;
        };
        bench
            .replay_tree(tree.path(), &[&["pwd"]], change, &mut |_| ())
            .map_err(shown)
    };
    ensure!(
        run("sub")?.log == "/build/source/sub\n",
        "sub: {}",
        run("sub")?.log
    );
    for subdir in ["alias", "a", "absent", "alias/x"] {
        let found = run(subdir)?.outcome.ended;
        ensure!(
            matches!(found, Ended::NotStarted { step: 0, .. }),
            "{subdir}: {found:?}"
        );
    }
    Ok(())
}

fn source(bench: &Bench) -> Result<(), String> {
    let seen = bench.script("stat -c '%n %a %u %Y %F' . a run.sh sub sub/inner; stat -c %Y link; readlink link; cat a sub/inner", |_| ())?;
    let epoch = crate::bench::EPOCH;
    let expected = format!(
        ". 755 1000 {epoch} directory\na 644 1000 {epoch} regular file\n\
         run.sh 755 1000 {epoch} regular file\nsub 755 1000 {epoch} directory\n\
         sub/inner 644 1000 {epoch} regular file\n{epoch}\n/etc/shadow\nasub/inner"
    );
    ensure!(seen.log == expected, "{}", seen.log);
    Ok(())
}

fn time_limit(bench: &Bench) -> Result<(), String> {
    let started = std::time::Instant::now();
    let steps: [&[&str]; 2] = [&["true"], &["sh", "-c", "trap '' TERM; sleep 500"]];
    let run = bench.replay(&steps, |r| r.plan.candidate.limits.time_seconds = 1)?;
    ensure!(
        run.outcome.ended == Ended::TimedOut { step: 1 },
        "{:?}",
        run.outcome.ended
    );
    let took = started.elapsed().as_millis();
    ensure!((1000..5000).contains(&took), "took {took} ms");
    ensure!(
        (1000..5000).contains(&run.outcome.duration_ms),
        "{}",
        run.outcome.duration_ms
    );
    Ok(())
}

fn log_flood(bench: &Bench) -> Result<(), String> {
    let flood = "head -c 20000000 /dev/zero; echo end";
    let run = bench.script(flood, |r| r.plan.candidate.limits.log_bytes = 1000)?;
    let log = run.outcome.log;
    ensure!(
        run.outcome.ended == Ended::Completed,
        "{:?}",
        run.outcome.ended
    );
    ensure!(
        (log.size_bytes, log.dropped_bytes) == (1000, 19_999_004),
        "{log:?}"
    );
    let whole = bench.script(flood, |_| ())?.outcome.log;
    ensure!(
        (whole.size_bytes, whole.dropped_bytes) == (20_000_004, 0),
        "{whole:?}"
    );
    Ok(())
}

fn log_digest(bench: &Bench) -> Result<(), String> {
    let run = bench.script("echo out; echo err >&2; printf '\\033[31m\\377'", |_| ())?;
    let digest = Sha256::of(b"out\nerr\n\x1b[31m\xff");
    ensure!(run.outcome.log.sha256 == digest, "{:?}", run.log);
    Ok(())
}

fn limits(bench: &Bench) -> Result<(), String> {
    let fill =
        |path: &str| format!("head -c 100000000 /dev/zero > {path}/fill; wc -c < {path}/fill");
    for path in ["/build", "/tmp"] {
        let seen = bench.script(&fill(path), |_| ())?.log;
        ensure!(seen.contains("No space left"), "{path}: {seen}");
    }
    let seen = bench
        .script(
            "i=0; while : > /build/f$i; do i=$((i+1)); done; echo $i",
            |_| (),
        )?
        .log;
    ensure!(seen.contains("No space left"), "inodes: {seen}");
    let small = |r: &mut countersign_builder::child::ReplayRequest| {
        r.plan.candidate.limits.file_bytes = 1 << 20;
    };
    let file = "truncate -s 1E /build/x; echo $?; head -c 2000000 /dev/zero > /build/y";
    let seen = bench.script(file, small)?;
    ensure!(
        seen.outcome.ended != Ended::Completed,
        "file size: {}",
        seen.log
    );
    let processes = "i=0; while [ $i -lt 200 ]; do sleep 30 & i=$((i+1)); done; echo all";
    let seen = bench.script(processes, |_| ())?;
    ensure!(
        !seen.log.contains("all"),
        "200 processes with a limit of 64: {}",
        seen.log
    );
    let seen = bench.script(&processes.replace("200", "20"), |_| ())?;
    ensure!(
        seen.log.contains("all"),
        "20 processes with a limit of 64: {}",
        seen.log
    );
    Ok(())
}

fn fault(
    bench: &Bench,
    change: impl FnOnce(&mut countersign_builder::child::ReplayRequest),
    expected: &[&str],
) -> Result<(), String> {
    match bench.replay(&[&["true"]], change) {
        Ok(run) => Err(format!("no fault: {:?}", run.outcome.ended)),
        Err(text) => {
            for part in expected {
                ensure!(text.contains(part), "{part:?} is not in {text:?}");
            }
            Ok(())
        }
    }
}

fn does_not_fit(bench: &Bench) -> Result<(), String> {
    let tree = bench.tree();
    std::fs::write(tree.path().join("big\n"), vec![0; 1 << 20]).map_err(|e| e.to_string())?;
    let run = |bytes| {
        let change = |r: &mut countersign_builder::child::ReplayRequest| {
            r.plan.candidate.limits.disk_bytes = bytes;
        };
        bench
            .replay_tree(tree.path(), &[&["true"]], change, &mut |_| ())
            .map_err(shown)
    };
    ensure!(
        run(4 << 20)?.outcome.ended == Ended::Completed,
        "4 MiB is enough"
    );
    let Err(text) = run(512 << 10) else {
        return Err("1 MiB went into 512 KiB".into());
    };
    for part in ["big\\n", "disk_bytes", "No space left"] {
        ensure!(text.contains(part), "{part:?} is not in {text:?}");
    }
    Ok(())
}

fn other_source(bench: &Bench) -> Result<(), String> {
    let other = |r: &mut countersign_builder::child::ReplayRequest| {
        r.plan.source.tree_sha256 = Sha256::of(b"another tree");
    };
    fault(bench, other, &["source tree", "export the source again"])
}

fn id_range(bench: &Bench) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        // an ordinary user chooses nothing: the system lends a range, or there is the one id
        let run = bench.replay(&[&["true"]], |r| r.id_base = 0)?;
        ensure!(
            run.outcome.environment.id_mode != countersign_builder::outcome::IdMode::RootRange,
            "{:?}",
            run.outcome.environment
        );
        return Ok(());
    }
    for base in [0, 1, 65_535, u32::MAX - 100] {
        fault(bench, |r| r.id_base = base, &["host ids", "65536"])?;
    }
    let run = bench.replay(&[&["true"]], |r| r.id_base = 65_536)?;
    ensure!(
        run.outcome.environment.id_mode == countersign_builder::outcome::IdMode::RootRange,
        "{:?}",
        run.outcome.environment
    );
    Ok(())
}

fn hostile_plan(bench: &Bench) -> Result<(), String> {
    fault(
        bench,
        |r| r.plan.candidate.subdir = "../..".into(),
        &["leaves the source tree"],
    )?;
    fault(
        bench,
        |r| crate::bench::outputs(r, &["../../etc/passwd"]),
        &["leaves the source tree"],
    )
}

fn missing_toolchain(bench: &Bench) -> Result<(), String> {
    let missing = "/no-such-toolchain".to_owned();
    fault(
        bench,
        |r| r.toolchains.push(missing),
        &["/no-such-toolchain", "No such file"],
    )
}
