//! The recipe for Ruby gems: `gem build` at the tag.
//!
//! A gemspec is a program; it and everything else of the gem run in the sandbox only. Extensions are
//! compiled when a gem is installed, not here. A gem bears the moment at which it was packed, in its metadata and
//! in every header; where nothing but that may be it, the next attempt copies the moment. A gemspec may list its files by git, so the tree comes
//! with a `.git`; its content is the tree's all the same.

use std::collections::BTreeMap;

use countersign_attest::digest::Sha256;
use countersign_attest::origin::{AssistKind, Origin};
use countersign_attest::purl::Purl;
use countersign_attest::verdict::{Reason, Verdict};
use serde::{Deserialize, Serialize};

use super::{Attempt, Evidence, Next, Proposal, Recipe, Situation, pin_tools};
use crate::plan::{
    Assist, Candidate, EnvironmentSpec, Network, Settings, SourceForm, Step, Valued,
};

mod manifest;
#[cfg(test)]
mod tests;

/// See the module.
pub(super) const RECIPE: Recipe = Recipe {
    name: "gem",
    tools: &["ruby", "gem", "git"],
    takes: |purl| purl.starts_with("pkg:gem/"),
    manifest: None,
    inspect: manifest::inspect,
    next,
};

/// What a tree and a published gem say. Written by strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GemEvidence {
    /// The names of gemspecs in the folder, without `.gemspec`, sorted.
    pub specifications: Vec<String>,
    /// What the published gem says of itself.
    pub published: Option<PublishedGem>,
}

/// What a published gem's metadata says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedGem {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The version of the tool that packed it.
    pub rubygems: String,
    /// Whether its publisher signed it, with a key that nobody else has.
    #[serde(default)]
    pub signed: bool,
    /// When it was packed, in seconds since 1970.
    #[serde(default)]
    pub seconds: Option<i64>,
}

fn next(situation: &Situation<'_>) -> Next {
    let Evidence::Gem(evidence) = situation.evidence else {
        return cannot(
            Reason::NoRecipe,
            "the evidence was taken for another recipe",
        );
    };
    let told = evidence.published.as_ref().and_then(|gem| gem.seconds);
    let commit = situation.release.commit_time.unix_seconds();
    let moment = match situation.attempts {
        [] => None,
        [first] if may_be_the_moment(first) && told != Some(commit) => match told {
            Some(seconds) => Some(seconds),
            None => return Next::Enough,
        },
        _ => return Next::Enough,
    };
    let (name, version) = match identity(situation, evidence) {
        Ok(identity) => identity,
        Err(detail) => return cannot(Reason::EvidenceContradicts, &detail),
    };
    if !evidence.specifications.contains(&name) {
        let detail = format!(
            "there is no {name}.gemspec; there are: {:?}",
            evidence.specifications
        );
        return cannot(Reason::NoRecipe, &detail);
    }
    match candidate(situation, evidence, &name, &version, moment) {
        Ok(candidate) => {
            let (way, why) = match moment {
                None => (
                    "gem build",
                    "the gem is packed by the rubygems of this machine",
                ),
                Some(_) => (
                    "gem build, at the recorded moment",
                    "the gem was packed at another moment than that of its commit, which is in its metadata",
                ),
            };
            Next::Try(Proposal::new(candidate, way, why))
        }
        Err(cannot) => cannot,
    }
}

/// Whether an attempt came to something from which only the moment may be lacking.
const fn may_be_the_moment(attempt: &Attempt) -> bool {
    match attempt.verdict {
        Verdict::Differs | Verdict::Equivalent | Verdict::Indeterminate => true,
        Verdict::Reproduced | Verdict::Assisted | Verdict::Unstable | Verdict::BuildFailed => false,
    }
}

