//! The facts from which the signer composes a statement: plain data, no judgement.
//!
//! The host fills these in from digests that it took itself. Names and texts in here were written by
//! strangers; composing checks them, this file does not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Digests, GitOid, Sha256, Sha512};
use crate::origin::{AssistKind, Origin};
use crate::time::Timestamp;
use crate::verdict::{Reason, Verdict, WithdrawalReason};

/// Everything that one statement may be composed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Which statement is wanted. All kinds of one judgement are composed from the same facts.
    pub kind: Kind,
    /// What was decided.
    pub verdict: Verdict,
    /// Why; exactly where the verdict's predicate has room for it (differs and not-rebuilt).
    pub reason: Option<Reason>,
    /// When it was decided.
    pub decided_on: Timestamp,
    /// Who decided.
    pub rebuilder: Rebuilder,
    /// What was built.
    pub source: Source,
    /// The artifact that the verdict is about.
    pub published: Published,
    /// What our builds made for this artifact, at most one for each run, in the order of the runs.
    pub rebuilt: Vec<Rebuilt>,
    /// What was copied from the artifact; non-empty exactly for `assisted`.
    pub assisted_by: Vec<Assist>,
    /// What looking inside gave, where bytes differ and both sides could be read.
    pub comparison: Option<Comparison>,
    /// How it was built, whenever a plan ran.
    pub build: Option<Build>,
    /// Every origin of a value in the plan; empty only where no plan was made.
    pub origins: Vec<Origin>,
    /// What is taken back; exactly for [`Kind::Withdrawn`], and then all other facts are those of the
    /// verdict that is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawal: Option<Withdrawal>,
    /// SHA-256 of every published file known for this release, so that no provenance is issued for
    /// bytes we do not vouch for. The artifact itself counts without being listed.
    pub known_published: Vec<Sha256>,
    /// What came of varying what must not matter, beyond the two builds of every verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variations: Vec<Variation>,
}

/// A setting that must not matter, and what came of another value of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variation {
    /// The variation's name.
    pub name: String,
    /// The normalised value, then the other.
    pub values: [String; 2],
    /// What came of it.
    pub outcome: Effect,
}

/// What came of a variation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Effect {
    /// The outputs were the same.
    Stable,
    /// The outputs were others because of it.
    Unstable,
    /// It was not tried: the rebuilder's machine has no other value.
    Void,
}

/// Which statement is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The verdict on the published artifact.
    Verdict,
    /// SLSA provenance of the files that we built.
    Provenance,
    /// The same content under our own type, where provenance would claim too much.
    BuildRecord,
    /// An earlier verdict does not hold any more.
    Withdrawn,
}

impl Kind {
    /// The word in file names, in JSON and in stores.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Provenance => "provenance",
            Self::BuildRecord => "build-record",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// An earlier verdict is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// Digest of the signed bytes of the verdict: [`crate::dsse::Verified::signed`].
    pub statement: Sha256,
    /// When it is taken back; not before it was decided.
    pub withdrawn_on: Timestamp,
    /// Why.
    pub reason: WithdrawalReason,
    /// More of it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The rebuilder that signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebuilder {
    /// URI of this rebuilder.
    pub id: String,
    /// Component name to version.
    pub version: BTreeMap<String, String>,
    /// How the key is kept.
    pub key_isolation: KeyIsolation,
}

/// How a signing key is kept from what handles strangers' bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyIsolation {
    /// The signer runs as a user of its own.
    SeparateUid,
    /// The signer is a process of its own under the daemon's user.
    SameUid,
    /// The key never leaves a device.
    Hardware,
}

/// Where the source came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// `git+https://…`, or `git+file:` and a folder's name.
    pub uri: String,
    /// The full ref, `refs/tags/…`.
    pub reference: String,
    /// The peeled commit.
    pub commit: GitOid,
    /// The commit's tree.
    pub tree: GitOid,
    /// The tag object; present exactly where the tag is annotated.
    pub tag_object: Option<GitOid>,
    /// Digest of all that entered the sandbox; needed wherever something was built.
    pub tree_sha256: Option<Sha256>,
    /// What is known of the tag's signature.
    pub signature: SignatureState,
    /// How the tag is signed, exactly where it is known to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
    /// The commit that the tag named before, where it was seen to move.
    pub moved_from: Option<GitOid>,
}

