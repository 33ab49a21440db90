//! Why nothing was found or taken: each case with its code and its remedy.

use std::path::PathBuf;

use countersign_attest::digest::Sha256;
use url::Url;

use super::endpoints::{KEY_ALLOW_LOCAL, KEY_ALLOWED_HOSTS};
use super::name::NameError;
use crate::apt::AptError;
use crate::blobs::BlobError;
use crate::http::HttpError;
use crate::trouble::Trouble;

/// Whether bad news is about us or about the caller. What is about the release is never an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Try again later.
    Fault,
    /// Ask for something else, or configure something else.
    Refusal,
}

/// Says why what was published could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// No registry endpoint is configured and the ecosystem's client names none.
    #[error("no registry is known for it: set {0} in the configuration to its https URL")]
    NoEndpoint(&'static str),
    /// The registry has no package of this name.
    #[error("{registry} has no package {package:?}: is the name right, and is it this registry?")]
    PackageUnknown {
        /// The package's name.
        package: String,
        /// `host` of the registry.
        registry: String,
    },
    /// The package exists, and none of the versions that the tag may spell does.
    #[error(
        "{package:?} has no published version {tried:?}: it may not be published yet, or the tag spells another version"
    )]
    VersionMissing {
        /// The package's name.
        package: String,
        /// The spellings tried.
        tried: Vec<String>,
    },
    /// Nothing is where the template points.
    #[error(
        "nothing is published at {tried:?}: it may not be published yet, or the template is wrong"
    )]
    FileMissing {
        /// The URLs or paths tried.
        tried: Vec<String>,
    },
    /// The registry's document lists a tarball that the registry does not have.
    #[error("the registry lists {tarball} and does not have it: it may still be on its way there")]
    TarballMissing {
        /// The URL.
        tarball: Url,
    },
    /// It is larger than the operator allows.
    #[error("{what:?} has more than the {limit_bytes} bytes allowed: raise {key} if that is right")]
    TooLarge {
        /// The URL or path.
        what: String,
        /// The limit.
        limit_bytes: u64,
        /// The configuration key of the limit.
        key: &'static str,
    },
    /// The registry declares one digest and sends other bytes.
    #[error(
        "{what}: the registry declared {declared}, but bytes with {came} came; the registry or the way to it is broken"
    )]
    Mismatch {
        /// The URL.
        what: String,
        /// What was declared, in the registry's own form.
        declared: String,
        /// What came, in the same form.
        came: String,
    },
    /// Metadata or a redirect points to a host that nobody configured.
    #[error(
        "{url} leads to {host:?}, which is not the registry's host: add it to {KEY_ALLOWED_HOSTS} if you trust it to serve files"
    )]
    OtherHost {
        /// What was asked for.
        url: Url,
        /// `host` or `host:port`, as the key takes it.
        host: String,
    },
    /// A registry's document is not JSON of the right shape.
    #[error("{url} is not a package document")]
    Metadata {
        /// The document.
        url: Url,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A registry's document says something that cannot be.
    #[error("{url} is not a usable package document: {problem}")]
    Document {
        /// The document.
        url: Url,
        /// What is wrong.
        problem: String,
    },
    /// A digest list is malformed.
    #[error("the digest list {what:?}, line {line}: {problem}")]
    DigestList {
        /// The URL or path.
        what: String,
        /// The line, from 1; 0 for the file as a whole.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A tag or a version cannot stand in a URL or a path.
    #[error(
        "{value:?} cannot be part of a URL or a path: it has an empty, '.' or '..' component or a control character"
    )]
    Value {
        /// The tag or version.
        value: String,
    },
    /// A published file has a name that nobody should write to a disk.
    #[error("the published file's name")]
    FileName(#[from] NameError),
    /// A local file is not a regular file.
    #[error("{path:?} is not a regular file")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A local file cannot be read.
    #[error("reading {path:?}")]
    Read {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Trouble on the way to another machine.
    #[error(transparent)]
    Http(HttpError),
    /// Trouble with apt, or with what it knows.
    #[error(transparent)]
    Apt(#[from] AptError),
    /// Trouble with our own store.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl PublishError {
    /// As the pipeline and the command line take it.
    pub(crate) fn into_trouble(self) -> Trouble {
        let code = self.code();
        match self.kind() {
            Kind::Fault => Trouble::fault(code, self),
            Kind::Refusal => Trouble::refused(code, self),
        }
    }

    /// Whether to try again or to ask the caller.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::NoEndpoint(_)
            | Self::TarballMissing { .. }
            | Self::Mismatch { .. }
            | Self::OtherHost { .. }
            | Self::Metadata { .. }
            | Self::Document { .. }
            | Self::Read { .. }
            | Self::Apt(_)
            | Self::Blob(_) => Kind::Fault,
            Self::PackageUnknown { .. }
            | Self::VersionMissing { .. }
            | Self::FileMissing { .. }
            | Self::TooLarge { .. }
            | Self::DigestList { .. }
            | Self::Value { .. }
            | Self::FileName(_)
            | Self::NotAFile { .. } => Kind::Refusal,
            Self::Http(error) => match error {
                HttpError::Forbidden { .. } => Kind::Refusal,
                HttpError::Missing { .. }
                | HttpError::Status { .. }
                | HttpError::Unreachable { .. }
                | HttpError::TimedOut { .. }
                | HttpError::Tls { .. }
                | HttpError::TooLarge { .. }
                | HttpError::OtherHost { .. }
                | HttpError::Redirect { .. }
                | HttpError::Sink { .. } => Kind::Fault,
            },
        }
    }

    /// A stable word for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoEndpoint(_) => "registry-unknown",
            Self::Apt(_) => "apt",
            Self::PackageUnknown { .. } => "package-unknown",
            Self::VersionMissing { .. }
            | Self::FileMissing { .. }
            | Self::TarballMissing { .. } => "published-missing",
            Self::TooLarge { .. } => "over-limit",
            Self::Mismatch { .. } => "not-as-declared",
            Self::OtherHost { .. } => "host-not-allowed",
            Self::Metadata { .. } | Self::Document { .. } => "bad-metadata",
            Self::DigestList { .. } => "bad-digest-list",
            Self::Value { .. } => "bad-tag",
            Self::FileName(_) => "bad-file-name",
            Self::NotAFile { .. } | Self::Read { .. } => "unreadable",
            Self::Blob(BlobError::Full { .. }) => "storage-full",
            Self::Blob(_) => "storage",
            Self::Http(error) => match error {
                HttpError::Missing { .. } => "published-missing",
                HttpError::Status { .. }
                | HttpError::Unreachable { .. }
                | HttpError::Redirect { .. } => "unreachable",
                HttpError::TimedOut { .. } => "timed-out",
                HttpError::Tls { .. } => "tls",
                HttpError::TooLarge { .. } => "over-limit",
                HttpError::OtherHost { .. } => "host-not-allowed",
                HttpError::Forbidden { .. } => "url-not-allowed",
                HttpError::Sink { source, .. } if crate::blobs::is_full(source) => "storage-full",
                HttpError::Sink { .. } => "storage",
            },
        }
    }

    /// Adds to the client's words which setting would change them.
    pub(super) fn from_http(error: HttpError, limit_key: &'static str) -> Self {
        match error {
            HttpError::TooLarge { url, limit_bytes } => Self::TooLarge {
                what: url.into(),
                limit_bytes,
                key: limit_key,
            },
            HttpError::OtherHost { url, target } => Self::OtherHost { url, host: target },
            error => Self::Http(error),
        }
    }
}

