//! Why the mirror has no answer: never about a release, always about us, a registry or a budget.

use std::sync::Arc;

use super::{Told, TroubleKind};
use crate::blobs::BlobError;
use crate::http::HttpError;

/// Trouble of a mirror. A build sees a status code; the host gets this, and signs nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum MirrorError {
    /// No registry is known for a request.
    #[error("no registry is known for {request}; set {key}")]
    Unconfigured {
        /// What was asked for.
        request: String,
        /// The configuration key.
        key: &'static str,
    },
    /// A registry answers nonsense.
    #[error("{0}")]
    Registry(String),
    /// A registry does not say when anything was published, so that nothing can be as of a moment.
    #[error(
        "the registry has no times for {0}, and without times nothing is served as of a moment"
    )]
    NoTimes(String),
    /// A file is not what the index says.
    #[error("the registry served {found} for {request}, and its index says {expected}")]
    Digest {
        /// What was asked for.
        request: String,
        /// What the index says.
        expected: String,
        /// What came.
        found: String,
    },
    /// A registry did not answer.
    #[error("asking a registry")]
    Http(#[source] HttpError),
    /// A build asks for more than it may.
    #[error("the build is over its budget of {limit} {what}; limits.mirror.{key} raises it")]
    Budget {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: u64,
        /// The configuration key.
        key: &'static str,
    },
    /// The same for another request of the run.
    #[error("{0}")]
    Same(Arc<Self>),
    /// Our own disk.
    #[error("keeping a registry's answer")]
    Storage(#[from] BlobError),
    /// A document of ours cannot be read back.
    #[error("reading a kept document")]
    Kept(#[source] serde_json::Error),
}

impl MirrorError {
    /// The status that a build sees.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Budget { .. } => 429,
            Self::Same(error) => error.status(),
            Self::Unconfigured { .. }
            | Self::Registry(_)
            | Self::NoTimes(_)
            | Self::Digest { .. }
            | Self::Http(_)
            | Self::Storage(_)
            | Self::Kept(_) => 502,
        }
    }

    /// What the host is told.
    pub(super) fn told(&self) -> Told {
        let kind = match self {
            Self::Same(error) => return error.told(),
            Self::Budget { .. } => TroubleKind::Budget,
            Self::Unconfigured { .. } => TroubleKind::RegistryUnknown,
            Self::NoTimes(_) => TroubleKind::RegistryWithoutTimes,
            Self::Registry(_) | Self::Digest { .. } => TroubleKind::Registry,
            Self::Http(_) => TroubleKind::RegistryUnreachable,
            Self::Storage(_) | Self::Kept(_) => TroubleKind::Cache,
        };
        let mut message = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Told { kind, message }
    }
}