/// How a tag is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The kind of signature.
    pub format: SignatureFormat,
    /// The key that made it, in the words of its kind; present where the signature itself is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_fingerprint: Option<String>,
}

/// Kinds of signatures of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureFormat {
    /// RFC 9580 and RFC 4880.
    Openpgp,
    /// PROTOCOL.sshsig.
    Ssh,
    /// CMS.
    X509,
}

/// What is known of a tag's signature. Only [`Self::Valid`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SignatureState {
    /// By a key that the operator named for this repository.
    Valid,
    /// Not a signature of this tag, or by a key that was revoked.
    Invalid,
    /// Nobody named the key.
    UnknownKey,
    /// By a key that the operator named, and that has expired since.
    ExpiredKey,
    /// The tag bears no signature.
    Unsigned,
    /// Nobody looked.
    Unchecked,
}

/// The published artifact: the subject of a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// One path component.
    pub file_name: String,
    /// The versioned package URL, where the project names one.
    pub purl: Option<String>,
    /// Whether it is out.
    pub stage: Stage,
    /// Taken by us while downloading, or given by the caller where only a digest is known.
    pub sha256: Sha256,
    /// Where we saw the bytes.
    pub sha512: Option<Sha512>,
    /// Where we saw the bytes.
    pub size_bytes: Option<u64>,
    /// `https://…` or `http://…`; a path of this machine is never signed, so `None` for local files.
    pub download_location: Option<String>,
    /// When the bytes were fetched.
    pub retrieved_on: Option<Timestamp>,
    /// What the registry declared and the bytes were checked against.
    pub declared: Option<String>,
}

/// Whether a published artifact is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Known by its digest only, perhaps before it is published.
    Candidate,
    /// Downloaded from where it was published.
    Released,
}

/// One file that one of our builds made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rebuilt {
    /// Index into [`Build::runs`].
    pub run: u32,
    /// One path component.
    pub file_name: String,
    /// Taken by us from the bytes that came out.
    pub digests: Digests,
}

/// Something that was copied from the artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assist {
    /// What.
    pub kind: AssistKind,
    /// Digest of the member or value that it came from.
    pub sha256: Sha256,
}

/// What looking inside both files gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// What was needed to make both sides equal; non-empty exactly for `equivalent`.
    pub normalizations: Vec<Normalization>,
    /// Digest of the normalized form that both sides share; for `equivalent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalized_digest: Option<Sha256>,
    /// The first members that differ, in the order of their names; for `differs`.
    pub differing_members: Vec<MemberDifference>,
    /// Differing members that are not listed.
    pub unlisted_members: u64,
    /// Why they differ, as far as known.
    pub causes: Vec<String>,
}

/// A normalization that was needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Normalization {
    /// `name/vN`.
    pub id: String,
    /// What it was applied to, for instance the file's name or a member's.
    pub scope: String,
    /// Places that it changed in the published file.
    pub changed_published: u64,
    /// Places that it changed in the rebuilt file.
    pub changed_rebuilt: u64,
}

/// A member that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberDifference {
    /// The member's name, percent-encoded where it is not printable.
    pub name: String,
    /// What differs.
    pub what: MemberChange,
    /// Digest of the published content, where there is content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<Sha256>,
    /// Digest of the rebuilt content, where there is content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<Sha256>,
}

/// What differs about a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberChange {
    /// The published file has it, ours has not.
    OnlyPublished,
    /// Ours has it, the published file has not.
    OnlyRebuilt,
    /// Other bytes.
    Content,
    /// Other type.
    Type,
    /// Other permission bits.
    Mode,
    /// Another position or another number of members of this name.
    Order,
    /// Something beside the members.
    Container,
}

