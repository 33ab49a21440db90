//! What is odd about a container, judged from what a walk found. Nothing here decides a verdict.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Container, Format, Kind, Member, Oddity, escape};

/// What is odd about the names of a container, taken together.
#[must_use]
pub fn of_container(container: &Container) -> Vec<Oddity> {
    let mut list = container.findings.clone();
    if container.format.is_compression() {
        return list;
    }
    list.extend(layout(container));
    let mut exact: HashMap<&[u8], u32> = HashMap::new();
    let mut folded: HashMap<String, &[u8]> = HashMap::new();
    for member in &container.members {
        let count = exact.entry(&member.name).or_default();
        *count += 1;
        if *count == 2 {
            list.push(odd(FindingKind::DuplicateName, &member.name));
        }
        let fold = String::from_utf8_lossy(&member.name).to_lowercase();
        let fold = fold.trim_end_matches('/').to_owned();
        let first = *folded.entry(fold).or_insert(&member.name);
        if first != &*member.name && *count == 1 {
            list.push(odd(FindingKind::ClashingName, &member.name));
        }
    }
    list
}

/// What is odd about the members that a package format names, all of them and in what order.
fn layout(container: &Container) -> Option<Oddity> {
    let names: Vec<&[u8]> = container.members.iter().map(|m| &*m.name).collect();
    let has = |name: &[u8]| names.contains(&name);
    let compressed = |name: &[u8], stem: &[u8]| {
        let ending = name.strip_prefix(stem);
        ending.is_some_and(|e| matches!(e, b"" | b".gz" | b".xz" | b".zst" | b".bz2" | b".lzma"))
    };
    let (what, fits) = match container.format {
        // deb(5)
        Format::Ar if has(b"debian-binary") => {
            let fits = matches!(names[..], [b"debian-binary", control, data]
                if compressed(control, b"control.tar") && compressed(data, b"data.tar"));
            ("not what a Debian package consists of", fits)
        }
        // rubygems: three members, or two in old ones, and signatures beside them
        Format::Tar if has(b"metadata.gz") && has(b"data.tar.gz") => {
            let known = |name: &&[u8]| {
                let name = name.strip_suffix(b".sig").unwrap_or(name);
                matches!(name, b"metadata.gz" | b"data.tar.gz" | b"checksums.yaml.gz")
            };
            ("not what a gem consists of", names.iter().all(known))
        }
        _ => return None,
    };
    (!fits).then(|| Oddity {
        what: FindingKind::Layout,
        detail: what.to_owned(),
    })
}

/// What is odd about one member.
#[must_use]
pub fn of_member(member: &Member) -> Vec<Oddity> {
    let mut list = Vec::new();
    if leaves(&member.name) {
        list.push(odd(FindingKind::EscapingName, b""));
    }
    let depth = member.name.split(|b| *b == b'/').count().saturating_sub(1);
    match &member.kind {
        Kind::Symlink(target) if link_leaves(target, depth) => {
            list.push(odd(FindingKind::EscapingLink, target));
        }
        Kind::Hardlink(target) if leaves(target) => {
            list.push(odd(FindingKind::EscapingLink, target));
        }
        Kind::CharacterDevice | Kind::BlockDevice | Kind::Fifo => {
            list.push(odd(FindingKind::Device, b""));
        }
        Kind::File | Kind::Folder | Kind::Payload | Kind::Symlink(_) | Kind::Hardlink(_) => {}
    }
    if member.mode.is_some_and(|mode| mode & 0o6000 != 0) {
        list.push(odd(FindingKind::SetId, b""));
    }
    if member.sparse {
        list.push(odd(FindingKind::Sparse, b""));
    }
    list
}

fn odd(what: FindingKind, detail: &[u8]) -> Oddity {
    Oddity {
        what,
        detail: escape(detail),
    }
}

/// Absolute, or with a step up. Windows' separators count too: zips are unpacked there.
fn leaves(name: &[u8]) -> bool {
    let separator = |byte: &u8| matches!(byte, b'/' | b'\\');
    let drive = name.get(1) == Some(&b':');
    name.first().is_some_and(separator) || drive || name.split(separator).any(|part| part == b"..")
}

/// Whether a symbolic link in a folder this deep points out of the folder that one unpacks into.
fn link_leaves(target: &[u8], depth: usize) -> bool {
    let mut level = Some(depth);
    for part in target.split(|byte| *byte == b'/') {
        level = match part {
            b"" | b"." => level,
            b".." => level.and_then(|level| level.checked_sub(1)),
            _ => level.map(|level| level + 1),
        };
    }
    target.first() == Some(&b'/') || level.is_none()
}

/// What can be odd. A closed list: pages have a sentence for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// More than one member has this name: readers choose differently.
    DuplicateName,
    /// The name leaves the folder that one unpacks into: absolute, or with `..`.
    EscapingName,
    /// A link that points out of the folder that one unpacks into.
    EscapingLink,
    /// Names that are one and the same where case or Unicode form do not count.
    ClashingName,
    /// A device or a named pipe.
    Device,
    /// Set-uid or set-gid.
    SetId,
    /// Bytes before, between or after what the format defines.
    StrayBytes,
    /// More than one compressed stream, which readers join or drop.
    SeveralStreams,
    /// A sparse file, which readers unpack differently.
    Sparse,
    /// A package format has a member that it does not define, or lacks one that it needs.
    Layout,
    /// What the package says of its members is not what they are.
    Bookkeeping,
    /// A container that could not be looked into; its bytes were compared as they are.
    NotRead,
}

impl FindingKind {
    /// The word as JSON carries it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::DuplicateName => "duplicate-name",
            Self::EscapingName => "escaping-name",
            Self::EscapingLink => "escaping-link",
            Self::ClashingName => "clashing-name",
            Self::Device => "device",
            Self::SetId => "set-id",
            Self::StrayBytes => "stray-bytes",
            Self::SeveralStreams => "several-streams",
            Self::Sparse => "sparse",
            Self::Layout => "layout",
            Self::Bookkeeping => "bookkeeping",
            Self::NotRead => "not-read",
        }
    }
}
