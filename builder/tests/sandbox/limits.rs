//! Each limit that ends a build is told as what it is, and never as an exit code; one below it is fine.

use std::fs;
use std::sync::mpsc;

use countersign_builder::child::ReplayRequest;
use countersign_builder::outcome::{Ended, IdMode, LimitKind, Means};
use countersign_builder::plan::Limits;
use nix::unistd::geteuid;

use crate::bench::Bench;
use crate::{Case, ensure};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("too much memory is told as that", memory),
    ("shared memory counts as memory", shared_memory),
    (
        "a build that survives its lost process is out of memory",
        survivor,
    ),
    ("silence is told as that", silence),
    (
        "too many processes are told as that, where counted",
        processes,
    ),
    ("a full disk is told as that", disk),
    ("fewer processors than the machine has", processors),
    ("how limits are held is recorded", recorded),
    (
        "two builds in one range of ids: the second is refused",
        one_slot,
    ),
    (
        "builds at once have different ids and do not see each other",
        at_once,
    ),
    ("no control group is left behind", no_group_left),
];

fn limit(
    bench: &Bench,
    script: &str,
    change: impl Fn(&mut Limits),
) -> Result<(Ended, String), String> {
    let run = bench.script(script, |r| change(&mut r.plan.candidate.limits))?;
    Ok((run.outcome.ended, run.log))
}

fn reached(limit: LimitKind) -> Ended {
    Ended::LimitReached { step: 0, limit }
}

/// Takes about this many MiB of private memory and keeps it for a while.
fn hog(mebibytes: u32) -> String {
    format!(
        "head -c {mebibytes}M /dev/zero | tail -c {mebibytes}M > /dev/null; sleep 0.4; echo done"
    )
}

fn memory(bench: &Bench) -> Result<(), String> {
    // tail keeps all that it may have to print, and sleeps with it until its input ends
    let hog = "(head -c 200M /dev/zero; sleep 1) | tail -c 200M > /dev/null";
    let small = |limits: &mut Limits| limits.memory_bytes = 64 << 20;
    let (ended, log) = limit(bench, hog, small)?;
    ensure!(ended == reached(LimitKind::Memory), "{ended:?}: {log}");
    let large = |limits: &mut Limits| limits.memory_bytes = 512 << 20;
    let (ended, log) = limit(bench, hog, large)?;
    ensure!(ended == Ended::Completed, "control arm: {ended:?}: {log}");
    Ok(())
}

fn shared_memory(bench: &Bench) -> Result<(), String> {
    let hog = "head -c 50M /dev/zero > /dev/shm/x && sleep 1 && echo done";
    let small = |limits: &mut Limits| limits.memory_bytes = 32 << 20;
    let (ended, log) = limit(bench, hog, small)?;
    ensure!(ended == reached(LimitKind::Memory), "{ended:?}: {log}");
    let large = |limits: &mut Limits| limits.memory_bytes = 256 << 20;
    let (ended, log) = limit(bench, hog, large)?;
    ensure!(ended == Ended::Completed, "control arm: {ended:?}: {log}");
    Ok(())
}

fn survivor(bench: &Bench) -> Result<(), String> {
    let script = "(head -c 200M /dev/zero; sleep 1) | tail -c 200M > /dev/null; exit 0";
    let small = |limits: &mut Limits| limits.memory_bytes = 64 << 20;
    let (ended, log) = limit(bench, script, small)?;
    ensure!(ended == reached(LimitKind::Memory), "{ended:?}: {log}");
    let (ended, _) = limit(bench, &hog(8), small)?;
    ensure!(ended == Ended::Completed, "control arm: {ended:?}");
    Ok(())
}

fn silence(bench: &Bench) -> Result<(), String> {
    let short = |limits: &mut Limits| limits.silence_seconds = 1;
    let (ended, log) = limit(bench, "echo begun; sleep 100", short)?;
    ensure!(ended == reached(LimitKind::Silence), "{ended:?}: {log}");
    ensure!(log == "begun\n", "{log}");
    // a word in time is enough, whether it is kept or not
    let capped = |limits: &mut Limits| {
        limits.silence_seconds = 2;
        limits.log_bytes = 1;
    };
    let (ended, _) = limit(
        bench,
        "for i in 1 2 3 4 5 6; do echo; sleep 0.5; done",
        capped,
    )?;
    ensure!(ended == Ended::Completed, "control arm: {ended:?}");
    Ok(())
}

fn processes(bench: &Bench) -> Result<(), String> {
    let script = "i=0; while [ $i -lt 200 ]; do sleep 30 & i=$((i+1)); done; echo all";
    let run = bench.script(script, |r| r.plan.candidate.limits.processes = 64)?;
    let (ended, means) = (
        run.outcome.ended,
        run.outcome.environment.enforcement.processes,
    );
    match means {
        Means::CgroupV1 | Means::CgroupV2 => {
            ensure!(
                ended == reached(LimitKind::Processes),
                "{ended:?}: {}",
                run.log
            );
        }
        // nobody counts: the shell says it in its own words
        Means::Rlimit => ensure!(
            matches!(ended, Ended::Exited { .. }) && run.log.contains("fork"),
            "{ended:?}: {}",
            run.log
        ),
        Means::None | Means::Sampled | Means::Affinity => return Err(format!("{means:?}")),
    }
    let (ended, log) = limit(bench, script, |limits| limits.processes = 300)?;
    ensure!(
        ended == Ended::Completed && log == "all\n",
        "control arm: {ended:?} {log}"
    );
    Ok(())
}

