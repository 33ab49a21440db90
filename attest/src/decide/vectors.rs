//! Vectors: a policy and a question with the decision that is due, as JSON that any implementation can
//! run. `countersign policy test` runs those of users, the tests of this crate those of
//! `attest/vectors`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Document, Outcome, Question, Reason, Uncounted, decide};
use crate::json::{self, JsonError};
use crate::policy::Policy;

/// One vector.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, for people.
    pub about: String,
    /// The policy.
    pub policy: Policy,
    /// The question.
    pub question: Question,
    /// The decision that is due.
    pub expected: Expected,
}

/// The parts of a decision that a vector fixes; sets are sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expected {
    /// What is decided.
    pub decision: Outcome,
    /// Why.
    pub reasons: BTreeSet<Reason>,
    /// What else was seen.
    pub notes: BTreeSet<Reason>,
    /// What somebody should be woken for.
    pub alarms: BTreeSet<Reason>,
    /// How many confirm, inside one group.
    pub confirming: usize,
    /// Where each operator of the rule stands: `standing`, or `standing/why`.
    pub operators: BTreeMap<String, String>,
    /// Every statement that does not count, and why; compared where it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored: Option<BTreeMap<String, Uncounted>>,
}

/// A policy and the error that is due, if any.
#[cfg(test)]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyCase {
    #[serde(rename = "about")]
    _about: String,
    pub(crate) policy: serde_json::Value,
    /// A part of the error's text.
    pub(crate) error: Option<String>,
}

/// What came of running a vector.
#[derive(Debug)]
pub struct Ran {
    /// What the vector fixes.
    pub expected: Expected,
    /// What was decided.
    pub found: Expected,
}

impl Ran {
    /// Whether the decision is the one that is due.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.expected == self.found
    }
}

/// Runs one vector.
///
/// # Errors
/// When the bytes are no vector, or its policy does not hold.
pub fn run(bytes: &[u8]) -> Result<Ran, JsonError> {
    let case: Case = json::from_slice(bytes, &json::Limits::default())?;
    let found = Document::from(&decide(&case.policy, &case.question));
    let operators = found.operators.into_iter().map(|(name, stand)| {
        let why = stand.why.map(|why| format!("/{why}"));
        (
            name,
            format!("{}{}", stand.standing, why.unwrap_or_default()),
        )
    });
    let found = Expected {
        decision: found.decision,
        reasons: found.reasons,
        notes: found.notes,
        alarms: found.alarms,
        confirming: found.confirming,
        operators: operators.collect(),
        ignored: case.expected.ignored.is_some().then_some(found.ignored),
    };
    Ok(Ran {
        expected: case.expected,
        found,
    })
}

/// The files of a folder of `attest/vectors`, by name.
#[cfg(test)]
pub(crate) fn folder(name: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = format!("{}/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read(path).unwrap())
    });
    files.collect()
}
