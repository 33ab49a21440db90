//! Which package manager a tree is locked by, and what its lock file asks for. Runs in a confined child.
//!
//! Lock files are read as lines and shapes, not resolved: what counts here is which program reads
//! them, at which version, and whether everything that they name comes from registries.

use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::InspectError;
use super::super::tree_file::{self, TreeFile};
use crate::plan::is_inside;

/// Longest lock file that is read.
const MAX_LOCK_BYTES: u64 = 64 << 20;
/// Most foreign places that are listed.
const MAX_ELSEWHERE: usize = 5;
/// Longest place that is listed, in characters.
const MAX_PLACE: usize = 200;

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// `package-lock.json` or `npm-shrinkwrap.json`.
    Npm,
    /// `pnpm-lock.yaml`.
    Pnpm,
    /// `yarn.lock` of version 1.
    YarnClassic,
    /// `yarn.lock` of later versions.
    YarnBerry,
}

/// A lock file of the root of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Who reads it.
    pub manager: Manager,
    /// Its name.
    pub file: String,
    /// The version of its format, as it stands there.
    pub format: String,
    /// Whether it names the package under test.
    pub names_itself: bool,
    /// The first places that are not registries: git repositories, other addresses. Printable.
    pub elsewhere: Vec<String>,
}

/// Finds the lock file; where there are several, that of the manager that `declared` names, else the
/// first of a fixed order. A file that cannot be read is none.
pub(super) fn find(
    tree: BorrowedFd<'_>,
    name: &str,
    declared: Option<&str>,
) -> Result<Option<Lock>, InspectError> {
    const FILES: [&str; 4] = [
        "npm-shrinkwrap.json",
        "package-lock.json",
        "pnpm-lock.yaml",
        "yarn.lock",
    ];
    let mut found = Vec::new();
    for file in FILES {
        let TreeFile::Read(bytes) = tree_file::read(tree, file, MAX_LOCK_BYTES)? else {
            continue;
        };
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        found.extend(read(file, &text, name));
    }
    let is_declared = |lock: &Lock| declared.is_some_and(|d| d == word(lock.manager));
    let at = found.iter().position(is_declared).unwrap_or(0);
    Ok((!found.is_empty()).then(|| found.swap_remove(at)))
}

/// A package manager that this recipe does not run and that the tree is built with, in the tree's words: the
/// one that it declares, else the one whose lock file is the only one.
pub(super) fn unknown_manager(
    tree: BorrowedFd<'_>,
    declared: Option<&str>,
    lock: Option<&Lock>,
) -> Result<Option<String>, InspectError> {
    if let Some(declared) = declared {
        let name = declared.split('@').next().unwrap_or(declared);
        let known = ["npm", "pnpm", "yarn"].contains(&name);
        return Ok((!known).then(|| declared.to_owned()));
    }
    for file in ["bun.lock", "bun.lockb", "deno.lock", "vlt-lock.json"] {
        let is_there = matches!(
            tree_file::read(tree, file, MAX_LOCK_BYTES)?,
            TreeFile::Read(_)
        );
        if lock.is_none() && is_there {
            return Ok(Some(file.to_owned()));
        }
    }
    Ok(None)
}

/// The word of a manager in `packageManager`.
pub(super) const fn word(manager: Manager) -> &'static str {
    match manager {
        Manager::Npm => "npm",
        Manager::Pnpm => "pnpm",
        Manager::YarnClassic | Manager::YarnBerry => "yarn",
    }
}

fn read(file: &str, text: &str, name: &str) -> Option<Lock> {
    let (manager, format, facts) = match file {
        "yarn.lock" if text.contains("\n__metadata:") => {
            let format = value(text, "  version:").unwrap_or_default();
            (Manager::YarnBerry, format, berry(text, name))
        }
        "yarn.lock" => (Manager::YarnClassic, "1".to_owned(), classic(text, name)),
        "pnpm-lock.yaml" => {
            let format = value(text, "lockfileVersion:")?;
            (Manager::Pnpm, format, pnpm(text, name))
        }
        _ => {
            let lock: Value = serde_json::from_str(text).ok()?;
            let format = lock
                .get("lockfileVersion")
                .map_or(0, |v| v.as_u64().unwrap_or(0));
            (Manager::Npm, format.to_string(), npm(&lock, name))
        }
    };
    Some(Lock {
        manager,
        file: file.to_owned(),
        format,
        names_itself: facts.names_itself,
        elsewhere: facts.elsewhere,
    })
}

#[derive(Default)]
struct Facts {
    names_itself: bool,
    elsewhere: Vec<String>,
}

