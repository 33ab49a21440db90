//! The host's side of a child that answers, fails, hangs or talks nonsense.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use countersign_builder::archive::ReadLimits;
use countersign_builder::child::{self, CallError};
use countersign_builder::compare::Comparison;
use countersign_builder::recipe::{Evidence, InspectRequest};

use crate::bench::Bench;
use crate::{Case, ensure};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("what is missing is told with its remedy", remedies),
    ("inspect and compare answer from a parsing child", parsing),
    ("a child that hangs is killed at its deadline", deadline),
    ("a child that dies is a fault with its last words", dies),
];

/// A machine without user namespaces: the inside of a sandbox is one.
fn remedies(bench: &Bench) -> Result<(), String> {
    bench
        .outside(&["probe"])
        .map_err(|e| format!("control arm: {e}"))?;
    let Err(problems) = bench.inside(&["probe"])? else {
        return Err("a sandbox inside a sandbox".into());
    };
    for part in [
        "user namespaces [making a user namespace",
        "[allow unprivileged user namespaces: user.max_user_namespaces",
        "kernel.apparmor_restrict_unprivileged_userns=0",
        "a program in a full sandbox [",
    ] {
        ensure!(problems.contains(part), "{part:?} is not in {problems:?}");
    }
    ensure!(
        !problems.contains("file access rules"),
        "landlock works there: {problems}"
    );
    Ok(())
}

fn parsing(bench: &Bench) -> Result<(), String> {
    let deadline = Duration::from_secs(30);
    let folder = bench.tree();
    let tree = File::open(folder.path()).map_err(|e| e.to_string())?;
    let inspect = |recipe: &str| {
        let request = InspectRequest {
            recipe: recipe.into(),
            subdir: String::new(),
            file_name: String::new(),
            limits: ReadLimits::default(),
        };
        child::inspect(&bench.binary, &request, tree.as_fd(), None, deadline)
    };
    let evidence = inspect("generic").map_err(crate::bench::shown)?;
    ensure!(
        matches!(evidence, Evidence::Conventional(_)),
        "{evidence:?}"
    );
    let unknown = inspect("no-such-recipe");
    ensure!(matches!(unknown, Err(CallError::Fault(_))), "{unknown:?}");
    let file = |name| File::open(folder.path().join(name)).map_err(|e| e.to_string());
    let limits = ReadLimits::default();
    let found = child::compare(
        &bench.binary,
        "a",
        &file("a")?,
        &file("b")?,
        limits,
        deadline,
    )
    .map_err(crate::bench::shown)?;
    ensure!(
        matches!(found.comparison, Comparison::NotComparable { .. }),
        "{found:?}"
    );
    Ok(())
}

/// A program that stands where the binary should.
fn program(bench: &Bench, script: &str) -> Result<PathBuf, String> {
    let path = bench.scratch.path().join("impostor");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).map_err(|e| e.to_string())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
    Ok(path)
}

fn deadline(bench: &Bench) -> Result<(), String> {
    let hangs = program(bench, "exec sleep 100")?;
    let started = Instant::now();
    let found = child::probe(&hangs, &[], &[].into(), Duration::from_secs(1));
    ensure!(matches!(found, Err(CallError::Deadline(1))), "{found:?}");
    ensure!(
        started.elapsed() < Duration::from_secs(10),
        "took {:?}",
        started.elapsed()
    );
    // one that sends a header a byte at a time must not be waited for longer
    let trickles = program(bench, "while :; do printf J >&0; sleep 0.1; done")?;
    let started = Instant::now();
    let found = child::probe(&trickles, &[], &[].into(), Duration::from_secs(1));
    ensure!(found.is_err(), "{found:?}");
    ensure!(
        started.elapsed() < Duration::from_secs(10),
        "took {:?}",
        started.elapsed()
    );
    Ok(())
}

fn dies(bench: &Bench) -> Result<(), String> {
    let last_words = program(bench, "echo broken >&2; exit 1")?;
    match child::probe(&last_words, &[], &[].into(), Duration::from_secs(30)) {
        Err(error @ CallError::Channel { .. }) => {
            ensure!(error.to_string().contains("broken"), "{error}");
        }
        other => return Err(format!("{other:?}")),
    }
    let absent = bench.scratch.path().join("absent");
    let found = child::probe(&absent, &[], &[].into(), Duration::from_secs(30));
    ensure!(matches!(found, Err(CallError::Start(_))), "{found:?}");
    Ok(())
}
