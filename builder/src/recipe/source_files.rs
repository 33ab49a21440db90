//! Which files of a published archive the source tree has not, or has otherwise.
//!
//! That says nothing by itself, because builds make files. A file that is in the archive, not in the
//! tree and not made by a rebuild is the finding that matters most.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;

use countersign_attest::digest::{Hasher, Sha256};
use serde::{Deserialize, Serialize};

use super::InspectError;
use crate::archive::escape;
use crate::tree::{self, Entry, Order, TreeError};

/// Most names that are listed of each kind.
const LISTED: usize = 30;
/// Ends of names of what machines run as it is.
const OBJECTS: [&str; 10] = [
    ".a", ".class", ".dll", ".dylib", ".exe", ".jar", ".node", ".o", ".so", ".wasm",
];
/// Ends of names of what interpreters run.
const SCRIPTS: [&str; 14] = [
    ".bash", ".bat", ".cjs", ".cmd", ".js", ".mjs", ".php", ".pl", ".ps1", ".py", ".rb", ".sh",
    ".ts", ".rs",
];

/// Files of an archive that a tree has not, or has otherwise. Names are escaped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlike {
    /// Not in the tree: what can be run first, each kind by name.
    pub absent: Vec<String>,
    /// In the tree with other content, in the same order.
    pub changed: Vec<String>,
    /// How many more of either kind are not listed.
    pub unlisted: u64,
}

impl Unlike {
    /// Whether the tree has every file but for those of these names.
    #[must_use]
    pub fn is_nothing_but(&self, names: &[&str]) -> bool {
        let mut all = self.absent.iter().chain(&self.changed);
        self.unlisted == 0 && all.all(|name| names.contains(&name.as_str()))
    }
}

/// Looks for files, by their paths in the archive without its first folder, in a folder of the tree.
pub(super) fn unlike<'a>(
    tree: BorrowedFd<'_>,
    folder: &str,
    files: impl Iterator<Item = (&'a [u8], Sha256)>,
) -> Result<Unlike, InspectError> {
    let folder = match folder {
        "" => Vec::new(),
        folder => format!("{folder}/").into_bytes(),
    };
    let mut wanted: BTreeMap<Vec<u8>, (Sha256, Option<Sha256>)> = files
        .map(|(name, sha256)| ([&folder, name].concat(), (sha256, None)))
        .collect();
    tree::walk(tree, Order::Ascending, &mut |path, entry| {
        if let Entry::File(mut file, _) = entry
            && let Some((_, found)) = wanted.get_mut(path)
        {
            let mut hasher = Hasher::new();
            io::copy(&mut file, &mut hasher).map_err(|source| TreeError::Io {
                path: escape(path),
                source,
            })?;
            *found = Some(hasher.finish().sha256);
        }
        Ok::<_, TreeError>(())
    })
    .map_err(|error| InspectError::Tree {
        path: String::new(),
        source: io::Error::other(error),
    })?;
    let (mut absent, mut changed) = (Vec::new(), Vec::new());
    for (path, (published, found)) in wanted {
        let name = escape(path.get(folder.len()..).unwrap_or_default());
        match found {
            None => absent.push(name),
            Some(found) if found != published => changed.push(name),
            Some(_) => {}
        }
    }
    let mut unlisted = 0;
    for list in [&mut absent, &mut changed] {
        list.sort_by_key(|name| (weight(name), name.clone()));
        unlisted += list.len().saturating_sub(LISTED) as u64;
        list.truncate(LISTED);
    }
    Ok(Unlike {
        absent,
        changed,
        unlisted,
    })
}

/// What machines run comes before what interpreters run, and that before all else.
fn weight(name: &str) -> u8 {
    let ends = |list: &[&str]| list.iter().any(|end| name.ends_with(end));
    match (ends(&OBJECTS), ends(&SCRIPTS)) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_the_tree_has_not_is_listed_with_what_runs_first() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("p/lib")).unwrap();
        fs::write(tree.path().join("p/lib/same.js"), "same").unwrap();
        fs::write(tree.path().join("p/other.md"), "tree").unwrap();
        fs::write(tree.path().join("outside.js"), "outside").unwrap();
        std::os::unix::fs::symlink("lib/same.js", tree.path().join("p/link.js")).unwrap();
        let files = [
            "lib/same.js",
            "other.md",
            "outside.js",
            "link.js",
            "z.wasm",
            "a.txt",
            "n\nl.sh",
        ];
        let archived = files.map(|name| {
            let content = if name.contains("same") { "same" } else { name };
            (name.as_bytes(), Sha256::of(content.as_bytes()))
        });
        let tree = fs::File::open(tree.path()).unwrap();
        let found = unlike(tree.as_fd(), "p", archived.into_iter()).unwrap();
        assert_eq!(
            found.absent,
            ["z.wasm", "link.js", "n%0Al.sh", "outside.js", "a.txt"]
        );
        assert_eq!(
            (found.changed.as_slice(), found.unlisted),
            (&["other.md".to_owned()][..], 0)
        );
        assert!(!found.is_nothing_but(&["other.md"]));

        let many: Vec<String> = (0..40).map(|n| format!("{n:02}.js")).collect();
        let many = many.iter().map(|name| (name.as_bytes(), Sha256::of(b"")));
        let found = unlike(tree.as_fd(), "", many).unwrap();
        assert_eq!(
            (found.absent.len(), found.unlisted),
            (LISTED, 40 - LISTED as u64)
        );
    }
}
