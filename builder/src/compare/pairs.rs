//! Walks two sides at once: what differs, what normalizations cover, and the tree that shows it.
//!
//! Members are matched by name and by how many of that name came before, never by content: a moved,
//! doubled or renamed member is a difference.

use std::collections::HashSet;

use super::form::canonical_text;
use super::matched::Matched;
use super::nodes::{count, facts, is_loud, member_facts, member_node, node, shorten, state};
use super::tally::Tally;
use super::tree::{Node, NodeKind, State};
use super::windows::{self, Pending};
use super::{DifferenceKind, MemberDifference, Side, member_order, odd, order};
use crate::archive::{
    Container, Content, Format, Inner, Kind, Member, Path, ReadLimits, Unread, escape, inside,
};

/// What was found so far.
pub(super) struct Pairs {
    pub(super) tally: Tally,
    /// Differences that nothing covers.
    pub(super) differences: Vec<MemberDifference>,
    /// The file, or what it holds alone, could not be walked.
    pub(super) failed: Option<(Side, Unread)>,
    /// A member that could have been equal, had it been walked.
    pub(super) undetermined: Option<(Side, String)>,
    /// Contents to read again.
    pub(super) pending: Vec<Pending>,
    nodes_left: u64,
    quiet_nodes_left: u64,
    /// Whether content differs below the node that is being filled, listed or not.
    below: bool,
    left_out: u64,
    /// Where we are, on both sides and in the tree.
    published: Path,
    rebuilt: Path,
    position: Vec<usize>,
}

/// Where something is.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// Names from the outermost container down, escaped; empty in the file itself.
    name: &'a str,
    /// Whether it is the file, or what the file holds alone.
    chain: bool,
}

impl Place<'_> {
    /// The name of something that is no member: in parentheses.
    fn beside(&self, what: &str) -> String {
        inside(self.name, &format!("({what})"))
    }

    /// The name of what is here itself.
    fn itself(&self, what: &str) -> String {
        if self.name.is_empty() {
            format!("({what})")
        } else {
            self.name.to_owned()
        }
    }
}

impl Pairs {
    pub(super) fn new(limits: &ReadLimits) -> Self {
        Self {
            tally: Tally::new(limits.listed),
            differences: Vec::new(),
            failed: None,
            undetermined: None,
            pending: Vec::new(),
            nodes_left: limits.nodes,
            // half of the room is kept for what differs in content
            quiet_nodes_left: limits.nodes.div_ceil(2),
            below: false,
            left_out: 0,
            published: Path::new(),
            rebuilt: Path::new(),
            position: Vec::new(),
        }
    }

    /// Compares two files of different bytes. Returns the root of the tree and how many nodes were
    /// left out.
    pub(super) fn files(&mut self, a: &Content, b: &Content) -> (Node, u64) {
        let facts = |content| facts(NodeKind::File, content, None, None);
        let mut node = node(String::new(), Some(facts(a)), Some(facts(b)));
        let place = Place {
            name: "",
            chain: true,
        };
        self.content(a, b, place, &mut node);
        node.state = state(&node, false, self.below);
        (node, self.left_out)
    }

