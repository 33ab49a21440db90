//! Which files of a source are older than the build: a package keeps their times, and git does not.
//!
//! A file of the package whose content is a file of the source has that file's time, compressed
//! documentation too. The time of everything that was made by the build is the newest in the package.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use countersign_attest::digest::{Hasher, Sha256};
use serde::{Deserialize, Serialize};

use super::super::InspectError;
use crate::archive::{
    BlockKey, Container, Content, Field, Format, Kind, Member, ReadLimits, look_inside,
};
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

/// Reads the times off a package; none where it cannot be read, which the comparison will say.
pub(super) fn read(
    tree: BorrowedFd<'_>,
    artifact: File,
    limits: &ReadLimits,
) -> Result<Vec<FileTime>, InspectError> {
    let Ok(content) = look_inside(artifact, limits, &BlockKey::default(), |_| false) else {
        return Ok(Vec::new());
    };
    let Some(data) = content.container().and_then(data) else {
        return Ok(Vec::new());
    };
    let kept = kept(data);
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |error: TreeError| InspectError::Tree {
        path: ".".to_owned(),
        source: io::Error::other(error),
    };
    find(tree, &kept).map_err(failed)
}

/// The tar of installed files (deb(5)).
fn data(package: &Container) -> Option<&Container> {
    let is_data = |member: &&Member| member.name.starts_with(b"data.tar");
    let mut inside = package.members.iter().find(is_data)?.content.container()?;
    // as many layers as compression has, which are few
    while inside.format != Format::Tar {
        inside = inside.members.first()?.content.container()?;
    }
    Some(inside)
}

/// Times by the content that has them, of files that are older than the build.
fn kept(data: &Container) -> BTreeMap<Sha256, i64> {
    let timed = data
        .members
        .iter()
        .filter(|member| member.kind == Kind::File);
    let timed: Vec<(&Member, i64)> = timed
        .filter_map(|member| Some((member, time(member)?)))
        .collect();
    let newest = data.members.iter().filter_map(time).max().unwrap_or(0);
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

fn time(member: &Member) -> Option<i64> {
    let mut details = member.details.iter();
    let detail = details.find(|detail| detail.field == Field::TarTime)?;
    let text = std::str::from_utf8(&detail.value).ok()?;
    i64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

fn find(tree: BorrowedFd<'_>, kept: &BTreeMap<Sha256, i64>) -> Result<Vec<FileTime>, TreeError> {
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
        let digests = hasher.finish();
        // an empty file is like every other
        if digests.size_bytes > 0
            && found.len() < MOST
            && let Some(seconds) = kept.get(&digests.sha256)
            && let Ok(path) = std::str::from_utf8(path)
        {
            found.push(FileTime {
                path: path.to_owned(),
                seconds: *seconds,
            });
        }
        Ok(())
    })?;
    Ok(found)
}