/// Says why a text is not a published source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseSourceError {
    /// A purl of a type without a publish module.
    #[error("{text:?}: of package URLs, only {known} can be fetched")]
    PurlType {
        /// What was given.
        text: String,
        /// The types that there are.
        known: String,
    },
    /// The purl is malformed.
    #[error("{text:?} is not a package URL of type {kind}: {problem}")]
    Purl {
        /// What was given.
        text: String,
        /// Its type.
        kind: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// A template has something else in braces, or braces that do not match.
    #[error("{0:?}: a template may only have {{tag}} and {{version}} in braces")]
    Placeholder(String),
    /// The host would depend on the tag.
    #[error("{0:?}: {{tag}} and {{version}} may only stand after the host")]
    PlaceholderInHost(String),
    /// The URL is malformed, has credentials, or is neither https nor http.
    #[error("{0:?} is not an https URL without credentials")]
    Url(String),
    /// A path where only addresses are allowed.
    #[error("{0:?} is a local path: set {KEY_ALLOW_LOCAL}: true to allow that")]
    Local(String),
    /// The digest is malformed.
    #[error("{text:?} is not a SHA-256 digest")]
    Digest {
        /// What was given.
        text: String,
        /// What is wrong.
        source: countersign_attest::digest::ParseDigestError,
    },
    /// The name before a digest is no file name.
    #[error("the name before a digest")]
    Name(#[from] NameError),
}

/// Two lines of a digest list that contradict each other, for the text of an error.
pub(super) fn contradicting(name: &str, first: &Sha256, second: &Sha256) -> String {
    format!("{name:?} has two digests, {first} and {second}")
}
