//! The npm recipe: packs a package as its publisher did, after the build that its author runs.
//!
//! What is needed is read off the published file: whether the tree has all its files, and what packed
//! it. Installing is frozen by the lock file of the tree, through the mirror; scripts of dependencies
//! do not run unless nothing else came to a package. The ladder is short and bounded.

use std::collections::BTreeMap;

use countersign_attest::verdict::{Reason, Verdict};
use serde::{Deserialize, Serialize};

use super::{Attempt, Evidence, Next, Proposal, Recipe, Situation};
use crate::outcome::Ended;
use candidate::{Build, Place, Way};
use tools::Toolchain;

mod candidate;
mod commands;
mod identity;
mod lock;
mod manifest;
mod published;
mod publishing;
mod said;
mod tools;
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

/// Most ways that are tried.
const MAX_WAYS: usize = 5;

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
    if situation.attempts.iter().any(good) {
        return Next::Enough;
    }
    // a build was run, and what differs are files of the tree that it left alone
    let is_built = |way: &Way| way.build != Build::Nothing || !evidence.needs_more();
    let ways = ways(situation, evidence);
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
    match candidate::make(situation, evidence, *way) {
        Ok(candidate) => Next::Try(Proposal::new(
            candidate,
            said::way(*way),
            said::why(situation, evidence, *way),
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

/// The ladder: the likeliest first, each once.
fn ways(situation: &Situation<'_>, evidence: &NpmEvidence) -> Vec<Way> {
    let packer = match &evidence.published {
        PublishedManifest::Found { packer, .. } => *packer,
        PublishedManifest::NotGiven | PublishedManifest::Unreadable { .. } => Packer::Npm,
    };
    let plain = Way {
        toolchain: Toolchain::Installed,
        build: Build::Nothing,
        frozen: true,
        install_scripts: false,
        packs_itself: false,
        place: Place::Package,
    };
    let manager = evidence.lock.as_ref().map(|lock| lock.manager);
    let packs_itself = matches!(
        (packer, manager),
        (Packer::Pnpm, Some(Manager::Pnpm)) | (Packer::Yarn, Some(Manager::YarnBerry))
    );
    let declared = declared(situation, evidence);
    let time = situation
        .published
        .published_on
        .unwrap_or(situation.release.commit_time);
    let is_other = tools::is_other(&declared, time, situation.capabilities);
    let likely = match packer {
        Packer::Npm7 => Toolchain::Npm7,
        Packer::Npm6 => Toolchain::Npm6,
        Packer::Npm5 => Toolchain::Npm5,
        Packer::Npm | Packer::Pnpm | Packer::Yarn | Packer::Other if is_other => Toolchain::OfTime,
        Packer::Npm | Packer::Pnpm | Packer::Yarn | Packer::Other => Toolchain::Installed,
    };
    let packed = Way {
        // without a build, node counts for nothing but what packs
        toolchain: match packer {
            Packer::Npm7 => Toolchain::Npm7,
            Packer::Npm6 => Toolchain::Npm6,
            Packer::Npm5 => Toolchain::Npm5,
            Packer::Npm | Packer::Pnpm | Packer::Yarn | Packer::Other => Toolchain::Installed,
        },
        packs_itself,
        ..plain
    };
    let mut ways = Vec::new();
    if evidence.tree_has_all() {
        ways.extend([packed, plain]);
    }
    if evidence.needs_more() {
        let pack = Way {
            toolchain: likely,
            build: Build::Pack,
            packs_itself,
            place: match evidence.publishing.folder {
                Some(_) => Place::Folder,
                None => Place::Package,
            },
            ..plain
        };
        let publish = Way {
            build: Build::Publish,
            ..pack
        };
        let has = |script: &str| evidence.scripts.contains_key(script);
        let published = has("prepublishOnly") || has("prepublish");
        let packing = has("build")
            || has("prepare")
            || has("prepack")
            || evidence.builds_at_root
            || evidence.publishing != Publishing::default();
        let by = evidence.publishing.folder.as_ref().map(|folder| folder.by);
        match (packing, published) {
            // whose folder is filled when the package itself is published
            (true, true) if matches!(by, Some(NamedBy::Manifest | NamedBy::Lerna)) => {
                ways.extend([publish, pack]);
            }
            (true, true) => ways.extend([pack, publish]),
            (false, true) => ways.extend([publish, pack]),
            (_, false) => ways.push(pack),
        }
        let main = ways.iter().find(|way| way.build != Build::Nothing);
        let main = *main.unwrap_or(&pack);
        let other = match likely {
            Toolchain::Installed => None,
            Toolchain::OfTime | Toolchain::Npm7 | Toolchain::Npm6 | Toolchain::Npm5 => {
                Some(Toolchain::Installed)
            }
        };
        ways.extend(other.map(|toolchain| Way { toolchain, ..main }));
        ways.push(Way {
            install_scripts: true,
            ..main
        });
        // not every tool that packs goes by what the manifest says of a folder
        if matches!(by, Some(NamedBy::Manifest | NamedBy::Lerna)) {
            ways.push(Way {
                place: Place::Package,
                ..main
            });
        }
    } else {
        ways.push(plain);
    }
    once(&mut ways);
    situation.order(&mut ways, |way| said::way(*way));
    // what a dependency's scripts make is lacking where a build fails, not where it comes out otherwise
    let attempts = situation.attempts;
    let failed = attempts.iter().any(|a| a.verdict == Verdict::BuildFailed);
    let mut at = 0..;
    ways.retain(|way| {
        let is_tried = at.next().is_some_and(|at| at < attempts.len());
        is_tried || failed || attempts.is_empty() || !way.install_scripts
    });
    // a lock file that its own manager refuses was not the one that the publisher installed from
    if let Some(refused) = refused_at(situation) {
        let unfrozen = ways.iter().filter(|way| way.build != Build::Nothing);
        let unfrozen: Vec<Way> = unfrozen
            .map(|way| Way {
                frozen: false,
                ..*way
            })
            .collect();
        ways.truncate(refused + 1);
        ways.extend(unfrozen);
    }
    once(&mut ways);
    ways.truncate(MAX_WAYS);
    ways
}

/// Leaves each way in its first place only.
fn once(ways: &mut Vec<Way>) {
    let mut seen: Vec<Way> = Vec::new();
    ways.retain(|way| {
        let first = !seen.contains(way);
        seen.push(*way);
        first
    });
}

/// The first attempt that ended when it installed by the lock file.
fn refused_at(situation: &Situation<'_>) -> Option<usize> {
    situation.attempts.iter().position(|attempt| {
        let ended = attempt.outcomes.first().map(|outcome| &outcome.ended);
        let Some(Ended::Exited { step, .. }) = ended else {
            return false;
        };
        let step = attempt.candidate.steps.get(*step);
        step.is_some_and(|step| step.argv.iter().any(|argument| argument.value == "install"))
    })
}

const fn no_recipe(detail: String) -> Next {
    Next::Cannot {
        reason: Reason::NoRecipe,
        detail,
    }
}

#[cfg(test)]
mod tests;
