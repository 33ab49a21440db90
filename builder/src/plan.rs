//! Candidates and plans: how to build, as data that a stranger can replay.
//!
//! A [`Candidate`] is a guess of a recipe; a [`Plan`] is a candidate with its source and its inputs
//! pinned. The digest of a plan is the SHA-256 of its bytes as first written, so a plan is never
//! re-serialized to be named. A plan holds no path of a host and no address of a local mirror.

use std::collections::BTreeMap;

use countersign_attest::digest::{GitOid, Sha256};
use countersign_attest::origin::{AssistKind, Origin};
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::Reason;
use serde::{Deserialize, Serialize};

mod settings;

pub use settings::{SettingHints, Settings};

use crate::environment::debian::{DebianSpec, RootPackage};

/// The schema of a plan file.
pub const SCHEMA: &str = "countersign-plan/v0";

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

/// What a build runs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum EnvironmentSpec {
    /// This machine's `/usr` and toolchains, read-only.
    Host {
        /// Tools that must be there, at exactly these versions.
        tools: Vec<ToolVersion>,
    },
    /// A root file system made of packages of a distribution.
    Debian(DebianSpec),
    /// A root file system that the operator has, and nothing of this machine.
    Rootfs {
        /// Of all that is in it ([`crate::environment::rootfs`]).
        sha256: Sha256,
    },
}

impl EnvironmentSpec {
    /// Tools of this machine that must be there.
    #[must_use]
    pub fn tools(&self) -> &[ToolVersion] {
        match self {
            Self::Host { tools } => tools,
            Self::Debian(_) | Self::Rootfs { .. } => &[],
        }
    }

    /// Whether a build sees another root than this machine's.
    #[must_use]
    pub const fn has_own_root(&self) -> bool {
        match self {
            Self::Host { .. } => false,
            Self::Debian(_) | Self::Rootfs { .. } => true,
        }
    }

    /// The digest of the operator's root file system, where it is one.
    #[must_use]
    pub const fn rootfs(&self) -> Option<Sha256> {
        match self {
            Self::Host { .. } | Self::Debian(_) => None,
            Self::Rootfs { sha256 } => Some(*sha256),
        }
    }

    /// Everything that is there and has a version, once the environment is.
    #[must_use]
    pub fn found(&self) -> Vec<ToolVersion> {
        match self {
            Self::Host { tools } => tools.clone(),
            Self::Rootfs { .. } => Vec::new(), // the digest says it all
            Self::Debian(spec) => {
                let tool = |package: &RootPackage| ToolVersion {
                    name: package.name.clone(),
                    version: package.version.clone(),
                    origin: Origin::Registry,
                };
                spec.packages.iter().map(tool).collect()
            }
        }
    }

    /// Who chose what is in it.
    fn origins(&self) -> Vec<Origin> {
        match self {
            Self::Host { tools } => tools.iter().map(|tool| tool.origin).collect(),
            Self::Rootfs { .. } => vec![Origin::Operator],
            Self::Debian(spec) => {
                let asked = spec.dependencies.iter().map(|asked| asked.origin);
                asked.chain([Origin::Registry]).collect()
            }
        }
    }
}

/// A tool and the exact version that it prints of itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolVersion {
    /// The program's name, as in `PATH`.
    pub name: String,
    /// Its version, without a leading `v`.
    pub version: String,
    /// Who chose the version.
    pub origin: Origin,
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

