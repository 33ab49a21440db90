//! Walkers of containers whose every byte may be hostile: gzip, tar and zip, one level deep.
//!
//! A walker accounts for every byte of its container: as a member's name, type, mode or content, as
//! a [`Detail`] with a name of its own, or in a [`Field::Remainder`] that takes all the rest. Nothing
//! is dropped here and nothing is unpacked; what may be disregarded is for the normalizations of
//! [`crate::compare`] to say. Walkers read forward in constant memory beside the list of members.

use std::io;

use countersign_attest::digest::Sha256;

pub mod gzip;
mod inflate;
pub mod tar;
mod tar_header;
pub mod zip;
mod zip_records;

#[cfg(test)]
mod tests;

/// What reading an archive, and telling of it, may use. Every limit is an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadLimits {
    /// Most members of one archive.
    pub members: u64,
    /// Most bytes of all members of one archive together, uncompressed.
    pub total_bytes: u64,
    /// Longest member name in bytes.
    pub name_bytes: u64,
    /// Most bytes of names and headers of one archive together: what a walk keeps in memory.
    pub metadata_bytes: u64,
    /// Most differing members that are listed; the rest is counted.
    pub listed: u64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            members: 200_000,
            total_bytes: 8 << 30,
            name_bytes: 4096,
            metadata_bytes: 256 << 20,
            listed: 100,
        }
    }
}

/// A container format, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 1952.
    Gzip,
    /// A first header with a correct sum; v7, ustar, GNU or PAX.
    Tar,
    /// A local header or an empty archive at offset 0; a file with something before is not one.
    Zip,
    /// Nothing that we look into.
    Other,
}

impl Format {
    /// How many first bytes [`sniff`] wants to see.
    pub const HEAD_BYTES: usize = 512;

    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Tar => "tar",
            Self::Zip => "zip",
            Self::Other => "unknown",
        }
    }
}

/// Tells the format of a file by its first [`Format::HEAD_BYTES`] bytes, or fewer if it is shorter.
#[must_use]
pub fn sniff(head: &[u8]) -> Format {
    if head.starts_with(&[0x1f, 0x8b]) {
        Format::Gzip
    } else if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        Format::Zip
    } else if head.first_chunk().is_some_and(tar_header::is_header) {
        Format::Tar
    } else {
        Format::Other
    }
}

/// A walked container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Facts about the container beside its members: its end, its comment.
    pub details: Vec<Detail>,
    /// Members in the order of the archive. Names may repeat.
    pub members: Vec<Member>,
}

/// One member. The strings in it were written by a stranger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The name that an extractor uses, raw; print it with [`escape`].
    pub name: Box<[u8]>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-uid, set-gid and sticky, where the archive has them.
    pub mode: Option<u32>,
    /// Bytes of content.
    pub size_bytes: u64,
    /// Digest of the content: of nothing at all, where there is none.
    pub sha256: Sha256,
    /// All else that the archive says of it.
    pub details: Vec<Detail>,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link to this target.
    Symlink(Box<[u8]>),
    /// A hard link to this member.
    Hardlink(Box<[u8]>),
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
}

impl Kind {
    /// A byte that tells the kinds apart, for canonical forms.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::File => b'f',
            Self::Folder => b'd',
            Self::Symlink(_) => b'l',
            Self::Hardlink(_) => b'h',
            Self::CharacterDevice => b'c',
            Self::BlockDevice => b'b',
            Self::Fifo => b'p',
        }
    }

    /// Where a link points, raw.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        match self {
            Self::Symlink(target) | Self::Hardlink(target) => target,
            Self::File | Self::Folder | Self::CharacterDevice | Self::BlockDevice | Self::Fifo => {
                &[]
            }
        }
    }
}

/// A named piece of what a container says, raw. A field can occur more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// What it is.
    pub field: Field,
    /// Its bytes as they stand, or a digest of them where only equality matters.
    pub value: Box<[u8]>,
}

