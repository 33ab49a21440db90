//! The cargo recipe: a crate, packed by `cargo package --no-verify` in the member that it is.
//!
//! Nothing of the package is compiled or run, and nothing of its dependencies is fetched but their
//! lines in the index. Which cargo packed a crate shows in the crate (see [`version`]); where the right
//! one is not at hand, other content says nothing about the release.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::BorrowedFd;

use countersign_attest::digest::Sha256;
use countersign_attest::origin::{AssistKind, Origin};
use countersign_attest::verdict::{Reason, Verdict};
use serde::{Deserialize, Serialize};

use super::{Evidence, InspectError, InspectRequest, Next, Proposal, Recipe, Situation};
use crate::archive::escape;
use crate::environment::FoundTool;
use crate::mirror;
use crate::plan::{
    Assist, Candidate, EnvironmentSpec, Network, Settings, SourceForm, Step, ToolVersion, Valued,
};

mod binary;
mod identity;
mod lock;
mod manifest;
mod published;
mod toolchains;
mod version;

pub use binary::{
    Archive, Bin, BinaryEvidence, Executable, Libc, Member, Paths, Program, PublishedBinary, What,
};
pub use version::Range;

/// See the module.
pub(super) const RECIPE: Recipe = Recipe {
    name: "cargo",
    tools: &["cargo", "rustc", "cc", "python3"],
    takes: |purl| purl.starts_with(identity::PURL_PREFIX),
    manifest: Some("Cargo.toml"),
    inspect,
    next,
};

/// The resolver looks at rustc's version too.
const TOOLS: [&str; 2] = ["cargo", "rustc"];
/// Before it, cargo knows the mirror's kind of index behind a flag only.
const FIRST_WITH_SPARSE_INDEX: u32 = 68;
/// Where cargo writes: outside the tree, and empty.
const TARGET: &str = "/tmp/target";
/// Longest part of a file that goes into one argument (Linux takes 128 KiB).
const ARGUMENT_BYTES: usize = 64 << 10;

/// What the manifests of a tree and a published crate say. Written by strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CargoEvidence {
    /// `package.name` of the member.
    pub name: String,
    /// `package.version` of the member, or the workspace's where it inherits.
    pub version: String,
    /// The member's folder in the tree; empty for the root.
    pub member: String,
    /// How many folders the workspace's root is above the member.
    pub root_above: usize,
    /// Whether the tree has a lock file at the workspace's root.
    pub tree_lock: bool,
    /// The first places that it names and that no registry serves: git repositories.
    #[serde(default)]
    pub elsewhere: Vec<String>,
    /// Whether any manifest of the workspace names a dependency, so that resolving asks the index.
    pub dependencies: bool,
    /// What the published crate says of itself.
    pub published: PublishedCrate,
}

impl CargoEvidence {
    /// What was read, a line each, escaped.
    pub(super) fn said(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "the package is in {:?} of the tree, which has {} lock file",
            self.member,
            if self.tree_lock { "a" } else { "no" }
        )];
        match &self.published {
            PublishedCrate::NotGiven => lines.push("no crate to look into".to_owned()),
            PublishedCrate::Unreadable { detail } => lines.push(format!("the crate: {detail}")),
            PublishedCrate::Found(facts) => {
                let lock = if facts.lock.is_some() {
                    "with"
                } else {
                    "without"
                };
                lines.push(format!(
                    "packed by cargo {}, {lock} a lock file",
                    facts.cargo
                ));
                lines.push(match &facts.vcs {
                    None => "packed outside git".to_owned(),
                    Some(vcs) => format!(
                        "packed from commit {}{}",
                        vcs.commit.as_deref().unwrap_or("that it does not name"),
                        if vcs.dirty { ", with changes" } else { "" }
                    ),
                });
            }
        }
        lines.iter().map(|line| escape(line.as_bytes())).collect()
    }
}

/// What was found in a published crate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "crate", rename_all = "kebab-case")]
pub enum PublishedCrate {
    /// Only a digest was published.
    NotGiven,
    /// The file is no readable crate. The comparison will say more.
    Unreadable {
        /// What was found, printable.
        detail: String,
    },
    /// A crate.
    Found(CrateFacts),
}

/// What a crate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrateFacts {
    /// `package.name` of its Cargo.toml.
    pub name: String,
    /// `package.version` of its Cargo.toml.
    pub version: String,
    /// What `.cargo_vcs_info.json` says; `None` where there is none.
    pub vcs: Option<VcsFacts>,
    /// Its Cargo.lock.
    pub lock: Option<String>,
    /// Versions of cargo that can have packed it.
    pub cargo: Range,
}

/// What `.cargo_vcs_info.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VcsFacts {
    /// The commit, where it names one.
    pub commit: Option<String>,
    /// The member's folder.
    pub path: Option<String>,
    /// Whether it was packed from a tree with changes.
    pub dirty: bool,
}

