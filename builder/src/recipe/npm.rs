//! The npm recipe: packs a package as its publisher did, after the build that its author runs.
//!
//! What is needed is read off the published file: whether the tree has all its files, and what packed
//! it. Installing is frozen by the lock file of the tree, through the mirror; scripts of dependencies
//! do not run unless nothing else came to a package. The ladder is short and bounded.

use std::collections::BTreeMap;

use countersign_attest::verdict::{Reason, Verdict};
use serde::{Deserialize, Serialize};

use super::{Attempt, Evidence, Next, Proposal, Recipe, Situation};
use candidate::{Build, Way};

mod candidate;
mod commands;
mod identity;
mod lock;
mod manifest;
mod published;
mod publishing;
mod said;
mod tools;
mod ways;
mod workflow;

pub use lock::{Lock, Manager};
pub use published::{Packer, PublishedManifest};
pub use publishing::{NamedBy, PackFolder, Publishing, Task};

/// See the module.
pub(super) const RECIPE: Recipe = Recipe {
    name: "npm",
    tools: &["node", "npm", "git"],
    takes: |purl| purl.starts_with(identity::PURL_PREFIX),
    manifest: None,
    inspect: manifest::inspect,
    next,
};

/// What a tree and a published tarball say. Written by strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NpmEvidence {
    /// `name` of the package's package.json.
    pub name: String,
    /// `version` of the package's package.json.
    pub version: String,
    /// The package's folder in the tree; empty for the root.
    pub folder: String,
    /// Scripts of the package that would make files before packing, by name.
    pub scripts: BTreeMap<String, String>,
    /// Whether the root of the tree, where that is another package, has a build.
    pub builds_at_root: bool,
    /// How it is published, where the tree says more of that than `build`.
    #[serde(default)]
    pub publishing: Publishing,
    /// Whether installed dependencies would be packed too.
    pub bundles_dependencies: bool,
    /// Whether there is anything to install.
    pub installs: bool,
    /// What the tree says of the tools that its author uses.
    pub declared: Declared,
    /// The lock file.
    pub lock: Option<Lock>,
    /// The package manager that the tree is built with, where no recipe runs that: as `packageManager`
    /// names it, or its lock file.
    #[serde(default)]
    pub unknown_manager: Option<String>,
    /// What the published tarball says of itself.
    pub published: PublishedManifest,
    /// Whether its package.json is the tree's with another version and no other byte changed.
    #[serde(default)]
    pub version_in_place: bool,
}

/// Tools that are named, as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// node: `16`, `v16.20.2`.
    pub node: Option<String>,
    /// npm.
    pub npm: Option<String>,
    /// `packageManager`: `pnpm@8.6.0`.
    pub manager: Option<String>,
}

impl NpmEvidence {
    /// What was read, a line each, escaped.
    pub(super) fn said(&self) -> Vec<String> {
        said::said(self)
    }

    /// Whether packing the tree as it is may leave something out.
    fn needs_more(&self) -> bool {
        !self.scripts.is_empty()
            || self.builds_at_root
            || self.bundles_dependencies
            || self.publishing != Publishing::default()
    }

    /// Whether the tree has every file of the published tarball, as far as that is known. The manifest
    /// itself is rewritten by some packers, and by publishers that set the version only there.
    fn tree_has_all(&self) -> bool {
        match &self.published {
            PublishedManifest::Found { unlike, .. } => unlike.is_nothing_but(&["package.json"]),
            PublishedManifest::NotGiven | PublishedManifest::Unreadable { .. } => {
                !self.needs_more()
            }
        }
    }
}

fn next(situation: &Situation<'_>) -> Next {
    let Evidence::Npm(evidence) = situation.evidence else {
        return no_recipe("the evidence was taken for another recipe".to_owned());
    };
    if let Some(detail) = identity::contradiction(situation, evidence) {
        return Next::Cannot {
            reason: Reason::EvidenceContradicts,
            detail,
        };
    }
    let good = |attempt: &Attempt| {
        let verdict = attempt.verdict;
        let same = matches!(verdict, Verdict::Reproduced | Verdict::Assisted);
        same || verdict == Verdict::Equivalent || attempt.encoding.is_some()
    };
    let ways = ways::ways(situation, evidence);
    if situation.attempts.iter().any(good) {
        return ways::repacked(situation, &ways)
            .map_or(Next::Enough, |way| propose(situation, evidence, way));
    }
    // a build was run, and what differs are files of the tree that it left alone
    let is_built = |way: &Way| way.build != Build::Nothing || !evidence.needs_more();
    let mut tried = ways.iter().zip(situation.attempts);
    if tried.any(|(way, attempt)| attempt.copies_differ && is_built(way)) {
        return Next::Enough;
    }
    let Some(way) = ways.get(situation.attempts.len()) else {
        return Next::Enough;
    };
    if way.build != Build::Nothing
        && let Some(detail) = elsewhere(evidence)
    {
        return Next::Cannot {
            reason: Reason::DependenciesElsewhere,
            detail,
        };
    }
    propose(situation, evidence, *way)
}

fn propose(situation: &Situation<'_>, evidence: &NpmEvidence, way: Way) -> Next {
    match candidate::make(situation, evidence, way) {
        Ok(candidate) => Next::Try(Proposal::new(
            candidate,
            said::way(way),
            said::why(situation, evidence, way),
        )),
        Err(cannot) => cannot,
    }
}

/// What the lock file names and no registry has.
fn elsewhere(evidence: &NpmEvidence) -> Option<String> {
    let lock = evidence.lock.as_ref()?;
    let first = lock.elsewhere.first()?;
    Some(format!(
        "{} names dependencies that are not in a registry, such as {first}; configure steps of the \
         generic recipe that do without them",
        lock.file
    ))
}

/// What the publisher's client said of itself, and where it said nothing what the tree names.
fn declared(situation: &Situation<'_>, evidence: &NpmEvidence) -> Declared {
    let tools = &situation.published.claims.tools;
    let said = |name: &str| tools.get(name).filter(|v| tools::is_exact(v)).cloned();
    let of_tree = &evidence.declared;
    let node = said("node");
    Declared {
        npm: said("npm").filter(|_| node.is_some()),
        node: node.or_else(|| of_tree.node.clone()),
        manager: of_tree.manager.clone(),
    }
}

const fn no_recipe(detail: String) -> Next {
    Next::Cannot {
        reason: Reason::NoRecipe,
        detail,
    }
}

#[cfg(test)]
mod tests;
