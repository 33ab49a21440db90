//! Recipes: how upstream builds. Each is two functions: `inspect` reads a tree and an artifact in a
//! parsing child; `next` is pure and says what to try, given what was tried before.
//!
//! Adding a recipe is one file here and one line in [`RECIPES`].

use serde::{Deserialize, Serialize};

use crate::compare::CompareLimits;
use crate::environment::Capabilities;
use crate::outcome::Outcome;
use crate::plan::{Candidate, Limits};
use crate::release::{Published, Release};
use countersign_attest::verdict::{Reason, Verdict};

pub mod generic;
pub mod npm;

/// What a parsing child is asked to read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InspectRequest {
    /// The recipe's name.
    pub recipe: String,
    /// The folder of the tree to look at; empty for the root.
    pub subdir: String,
    /// What reading may use.
    pub limits: CompareLimits,
}

/// What was read. Everything in it was written by strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "recipe", rename_all = "kebab-case")]
pub enum Evidence {
    /// The generic recipe reads nothing.
    Generic,
    /// What a package.json and an npm tarball say.
    Npm(npm::NpmEvidence),
}

/// Reads a tree and an artifact.
///
/// # Errors
/// Always: recipes that read anything are not here yet.
pub fn inspect(
    request: &InspectRequest,
    _tree: std::os::fd::BorrowedFd<'_>,
    _artifact: Option<std::fs::File>,
) -> Result<Evidence, std::io::Error> {
    match request.recipe.as_str() {
        "generic" => Ok(Evidence::Generic),
        other => Err(std::io::Error::other(format!("no recipe {other:?}"))),
    }
}

/// What the operator's configuration says about how to build a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hints {
    /// The folder of the tree where the package is; empty for the root.
    pub subdir: String,
    /// Commands of the generic recipe.
    pub steps: Vec<Vec<String>>,
    /// Variables of the generic recipe; `{version}` and `{tag}` are replaced.
    pub variables: std::collections::BTreeMap<String, String>,
    /// Outputs of the generic recipe; `{version}` and `{tag}` are replaced.
    pub outputs: Vec<String>,
    /// Tools that must be there for the generic recipe; their versions are recorded in the plan.
    pub tools: Vec<String>,
    /// Limits that the operator sets.
    pub limits: Limits,
}

/// An attempt that was made before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// What was tried.
    pub candidate: Candidate,
    /// Its replays.
    pub outcomes: Vec<Outcome>,
    /// What it came to.
    pub verdict: Verdict,
}

/// All that `next` may look at.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The release.
    pub release: &'a Release,
    /// The published artifact.
    pub published: &'a Published,
    /// What inspection found.
    pub evidence: &'a Evidence,
    /// Whether the tree lacks something: a submodule or a large-file object.
    pub source_incomplete: bool,
    /// What this machine has.
    pub capabilities: &'a Capabilities,
    /// What the operator says.
    pub hints: &'a Hints,
    /// What was tried, in order.
    pub attempts: &'a [Attempt],
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Try this.
    Try(Box<Candidate>),
    /// Nothing more to try; the attempts made so far stand.
    Enough,
    /// Nothing can be tried at all, and why. `detail` is for people.
    Cannot {
        /// Why.
        reason: Reason,
        /// The particulars, for people.
        detail: String,
    },
}
