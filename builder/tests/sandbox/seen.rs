//! The normalised profile: a program that prints all that it can see prints the same in every run, and what
//! differs between the modes is known.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::{Command, ExitCode};

use nix::unistd::geteuid;

use crate::bench::Bench;
use crate::{Case, ensure};

pub(crate) const CASES: &[(&str, Case)] = &[
    (
        "a program that prints all it sees prints the same twice",
        twice,
    ),
    (
        "what differs between root's and a user's sandbox is known",
        modes,
    ),
];

const SCRIPT: &str = include_str!("seen.sh");

/// Sections that differ between a range of ids and one id, each with why; ARCHITECTURE.md has the same.
const DIFFERENT: &[(&str, &str)] = &[
    ("devices", "the owner of folders that the sandbox makes"),
    ("folders", "the owner of /tmp"),
    ("groups", "the control group, where only root can make one"),
    ("ids", "the maps themselves"),
    (
        "limits",
        "hard limits are the user's own where those are lower",
    ),
    ("mounts", "the options of our file systems name their owner"),
    ("owners", "owners that are not mapped show as nobody"),
    ("root", "the owner of folders that the sandbox makes"),
];

fn look(bench: &Bench) -> Result<String, String> {
    let run = bench.script(SCRIPT, |_| ())?;
    ensure!(
        run.log.contains("== scheduling"),
        "{:?} {}",
        run.outcome.ended,
        run.log
    );
    Ok(run.log)
}

/// The sections of a look.
fn sections(text: &str) -> BTreeMap<&str, &str> {
    text.split("== ")
        .filter_map(|section| section.split_once('\n'))
        .collect()
}

/// The first lines that differ.
fn differences(first: &str, second: &str) -> Vec<String> {
    let (first, second) = (sections(first), sections(second));
    let mut all = Vec::new();
    for (name, text) in &first {
        let other = second.get(name).copied().unwrap_or_default();
        if *text != other {
            let line = text.lines().zip(other.lines()).find(|(a, b)| a != b);
            all.push(format!("{name}: {line:?}"));
        }
    }
    all
}

fn twice(bench: &Bench) -> Result<(), String> {
    let (first, second) = (look(bench)?, look(bench)?);
    ensure!(
        first == second,
        "differ: {:?}",
        differences(&first, &second)
    );
    // control arm: the same program sees the other profile
    let other = bench.script(SCRIPT, |request| {
        request.profile = countersign_builder::sandbox::Profile::second(&Default::default());
    })?;
    let noticed = differences(&first, &other.log).join("\n");
    for section in [
        "environment:",
        "user:",
        "names:",
        "machine:",
        "uptime:",
        "folders:",
    ] {
        ensure!(
            noticed.contains(section),
            "control arm: {section} is the same: {noticed}"
        );
    }
    println!(
        "        {} bytes in {} sections",
        first.len(),
        sections(&first).len()
    );
    Ok(())
}

/// Prints a look, for a run of this binary by another user.
pub(crate) fn main() -> ExitCode {
    match look(&Bench::new()) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            println!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn modes(bench: &Bench) -> Result<(), String> {
    if !geteuid().is_root() {
        return Ok(()); // one user cannot become another: root's run compares the two
    }
    let place = tempfile::tempdir().map_err(|e| e.to_string())?;
    let binary = place.path().join("sandbox");
    fs::copy(&bench.binary, &binary).map_err(|e| e.to_string())?;
    let home = place.path().join("home");
    fs::create_dir(&home).map_err(|e| e.to_string())?;
    chown(&home, Some(65534), Some(65534)).map_err(|e| e.to_string())?;
    for path in [place.path(), &binary] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
    }
    let output = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--inh-caps=-all",
            "--",
        ])
        .arg(&binary)
        .arg("seen")
        .env("TMPDIR", &home)
        .output()
        .map_err(|e| e.to_string())?;
    let user = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "as a user: {user}");
    let root = look(bench)?;
    let (ours, theirs) = (sections(&root), sections(user.trim_end()));
    ensure!(
        ours.len() == theirs.len(),
        "{:?} {:?}",
        ours.keys(),
        theirs.keys()
    );
    let mut differ = BTreeSet::new();
    for (name, text) in &ours {
        let same = theirs
            .get(name)
            .is_some_and(|other| other.trim() == text.trim());
        if !same {
            differ.insert(*name);
        }
    }
    println!("        differ between the modes: {differ:?}");
    let unknown: Vec<_> = differ
        .iter()
        .filter(|name| DIFFERENT.iter().all(|(known, _)| known != *name))
        .collect();
    ensure!(
        unknown.is_empty(),
        "{unknown:?}: {:?}",
        differences(&root, user.trim_end())
    );
    Ok(())
}