/// Where the lock file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock<'a> {
    /// It is in the tree, or cargo makes it: from nothing, or from the index as of publication.
    Ours,
    /// It is copied from the artifact. It only ends up as a member: nothing in it is compiled.
    Published(&'a str),
}

/// A crate by its name, and whatever else has a name as a program's.
fn inspect(
    request: &InspectRequest,
    tree: BorrowedFd<'_>,
    artifact: Option<File>,
) -> Result<Evidence, InspectError> {
    match request.file_name.as_str() {
        "" => manifest::inspect(request, tree, artifact),
        name if name.ends_with(".crate") => manifest::inspect(request, tree, artifact),
        _ => binary::inspect(request, tree, artifact),
    }
}

/// The candidates are a fixed list: for each toolchain, our own lock, then the published one. The first
/// that gives the bytes ends it.
fn next(situation: &Situation<'_>) -> Next {
    if let Evidence::CargoBinary(evidence) = situation.evidence {
        return binary::next(situation, evidence);
    }
    let Evidence::Cargo(evidence) = situation.evidence else {
        return no_recipe("the evidence was taken for another recipe".to_owned());
    };
    let same = |verdict: Verdict| matches!(verdict, Verdict::Reproduced | Verdict::Assisted);
    if situation.attempts.iter().any(|a| same(a.verdict)) {
        return Next::Enough;
    }
    if let Some(detail) = identity::contradiction(situation, evidence) {
        return Next::Cannot {
            reason: Reason::EvidenceContradicts,
            detail,
        };
    }
    if !identity::is_plain(&evidence.name) || !identity::is_plain(&evidence.version) {
        return no_recipe(format!(
            "cargo does not pack {:?} {:?}",
            evidence.name, evidence.version
        ));
    }
    if let Some(first) = evidence.elsewhere.first() {
        return Next::Cannot {
            reason: Reason::DependenciesElsewhere,
            detail: format!(
                "Cargo.lock of the tree names {}, which cargo fetches before it packs, and no registry has",
                escape(first.as_bytes())
            ),
        };
    }
    let (sets, missing) = toolchains::choose(situation, evidence);
    if sets.is_empty() {
        return Next::Cannot {
            reason: Reason::ToolchainUnavailable,
            detail: missing.unwrap_or_default(),
        };
    }
    let mut ladder = Vec::new();
    for set in &sets {
        ladder.push((set, Lock::Ours));
        if let Some(lock) = published_lock(evidence) {
            ladder.push((set, Lock::Published(lock)));
        }
    }
    situation.order(&mut ladder, |(set, lock)| way(set, *lock));
    // what cargo copies is the same by whatever cargo
    let copies_differ = situation.attempts.iter().any(|a| a.copies_differ);
    let rung = ladder.get(situation.attempts.len());
    let Some((set, lock)) = rung.filter(|_| !copies_differ) else {
        return Next::Enough;
    };
    let why = why(evidence, *lock, missing.as_deref());
    let candidate = candidate(situation, evidence, set, *lock, missing);
    match candidate.check() {
        Ok(()) => Next::Try(Proposal::new(candidate, way(set, *lock), why)),
        Err(error) => no_recipe(format!("the package makes {error}")),
    }
}

fn way(set: &[&FoundTool], lock: Lock<'_>) -> String {
    let version = set.first().map_or("", |tool| tool.version.as_str());
    let lock = match lock {
        Lock::Ours => "its own lock file",
        Lock::Published(_) => "the published lock file",
    };
    format!("cargo {version}, {lock}")
}

fn why(evidence: &CargoEvidence, lock: Lock<'_>, missing: Option<&str>) -> String {
    let cargo = match (&evidence.published, missing) {
        (_, Some(missing)) => missing.to_owned(),
        (PublishedCrate::Found(facts), None) => {
            format!("the crate was packed by cargo {}", facts.cargo)
        }
        (PublishedCrate::NotGiven | PublishedCrate::Unreadable { .. }, None) => {
            "the crate does not show which cargo packed it: the newest first".to_owned()
        }
    };
    match lock {
        Lock::Ours => cargo,
        Lock::Published(_) => format!(
            "{cargo}; the lock file that cargo makes as of publication did not give the bytes, and the \
             published one decides nothing that is compiled"
        ),
    }
}

/// The published lock, where it may say something that the tree and the index do not.
fn published_lock(evidence: &CargoEvidence) -> Option<&str> {
    match &evidence.published {
        PublishedCrate::Found(facts) if !evidence.tree_lock && evidence.dependencies => {
            facts.lock.as_deref()
        }
        PublishedCrate::Found(_) | PublishedCrate::NotGiven | PublishedCrate::Unreadable { .. } => {
            None
        }
    }
}

