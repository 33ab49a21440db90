//! What reaches for others: another build, the host that started it, whoever reads its log.

use std::fs;
use std::io::Read as _;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use countersign_builder::outcome::Ended;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::geteuid;

use crate::bench::{Bench, HOSTILE, shown};
use crate::controls::Control;
use crate::{Case, ensure};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("hostile: two builds at once share nothing", at_once),
    ("hostile: a name server of the host", name_server),
    ("hostile: secrets in the caller's environment", environment),
    ("hostile: paths of the host in what /proc tells", paths),
    ("hostile: killing and outliving", killing),
    ("hostile: set-user-id programs of the environment", programs),
    ("hostile: bytes to every descriptor", descriptors),
    ("hostile: every way to end", endings),
    ("hostile: spinning past the time", spinning),
    ("hostile: programs without a file", memory_file),
    ("hostile: processes are ended by descriptor", by_descriptor),
    ("hostile: sandboxes started at once leave nothing", starts),
];

/// While one build holds something, another looks for it.
fn at_once(bench: &Bench) -> Result<(), String> {
    let own = std::process::id();
    let (key, queue) = (
        format!("{}", 0x4353_0000 + u64::from(own)),
        format!("/countersign-{own}"),
    );
    let (name, file) = (format!("countersign-build-{own}"), "/tmp/of-the-first");
    let make: [(u32, Vec<&str>, Vec<&str>); 4] = [
        (68, vec!["shm-make", &key], vec!["shm-find", &key]),
        (68, vec!["mq-make", &queue], vec!["mq-find", &queue]),
        (
            39,
            vec!["listen-abstract", &name],
            vec!["connect-abstract", &name],
        ),
        (73, vec!["create", file], vec!["read", file]),
    ];
    // control arm: outside, one process finds what another has made
    for act in [&make[0].1, &make[1].1] {
        bench
            .hostile_outside(act)
            .map_err(|e| format!("control arm {act:?}: {e}"))?;
    }
    let found: Vec<Result<(), String>> = [&make[0].2, &make[1].2]
        .map(|act| bench.hostile_outside(act))
        .into();
    for act in [["shm-remove", &key], ["mq-remove", &queue]] {
        bench.hostile_outside(&act)?;
    }
    for result in found {
        result.map_err(|e| format!("control arm: {e}"))?;
    }
    // and in one sandbox, one step finds what an earlier one has left running or lying
    let first = format!(
        "hostile shm-make {key} && hostile mq-make {queue} && : > {file} && hostile hold-abstract {name}"
    );
    let second = format!(
        "hostile shm-find {key} && hostile mq-find {queue} && hostile connect-abstract {name} && \
         test -e {file} && echo found"
    );
    let together = bench.script(&format!("{first} && {second}"), |_| ())?;
    ensure!(together.log == "found\n", "control arm: {}", together.log);
    let hold = format!("{first} && echo up && sleep 4");
    let mut told = None;
    let tree = bench.tree();
    let ran = bench.replay_tree(tree.path(), &[&["sh", "-c", &hold]], |_| (), &mut |log| {
        if told.is_none() && log.ends_with(b"up\n") {
            let look = format!(
                "for act in 'shm-find {key}' 'mq-find {queue}' 'connect-abstract {name}'; do \
                 hostile $act && echo reached; done; test -e {file} && echo reached; \
                 ls -d /proc/[0-9]* | wc -l; kill -9 -1; true"
            );
            told = Some(bench.script(&look, |_| ()));
        }
    });
    ensure!(
        ran.map_err(shown)?.outcome.ended == Ended::Completed,
        "the first was killed"
    );
    let second = told.ok_or("the first never was up")??;
    ensure!(!second.log.contains("reached"), "{}", second.log);
    for (number, act) in [(68, "shm"), (68, "mqueue"), (39, "abstract"), (73, "/tmp")] {
        bench.shown.tell(number, act, Control::Outside);
    }
    bench.shown.tell(73, "kill -9 -1", Control::Outside);
    Ok(())
}

