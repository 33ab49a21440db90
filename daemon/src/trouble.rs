//! The two kinds of bad news that are not about a release: faults and refusals.
//!
//! A **fault** is about us and is tried again; a **refusal** is about the caller or its input. Neither
//! is ever signed. What is about the release is an outcome and travels as a value, not as an error.

use std::fmt;

use countersign_attest::escape::printable;

/// Why something was not done.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// About us: a full disk, a time-out, a 5xx. Trying again may help.
    Fault {
        /// A stable word for programs.
        code: &'static str,
        /// What happened, with its causes.
        error: anyhow::Error,
    },
    /// About the caller or what it named: trying the same again will not help.
    Refusal {
        /// A stable word for programs.
        code: &'static str,
        /// What is wrong, where, and what to do.
        error: anyhow::Error,
    },
}

impl Trouble {
    /// A fault of ours.
    pub(crate) fn fault(code: &'static str, error: impl Into<anyhow::Error>) -> Self {
        Self::Fault {
            code,
            error: error.into(),
        }
    }

    /// Input that is refused, without a word of its own.
    pub(crate) fn refusal(error: impl Into<anyhow::Error>) -> Self {
        Self::refused("input", error)
    }

    /// Input that is refused.
    pub(crate) fn refused(code: &'static str, error: impl Into<anyhow::Error>) -> Self {
        Self::Refusal {
            code,
            error: error.into(),
        }
    }

    /// `fault` or `refusal`, as the contract's JSON has it.
    #[must_use]
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Fault { .. } => "fault",
            Self::Refusal { .. } => "refusal",
        }
    }

    /// The stable word for programs.
    #[must_use]
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Fault { code, .. } | Self::Refusal { code, .. } => code,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault { error, .. } | Self::Refusal { error, .. } => {
                let text = format!("{error:#}");
                let lines: Vec<String> = text.lines().map(printable).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

/// An error with its causes, on one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
