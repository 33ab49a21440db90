//! Compares two walked containers member by member and concludes.
//!
//! Members are matched by name and by how many of that name came before, never by content: a moved,
//! doubled or renamed member is a difference.

use std::collections::{HashMap, HashSet};

use countersign_attest::digest::Sha256;

use super::form::Form;
use super::normalization::Tally;
use super::{Comparison, DifferenceKind, MemberDifference};
use crate::archive::ReadLimits;
use crate::archive::{Container, Format, Kind, Member, escape};

/// Compares two tars or two zips of different bytes.
pub(super) fn compare(
    format: Format,
    published: &Container,
    rebuilt: &Container,
    limits: &ReadLimits,
) -> Comparison {
    let mut tally = Tally::new();
    let differences = member_differences(published, rebuilt, &mut tally);
    let form = |form: Form| form.members(published);
    conclude(format, differences, &tally, form, limits)
}

/// Turns differences and the tally of what was normalized into an answer.
pub(super) fn conclude(
    format: Format,
    differences: Vec<MemberDifference>,
    tally: &Tally,
    digest: impl FnOnce(Form) -> Sha256,
    limits: &ReadLimits,
) -> Comparison {
    if !differences.is_empty() {
        return Comparison::different(differences, limits);
    }
    let normalizations = tally.applied();
    if normalizations.is_empty() {
        // the bytes differ in a place that no walker looks at: that is no equivalence
        let place = pseudo("(bytes that no reader looks at)", DifferenceKind::Container);
        return Comparison::different(vec![place], limits);
    }
    let normalized_digest = digest(Form::new(format, &normalizations, tally.fields()));
    Comparison::Equivalent {
        normalizations,
        normalized_digest,
        encoding: None,
    }
}

/// A difference that belongs to no member; its name stands in parentheses.
pub(super) fn pseudo(name: &str, what: DifferenceKind) -> MemberDifference {
    MemberDifference {
        name: name.to_owned(),
        what,
        published: None,
        rebuilt: None,
    }
}

impl Comparison {
    /// Sorts differences by name, and lists as many as wanted.
    pub(super) fn different(mut members: Vec<MemberDifference>, limits: &ReadLimits) -> Self {
        members.sort_by(|a, b| a.name.cmp(&b.name)); // stable: kinds of one member keep their order
        let listed = usize::try_from(limits.listed).unwrap_or(usize::MAX);
        let unlisted = members.len().saturating_sub(listed) as u64;
        members.truncate(listed);
        Self::Different { members, unlisted }
    }
}

/// All differences that no normalization covers.
pub(super) fn member_differences(
    published: &Container,
    rebuilt: &Container,
    tally: &mut Tally,
) -> Vec<MemberDifference> {
    let mut list = Vec::new();
    if tally.details(&published.details, &rebuilt.details) {
        list.push(pseudo(
            "(end or comment of the archive)",
            DifferenceKind::Container,
        ));
    }
    let (a, b) = (&published.members, &rebuilt.members);
    let positions: HashMap<_, _> = numbered(b).zip(0..).collect();
    let mut matched = vec![false; b.len()];
    let mut pairs = Vec::new();
    for (key, member) in numbered(a).zip(a) {
        let found = positions.get(&key).copied();
        match found.and_then(|index: usize| Some((index, b.get(index)?))) {
            Some((index, other)) => {
                pairs.push((member, other, index));
                if let Some(flag) = matched.get_mut(index) {
                    *flag = true;
                }
            }
            None => {
                let named = positions.contains_key(&(&*member.name, 1));
                list.push(alone(member, named, DifferenceKind::OnlyPublished));
            }
        }
    }
    let names: HashSet<&[u8]> = a.iter().map(|member| &*member.name).collect();
    for (member, _) in b.iter().zip(&matched).filter(|(_, matched)| !**matched) {
        let named = names.contains(&*member.name);
        list.push(alone(member, named, DifferenceKind::OnlyRebuilt));
    }
    let order: Vec<usize> = pairs.iter().map(|(_, _, index)| *index).collect();
    for ((a, b, _), in_order) in pairs.iter().zip(longest_rising(&order)) {
        if !in_order {
            list.push(difference(a, b, DifferenceKind::Order));
        }
        one_member(a, b, tally, &mut list);
    }
    list
}

/// Each member's name and how many of that name came before.
fn numbered(members: &[Member]) -> impl Iterator<Item = (&[u8], usize)> {
    let mut seen: HashMap<&[u8], usize> = HashMap::new();
    members.iter().map(move |member| {
        let count = seen.entry(&member.name).or_default();
        *count += 1;
        (&*member.name, *count)
    })
}

fn one_member(a: &Member, b: &Member, tally: &mut Tally, list: &mut Vec<MemberDifference>) {
    let before = list.len();
    let content = |kind: &Kind| matches!(kind, Kind::File);
    if a.kind != b.kind {
        list.push(difference(a, b, DifferenceKind::Type));
    }
    if a.mode != b.mode {
        list.push(difference(a, b, DifferenceKind::Mode));
    }
    let other_bytes = (a.size_bytes, a.sha256) != (b.size_bytes, b.sha256);
    if other_bytes && (content(&a.kind) || content(&b.kind) || a.kind == b.kind) {
        list.push(difference(a, b, DifferenceKind::Content));
    }
    // raw headers repeat size, mode and type: they are news only where nothing else was found
    if tally.details(&a.details, &b.details) && list.len() == before {
        list.push(difference(a, b, DifferenceKind::Container));
    }
}

fn difference(a: &Member, b: &Member, what: DifferenceKind) -> MemberDifference {
    MemberDifference {
        name: escape(&a.name),
        what,
        published: content(a),
        rebuilt: content(b),
    }
}

/// A member without a partner. Where the other side has members of that name (`named`), it is their
/// number that differs.
fn alone(member: &Member, named: bool, what: DifferenceKind) -> MemberDifference {
    let (published, rebuilt) = match what {
        DifferenceKind::OnlyRebuilt => (None, content(member)),
        DifferenceKind::OnlyPublished
        | DifferenceKind::Content
        | DifferenceKind::Type
        | DifferenceKind::Mode
        | DifferenceKind::Order
        | DifferenceKind::Container => (content(member), None),
    };
    MemberDifference {
        name: escape(&member.name),
        what: if named { DifferenceKind::Order } else { what },
        published,
        rebuilt,
    }
}

fn content(member: &Member) -> Option<Sha256> {
    matches!(member.kind, Kind::File).then_some(member.sha256)
}

/// Marks the items of one longest rising subsequence: the members that kept their order.
fn longest_rising(values: &[usize]) -> Vec<bool> {
    // tails[n] is where the best rising run of length n + 1 ends so far; back links restore it
    let mut tails: Vec<(usize, usize)> = Vec::new();
    let mut back = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let length = tails.partition_point(|(tail, _)| tail < value);
        let previous = length.checked_sub(1).and_then(|n| tails.get(n));
        back.push(previous.map(|(_, index)| *index));
        match tails.get_mut(length) {
            Some(tail) => *tail = (*value, index),
            None => tails.push((*value, index)),
        }
    }
    let mut marks = vec![false; values.len()];
    let mut at = tails.last().map(|(_, index)| *index);
    while let Some(index) = at {
        if let Some(mark) = marks.get_mut(index) {
            *mark = true;
        }
        at = back.get(index).copied().flatten();
    }
    marks
}