fn name_server(bench: &Bench) -> Result<(), String> {
    let server = UdpSocket::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = server.local_addr().map_err(|e| e.to_string())?;
    server
        .set_read_timeout(Some(Duration::from_secs(20)))
        .map_err(|e| e.to_string())?;
    let answering = std::thread::spawn(move || {
        let mut question = [0; 64];
        while let Ok((length, peer)) = server.recv_from(&mut question) {
            let _ = server.send_to(&question[..length], peer); // one that has gone needs no answer
            if length == 1 {
                return;
            }
        }
    });
    let port = address.port().to_string();
    let ask = ["ask", "127.0.0.1", port.as_str()];
    let outside = bench.hostile_outside(&ask);
    let inside = bench.hostile(&ask, None, |_| ())?;
    let _ = UdpSocket::bind("127.0.0.1:0").and_then(|end| end.send_to(b".", address));
    let _ = answering.join(); // ended by the byte, or by its time
    outside.map_err(|e| format!("control arm: {e}"))?;
    ensure!(
        inside.is_err_and(|e| e.contains("refused")),
        "an answer inside"
    );
    bench.shown.tell(36, "ask", Control::Outside);
    let started = Instant::now();
    let resolved = bench.hostile(&["resolve", "example.org"], None, |_| ())?;
    ensure!(resolved.is_err(), "a name was resolved");
    ensure!(
        started.elapsed() < Duration::from_secs(30),
        "resolving hangs"
    );
    Ok(())
}

