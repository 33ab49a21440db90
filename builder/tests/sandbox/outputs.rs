//! What is collected, and what is refused.

use std::fs;
use std::io::{self, Write};
use std::sync::atomic::AtomicBool;

use countersign_attest::digest::{Digests, Sha256};
use countersign_attest::time::Timestamp;
use countersign_builder::child::{ReplayCall, ReplaySink, replay};
use countersign_builder::outcome::{Ended, EnvironmentFound};

use crate::bench::{Bench, Replayed, outputs};
use crate::{Case, ensure};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("declared files arrive whole, sorted, digested here", arrive),
    ("only what is declared is collected", only_declared),
    ("files that the build made unreadable are read", unreadable),
    ("links, pipes, sockets and folders are refused", kinds),
    ("links on the way are not followed", links_on_the_way),
    ("names that cannot be attested are refused", names),
    ("number and size of outputs are limited", limited),
    ("the collector is nobody on the host", collector),
    ("a pattern without a match is told", missing),
    ("a failed build yields nothing", failed),
    ("two replays of a deterministic build agree", deterministic),
    ("file order of the second profile shows", order),
];

fn make(bench: &Bench, script: &str, patterns: &[&str]) -> Result<Replayed, String> {
    bench.script(script, |request| outputs(request, patterns))
}

fn rejected(bench: &Bench, script: &str, pattern: &str, expected: &str) -> Result<(), String> {
    let run = make(bench, script, &[pattern])?;
    match run.outcome.ended {
        Ended::OutputRejected { message } if message.contains(expected) => {
            ensure!(
                run.outcome.outputs.is_empty(),
                "{script}: something was collected"
            );
            Ok(())
        }
        other => Err(format!(
            "{script}: {other:?}, not {expected:?}: {}",
            run.log
        )),
    }
}

fn arrive(bench: &Bench) -> Result<(), String> {
    let script = "mkdir dist; printf two > dist/2.tgz; printf one > dist/1.tgz; : > empty; \
                  head -c 3000000 /dev/zero > big; printf no > dist/1.tgz.asc";
    let run = make(bench, script, &["empty", "dist/*.tgz", "big", "dist/1.*z"])?;
    ensure!(
        run.outcome.ended == Ended::Completed,
        "{:?}",
        run.outcome.ended
    );
    let paths: Vec<&str> = run
        .outcome
        .outputs
        .iter()
        .map(|o| o.path.as_str())
        .collect();
    ensure!(
        paths == ["big", "dist/1.tgz", "dist/2.tgz", "empty"],
        "{paths:?}"
    );
    for output in &run.outcome.outputs {
        let bytes = run.outputs.get(&output.path).cloned().unwrap_or_default();
        ensure!(Digests::of(&bytes) == output.digests, "{}", output.path);
    }
    ensure!(run.outputs["big"] == vec![0; 3_000_000], "big");
    ensure!(run.outputs["dist/1.tgz"] == b"one", "dist/1.tgz");
    Ok(())
}

fn only_declared(bench: &Bench) -> Result<(), String> {
    let run = make(
        bench,
        "echo x > out; echo y > other; echo z > /tmp/out",
        &["out"],
    )?;
    let paths: Vec<&String> = run.outputs.keys().collect();
    ensure!(
        paths == ["out"] && run.outputs["out"] == b"x\n",
        "{paths:?}"
    );
    let inner = bench.script("echo x > out; echo y > ../out", |request| {
        request.plan.candidate.subdir = "sub".into();
        outputs(request, &["out"]);
    })?;
    ensure!(inner.outputs["out"] == b"x\n", "the folder of the steps");
    Ok(())
}

fn unreadable(bench: &Bench) -> Result<(), String> {
    let run = make(
        bench,
        "mkdir d; echo x > d/out; chmod 0 d/out d",
        &["d/out"],
    )?;
    ensure!(
        run.outcome.ended == Ended::Completed,
        "{:?}",
        run.outcome.ended
    );
    ensure!(run.outputs["d/out"] == b"x\n", "{:?}", run.outputs);
    Ok(())
}

