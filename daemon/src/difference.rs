//! The difference of a published and a rebuilt file as a document: the same in the API, in a file of
//! `rebuild --out` and from `countersign compare`; and as rows of text for terminals and pages.
//!
//! The tree in it explains a verdict and never decides one. Nearly every string in it was written by a
//! stranger: [`rows`] makes them printable, and pages escape them once more.

use std::fmt::Write as _;

use countersign_attest::digest::{Sha256, unhex};
use countersign_attest::escape::printable;
use countersign_builder::compare::tree::{
    Facts, Finding, FindingSide, FirstDifference, MetadataDifference, Node, NodeKind, State,
};
use countersign_builder::compare::{DifferenceKind, Tree};
use serde::{Deserialize, Serialize};

use crate::pipeline::ArtifactResult;

#[cfg(test)]
pub(crate) mod tests;

/// The document's JSON Schema (draft 2020-12).
pub(crate) const SCHEMA: &str = include_str!("difference.schema.json");

/// Two files side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Difference {
    /// The published file's name.
    pub(crate) name: String,
    /// Its digest.
    pub(crate) published: Sha256,
    /// The digest of ours.
    pub(crate) rebuilt: Sha256,
    /// What is the same and what is not.
    pub(crate) tree: Tree,
}

impl Difference {
    /// Of what was found, where both files could be looked into.
    pub(crate) fn of(result: &ArtifactResult) -> Option<Self> {
        Some(Self {
            name: result.published.file_name.clone(),
            published: result.published.sha256,
            rebuilt: result.rebuilt.first()?.digests.sha256,
            tree: result.differences.clone()?,
        })
    }

    /// The document as it is written to a file.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        // made of strings, numbers and lists: serde_json cannot fail on it
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The same for people, a line for each thing that differs.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!(
            "published sha256:{}\nrebuilt   sha256:{}\n",
            self.published, self.rebuilt
        );
        for row in rows(self) {
            let indent = "  ".repeat(row.depth);
            let _ = writeln!(text, "{indent}{}: {}", row.name, row.says);
            for note in row.notes {
                let _ = writeln!(text, "{indent}    {note}");
            }
        }
        text
    }
}

/// A node that is not equal on both sides, in words; or how many equal ones stand beside it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// How deep it is in the tree, from 0.
    pub(crate) depth: usize,
    /// Its name, printable.
    pub(crate) name: String,
    /// What is to be said first.
    pub(crate) says: &'static str,
    /// The particulars, printable.
    pub(crate) notes: Vec<String>,
}

/// The rows of a document, parents before children.
pub(crate) fn rows(difference: &Difference) -> Vec<Row> {
    let mut rows = Vec::new();
    let name = printable(&difference.name);
    add(&mut rows, &difference.tree.root, name, 0);
    rows
}

/// Trees are as deep as containers are nested, which the comparison bounds.
fn add(rows: &mut Vec<Row>, node: &Node, name: String, depth: usize) {
    rows.push(Row {
        depth,
        name,
        says: state(node.state),
        notes: notes(node),
    });
    let mut equal = 0_u64;
    let mut children: Vec<&Node> = node.children.iter().collect();
    // what says most about a verdict first; otherwise the tree's own order
    children.sort_by_key(|child| matches!(child.state, State::Metadata | State::Equal));
    for child in children {
        let is_plain = child.children.is_empty() && child.findings.is_empty();
        if child.state == State::Equal && is_plain {
            equal += 1;
        } else {
            add(rows, child, name_of(child), depth + 1);
        }
    }
    for (count, what) in [
        (equal, "the same in both"),
        (node.left_out, "left out here, by the limit"),
    ] {
        if count > 0 {
            rows.push(Row {
                depth: depth + 1,
                name: format!("({count} more)"),
                says: what,
                notes: Vec::new(),
            });
        }
    }
}

fn name_of(node: &Node) -> String {
    let name = match node.name.as_str() {
        "" => format!("({})", node.format.as_deref().unwrap_or("what is inside")),
        name => name.to_owned(),
    };
    let name = printable(&name);
    match node.occurrence {
        0 => name,
        before => format!("{name} (number {} of this name)", before + 1),
    }
}

const fn state(state: State) -> &'static str {
    match state {
        State::Equal => "the same",
        State::Metadata => "the same content, written down in another way",
        State::Content => "differs",
        State::OnlyPublished => "only in the published file",
        State::OnlyRebuilt => "only in ours",
    }
}