/// Runs as another caller, with a secret in its environment: prints what a build sees of it.
pub(crate) fn with_secret(arguments: &[String]) -> std::process::ExitCode {
    let script = "env; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'";
    let _ = arguments;
    match Bench::new().script(script, |_| ()) {
        Ok(run) => {
            println!("{}", run.log);
            std::process::ExitCode::SUCCESS
        }
        Err(problem) => {
            println!("{problem}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn environment(bench: &Bench) -> Result<(), String> {
    let secret = "hunter2-of-the-daemon";
    let run = |program: &mut Command| {
        let output = program.env("COUNTERSIGN_SECRET", secret).output();
        output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .map_err(|e| e.to_string())
    };
    let control = run(Command::new("sh").args(["-c", "env"]))?;
    ensure!(control.contains(secret), "control arm: {control}");
    let seen = run(Command::new(&bench.binary)
        .arg("with-secret")
        .env("TMPDIR", bench.scratch.path()))?;
    ensure!(
        seen.contains("LOGNAME=build") && !seen.contains(secret),
        "{seen}"
    );
    bench.shown.tell(42, "env", Control::Outside);
    Ok(())
}

fn paths(bench: &Bench) -> Result<(), String> {
    let own = fs::read_to_string("/proc/self/mountinfo").map_err(|e| e.to_string())?;
    let device = own
        .lines()
        .filter_map(|line| line.split(" - ").nth(1))
        .find(|rest| rest.contains("/dev/"));
    let tell =
        "tr '\\0' ' ' < /proc/1/cmdline; cat /proc/1/comm /proc/self/mountinfo /proc/self/cgroup";
    let seen = bench.script(tell, |_| ())?.log;
    let first = seen.lines().next().unwrap_or_default();
    ensure!(!first.contains('/'), "/proc/1 says {first}");
    let line = fs::read("/proc/self/cmdline").map_err(|e| e.to_string())?;
    ensure!(
        line.contains(&b'/'),
        "control arm: no path in this process's own command line"
    );
    bench.shown.tell(43, "/proc/1/cmdline", Control::Outside);
    // roots of what is shown of the host stand in mountinfo: only of folders that the operator names
    let scratch = bench.scratch.path().display().to_string();
    for line in seen.lines().filter(|line| line.contains(&scratch)) {
        ensure!(line.contains(" /toolchains/"), "a path of the host: {line}");
    }
    ensure!(
        !seen.contains("/tmp/countersign") || seen.contains("/toolchains/"),
        "{seen}"
    );
    let control = match device {
        Some(_) => Control::Outside,
        None => Control::No("this host mounts no disk of its own".into()),
    };
    bench.shown.tell(44, "mountinfo", control);
    Ok(())
}

fn killing(bench: &Bench) -> Result<(), String> {
    bench
        .hostile_outside(&["kill-child"])
        .map_err(|e| format!("control arm: {e}"))?;
    let seen = bench.script("kill -9 1; echo alive; kill -9 -1; echo killed", |_| ())?;
    ensure!(seen.log.starts_with("alive\n"), "{}", seen.log);
    bench.shown.tell(33, "kill 1", Control::Outside);
    let launcher = bench.script("ls -d /proc/[0-9]* | wc -l", |_| ())?.log;
    ensure!(
        launcher.trim().parse::<u32>().is_ok_and(|count| count < 8),
        "{launcher}"
    );
    bench
        .shown
        .tell(34, "the launcher is not in view", Control::Outside);
    // outside, a process that leaves its session outlives its parent, and holds its output open
    let script = "setsid sleep 1 & echo $!";
    let started = Instant::now();
    let mut child = Command::new("sh")
        .args(["-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    child.wait().map_err(|e| e.to_string())?;
    let mut said = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut said).map_err(|e| e.to_string())?;
    }
    ensure!(
        started.elapsed() >= Duration::from_secs(1),
        "control arm: the output of a dead shell ended before its child"
    );
    for (number, act) in [(26, "setsid"), (27, "holding the log")] {
        bench.shown.tell(number, act, Control::Outside);
    }
    // many processes: all of them outside, not all inside, and none left
    bench
        .hostile_outside(&["many", "200"])
        .map_err(|e| format!("control arm: {e}"))?;
    let many = bench.hostile(&["many", "200"], None, |_| ())?;
    ensure!(many.is_err(), "200 processes with a limit of 64");
    bench.shown.tell(25, "many", Control::Outside);
    Ok(())
}

fn programs(bench: &Bench) -> Result<(), String> {
    let inside = bench.hostile(&["euid"], None, |_| ())?;
    ensure!(inside == Err("1000".into()), "{inside:?}");
    if !geteuid().is_root() {
        let reason = "only root can make a program that makes others root";
        bench.shown.tell(54, "euid", Control::No(reason.into()));
        return Ok(());
    }
    let program = bench.toolchain_bin().join("suid-hostile");
    fs::copy(bench.toolchain_bin().join(HOSTILE), &program).map_err(|e| e.to_string())?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).map_err(|e| e.to_string())?;
    // the folders above are the test's own and private: another user gets there by descriptor
    let folder = fs::File::open(bench.toolchain_bin()).map_err(|e| e.to_string())?;
    fcntl(&folder, FcntlArg::F_SETFD(FdFlag::empty())).map_err(|e| e.to_string())?;
    let by = format!("/proc/self/fd/{}/suid-hostile", folder.as_raw_fd());
    let outside = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            &by,
            "euid",
        ])
        .output()
        .map_err(|e| e.to_string())?;
    let run = bench.replay(&[&["suid-hostile", "euid"]], |_| ());
    let _ = fs::remove_file(&program);
    let run = run?;
    ensure!(run.log.trim() == "1000", "inside: {}", run.log);
    let control = if outside.status.success() {
        Control::Outside
    } else {
        Control::No("the test's folder does not honour the bit".into())
    };
    bench.shown.tell(54, "euid", control);
    Ok(())
}

fn descriptors(bench: &Bench) -> Result<(), String> {
    // outside, an inherited descriptor hears it
    let (mut hears, told) = std::io::pipe().map_err(|e| e.to_string())?;
    fcntl(&told, FcntlArg::F_SETFD(FdFlag::empty())).map_err(|e| e.to_string())?;
    let outside = bench.hostile_outside(&["to-every-descriptor"]);
    drop(OwnedFd::from(told));
    let mut heard = Vec::new();
    hears.read_to_end(&mut heard).map_err(|e| e.to_string())?;
    outside.map_err(|e| format!("control arm: {e}"))?;
    ensure!(heard.starts_with(b"J"), "control arm: nothing was heard");
    let run = bench.replay(&[&[HOSTILE, "to-every-descriptor"]], |_| ())?;
    ensure!(
        run.outcome.ended == Ended::Exited { step: 0, code: 1 },
        "{:?}",
        run.outcome.ended
    );
    ensure!(
        run.log.contains("finished"),
        "its bytes are log, and no more: {}",
        run.log
    );
    bench
        .shown
        .tell(60, "to-every-descriptor", Control::Outside);
    Ok(())
}