impl Facts {
    fn see_place(&mut self, place: &str) {
        if !is_of_registry(place) && self.elsewhere.len() < MAX_ELSEWHERE {
            let place: String = place.chars().take(MAX_PLACE).collect();
            self.elsewhere
                .push(countersign_attest::escape::printable(&place));
        }
    }
}

/// Whether a place is the tarball of a version in a registry, wherever that registry is: then ours
/// has the same file or the lock's digest says that it has not.
fn is_of_registry(place: &str) -> bool {
    let Some(rest) = place
        .strip_prefix("https://")
        .or_else(|| place.strip_prefix("http://"))
    else {
        return false;
    };
    let path = rest.split(['#', '?']).next().unwrap_or(rest);
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [_, .., name, "-", file] => {
            let base = name.rsplit("%2f").next().unwrap_or(name);
            let base = base.rsplit("%2F").next().unwrap_or(base);
            file.ends_with(".tgz") && file.starts_with(base)
        }
        _ => false,
    }
}

fn npm(lock: &Value, name: &str) -> Facts {
    let mut facts = Facts::default();
    if let Some(packages) = lock.get("packages").and_then(Value::as_object) {
        for (path, entry) in packages {
            let Some((_, of)) = path.rsplit_once("node_modules/") else {
                continue; // the tree's own
            };
            let place = entry.get("resolved").and_then(Value::as_str);
            let is_link = entry.get("link").and_then(Value::as_bool) == Some(true);
            if is_link && place.is_none_or(is_inside) {
                continue; // a member of the workspace
            }
            facts.names_itself |= entry.get("name").and_then(Value::as_str).unwrap_or(of) == name;
            if let Some(place) = place {
                facts.see_place(place);
            }
        }
        return facts;
    }
    let mut todo = vec![lock];
    while let Some(level) = todo.pop() {
        let Some(entries) = level.get("dependencies").and_then(Value::as_object) else {
            continue;
        };
        for (of, entry) in entries {
            facts.names_itself |= of == name;
            let text = |key: &str| entry.get(key).and_then(Value::as_str);
            match (text("resolved"), text("version")) {
                (Some(place), _) => facts.see_place(place),
                // a version of the first format can be a place
                (None, Some(version)) if version.contains([':', '/']) => facts.see_place(version),
                (None, _) => {}
            }
            todo.push(entry);
        }
    }
    facts
}

fn classic(text: &str, name: &str) -> Facts {
    let mut facts = Facts::default();
    for line in text.lines() {
        if let Some(place) = line.strip_prefix("  resolved ") {
            facts.see_place(place.trim_matches('"'));
        } else if line.ends_with(':') && !line.starts_with([' ', '#']) {
            facts.names_itself |= starts_with_name(line, name);
        }
    }
    facts
}

fn berry(text: &str, name: &str) -> Facts {
    let mut facts = Facts::default();
    for line in text.lines() {
        let Some(resolution) = line.strip_prefix("  resolution: ") else {
            continue;
        };
        let resolution = resolution.trim_matches('"');
        // a scope's own @ stands at the start
        let after = resolution.get(1..).unwrap_or_default();
        let Some((_, place)) = after.split_once('@') else {
            continue;
        };
        let (kind, _) = place.split_once(':').unwrap_or((place, ""));
        match kind {
            "npm" => facts.names_itself |= starts_with_name(resolution, name),
            "workspace" | "patch" | "virtual" | "link" | "portal" => {}
            _ => facts.see_place(place),
        }
    }
    facts
}

fn pnpm(text: &str, name: &str) -> Facts {
    let mut facts = Facts::default();
    for line in text.lines() {
        if let Some((_, place)) = line.split_once("tarball: ") {
            let place = place.split([',', '}']).next().unwrap_or(place);
            facts.see_place(place.trim().trim_matches(['"', '\'']));
        } else if let Some((_, place)) = line.split_once("repo: ") {
            facts.see_place(place.trim().trim_end_matches('}'));
        } else if line.starts_with("  ") && line.ends_with(':') {
            let key = line.trim().trim_start_matches(['/', '\'', '"']);
            // `name/1.0.0` in old formats, `name@1.0.0` since
            facts.names_itself |= starts_with_name(key, name)
                || key
                    .strip_prefix(name)
                    .and_then(|rest| rest.strip_prefix('/'))
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        }
    }
    facts
}

/// Whether a key begins with a name and the `@` before a version.
fn starts_with_name(key: &str, name: &str) -> bool {
    let key = key.trim_start_matches('"');
    key.strip_prefix(name)
        .is_some_and(|rest| rest.starts_with('@') && !rest.starts_with("@workspace:"))
}

