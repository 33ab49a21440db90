//! Compares a published file with a rebuilt one: bytes first, then one level of containers.
//!
//! The walk runs in a parsing child and can only yield that content is the same after named
//! normalizations, that it differs, or that it could not be compared. That bytes are equal is for the
//! host to say, from digests that it took itself: two files with the same bytes are refused here.

use std::fs::File;
use std::io::{self, Seek};
use std::os::unix::fs::FileExt;

use countersign_attest::digest::Sha256;
use serde::{Deserialize, Serialize};

use crate::archive::{self, ArchiveError, Format, ReadLimits};

pub use tree::{Compared, Tree};

mod archive_times_owners;
mod containers;
pub mod encoding;
mod form;
mod gzip_encoding;
mod gzip_files;
pub mod normalization;
mod tar_padding;
pub mod tree;

use encoding::Encoding;

#[cfg(test)]
mod mutants;
#[cfg(test)]
mod tests;

/// Compares two files that the host found to have different bytes.
///
/// Both may be hostile. Trouble is a [`Comparison::Failed`], never an error and never a panic.
#[must_use]
pub fn compare(published: File, rebuilt: File, limits: &ReadLimits) -> Compared {
    let comparison =
        attempt(published, rebuilt, limits).unwrap_or_else(|Failure { side, error }| {
            Comparison::Failed {
                side: side.word().to_owned(),
                message: with_causes(&error),
            }
        });
    Compared {
        comparison,
        tree: None,
    }
}

fn attempt(
    mut published: File,
    mut rebuilt: File,
    limits: &ReadLimits,
) -> Result<Comparison, Failure> {
    let format_a = format_of(&published).map_err(Failure::on(Side::Published))?;
    let format_b = format_of(&rebuilt).map_err(Failure::on(Side::Rebuilt))?;
    if same_bytes(&published, &rebuilt)? {
        return Ok(Comparison::Failed {
            side: Side::Published.word().to_owned(),
            message: "asked to compare two files with the same bytes".to_owned(),
        });
    }
    let not_comparable = Comparison::NotComparable {
        published_format: format_a.word().to_owned(),
        rebuilt_format: format_b.word().to_owned(),
    };
    if format_a != format_b {
        return Ok(not_comparable);
    }
    rewind(&mut published, Side::Published)?;
    match format_a {
        Format::Gzip => {
            let a = archive::gzip::walk(published, limits, None);
            let a = a.map_err(Failure::on(Side::Published))?;
            rewind(&mut rebuilt, Side::Rebuilt)?;
            let b = archive::gzip::walk(rebuilt, limits, None);
            gzip_files::compare(a, b.map_err(Failure::on(Side::Rebuilt))?, limits)
        }
        Format::Tar => {
            let a = archive::tar::walk(published, limits, None);
            let a = a.map_err(Failure::on(Side::Published))?;
            rewind(&mut rebuilt, Side::Rebuilt)?;
            let b = archive::tar::walk(rebuilt, limits, None);
            let b = b.map_err(Failure::on(Side::Rebuilt))?;
            Ok(containers::compare(format_a, &a, &b, limits))
        }
        Format::Zip => {
            let a = archive::zip::walk(published, limits, None);
            let a = a.map_err(Failure::on(Side::Published))?;
            let b = archive::zip::walk(rebuilt, limits, None);
            let b = b.map_err(Failure::on(Side::Rebuilt))?;
            Ok(containers::compare(format_a, &a, &b, limits).encoded(Some(Encoding::Zip)))
        }
        Format::Other => Ok(not_comparable),
    }
}

/// One of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Published,
    Rebuilt,
}

impl Side {
    const fn word(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Rebuilt => "rebuilt",
        }
    }
}

/// What ended a comparison, and where.
struct Failure {
    side: Side,
    error: ArchiveError,
}

impl Failure {
    fn on<E: Into<ArchiveError>>(side: Side) -> impl FnOnce(E) -> Self {
        move |error| Self {
            side,
            error: error.into(),
        }
    }
}

