//! What a walk yields: containers, their members, and what is inside those.

use std::fmt;

use countersign_attest::digest::Sha256;

use super::{ArchiveError, Detail, Field, FindingKind, Format, Trace};

/// A walked container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// What it is.
    pub format: Format,
    /// Facts about the container beside its members: its end, its comment.
    pub details: Vec<Detail>,
    /// Members in the order of the archive. Names may repeat. A compressed file has its streams as
    /// members, which have no name.
    pub members: Vec<Member>,
    /// What is odd about the container itself.
    pub findings: Vec<Oddity>,
}

impl Container {
    /// What is inside every compression; itself where there is none, or where what it holds is no container.
    #[must_use]
    pub fn unpacked(&self) -> &Self {
        let mut inside = self;
        // as many layers as compression has, which are few
        while inside.format.is_compression()
            && let [only] = inside.members.as_slice()
            && let Some(next) = only.content.container()
        {
            inside = next;
        }
        inside
    }
}

/// One member. The strings in it were written by a stranger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The name that an extractor uses, raw; print it with [`super::escape`].
    pub name: Box<[u8]>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-uid, set-gid and sticky, where the archive has them.
    pub mode: Option<u32>,
    /// Its bytes.
    pub content: Content,
    /// All else that the archive says of it.
    pub details: Vec<Detail>,
    /// Whether it is a sparse file; its content is then what is stored.
    pub sparse: bool,
}

impl Member {
    /// When it was changed last in seconds since 1970, by its header in a tar.
    #[must_use]
    pub fn tar_seconds(&self) -> Option<i64> {
        let mut details = self.details.iter();
        let detail = details.find(|detail| detail.field == Field::TarTime)?;
        let text = std::str::from_utf8(&detail.value).ok()?;
        i64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
    }
}

/// Some bytes and what is inside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// How many.
    pub size_bytes: u64,
    /// Their digest: of nothing at all, where there is none.
    pub sha256: Sha256,
    /// What is remembered of them, to find where two contents part.
    pub trace: Trace,
    /// What is inside.
    pub inner: Inner,
    /// The bytes themselves, where they were to be kept and were short enough.
    pub text: Option<Box<[u8]>>,
}

impl Content {
    /// The container in it that was walked.
    #[must_use]
    pub const fn container(&self) -> Option<&Container> {
        match &self.inner {
            Inner::Container(container) => Some(container),
            Inner::Opaque | Inner::Unread(_) => None,
        }
    }
}

/// What is inside some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inner {
    /// Nothing that we look into.
    Opaque,
    /// A container.
    Container(Box<Container>),
    /// What begins like a container and could not be walked to its end.
    Unread(Unread),
}

/// Why a container inside another was not walked. Its bytes are compared as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// What it begins like.
    pub format: Format,
    /// Why, in one line; printable.
    pub message: String,
    /// Whether the bytes are wrong; otherwise it is a limit, or something that is not read here.
    pub malformed: bool,
}

impl Unread {
    pub(super) fn new(format: Format, error: &ArchiveError) -> Self {
        Self {
            format,
            message: error.with_causes(),
            malformed: error.is_malformed(),
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link to this target; empty where the target is too long to keep, and then content.
    Symlink(Box<[u8]>),
    /// A hard link to this member.
    Hardlink(Box<[u8]>),
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// The payload of a compressed stream.
    Payload,
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
            Self::Payload => b's',
        }
    }

    /// Where a link points, raw.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        match self {
            Self::Symlink(target) | Self::Hardlink(target) => target,
            Self::File
            | Self::Folder
            | Self::CharacterDevice
            | Self::BlockDevice
            | Self::Fifo
            | Self::Payload => &[],
        }
    }
}

/// Something odd, which no normalization touches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Oddity {
    /// What it is.
    pub what: FindingKind,
    /// The particulars, escaped; empty where there are none.
    pub detail: String,
}
