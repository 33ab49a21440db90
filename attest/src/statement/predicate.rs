//! Predicates as they stand in JSON (ATTESTATION section 1). The order of fields here is the order
//! of the bytes. A value of these types may be a stranger's: [`super::rules`] says what must hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::facts::{
    Assist, Comparison, Enforcement, Exit, IdMode, Network, Rebuilder, SignatureFormat,
    SignatureState, Stage, Variation,
};
use crate::digest::{GitOid, Sha256, Sha512};
use crate::time::Timestamp;
use crate::verdict::{Reason, Verdict, WithdrawalReason};

/// A named file and its digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// One path component, before which a build's number may stand.
    pub name: String,
    /// What the bytes must digest to.
    pub digest: DigestSet,
}

/// The only digests that a subject has: every one that is listed must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestSet {
    /// Always there.
    pub sha256: Sha256,
    /// Where the bytes were seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha512: Option<Sha512>,
}

/// A resource descriptor (in-toto Attestation Framework v1) with notes of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource<N> {
    /// What it is called here.
    pub name: String,
    /// Its digests.
    pub digest: DigestSet,
    /// What else is known.
    pub annotations: N,
}

/// Notes on a stored file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileNotes {
    /// Its length.
    pub size_bytes: u64,
}

/// Notes on a rebuilt file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebuiltNotes {
    /// Index of the run that made it.
    pub run: u32,
    /// Its length.
    pub size_bytes: u64,
}

/// Notes on a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogNotes {
    /// Bytes kept, of which the digest is.
    pub size_bytes: u64,
    /// Bytes dropped beyond the limit.
    pub dropped_bytes: u64,
}

/// The predicate of a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictPredicate {
    /// Agrees with the predicate type.
    pub verdict: Verdict,
    /// Why the verdict is not good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// When it was decided, by the rebuilder's clock.
    pub decided_on: Timestamp,
    /// Who decided.
    pub rebuilder: Rebuilder,
    /// What was built.
    pub source: SourceField,
    /// The artifact.
    pub published: PublishedField,
    /// One for each build that yielded the artifact.
    #[serde(default)]
    pub rebuilt: Vec<Resource<RebuiltNotes>>,
    /// What was copied from the artifact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assisted_by: Vec<Assist>,
    /// What looking inside gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// How it was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildField>,
    /// What came of varying what must not matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variations: Vec<Variation>,
}

/// The predicate of a withdrawal. Its subject is the one of the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WithdrawnPredicate {
    /// When the verdict was taken back, by the rebuilder's clock.
    pub withdrawn_on: Timestamp,
    /// Why.
    pub reason: WithdrawalReason,
    /// More of it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The verdict.
    pub withdraws: WithdrawsField,
    /// Who takes it back, and made it.
    pub rebuilder: Rebuilder,
    /// The artifact.
    pub published: PublishedField,
}

/// A verdict by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WithdrawsField {
    /// SHA-256 of the bytes under its signature (DSSE v1, PAE).
    pub statement: Sha256,
    /// Its type.
    pub predicate_type: String,
    /// What it said.
    pub verdict: Verdict,
    /// When it was decided.
    pub decided_on: Timestamp,
}

/// Where the source came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceField {
    /// `git+https://…`
    pub uri: String,
    /// The full ref.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The git objects.
    pub digest: GitDigests,
    /// Digest of all that entered the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree_sha256: Option<Sha256>,
    /// The tag.
    pub tag: TagField,
}

/// Git objects by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GitDigests {
    /// The peeled commit.
    pub git_commit: GitOid,
    /// Its tree.
    pub git_tree: GitOid,
    /// The tag object, where the tag is annotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_tag: Option<GitOid>,
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagField {
    /// Whether there is a tag object.
    pub kind: TagKind,
    /// What is known of its signature.
    pub signature: SignatureField,
    /// The commit that it named before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<GitOid>,
}

/// The two kinds of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagKind {
    /// A tag object of its own.
    Annotated,
    /// A name for a commit.
    Lightweight,
}