/// What a build may use. All are enforced by the launcher, never by the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Seconds of wall time for all steps together.
    pub time_seconds: u64,
    /// Seconds without a byte of log.
    pub silence_seconds: u64,
    /// Bytes of memory of all processes together. What lies on the build's file systems counts where a
    /// control group counts it.
    pub memory_bytes: u64,
    /// Processors at once; absent for all that the machine has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Bytes of log that are kept; the rest is counted and dropped.
    pub log_bytes: u64,
    /// Bytes of the file system that holds source and outputs.
    pub disk_bytes: u64,
    /// Files and folders on it.
    pub disk_inodes: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Processes and threads at once.
    pub processes: u64,
    /// Bytes of all outputs together.
    pub output_bytes: u64,
    /// Number of outputs.
    pub output_files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time_seconds: 3600,
            silence_seconds: 1800,
            memory_bytes: 8 << 30,
            cpus: None,
            log_bytes: 64 << 20,
            disk_bytes: 4 << 30,
            disk_inodes: 1_000_000,
            file_bytes: 2 << 30,
            processes: 2048,
            output_bytes: 2 << 30,
            output_files: 1000,
        }
    }
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
mod tests {
    use super::*;
    use crate::recipe::{AsOf, Hints};

    fn plan() -> Plan {
        let value = |text: &str| Valued::new(text.to_owned(), Origin::Operator);
        let input = |request: &str| PlanInput {
            request: request.to_owned(),
            sha256: Sha256::of(request.as_bytes()),
            size_bytes: 7,
            origin: Origin::Registry,
        };
        Plan {
            schema: SCHEMA.into(),
            source: PlanSource {
                uri: "git+https://example.org/b".into(),
                reference: "refs/tags/v1.0.0".into(),
                commit: GitOid::from_bytes([1; 20]),
                tree_sha256: Sha256::of(b"tree"),
                epoch: Timestamp::EPOCH,
            },
            candidate: Candidate {
                recipe: "generic".into(),
                environment: EnvironmentSpec::Host { tools: Vec::new() },
                source_form: SourceForm::Tree,
                subdir: String::new(),
                steps: vec![Step {
                    argv: vec![value("make")],
                }],
                variables: BTreeMap::new(),
                outputs: vec![value("out")],
                limits: Limits::default(),
                network: Network::Mirror,
                as_of: Some(Timestamp::EPOCH),
                own_releases: false,
                incomplete: None,
                missing: None,
                assists: Vec::new(),
                encoding: None,
                settings: Settings::default(),
            },
            inputs: vec![input("cargo:config"), input("cargo:index/dep")],
        }
    }

    fn refused(change: impl FnOnce(&mut Plan)) -> String {
        let mut plan = plan();
        change(&mut plan);
        Plan::from_bytes(&plan.to_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_plan_with_a_mirror_is_what_strangers_were_given() {
        let bytes = plan().to_bytes();
        let golden = include_str!("../golden/plan-mirror.json");
        assert_eq!(String::from_utf8_lossy(&bytes), golden);
        assert_eq!(Plan::from_bytes(&bytes).unwrap(), plan());
    }

    #[test]
    fn moment_inputs_and_network_go_together() {
        assert!(refused(|p| p.candidate.as_of = None).contains("no moment"));
        assert!(refused(|p| p.candidate.network = Network::None).contains("no mirror"));
        let no_network = |p: &mut Plan| {
            (p.candidate.network, p.candidate.as_of) = (Network::None, None);
        };
        assert!(refused(no_network).contains("no network"));
        assert!(refused(|p| p.inputs.swap(0, 1)).contains("out of order"));
        let twice = |p: &mut Plan| p.inputs.insert(0, p.inputs[0].clone());
        assert!(refused(twice).contains("out of order"));
    }

    #[test]
    fn hints_say_as_of_when() {
        let read = |text: &str| serde_json::from_str::<Hints>(text).map(|hints| hints.as_of);
        let moment = AsOf::At(Timestamp::EPOCH);
        assert_eq!(read("{}").unwrap(), AsOf::Commit);
        assert_eq!(read(r#"{"as_of":"commit"}"#).unwrap(), AsOf::Commit);
        assert_eq!(read(r#"{"as_of":"1970-01-01T00:00:00Z"}"#).unwrap(), moment);
        assert!(read(r#"{"as_of":"yesterday"}"#).is_err());
        assert_eq!(String::from(moment), "1970-01-01T00:00:00Z");
        assert_eq!(String::from(AsOf::Commit), "commit");
    }
}
