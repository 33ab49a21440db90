//! Compares a published file with a rebuilt one: bytes first, then everything inside them.
//!
//! The walk runs in a parsing child and can only yield that content is the same after named
//! normalizations, that it differs, or that it could not be compared. That bytes are equal is for the
//! host to say, from digests that it took itself: two files with the same bytes are refused here.
//!
//! `equivalent` is said on two grounds that must agree: member by member, every difference is covered
//! by a normalization; and the normalized forms of both sides have one digest.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use countersign_attest::digest::Sha256;
use serde::{Deserialize, Serialize};

use crate::archive::{self, ArchiveError, BlockKey, Content, Format, Inner, ReadLimits};

pub use form::normalized_digest;
pub use tree::{Compared, Tree};

mod apk_signature;
mod archive_owners;
mod archive_times;
mod both_sides;
mod bzip2_encoding;
pub mod causes;
mod elf_build_id;
mod elf_debug_link;
pub mod encoding;
mod form;
mod gzip_deflate;
mod gzip_header;
mod jar_manifest;
mod macho_signature;
mod matched;
mod member_order;
mod nodes;
pub mod normalization;
mod odd;
pub mod order;
mod pairs;
mod pax_bookkeeping;
mod pe_signature;
mod rpm_signature;
mod tally;
mod tar_dialect;
mod tar_padding;
pub mod tree;
mod wheel_record;
mod windows;
mod xz_encoding;
mod zip_compression;
mod zip_maker;
mod zstd_encoding;

use encoding::Encoding;

#[cfg(test)]
mod mutants;
#[cfg(test)]
mod registry_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tree_tests;

/// Compares two files that the host found to have different bytes.
///
/// Both may be hostile. Trouble is a [`Comparison::Failed`], never an error and never a panic.
#[must_use]
pub fn compare(published: File, rebuilt: File, limits: &ReadLimits) -> Compared {
    attempt(published, rebuilt, limits)
        .unwrap_or_else(|Failure { side, error }| without_tree(failed(side, error.with_causes())))
}

fn attempt(published: File, rebuilt: File, limits: &ReadLimits) -> Result<Compared, Failure> {
    if same_bytes(&published, &rebuilt)? {
        let message = "asked to compare two files with the same bytes";
        let comparison = failed(Side::Published, message.to_owned());
        return Ok(without_tree(comparison));
    }
    let key = BlockKey::default();
    let look = |file: &File, side| -> Result<Content, Failure> {
        archive::look_inside(
            Positioned::new(file),
            limits,
            &key,
            normalization::wants_text,
        )
        .map_err(Failure::on(side))
    };
    let (a, b) = both_sides::run(
        || look(&published, Side::Published),
        || look(&rebuilt, Side::Rebuilt),
    );
    let (a, b) = (a?, b?);
    let format = |content: &Content| content.container().map_or(Format::Other, |c| c.format);
    if format(&a) != format(&b) || matches!(a.inner, Inner::Opaque) {
        return Ok(without_tree(Comparison::NotComparable {
            published_format: format(&a).word().to_owned(),
            rebuilt_format: format(&b).word().to_owned(),
        }));
    }
    let mut pairs = pairs::Pairs::new(limits);
    let (mut root, left_out) = pairs.files(&a, &b);
    windows::fill(&mut root, (&published, &rebuilt), limits, &pairs.pending);
    Ok(Compared {
        comparison: conclude(pairs, &a, &b, limits),
        tree: Some(Tree { root, left_out }),
    })
}

/// Compares two files that were looked into with one key and that have different bytes. Where contents
/// begin to differ stays open: that takes the files.
#[must_use]
pub fn compare_walked(published: &Content, rebuilt: &Content, limits: &ReadLimits) -> Compared {
    let mut pairs = pairs::Pairs::new(limits);
    let (root, left_out) = pairs.files(published, rebuilt);
    Compared {
        comparison: conclude(pairs, published, rebuilt, limits),
        tree: Some(Tree { root, left_out }),
    }
}

/// Turns what was found into an answer.
fn conclude(pairs: pairs::Pairs, a: &Content, b: &Content, limits: &ReadLimits) -> Comparison {
    if let Some((side, unread)) = pairs.failed {
        return failed(side, unread.message);
    }
    if !pairs.differences.is_empty() {
        return Comparison::different(pairs.differences, limits);
    }
    if let Some((side, message)) = pairs.undetermined {
        return failed(side, message);
    }
    let normalizations = pairs.tally.normalizations();
    let digest = normalized_digest(a, &normalizations);
    if normalizations.is_empty() || digest != normalized_digest(b, &normalizations) {
        // the bytes differ in a place that nothing here looks at: that is no equivalence
        let place = MemberDifference {
            name: "(bytes that no reader looks at)".to_owned(),
            what: DifferenceKind::Container,
            published: Some(a.sha256),
            rebuilt: Some(b.sha256),
        };
        return Comparison::different(vec![place], limits);
    }
    Comparison::Equivalent {
        encoding: Encoding::of(a, &normalizations),
        normalizations: pairs.tally.applied(),
        normalized_digest: digest,
    }
}

const fn without_tree(comparison: Comparison) -> Compared {
    Compared {
        comparison,
        tree: None,
    }
}

fn failed(side: Side, message: String) -> Comparison {
    Comparison::Failed {
        side: side.word().to_owned(),
        message,
    }
}

impl Comparison {
    /// Sorts differences by name, and lists as many as wanted: those that weigh most, so that a
    /// thousand harmless ones do not hide a file that only the published side has.
    fn different(mut members: Vec<MemberDifference>, limits: &ReadLimits) -> Self {
        members.sort_by_key(|member| member.what.weight());
        let listed = usize::try_from(limits.listed).unwrap_or(usize::MAX);
        let unlisted = members.len().saturating_sub(listed) as u64;
        members.truncate(listed);
        members.sort_by(|a, b| a.name.cmp(&b.name)); // stable: kinds of one member keep their order
        Self::Different { members, unlisted }
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

/// Reads a file by position: two descriptors could share one offset.
struct Positioned<'f> {
    file: &'f File,
    offset: u64,
}

impl<'f> Positioned<'f> {
    const fn new(file: &'f File) -> Self {
        Self { file, offset: 0 }
    }
}

impl io::Read for Positioned<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(out, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
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
    /// The order in which differences are listed where not all can be.
    const fn weight(self) -> u8 {
        match self {
            Self::OnlyPublished => 0,
            Self::Type => 1,
            Self::Mode => 2,
            Self::Content => 3,
            Self::OnlyRebuilt => 4,
            Self::Order => 5,
            Self::Container => 6,
        }
    }

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
