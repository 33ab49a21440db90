//! Which registries are asked: from the configuration, else from the ecosystem's client ([`super::client`]),
//! never from the code.

use std::collections::BTreeMap;
use std::ffi::OsString;

use url::Url;

use super::error::PublishError;
use super::front::Front;
use crate::apt::AptError;

/// The configuration key of the npm registry.
pub(crate) const KEY_NPM: &str = "registries.npm";
/// The configuration key of cargo's sparse index.
pub(crate) const KEY_CARGO: &str = "registries.cargo";
/// The configuration key of the simple index for Python packages.
pub(crate) const KEY_PYPI: &str = "registries.pypi";
/// The configuration key of hosts that may serve files beside the registries' own.
pub(crate) const KEY_ALLOWED_HOSTS: &str = "registries.allowed_hosts";
/// The configuration key that allows local paths.
pub(crate) const KEY_ALLOW_LOCAL: &str = "allow_local";
/// The configuration key of the largest artifact.
pub(crate) const KEY_ARTIFACT_BYTES: &str = "limits.artifact_bytes";
/// The configuration key of the largest document.
pub(crate) const KEY_METADATA_BYTES: &str = "limits.metadata_bytes";

/// Where registries are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endpoints {
    /// Endpoints by the type of package URLs, each checked by its front.
    known: BTreeMap<&'static str, String>,
    /// Hosts (`host` or `host:port`) that may serve files beside the registry's or the URL's own.
    pub(crate) allowed_hosts: Vec<String>,
}

impl Endpoints {
    /// No registry yet, and hosts that may serve files.
    #[must_use]
    pub(crate) fn allowing(hosts: &[String]) -> Self {
        Self {
            known: BTreeMap::new(),
            allowed_hosts: hosts.to_vec(),
        }
    }

    /// Says where a registry is.
    ///
    /// # Errors
    /// When the text is none that the front takes.
    pub(crate) fn set(&mut self, front: &'static Front, text: &str) -> Result<(), EndpointError> {
        let text = (front.endpoint)(text)?;
        self.known.insert(front.kind, text);
        Ok(())
    }

    /// What is known of a registry's endpoint, by the type of its package URLs.
    #[must_use]
    pub(crate) fn text(&self, kind: &str) -> Option<&str> {
        self.known.get(kind).map(String::as_str)
    }

    /// The address of a registry that has one.
    ///
    /// # Errors
    /// When none is known.
    pub(super) fn address(&self, front: &Front) -> Result<SlashUrl, PublishError> {
        let known = self.text(front.kind).map(SlashUrl::parse);
        match known {
            Some(Ok(url)) => Ok(url),
            Some(Err(_)) | None => Err(PublishError::NoEndpoint(front.key)),
        }
    }
}

/// How much is taken from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Most bytes of one artifact.
    pub(crate) artifact_bytes: u64,
    /// Most bytes of one document of a registry, and of one digest list.
    pub(crate) metadata_bytes: u64,
    /// Most artifacts of one digest list.
    pub(crate) digest_lines: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            artifact_bytes: 2 << 30,
            metadata_bytes: 64 << 20,
            digest_lines: 10_000,
        }
    }
}

/// An http or https URL without credentials, query and fragment, whose path ends in a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlashUrl(Url);

impl SlashUrl {
    /// Reads what a user or a client wrote; adds the slash where it is absent.
    ///
    /// # Errors
    /// When it is another kind of URL.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        let refuse = || EndpointError::Url(text.to_owned());
        let mut url: Url = text.parse().map_err(|_| refuse())?;
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain || !matches!(url.scheme(), "http" | "https") {
            return Err(refuse());
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(url))
    }

    /// The URL itself.
    pub(crate) const fn url(&self) -> &Url {
        &self.0
    }

    /// Appends one encoded segment.
    pub(crate) fn join(&self, segment: &str) -> Url {
        let mut url = self.0.clone();
        // set_path keeps what is percent-encoded already
        url.set_path(&format!("{}{segment}", self.0.path()));
        url
    }
}

/// Says why no endpoint was discovered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// The text is no URL of a registry.
    #[error("{0:?} is not an http or https URL without credentials")]
    Url(String),
    /// The text is no list of archives.
    #[error("it is no list of archives as in sources.list: {0}")]
    Sources(String),
    /// apt does not say which archives it uses.
    #[error("asking apt for its archives; or set registries.deb")]
    Apt(#[source] AptError),
    /// The client is not installed, or cannot be started.
    #[error("starting {program:?} to ask for its registry; install it or set {key}")]
    Start {
        /// The configuration key that makes asking unnecessary.
        key: &'static str,
        /// The program.
        program: OsString,
        /// What the system said.
        source: std::io::Error,
    },
    /// The client failed, said too much or said nothing.
    #[error("{program:?} does not say which registry it uses ({problem}); set {key}")]
    Answer {
        /// The configuration key that makes asking unnecessary.
        key: &'static str,
        /// The program.
        program: OsString,
        /// What it did instead.
        problem: String,
    },
}
