//! What goes wrong with a sandbox itself: always a fault of ours, never about a release.

use std::io;

use crate::channel::ChannelError;

/// Says why a sandbox could not be made or kept. A fault: retried or repaired, never recorded.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The system refused something that a sandbox needs.
    #[error("{what}{}", remedy.map(|r| format!(" (remedy: {r})")).unwrap_or_default())]
    System {
        /// What was attempted, and on what.
        what: String,
        /// What the operator can do about it, where something can be done.
        remedy: Option<&'static str>,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The sandbox would be weaker than promised.
    #[error("{what} (remedy: {remedy})")]
    Refused {
        /// What was refused, and why.
        what: String,
        /// What the operator can do about it.
        remedy: &'static str,
    },
    /// The process inside reported its own trouble, causes included.
    #[error("inside the sandbox: {0}")]
    Inside(String),
    /// The channel to the host or to the process inside broke.
    #[error("talking to another process")]
    Channel(#[from] ChannelError),
}

/// Names what was attempted when the system says no.
pub(crate) trait Doing<T> {
    /// Adds what was attempted.
    fn doing(self, what: &str) -> Result<T, SandboxError>;
    /// Adds what was attempted and what to do about the refusal.
    fn doing_or(self, what: &str, remedy: &'static str) -> Result<T, SandboxError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: &str) -> Result<T, SandboxError> {
        self.map_err(|error| SandboxError::System {
            what: what.to_owned(),
            remedy: None,
            source: error.into(),
        })
    }

    fn doing_or(self, what: &str, remedy: &'static str) -> Result<T, SandboxError> {
        self.map_err(|error| SandboxError::System {
            what: what.to_owned(),
            remedy: Some(remedy),
            source: error.into(),
        })
    }
}

/// An error and its causes on one line, to cross a process boundary.
pub(crate) fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_what_failed_the_remedy_and_the_cause_once() {
        let error = Err::<(), _>(io::Error::from_raw_os_error(libc::ENOSPC))
            .doing_or("copying a file", "raise disk_bytes")
            .expect_err("an error");
        let line = in_one_line(&error);
        assert!(
            line.starts_with("copying a file (remedy: raise disk_bytes): No space left"),
            "{line}"
        );
        let plain = Err::<(), _>(nix::errno::Errno::EPERM)
            .doing("x")
            .expect_err("an error");
        assert!(!in_one_line(&plain).contains("remedy"));
    }
}
