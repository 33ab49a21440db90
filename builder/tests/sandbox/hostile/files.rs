//! Files that a build makes to fool, fill or outlive whoever collects them.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use countersign_builder::outcome::{Ended, LimitKind};
use countersign_builder::plan::Limits;

use super::Arm::{Outside, OutsideWhere};
use super::{Act, Wall, act, try_all};
use crate::bench::{Bench, outputs, shown};
use crate::controls::Control;
use crate::{Case, ensure};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("hostile: set-user-id bits and attributes", bits),
    ("hostile: links and devices", links),
    ("hostile: what fools a naive collector", naive),
    ("hostile: a full disk, many files, deep trees", fill),
    ("hostile: a socket in the source", socket_in_source),
    ("hostile: core files", core),
];

const REFUSED: &[&str] = &["not permitted"];
/// Refused, or made without the bit.
const STRIPPED: &[&str] = &["not permitted", "stripped"];

fn bits(bench: &Bench) -> Result<(), String> {
    const ACTS: &[Act] = &[
        act(11, &["suid-chmod", "@/chmod"], Outside, STRIPPED),
        act(11, &["suid-fchmod", "@/fchmod"], Outside, STRIPPED),
        act(
            11,
            &["suid-fchmodat2", "@/fchmodat2"],
            OutsideWhere("this kernel lacks the call"),
            STRIPPED,
        ),
        act(11, &["suid-open", "@/open"], Outside, STRIPPED),
        act(11, &["suid-creat", "@/creat"], Outside, STRIPPED),
        act(11, &["suid-mknod", "@/mknod"], Outside, STRIPPED),
        act(
            12,
            &["own-xattr-capability", "@/capability"],
            Outside,
            &["not supported"],
        ),
        act(
            13,
            &["xattr-user", "@/user"],
            OutsideWhere("this file system keeps no attributes"),
            &["not supported"],
        ),
    ];
    try_all(bench, ACTS)?;
    // by an archive, which sets the bit that it holds
    let folder = bench.scratch.path().join("suid-archive");
    let archive = "mkdir -p d && : > d/f && chmod 4755 d/f && tar -cf suid.tar d && rm -r d && tar -xpf suid.tar && test -u d/f";
    fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let made = Command::new("sh")
        .args(["-c", archive])
        .current_dir(&folder)
        .status();
    ensure!(
        made.is_ok_and(|status| status.success()),
        "control arm: tar outside"
    );
    let tar = fs::read(folder.join("suid.tar")).map_err(|e| e.to_string())?;
    let tree = bench.tree();
    fs::write(tree.path().join("suid.tar"), tar).map_err(|e| e.to_string())?;
    let inside: &[&str] = &[
        "sh",
        "-c",
        "tar -xpf suid.tar; if test -u d/f; then echo kept; else echo lost; fi",
    ];
    let run = bench
        .replay_tree(tree.path(), &[inside], |_| (), &mut |_| ())
        .map_err(shown)?;
    ensure!(run.log.ends_with("lost\n"), "{}", run.log);
    bench.shown.tell(11, "tar -xp", Control::Outside);
    Ok(())
}

fn links(bench: &Bench) -> Result<(), String> {
    const ROOT: &str = "only root may make devices";
    fs::write(bench.scratch.path().join("linked"), "x").map_err(|e| e.to_string())?;
    const ACTS: &[Act] = &[
        act(10, &["mknod-c", "@/device"], OutsideWhere(ROOT), REFUSED),
        act(10, &["mknod-b", "@/disk"], OutsideWhere(ROOT), REFUSED),
    ];
    try_all(bench, ACTS)?;
    let own = |name: &str| bench.scratch.path().join(name).display().to_string();
    bench
        .hostile_outside(&["link", &own("linked"), &own("second-name")])
        .map_err(|e| format!("control arm: {e}"))?;
    for from in ["/etc/passwd", "/usr/bin/env", "/tmp/other"] {
        // from a file system of its own, even where the build owns the file
        let made: &[&str] = &["sh", "-c", ": > /tmp/other"];
        let link: &[&str] = &["hostile", "link", from, "/build/linked"];
        let run = bench.replay(&[made, link], |_| ())?;
        ensure!(
            matches!(run.outcome.ended, Ended::Exited { step: 1, code: 1 })
                && ["cross-device", "not permitted"]
                    .iter()
                    .any(|text| run.log.contains(text)),
            "{from}: {:?} {}",
            run.outcome.ended,
            run.log
        );
    }
    bench.shown.tell(16, "link", Control::Outside);
    Ok(())
}

/// What reads by path, as a program without thought does, follows links, hangs on pipes, and leaves.
fn naive(bench: &Bench) -> Result<(), String> {
    let folder = bench.scratch.path().join("naive");
    fs::create_dir_all(folder.join("real")).map_err(|e| e.to_string())?;
    let secret = bench.scratch.path().join("naive-secret");
    fs::write(&secret, "secret").map_err(|e| e.to_string())?;
    symlink(&secret, folder.join("link")).map_err(|e| e.to_string())?;
    symlink(bench.scratch.path(), folder.join("way")).map_err(|e| e.to_string())?;
    for way in ["link", "way/naive-secret", "real/../../naive-secret"] {
        let read = fs::read_to_string(folder.join(way)).unwrap_or_default();
        ensure!(read == "secret", "control arm {way}: {read:?}");
    }
    let pipe = folder.join("pipe").display().to_string();
    bench.hostile_outside(&["mkfifo", &pipe])?;
    let hung = Command::new("timeout").args(["0.5", "cat", &pipe]).status();
    ensure!(
        hung.is_ok_and(|status| status.code() == Some(124)),
        "control arm: reading a pipe without a writer does not hang"
    );
    bench.hostile_outside(&["bind-path", &folder.join("socket").display().to_string()])?;
    let made =
        "ln -s /etc/passwd link; ln -s /etc way; mkfifo pipe; mkdir real; hostile bind-path socket";
    for (number, pattern) in [
        (14, "link"),
        (15, "way/passwd"),
        (17, "pipe"),
        (18, "socket"),
    ] {
        let run = bench.script(made, |request| outputs(request, &[pattern]))?;
        ensure!(
            matches!(run.outcome.ended, Ended::OutputRejected { .. }) && run.outputs.is_empty(),
            "{pattern}: {:?} {}",
            run.outcome.ended,
            run.log
        );
        bench.shown.tell(number, pattern, Control::Outside);
    }
    let escaping = bench.script(made, |request| outputs(request, &["real/../../x"]));
    ensure!(
        escaping.is_err_and(|e| e.contains("leaves")),
        "a pattern that leaves"
    );
    Ok(())
}

