//! Why a child gave no answer: always a fault of ours, never about a release.

use std::io;

use crate::channel::ChannelError;

/// Why a child gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The child could not be started.
    #[error("starting a builder child")]
    Start(#[source] io::Error),
    /// The child said what went wrong.
    #[error("builder child: {0}")]
    Fault(String),
    /// The child ended without an answer, or broke the protocol.
    #[error("talking to a builder child{}", said(.stderr))]
    Channel {
        /// The last that it wrote to standard error, escaped.
        stderr: String,
        /// What broke.
        #[source]
        source: ChannelError,
    },
    /// The child took longer than it may and was killed.
    #[error("a builder child was killed after {0} seconds")]
    Deadline(u64),
    /// The caller cancelled.
    #[error("a builder child was cancelled")]
    Cancelled,
    /// The caller could not take what came.
    #[error("storing what a builder child sent")]
    Sink(#[source] io::Error),
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!(" that wrote {stderr:?}")
    }
}

impl From<ChannelError> for CallError {
    fn from(source: ChannelError) -> Self {
        Self::Channel {
            stderr: String::new(),
            source,
        }
    }
}

/// The child broke the protocol.
pub(super) const fn protocol(what: &'static str) -> CallError {
    CallError::Channel {
        stderr: String::new(),
        source: ChannelError::Protocol(what),
    }
}
