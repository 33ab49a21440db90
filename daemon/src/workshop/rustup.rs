//! Rust toolchains to choose from: those that rustup has installed and those that the operator lists,
//! found by looking and without running anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a plan may take from such a toolchain.
pub(super) const TOOLS: [&str; 2] = ["cargo", "rustc"];

/// Most toolchains that are looked at: each costs a start of a sandbox.
const MOST: usize = 16;

/// The rungs, each as the folders to put before this machine's own: those of `listed` that are one, then
/// the user's own, by name. A folder with cargo alone, as `cargo install cargo --root` makes one, takes
/// its rustc from the first whole one.
pub(super) fn toolchains(listed: &[String]) -> Vec<Vec<String>> {
    rungs(listed, installed())
}

fn rungs(listed: &[String], installed: Vec<String>) -> Vec<Vec<String>> {
    let whole = |folder: &&String| is_complete(Path::new(folder));
    let released = |folder: &&&String| !folder.contains("nightly");
    let all: Vec<&String> = listed.iter().filter(whole).chain(&installed).collect();
    let rustc = all.iter().find(released).or_else(|| all.first());
    let rung = |folder: &String| {
        let bin = Path::new(folder).join("bin");
        let lacking = |tool: &str| !bin.join(tool).is_file();
        match TOOLS.map(lacking) {
            [false, false] => Some(vec![folder.clone()]),
            [false, true] => {
                let rustc = rustc.map(|folder| (*folder).clone());
                Some(std::iter::once(folder.clone()).chain(rustc).collect())
            }
            [true, _] => None,
        }
    };
    let mut rungs: Vec<Vec<String>> = listed.iter().filter_map(rung).collect();
    rungs.extend(installed.iter().map(|folder| vec![folder.clone()]));
    rungs
}

fn installed() -> Vec<String> {
    let home = std::env::var_os("RUSTUP_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".rustup")));
    home.map_or_else(Vec::new, |home| toolchains_in(&home.join("toolchains")))
}

fn toolchains_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new(); // no rustup here
    };
    let mut found = BTreeSet::new();
    for entry in entries.flatten() {
        // toolchains may be links to each other, and to what a developer has just built
        let Ok(real) = fs::canonicalize(entry.path()) else {
            continue;
        };
        if is_complete(&real) {
            found.extend(real.to_str().map(str::to_owned));
        }
    }
    found.into_iter().take(MOST).collect()
}

fn is_complete(folder: &Path) -> bool {
    let bin = folder.join("bin");
    TOOLS.iter().all(|tool| bin.join(tool).is_file())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn complete_toolchains_are_found_once() {
        let home = tempfile::tempdir().unwrap();
        for (toolchain, tools) in [("a", &TOOLS[..]), ("b", &TOOLS[..1]), ("c", &TOOLS[..])] {
            let bin = home.path().join(toolchain).join("bin");
            fs::create_dir_all(&bin).unwrap();
            for tool in tools {
                fs::write(bin.join(tool), "").unwrap();
            }
        }
        symlink("a", home.path().join("z")).unwrap();
        symlink("nowhere", home.path().join("y")).unwrap();
        let found = toolchains_in(home.path());
        let names: Vec<_> = found.iter().filter_map(|f| f.rsplit('/').next()).collect();
        assert_eq!(names, ["a", "c"]);
        assert!(toolchains_in(&home.path().join("nowhere")).is_empty());
    }

    #[test]
    fn cargo_alone_takes_its_rustc_from_a_whole_toolchain() {
        let home = tempfile::tempdir().unwrap();
        let folder = |name: &str, tools: &[&str]| {
            let bin = home.path().join(name).join("bin");
            fs::create_dir_all(&bin).unwrap();
            for tool in tools {
                fs::write(bin.join(tool), "").unwrap();
            }
            home.path().join(name).display().to_string()
        };
        let (cargo, whole) = (folder("cargo", &["cargo"]), folder("whole", &TOOLS));
        let (nightly, rustc) = (folder("nightly", &TOOLS), folder("rustc", &["rustc"]));
        let listed = [cargo.clone(), rustc, whole.clone()];
        assert_eq!(
            rungs(&listed, vec![nightly.clone()]),
            [
                vec![cargo.clone(), whole.clone()],
                vec![whole.clone()],
                vec![nightly.clone()]
            ]
        );
        // no other is there: the nightly's
        let alone = [cargo.clone()];
        let found = rungs(&alone, vec![nightly.clone(), whole.clone()]);
        assert_eq!(found[0], [cargo.clone(), whole]);
        let found = rungs(&alone, vec![nightly.clone()]);
        assert_eq!(found[0], [cargo.clone(), nightly]);
        // none at all: the one of /usr, if it has any
        assert_eq!(rungs(&alone, Vec::new()), [[cargo]]);
    }
}
