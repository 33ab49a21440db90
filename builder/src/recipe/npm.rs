//! The npm recipe: a package without a build step, packed by `npm pack`.
//!
//! Nothing of the package runs: not its scripts, not its dependencies. A package that needs more is
//! packed all the same, because it may come out; if it does not, that says nothing about it.

use std::collections::BTreeMap;

use countersign_attest::origin::Origin;
use countersign_attest::verdict::Reason;
use serde::{Deserialize, Serialize};

use super::{Evidence, Next, Recipe, Situation, pin_tools};
use crate::plan::{Candidate, EnvironmentSpec, Network, Settings, SourceForm, Step, Valued};

mod identity;
mod manifest;

/// See the module.
pub(super) const RECIPE: Recipe = Recipe {
    name: "npm",
    tools: &["node", "npm"],
    takes: |purl| purl.starts_with(identity::PURL_PREFIX),
    inspect: manifest::inspect,
    next,
};

/// What a tree's package.json and a published tarball say. Written by strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NpmEvidence {
    /// `name` of the tree's package.json.
    pub name: String,
    /// `version` of the tree's package.json.
    pub version: String,
    /// Scripts of the tree that would make files before packing (`prepack`, `prepare`, `build`, …).
    pub build_scripts: Vec<String>,
    /// Whether installed dependencies would be packed too.
    pub bundles_dependencies: bool,
    /// What the published tarball says of itself.
    pub published: PublishedManifest,
}

/// What was found in a published tarball.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "manifest", rename_all = "kebab-case")]
pub enum PublishedManifest {
    /// Only a digest was published.
    NotGiven,
    /// The file has no readable package.json. The comparison will say more.
    Unreadable {
        /// What was found, printable.
        detail: String,
    },
    /// `name` and `version`.
    Found {
        /// `name`
        name: String,
        /// `version`
        version: String,
    },
}

/// Settings of npm that keep it from the network, from the home folder and from chatting. They stand
/// above a checkout's own `.npmrc`, which could also make npm pack elsewhere or not at all.
const VARIABLES: [(&str, &str); 10] = [
    ("npm_config_audit", "false"),
    ("npm_config_cache", "/tmp/npm-cache"),
    ("npm_config_dry_run", "false"),
    ("npm_config_fund", "false"),
    ("npm_config_global", "false"),
    ("npm_config_ignore_scripts", "true"),
    ("npm_config_loglevel", "warn"),
    ("npm_config_offline", "true"),
    ("npm_config_pack_destination", "."),
    ("npm_config_update_notifier", "false"),
];

fn next(situation: &Situation<'_>) -> Next {
    if !situation.attempts.is_empty() {
        return Next::Enough;
    }
    let Evidence::Npm(evidence) = situation.evidence else {
        return no_recipe("the evidence was taken for another recipe".to_owned());
    };
    if let Some(detail) = identity::contradiction(situation, evidence) {
        return Next::Cannot {
            reason: Reason::EvidenceContradicts,
            detail,
        };
    }
    match candidate(situation, evidence) {
        Ok(candidate) => Next::Try(Box::new(candidate)),
        Err(cannot) => cannot,
    }
}

fn candidate(situation: &Situation<'_>, evidence: &NpmEvidence) -> Result<Candidate, Next> {
    let output = identity::packed_name(evidence)
        .ok_or_else(|| no_recipe(format!("npm does not pack a package {:?}", evidence.name)))?;
    let ours = |value: &str| Valued::new(value.to_owned(), Origin::Source);
    let candidate = Candidate {
        recipe: RECIPE.name.to_owned(),
        environment: EnvironmentSpec::Host {
            tools: pin_tools(["node", "npm"], situation.capabilities)?,
        },
        source_form: SourceForm::Tree,
        subdir: situation.hints.subdir.clone(),
        steps: vec![Step {
            argv: ["npm", "pack", "--ignore-scripts"].map(ours).to_vec(),
        }],
        variables: BTreeMap::from(VARIABLES.map(|(name, value)| (name.to_owned(), ours(value)))),
        outputs: vec![ours(&output)],
        limits: situation.hints.limits,
        network: Network::None,
        as_of: None,
        own_releases: false,
        incomplete: incomplete(situation, evidence),
        missing: None,
        assists: Vec::new(),
        encoding: None,
        settings: Settings {
            any_path: true,
            ..Settings::default()
        },
    };
    match candidate.check() {
        Ok(()) => Ok(candidate),
        Err(error) => Err(no_recipe(format!("the package makes {error}"))),
    }
}

const fn incomplete(situation: &Situation<'_>, evidence: &NpmEvidence) -> Option<Reason> {
    if situation.source_incomplete {
        Some(Reason::SourceIncomplete)
    } else if evidence.build_scripts.is_empty() && !evidence.bundles_dependencies {
        None
    } else {
        Some(Reason::BuildStepUnsupported)
    }
}

const fn no_recipe(detail: String) -> Next {
    Next::Cannot {
        reason: Reason::NoRecipe,
        detail,
    }
}
