//! What is told of npm's evidence and of each way, for people. Nothing is decided by it but by [`way`],
//! which names a way the same in every release of a package.

use super::candidate::{Build, Place, Way};
use super::lock;
use super::published::{Packer, PublishedManifest};
use super::publishing::{CLEANER, NamedBy};
use super::tools::Toolchain;
use super::{Declared, NpmEvidence};
use crate::archive::escape;
use crate::recipe::Situation;

/// What the tree and the tarball say.
pub(super) fn said(evidence: &NpmEvidence) -> Vec<String> {
    let mut lines = Vec::new();
    match &evidence.published {
        PublishedManifest::NotGiven => lines.push("no tarball to look into".to_owned()),
        PublishedManifest::Unreadable { detail } => lines.push(format!("the tarball: {detail}")),
        PublishedManifest::Found { packer, unlike, .. } => {
            lines.push(format!("packed by {}", packed_by(*packer)));
            let (absent, changed) = (unlike.absent.len(), unlike.changed.len());
            lines.push(format!(
                "of its files the tree has not {absent}, and {changed} otherwise; {} more are either",
                unlike.unlisted
            ));
        }
    }
    lines.push(match &evidence.lock {
        None => "the tree has no lock file".to_owned(),
        Some(lock) => format!(
            "the tree is locked by {} ({}, format {})",
            lock.file,
            lock::word(lock.manager),
            lock.format
        ),
    });
    if let Some(named) = &evidence.unknown_manager {
        lines.push(format!(
            "the tree is built with {named}, which this recipe does not run"
        ));
    }
    if !evidence.scripts.is_empty() {
        let names: Vec<&str> = evidence.scripts.keys().map(String::as_str).collect();
        lines.push(format!("scripts before packing: {}", names.join(", ")));
    }
    if evidence.builds_at_root {
        lines.push("the root of the tree has a build".to_owned());
    }
    let publishing = &evidence.publishing;
    if let Some(folder) = &publishing.folder {
        let by = named_by(folder.by);
        lines.push(format!("the folder {} is packed: {by}", folder.path));
    }
    if !publishing.tasks.is_empty() {
        let tasks = publishing.tasks.iter().map(|task| task.script.as_str());
        let tasks: Vec<&str> = tasks.collect();
        lines.push(format!("the release workflow runs: {}", tasks.join(", ")));
    }
    if let Some(named) = named(&evidence.declared) {
        lines.push(format!("the tree names {named}"));
    }
    lines.iter().map(|line| escape(line.as_bytes())).collect()
}

/// The same words for the same way.
pub(super) fn way(way: Way) -> String {
    let build = match way.build {
        Build::Nothing => "packed as it is",
        Build::Pack => "built and packed",
        Build::Publish => "built as for publishing",
    };
    let mut words = vec![build, tools(way.toolchain)];
    for (is, word) in [
        (!way.frozen, "not frozen"),
        (way.install_scripts, "with scripts of dependencies"),
        (way.packs_itself, "packed by the lock's manager"),
        (way.place == Place::Folder, "from a folder"),
    ] {
        words.extend(is.then_some(word));
    }
    words.join(", ")
}

/// Why a way is tried.
pub(super) fn why(situation: &Situation<'_>, evidence: &NpmEvidence, way: Way) -> String {
    let mut reasons = Vec::new();
    reasons.push(match (way.build, evidence.tree_has_all()) {
        (Build::Nothing, true) => "the tree has every file of the tarball".to_owned(),
        (Build::Nothing, false) => "there is no build to run".to_owned(),
        (Build::Pack | Build::Publish, _) => {
            "files are made by the package's own scripts".to_owned()
        }
    });
    match way.toolchain {
        Toolchain::Installed => {}
        Toolchain::OfTime => {
            let declared = super::declared(situation, evidence);
            let named = named(&declared).unwrap_or_else(|| "nothing newer was there".to_owned());
            reasons.push(format!(
                "tools of the release's time: {}",
                escape(named.as_bytes())
            ));
        }
        Toolchain::Released => {
            reasons
                .push("node's releases encode otherwise than the node of this machine".to_owned());
        }
        Toolchain::Npm7 | Toolchain::Npm6 | Toolchain::Npm5 => {
            if let PublishedManifest::Found { packer, .. } = &evidence.published {
                reasons.push(format!("the tarball was packed by {}", packed_by(*packer)));
            }
        }
    }
    if !way.frozen {
        reasons.push("the lock file was refused by its own manager".to_owned());
    }
    if way.install_scripts {
        reasons.push("without scripts of dependencies it did not come out".to_owned());
    }
    reasons.join("; ")
}

fn tools(toolchain: Toolchain) -> &'static str {
    match toolchain {
        Toolchain::Installed => "tools of this machine",
        Toolchain::OfTime => "tools of its time",
        Toolchain::Released => "a released node",
        Toolchain::Npm7 => "npm 7",
        Toolchain::Npm6 => "npm 6",
        Toolchain::Npm5 => "npm 5",
    }
}

fn named_by(by: NamedBy) -> String {
    match by {
        NamedBy::Manifest => "publishConfig names it".to_owned(),
        NamedBy::Lerna => "lerna's settings name it".to_owned(),
        NamedBy::Script => "a script publishes there".to_owned(),
        NamedBy::Workflow => "the release workflow publishes there".to_owned(),
        NamedBy::Copy => "a script copies the manifest there".to_owned(),
        NamedBy::Cleaner => format!("{CLEANER} is set up"),
    }
}

const fn packed_by(packer: Packer) -> &'static str {
    match packer {
        Packer::Npm => "npm 7 or later",
        Packer::Npm7 => "npm 7.0 to 7.11",
        Packer::Npm6 => "npm 6.9 to 6.14",
        Packer::Npm5 => "npm 5 or 6.0 to 6.8",
        Packer::Pnpm => "pnpm",
        Packer::Yarn => "yarn 2 or later",
        Packer::Other => "something that left the times of files in it",
    }
}

fn named(declared: &Declared) -> Option<String> {
    let named = [
        ("node", &declared.node),
        ("npm", &declared.npm),
        ("manager", &declared.manager),
    ];
    let named: Vec<String> = named
        .into_iter()
        .filter_map(|(tool, version)| Some(format!("{tool} {}", version.as_ref()?)))
        .collect();
    (!named.is_empty()).then(|| named.join(", "))
}
