//! How a published file is encoded, where a comparison found nothing else to differ: what the second
//! step ([`crate::recipe::encoding`]) selects an encoder by. Facts of a stranger's file, no judgement.

use serde::{Deserialize, Serialize};

use super::normalization::Normalization;
use super::{Comparison, gzip_deflate, gzip_header, zip_compression};
use crate::archive::{Container, Content, Field, Format};

/// Bit of FLG that says that a name follows (RFC 1952 section 2.3.1).
const FNAME: u8 = 8;

/// What holds the deflate stream, and what it says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "container", rename_all = "kebab-case")]
pub enum Encoding {
    /// One gzip stream and nothing after it, with no header field but these.
    Gzip {
        /// MTIME.
        time: u32,
        /// XFL.
        extra_flags: u8,
        /// OS.
        system: u8,
        /// FNAME, where it is UTF-8. Written by a stranger.
        name: Option<String>,
    },
    /// A zip: deflate streams of members. What it says about them is content and equal on both sides.
    Zip,
}

impl Encoding {
    /// Reads it off a published file, where these normalizations are all that was needed; `None` where
    /// they hide more than an encoding, or a gzip header has more than [`Encoding::Gzip`] holds.
    pub(super) fn of(published: &Content, needed: &[&Normalization]) -> Option<Self> {
        let container = published.container()?;
        let only = |ids: &[&str]| needed.iter().all(|known| ids.contains(&known.id));
        match container.format {
            Format::Gzip if only(&[gzip_header::V1.id, gzip_deflate::V1.id]) => {
                Self::of_gzip(container)
            }
            Format::Zip if only(&[zip_compression::V1.id]) => Some(Self::Zip),
            Format::Gzip
            | Format::Zip
            | Format::Xz
            | Format::Zstd
            | Format::Bzip2
            | Format::Tar
            | Format::Ar
            | Format::Rpm
            | Format::Elf
            | Format::Pe
            | Format::MachO
            | Format::Other => None,
        }
    }

    fn of_gzip(gzip: &Container) -> Option<Self> {
        let ([stream], []) = (&gzip.members[..], &gzip.details[..]) else {
            return None;
        };
        let value = |field| {
            let found = stream.details.iter().find(|detail| detail.field == field);
            found.map(|detail| &*detail.value)
        };
        let byte = |field| value(field)?.first().copied();
        let flags = byte(Field::GzipFlags)?;
        if flags & !FNAME != 0 {
            return None;
        }
        let name = match value(Field::GzipName) {
            None => None,
            Some(name) => Some(String::from_utf8(name.strip_suffix(b"\0")?.to_vec()).ok()?),
        };
        Some(Self::Gzip {
            time: u32::from_le_bytes(value(Field::GzipTime)?.try_into().ok()?),
            extra_flags: byte(Field::GzipExtraFlags)?,
            system: byte(Field::GzipSystem)?,
            name,
        })
    }
}

impl Comparison {
    /// How the published file is encoded, where nothing else differs.
    #[must_use]
    pub const fn encoding(&self) -> Option<&Encoding> {
        match self {
            Self::Equivalent { encoding, .. } => encoding.as_ref(),
            Self::Different { .. } | Self::NotComparable { .. } | Self::Failed { .. } => None,
        }
    }
}
