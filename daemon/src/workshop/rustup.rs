//! Rust toolchains to choose from: those that rustup has installed and those that the operator lists,
//! found by looking and without running anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a plan may take from such a toolchain.
pub(super) const TOOLS: [&str; 2] = ["cargo", "rustc"];

/// Most toolchains that are looked at: each costs a start of a sandbox.
const MOST: usize = 16;

/// The folders of the user's toolchains, each once, by name, after those of `listed` that are one.
pub(super) fn toolchains(listed: &[String]) -> Vec<String> {
    let listed = listed
        .iter()
        .filter(|folder| is_complete(Path::new(folder)));
    let mut all: Vec<String> = listed.cloned().collect();
    all.extend(installed());
    all
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
        let listed = ["a", "b"].map(|name| home.path().join(name).display().to_string());
        let all = toolchains(&listed);
        assert_eq!(
            (all.first(), all.contains(&listed[1])),
            (Some(&listed[0]), false)
        );
    }
}