    /// Compares two contents of different bytes. What is found is the node's.
    fn content(&mut self, a: &Content, b: &Content, place: Place<'_>, node: &mut Node) {
        match (&a.inner, &b.inner) {
            (Inner::Container(x), Inner::Container(y)) if x.format == y.format => {
                node.format = Some(x.format.word().to_owned());
                let before = (self.differences.len(), self.tally.total());
                self.containers((x, y), (a, b), place, node);
                let unseen = self.undetermined.is_none() && self.failed.is_none();
                if unseen && before == (self.differences.len(), self.tally.total()) {
                    // a place that no walker looks at: that is no equivalence
                    let name = place.beside("bytes that no reader looks at");
                    self.differ(DifferenceKind::Content, name, Some(a), Some(b), node);
                }
                if x.format.is_program() && node.differs.contains(&DifferenceKind::Content) {
                    self.find_place(a, b, node);
                }
            }
            (x, y) => {
                for (side, inner) in [(Side::Published, x), (Side::Rebuilt, y)] {
                    if let Inner::Unread(unread) = inner {
                        node.findings.push(odd::not_read(side, unread));
                        self.unread(side, unread, place);
                    }
                }
                let name = match (place.name.is_empty(), node.name.is_empty()) {
                    (true, _) => place.beside("content"),
                    (false, true) => place.beside("payload"),
                    (false, false) => place.name.to_owned(),
                };
                let open = |inner: &Inner| matches!(inner, Inner::Unread(u) if !u.malformed);
                if open(x) || open(y) {
                    // the bytes differ; whether that means anything, nobody knows
                    node.differs.push(DifferenceKind::Content);
                    return;
                }
                self.differ(DifferenceKind::Content, name, Some(a), Some(b), node);
                self.find_place(a, b, node);
            }
        }
    }

    fn unread(&mut self, side: Side, unread: &Unread, place: Place<'_>) {
        if place.chain && self.failed.is_none() {
            self.failed = Some((side, unread.clone()));
        } else if !unread.malformed && self.undetermined.is_none() {
            let message = format!("{}: {unread}", place.itself("file"));
            self.undetermined = Some((side, message));
        }
    }

    /// Says where two contents part, or notes that they have to be read again for it.
    fn find_place(&mut self, a: &Content, b: &Content, node: &mut Node) {
        node.first_difference = windows::of_kept(a, b);
        let (published, rebuilt) = ((&self.published, a), (&self.rebuilt, b));
        let again = Pending::new(&self.position, published, rebuilt);
        self.pending.extend(again);
    }

    fn containers(
        &mut self,
        (a, b): (&Container, &Container),
        contents: (&Content, &Content),
        place: Place<'_>,
        node: &mut Node,
    ) {
        node.findings.extend(odd::container_findings(a, b));
        let name = place.itself("file");
        let seen = self.tally.details(&a.details, &b.details, &name);
        node.normalizations.extend(seen.normalizations());
        node.metadata.extend(seen.metadata);
        if seen.uncovered {
            if a.format.is_program() {
                let (what, (a, b)) = (DifferenceKind::Content, contents);
                self.differ(what, name, Some(a), Some(b), node);
            } else {
                let name = place.beside(around(a.format));
                self.differ(DifferenceKind::Container, name, None, None, node);
            }
        }
        if a.format.is_compression() {
            self.streams(a, b, place, node);
        } else {
            self.members(a, b, place, node);
        }
    }

    fn streams(&mut self, a: &Container, b: &Container, place: Place<'_>, node: &mut Node) {
        if a.members.len() != b.members.len() {
            let name = place.beside("number of streams");
            self.differ(DifferenceKind::Container, name, None, None, node);
        }
        let chain = place.chain && a.members.len() == 1 && b.members.len() == 1;
        for (index, (a, b)) in a.members.iter().zip(&b.members).enumerate() {
            let position = (index, index);
            let place = Place { chain, ..place };
            let again = self.pending.len();
            let child = self.pair(a, b, position, node, |pairs, child| {
                pairs.one_member(a, b, None, place, child);
            });
            self.add(node, child, again);
        }
    }

