//! Makes the nodes of a difference tree from what walks found. What is compared is for
//! [`super::pairs`] to say.

use countersign_attest::digest::Sha256;

use super::tree::{Facts, Node, NodeKind, State};
use crate::archive::{Content, Kind, Member, escape};

/// The state of a node: whether the two sides are the `same`, and whether content differs `below`.
pub(super) const fn state(node: &Node, same: bool, below: bool) -> State {
    if below || !node.differs.is_empty() {
        State::Content
    } else if same {
        State::Equal
    } else {
        State::Metadata
    }
}

/// Whether a node tells of content.
pub(super) const fn is_loud(state: State) -> bool {
    match state {
        State::Content | State::OnlyPublished | State::OnlyRebuilt => true,
        State::Equal | State::Metadata => false,
    }
}

/// A node and all below it.
pub(super) fn count(node: &Node) -> u64 {
    node.children.iter().map(count).sum::<u64>() + 1
}

pub(super) fn member_node(a: &Member, b: &Member) -> Node {
    let mut node = node(
        escape(&a.name),
        Some(member_facts(a)),
        Some(member_facts(b)),
    );
    node.format = a.content.container().map(|c| c.format.word().to_owned());
    node
}

pub(super) fn node(name: String, published: Option<Facts>, rebuilt: Option<Facts>) -> Node {
    Node {
        name,
        occurrence: 0,
        state: State::Equal,
        format: None,
        published,
        rebuilt,
        differs: Vec::new(),
        metadata: Vec::new(),
        normalizations: Vec::new(),
        first_difference: None,
        findings: Vec::new(),
        children: Vec::new(),
        left_out: 0,
    }
}

pub(super) fn member_facts(member: &Member) -> Facts {
    let target = match &member.kind {
        Kind::Symlink(target) | Kind::Hardlink(target) => Some(escape(target)),
        Kind::File
        | Kind::Folder
        | Kind::CharacterDevice
        | Kind::BlockDevice
        | Kind::Fifo
        | Kind::Payload => None,
    };
    facts(kind(&member.kind), &member.content, member.mode, target)
}

pub(super) fn facts(
    kind: NodeKind,
    content: &Content,
    mode: Option<u32>,
    target: Option<String>,
) -> Facts {
    Facts {
        kind,
        size_bytes: content.size_bytes,
        sha256: content.sha256,
        mode,
        target,
    }
}

const fn kind(kind: &Kind) -> NodeKind {
    match kind {
        Kind::File => NodeKind::File,
        Kind::Folder => NodeKind::Folder,
        Kind::Symlink(_) => NodeKind::Symlink,
        Kind::Hardlink(_) => NodeKind::Hardlink,
        Kind::CharacterDevice => NodeKind::CharacterDevice,
        Kind::BlockDevice => NodeKind::BlockDevice,
        Kind::Fifo => NodeKind::Fifo,
        Kind::Payload => NodeKind::Payload,
    }
}

/// Cuts a name that would not fit into a statement, and tells it from others that begin alike: nothing
/// that [`escape`] writes has an ellipsis.
pub(super) fn shorten(name: String) -> String {
    match name.get(..NAME_BYTES) {
        Some(start) if name.len() > NAME_BYTES => {
            format!("{start}…{}", Sha256::of(name.as_bytes()))
        }
        Some(_) | None => name,
    }
}

/// Longest name of a member in a comparison.
const NAME_BYTES: usize = 1024;
