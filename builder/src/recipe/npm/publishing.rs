//! Reads how a tree says that it is published: the folder that is packed, and what is run before. Runs in
//! a confined child.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::InspectError;
use super::super::tree_file::{self, TreeFile};
use super::workflow::{self, Workflow};
use crate::plan::is_inside;

/// Where forges look for workflows.
const WORKFLOWS: &str = ".github/workflows";
/// Most bytes of a workflow or of a small settings file.
const MAX_BYTES: u64 = 256 << 10;
/// Most scripts that are run before packing.
const MAX_TASKS: usize = 8;
/// A tool that publishes from a folder in which it has cleaned the package: its name is its program's, its
/// settings' in a manifest, and its own file's after a dot.
pub(super) const CLEANER: &str = "clean-publish";
/// Where it is told to put that folder.
const CLEANED: &str = "countersign-cleaned";

/// How a package is published, where that is not from its own folder after its own `build`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publishing {
    /// The folder that is packed.
    pub folder: Option<PackFolder>,
    /// Scripts that the tree's release workflow runs before, in order.
    pub tasks: Vec<Task>,
}

/// A folder that a build makes and that is packed. Inside of the package's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackFolder {
    /// Its path.
    pub path: String,
    /// Who says so.
    pub by: NamedBy,
}

/// Who names the folder that is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedBy {
    /// `publishConfig.directory` of the manifest.
    Manifest,
    /// `contents` of lerna's settings.
    Lerna,
    /// A script that publishes.
    Script,
    /// A workflow that publishes.
    Workflow,
    /// A script that copies the manifest there.
    Copy,
    /// Settings of a tool that cleans a copy of the package and publishes that.
    Cleaner,
}

/// A script of a package and the variables that it is run with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its name.
    pub script: String,
    /// By name.
    pub variables: BTreeMap<String, String>,
}

/// Reads what stands around a manifest in `folder`; with it a node that the release workflow names.
pub(super) fn find(
    tree: BorrowedFd<'_>,
    folder: &str,
    manifest: &Value,
) -> Result<(Publishing, Option<String>), InspectError> {
    let scripts = || {
        let scripts = manifest.get("scripts").and_then(Value::as_object);
        scripts
            .into_iter()
            .flatten()
            .filter_map(|(name, text)| Some((name, text.as_str()?)))
    };
    let workflow = match folder {
        "" => workflow(tree, |script| scripts().any(|(name, _)| name == script))?,
        _ => Workflow::default(), // it says what is done at the root
    };
    let at = |path: &[&str]| path.iter().try_fold(manifest, |value, key| value.get(key));
    let text = |path: &[&str]| at(path).and_then(Value::as_str).and_then(inside);
    let named = [
        (NamedBy::Manifest, text(&["publishConfig", "directory"])),
        (NamedBy::Lerna, lerna(tree)?),
        (
            NamedBy::Script,
            scripts().find_map(|(_, text)| inside(&workflow::folder_of(text)?)),
        ),
        (
            NamedBy::Workflow,
            workflow.folder.as_deref().and_then(inside),
        ),
        (
            NamedBy::Copy,
            at(&["private"])
                .and_then(Value::as_bool)
                .unwrap_or(false)
                .then(|| scripts().find_map(|(_, text)| copied_to(text)))
                .flatten(),
        ),
        (
            NamedBy::Cleaner,
            cleaned(tree, folder, manifest, scripts().map(|(_, text)| text))?,
        ),
    ];
    let found = named
        .into_iter()
        .find_map(|(by, path)| Some(PackFolder { path: path?, by }));
    let mut tasks = workflow.scripts;
    tasks.truncate(MAX_TASKS);
    // that is what is run anyway
    if tasks
        .iter()
        .all(|task| task.script == "build" && task.variables.is_empty())
    {
        tasks.clear();
    }
    Ok((
        Publishing {
            folder: found,
            tasks,
        },
        workflow.node,
    ))
}

/// A path inside of the package, without dots.
fn inside(path: &str) -> Option<String> {
    let path = path
        .strip_prefix("./")
        .unwrap_or(path)
        .trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@/".contains(c);
    (path != "." && !path.starts_with('-') && is_inside(path) && path.chars().all(plain))
        .then(|| path.to_owned())
}

/// The first workflow, by name, that publishes.
fn workflow(tree: BorrowedFd<'_>, known: impl Fn(&str) -> bool) -> Result<Workflow, InspectError> {
    for name in tree_file::names(tree, WORKFLOWS)? {
        let TreeFile::Read(bytes) =
            tree_file::read(tree, &format!("{WORKFLOWS}/{name}"), MAX_BYTES)?
        else {
            continue;
        };
        if let Some(found) = workflow::read(&String::from_utf8_lossy(&bytes), &known) {
            return Ok(found);
        }
    }
    Ok(Workflow::default())
}

fn lerna(tree: BorrowedFd<'_>) -> Result<Option<String>, InspectError> {
    let TreeFile::Read(bytes) = tree_file::read(tree, "lerna.json", MAX_BYTES)? else {
        return Ok(None);
    };
    let Ok(settings) = serde_json::from_slice::<Value>(&bytes) else {
        return Ok(None);
    };
    let places = [
        "/command/publish/contents",
        "/command/publish/directory",
        "/contents",
    ];
    let found = places
        .iter()
        .find_map(|place| settings.pointer(place)?.as_str());
    Ok(found.and_then(inside))
}