fn candidate(
    situation: &Situation<'_>,
    evidence: &CargoEvidence,
    tools: &[&FoundTool],
    lock: Lock<'_>,
    missing: Option<String>,
) -> Candidate {
    let network = if evidence.dependencies {
        Network::Mirror
    } else {
        Network::None
    };
    let pinned = tools.iter().map(|tool| ToolVersion {
        name: tool.name.clone(),
        version: tool.version.clone(),
        origin: Origin::Operator,
    });
    let output = format!("{}-{}.crate", evidence.name, evidence.version);
    let mut steps = Vec::new();
    let mut assists = Vec::new();
    if let Lock::Published(text) = lock {
        steps.push(write_lock(evidence, text));
        assists.push(Assist {
            kind: AssistKind::LockfileInert,
            sha256: Sha256::of(text.as_bytes()),
        });
    }
    let by_flag = tools.first().is_some_and(|tool| {
        version::minor(&tool.version).is_some_and(|minor| minor < FIRST_WITH_SPARSE_INDEX)
    });
    steps.push(package(network, by_flag));
    // outputs are taken from the tree, in which cargo must not write before it has listed it
    let packed = format!("{TARGET}/package/{output}");
    steps.push(step(&["cp", &packed, &output]));
    Candidate {
        recipe: RECIPE.name.to_owned(),
        environment: EnvironmentSpec::Host {
            tools: pinned.collect(),
        },
        source_form: source_form(evidence),
        subdir: evidence.member.clone(),
        steps,
        variables: variables(by_flag),
        outputs: vec![ours(&output)],
        limits: situation.hints.limits,
        network,
        as_of: match network {
            Network::None => None,
            Network::Mirror => Some(as_of(situation)),
        },
        own_releases: false,
        incomplete: if situation.source_incomplete {
            Some(Reason::SourceIncomplete)
        } else {
            missing.as_ref().map(|_| Reason::ToolchainUnavailable)
        },
        missing,
        assists,
        encoding: None,
        settings: Settings {
            any_path: true, // a .crate holds sources
            ..Settings::default()
        },
    }
}

/// A crate without `.cargo_vcs_info.json` was packed outside git.
const fn source_form(evidence: &CargoEvidence) -> SourceForm {
    match &evidence.published {
        PublishedCrate::Found(CrateFacts { vcs: None, .. }) => SourceForm::Tree,
        PublishedCrate::Found(CrateFacts { vcs: Some(_), .. })
        | PublishedCrate::NotGiven
        | PublishedCrate::Unreadable { .. } => SourceForm::Git,
    }
}

/// The last moment at which the publisher can have resolved: the registry did not have the crate yet.
fn as_of(situation: &Situation<'_>) -> countersign_attest::time::Timestamp {
    match situation.published.published_on {
        Some(published_on) => published_on.plus_seconds(-1),
        None => situation.release.commit_time,
    }
}

fn package(network: Network, by_flag: bool) -> Step {
    let mut argv = vec!["cargo", "package", "--no-verify"];
    argv.extend(by_flag.then_some("-Zsparse-registry"));
    let index = package_index(network);
    argv.extend(index.iter().map(String::as_str));
    step(&argv)
}

/// Arguments that say where packages come from, above the settings of the tree, which may name other
/// sources.
fn package_index(network: Network) -> Vec<String> {
    match network {
        Network::None => vec!["--offline".to_owned()],
        Network::Mirror => vec![
            "--config".to_owned(),
            "source.crates-io.replace-with=\"mirror\"".to_owned(),
            "--config".to_owned(),
            format!("source.mirror.registry=\"{}\"", mirror::CARGO_INDEX),
        ],
    }
}

/// Writes the published lock at the workspace's root. Its text is an argument, never part of a script.
fn write_lock(evidence: &CargoEvidence, text: &str) -> Step {
    let path = format!("{}Cargo.lock", "../".repeat(evidence.root_above));
    let mut argv: Vec<Valued<String>> = ["sh", "-c", "printf %s \"$@\" > \"$0\"", &path]
        .map(ours)
        .to_vec();
    let mut rest = text;
    while !rest.is_empty() {
        let at = rest.floor_char_boundary(ARGUMENT_BYTES);
        let (part, after) = rest.split_at(at);
        argv.push(Valued::new(part.to_owned(), Origin::Artifact));
        rest = after;
    }
    Step { argv }
}

fn variables(by_flag: bool) -> BTreeMap<String, Valued<String>> {
    let mut variables = vec![
        ("CARGO_HOME", "/tmp/cargo"),
        ("CARGO_NET_RETRY", "0"),
        ("CARGO_TARGET_DIR", TARGET),
    ];
    variables.extend(by_flag.then_some(("RUSTC_BOOTSTRAP", "1")));
    let named = |(name, value): (&str, &str)| (name.to_owned(), ours(value));
    variables.into_iter().map(named).collect()
}

fn step(argv: &[&str]) -> Step {
    Step {
        argv: argv.iter().map(|argument| ours(argument)).collect(),
    }
}

fn ours(value: &str) -> Valued<String> {
    Valued::new(value.to_owned(), Origin::Source)
}

const fn no_recipe(detail: String) -> Next {
    Next::Cannot {
        reason: Reason::NoRecipe,
        detail,
    }
}

#[cfg(test)]
mod tests;
