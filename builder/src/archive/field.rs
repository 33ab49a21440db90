//! The named pieces of what containers say beside names, types, modes and content.
//!
//! A walker sets a piece apart only where it is well-formed. Whether a field may differ is for the
//! normalizations of [`crate::compare`] to say, not for this list.

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

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What a [`Detail`] is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field { $($(#[$doc])* $name,)* }

        impl Field {
            /// Every field.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in canonical forms.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

fields! {
    /// MTIME of a gzip header.
    GzipTime = "gzip-time",
    /// XFL of a gzip header.
    GzipExtraFlags = "gzip-extra-flags",
    /// OS of a gzip header.
    GzipSystem = "gzip-system",
    /// FLG of a gzip header.
    GzipFlags = "gzip-flags",
    /// The FEXTRA field of a gzip header.
    GzipExtra = "gzip-extra",
    /// The FNAME field of a gzip header.
    GzipName = "gzip-name",
    /// The FCOMMENT field of a gzip header.
    GzipComment = "gzip-comment",
    /// The deflate stream of a gzip stream, by digest.
    GzipDeflate = "gzip-deflate",
    /// A whole xz stream, by digest.
    XzStream = "xz-stream",
    /// A whole zstd frame, by digest.
    ZstdFrame = "zstd-frame",
    /// A whole bzip2 stream, by digest.
    Bzip2Stream = "bzip2-stream",
    /// The `mtime` field of a tar header.
    TarTime = "tar-time",
    /// The `uid` or `gid` field of a tar header.
    TarOwnerId = "tar-owner-id",
    /// The `uname` or `gname` field of a tar header.
    TarOwnerName = "tar-owner-name",
    /// Magic, version and device numbers of a tar header where ustar and GNU tar are read alike and
    /// nothing is a device.
    TarDialect = "tar-dialect",
    /// A pax record `mtime`, `atime` or `ctime` with a decimal value.
    PaxTime = "pax-time",
    /// A pax record `uid`, `gid`, `uname` or `gname`.
    PaxOwner = "pax-owner",
    /// The header of a pax entry, by digest.
    PaxHeader = "pax-header",
    /// Where the name or link target of a tar member is written, where that is not plainly the header.
    TarNamePlace = "tar-name-place",
    /// The length of the zeros at the end of a tar, where they are its two end blocks and exactly what
    /// fills its last record (POSIX pax §ustar: twenty blocks).
    TarPadding = "tar-padding",
    /// The DOS date and time of a zip header.
    ZipTime = "zip-time",
    /// A well-formed extended timestamp (extra field 0x5455).
    ZipExtraTime = "zip-extra-time",
    /// Well-formed Unix owner ids (extra field 0x7875).
    ZipExtraOwner = "zip-extra-owner",
    /// The version of the maker and its system, where that system has Unix modes.
    ZipMadeBy = "zip-made-by",
    /// Method (store or deflate), the version that it needs, the level's hint and the form of the
    /// data descriptor.
    ZipMethod = "zip-method",
    /// The deflate stream of a zip member, by digest.
    ZipDeflate = "zip-deflate",
    /// A signature of an APK Signing Block, of a scheme that Android knows.
    ApkSignature = "apk-signature",
    /// The date of an ar member.
    ArTime = "ar-time",
    /// The owner or group id of an ar member.
    ArOwnerId = "ar-owner-id",
    /// The build id in an ELF note.
    ElfBuildId = "elf-build-id",
    /// Name and sum of the file with an ELF file's debugging symbols.
    ElfDebugLink = "elf-debug-link",
    /// A signature in the signature header of an RPM package, or the room for one, by digest.
    RpmSignature = "rpm-signature",
    /// The certificate table of a PE file by digest, what says where it is, and the file's own sum.
    PeSignature = "pe-signature",
    /// The code signature of a Mach-O file by digest, and what the header says differently for it.
    MachoSignature = "macho-signature",
    /// What stands after the last member: the length of the zeros, or a digest of other bytes.
    End = "end",
    /// The comment of a zip archive.
    Comment = "comment",
    /// Digest of all bytes of a header that are nowhere else.
    Remainder = "remainder",
}
