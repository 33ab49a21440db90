//! Recipes: how upstream builds. Each is two functions: `inspect` reads a tree and an artifact in a
//! parsing child; `next` is pure and says what to try, given what was tried before.
//!
//! Adding a recipe is one file here and one line in [`RECIPES`].

use std::fs::File;
use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};

use crate::archive::{ReadLimits, escape};
use crate::environment::Capabilities;
use crate::plan::{Limits, Network, SettingHints, ToolVersion};
use countersign_attest::digest::Sha256;
use countersign_attest::origin::Origin;
use countersign_attest::time::{ParseTimestampError, Timestamp};
use countersign_attest::verdict::{Reason, Verdict};

pub mod cargo;
pub mod deb;
pub mod encoding;
mod epoch;
pub mod gem;
pub mod generic;
pub mod npm;
mod own_release;
pub mod pypi;
mod situation;
mod source_files;
mod tree_file;

pub use situation::{Attempt, Next, Proposal, Situation};

/// A recipe: its name and its two functions.
#[derive(Debug)]
pub struct Recipe {
    /// The name in plans and in the configuration.
    pub name: &'static str,
    /// Programs that it runs, where the recipe itself knows them.
    tools: &'static [&'static str],
    /// Whether a package URL is for this recipe.
    takes: fn(&str) -> bool,
    /// The file of the tree that says that a published file without a package URL is for this recipe.
    manifest: Option<&'static str>,
    inspect: fn(&InspectRequest, BorrowedFd<'_>, Option<File>) -> Result<Evidence, InspectError>,
    next: fn(&Situation<'_>) -> Next,
}

/// All recipes.
pub const RECIPES: &[&Recipe] = &[
    &cargo::RECIPE,
    &deb::RECIPE,
    &gem::RECIPE,
    &npm::RECIPE,
    &pypi::RECIPE,
    &generic::RECIPE,
];

/// Why inspection did not come to evidence. About us; what is wrong with a release is
/// [`Evidence::Unusable`].
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// No recipe has this name.
    #[error("no recipe is called {0:?}")]
    UnknownRecipe(String),
    /// Reading the tree failed.
    #[error("reading {path:?} of the source tree")]
    Tree {
        /// Which file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Reads a tree and an artifact, both written by strangers. Runs in a confined child: opens nothing
/// but files below `tree`, and follows no link.
///
/// # Errors
/// When the recipe is unknown or the tree cannot be read for a reason of ours.
pub fn inspect(
    request: &InspectRequest,
    tree: BorrowedFd<'_>,
    artifact: Option<File>,
) -> Result<Evidence, InspectError> {
    let recipe =
        find(&request.recipe).ok_or_else(|| InspectError::UnknownRecipe(request.recipe.clone()))?;
    (recipe.inspect)(request, tree, artifact)
}

/// Says what to try next. Pure.
#[must_use]
pub fn next(situation: &Situation<'_>, recipe: &str) -> Next {
    let Some(recipe) = find(recipe) else {
        return Next::Cannot {
            reason: Reason::NoRecipe,
            detail: format!("no recipe is called {recipe:?}"),
        };
    };
    let Evidence::Unusable { detail } = situation.evidence else {
        return ask(recipe, situation);
    };
    // what is absent from a tree that lacks something may be in the part that is lacking
    Next::Cannot {
        reason: if situation.source_incomplete {
            Reason::SourceIncomplete
        } else {
            Reason::NoRecipe
        },
        detail: detail.clone(),
    }
}

/// Asks a recipe, which sees only attempts of its own; once it has no more, the second step.
fn ask(recipe: &Recipe, situation: &Situation<'_>) -> Next {
    if let Some(proposal) = own_release::at_once(situation) {
        return Next::Try(proposal);
    }
    let (dated, others): (Vec<&Attempt>, Vec<&Attempt>) =
        situation.attempts.iter().partition(|a| epoch::is_copied(a));
    if dated.iter().any(|a| a.verdict == Verdict::Assisted) {
        return Next::Enough;
    }
    let own = others
        .into_iter()
        .filter(|a| a.candidate.encoding.is_none());
    let own = own_release::seen(own);
    let next = (recipe.next)(&Situation {
        attempts: &own,
        ..*situation
    });
    match next {
        // one value that is copied goes before many
        Next::Try(proposal) if !proposal.candidate.assists.is_empty() => {
            Next::Try(epoch::next(situation).unwrap_or(proposal))
        }
        Next::Enough => own_release::at_last(situation)
            .or_else(|| epoch::next(situation))
            .map_or_else(|| encoding::next(situation), Next::Try),
        Next::Try(_) | Next::Cannot { .. } => next,
    }
}

/// Chooses a recipe: commands in the configuration go before what a package URL suggests. Where there is
/// none, the source says it by a file in the package's folder, else it is what the tree's build system makes.
#[must_use]
pub fn pick(
    purl: Option<&str>,
    hints: &Hints,
    in_tree: impl Fn(&str) -> bool,
) -> Option<&'static str> {
    if !hints.steps.is_empty() {
        return Some(generic::RECIPE.name);
    }
    let fits = RECIPES.iter().find(|recipe| match purl {
        Some(purl) => (recipe.takes)(purl),
        None => recipe.manifest.is_some_and(&in_tree),
    });
    let fits = fits.map(|recipe| recipe.name);
    fits.or(purl.is_none().then_some(generic::RECIPE.name))
}

/// The names of all recipes.
#[must_use]
pub fn names() -> Vec<&'static str> {
    RECIPES.iter().map(|recipe| recipe.name).collect()
}

/// The programs that a recipe runs by itself; none for an unknown one.
#[must_use]
pub fn tools(recipe: &str) -> &'static [&'static str] {
    find(recipe).map_or(&[], |recipe| recipe.tools)
}