    /// Compares members by name, and lists what differs before what does not.
    fn members(&mut self, a: &Container, b: &Container, place: Place<'_>, node: &mut Node) {
        let Matched {
            pairs,
            only_a,
            only_b,
        } = Matched::of(&a.members, &b.members);
        let order: Vec<usize> = pairs.iter().map(|(_, _, index)| *index).collect();
        let free = order::is_free(a) && order::is_free(b);
        let mut equal = Vec::new();
        let kept = order::longest_rising(&order);
        for (&(occurrence, index_a, index_b), kept) in pairs.iter().zip(kept) {
            let (Some(x), Some(y)) = (a.members.get(index_a), b.members.get(index_b)) else {
                continue; // indices of these very lists
            };
            let name = inside(place.name, &escape(&x.name));
            let place = Place {
                name: &name,
                chain: false,
            };
            if kept && is_same(x, y) {
                equal.push((occurrence, x, y));
                continue;
            }
            let position = (index_a, index_b);
            let again = self.pending.len();
            let mut child = self.pair(x, y, position, node, |pairs, child| {
                if !kept && free {
                    pairs.tally.changed(&member_order::V1, &name);
                    child.normalizations.push(member_order::V1.id.to_owned());
                } else if !kept {
                    let kind = DifferenceKind::Order;
                    pairs.differ(kind, name.clone(), file(x), file(y), child);
                }
                pairs.one_member(x, y, Some((a, b)), place, child);
            });
            child.occurrence = occurrence;
            self.add(node, child, again);
        }
        let names = |list: &[Member]| -> HashSet<Box<[u8]>> {
            list.iter().map(|member| member.name.clone()).collect()
        };
        let (names_a, names_b) = match only_a.is_empty() && only_b.is_empty() {
            true => Default::default(),
            false => (names(&a.members), names(&b.members)),
        };
        for (kind, list, members, others) in [
            (DifferenceKind::OnlyPublished, only_a, &a.members, names_b),
            (DifferenceKind::OnlyRebuilt, only_b, &b.members, names_a),
        ] {
            for (occurrence, index) in list {
                let Some(member) = members.get(index) else {
                    continue; // an index of this very list
                };
                // where the other side has members of that name, it is their number that differs
                let named = others.contains(&member.name);
                let mut child = self.alone(member, kind, named, place);
                child.occurrence = occurrence;
                self.add(node, child, self.pending.len());
            }
        }
        for (occurrence, x, y) in equal {
            if self.quiet_nodes_left == 0 || self.nodes_left == 0 {
                self.leave_out(node, 1);
                continue;
            }
            let mut child = member_node(x, y);
            child.findings = odd::member_findings(Some(x), Some(y));
            child.occurrence = occurrence;
            child.state = State::Equal;
            self.add(node, child, self.pending.len());
        }
    }

