//! How long a sandbox takes from nothing to gone, for the benchmarks in `tests/benches`. It prints seconds
//! and judges nothing: no test fails on a clock.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use countersign_builder::outcome::Ended;

use super::bench::{Bench, shown};

/// What bubblewrap is asked for: every namespace that it has, and the view of the machine that our
/// sandboxes have. It sets no limits, knows no second user namespace, covers nothing in `/proc` and
/// filters no system call unless it is handed a filter.
const BUBBLEWRAP: &str = "bwrap --unshare-all --die-with-parent --new-session --ro-bind /usr /usr \
    --symlink usr/lib /lib --symlink usr/lib64 /lib64 --symlink usr/bin /bin --proc /proc --dev /dev \
    --tmpfs /tmp --hostname localhost --clearenv --chdir / /bin/true";

/// Runs `/bin/true` in as many sandboxes as asked, one after the other, a line of seconds each. The build
/// child that launches a sandbox is part of it, as it is in a rebuild. With the word `beside`, bubblewrap
/// does it in turn, each first in every other round, and a line has our seconds and its own.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let times = arguments.first().and_then(|word| word.parse().ok());
    let Some(times) = times else {
        eprintln!("how many times?");
        return ExitCode::FAILURE;
    };
    let beside = arguments.get(1).is_some_and(|word| word == "beside");
    let mut bench = Bench::new();
    if let Some(binary) = arguments.get(2) {
        bench.binary = binary.into(); // the program that launches them
    }
    let run = if beside { run_beside } else { run };
    match run(&bench, times) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(bench: &Bench, times: u32) -> Result<(), String> {
    let tree = bench.tree();
    for _ in 0..times {
        println!("{:.6}", ours(bench, tree.path())?);
    }
    Ok(())
}

fn run_beside(bench: &Bench, times: u32) -> Result<(), String> {
    let tree = tempfile::tempdir().map_err(|e| e.to_string())?; // bubblewrap takes no source in
    for number in 0..times + 5 {
        let (own, other) = if number % 2 == 0 {
            let own = ours(bench, tree.path())?;
            (own, bubblewrap()?)
        } else {
            let other = bubblewrap()?;
            (ours(bench, tree.path())?, other)
        };
        if number >= 5 {
            println!("{own:.6} {other:.6}"); // the first ones warm the machine up
        }
    }
    Ok(())
}

fn ours(bench: &Bench, tree: &Path) -> Result<f64, String> {
    let started = Instant::now();
    let replayed = bench
        .replay_tree(tree, &[&["/bin/true"]], |_| (), &mut |_| ())
        .map_err(shown)?;
    let taken = started.elapsed();
    if replayed.outcome.ended != Ended::Completed {
        return Err(format!("/bin/true ended with {:?}", replayed.outcome.ended));
    }
    Ok(taken.as_secs_f64())
}

fn bubblewrap() -> Result<f64, String> {
    let mut words = BUBBLEWRAP.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).stdin(Stdio::null());
    let started = Instant::now();
    let status = command.status().map_err(|e| format!("bwrap: {e}"))?;
    let taken = started.elapsed();
    if !status.success() {
        return Err(format!("bwrap ended with {status}"));
    }
    Ok(taken.as_secs_f64())
}