fn notes(node: &Node) -> Vec<String> {
    let mut notes = Vec::new();
    if !node.differs.is_empty() {
        let words: Vec<&str> = node.differs.iter().map(|kind| difference(*kind)).collect();
        notes.push(words.join(", "));
    }
    facts(&mut notes, node);
    notes.extend(node.first_difference.as_ref().map(first));
    notes.extend(node.metadata.iter().map(metadata));
    let said = |id: &&String| {
        node.metadata
            .iter()
            .any(|m| m.normalization.as_ref() == Some(*id))
    };
    let unsaid = node.normalizations.iter().filter(|id| !said(id));
    let unsaid: Vec<String> = unsaid.map(|id| printable(id)).collect();
    if !unsaid.is_empty() {
        notes.push(format!("equal after {}", unsaid.join(", ")));
    }
    notes.extend(node.findings.iter().map(finding));
    notes
}

/// The words of pages and terminals for what differs.
pub(crate) const fn difference(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::OnlyPublished => "only in the published file",
        DifferenceKind::OnlyRebuilt => "only in ours",
        DifferenceKind::Content => "other content",
        DifferenceKind::Type => "other type",
        DifferenceKind::Mode => "other permissions",
        DifferenceKind::Order => "other position",
        DifferenceKind::Container => "beside the members",
    }
}

/// What both sides are, where that is not the same.
fn facts(notes: &mut Vec<String>, node: &Node) {
    for (side, facts, other) in [
        ("published", &node.published, &node.rebuilt),
        ("rebuilt", &node.rebuilt, &node.published),
    ] {
        if let Some(facts) = facts
            .as_ref()
            .filter(|facts| other.as_ref() != Some(*facts))
        {
            notes.push(format!("{side}: {}", one_side(facts)));
        }
    }
}

fn one_side(facts: &Facts) -> String {
    let mut text = kind(facts.kind).to_owned();
    if let Some(target) = &facts.target {
        let _ = write!(text, " to {}", printable(target));
    }
    if let Some(mode) = facts.mode {
        let _ = write!(text, ", mode {mode:04o}");
    }
    if matches!(facts.kind, NodeKind::File | NodeKind::Payload) {
        let _ = write!(
            text,
            ", {} bytes, sha256 {}",
            facts.size_bytes, facts.sha256
        );
    }
    text
}

const fn kind(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::File => "file",
        NodeKind::Folder => "folder",
        NodeKind::Symlink => "symbolic link",
        NodeKind::Hardlink => "hard link",
        NodeKind::CharacterDevice => "character device",
        NodeKind::BlockDevice => "block device",
        NodeKind::Fifo => "named pipe",
        NodeKind::Payload => "payload",
    }
}

fn first(first: &FirstDifference) -> String {
    let FirstDifference {
        offset,
        published,
        rebuilt,
    } = first;
    let (published, rebuilt) = (bytes(published), bytes(rebuilt));
    format!("differs from byte {offset} on: published {published}, rebuilt {rebuilt}")
}

/// Bytes in hexadecimal, and as text where all of them are ASCII.
fn bytes(hex: &str) -> String {
    let shown = printable(hex);
    let text = unhex(hex).and_then(|bytes| String::from_utf8(bytes).ok());
    let plain = |text: &String| {
        let mut bytes = text.bytes();
        bytes.all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t'))
    };
    match text {
        _ if hex.is_empty() => "its end".to_owned(),
        Some(text) if plain(&text) => format!("{shown} \"{}\"", text.escape_default()),
        Some(_) | None => shown,
    }
}

fn metadata(metadata: &MetadataDifference) -> String {
    let side = |value: &Option<String>| match value {
        Some(value) => format!("\"{}\"", printable(value)),
        None => "nothing".to_owned(),
    };
    let covered = match &metadata.normalization {
        Some(id) => format!("covered by {}", printable(id)),
        None => "covered by nothing".to_owned(),
    };
    let (published, rebuilt) = (side(&metadata.published), side(&metadata.rebuilt));
    let field = printable(&metadata.field);
    format!("{field}: published {published}, rebuilt {rebuilt} ({covered})")
}

fn finding(finding: &Finding) -> String {
    let side = match finding.side {
        FindingSide::Published => "the published file",
        FindingSide::Rebuilt => "ours",
        FindingSide::Both => "both",
    };
    let what = finding.what.word();
    match finding.detail.as_str() {
        "" => format!("odd in {side}: {what}"),
        detail => format!("odd in {side}: {what}, {}", printable(detail)),
    }
}