fn find(name: &str) -> Option<&'static Recipe> {
    RECIPES.iter().copied().find(|recipe| recipe.name == name)
}

/// Finds tools at the versions that this machine has, for a plan to pin.
fn pin_tools<'a>(
    names: impl IntoIterator<Item = &'a str>,
    capabilities: &Capabilities,
) -> Result<Vec<ToolVersion>, Next> {
    let pin = |name: &str| match capabilities.tool(name) {
        Some(found) => Ok(ToolVersion {
            name: found.name.clone(),
            version: found.version.clone(),
            origin: Origin::Operator,
        }),
        None => Err(Next::Cannot {
            reason: Reason::ToolchainUnavailable,
            detail: format!(
                "the tool {name:?} is not on this machine, or does not run in the sandbox"
            ),
        }),
    };
    names.into_iter().map(pin).collect()
}

/// What a parsing child is asked to read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InspectRequest {
    /// The recipe's name.
    pub recipe: String,
    /// The folder of the tree to look at; empty for the root.
    pub subdir: String,
    /// What the artifact's file is called; empty where there is none.
    pub file_name: String,
    /// What reading may use.
    pub limits: ReadLimits,
}

/// What was read. Everything in it was written by strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "recipe", rename_all = "kebab-case")]
pub enum Evidence {
    /// What a tree's build system and a published file say, where nobody said how it is built.
    Conventional(Box<generic::Conventions>),
    /// What the manifests of a tree and a `.crate` file say.
    Cargo(Box<cargo::CargoEvidence>),
    /// What a workspace and a published executable say.
    CargoBinary(Box<cargo::BinaryEvidence>),
    /// What the packaging in a tree says.
    Deb(deb::DebEvidence),
    /// What a tree's gemspecs and a gem say.
    Gem(gem::GemEvidence),
    /// Nothing was read, because somebody said how it is built.
    Generic,
    /// What a package.json and an npm tarball say.
    Npm(Box<npm::NpmEvidence>),
    /// What a pyproject.toml and an sdist or wheel say.
    Pypi(pypi::PypiEvidence),
    /// The tree has nothing that the recipe could work with.
    Unusable {
        /// What is missing or wrong, for people; printable.
        detail: String,
    },
}

impl Evidence {
    /// The commit that an artifact says it is of, and whether it says that its tree had changes.
    #[must_use]
    pub fn says_of_source(&self) -> (Option<&str>, bool) {
        let Self::Cargo(cargo) = self else {
            return (None, false);
        };
        match &cargo.published {
            cargo::PublishedCrate::Found(facts) => {
                let vcs = facts.vcs.as_ref();
                let commit = vcs.and_then(|vcs| vcs.commit.as_deref());
                (commit, vcs.is_some_and(|vcs| vcs.dirty))
            }
            cargo::PublishedCrate::NotGiven | cargo::PublishedCrate::Unreadable { .. } => {
                (None, false)
            }
        }
    }

    /// The recipe to ask instead, where one was chosen by the tree alone and the file is not of its kind.
    #[must_use]
    pub fn recipe_instead(&self) -> Option<&'static str> {
        let Self::CargoBinary(binary) = self else {
            return None;
        };
        let is_no_program = matches!(binary.published, cargo::PublishedBinary::Unreadable { .. });
        is_no_program.then_some(generic::RECIPE.name)
    }

    /// The one time that all members of the published file bear, where that is neither the commit's nor a
    /// constant of what made it.
    #[must_use]
    fn one_time(&self, commit: Timestamp) -> Option<i64> {
        match self {
            Self::Pypi(pypi) => pypi::one_time(pypi, commit),
            // these formats have constants, times of single files, or the changelog's date
            Self::Cargo(_)
            | Self::CargoBinary(_)
            | Self::Conventional(_)
            | Self::Deb(_)
            | Self::Gem(_)
            | Self::Generic
            | Self::Npm(_)
            | Self::Unusable { .. } => None,
        }
    }

    /// What was read, a line each, escaped: for people who ask why something was tried.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        match self {
            Self::Cargo(cargo) => cargo.said(),
            Self::CargoBinary(binary) => binary.said(),
            Self::Conventional(found) => found.said(),
            Self::Npm(npm) => npm.said(),
            Self::Pypi(pypi) => pypi.said(),
            Self::Unusable { detail } => vec![escape(detail.as_bytes())],
            // what these go by is in their candidates
            Self::Deb(_) | Self::Gem(_) | Self::Generic => Vec::new(),
        }
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
    /// The root file system that the generic recipe builds in, by its digest; absent for this machine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Sha256>,
    /// What network the generic recipe has: `none` or `mirror`.
    pub network: Network,
    /// As of which moment the mirror answers the generic recipe: `commit` or a time.
    pub as_of: AsOf,
    /// Limits that the operator sets.
    pub limits: Limits,
    /// What the generic recipe's sandbox has otherwise than its profile.
    pub settings: SettingHints,
    /// The release of a distribution whose packages a build runs in, where recipe and archive are not to
    /// say which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// Packages at versions that a build runs in, as a `.buildinfo` has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Whether steps, variables and outputs are the project's own words in its tree. No file can say it.
    #[serde(skip)]
    pub from_source: bool,
}

/// As of which moment registries answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AsOf {
    /// The time of the release's commit.
    #[default]
    Commit,
    /// A moment that the operator chose.
    At(Timestamp),
}

impl TryFrom<String> for AsOf {
    type Error = ParseTimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "commit" {
            Ok(Self::Commit)
        } else {
            text.parse().map(Self::At)
        }
    }
}

impl From<AsOf> for String {
    fn from(moment: AsOf) -> Self {
        match moment {
            AsOf::Commit => "commit".to_owned(),
            AsOf::At(moment) => moment.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
