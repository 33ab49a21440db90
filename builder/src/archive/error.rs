//! Why a container cannot be walked, and how a stranger's bytes are written so that they can be shown.

use std::io;

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
    pub(super) fn malformed(what: &'static str, place: &[u8]) -> Self {
        Self::Malformed {
            what,
            place: escape(place),
        }
    }

    pub(super) fn unsupported(what: &'static str, place: &[u8]) -> Self {
        Self::Unsupported {
            what,
            place: escape(place),
        }
    }

    /// Whether the bytes themselves are wrong, and not what this version can read or may use.
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        match self {
            Self::Truncated(_) | Self::Malformed { .. } => true,
            Self::Io(_) | Self::Unsupported { .. } | Self::Limit { .. } => false,
        }
    }

    /// The error and what caused it, in one line.
    #[must_use]
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// A reader stacked below a walker reports its trouble through `io::Error`; this unwraps it.
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
/// in parentheses is never mistaken for a member; and the `!` of `!/`, which stands between the names
/// of a container and of its member ([`inside`]).
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for (index, &byte) in bytes.iter().enumerate() {
        let printable = byte == b' ' || byte.is_ascii_graphic();
        let divides = byte == b'!' && bytes.get(index + 1) == Some(&b'/');
        if printable && byte != b'%' && !divides && !(index == 0 && byte == b'(') {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push_str(&countersign_attest::digest::hex(&[byte]).to_ascii_uppercase());
        }
    }
    text
}

/// The name of a member inside a member; both are escaped. Either may be empty.
#[must_use]
pub fn inside(outer: &str, inner: &str) -> String {
    if outer.is_empty() || inner.is_empty() {
        return [outer, inner].concat();
    }
    [outer, "!/", inner].concat()
}
