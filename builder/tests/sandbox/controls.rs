//! The control arms: for every act that the sandbox refuses, what shows that the act is able.
//!
//! An act works **outside** where it touches only what the test made; else **in the same sandbox with one
//! protection removed**; where neither is safe, or the kernel lacks the call, the refusal alone is asserted
//! and counted as **no control**, with the reason. No control arm changes the host's state.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

use countersign_builder::child;
use countersign_builder::sandbox::wall::Wall;

/// Begins the file names of this binary under which it is a builder child that lacks a wall.
const WITHOUT: &str = "sandbox-without-";

/// Runs as the builder child, and without a wall where this binary's own name says so: a child has
/// neither arguments nor environment of the suite's.
pub(crate) fn serve() -> ExitCode {
    let own = std::env::current_exe().unwrap_or_default();
    let name = own.file_name().and_then(|name| name.to_str());
    let word = name.and_then(|name| name.strip_prefix(WITHOUT));
    match word.and_then(|word| Wall::ALL.iter().find(|(known, _)| *known == word)) {
        Some((_, wall)) => child::serve_without(*wall),
        None => child::serve(),
    }
}

/// How it was shown that an act is able.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Control {
    /// It worked outside.
    Outside,
    /// It worked in the same sandbox without this, or with this limit raised.
    Without(&'static str),
    /// It was not shown, and why.
    No(String),
}

/// What was shown in this run, by the number of the hostile case.
#[derive(Debug, Default)]
pub(crate) struct Shown(Mutex<BTreeMap<u32, Vec<(String, Control)>>>);

impl Shown {
    /// Records that an act of a case was refused, and how it was shown to be able.
    pub(crate) fn tell(&self, number: u32, act: impl Into<String>, control: Control) {
        let mut all = self.0.lock().expect("no thread panics with it");
        all.entry(number).or_default().push((act.into(), control));
    }

    /// The numbers that no act was told of.
    pub(crate) fn missing(&self, numbers: impl Iterator<Item = u32>) -> Vec<u32> {
        let all = self.0.lock().expect("no thread panics with it");
        numbers.filter(|number| !all.contains_key(number)).collect()
    }

    /// Prints the three counts, and each act without a control.
    pub(crate) fn print(&self) {
        let all = self.0.lock().expect("no thread panics with it");
        let acts: Vec<_> = all.values().flatten().collect();
        let count = |wanted: fn(&Control) -> bool| acts.iter().filter(|(_, c)| wanted(c)).count();
        println!(
            "hostile cases: {} with {} acts; control arms: {} outside, {} with one protection removed, \
             {} without control",
            all.len(),
            acts.len(),
            count(|control| matches!(control, Control::Outside)),
            count(|control| matches!(control, Control::Without(_))),
            count(|control| matches!(control, Control::No(_))),
        );
        for (number, (act, control)) in all
            .iter()
            .flat_map(|(number, acts)| acts.iter().map(move |act| (number, act)))
        {
            if let Control::No(reason) = control {
                println!("        no control: {number} {act}: {reason}");
            }
        }
    }
}

/// This binary under the name of a builder child that lacks a wall.
pub(crate) fn binary_without(bench: &crate::bench::Bench, wall: Wall) -> Result<PathBuf, String> {
    let word = Wall::ALL.iter().find(|(_, known)| *known == wall);
    let word = word.map_or("", |(word, _)| *word);
    let path = bench.scratch.path().join(format!("{WITHOUT}{word}"));
    if !path.exists() {
        // a link keeps the name for /proc/self/exe; over file systems only a copy does
        std::fs::hard_link(&bench.binary, &path)
            .or_else(|_| std::fs::copy(&bench.binary, &path).map(drop))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(path)
}
