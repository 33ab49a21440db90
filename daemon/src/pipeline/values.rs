//! What a task is and what it comes to: the values between the pipeline's arrows that are its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_attest::digest::{GitOid, Sha256};
use countersign_attest::statement::Variation;
use countersign_attest::time::Timestamp;
use countersign_builder::compare::{Comparison, Tree};
use countersign_builder::judge::Judgement;
use countersign_builder::plan::Plan;
use countersign_builder::profile::variation::Explored;
use countersign_builder::recipe::encoding::Trial;
use countersign_builder::recipe::{Attempt, Hints};
use countersign_builder::release::{Published, Release};
use countersign_builder::tree::TreeDigest;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::replay::{RebuiltFile, Replay};
use super::source_evidence::Finding;
use crate::config::project::Project;
use crate::live::Live;
use crate::publish::PublishedSource;
use crate::watch::git::Fetched;
use crate::watch::location::Location;
use crate::watch::signature::{Checked, TagKeys};

/// One release to rebuild: all that the caller knows of it.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// Where the source is.
    pub location: Location,
    /// The tag.
    pub tag: String,
    /// The object that the tag was seen to name; `None` asks the repository.
    pub expected: Option<GitOid>,
    /// Where the published artifacts are.
    pub published: Vec<PublishedSource>,
    /// The package's name, which tags may carry.
    pub package: Option<String>,
    /// The recipe, where it is not read off the rest.
    pub recipe: Option<String>,
    /// How to build.
    pub hints: Hints,
    /// A plan to replay instead of asking a recipe.
    pub plan: Option<Plan>,
    /// The ways in which earlier releases of the repository came out well, the newest first.
    pub worked_before: Vec<String>,
    /// The object that the tag named before, where nobody has acknowledged the change.
    pub moved_from: Option<GitOid>,
    /// Whose signatures of the tag count.
    pub tag_keys: TagKeys,
    /// Whether to find out what a build notices of what must not matter.
    pub vary: bool,
    /// Where builds write their logs for whoever follows them.
    pub live: Option<Arc<Live>>,
}

/// A tag, resolved, with its tree on disk.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// What the project says of itself in its tree.
    pub project: Option<Result<Project, String>>,
    /// The commit that an artifact claims, where this is that one in the place of the tag's.
    pub claimed: Option<GitOid>,
    /// The release, with the version still as guessed from the tag.
    pub release: Release,
    /// The exported tree; gone when this value is.
    pub tree: TempDir,
    /// Its digest, taken by the host.
    pub digest: TreeDigest,
    /// What is known of the tag's signature.
    pub signature: Checked,
    /// What the tree lacks: submodules and large-file objects.
    pub missing: Vec<String>,
    /// What was fetched, to export it in another form.
    pub fetched: Fetched,
    /// Where builds write their logs for whoever follows them.
    pub live: Option<Arc<Live>>,
    /// The tree with a `.git` of ours; made when a plan first wants it.
    pub with_git: OnceCell<(TempDir, TreeDigest)>,
}

/// What was found for one artifact: the record behind a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArtifactResult {
    /// The release.
    pub release: Release,
    /// Digest of the source tree.
    pub tree_sha256: Sha256,
    /// The object that the tag named before, where it moved.
    pub moved_from: Option<GitOid>,
    /// What is known of the tag's signature.
    #[serde(default)]
    pub signature: Checked,
    /// What artifact and source say of each other, the gravest first.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// What was published.
    pub published: Published,
    /// What was decided and why.
    pub judgement: Judgement,
    /// When.
    pub decided_on: Timestamp,
    /// The plan that decided, where one ran.
    pub plan: Option<Sha256>,
    /// Its length in bytes.
    pub plan_bytes: u64,
    /// What each run made for this artifact.
    pub rebuilt: Vec<RebuiltFile>,
    /// What looking inside gave, where bytes differ.
    pub comparison: Option<Comparison>,
    /// Why the two differ, the heaviest cause first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// Members that neither the source nor our build has: what runs first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_in_source: Vec<String>,
    /// What the recipe read off tree and file, a line each, escaped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What differs as a tree of members, for people: it decides nothing and is not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differences: Option<Tree>,
    /// Everything that was tried, in order.
    pub attempts: Vec<Attempt>,
    /// What the second step came to; empty where nothing called for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encoders: Vec<Trial>,
    /// What came of varying what must not matter, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variations: Vec<Variation>,
}

/// Everything that a task came to.
#[derive(Debug)]
pub(crate) struct Findings {
    /// The release.
    pub release: Release,
    /// One for each published artifact.
    pub artifacts: Vec<ArtifactResult>,
    /// Every plan that ran.
    pub plans: BTreeMap<Sha256, Plan>,
    /// What varying has shown, by plan, where that was asked for.
    pub explored: BTreeMap<Sha256, Explored>,
    /// SHA-256 of every published file of the release.
    pub known_published: Vec<Sha256>,
    /// What was built, on disk until the findings are gone.
    pub(super) _replays: BTreeMap<Sha256, Vec<Replay>>,
}
