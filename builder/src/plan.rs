//! Candidates and plans: how to build, as data that a stranger can replay.
//!
//! A [`Candidate`] is a guess of a recipe; a [`Plan`] is a candidate with its source and its inputs
//! pinned. The digest of a plan is the SHA-256 of its bytes as first written, so a plan is never
//! re-serialized to be named. A plan holds no path of a host and no address of a local mirror.

use countersign_attest::digest::{GitOid, Sha256};
use countersign_attest::origin::{AssistKind, Origin};
use countersign_attest::time::Timestamp;
use serde::{Deserialize, Serialize};

mod candidate;
mod environment;
mod limits;
mod settings;

pub use candidate::{
    Assist, Candidate, Encoder, EncodingStep, Network, SourceForm, Step, Valued, Variant,
};
pub use environment::{
    DebianSpec, Dependency, EnvironmentSpec, RootPackage, ToolVersion, is_dependency,
};
pub use limits::Limits;
pub use settings::{SettingHints, Settings};

/// The schema of a plan file.
pub const SCHEMA: &str = "countersign-plan/v0";

/// A candidate whose source and inputs are pinned: what is replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`SCHEMA`].
    pub schema: String,
    /// What is built.
    pub source: PlanSource,
    /// How.
    pub candidate: Candidate,
    /// What a record run was served, sorted by request, each request once; empty where the network
    /// is `none`.
    pub inputs: Vec<PlanInput>,
}

/// The source of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSource {
    /// The signed source URI.
    pub uri: String,
    /// The full ref, `refs/tags/…`.
    pub reference: String,
    /// The peeled commit.
    pub commit: GitOid,
    /// Digest of all that enters the sandbox ([`crate::tree::digest`]).
    pub tree_sha256: Sha256,
    /// The committer's time: `SOURCE_DATE_EPOCH` and the files' modification time.
    pub epoch: Timestamp,
}

/// One response that a record run got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanInput {
    /// The typed request (registry, name, version, file).
    pub request: String,
    /// Digest of the response body.
    pub sha256: Sha256,
    /// Its length.
    pub size_bytes: u64,
    /// Who chose it: a registry, or the package under test, of which it is another release.
    pub origin: Origin,
}

/// Says why a plan's bytes are not a plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The bytes are not JSON of the right shape.
    #[error("reading a plan")]
    Json(#[from] serde_json::Error),
    /// The schema is another one.
    #[error("a plan of schema {0:?}, while this version reads {SCHEMA:?}")]
    Schema(String),
    /// A path leaves the source tree, or a step has no program.
    #[error("a plan with {what}: {value:?}")]
    Value {
        /// What is wrong.
        what: &'static str,
        /// The offending text.
        value: String,
    },
}

impl Plan {
    /// The bytes that are stored, served and named by their digest.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // a plan is made of strings, numbers and string-keyed maps: serde_json cannot fail on it
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads a plan that may come from a stranger.
    ///
    /// # Errors
    /// When the bytes are not a plan of this schema, or a value in it could leave the source tree.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_slice(bytes)?;
        if plan.schema != SCHEMA {
            return Err(PlanError::Schema(plan.schema));
        }
        plan.candidate.check()?;
        plan.check_inputs()?;
        Ok(plan)
    }

    /// Inputs are sorted, each once, and there only where a mirror can hand them out.
    fn check_inputs(&self) -> Result<(), PlanError> {
        let refuse = |what, input: &PlanInput| {
            Err(PlanError::Value {
                what,
                value: input.request.clone(),
            })
        };
        for pair in self.inputs.windows(2) {
            if let [before, after] = pair
                && before.request >= after.request
            {
                return refuse("inputs out of order", after);
            }
        }
        match (self.candidate.network, self.inputs.first()) {
            (Network::None, Some(input)) => refuse("an input and no network", input),
            (Network::None, None) | (Network::Mirror, _) => Ok(()),
        }
    }

    /// Every origin in the plan, for the rule that one `artifact` forbids `reproduced`.
    #[must_use]
    pub fn origins(&self) -> Vec<Origin> {
        let candidate = &self.candidate;
        let mut origins: Vec<Origin> = candidate
            .steps
            .iter()
            .flat_map(|step| step.argv.iter().map(|a| a.origin))
            .chain(candidate.variables.values().map(|v| v.origin))
            .chain(candidate.outputs.iter().map(|o| o.origin))
            .chain(candidate.environment.origins())
            .chain(candidate.settings.origins())
            .chain(self.inputs.iter().map(|i| i.origin))
            // another commit than the tag's is no value of a step
            .chain(candidate.assists.iter().map(|_| Origin::Artifact))
            .collect();
        origins.sort_unstable();
        origins.dedup();
        origins
    }
}

impl Plan {
    /// All that was copied from the artifact under test and may be: what the candidate says, and each
    /// input that is of another release of the package itself.
    #[must_use]
    pub fn assists(&self) -> Vec<Assist> {
        let own = self.inputs.iter().filter(|i| i.origin == Origin::Artifact);
        let own = own.map(|input| Assist {
            kind: AssistKind::OwnRelease,
            sha256: input.sha256,
        });
        self.candidate.assists.iter().copied().chain(own).collect()
    }
}

/// Whether a relative path stays inside the folder that it starts from.
#[must_use]
pub fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests;