/// Where a script copies the manifest, among other files.
fn copied_to(script: &str) -> Option<String> {
    let mut copies = script.split(&['&', ';', '|'][..]).filter_map(|command| {
        let words: Vec<&str> = command.split_ascii_whitespace().collect();
        let [before @ .., last] = words.as_slice() else {
            return None;
        };
        let copies = before
            .iter()
            .take(2)
            .any(|word| matches!(*word, "cp" | "cpy" | "copyfiles" | "ncp"));
        (copies && before.contains(&"package.json"))
            .then(|| inside(last))
            .flatten()
    });
    copies.next()
}

/// Where a cleaner is told to clean a package: its settings are there, and no script runs it.
fn cleaned<'a>(
    tree: BorrowedFd<'_>,
    folder: &str,
    manifest: &Value,
    mut scripts: impl Iterator<Item = &'a str>,
) -> Result<Option<String>, InspectError> {
    let asked_for = manifest
        .get("devDependencies")
        .is_some_and(|d| d.get(CLEANER).is_some());
    if !asked_for || scripts.any(|script| script.contains(CLEANER)) {
        return Ok(None);
    }
    let file = match folder {
        "" => format!(".{CLEANER}"),
        folder => format!("{folder}/.{CLEANER}"),
    };
    let has_file = matches!(tree_file::read(tree, &file, MAX_BYTES)?, TreeFile::Read(_));
    let is_set = manifest.get(CLEANER).is_some() || has_file;
    Ok(is_set.then(|| CLEANED.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd as _;

    use serde_json::json;

    use super::*;

    fn found(files: &[(&str, &str)], manifest: &Value) -> (Publishing, Option<String>) {
        let tree = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("room");
        }
        let opened = fs::File::open(tree.path()).expect("the folder");
        find(opened.as_fd(), "", manifest).expect("a readable tree")
    }

    #[test]
    fn the_folder_that_is_packed_is_read_off_where_it_is_named() {
        let workflow = "steps:\n  - run: pnpm publish\n    working-directory: dist\n";
        let cleaner = json!({ "clean-publish": {}, "devDependencies": { "clean-publish": "5" } });
        let mut run = cleaner.clone();
        run["scripts"] = json!({ "prepublishOnly": "clean-publish" });
        let copies = json!({ "private": true, "scripts": {
            "copy": "shx cp -r a dist/esm && shx cp package.json README.md ./lib/" } });
        let mut public = copies.clone();
        public["private"] = false.into();
        let manifest = |directory: &str| json!({ "publishConfig": { "directory": directory } });
        let lerna = (
            "lerna.json",
            r#"{"command":{"publish":{"contents":"pkg"}}}"#,
        );
        for (files, manifest, expect) in [
            (
                &[][..],
                manifest("package"),
                Some((NamedBy::Manifest, "package")),
            ),
            (
                &[],
                manifest("./package/"),
                Some((NamedBy::Manifest, "package")),
            ),
            (&[], manifest("../x"), None),
            (&[], manifest("."), None),
            (&[], manifest("-x"), None),
            (&[], manifest("a b"), None),
            (&[lerna], json!({}), Some((NamedBy::Lerna, "pkg"))),
            (&[("lerna.json", "{")], json!({}), None),
            (
                &[],
                json!({ "scripts": { "release": "cd out && npm publish" } }),
                Some((NamedBy::Script, "out")),
            ),
            (
                &[
                    (".github/workflows/a.yml", "x:\n"),
                    (".github/workflows/b.yml", workflow),
                ],
                json!({}),
                Some((NamedBy::Workflow, "dist")),
            ),
            (&[(".github/workflows", "a file")], json!({}), None),
            (&[], copies, Some((NamedBy::Copy, "lib"))),
            (&[], public, None),
            (&[], cleaner.clone(), Some((NamedBy::Cleaner, CLEANED))),
            (&[], run, None),
            // asked for, and not set up; set up, and not asked for
            (
                &[],
                json!({ "devDependencies": { "clean-publish": "5" } }),
                None,
            ),
            (&[], json!({ "clean-publish": {} }), None),
        ] {
            let (publishing, _) = found(files, &manifest);
            let folder = publishing.folder.as_ref();
            let folder = folder.map(|folder| (folder.by, folder.path.as_str()));
            assert_eq!(folder, expect, "{files:?} {manifest}");
        }
    }

    #[test]
    fn scripts_of_the_release_workflow_count_where_they_are_more_than_the_build() {
        let manifest = json!({ "scripts": { "build": "x", "types": "y" } });
        let of = |runs: &str| {
            let text = format!("steps:\n  - run: {runs}\n  - run: npm publish\n");
            found(&[(".github/workflows/a.yml", &text)], &manifest)
                .0
                .tasks
        };
        assert_eq!(of("npm run build"), []);
        assert_eq!(of("npm run other"), []);
        let tasks = of("npm run build && npm run types");
        let names: Vec<&str> = tasks.iter().map(|task| task.script.as_str()).collect();
        assert_eq!(names, ["build", "types"]);
    }
}
