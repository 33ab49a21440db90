//! What a user asks about: a file, a package URL or a digest, and the digests of a file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use countersign_attest::decide::Asked;
use countersign_attest::digest::{AnyDigest, ParseDigestError, Sha256};
use countersign_attest::purl::{Purl, PurlError};

/// What was asked about, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A file that is here.
    File(PathBuf),
    /// A version of a package.
    Package(Purl),
    /// Bytes that are elsewhere.
    Digest(AnyDigest),
}

/// Says why it is not known what is asked about.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// It starts like a digest and is none.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
    /// It starts like a package URL and is none.
    #[error("{0}")]
    Purl(String, #[source] PurlError),
    /// The file cannot be read.
    #[error("reading {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Not a regular file.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
}

impl Named {
    /// Reads what a user wrote. `pkg:`, `sha256:` and `sha512:` in front decide; all else is a file.
    ///
    /// # Errors
    /// When it is not what it starts like.
    pub fn parse(text: &str) -> Result<Self, SubjectError> {
        if text.starts_with("pkg:") {
            return package(text).map(Self::Package);
        }
        if text.starts_with("sha256:") || text.starts_with("sha512:") {
            return Ok(Self::Digest(text.parse()?));
        }
        Ok(Self::File(text.into()))
    }

    /// What is known of it. A file is read whole, and its digest taken: SHA-256 alone, since every
    /// statement has one and a second pass would tell nothing more.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn asked(&self, purl: Option<Purl>) -> Result<Asked, SubjectError> {
        let asked = Asked {
            purl,
            ..Asked::default()
        };
        Ok(match self {
            Self::Package(purl) => Asked {
                purl: Some(purl.clone()),
                ..asked
            },
            Self::Digest(AnyDigest::Sha256(digest)) => Asked {
                sha256: Some(*digest),
                ..asked
            },
            Self::Digest(AnyDigest::Sha512(digest)) => Asked {
                sha512: Some(*digest),
                ..asked
            },
            Self::File(path) => Asked {
                sha256: Some(digest_of(path)?),
                file_name: path.file_name().map(|n| n.to_string_lossy().into_owned()),
                ..asked
            },
        })
    }
}

/// Reads a package URL of a user's.
///
/// # Errors
/// When it is none, or names no version.
pub fn package(text: &str) -> Result<Purl, SubjectError> {
    text.parse()
        .map_err(|error| SubjectError::Purl(text.to_owned(), error))
}

fn digest_of(path: &Path) -> Result<Sha256, SubjectError> {
    let failed = |source| SubjectError::Io {
        path: path.to_owned(),
        source,
    };
    // before opening: opening a named pipe would wait for its writer
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(SubjectError::NotAFile(path.to_owned()));
    }
    let file = File::open(path).map_err(failed)?;
    Sha256::of_reader(file).map_err(failed)
}