/// What stands after a key at the start of a line.
fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let value = line.trim().trim_matches(['"', '\'']);
    let fine = !value.is_empty()
        && value.len() <= 16
        && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    fine.then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        file: &str,
        text: &str,
        manager: Manager,
        format: &str,
        itself: bool,
        elsewhere: &[&str],
    ) {
        let lock = read(file, text, "@s/self").expect("a lock");
        assert_eq!((lock.manager, lock.format.as_str()), (manager, format));
        assert_eq!(lock.names_itself, itself, "{text}");
        assert_eq!(lock.elsewhere, elsewhere, "{text}");
    }

    #[test]
    fn locks_of_npm() {
        check(
            "package-lock.json",
            r#"{ "lockfileVersion": 3, "packages": {
                "": { "name": "@s/self" },
                "packages/x": {},
                "node_modules/x": { "resolved": "packages/x", "link": true },
                "node_modules/y": { "resolved": "../y", "link": true },
                "node_modules/a": { "resolved": "https://r.example/a/-/a-1.0.0.tgz", "integrity": "sha512-x" },
                "node_modules/a/node_modules/@b/c": { "resolved": "https://h.example/path/@b/c/-/c-1.0.0.tgz" }
            } }"#,
            Manager::Npm,
            "3",
            false,
            &["../y"],
        );
        check(
            "npm-shrinkwrap.json",
            r#"{ "lockfileVersion": 2, "packages": {
                "node_modules/a": { "resolved": "git+ssh://git@h.example/a.git#abc" },
                "node_modules/alias": { "name": "@s/self", "resolved": "https://h.example/@s/self/-/self-1.0.0.tgz" },
                "node_modules/b": { "resolved": "https://10.0.0.1/archive/main.tar.gz" }
            } }"#,
            Manager::Npm,
            "2",
            true,
            &[
                "git+ssh://git@h.example/a.git#abc",
                "https://10.0.0.1/archive/main.tar.gz",
            ],
        );
        check(
            "package-lock.json",
            r#"{ "lockfileVersion": 1, "dependencies": {
                "a": { "version": "1.0.0", "resolved": "https://r.example/a/-/a-1.0.0.tgz", "dependencies": {
                    "@s/self": { "version": "0.1.0", "resolved": "https://r.example/@s/self/-/self-0.1.0.tgz" } } },
                "g": { "version": "github:x/g#abc" },
                "bundled": { "version": "1.0.0", "bundled": true }
            } }"#,
            Manager::Npm,
            "1",
            true,
            &["github:x/g#abc"],
        );
        assert_eq!(read("package-lock.json", "{", "a"), None);
    }

    #[test]
    fn locks_of_yarn() {
        check(
            "yarn.lock",
            "# yarn lockfile v1\n\n\n\"@b/c@^1.0.0\":\n  version \"1.0.0\"\n  resolved \"https://r.example/@b/c/-/c-1.0.0.tgz#abc\"\n\n\"@s/self@^1\":\n  version \"1.0.0\"\n\ng@x/g:\n  version \"1.0.0\"\n  resolved \"https://codeload.example/x/g/tar.gz/abc\"\n",
            Manager::YarnClassic,
            "1",
            true,
            &["https://codeload.example/x/g/tar.gz/abc"],
        );
        check(
            "yarn.lock",
            "# generated\n\n__metadata:\n  version: 8\n  cacheKey: 10c0\n\n\"@s/self@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"@s/self@workspace:.\"\n\n\"a@npm:^1\":\n  resolution: \"a@npm:1.0.0\"\n\n\"p@patch:p@npm%3A1\":\n  resolution: \"p@patch:p@npm%3A1#~builtin<compat/p>::version=1\"\n\n\"g@x/g\":\n  resolution: \"g@https://h.example/x/g.git#commit=abc\"\n",
            Manager::YarnBerry,
            "8",
            false,
            &["https://h.example/x/g.git#commit=abc"],
        );
    }

    #[test]
    fn locks_of_pnpm() {
        check(
            "pnpm-lock.yaml",
            "lockfileVersion: '9.0'\n\npackages:\n\n  a@1.0.0:\n    resolution: {integrity: sha512-x}\n\n  '@s/self@1.0.0':\n    resolution: {integrity: sha512-x}\n\n  g@https://codeload.example/x/g/tar.gz/abc:\n    resolution: {tarball: https://codeload.example/x/g/tar.gz/abc}\n    version: 1.0.0\n",
            Manager::Pnpm,
            "9.0",
            true,
            &["https://codeload.example/x/g/tar.gz/abc"],
        );
        check(
            "pnpm-lock.yaml",
            "lockfileVersion: 5.4\n\npackages:\n\n  /a/1.0.0:\n    resolution: {integrity: sha512-x}\n\n  /@s/self/1.0.0:\n    resolution: {integrity: sha512-x}\n",
            Manager::Pnpm,
            "5.4",
            true,
            &[],
        );
    }
}
