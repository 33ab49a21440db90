//! What one replay of a plan came to: recorded facts, no judgement.
//!
//! An [`Outcome`] is about the release. Whatever is our own trouble (a full disk, a kernel feature
//! that is missing) is a fault and never becomes an outcome.

use std::collections::BTreeSet;

use countersign_attest::digest::{Digests, Sha256};
use countersign_attest::escape::printable;
pub use countersign_attest::statement::{Enforcement, LimitKind, Means};
use countersign_attest::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::plan::{Limits, ToolVersion};

/// The facts of one replay. The host fills in every digest itself, from bytes it received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Digest of the plan's bytes.
    pub plan: Sha256,
    /// When the sandbox started.
    pub started_on: Timestamp,
    /// When everything in it was dead.
    pub finished_on: Timestamp,
    /// Milliseconds of wall time between the two, from the monotonic clock.
    pub duration_ms: u64,
    /// How the steps ended.
    pub ended: Ended,
    /// The log, raw, as stored.
    pub log: LogRecord,
    /// What was collected; empty unless the build ended well.
    pub outputs: Vec<OutputFile>,
    /// What it ran in.
    pub environment: EnvironmentFound,
    /// What it asked the mirror for and did not get; the host's record, like the digests.
    #[serde(default, skip_serializing_if = "Misses::is_empty")]
    pub misses: Misses,
}

/// Requests without an answer: what does not exist, was not there yet, is refused, or in a replay is not
/// among the plan's inputs. Written by strangers, but for those that are of the mirror's grammar.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Misses {
    /// The first of them, sorted, each once and printable.
    pub listed: Vec<String>,
    /// How many more there are.
    pub unlisted: u64,
}

impl Misses {
    /// Most that are listed.
    pub const MOST: usize = 100;
    /// Most characters of one that are kept.
    pub const LONGEST: usize = 200;

    /// Takes requests in order, within the limits.
    #[must_use]
    pub fn of(requests: &[String]) -> Self {
        let listed = requests.iter().take(Self::MOST).map(|request| {
            let end = request.floor_char_boundary(Self::LONGEST);
            let (start, rest) = request.split_at(end);
            let cut = if rest.is_empty() { "" } else { "…" };
            format!("{}{cut}", printable(start))
        });
        Self {
            listed: listed.collect(),
            unlisted: requests.len().saturating_sub(Self::MOST) as u64,
        }
    }

    /// What any of several runs missed.
    #[must_use]
    pub fn of_all<'a>(runs: impl IntoIterator<Item = &'a Self>) -> Self {
        let (mut listed, mut unlisted) = (BTreeSet::new(), 0);
        for run in runs {
            listed.extend(run.listed.iter().cloned());
            unlisted = run.unlisted.max(unlisted);
        }
        let more = listed.len().saturating_sub(Self::MOST) as u64;
        Self {
            listed: listed.into_iter().take(Self::MOST).collect(),
            unlisted: unlisted.saturating_add(more),
        }
    }

    /// Whether every request had its answer.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.unlisted == 0
    }
}

/// How the steps of a plan ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Ended {
    /// Every step exited with 0 and the declared outputs were collected.
    Completed,
    /// A step exited with another code.
    Exited {
        /// Index of the step.
        step: usize,
        /// The code, 1 to 255.
        code: i32,
    },
    /// A step was ended by a signal.
    Signalled {
        /// Index of the step.
        step: usize,
        /// The signal's number.
        signal: i32,
    },
    /// A step's program could not be started.
    NotStarted {
        /// Index of the step.
        step: usize,
        /// What the system said.
        message: String,
    },
    /// The time limit passed and everything was killed.
    TimedOut {
        /// Index of the step that was running.
        step: usize,
    },
    /// Another limit was reached, and everything was killed.
    LimitReached {
        /// Index of the step that was running.
        step: usize,
        /// Which one.
        limit: LimitKind,
    },
    /// The steps ended well, but nothing matched a declared output.
    OutputMissing {
        /// The pattern without a match.
        pattern: String,
    },
    /// A declared output is not a regular file, or a limit on outputs was passed.
    OutputRejected {
        /// What was found, escaped for display.
        message: String,
    },
}

/// One collected file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Path relative to the plan's `subdir`.
    pub path: String,
    /// Digests of the bytes that the host received.
    pub digests: Digests,
}

impl OutputFile {
    /// The last component of the path.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// What is known of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Digest of the bytes that were kept.
    pub sha256: Sha256,
    /// Bytes kept.
    pub size_bytes: u64,
    /// Bytes dropped beyond the limit.
    pub dropped_bytes: u64,
}

/// What a build ran in, as found and not as wished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentFound {
    /// `x86_64`, as Rust names it.
    pub architecture: String,
    /// Tools that the plan names, at the versions found.
    pub tools: Vec<ToolVersion>,
    /// Digest of the operator's root file system, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Sha256>,
    /// Name and version of the sandbox profile.
    pub profile: String,
    /// How ids are mapped.
    pub id_mode: IdMode,
    /// The limits that were enforced.
    pub limits: Limits,
    /// How, where there is more than one way.
    #[serde(default)]
    pub enforcement: Enforcement,
}

/// How the sandbox maps user ids. Host uid 0 is never mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdMode {
    /// Started by root: a range of 65,536 ids that belong to nobody.
    RootRange,
    /// Started by an ordinary user: a range that the system lends to that user (`/etc/subuid`).
    UserRange,
    /// Started by an ordinary user: that one id.
    SingleId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_are_bounded_and_printable() {
        assert!(Misses::of(&[]).is_empty());
        let long = "é".repeat(Misses::LONGEST);
        let mut requests = vec!["/\u{1b}[2J\u{202e}".to_owned(), long];
        let misses = Misses::of(&requests);
        assert_eq!(misses.listed[0], printable("/\u{1b}[2J\u{202e}"));
        assert!(!misses.listed[0].contains(char::is_control));
        assert_eq!(misses.listed[1].chars().count(), Misses::LONGEST / 2 + 1);
        requests.resize(Misses::MOST + 7, "cargo:index/x".to_owned());
        let misses = Misses::of(&requests);
        assert_eq!((misses.listed.len(), misses.unlisted), (Misses::MOST, 7));
        assert!(!misses.is_empty());
        let other = Misses::of(&["a".to_owned()]);
        let all = Misses::of_all([&misses, &other, &misses]);
        let [one, two, three, four] = all.listed.as_slice() else {
            panic!("each once: {:?}", all.listed);
        };
        assert_eq!((&**two, &**three), ("a", "cargo:index/x"));
        assert_eq!([one, four], [&misses.listed[0], &misses.listed[1]]);
        assert_eq!(all.unlisted, 7);
    }
}