impl Detail {
    /// Pairs a field with its bytes.
    #[must_use]
    pub fn new(field: Field, value: &[u8]) -> Self {
        Self {
            field,
            value: value.into(),
        }
    }
}

/// What a [`Detail`] is. Whether it may differ is for the normalizations to say, not for this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// MTIME of a gzip header.
    GzipTime,
    /// XFL of a gzip header.
    GzipExtraFlags,
    /// OS of a gzip header.
    GzipSystem,
    /// FLG of a gzip header.
    GzipFlags,
    /// The FEXTRA field of a gzip header.
    GzipExtra,
    /// The FNAME field of a gzip header.
    GzipName,
    /// The FCOMMENT field of a gzip header.
    GzipComment,
    /// A deflate stream, by length and CRC of the compressed bytes.
    Deflate,
    /// The `mtime` field of a tar header.
    TarTime,
    /// The `uid` or `gid` field of a tar header.
    TarOwnerId,
    /// The `uname` or `gname` field of a tar header.
    TarOwnerName,
    /// A pax record `mtime`, `atime` or `ctime` with a decimal value.
    PaxTime,
    /// A pax record `uid`, `gid`, `uname` or `gname`.
    PaxOwner,
    /// The header of a pax entry that holds times and owners only, by digest.
    PaxTimesOwnersHeader,
    /// The length of the zeros at the end of a tar, where they are its two end blocks and exactly what
    /// fills its last record (POSIX pax §ustar: twenty blocks).
    TarPadding,
    /// The DOS date and time of a zip header.
    ZipTime,
    /// A well-formed extended timestamp (extra field 0x5455).
    ZipExtraTime,
    /// Well-formed Unix owner ids (extra field 0x7875).
    ZipExtraOwner,
    /// What stands after the last member: the length of the zeros, or a digest of other bytes.
    End,
    /// The comment of a zip archive.
    Comment,
    /// Digest of all bytes of a header that are nowhere else.
    Remainder,
}

impl Field {
    /// The name in canonical forms.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::GzipTime => "gzip-time",
            Self::GzipExtraFlags => "gzip-extra-flags",
            Self::GzipSystem => "gzip-system",
            Self::GzipFlags => "gzip-flags",
            Self::GzipExtra => "gzip-extra",
            Self::GzipName => "gzip-name",
            Self::GzipComment => "gzip-comment",
            Self::Deflate => "deflate",
            Self::TarTime => "tar-time",
            Self::TarOwnerId => "tar-owner-id",
            Self::TarOwnerName => "tar-owner-name",
            Self::PaxTime => "pax-time",
            Self::PaxOwner => "pax-owner",
            Self::PaxTimesOwnersHeader => "pax-times-owners-header",
            Self::TarPadding => "tar-padding",
            Self::ZipTime => "zip-time",
            Self::ZipExtraTime => "zip-extra-time",
            Self::ZipExtraOwner => "zip-extra-owner",
            Self::End => "end",
            Self::Comment => "comment",
            Self::Remainder => "remainder",
        }
    }
}

/// Why a container cannot be walked to its end.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading the file failed.
    #[error("reading the file")]
    Io(#[source] io::Error),
    /// The container ends in the middle of something.
    #[error("the {0} ends in the middle")]
    Truncated(&'static str),
    /// The container breaks its format, or says two things so that readers would disagree.
    #[error("{what} ({place})")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Which member, escaped, or an offset.
        place: String,
    },
    /// Something that this version does not read.
    #[error("{what}, which this version does not read ({place})")]
    Unsupported {
        /// What it is.
        what: &'static str,
        /// Which member, escaped, or an offset.
        place: String,
    },
    /// A limit was passed.
    #[error("more than {limit} {what}")]
    Limit {
        /// What there is too much of, with its unit.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

impl ArchiveError {
    fn malformed(what: &'static str, place: &[u8]) -> Self {
        Self::Malformed {
            what,
            place: escape(place),
        }
    }

    fn unsupported(what: &'static str, place: &[u8]) -> Self {
        Self::Unsupported {
            what,
            place: escape(place),
        }
    }
}

/// A reader stacked below a walker reports a limit through `io::Error`; this unwraps it.
impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Truncated("archive")
            }
            Err(error) => Self::Io(error),
        }
    }
}

