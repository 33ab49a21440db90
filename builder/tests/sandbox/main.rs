//! The sandbox under test, as root and as an ordinary user alike: each case proves that an act works
//! outside, then that it fails inside. The binary is its own builder child and its own payload.
//!
//! A missing kernel feature fails the run with its remedy; nothing is skipped.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]

mod acts;
mod bench;
mod calls;
mod confinement;
mod controls;
mod hostile;
mod isolation;
mod left;
mod lifetime;
mod limits;
mod outputs;
mod roots;
mod seen;
mod steps;
mod timing;

use std::process::ExitCode;

use bench::Bench;

/// A case: an error says what was not as promised.
type Case = fn(&Bench) -> Result<(), String>;

/// Fails a case unless something holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}
pub(crate) use ensure;

/// How often something is done: few times in every run, and as often as a bar says where a variable says so.
fn count(variable: &str, few: usize) -> usize {
    let asked = std::env::var(variable).ok();
    asked.map_or(few, |text| text.parse().expect(variable))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().map(String::as_str) {
        Some(countersign_builder::child::ARGUMENT) => controls::serve(),
        Some("act") => acts::main(rest),
        Some("confined") => confinement::child(rest),
        Some("caller") => lifetime::caller(rest),
        Some("seen") => seen::main(),
        Some("with-secret") => hostile::with_secret(rest),
        Some("time") => timing::main(rest),
        filter => all(filter.filter(|word| !word.starts_with('-')).unwrap_or("")),
    }
}

fn all(filter: &str) -> ExitCode {
    let bench = Bench::new();
    if let Err(problem) = bench.probe() {
        eprintln!("this machine cannot run the suite: {problem}");
        return ExitCode::FAILURE;
    }
    let cases: Vec<(&str, Case)> = [
        isolation::CASES,
        steps::CASES,
        outputs::CASES,
        lifetime::CASES,
        limits::CASES,
        roots::CASES,
        confinement::CASES,
        calls::CASES,
        seen::CASES,
    ]
    .iter()
    .chain(hostile::CASES)
    .copied()
    .flatten()
    .copied()
    .filter(|(name, _)| name.contains(filter))
    .collect();
    println!("{} cases", cases.len());
    let mut failed = 0;
    for (name, case) in &cases {
        match case(&bench) {
            Ok(()) => {
                hostile::passed(&bench, name);
                println!("ok      {name}");
            }
            Err(problem) => {
                failed += 1;
                println!("FAILED  {name}: {problem}");
            }
        }
    }
    bench.shown.print();
    if filter.is_empty() {
        let names: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
        for problem in hostile::incomplete(&bench, &names) {
            failed += 1;
            println!("FAILED  {problem}");
        }
    }
    println!("{} passed, {failed} failed", cases.len() - failed);
    if failed == 0 && !cases.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
