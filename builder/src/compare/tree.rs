//! The difference between two files as data: a tree of members, bounded in size.
//!
//! A tree explains a [`Comparison`] and never decides anything: verdicts and statements are made from
//! the comparison alone. Every string in it that a stranger wrote went through
//! [`crate::archive::escape`]; it still has to be escaped for where it is shown.

use countersign_attest::digest::Sha256;
use serde::{Deserialize, Serialize};

use super::{Comparison, DifferenceKind};
use crate::archive::FindingKind;

/// What looking inside two files gave: the answer, and the tree that explains it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Compared {
    /// The answer.
    pub comparison: Comparison,
    /// What is the same and what is not; `None` where a side could not be looked into.
    pub tree: Option<Tree>,
}

/// Two files side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tree {
    /// The two files themselves.
    pub root: Node,
    /// Nodes that the limit left out, at any depth; [`Node::left_out`] says where.
    pub left_out: u64,
}

/// A member, or the payload of a compressed stream, on both sides or on one.
///
/// A file that is a container has its members as children. A compressed stream has its payload as its
/// only child, whose name is empty: a `.tar.gz` is gzip, then a nameless tar, then the members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// The name inside the parent alone, escaped; empty for the two files and for payloads.
    pub name: String,
    /// How many members of this name came before in the same container.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub occurrence: u64,
    /// Whether and how the two sides differ, everything below included.
    pub state: State,
    /// The format that was looked into, where it was: `tar`, `gzip`, `elf`, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The published side; `None` where it is only in ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Facts>,
    /// The rebuilt side; `None` where it is only in the published file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<Facts>,
    /// What of this node itself differs and is covered by no normalization.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<DifferenceKind>,
    /// What the container says of it in two ways, covered by a normalization or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<MetadataDifference>,
    /// Ids of the normalizations that changed something of this node itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub normalizations: Vec<String>,
    /// Where the content begins to differ, where content was compared byte by byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_difference: Option<FirstDifference>,
    /// What is odd about it, whether or not both sides share it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What is inside: what differs first, each part in the published file's order and then in ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Self>,
    /// Children that are not listed, by the limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Whether and how two sides differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The same bytes and the same metadata.
    Equal,
    /// The same content; something that the container says of it differs, here or below.
    Metadata,
    /// Other content, names, types or modes, here or below.
    Content,
    /// Only the published file has it.
    OnlyPublished,
    /// Only ours has it.
    OnlyRebuilt,
}

/// One side of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Facts {
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of content.
    pub size_bytes: u64,
    /// Digest of the content.
    pub sha256: Sha256,
    /// Permission bits, where the container has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Where a link points, escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// A regular file, or the compared file itself.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A hard link.
    Hardlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// The payload of a compressed stream.
    Payload,
}

/// Something that the container says of a member, and how each side says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetadataDifference {
    /// The field's word, for instance `tar-time`.
    pub field: String,
    /// What the published file has, escaped and cut to a length that can be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// What ours has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<String>,
    /// The normalization that covers it; `None`: it makes the two sides differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalization: Option<String>,
}

/// Where content begins to differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FirstDifference {
    /// Bytes before it, the same on both sides.
    pub offset: u64,
    /// The published bytes from there, in hexadecimal; at most [`FirstDifference::SHOWN`] bytes, none
    /// where the published content ends.
    pub published: String,
    /// The rebuilt bytes from there.
    pub rebuilt: String,
}

impl FirstDifference {
    /// Most bytes of each side that are kept.
    pub const SHOWN: usize = 32;
}

/// Something odd about a container or a member, which no normalization touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finding {
    /// Who has it.
    pub side: FindingSide,
    /// What it is.
    pub what: FindingKind,
    /// The particulars, escaped; empty where there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Which side a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingSide {
    /// The published file.
    Published,
    /// The rebuilt file.
    Rebuilt,
    /// Both, in the same way.
    Both,
}
