//! What a list of dependencies names: each package with the digests of its file, or why nobody can
//! confirm it. What is listed and what becomes of it are plain values.
//!
//! Lists are text of strangers, read here under limits. Nothing that a list names is dropped, fetched,
//! run or looked up; no environment, no client and no registry is asked what it means.

use std::collections::BTreeSet;
use std::path::Path;

use countersign_attest::digest::{Sha256, Sha512};
use countersign_attest::purl::Purl;
use countersign_verify::files::{self, ReadError};

mod cargo;
mod control;
pub(crate) mod dpkg;
pub(crate) mod judge;
mod npm;
pub(crate) mod report;
mod requirements;
#[cfg(test)]
mod tests;

/// Longest list in bytes.
const MAX_BYTES: u64 = 32 << 20;
/// Most packages of a list.
const MAX_ENTRIES: usize = 50_000;

/// A package that a list names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// As the list names it, with its version where it has one. A stranger's text.
    pub(crate) name: String,
    /// What it is, where the list says so.
    pub(crate) purl: Option<Purl>,
    /// The bytes.
    pub(crate) files: Files,
}

/// What a list knows of the bytes of a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Files {
    /// One of these, and it does not say which. Never empty.
    OneOf(BTreeSet<FileDigest>),
    /// Nothing: only the name and version of what is there.
    NameOnly,
    /// Nobody can confirm them.
    Unconfirmable(Why),
}

/// The digest of a file, of the one kind that the list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileDigest {
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-512.
    Sha512(Sha512),
}

/// Why nobody can confirm an entry. The codes are a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// A folder or file of this machine.
    Local,
    /// Taken from a repository.
    Git,
    /// Comes inside the file of another package.
    Bundled,
    /// The list has no digest.
    NoDigest,
    /// The list has a digest of a kind that statements do not have.
    OtherDigest,
    /// Not one version.
    NoVersion,
    /// Another list, which this one includes.
    AnotherList,
}

impl Why {
    /// The code in JSON.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Git => "git",
            Self::Bundled => "bundled",
            Self::NoDigest => "no-digest",
            Self::OtherDigest => "other-digest",
            Self::NoVersion => "no-version",
            Self::AnotherList => "another-list",
        }
    }

    /// One sentence for people.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Local => "a folder or file of this machine; nothing was published",
            Self::Git => "taken from a repository; no published file has its digest here",
            Self::Bundled => "comes inside the file of another package",
            Self::NoDigest => "the list has no digest of its file",
            Self::OtherDigest => {
                "the list has neither SHA-256 nor SHA-512 of each file that may be meant"
            }
            Self::NoVersion => "the list does not say which version",
            Self::AnotherList => "another list, to be scanned by itself",
        }
    }
}

/// The kinds of lists that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `Cargo.lock`, up to version 4.
    Cargo,
    /// `package-lock.json` or `npm-shrinkwrap.json`, versions 1 to 3.
    Npm,
    /// Requirements of pip.
    Requirements,
}

impl Kind {
    /// By the name under which clients look for it; `None` for other names.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        match name {
            "Cargo.lock" => Some(Self::Cargo),
            "package-lock.json" | "npm-shrinkwrap.json" => Some(Self::Npm),
            _ if name.ends_with(".txt") => Some(Self::Requirements),
            _ => None,
        }
    }
}

/// Says why a list is not read. The caller's to change, unless the system refuses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Not what it should be.
    #[error("{name} is no {what}: {problem}")]
    Form {
        /// Which file.
        name: String,
        /// What was expected.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// More entries than are taken.
    #[error("{name} names more than {MAX_ENTRIES} packages")]
    TooMany {
        /// Which file.
        name: String,
    },
}

/// Reads a list: its entries in order of their names, each once.
///
/// # Errors
/// When it cannot be read whole, in which case nothing of it is told.
pub(crate) fn read(path: &Path, kind: Kind) -> Result<Vec<Entry>, ScanError> {
    let bytes = files::bounded(path, MAX_BYTES)?;
    parse(&bytes, kind, &path.display().to_string())
}

fn parse(bytes: &[u8], kind: Kind, name: &str) -> Result<Vec<Entry>, ScanError> {
    let (what, entries) = match kind {
        Kind::Cargo => ("Cargo.lock", cargo::entries(bytes)),
        Kind::Npm => ("package-lock.json", npm::entries(bytes)),
        Kind::Requirements => ("list of requirements", requirements::entries(bytes)),
    };
    let entries = entries.map_err(|problem| ScanError::Form {
        name: name.to_owned(),
        what,
        problem,
    })?;
    if entries.len() > MAX_ENTRIES {
        return Err(ScanError::TooMany {
            name: name.to_owned(),
        });
    }
    let entries: BTreeSet<Entry> = entries.into_iter().collect();
    Ok(entries.into_iter().collect())
}

/// An error with its causes, on one line.
fn problem(error: &dyn std::error::Error) -> String {
    countersign_verify::attestation::causes(error)
}

/// A package URL of pieces that a list names, none of which is trusted to stand in one.
fn purl(kind: &str, name: &str, version: &str) -> Option<Purl> {
    use crate::publish::name::percent_encoded;
    let name = percent_encoded(name, b"/");
    format!("pkg:{kind}/{name}@{}", percent_encoded(version, b""))
        .parse()
        .ok()
}