/// A tag's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignatureField {
    /// What is known.
    pub state: SignatureState,
    /// The kind of signature, where there is one that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<SignatureFormat>,
    /// The key that made it; always there for `VALID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_fingerprint: Option<String>,
}

/// The published artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedField {
    /// The versioned package URL, canonical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// The file's name; the subject has the same.
    pub file_name: String,
    /// Whether it is out.
    pub stage: Stage,
    /// The subject has the same.
    pub digest: DigestSet,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_location: Option<String>,
    /// Its length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// When it was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrieved_on: Option<Timestamp>,
    /// What the registry declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
}

/// How it was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildField {
    /// The plan, which a stranger can replay.
    pub plan: Resource<FileNotes>,
    /// Each replay.
    pub runs: Vec<RunField>,
    /// What network they had.
    pub network: Network,
    /// What they ran in.
    pub environment: EnvironmentField,
    /// Which machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
}

/// One replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunField {
    /// When it started.
    pub started_on: Timestamp,
    /// When everything was dead.
    pub finished_on: Timestamp,
    /// How it ended.
    pub exit: Exit,
    /// Its log.
    pub log: Resource<LogNotes>,
}

/// What a build ran in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentField {
    /// `x86_64`.
    pub architecture: String,
    /// Tools at the versions found.
    pub toolchain: Vec<ToolField>,
    /// Over all of the operator's root file system, as the `treeSha256` of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_tree_sha256: Option<Sha256>,
    /// The sandbox.
    pub sandbox: SandboxField,
}

/// A tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolField {
    /// Its name.
    pub name: String,
    /// Its package URL with the version.
    pub uri: String,
}

/// The sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxField {
    /// Name and version of what it fixes.
    pub profile: String,
    /// How user ids are mapped.
    pub id_mode: IdMode,
    /// The limits that were enforced.
    pub limits: BTreeMap<String, u64>,
    /// How; absent means not at all.
    #[serde(default)]
    pub enforcement: Enforcement,
}

/// The predicate of provenance (SLSA v1) and of a build record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildPredicate {
    /// What was built and how.
    pub build_definition: BuildDefinition,
    /// One execution of it.
    pub run_details: RunDetails,
}

/// SLSA v1 `buildDefinition`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildDefinition {
    /// [`super::types::BUILD_TYPE`].
    pub build_type: String,
    /// What a caller chose.
    pub external_parameters: ExternalParameters,
    /// What the rebuilder chose.
    pub internal_parameters: InternalParameters,
    /// The source, then every input that replays were served, by request.
    pub resolved_dependencies: Vec<Dependency>,
}

/// What a caller chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalParameters {
    /// The repository and ref.
    pub source: SourceParameter,
    /// The plan.
    pub plan: Resource<FileNotes>,
}

/// A repository and a ref.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceParameter {
    /// `git+https://…`
    pub uri: String,
    /// The full ref.
    #[serde(rename = "ref")]
    pub reference: String,
}

/// What the rebuilder chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InternalParameters {
    /// What network the replays had.
    pub network: Network,
    /// What they ran in.
    pub environment: EnvironmentField,
    /// Digest of all that entered the sandbox.
    pub tree_sha256: Sha256,
}

/// What a build was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dependency {
    /// The repository.
    Source(SourceDependency),
    /// A response of a registry, as it was served to the build; its name is the typed request.
    Input(Resource<FileNotes>),
}

/// The source as a dependency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDependency {
    /// `git+https://…@refs/tags/…`
    pub uri: String,
    /// The git objects.
    pub digest: GitDigests,
}

/// SLSA v1 `runDetails`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunDetails {
    /// Who built.
    pub builder: BuilderField,
    /// When.
    pub metadata: RunMetadata,
    /// The logs.
    pub byproducts: Vec<Resource<LogNotes>>,
}

/// SLSA v1 `builder`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuilderField {
    /// URI of the rebuilder.
    pub id: String,
    /// Component to version.
    pub version: BTreeMap<String, String>,
}

/// SLSA v1 `metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunMetadata {
    /// When the first replay started.
    pub started_on: Timestamp,
    /// When the last one was dead.
    pub finished_on: Timestamp,
}
