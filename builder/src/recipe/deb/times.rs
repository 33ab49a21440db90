//! What a file of the distribution says of the times of a tree's files, which git has lost.
//!
//! A file of a binary package whose content is a file of the source has that file's time, compressed
//! documentation too. The time of everything that was made by the build is the newest in the package.
//! What a source package says of it: [`super::source_times`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use countersign_attest::digest::{Digests, Hasher, Sha256};
use serde::{Deserialize, Serialize};

use super::super::{InspectError, InspectRequest};
use super::{DebEvidence, binary_only, source_times};
use crate::archive::{BlockKey, Container, Content, Format, Kind, Member, look_inside};
use crate::tree::{self, Entry, Order, TreeError};

/// Most files of a source whose times are told; a package with more keeps the rest as git has them.
const MOST: usize = 10_000;

/// A file or folder of the source, and when it was changed last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTime {
    /// Its path in the tree.
    pub path: String,
    /// Seconds since 1970.
    pub seconds: i64,
}

/// Looks at a file of the distribution; nothing is learnt of one that cannot be read, which the
/// comparison will say. `changelog` is the tree's.
pub(super) fn look(
    tree: BorrowedFd<'_>,
    request: &InspectRequest,
    artifact: File,
    changelog: Sha256,
    evidence: &mut DebEvidence,
) -> Result<(), InspectError> {
    let keep = binary_only::is_changelog;
    let Ok(content) = look_inside(artifact, &request.limits, &BlockKey::default(), keep) else {
        return Ok(());
    };
    let failed = |error: TreeError| InspectError::Tree {
        path: ".".to_owned(),
        source: io::Error::other(error),
    };
    let Some(outermost) = content.container() else {
        return Ok(());
    };
    if let Some(tar) = unpacked(outermost) {
        let known = source_times::of(&request.file_name, tar);
        let same = |path: &str, content: &Digests| {
            let known = known
                .get(path)
                .filter(|(sha256, _)| *sha256 == content.sha256);
            known.map(|(_, seconds)| *seconds)
        };
        evidence.source_times = find(tree, same).map_err(failed)?;
    } else if let Some(data) = data(outermost) {
        let kept = kept(data);
        let same = |_: &str, content: &Digests| {
            let known = kept.get(&content.sha256);
            // an empty file is like every other
            known.copied().filter(|_| content.size_bytes > 0)
        };
        evidence.times = find(tree, same).map_err(failed)?;
        let mut changelogs = data.members.iter().filter(|m| keep(&m.name));
        evidence.whole_changelog =
            changelogs.any(|member| digests(&member.content).contains(&changelog));
        evidence.binary_only = binary_only::read(data, &evidence.source);
    }
    Ok(())
}

/// The tar of installed files (deb(5)).
fn data(package: &Container) -> Option<&Container> {
    let is_data = |member: &&Member| member.name.starts_with(b"data.tar");
    unpacked(package.members.iter().find(is_data)?.content.container()?)
}

/// The tar that a file is, compressed or not.
fn unpacked(file: &Container) -> Option<&Container> {
    Some(file.unpacked()).filter(|inside| inside.format == Format::Tar)
}

/// Times by the content that has them, of files that are older than the build.
fn kept(data: &Container) -> BTreeMap<Sha256, i64> {
    let timed = data
        .members
        .iter()
        .filter(|member| member.kind == Kind::File);
    let timed: Vec<(&Member, i64)> = timed
        .filter_map(|member| Some((member, member.tar_seconds()?)))
        .collect();
    let newest = data
        .members
        .iter()
        .filter_map(Member::tar_seconds)
        .max()
        .unwrap_or(0);
    let mut kept = BTreeMap::new();
    for (member, seconds) in timed.into_iter().filter(|(_, s)| *s < newest) {
        for sha256 in digests(&member.content) {
            // of copies of one file the oldest is the source's
            let known = kept.entry(sha256).or_insert(seconds);
            *known = seconds.min(*known);
        }
    }
    kept
}

/// The digest of a file, and of what it compresses.
fn digests(content: &Content) -> Vec<Sha256> {
    let mut all = vec![content.sha256];
    if let Some(container) = content.container()
        && container.format == Format::Gzip
        && let [stream] = container.members.as_slice()
    {
        all.push(stream.content.sha256);
    }
    all
}

/// The files of a tree that have a time, by their path and content.
fn find(
    tree: BorrowedFd<'_>,
    time: impl Fn(&str, &Digests) -> Option<i64>,
) -> Result<Vec<FileTime>, TreeError> {
    let mut found = Vec::new();
    tree::walk(tree, Order::Ascending, &mut |path, entry| {
        let Entry::File(mut file, _) = entry else {
            return Ok(());
        };
        let mut hasher = Hasher::new();
        io::copy(&mut file, &mut hasher).map_err(|source| TreeError::Io {
            path: path.escape_ascii().to_string(),
            source,
        })?;
        if found.len() < MOST
            && let Ok(path) = std::str::from_utf8(path)
            && let Some(seconds) = time(path, &hasher.finish())
        {
            found.push(FileTime {
                path: path.to_owned(),
                seconds,
            });
        }
        Ok(())
    })?;
    Ok(found)
}
