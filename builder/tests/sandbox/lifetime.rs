//! Nothing of a sandbox outlives its end, its caller or its cancellation.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::bench::{Bench, outputs};
use crate::{Case, ensure};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("survivors are dead before anything is collected", survivors),
    (
        "a survivor that holds the log does not hang the end",
        log_holder,
    ),
    ("kill -9 of the caller leaves nothing alive", killed_caller),
    ("a call that is cancelled leaves nothing alive", cancelled),
    ("no mount and no process is left behind", left_behind),
];

/// Processes of this machine with this word among their arguments.
pub(crate) fn find(marker: &str) -> Vec<u32> {
    let own = std::process::id();
    let Ok(all) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0)
                .any(|word| word == marker.as_bytes())
        })
        .collect()
}

fn marker(base: u32) -> String {
    format!("{base}.{}", std::process::id())
}

/// Waits until the number of processes with a marker is as wanted.
fn wait_for(marker: &str, wanted: impl Fn(usize) -> bool) -> Result<(), String> {
    let started = Instant::now();
    loop {
        let found = find(marker).len();
        if wanted(found) {
            return Ok(());
        }
        if started.elapsed() > Duration::from_secs(10) {
            return Err(format!("{found} processes with {marker}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn survivors(bench: &Bench) -> Result<(), String> {
    let marker = marker(8001);
    // each ignores what it can, leaves its session, and would write into the output for ever
    let script = format!(
        "for i in 1 2 3 4 5; do (setsid sh -c 'trap \"\" TERM HUP INT; while :; do echo x >> out; sleep 0.01; done' & ) ; \
         (setsid sleep {marker} >/dev/null 2>&1 &); done; sleep 0.3; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c '^{marker}$'"
    );
    let run = bench.script(&script, |request| outputs(request, &["out"]))?;
    ensure!(run.log.trim() == "5", "control arm: {} ran", run.log.trim());
    ensure!(find(&marker).is_empty(), "survivors on the host");
    ensure!(run.outputs["out"].len() > 2, "{:?}", run.outcome.ended);
    Ok(())
}

fn log_holder(bench: &Bench) -> Result<(), String> {
    let started = Instant::now();
    let run = bench.script("(setsid sleep 500 &); echo done", |_| ())?;
    ensure!(run.log == "done\n", "{}", run.log);
    ensure!(
        started.elapsed() < Duration::from_secs(10),
        "took {:?}",
        started.elapsed()
    );
    Ok(())
}

/// The process that a case kills: replays a step that sleeps.
pub(crate) fn caller(arguments: &[String]) -> ExitCode {
    let marker = arguments.first().map_or("1", String::as_str);
    let run = Bench::new().replay_tree(
        Bench::new().tree().path(),
        &[&[
            "sh",
            "-c",
            &format!("sleep {marker} & sleep {marker} & echo up; wait"),
        ]],
        |_| (),
        &mut |_| println!("up"),
    );
    ExitCode::from(u8::from(run.is_err()))
}

fn killed_caller(bench: &Bench) -> Result<(), String> {
    let marker = marker(8002);
    let mut caller = Command::new(&bench.binary)
        .args(["caller", &marker])
        .env("TMPDIR", bench.scratch.path())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut line = String::new();
    let stdout = caller.stdout.take().ok_or("no output")?;
    BufReader::new(stdout)
        .read_line(&mut line)
        .map_err(|e| e.to_string())?;
    let up = wait_for(&marker, |found| found == 3); // the caller and two sleeps
    caller.kill().map_err(|e| e.to_string())?;
    caller.wait().map_err(|e| e.to_string())?;
    up.map_err(|e| format!("control arm: {e}"))?;
    let killed = Instant::now();
    wait_for(&marker, |found| found == 0)?;
    ensure!(
        killed.elapsed() < Duration::from_secs(5),
        "took {:?}",
        killed.elapsed()
    );
    Ok(())
}

fn cancelled(bench: &Bench) -> Result<(), String> {
    use countersign_builder::child::{CallError, ReplayCall, replay};
    let marker = marker(8003);
    let cancel = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            let seen = wait_for(&marker, |found| found == 1);
            cancel.store(true, Ordering::Relaxed);
            seen
        });
        bench.with_request(&[&["sleep", &marker]], |request, tree| {
            let call = ReplayCall {
                binary: &bench.binary,
                request,
                plan: countersign_attest::digest::Sha256::of(b""),
                tree,
                clock: &|| countersign_attest::time::Timestamp::EPOCH,
                cancel: &cancel,
            };
            replay(&call, &mut Nothing)
        })
    });
    ensure!(matches!(result, Err(CallError::Cancelled)), "{result:?}");
    wait_for(&marker, |found| found == 0)
}

struct Nothing;

impl countersign_builder::child::ReplaySink for Nothing {
    fn on_listening(&mut self, _: std::net::TcpListener) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into()) // these plans have no mirror
    }

    fn on_started(
        &mut self,
        _: &countersign_builder::outcome::EnvironmentFound,
    ) -> std::io::Result<()> {
        Ok(())
    }
    fn on_log(&mut self, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
    fn open_output(&mut self, _: &str, _: u64) -> std::io::Result<Box<dyn std::io::Write + '_>> {
        Ok(Box::new(std::io::sink()))
    }
}

fn left_behind(bench: &Bench) -> Result<(), String> {
    let mounts = || fs::read_to_string("/proc/self/mountinfo").map_err(|e| e.to_string());
    let descriptors = || {
        fs::read_dir("/proc/self/fd")
            .map(Iterator::count)
            .map_err(|e| e.to_string())
    };
    let before = (mounts()?, descriptors()?);
    for _ in 0..5 {
        bench.replay(&[&["true"]], |_| ())?;
    }
    ensure!(
        before == (mounts()?, descriptors()?),
        "mounts or descriptors are left"
    );
    let zombies = Command::new("sh")
        .args(["-c", "ps -o stat= --ppid $PPID | grep -c Z; true"])
        .output()
        .map_err(|e| e.to_string())?;
    ensure!(
        String::from_utf8_lossy(&zombies.stdout).trim() == "0",
        "zombies"
    );
    Ok(())
}
