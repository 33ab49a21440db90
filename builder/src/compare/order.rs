//! When the order of a container's members says nothing, and which members moved.

use std::collections::{HashMap, HashSet};

use crate::archive::{Container, Format, Kind, Member};

/// Whether any order of these members unpacks to the same, and no reader looks for one at the front.
///
/// That is so in a tar or zip where no two members unpack to one place (where case does not count
/// either), no hard link needs its file to be there before, and nothing lies behind a member that is
/// no folder (a link that would lead elsewhere). A `META-INF/MANIFEST.MF` or `mimetype` is looked for
/// at the front.
#[must_use]
pub fn is_free(container: &Container) -> bool {
    if !matches!(container.format, Format::Tar | Format::Zip) {
        return false;
    }
    let mut folders = HashMap::with_capacity(container.members.len());
    let mut places = HashSet::with_capacity(container.members.len());
    for member in &container.members {
        let name = plain(&member.name);
        let first = name == b"mimetype" || name.eq_ignore_ascii_case(b"META-INF/MANIFEST.MF");
        let link = matches!(member.kind, Kind::Hardlink(_));
        let root = matches!(&*member.name, b"." | b"./");
        let steps = |part: &[u8]| matches!(part, b"." | b".." | b"");
        let odd = !root && name.split(|b| *b == b'/').any(steps);
        let taken = !places.insert(String::from_utf8_lossy(name).to_lowercase());
        if first || link || odd || taken {
            return false;
        }
        folders.insert(name, member.kind == Kind::Folder);
    }
    let mut names = folders.keys();
    names.all(|name| {
        let ends = name.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut above = ends.filter_map(|(at, _)| folders.get(name.get(..at)?));
        above.all(|folder| *folder)
    })
}

/// The place that a name unpacks to.
fn plain(name: &[u8]) -> &[u8] {
    let name = name.strip_prefix(b"./").unwrap_or(name);
    match name.strip_suffix(b"/") {
        Some(b"") | None => name,
        Some(plain) => plain,
    }
}

/// Each member's name and how many of that name came before.
pub(super) fn numbered(members: &[Member]) -> impl Iterator<Item = (&[u8], u64)> {
    let mut seen: HashMap<&[u8], u64> = HashMap::new();
    members.iter().map(move |member| {
        let count = seen.entry(&member.name).or_default();
        *count += 1;
        (&*member.name, *count - 1)
    })
}

/// Marks the items of one longest rising subsequence: the members that kept their order.
pub(super) fn longest_rising(values: &[usize]) -> Vec<bool> {
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
