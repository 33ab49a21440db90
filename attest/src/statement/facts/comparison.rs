//! What looking inside both files gave.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

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
