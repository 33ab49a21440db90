//! The bytes of git's objects: commits, tags and trees, read strictly.
//!
//! Pure. Used by the git child on a stranger's bytes; refuses what git itself would not have
//! written, because another reader might read it differently.

use std::collections::HashSet;

use countersign_attest::digest::GitOid;
use countersign_attest::time::Timestamp;

/// Longest name of a file or folder in bytes.
pub(crate) const MAX_NAME: usize = 255;

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ObjectError {
    /// The headers are not those of its kind.
    #[error("its headers are not those of a {0}")]
    Headers(&'static str),
    /// A tree's entry is cut off or its mode is not one of git's.
    #[error("one of its entries is not one that git writes")]
    Entry,
    /// A tree's entries are not in git's order.
    #[error("its entries are not in order")]
    Order,
    /// Two entries of a tree have one name.
    #[error("two of its entries are named {0}")]
    Twice(String),
    /// A name that must not be written to a disk.
    #[error("it holds the name {name}: {reason}")]
    Name {
        /// The name, made printable.
        name: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
}

/// What a commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Its tree.
    pub tree: GitOid,
    /// The commits before it.
    pub parents: Vec<GitOid>,
    /// The committer's time.
    pub time: Timestamp,
}

/// What a tag object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    /// The object that it names.
    pub target: GitOid,
    /// The kind that it claims for it.
    pub kind: Vec<u8>,
}

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A file.
    File,
    /// A file that may be executed.
    Executable,
    /// A symbolic link.
    Link,
    /// A folder.
    Folder,
    /// A commit of another repository.
    Submodule,
}

/// An entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// What it is.
    pub kind: EntryKind,
    /// Its name: one path component, safe to be written.
    pub name: &'a [u8],
    /// The object.
    pub oid: GitOid,
}

/// Reads a commit.
///
/// # Errors
/// When a header that we need is absent or malformed.
pub(crate) fn parse_commit(bytes: &[u8]) -> Result<Commit, ObjectError> {
    let malformed = || ObjectError::Headers("commit");
    let mut lines = bytes.split(|&b| b == b'\n');
    let tree = header_oid(lines.next(), b"tree ").ok_or_else(malformed)?;
    let mut parents = Vec::new();
    let committer = lines
        .take_while(|line| !line.is_empty())
        .inspect(|line| parents.extend(header_oid(Some(*line), b"parent ")))
        .find_map(|line| line.strip_prefix(b"committer "))
        .ok_or_else(malformed)?;
    // NAME SP "<" MAIL ">" SP SECONDS SP ZONE
    let after = committer.rsplit(|&b| b == b'>').next().unwrap_or_default();
    let seconds = str::from_utf8(after)
        .ok()
        .and_then(|text| text.split_ascii_whitespace().next())
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|text| text.parse().ok());
    let time = seconds
        .and_then(|s| Timestamp::from_unix_seconds(s).ok())
        .ok_or_else(malformed)?;
    Ok(Commit {
        tree,
        parents,
        time,
    })
}

/// Reads a tag object.
///
/// # Errors
/// When a header that we need is absent or malformed.
pub(crate) fn parse_tag(bytes: &[u8]) -> Result<Tag, ObjectError> {
    let malformed = || ObjectError::Headers("tag");
    let mut lines = bytes.split(|&b| b == b'\n');
    let target = header_oid(lines.next(), b"object ").ok_or_else(malformed)?;
    let kind = lines
        .next()
        .and_then(|line| line.strip_prefix(b"type "))
        .ok_or_else(malformed)?;
    Ok(Tag {
        target,
        kind: kind.to_vec(),
    })
}

/// Reads a tree. The entries come in git's order, each name once.
///
/// # Errors
/// When an entry is not one that git writes, or has a name that must not be written to a disk.
pub(crate) fn parse_tree(bytes: &[u8]) -> Result<Vec<Entry<'_>>, ObjectError> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut names = HashSet::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (entry, after) = parse_entry(rest).ok_or(ObjectError::Entry)?;
        check_name(entry.name).map_err(|reason| ObjectError::Name {
            name: super::error::printable(entry.name),
            reason,
        })?;
        if !names.insert(entry.name) {
            return Err(ObjectError::Twice(super::error::printable(entry.name)));
        }
        if entries
            .last()
            .is_some_and(|last| sort_key(last).ge(sort_key(&entry)))
        {
            return Err(ObjectError::Order);
        }
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

fn parse_entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let space = bytes.iter().position(|&b| b == b' ')?;
    let kind = match bytes.get(..space)? {
        // git wrote 100664 in its first months; it has always meant 100644 since
        b"100644" | b"100664" => EntryKind::File,
        b"100755" => EntryKind::Executable,
        b"120000" => EntryKind::Link,
        b"40000" => EntryKind::Folder,
        b"160000" => EntryKind::Submodule,
        _ => return None,
    };
    let rest = bytes.get(space + 1..)?;
    let end = rest.iter().position(|&b| b == 0)?;
    let (oid, after) = rest.get(end + 1..)?.split_first_chunk::<20>()?;
    Some((
        Entry {
            kind,
            name: rest.get(..end)?,
            oid: GitOid::from_bytes(*oid),
        },
        after,
    ))
}

/// Git compares names as if a folder's ended with a slash.
fn sort_key<'a>(entry: &Entry<'a>) -> impl Iterator<Item = u8> + use<'a> {
    let slash = (entry.kind == EntryKind::Folder).then_some(b'/');
    entry.name.iter().copied().chain(slash)
}

