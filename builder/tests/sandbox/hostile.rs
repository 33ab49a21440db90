//! The numbered list of what a hostile build tries (SANDBOX C6), and the check that none is missing.
//!
//! An act that is one call stands in a table of its subject; what needs more is a case of its own, here or
//! in the modules of the promises. Each tells its number, and how the act was shown to be able.

use countersign_builder::sandbox::wall::Wall;

use crate::bench::Bench;
use crate::controls::Control;
use crate::{Case, ensure};

mod files;
mod kernel;
mod others;

pub(crate) use others::with_secret;

pub(crate) const CASES: &[&[(&str, Case)]] = &[kernel::CASES, files::CASES, others::CASES];

/// The last number of the list: 1 to 69 are SANDBOX C6, the rest are ours.
const LAST: u32 = 73;

/// Numbers that cases of the promises hold, control arm and all.
const COVERED: &[(u32, &str, Arm)] = &[
    (1, "the host's files are not in view", Arm::Outside),
    (2, "the host's files are not in view", Arm::Outside),
    (20, "number and size of outputs are limited", Arm::Raised),
    (
        24,
        "names that cannot be attested are refused",
        Arm::Outside,
    ),
    (
        26,
        "survivors are dead before anything is collected",
        Arm::Outside,
    ),
    (
        27,
        "a survivor that holds the log does not hang the end",
        Arm::Outside,
    ),
    (28, "too much memory is told as that", Arm::Raised),
    (29, "shared memory counts as memory", Arm::Raised),
    (31, "silence is told as that", Arm::Raised),
    (35, "no network, but a loopback", Arm::Outside),
    (38, "no abstract socket of the host", Arm::Outside),
    (41, "no descriptor is inherited", Arm::Outside),
    (56, "a log flood is capped and does not hang", Arm::Raised),
    (57, "a log flood is capped and does not hang", Arm::Raised),
    (58, "the log's digest is of what arrived", Arm::Outside),
    (
        63,
        "kill -9 of the caller leaves nothing alive",
        Arm::Outside,
    ),
    (
        64,
        "two builds in one range of ids: the second is refused",
        Arm::Raised,
    ),
];

/// Numbers that tests of other crates hold, over the real binary: file and function.
const ELSEWHERE: &[(u32, &str, &str, &str)] = &[
    (
        61,
        "tests/e2e/hostile/obeyed.rs",
        include_str!("../../../tests/e2e/hostile/obeyed.rs"),
        "fn hooks()",
    ),
    (
        61,
        "tests/e2e/hostile/obeyed.rs",
        include_str!("../../../tests/e2e/hostile/obeyed.rs"),
        "fn git_configuration()",
    ),
    (
        62,
        "builder/src/environment/rootfs.rs",
        include_str!("../../src/environment/rootfs.rs"),
        "fn what_could_lead_elsewhere_is_refused()",
    ),
];

/// Records what a case that has passed covers.
pub(crate) fn passed(bench: &Bench, case: &str) {
    for (number, name, arm) in COVERED {
        if *name == case {
            let control = match arm {
                Arm::Outside | Arm::OutsideWhere(_) => Control::Outside,
                Arm::Raised => Control::Without("the limit raised"),
                Arm::Without(_) => Control::Without("a wall"),
                Arm::No(reason) => Control::No((*reason).to_owned()),
            };
            bench.shown.tell(*number, *name, control);
        }
    }
}

/// What of the list this run has not shown.
pub(crate) fn incomplete(bench: &Bench, cases: &[&str]) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, name, _) in COVERED {
        if !cases.contains(name) {
            problems.push(format!("hostile case {number}: there is no case {name:?}"));
        }
    }
    for (number, file, text, function) in ELSEWHERE {
        if text.contains(function) {
            println!("hostile case {number}: {file}, {function}");
        } else {
            problems.push(format!("hostile case {number}: no {function} in {file}"));
        }
    }
    let here = (1..=LAST).filter(|n| ELSEWHERE.iter().all(|(number, ..)| number != n));
    let missing = bench.shown.missing(here);
    if !missing.is_empty() {
        problems.push(format!("hostile cases without a test: {missing:?}"));
    }
    problems
}

/// How an act of a table is to be shown to be able.
#[derive(Debug, Clone, Copy)]
enum Arm {
    /// Outside, by anybody.
    Outside,
    /// Outside, where root or this kernel allows it; else there is no control, for this reason.
    OutsideWhere(&'static str),
    /// In the same sandbox without this wall.
    Without(Wall),
    /// In the same sandbox with the limit raised.
    Raised,
    /// Not at all, for this reason.
    No(&'static str),
}

/// One act: its number, its words, its control, and what the refusal may say.
struct Act {
    number: u32,
    words: &'static [&'static str],
    arm: Arm,
    refusal: &'static [&'static str],
}

const fn act(
    number: u32,
    words: &'static [&'static str],
    arm: Arm,
    refusal: &'static [&'static str],
) -> Act {
    Act {
        number,
        words,
        arm,
        refusal,
    }
}

/// Tries acts in the sandbox, where each must be refused, and shows that each is able.
fn try_all(bench: &Bench, acts: &[Act]) -> Result<(), String> {
    let mut problems = Vec::new();
    for act in acts {
        if let Err(problem) = try_one(bench, act) {
            problems.push(format!("{} {:?}: {problem}", act.number, act.words));
        }
    }
    ensure!(problems.is_empty(), "{}", problems.join("; "));
    Ok(())
}

fn try_one(bench: &Bench, act: &Act) -> Result<(), String> {
    let inside = placed(act.words, "/build");
    let inside: Vec<&str> = inside.iter().map(String::as_str).collect();
    let control = match act.arm {
        Arm::Outside => {
            outside(bench, act).map_err(|e| format!("control arm: {e}"))?;
            Control::Outside
        }
        Arm::OutsideWhere(reason) => match outside(bench, act) {
            Ok(()) => Control::Outside,
            Err(said) => Control::No(format!("{reason} (outside: {said})")),
        },
        Arm::Raised => return Err("an act of a table raises no limit".into()),
        Arm::Without(wall) => {
            let ran = bench.hostile(&inside, Some(wall), |_| ())?;
            ran.map_err(|e| format!("control arm without {wall:?}: {e}"))?;
            Control::Without("a wall")
        }
        Arm::No(reason) => Control::No(reason.to_owned()),
    };
    match bench.hostile(&inside, None, |_| ())? {
        Ok(()) => Err("worked inside".into()),
        Err(said) if act.refusal.iter().any(|text| said.contains(text)) => {
            bench.shown.tell(act.number, act.words.join(" "), control);
            Ok(())
        }
        Err(said) => Err(format!("failed in another way: {said}")),
    }
}

/// The control outside, in a folder of the test's.
fn outside(bench: &Bench, act: &Act) -> Result<(), String> {
    let words = placed(act.words, &bench.scratch.path().display().to_string());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    bench.hostile_outside(&words)
}

/// `@` at the beginning of a word stands for a folder of the test's outside, and for `/build` inside.
fn placed(words: &[&str], folder: &str) -> Vec<String> {
    let place = |word: &&str| match word.strip_prefix('@') {
        Some(rest) => format!("{folder}{rest}"),
        None => (*word).to_owned(),
    };
    words.iter().map(place).collect()
}
