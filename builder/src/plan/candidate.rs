//! Candidates: what a recipe wants to try, each value with who chose it.
//!
//! A candidate is a guess until its source and inputs are pinned. What no type says of it,
//! [`Candidate::check`] does, whoever wrote it.

use std::collections::BTreeMap;

use countersign_attest::digest::Sha256;
use countersign_attest::origin::{AssistKind, Origin};
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::Reason;
use serde::{Deserialize, Serialize};

use super::{EnvironmentSpec, Limits, PlanError, Settings, is_inside};

/// A value of a plan and who chose it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Valued<T> {
    /// The value itself.
    pub value: T,
    /// Who chose it.
    pub origin: Origin,
}

impl<T> Valued<T> {
    /// Pairs a value with its origin.
    pub const fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
}

/// One command, never a shell line: the program is looked up in the sandbox's `PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Program and arguments, each with its origin. Never empty in a checked plan.
    pub argv: Vec<Valued<String>>,
}

/// What a recipe wants to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// The recipe that made it: `generic` or `npm`.
    pub recipe: String,
    /// Where it runs and what must be there.
    pub environment: EnvironmentSpec,
    /// How the source enters the sandbox.
    pub source_form: SourceForm,
    /// The folder of the tree in which steps run, relative, without `..`; empty for the root.
    pub subdir: String,
    /// Commands in order; the first that fails ends the build.
    pub steps: Vec<Step>,
    /// Environment variables beside the sandbox profile's own.
    pub variables: BTreeMap<String, Valued<String>>,
    /// Files to collect, relative to `subdir`, without `..`; `*` stands for a run of characters
    /// other than `/`.
    pub outputs: Vec<Valued<String>>,
    /// What the build may use.
    pub limits: Limits,
    /// Whether anything of a registry may be reached.
    pub network: Network,
    /// The moment as of which registries answer; there exactly where the network is `mirror`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Whether registries show other versions of the package itself (self-hosting). What is then served of
    /// them counts as copied from the artifact, so that the verdict is `assisted` at best.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_releases: bool,
    /// If content differs, this is why that says nothing about the release.
    pub incomplete: Option<Reason>,
    /// What is missing, for people, where `incomplete` says that something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// What was copied from the artifact under test and may be: each value of the plan that it went
    /// into has the origin `artifact` besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assists: Vec<Assist>,
    /// The last step, where it encodes an output anew ([`crate::recipe::encoding`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<EncodingStep>,
    /// What the sandbox's profile has otherwise.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
}

/// What a last step that encodes an output anew does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncodingStep {
    /// The output, relative to `subdir`.
    pub output: String,
    /// In which ways it is encoded. One: in place. Several: each is an output beside it, to find out
    /// which one the published file has.
    pub variants: Vec<Variant>,
}

/// An encoder of deflate streams and its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Whose encoder.
    pub encoder: Encoder,
    /// 1 to 9.
    pub level: u8,
}

/// Whose encoder of deflate streams: a program of the environment, whose version and whose library's
/// version the plan pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoder {
    /// The library behind python3's `zlib` module: stock zlib on most systems, zlib-ng on some.
    Python3,
    /// The library in node: Chromium's zlib in official builds, the system's in some others.
    Node,
}

/// Something copied from the artifact under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assist {
    /// What.
    pub kind: AssistKind,
    /// Digest of the member or value that it came from.
    pub sha256: Sha256,
}

/// How the source enters the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceForm {
    /// The files of the commit's tree and nothing of git.
    Tree,
    /// The same and a `.git` that we wrote: the commit and its trees, detached, without history,
    /// references or file contents.
    Git,
}

/// What network a build has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Loopback, with nobody on it.
    #[default]
    None,
    /// Loopback, with the mirror on it ([`crate::mirror`]): registries as of a moment in the record
    /// run, nothing but that record in a replay.
    Mirror,
}

impl Candidate {
    /// Checks what no type says: relative paths without `..`, programs, variable names.
    ///
    /// # Errors
    /// Names the first value that breaks a rule.
    pub fn check(&self) -> Result<(), PlanError> {
        let refuse = |what, value: &str| {
            Err(PlanError::Value {
                what,
                value: value.to_owned(),
            })
        };
        if !self.subdir.is_empty() && !is_inside(&self.subdir) {
            return refuse("a subdir that leaves the source tree", &self.subdir);
        }
        for output in &self.outputs {
            if !is_inside(&output.value) {
                return refuse("an output that leaves the source tree", &output.value);
            }
        }
        for step in &self.steps {
            let Some(program) = step.argv.first() else {
                return refuse("a step without a program", "");
            };
            if program.value.is_empty() {
                return refuse("a step without a program", "");
            }
            if let Some(bad) = step.argv.iter().find(|a| a.value.contains('\0')) {
                return refuse("a NUL in an argument", &bad.value);
            }
        }
        self.settings.check()?;
        if let EnvironmentSpec::Debian(spec) = &self.environment
            && let Err(bad) = spec.check()
        {
            return refuse("an environment that cannot be asked for", &bad);
        }
        match (self.network, self.as_of) {
            (Network::Mirror, None) => return refuse("a mirror and no moment", ""),
            (Network::None, Some(moment)) => {
                return refuse("a moment and no mirror", &moment.to_string());
            }
            (Network::Mirror, Some(_)) | (Network::None, None) => {}
        }
        for (name, value) in &self.variables {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(plain) || value.value.contains('\0') {
                return refuse("a variable that cannot be set", name);
            }
        }
        Ok(())
    }
}
