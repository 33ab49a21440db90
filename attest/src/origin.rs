//! Where a value of a plan came from, which decides what may be claimed (ATTESTATION section 2).

use serde::{Deserialize, Serialize};

/// Who chose a value that goes into a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The source tree at the released commit, or a fixed rule of ours applied to it.
    Source,
    /// A registry, as of publication.
    Registry,
    /// The operator of this rebuilder, or its environment.
    Operator,
    /// Copied from the published artifact under test, or another release of its package:
    /// `reproduced` is then impossible.
    Artifact,
}

/// A closed list of what may be copied from the artifact for the verdict `assisted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AssistKind {
    /// A lock file that only ends up as a member; nothing in it is compiled or run.
    LockfileInert,
    /// Modification times of members.
    FileTimes,
    /// The value of `SOURCE_DATE_EPOCH`.
    Epoch,
    /// Owner names or ids of members.
    Owners,
    /// A commit that differs from the peeled commit of the tag.
    Commit,
    /// Other container metadata, such as a header string.
    Metadata,
    /// What a registry has of another release of the same package: the build needs itself.
    OwnRelease,
}
