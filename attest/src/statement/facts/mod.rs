//! The facts from which the signer composes a statement: plain data, no judgement.
//!
//! The host fills these in from digests that it took itself. Names and texts in here were written by
//! strangers; composing checks them, this file does not.

mod build;
mod comparison;
mod source;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Digests, Sha256};
use crate::origin::{AssistKind, Origin};
use crate::time::Timestamp;
use crate::verdict::{Reason, Verdict, WithdrawalReason};

pub use build::{
    Build, Enforcement, Exit, IdMode, Input, LimitKind, Log, Means, Network, PlanRef, Run, Tool,
};
pub use comparison::{Comparison, MemberChange, MemberDifference, Normalization};
pub use source::{Published, SignatureFormat, SignatureState, Signed, Source, Stage};

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
