//! How long a sandbox takes from nothing to gone, for the benchmark in `tests/benches`. It prints seconds
//! and judges nothing: no test fails on a clock.

use std::process::ExitCode;
use std::time::Instant;

use countersign_builder::outcome::Ended;

use super::bench::{Bench, shown};

/// Runs `/bin/true` in as many sandboxes as asked, one after the other, a line of seconds each. The build
/// child that launches a sandbox is part of it, as it is in a rebuild.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    match arguments.first().map(|word| word.parse::<u32>()) {
        Some(Ok(times)) => match run(times) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => {
                eprintln!("{problem}");
                ExitCode::FAILURE
            }
        },
        Some(Err(_)) | None => {
            eprintln!("how many times?");
            ExitCode::FAILURE
        }
    }
}

fn run(times: u32) -> Result<(), String> {
    let bench = Bench::new();
    let tree = bench.tree();
    for _ in 0..times {
        let started = Instant::now();
        let replayed = bench
            .replay_tree(tree.path(), &[&["/bin/true"]], |_| (), &mut |_| ())
            .map_err(shown)?;
        let taken = started.elapsed();
        if replayed.outcome.ended != Ended::Completed {
            return Err(format!("/bin/true ended with {:?}", replayed.outcome.ended));
        }
        println!("{:.6}", taken.as_secs_f64());
    }
    Ok(())
}