/// Which gem and version this is, by everyone who says so; the error is their first disagreement.
fn identity(situation: &Situation<'_>, evidence: &GemEvidence) -> Result<(String, String), String> {
    let purl = situation.published.purl.as_deref();
    let purl = purl.and_then(|text| text.parse::<Purl>().ok());
    let told = evidence.published.as_ref();
    let name = purl.as_ref().map(|purl| purl.name().to_owned());
    let name = name.or_else(|| told.map(|gem| gem.name.clone()));
    let version = &situation.release.version;
    if let (Some(gem), Some(name)) = (told, &name)
        && gem.name != *name
    {
        let other = &gem.name;
        return Err(format!(
            "the package URL says name {name:?}, the published gem {other:?}"
        ));
    }
    if let Some(gem) = told
        && gem.version != *version
    {
        let other = &gem.version;
        return Err(format!(
            "the tag says version {version:?}, the published gem {other:?}"
        ));
    }
    let only = match evidence.specifications.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    };
    let name = name.or(only);
    let name = name.ok_or("which of several gemspecs is meant, nobody says")?;
    Ok((name, version.clone()))
}

fn candidate(
    situation: &Situation<'_>,
    evidence: &GemEvidence,
    name: &str,
    version: &str,
    moment: Option<i64>,
) -> Result<Candidate, Next> {
    let signed = evidence.published.as_ref().is_some_and(|gem| gem.signed);
    let packed = evidence.published.as_ref().map(|gem| &gem.rubygems);
    let here = situation.capabilities.tool("gem").map(|tool| &tool.version);
    // the tool writes its own version into what it packs
    let missing = match (packed, here) {
        (Some(packed), Some(here)) if packed != here => Some(format!(
            "rubygems {packed}, which packed it; here is {here}"
        )),
        (Some(_) | None, _) => None,
    };
    let missing = missing.or_else(|| {
        signed.then(|| "the key of its publisher, who signed what is in it".to_owned())
    });
    let mut argv = ["gem", "build", &format!("{name}.gemspec")]
        .map(ours)
        .to_vec();
    let mut assists = Vec::new();
    if let Some(seconds) = moment {
        let value = format!("SOURCE_DATE_EPOCH={seconds}");
        assists.push(Assist {
            kind: AssistKind::Epoch,
            sha256: Sha256::of(seconds.to_string().as_bytes()),
        });
        argv.splice(0..0, [ours("env"), Valued::new(value, Origin::Artifact)]);
    }
    let candidate = Candidate {
        recipe: RECIPE.name.to_owned(),
        environment: EnvironmentSpec::Host {
            tools: pin_tools(["ruby", "gem", "git"], situation.capabilities).map_err(remedy)?,
        },
        source_form: SourceForm::Git,
        subdir: situation.hints.subdir.clone(),
        steps: vec![Step { argv }],
        variables: BTreeMap::from([("GEM_HOME".to_owned(), ours("/tmp/gems"))]),
        outputs: vec![ours(&format!("{name}-{version}.gem"))],
        limits: situation.hints.limits,
        network: Network::None,
        as_of: None,
        own_releases: false,
        incomplete: match (situation.source_incomplete, &missing) {
            (true, _) => Some(Reason::SourceIncomplete),
            (false, Some(_)) if signed => Some(Reason::BuildStepUnsupported),
            (false, Some(_)) => Some(Reason::ToolchainUnavailable),
            (false, None) => None,
        },
        missing,
        assists,
        encoding: None,
        settings: Settings {
            any_path: true,
            ..Settings::default()
        },
    };
    match candidate.check() {
        Ok(()) => Ok(candidate),
        Err(error) => Err(cannot(Reason::NoRecipe, &format!("the gem makes {error}"))),
    }
}

/// Says what to install where ruby is missing.
fn remedy(next: Next) -> Next {
    match next {
        Next::Cannot { reason, detail } => Next::Cannot {
            reason,
            detail: format!("{detail}; install Ruby and git (on Debian ruby and git)"),
        },
        Next::Try(_) | Next::Enough => next,
    }
}

fn cannot(reason: Reason, detail: &str) -> Next {
    Next::Cannot {
        reason,
        detail: detail.to_owned(),
    }
}

/// A value that the source tree chose, or a fixed rule of ours.
fn ours(value: &str) -> Valued<String> {
    Valued::new(value.to_owned(), Origin::Source)
}
