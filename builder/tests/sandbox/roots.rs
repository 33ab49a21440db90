//! A build in a root file system sees that and nothing of this machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use countersign_builder::environment::rootfs;
use countersign_builder::outcome::Ended;
use countersign_builder::plan::EnvironmentSpec;

use crate::bench::{Bench, PAYLOAD};
use crate::{Case, ensure};

pub(crate) const CASES: &[(&str, Case)] = &[
    (
        "a root file system takes the place of the machine's own",
        root,
    ),
    ("a plan and a request must agree on a root", disagree),
];

/// A root with this binary, the libraries that it needs, and files that say where they are from.
fn image(bench: &Bench) -> Result<tempfile::TempDir, String> {
    let root = tempfile::tempdir_in(bench.scratch.path()).map_err(|e| e.to_string())?;
    let copy = |from: &Path, to: &Path| -> Result<(), String> {
        let to = root.path().join(to.strip_prefix("/").unwrap_or(to));
        let folder = to.parent().unwrap_or(root.path());
        fs::create_dir_all(folder).map_err(|e| e.to_string())?;
        fs::copy(from, &to)
            .map(drop)
            .map_err(|e| format!("{}: {e}", from.display()))
    };
    copy(&bench.binary, Path::new("/usr/bin").join(PAYLOAD).as_path())?;
    let maps = fs::read_to_string("/proc/self/maps").map_err(|e| e.to_string())?;
    let libraries: BTreeSet<PathBuf> = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .filter(|path| path.contains(".so"))
        .map(PathBuf::from)
        .collect();
    for library in &libraries {
        let name = library.file_name().unwrap_or_default();
        // the linker's own name is in the program, and it looks for the rest here
        copy(library, &Path::new("/usr/lib64").join(name))?;
        copy(library, &Path::new("/usr/lib").join(name))?;
    }
    for link in ["lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{link}"), root.path().join(link))
            .map_err(|e| e.to_string())?;
    }
    for (path, text) in [
        ("etc/own", "of the root"),
        ("etc/passwd", "of the root"),
        ("opt/x", "x"),
    ] {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(root.path())).map_err(|e| e.to_string())?;
        fs::write(path, text).map_err(|e| e.to_string())?;
    }
    std::os::unix::fs::symlink("/etc/shadow", root.path().join("etc/link"))
        .map_err(|e| e.to_string())?;
    Ok(root)
}

fn root(bench: &Bench) -> Result<(), String> {
    let image = image(bench)?;
    let sha256 = rootfs::check(image.path()).map_err(crate::bench::shown)?;
    let folder = image.path().to_str().unwrap_or_default().to_owned();
    let act = |act: &[&str]| -> Result<Result<(), String>, String> {
        let mut argv = vec![PAYLOAD, "act"];
        argv.extend(act);
        let run = bench.replay(&[&argv], |request| {
            request.plan.candidate.environment = EnvironmentSpec::Rootfs { sha256 };
            request.root = Some(folder.clone());
            request.toolchains.clear();
        })?;
        ensure!(run.outcome.environment.root == Some(sha256), "not recorded");
        match run.outcome.ended {
            Ended::Completed => Ok(Ok(())),
            Ended::Exited { code: 1, .. } => Ok(Err(run.log)),
            other => Err(format!("{act:?}: {other:?} {}", run.log)),
        }
    };
    for there in [
        "/etc/own",
        "/opt/x",
        "/etc/passwd",
        "/usr/bin/payload",
        "/proc/cpuinfo",
    ] {
        act(&["read", there])?.map_err(|e| format!("{there}: {e}"))?;
    }
    // of the host, seen by every other build, and nothing that a link of the image leads to
    bench
        .inside(&["read", "/usr/bin/env"])?
        .map_err(|e| format!("control arm: {e}"))?;
    for gone in ["/usr/bin/env", "/etc/link", "/etc/ld.so.cache"] {
        match act(&["read", gone])? {
            Err(error) => ensure!(error.contains("No such file"), "{gone}: {error}"),
            Ok(()) => return Err(format!("{gone} is there")),
        }
    }
    for closed in ["/etc/own", "/usr/new", "/opt/x"] {
        match act(&["write", closed])? {
            Err(error) => ensure!(
                // by the mount, or before that by the owner, who is not the build user
                error.contains("Read-only") || error.contains("denied"),
                "{closed}: {error}"
            ),
            Ok(()) => return Err(format!("{closed} was written")),
        }
    }
    ensure!(
        rootfs::check(image.path()).map_err(crate::bench::shown)? == sha256,
        "the image is another now"
    );
    Ok(())
}

fn disagree(bench: &Bench) -> Result<(), String> {
    match bench.replay(&[&["true"]], |request| request.root = Some("/".into())) {
        Err(error) => {
            ensure!(error.contains("do not agree"), "{error}");
            Ok(())
        }
        Ok(run) => Err(format!("{:?}", run.outcome.ended)),
    }
}