fn fill(bench: &Bench) -> Result<(), String> {
    let ended = |words: &[&str], change: &dyn Fn(&mut Limits)| {
        let mut argv = vec!["hostile"];
        argv.extend(words);
        let run = bench.replay(&[&argv], |r| change(&mut r.plan.candidate.limits))?;
        Ok::<_, String>((run.outcome.ended, run.log))
    };
    let full = |number: u32, words: &[&str], raise: &dyn Fn(&mut Limits)| {
        let (found, log) = ended(words, &|_| ())?;
        let told = matches!(
            found,
            Ended::LimitReached {
                limit: LimitKind::Disk,
                ..
            }
        );
        ensure!(
            told || log.contains("No space left"),
            "{words:?}: {found:?} {log}"
        );
        let (found, log) = ended(words, raise)?;
        ensure!(
            found == Ended::Completed,
            "control arm {words:?}: {found:?} {log}"
        );
        bench.shown.tell(
            number,
            words.join(" "),
            Control::Without("the limit raised"),
        );
        Ok::<_, String>(())
    };
    // the bench gives 64 MiB and 5000 files
    for path in ["/build/fill", "/tmp/fill", "/dev/shm/fill"] {
        full(21, &["fill", path, "100000000"], &|limits| {
            limits.disk_bytes = 200 << 20;
        })?;
    }
    full(22, &["inodes", "/build", "6000"], &|limits| {
        limits.disk_inodes = 8000;
    })?;
    let sparse: &[&str] = &["truncate", "/build/sparse", "0x1000000000000"];
    let (found, log) = ended(sparse, &|_| ())?;
    ensure!(log.contains("File too large"), "{found:?} {log}");
    bench
        .hostile(sparse, Some(Wall::ResourceLimits), |_| ())?
        .map_err(|e| format!("control arm: {e}"))?;
    bench
        .shown
        .tell(19, "truncate", Control::Without("limits of one process"));
    // deeper than any path, and gone with its file system
    let script = "hostile deep deep 3000 && echo made && echo x > out";
    let run = bench.script(script, |request| {
        request.plan.candidate.limits.disk_inodes = 8000;
        outputs(request, &["out", "deep/*"]);
    })?;
    ensure!(run.log == "made\n", "{}", run.log);
    ensure!(
        matches!(&run.outcome.ended, Ended::OutputMissing { pattern } if pattern == "deep/*"),
        "{:?}",
        run.outcome.ended
    );
    let place = bench.scratch.path().join("deep").display().to_string();
    bench
        .hostile_outside(&["deep", &place, "100"])
        .map_err(|e| format!("control arm: {e}"))?;
    bench.shown.tell(23, "deep", Control::Outside);
    Ok(())
}

/// A socket's name is a way to its owner, through every wall but the view of files.
fn socket_in_source(bench: &Bench) -> Result<(), String> {
    let tree = bench.tree();
    let reach: &[&str] = &["payload", "act", "connect-unix", "smuggled"];
    let run = || bench.replay_tree(tree.path(), &[reach], |_| (), &mut |_| ());
    let absent = run().map_err(shown)?;
    ensure!(
        absent.log.contains("No such file"),
        "control arm: {}",
        absent.log
    );
    let path = tree.path().join("smuggled");
    let _listener = UnixListener::bind(&path).map_err(|e| e.to_string())?;
    bench
        .outside(&["connect-unix", &path.display().to_string()])
        .map_err(|e| format!("control arm: {e}"))?;
    // a tree with a socket has no digest, and the builder takes none
    let digest = fs::File::open(tree.path())
        .map(|tree| countersign_builder::tree::digest(std::os::fd::AsFd::as_fd(&tree)).map(|_| ()));
    let refused = digest.map_err(|e| e.to_string())?;
    ensure!(refused.is_err(), "a tree with a socket has a digest");
    bench.shown.tell(40, "connect-unix", Control::Outside);
    Ok(())
}

fn core(bench: &Bench) -> Result<(), String> {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let script = "hostile raise 11 core; ls; ls core* >/dev/null 2>&1 && echo dumped; true";
    let dumps = |wall| {
        let run = bench.script_without(script, wall)?;
        Ok::<_, String>(run.log.contains("dumped"))
    };
    ensure!(!dumps(None)?, "a core file");
    let control = if pattern.starts_with("core") {
        ensure!(
            dumps(Some(Wall::ResourceLimits))?,
            "control arm: no core file"
        );
        Control::Without("limits of one process")
    } else {
        Control::No(format!(
            "this machine sends core files elsewhere ({})",
            pattern.trim()
        ))
    };
    bench.shown.tell(67, "core", control);
    Ok(())
}