fn endings(bench: &Bench) -> Result<(), String> {
    let all = crate::count("COUNTERSIGN_ENDINGS", 8);
    let codes = [0, 1, 2, 42, 125, 126, 127, 255];
    let codes: Vec<i32> = if all > 8 {
        (0..256).collect()
    } else {
        codes.into()
    };
    for code in codes {
        let run = bench.script(&format!("(sleep 300 &) ; exit {code}"), |_| ())?;
        let expected = match code {
            0 => Ended::Completed,
            code => Ended::Exited { step: 0, code },
        };
        ensure!(
            run.outcome.ended == expected,
            "{code}: {:?}",
            run.outcome.ended
        );
    }
    for signal in [
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 31, 34, 64,
    ] {
        let number = signal.to_string();
        let run = bench.replay(&[&[HOSTILE, "raise", &number]], |_| ())?;
        ensure!(
            run.outcome.ended == Ended::Signalled { step: 0, signal },
            "{signal}: {:?}",
            run.outcome.ended
        );
    }
    bench.shown.tell(59, "exit and raise", Control::Outside);
    Ok(())
}

fn spinning(bench: &Bench) -> Result<(), String> {
    let run = bench.script("while :; do :; done", |request| {
        request.plan.candidate.limits.time_seconds = 1;
    })?;
    ensure!(
        run.outcome.ended == Ended::TimedOut { step: 0 },
        "{:?}",
        run.outcome.ended
    );
    let spin = "timeout 1.2 sh -c 'while :; do :; done'; echo over";
    let longer = bench.script(spin, |_| ())?;
    ensure!(longer.log == "over\n", "control arm: {}", longer.log);
    bench
        .shown
        .tell(30, "spin", Control::Without("the limit raised"));
    Ok(())
}

/// Allowed: such a program is no more than one with a file, and has the same walls.
fn memory_file(bench: &Bench) -> Result<(), String> {
    bench.hostile_outside(&["memfd-exec"])?;
    bench.hostile(&["memfd-exec"], None, |_| ())??;
    bench
        .shown
        .tell(66, "memfd-exec (allowed)", Control::Outside);
    Ok(())
}

/// A number can come to mean another process; a descriptor cannot.
fn by_descriptor(bench: &Bench) -> Result<(), String> {
    for (file, text) in [
        ("launch.rs", include_str!("../../../src/sandbox/launch.rs")),
        ("watch.rs", include_str!("../../../src/sandbox/watch.rs")),
        ("process.rs", include_str!("../../../src/child/process.rs")),
    ] {
        for by_number in ["signal::kill", "libc::kill", "killpg"] {
            ensure!(!text.contains(by_number), "{file} has {by_number}");
        }
    }
    let reason = "that a number is used again cannot be forced";
    bench
        .shown
        .tell(65, "kill by number", Control::No(reason.into()));
    Ok(())
}

fn starts(bench: &Bench) -> Result<(), String> {
    let count = crate::count("COUNTERSIGN_SANDBOXES", 12);
    let before = crate::left::Machine::now()?;
    let threads = 4;
    let problems: Vec<String> = std::thread::scope(|scope| {
        let starters: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let one = || bench.script("echo ran", |_| ()).map(|run| run.log);
                    (0..count / threads)
                        .map(|_| one())
                        .filter_map(|ran| (ran != Ok("ran\n".into())).then(|| format!("{ran:?}")))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let join = |starter: std::thread::ScopedJoinHandle<'_, Vec<String>>| {
            starter.join().unwrap_or_else(|_| vec!["a panic".into()])
        };
        starters.into_iter().flat_map(join).collect()
    });
    ensure!(problems.is_empty(), "{problems:?}");
    before.compare()?;
    println!("        {count} sandboxes started by {threads} threads at once left nothing");
    let reason = "what is left is seen on the machine itself";
    bench.shown.tell(69, "starts", Control::No(reason.into()));
    Ok(())
}