impl From<ArchiveError> for io::Error {
    fn from(error: ArchiveError) -> Self {
        Self::other(error)
    }
}

/// Writes a stranger's bytes so that they can be shown and told apart: printable ASCII as it is, all
/// else and `%` percent-encoded. A leading `(` is encoded too, so that what we say about a container
/// in parentheses is never mistaken for a member.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for (index, &byte) in bytes.iter().enumerate() {
        let printable = byte == b' ' || byte.is_ascii_graphic();
        if printable && byte != b'%' && !(index == 0 && byte == b'(') {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push_str(&countersign_attest::digest::hex(&[byte]).to_ascii_uppercase());
        }
    }
    text
}

/// A regular file whose content a caller wants to see on the way.
#[derive(Debug)]
pub struct Wanted {
    /// Whether a member's name is the wanted one.
    pub is_wanted: fn(&[u8]) -> bool,
    /// Most bytes to keep of one file; a longer one ends the walk.
    pub max_bytes: u64,
    /// What was found: more than one where names repeat. At most [`Wanted::MOST`] are kept.
    pub found: Vec<Vec<u8>>,
}

impl Wanted {
    /// Most files that are kept; two are enough to see that there is more than one.
    pub const MOST: usize = 2;

    /// Wants the files whose name satisfies `is_wanted`.
    #[must_use]
    pub const fn new(is_wanted: fn(&[u8]) -> bool, max_bytes: u64) -> Self {
        Self {
            is_wanted,
            max_bytes,
            found: Vec::new(),
        }
    }

    /// Starts keeping a file, if it is a wanted one.
    ///
    /// # Errors
    /// When it is longer than wanted.
    fn begin(
        &mut self,
        name: &[u8],
        size_bytes: u64,
    ) -> Result<Option<&mut Vec<u8>>, ArchiveError> {
        if !(self.is_wanted)(name) || self.found.len() >= Self::MOST {
            return Ok(None);
        }
        if size_bytes > self.max_bytes {
            return Err(ArchiveError::Limit {
                what: "bytes of a file that must be read",
                limit: self.max_bytes,
            });
        }
        self.found.push(Vec::new());
        Ok(self.found.last_mut())
    }
}

/// What is left of the limits during one walk.
struct Budget<'a> {
    limits: &'a ReadLimits,
    members: u64,
    metadata_bytes: u64,
    total_bytes: u64,
}

impl<'a> Budget<'a> {
    const fn new(limits: &'a ReadLimits) -> Self {
        Self {
            limits,
            members: limits.members,
            metadata_bytes: limits.metadata_bytes,
            total_bytes: limits.total_bytes,
        }
    }

    fn member(&mut self) -> Result<(), ArchiveError> {
        take(&mut self.members, 1, "members", self.limits.members)
    }

    fn metadata(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        let limit = self.limits.metadata_bytes;
        take(&mut self.metadata_bytes, bytes, "bytes of headers", limit)
    }

    fn content(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        let limit = self.limits.total_bytes;
        take(&mut self.total_bytes, bytes, "bytes of content", limit)
    }

    fn name(&self, name: &[u8]) -> Result<(), ArchiveError> {
        if name.len() as u64 > self.limits.name_bytes {
            return Err(ArchiveError::Limit {
                what: "bytes in a name",
                limit: self.limits.name_bytes,
            });
        }
        Ok(())
    }
}

fn take(left: &mut u64, want: u64, what: &'static str, limit: u64) -> Result<(), ArchiveError> {
    *left = left
        .checked_sub(want)
        .ok_or(ArchiveError::Limit { what, limit })?;
    Ok(())
}