fn kinds(bench: &Bench) -> Result<(), String> {
    for pattern in ["out", "o*"] {
        rejected(
            bench,
            "ln -s /etc/shadow out",
            pattern,
            "out is a symbolic link",
        )?;
        rejected(bench, "ln -s a out", pattern, "out is a symbolic link")?;
        rejected(bench, "mkfifo out", pattern, "out is a named pipe")?;
    }
    rejected(bench, "mkdir out", "out", "out is a folder")?;
    let run = make(bench, "mkdir o1; echo x > o2", &["o*"])?;
    ensure!(
        run.outputs.len() == 1 && run.outputs.contains_key("o2"),
        "{:?}",
        run.outputs
    );
    if std::path::Path::new("/usr/bin/python3").exists() {
        let socket = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"out\")'";
        rejected(bench, socket, "out", "out is a socket")?;
    }
    // the file in the tree is a link that was committed: as data it is fine, as an output it is not
    rejected(bench, ":", "link", "link is a symbolic link")
}

fn links_on_the_way(bench: &Bench) -> Result<(), String> {
    let way = "is a symbolic link on the way";
    rejected(bench, "ln -s /etc d", "d/passwd", way)?;
    rejected(bench, "mkdir e; echo x > e/out; ln -s e d", "d/out", way)?;
    rejected(bench, "mkdir e; echo x > e/out; ln -s e d", "*/out", way)?;
    rejected(bench, "ln -s ../../../../etc d", "d/*", way)?;
    rejected(bench, "ln -s /proc/1/root d", "d/etc/passwd", way)?;
    let run = bench.script(
        "cd ..; mv sub gone; ln -s gone sub; echo x > gone/out",
        |request| {
            request.plan.candidate.subdir = "sub".into();
            outputs(request, &["out"]);
        },
    )?;
    ensure!(
        matches!(&run.outcome.ended, Ended::OutputRejected { message } if message.contains("not a folder any more")),
        "{:?}",
        run.outcome.ended
    );
    Ok(())
}

fn names(bench: &Bench) -> Result<(), String> {
    rejected(
        bench,
        "echo x > \"$(printf 'a\\033[31m.out')\"",
        "*.out",
        "a\\x1b[31m.out has a name",
    )?;
    rejected(
        bench,
        "echo x > \"$(printf 'a\\377.out')\"",
        "*.out",
        "a\\xff.out has a name",
    )?;
    rejected(
        bench,
        "echo x > \"$(printf 'a\\nb.out')\"",
        "*.out",
        "a\\nb.out has a name",
    )?;
    let run = make(bench, "echo x > 'é -rf.out'", &["*.out"])?;
    ensure!(run.outputs.contains_key("é -rf.out"), "{:?}", run.outputs);
    Ok(())
}

fn limited(bench: &Bench) -> Result<(), String> {
    let run = |script: &str, bytes: u64, files: u64| {
        bench.script(script, |request| {
            outputs(request, &["o*"]);
            request.plan.candidate.limits.output_bytes = bytes;
            request.plan.candidate.limits.output_files = files;
        })
    };
    let script = "printf 123 > o1; printf 456 > o2";
    ensure!(
        run(script, 6, 2)?.outcome.ended == Ended::Completed,
        "at the limit"
    );
    for (bytes, files, expected) in [(5, 2, "5 bytes"), (6, 1, "1 files")] {
        match run(script, bytes, files)?.outcome.ended {
            Ended::OutputRejected { message } if message.contains(expected) => {}
            other => return Err(format!("{expected}: {other:?}")),
        }
    }
    // a sparse file counts with its logical size
    match run("truncate -s 1G o1", 1 << 20, 2)?.outcome.ended {
        Ended::OutputRejected { message } if message.contains("1048576 bytes") => Ok(()),
        other => Err(format!("sparse: {other:?}")),
    }
}