fn with_causes(error: &ArchiveError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn rewind(file: &mut File, side: Side) -> Result<(), Failure> {
    file.rewind().map_err(Failure::on(side))
}

fn format_of(file: &File) -> io::Result<Format> {
    let mut head = [0; Format::HEAD_BYTES];
    let length = read_at(file, &mut head, 0)?;
    Ok(archive::sniff(head.get(..length).unwrap_or_default()))
}

/// Compares by position, because the two descriptors could share one offset.
fn same_bytes(published: &File, rebuilt: &File) -> Result<bool, Failure> {
    let (mut a, mut b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut offset = 0;
    loop {
        let from_a = read_at(published, &mut a, offset).map_err(Failure::on(Side::Published))?;
        let from_b = read_at(rebuilt, &mut b, offset).map_err(Failure::on(Side::Rebuilt))?;
        if from_a != from_b || a.get(..from_a) != b.get(..from_b) {
            return Ok(false);
        }
        if from_a == 0 {
            return Ok(true);
        }
        offset += from_a as u64;
    }
}

/// Fills the buffer as far as the file goes.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// What a comparison of two files with different bytes came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Comparison {
    /// The same content after these normalizations; never an empty list.
    Equivalent {
        /// The smallest set that makes both sides equal, each with how much it changed.
        normalizations: Vec<Applied>,
        /// Digest of the normalized form that both sides share.
        normalized_digest: Sha256,
        /// How the published file is encoded, where that is all that differs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encoding: Option<Encoding>,
    },
    /// Content, names, types or modes differ.
    Different {
        /// The first members that differ, in the order of their names.
        members: Vec<MemberDifference>,
        /// Differing members that are not listed.
        unlisted: u64,
    },
    /// The format is not one that we look into (or the two formats differ).
    NotComparable {
        /// What the published file looks like.
        published_format: String,
        /// What the rebuilt file looks like.
        rebuilt_format: String,
    },
    /// A limit was hit or an archive is malformed.
    Failed {
        /// Which side: `published` or `rebuilt`.
        side: String,
        /// What was found, escaped for display.
        message: String,
    },
}

/// A normalization that was needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// `name/vN`, as in the registry of normalizations.
    pub id: String,
    /// Places that it changed in the published file.
    pub changed_published: u64,
    /// Places that it changed in the rebuilt file.
    pub changed_rebuilt: u64,
    /// The first members that it touched, in the order of the published file, then of ours; in
    /// parentheses where no member is meant. Words for people: nothing is decided by them.
    #[serde(default)]
    pub members: Vec<String>,
    /// Members that it touched and that are not listed.
    #[serde(default)]
    pub members_unlisted: u64,
}

/// A member that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberDifference {
    /// The member's name as [`crate::archive::escape`] writes it; in parentheses where no member is
    /// meant but something about the container.
    pub name: String,
    /// What differs.
    pub what: DifferenceKind,
    /// Digest of the published content, where there is content.
    pub published: Option<Sha256>,
    /// Digest of the rebuilt content, where there is content.
    pub rebuilt: Option<Sha256>,
}

/// What differs about a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// The published file has it, ours has not.
    OnlyPublished,
    /// Ours has it, the published file has not.
    OnlyRebuilt,
    /// Other bytes.
    Content,
    /// Other type, for instance a symbolic link for a file, or another link target.
    Type,
    /// Other permission bits.
    Mode,
    /// Another position or another number of members of this name.
    Order,
    /// Something beside the members: trailing bytes, a header that no normalization covers.
    Container,
}

impl DifferenceKind {
    /// The word as statements and JSON carry it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::OnlyPublished => "only-published",
            Self::OnlyRebuilt => "only-rebuilt",
            Self::Content => "content",
            Self::Type => "type",
            Self::Mode => "mode",
            Self::Order => "order",
            Self::Container => "container",
        }
    }
}