    /// Makes the node of two members and fills it, with the paths set to where they are.
    fn pair(
        &mut self,
        a: &Member,
        b: &Member,
        (index_a, index_b): (usize, usize),
        parent: &Node,
        fill: impl FnOnce(&mut Self, &mut Node),
    ) -> Node {
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX); // members are counted in u32
        self.published.push(number(index_a));
        self.rebuilt.push(number(index_b));
        self.position.push(parent.children.len());
        let mut child = member_node(a, b);
        child.findings = odd::member_findings(Some(a), Some(b));
        let beside = std::mem::replace(&mut self.below, false);
        fill(self, &mut child);
        child.state = state(&child, is_same(a, b), self.below);
        self.below = beside || is_loud(child.state);
        self.published.pop();
        self.rebuilt.pop();
        self.position.pop();
        child
    }

    fn one_member(
        &mut self,
        a: &Member,
        b: &Member,
        containers: Option<(&Container, &Container)>,
        place: Place<'_>,
        node: &mut Node,
    ) {
        let before = self.differences.len();
        let name = || place.itself("stream");
        if a.kind != b.kind {
            self.differ(DifferenceKind::Type, name(), file(a), file(b), node);
        }
        if a.mode != b.mode {
            self.differ(DifferenceKind::Mode, name(), file(a), file(b), node);
        }
        let other_bytes = !same_bytes(&a.content, &b.content);
        let has_content = |kind: &Kind| matches!(kind, Kind::File | Kind::Payload);
        if other_bytes && (has_content(&a.kind) || has_content(&b.kind) || a.kind == b.kind) {
            match containers {
                Some((x, y)) if self.same_text((x, a), (y, b), &name(), node) => {}
                Some(_) | None => self.content(&a.content, &b.content, place, node),
            }
        }
        let seen = self.tally.details(&a.details, &b.details, &name());
        for id in seen.normalizations() {
            if !node.normalizations.contains(&id) {
                node.normalizations.push(id);
            }
        }
        node.metadata.extend(seen.metadata);
        // raw headers repeat size, mode and type: they are news only where nothing else was found
        if seen.uncovered && self.differences.len() == before {
            self.differ(DifferenceKind::Container, name(), file(a), file(b), node);
        }
    }

    /// Whether a rule about texts makes two members equal.
    fn same_text(
        &mut self,
        (x, a): (&Container, &Member),
        (y, b): (&Container, &Member),
        name: &str,
        node: &mut Node,
    ) -> bool {
        if a.kind != Kind::File || b.kind != Kind::File {
            return false;
        }
        let (Some((rule, left)), Some((_, right))) = (canonical_text(x, a), canonical_text(y, b))
        else {
            return false;
        };
        if left == right {
            self.tally.changed(rule, name);
            node.normalizations.push(rule.id.to_owned());
        }
        left == right
    }

    fn differ(
        &mut self,
        what: DifferenceKind,
        name: String,
        published: Option<&Content>,
        rebuilt: Option<&Content>,
        node: &mut Node,
    ) {
        if !node.differs.contains(&what) {
            node.differs.push(what);
        }
        self.differences.push(MemberDifference {
            name: shorten(name),
            what,
            published: published.map(|content| content.sha256),
            rebuilt: rebuilt.map(|content| content.sha256),
        });
    }

    /// A member without a partner.
    fn alone(
        &mut self,
        member: &Member,
        kind: DifferenceKind,
        named: bool,
        place: Place<'_>,
    ) -> Node {
        let facts = Some(member_facts(member));
        let name = escape(&member.name);
        let full = inside(place.name, &name);
        let here = kind == DifferenceKind::OnlyPublished;
        let mut child = match here {
            true => node(name, facts, None),
            false => node(name, None, facts),
        };
        child.findings = match here {
            true => odd::member_findings(Some(member), None),
            false => odd::member_findings(None, Some(member)),
        };
        self.below = true;
        let what = if named { DifferenceKind::Order } else { kind };
        let (published, rebuilt) = match here {
            true => (file(member), None),
            false => (None, file(member)),
        };
        self.differ(what, full, published, rebuilt, &mut child);
        child.state = match here {
            true => State::OnlyPublished,
            false => State::OnlyRebuilt,
        };
        child
    }

    /// Adds a child, while there is room for it; else what was to be read `again` for it is not.
    fn add(&mut self, node: &mut Node, child: Node, again: usize) {
        let quiet = !is_loud(child.state);
        if self.nodes_left == 0 || (quiet && self.quiet_nodes_left == 0) {
            self.pending.truncate(again);
            self.leave_out(node, count(&child));
            return;
        }
        self.nodes_left -= 1;
        self.quiet_nodes_left -= u64::from(quiet);
        node.children.push(child);
    }

    fn leave_out(&mut self, node: &mut Node, nodes: u64) {
        self.left_out += nodes;
        node.left_out += 1;
    }
}

/// What a container has that is no member.
const fn around(format: Format) -> &'static str {
    match format {
        Format::Gzip => "bytes after the gzip stream",
        Format::Xz => "bytes after the xz stream",
        Format::Zstd => "bytes after the zstd frame",
        Format::Bzip2 => "bytes after the bzip2 stream",
        Format::Rpm => "lead or signature header",
        Format::Tar | Format::Zip | Format::Ar => "end or comment of the archive",
        // differences of these are differences of content
        Format::Elf | Format::Pe | Format::MachO | Format::Other => "content",
    }
}

fn same_bytes(a: &Content, b: &Content) -> bool {
    (a.size_bytes, a.sha256) == (b.size_bytes, b.sha256)
}

fn is_same(a: &Member, b: &Member) -> bool {
    a.kind == b.kind && a.mode == b.mode && a.details == b.details && {
        same_bytes(&a.content, &b.content)
    }
}

/// The content of a member that has some.
fn file(member: &Member) -> Option<&Content> {
    matches!(member.kind, Kind::File | Kind::Payload).then_some(&member.content)
}
