//! Walkers of containers whose every byte may be hostile: gzip, xz, zstd, bzip2, tar, zip, ar and RPM,
//! and of programs (ELF, PE, Mach-O), inside one another.
//!
//! A walker accounts for every byte of its container: as a member's name, type, mode or content, as
//! a [`Detail`] with a name of its own, or in a [`Field::Remainder`] that takes all the rest. Nothing
//! is dropped here and nothing is unpacked; what may be disregarded is for the normalizations of
//! [`crate::compare`] to say. Walkers read forward, once, in constant memory beside the list of
//! members, whatever the file and whatever is inside it.

mod ar;
mod bzip2;
mod compressed;
mod container;
mod elf;
mod error;
mod field;
pub mod gzip;
mod inflate;
mod intake;
mod limits;
mod macho;
mod macho_commands;
mod macho_signature;
mod masked;
mod numbers;
mod odd;
mod pe;
mod rpm;
mod signed_data;
mod source;
pub mod tar;
mod tar_header;
mod tar_pax;
mod trace;
pub mod unpacked;
mod walk;
mod wanted;
mod xz;
pub mod zip;
mod zip_apk;
mod zip_records;
mod zstd;

#[cfg(test)]
mod nested_tests;
#[cfg(test)]
mod tests;

pub use container::{Container, Content, Inner, Kind, Member, Oddity, Unread};
pub use error::{ArchiveError, escape, inside};
pub use field::{Detail, Field};
pub use limits::ReadLimits;
pub use odd::{FindingKind, of_container, of_member};
pub use trace::{BLOCK_BYTES, BlockKey, Trace};
pub use walk::{Path, Window, look_inside, read_windows};
pub use wanted::Wanted;

/// A container format, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 1952.
    Gzip,
    /// The .xz File Format.
    Xz,
    /// RFC 8878.
    Zstd,
    /// bzip2, with a block or an end behind its first header.
    Bzip2,
    /// A first header with a correct sum; v7, ustar, GNU or PAX.
    Tar,
    /// A local header or an empty archive at offset 0; a file with something before is not one.
    Zip,
    /// Unix ar, as Debian packages and static libraries are.
    Ar,
    /// RPM package, version 3 and later.
    Rpm,
    /// An ELF file: no container, but parts of it are told apart.
    Elf,
    /// A PE file, whose headers are near its beginning; the same.
    Pe,
    /// A little-endian Mach-O file of one architecture; the same.
    MachO,
    /// Nothing that we look into.
    Other,
}

const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BZIP2_MAGIC: &[u8] = b"BZh";
const AR_MAGIC: &[u8] = b"!<arch>\n";
const ELF_MAGIC: &[u8] = b"\x7fELF";

impl Format {
    /// How many first bytes [`sniff`] wants to see.
    pub const HEAD_BYTES: usize = 512;

    /// The word for people, and in canonical forms.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Tar => "tar",
            Self::Zip => "zip",
            Self::Ar => "ar",
            Self::Rpm => "rpm",
            Self::Elf => "elf",
            Self::Pe => "pe",
            Self::MachO => "mach-o",
            Self::Other => "unknown",
        }
    }

    /// Whether its members are streams without names.
    #[must_use]
    pub const fn is_compression(self) -> bool {
        match self {
            Self::Gzip | Self::Xz | Self::Zstd | Self::Bzip2 => true,
            Self::Tar | Self::Zip | Self::Ar | Self::Rpm => false,
            Self::Elf | Self::Pe | Self::MachO | Self::Other => false,
        }
    }

    /// Whether it is a program, of which parts are told apart and which has no members.
    #[must_use]
    pub const fn is_program(self) -> bool {
        match self {
            Self::Elf | Self::Pe | Self::MachO => true,
            Self::Gzip | Self::Xz | Self::Zstd | Self::Bzip2 => false,
            Self::Tar | Self::Zip | Self::Ar | Self::Rpm | Self::Other => false,
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
    } else if head.starts_with(XZ_MAGIC) {
        Format::Xz
    } else if head.starts_with(ZSTD_MAGIC) {
        Format::Zstd
    } else if is_bzip2(head) {
        Format::Bzip2
    } else if head.starts_with(AR_MAGIC) {
        Format::Ar
    } else if head.starts_with(ELF_MAGIC) {
        Format::Elf
    } else if head.starts_with(rpm::MAGIC) {
        Format::Rpm
    } else if pe::is_head(head) {
        Format::Pe
    } else if macho::is_head(head) {
        Format::MachO
    } else if head.first_chunk().is_some_and(tar_header::is_header) {
        Format::Tar
    } else {
        Format::Other
    }
}

/// Three letters and a digit are too common: what follows them is the square root of pi or pi itself.
fn is_bzip2(head: &[u8]) -> bool {
    let rest = head.strip_prefix(BZIP2_MAGIC).and_then(<[u8]>::split_first);
    rest.is_some_and(|(level, next)| {
        matches!(level, b'1'..=b'9')
            && (next.starts_with(b"\x31\x41\x59\x26\x53\x59")
                || next.starts_with(b"\x17\x72\x45\x38\x50\x90"))
    })
}