fn disk(bench: &Bench) -> Result<(), String> {
    for script in [
        "head -c 100M /dev/zero > /build/fill",
        "head -c 100M /dev/zero > /tmp/fill",
        "i=0; while : > /build/f$i; do i=$((i+1)); done; exit 1",
    ] {
        let (ended, log) = limit(bench, script, |_| ())?;
        ensure!(
            ended == reached(LimitKind::Disk),
            "{script}: {ended:?}: {log}"
        );
    }
    let (ended, _) = limit(bench, "head -c 10M /dev/zero > /build/fill; exit 1", |_| ())?;
    ensure!(
        ended == Ended::Exited { step: 0, code: 1 },
        "control arm: {ended:?}"
    );
    Ok(())
}

fn processors(bench: &Bench) -> Result<(), String> {
    let all = bench.script("nproc", |_| ())?;
    if all.log.trim() == "1" {
        return Err("a machine with one processor cannot show this".into());
    }
    let one = bench.script("nproc; taskset -p ff $$ >/dev/null 2>&1; nproc", |r| {
        r.plan.candidate.limits.cpus = Some(1);
    })?;
    let means = one.outcome.environment.enforcement.cpus;
    let expected = match means {
        Means::CgroupV1 | Means::CgroupV2 => "1\n1\n",
        _ => "1\n", // may ask for more
    };
    ensure!(one.log.starts_with(expected), "{means:?}: {}", one.log);
    ensure!(means != Means::None, "not recorded");
    Ok(())
}

fn recorded(bench: &Bench) -> Result<(), String> {
    let found = bench.script("true", |_| ())?.outcome.environment;
    let held = found.enforcement;
    ensure!(held.cpus == Means::None, "{held:?}"); // the plan sets no limit
    ensure!(
        held.memory != Means::None && held.processes != Means::None,
        "{held:?}"
    );
    if geteuid().is_root()
        && fs::exists("/sys/fs/cgroup/memory/memory.limit_in_bytes").is_ok_and(|x| x)
    {
        ensure!(held.memory == Means::CgroupV1, "{held:?}");
    }
    Ok(())
}

/// The second of two replays, made while the first runs.
fn while_another_runs<T>(
    bench: &Bench,
    same: fn(&mut ReplayRequest),
    second: impl FnOnce() -> Result<T, String>,
) -> Result<(T, String), String> {
    let (up, is_up) = mpsc::channel();
    std::thread::scope(|scope| {
        let first = scope.spawn(move || {
            let tree = bench.tree();
            let script: &[&str] = &[
                "sh",
                "-c",
                "grep ^Uid: /proc/self/status; cat /proc/self/uid_map; sleep 3",
            ];
            let mut told = false;
            bench
                .replay_tree(tree.path(), &[script], same, &mut |_| {
                    if !told {
                        told = true;
                        let _ = up.send(()); // nobody waits when the other has failed
                    }
                })
                .map_err(crate::bench::shown)
        });
        is_up.recv().map_err(|_| "the first did not start")?;
        let second = second();
        let first = first.join().map_err(|_| "a panic")??;
        Ok((second?, first.log))
    })
}

fn one_slot(bench: &Bench) -> Result<(), String> {
    let same = |r: &mut ReplayRequest| r.id_slots = 1;
    if !geteuid().is_root() {
        // one id, or ranges that the system lends: nothing that a caller could choose
        return bench.script("true", same).map(drop);
    }
    let (refused, _) = while_another_runs(bench, same, || {
        Ok(bench.script("true", same).err().unwrap_or_default())
    })?;
    ensure!(refused.contains("in use by another sandbox"), "{refused:?}");
    bench
        .script("true", same)
        .map(drop)
        .map_err(|e| format!("afterwards: {e}"))
}

fn at_once(bench: &Bench) -> Result<(), String> {
    let script = "cat /proc/self/uid_map; ls -d /proc/[0-9]* | wc -l; kill -9 -1; true";
    let (second, first) = while_another_runs(bench, |_| (), || bench.script(script, |_| ()))?;
    let seen: Vec<&str> = second.log.lines().collect();
    let numbers: Vec<u32> = seen
        .iter()
        .filter_map(|line| line.trim().parse().ok())
        .collect();
    ensure!(
        numbers.iter().all(|count| *count < 10),
        "processes: {}",
        second.log
    );
    let map = |text: &str| {
        text.lines()
            .find(|line| line.split_whitespace().count() == 3)
            .map(str::to_owned)
    };
    match second.outcome.environment.id_mode {
        // seen from inside, the outer range is that of the first namespace: the same in all
        IdMode::RootRange | IdMode::UserRange => {
            ensure!(
                map(&first).is_some() && map(&second.log).is_some(),
                "{first} {}",
                second.log
            );
        }
        IdMode::SingleId => {}
    }
    ensure!(
        first.contains("Uid:"),
        "the first was ended by the second: {first}"
    );
    Ok(())
}

fn no_group_left(bench: &Bench) -> Result<(), String> {
    // of launchers that are gone: another sandbox of this machine may have its own just now
    let abandoned = |name: &str| {
        let launcher = name.strip_prefix("countersign-");
        launcher.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists())
    };
    let count = || -> usize {
        let mut found = 0;
        let mut folders = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let name = entry.file_name();
                    found += usize::from(name.to_str().is_some_and(abandoned));
                    folders.push(entry.path());
                }
            }
        }
        found
    };
    let script = "grep -c countersign- /proc/self/cgroup; true";
    let before = count();
    for _ in 0..5 {
        let run = bench.script(script, |r| r.plan.candidate.limits.cpus = Some(1))?;
        ensure!(
            run.log.trim() == "0",
            "a control group's name is seen inside: {}",
            run.log
        );
    }
    let after = count();
    ensure!(
        after <= before,
        "{before} abandoned control groups before, {after} after"
    );
    Ok(())
}