/// Whether a name may be written to a disk, on any system that this tree may reach.
fn check_name(name: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() || name == b"." || name == b".." {
        return Err("it leaves its folder");
    }
    if name.contains(&b'/') || name.contains(&b'\\') {
        return Err("it holds a separator");
    }
    if name.len() > MAX_NAME {
        return Err("it is longer than 255 bytes");
    }
    if is_dot_git(name) {
        return Err("it is, or looks like, a repository's own folder");
    }
    Ok(())
}

/// `.git` as any file system would take it: in any case, by its short name, with what NTFS drops
/// from the end or takes for a stream, with characters that HFS ignores.
fn is_dot_git(name: &[u8]) -> bool {
    let seen: String = String::from_utf8_lossy(name)
        .chars()
        .filter(|c| !matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'))
        .flat_map(char::to_lowercase)
        .collect();
    let stem = seen
        .split(':')
        .next()
        .unwrap_or_default()
        .trim_end_matches([' ', '.']);
    stem == ".git" || stem == "git~1"
}

fn header_oid(line: Option<&[u8]>, key: &[u8]) -> Option<GitOid> {
    str::from_utf8(line?.strip_prefix(key)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: [u8; 20] = [7; 20];

    fn tree(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (mode, name) in entries {
            bytes.extend_from_slice(mode.as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(&OID);
        }
        bytes
    }

    #[test]
    fn a_tree_yields_its_entries() {
        let bytes = tree(&[
            ("100644", b"a.b"),
            ("40000", b"a"),
            ("100755", b"a0"),
            ("120000", b"l\xff\n"),
            ("160000", b"s"),
            ("100664", b"t"),
        ]);
        let kinds: Vec<_> = parse_tree(&bytes)
            .expect("a tree")
            .into_iter()
            .map(|e| e.kind)
            .collect();
        use EntryKind::{Executable, File, Folder, Link, Submodule};
        assert_eq!(kinds, [File, Folder, Executable, Link, Submodule, File]);
        assert_eq!(parse_tree(b""), Ok(vec![]));
    }

    #[test]
    fn names_that_must_not_be_written_are_refused() {
        for name in [
            &b""[..],
            b".",
            b"..",
            b"a/b",
            b"/etc",
            b"a\\b",
            b".git",
            b".GIT",
            b".Git",
            b".git ",
            b".git.",
            b".git...",
            b".git . .",
            b"git~1",
            b"GIT~1",
            b".git::$INDEX_ALLOCATION",
            b".git:x",
            ".g\u{200c}it".as_bytes(),
            "\u{feff}.git".as_bytes(),
            &[b'n'; 256],
        ] {
            let bytes = tree(&[("100644", name)]);
            assert!(
                matches!(parse_tree(&bytes), Err(ObjectError::Name { .. })),
                "{name:?}"
            );
        }
        for name in [
            &b".gitignore"[..],
            b".gitattributes",
            b"git",
            b"..a",
            b".git2",
            b"a b",
            b"git~12",
            &[b'n'; 255],
        ] {
            assert!(parse_tree(&tree(&[("100644", name)])).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn duplicates_disorder_and_broken_entries_are_refused() {
        let twice = tree(&[("100644", b"a"), ("100644", b"a")]);
        assert_eq!(parse_tree(&twice), Err(ObjectError::Twice("a".into())));
        // a file and a folder of one name are not neighbours in git's order
        let split = tree(&[("120000", b"a"), ("100644", b"a.b"), ("40000", b"a")]);
        assert_eq!(parse_tree(&split), Err(ObjectError::Twice("a".into())));
        let disorder = tree(&[("100644", b"b"), ("100644", b"a")]);
        assert_eq!(parse_tree(&disorder), Err(ObjectError::Order));
        for mode in ["040000", "100600", "0", "", "100644x", "120777", "060000"] {
            assert_eq!(
                parse_tree(&tree(&[(mode, b"a")])),
                Err(ObjectError::Entry),
                "{mode}"
            );
        }
        let whole = tree(&[("100644", b"a")]);
        for end in 1..whole.len() {
            assert_eq!(parse_tree(&whole[..end]), Err(ObjectError::Entry), "{end}");
        }
    }

    #[test]
    fn commits_and_tags_yield_what_we_need() {
        let oid = GitOid::from_bytes(OID);
        let commit = format!(
            "tree {oid}\nparent {oid}\nauthor A <a@b> 5 +0000\ncommitter A <evil> 1> <a@b> 1700000000 -0730\n\ntext"
        );
        let parsed = parse_commit(commit.as_bytes()).expect("a commit");
        assert_eq!(
            (parsed.tree, parsed.time.unix_seconds()),
            (oid, 1_700_000_000)
        );
        let tag = format!("object {oid}\ntype commit\ntag v1\ntagger A <a@b> 1 +0000\n\ntext");
        let parsed = parse_tag(tag.as_bytes()).expect("a tag");
        assert_eq!(
            (parsed.target, parsed.kind.as_slice()),
            (oid, &b"commit"[..])
        );
        for bad in [
            String::new(),
            format!("parent {oid}\ntree {oid}\n"),
            format!("tree {oid}\n\ncommitter A <a@b> 1 +0000\n"),
            format!("tree {oid}\ncommitter A <a@b> -1 +0000\n\n"),
            format!("tree {oid}\ncommitter A <a@b> 99999999999999999999 +0000\n\n"),
            format!("tree {oid}\ncommitter A <a@b>\n\n"),
        ] {
            assert!(parse_commit(bad.as_bytes()).is_err(), "{bad:?}");
            assert!(parse_tag(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
