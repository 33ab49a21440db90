//! The numbered list of what a hostile build tries (SANDBOX C6), and the check that none is missing.
//!
//! An act that is one call stands in a table of its subject; what needs more is a case of its own, here or
//! in the modules of the promises. Each tells its number, and how the act was shown to be able.

use countersign_builder::sandbox::wall::Wall;

use crate::bench::Bench;
use crate::controls::Control;
use crate::{Case, ensure};

mod kernel;

pub(crate) const CASES: &[&[(&str, Case)]] = &[kernel::CASES];

/// How an act of a table is to be shown to be able.
#[derive(Debug, Clone, Copy)]
enum Arm {
    /// Outside, by anybody.
    Outside,
    /// Outside, where root or this kernel allows it; else there is no control, for this reason.
    OutsideWhere(&'static str),
    /// In the same sandbox without this wall.
    Without(Wall),
    /// Not at all, for this reason.
    No(&'static str),
}

/// One act: its number, its words, its control, and what the refusal has to say. Where a second list of
/// words is given, those are the control's: the same act on what the test made.
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
    let control = match act.arm {
        Arm::Outside => {
            outside(bench, act).map_err(|e| format!("control arm: {e}"))?;
            Control::Outside
        }
        Arm::OutsideWhere(reason) => match outside(bench, act) {
            Ok(()) => Control::Outside,
            Err(said) => Control::No(format!("{reason} (outside: {said})")),
        },
        Arm::Without(wall) => {
            let ran = bench.hostile(act.words, Some(wall), |_| ())?;
            ran.map_err(|e| format!("control arm without {wall:?}: {e}"))?;
            Control::Without("a wall")
        }
        Arm::No(reason) => Control::No(reason.to_owned()),
    };
    match bench.hostile(act.words, None, |_| ())? {
        Ok(()) => Err("worked inside".into()),
        Err(said) if act.refusal.iter().any(|text| said.contains(text)) => {
            bench.shown.tell(act.number, act.words.join(" "), control);
            Ok(())
        }
        Err(said) => Err(format!("failed in another way: {said}")),
    }
}

/// The control outside, in a folder of the test's: `@` in a word stands for it, and for `/build` inside.
fn outside(bench: &Bench, act: &Act) -> Result<(), String> {
    bench.hostile_outside(act.words)
}