fn missing(bench: &Bench) -> Result<(), String> {
    let run = make(bench, "echo x > out", &["out", "dist/*.tgz"])?;
    let pattern = "dist/*.tgz".to_owned();
    ensure!(
        run.outcome.ended == Ended::OutputMissing { pattern },
        "{:?}",
        run.outcome.ended
    );
    ensure!(run.outcome.outputs.is_empty(), "something was collected");
    let below = make(bench, "echo x > out", &["out/x"])?.outcome.ended;
    ensure!(matches!(below, Ended::OutputMissing { .. }), "{below:?}");
    Ok(())
}

fn failed(bench: &Bench) -> Result<(), String> {
    let run = make(bench, "echo x > out; exit 3", &["out"])?;
    ensure!(
        run.outcome.ended == Ended::Exited { step: 0, code: 3 },
        "{:?}",
        run.outcome.ended
    );
    ensure!(
        run.outputs.is_empty() && run.outcome.outputs.is_empty(),
        "collected"
    );
    Ok(())
}

/// A build whose archive holds times, owners, modes, and the order in which a folder is listed.
const PACK: &str = "mkdir -p out && tar -cf out/x.tar --sort=name a b c sub run.sh && ls -ln --full-time a sub > out/list";

fn deterministic(bench: &Bench) -> Result<(), String> {
    let run = || make(bench, PACK, &["out/*"]).map(|run| run.outcome.outputs);
    let (first, second) = (run()?, run()?);
    ensure!(first.len() == 2 && first == second, "{first:?} {second:?}");
    let random = || make(bench, "head -c9 /dev/urandom > out", &["out"]);
    ensure!(random()?.outputs != random()?.outputs, "random bytes agree");
    Ok(())
}

fn order(bench: &Bench) -> Result<(), String> {
    let run = |profile| {
        bench.script("ls -U > out", |request| {
            request.profile = profile;
            outputs(request, &["out"]);
        })
    };
    let first = run(countersign_builder::sandbox::Profile::first())?.outputs;
    let again = run(countersign_builder::sandbox::Profile::first())?.outputs;
    let second = run(countersign_builder::sandbox::Profile::second(
        &Default::default(),
    ))?
    .outputs;
    ensure!(first == again && first != second, "{first:?} {second:?}");
    Ok(())
}

/// Looks at the collector while it sends.
struct Look(String);

impl ReplaySink for Look {
    fn on_listening(&mut self, _: std::net::TcpListener) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into()) // these plans have no mirror
    }

    fn on_started(&mut self, _: &EnvironmentFound) -> io::Result<()> {
        Ok(())
    }
    fn on_log(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn open_output(&mut self, _: &str, _: u64) -> io::Result<Box<dyn Write + '_>> {
        let ours = format!("PPid:\t{}", std::process::id());
        let status = |pid| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        self.0 = crate::lifetime::find(countersign_builder::child::ARGUMENT)
            .into_iter()
            .map(status)
            .find(|status| status.lines().any(|line| line == ours))
            .unwrap_or_default();
        Ok(Box::new(io::sink()))
    }
}

fn collector(bench: &Bench) -> Result<(), String> {
    let mut look = Look(String::new());
    // more than the channel holds, so that the collector is still sending
    let step: &[&str] = &["sh", "-c", "head -c 5000000 /dev/zero > out"];
    let outcome = bench.with_request(&[step], |request, tree| {
        outputs(request, &["out"]);
        let call = ReplayCall {
            binary: &bench.binary,
            plan: Sha256::of(&request.plan.to_bytes()),
            request,
            tree,
            clock: &|| Timestamp::EPOCH,
            cancel: &AtomicBool::new(false),
        };
        replay(&call, &mut look).map_err(crate::bench::shown)
    })?;
    let (uid, _) = crate::bench::host_ids(outcome.environment.id_mode);
    for line in [
        &format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"),
        "CapEff:\t0000000000000006",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        ensure!(
            look.0.lines().any(|l| l == line),
            "no {line:?} in {:?}",
            look.0
        );
    }
    Ok(())
}