/// How it was built: one plan, its runs, and what they ran in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The plan, by the digest of its bytes.
    pub plan: PlanRef,
    /// Each replay, in order.
    pub runs: Vec<Run>,
    /// What network the replays had.
    pub network: Network,
    /// What the replays could fetch, sorted by request, each once; empty without a network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// `x86_64`, as Rust names it.
    pub architecture: String,
    /// Tools that the plan names, at the versions found.
    pub toolchain: Vec<Tool>,
    /// Digest of the operator's root file system, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Sha256>,
    /// Name and version of the sandbox profile, `name/vN`.
    pub profile: String,
    /// How user ids are mapped.
    pub id_mode: IdMode,
    /// The limits that were enforced: name with its unit to value.
    pub limits: BTreeMap<String, u64>,
    /// How those were enforced for which there is more than one way.
    #[serde(default)]
    pub enforcement: Enforcement,
    /// Which machine of the rebuilder did it, where it has several.
    pub worker: Option<String>,
}

/// A plan by the digest of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRef {
    /// Of the file as first written.
    pub sha256: Sha256,
    /// Its length.
    pub size_bytes: u64,
}

/// A response that a record run was served and that replays were served again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The typed request, `registry:kind/name/…`.
    pub request: String,
    /// Of the bytes that were served.
    pub sha256: Sha256,
    /// Their number.
    pub size_bytes: u64,
}

/// One replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// When the sandbox started.
    pub started_on: Timestamp,
    /// When everything in it was dead.
    pub finished_on: Timestamp,
    /// How it ended.
    pub exit: Exit,
    /// Its log.
    pub log: Log,
}

/// How a replay ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Exit {
    /// Every step exited with 0 and the declared outputs were collected.
    Completed,
    /// A step exited with another code.
    Exited {
        /// Index of the step.
        step: u64,
        /// The code.
        code: i32,
    },
    /// A step was ended by a signal.
    Signalled {
        /// Index of the step.
        step: u64,
        /// The signal's number.
        signal: i32,
    },
    /// A step's program could not be started.
    NotStarted {
        /// Index of the step.
        step: u64,
    },
    /// The time limit passed.
    TimedOut {
        /// Index of the step that was running.
        step: u64,
    },
    /// Another limit was reached.
    LimitReached {
        /// Index of the step that was running.
        step: u64,
        /// Which one.
        limit: LimitKind,
    },
    /// Nothing matched a declared output.
    OutputMissing,
    /// A declared output is not a regular file, or a limit on outputs was passed.
    OutputRejected,
}

/// A limit that ends a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// Time without a byte of log.
    Silence,
    /// Memory.
    Memory,
    /// Processes at once.
    Processes,
    /// Bytes or files on the build's file systems.
    Disk,
}

/// What is known of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Digest of the bytes that were kept.
    pub sha256: Sha256,
    /// Bytes kept.
    pub size_bytes: u64,
    /// Bytes dropped beyond the limit.
    pub dropped_bytes: u64,
}

/// What network a replay had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Loopback, with nobody on it.
    None,
    /// Loopback, with nothing on it but a record of earlier responses: the build's inputs.
    Replay,
}

/// A tool at the version found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// The program's name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// How limits were enforced. The default is the weakest claim: not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Enforcement {
    /// Of memory.
    pub memory: Means,
    /// Of the number of processes.
    pub processes: Means,
    /// Of the number of processors.
    pub cpus: Means,
}

/// What holds a limit.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// Nothing.
    #[default]
    None,
    /// A control group of the first version.
    CgroupV1,
    /// A control group of the second version.
    CgroupV2,
    /// Looking every so often, and ending the build when it has too much.
    Sampled,
    /// A resource limit of each process.
    Rlimit,
    /// Where a process may run, which it can ask to change.
    Affinity,
}

/// How the sandbox maps user ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdMode {
    /// A range of ids that belong to nobody.
    RootRange,
    /// A range of ids that the system lends to an ordinary user.
    UserRange,
    /// One id of an ordinary user.
    SingleId,
}
