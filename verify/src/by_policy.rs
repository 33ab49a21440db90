//! Judges a file by a policy: hands it what was said under its keys and lets it decide.
//!
//! Views are partial here: what was given was chosen by whoever gave it.

use std::collections::BTreeMap;

use countersign_attest::decide::{Acknowledgement, Asked, Decision, Memory, Question, decide};
use countersign_attest::digest::Sha256;
use countersign_attest::policy::Policy;
use countersign_attest::time::Timestamp;

use crate::attestation::Heard;

/// A decision on one file, and where the statements behind it were found.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The file.
    pub asked: Asked,
    /// The decision.
    pub decision: Decision,
    /// Statement to where it was found.
    pub found: BTreeMap<Sha256, String>,
}

/// What is asked beside the policy.
#[derive(Debug, Clone)]
pub struct Terms<'a> {
    /// The moment of asking.
    pub now: Timestamp,
    /// What is remembered of this package.
    pub memory: &'a Memory,
    /// Dissents that the user has looked at; for the file in question only.
    pub acknowledged: &'a [Sha256],
}

/// Judges one file.
#[must_use]
pub fn judge(policy: &Policy, asked: &Asked, heard: &[Heard], terms: &Terms<'_>) -> Judged {
    let mut found = BTreeMap::new();
    let mut testimonies = Vec::new();
    for Heard { name, testimony } in heard {
        found.insert(testimony.statement, name.clone());
        testimonies.push(testimony.clone());
    }
    let acknowledge = |subject: Sha256| {
        terms
            .acknowledged
            .iter()
            .map(move |dissent| Acknowledgement {
                subject,
                dissent: *dissent,
                expires: terms.now.plus_seconds(1),
            })
    };
    let question = Question {
        now: terms.now,
        subject: asked.clone(),
        testimonies,
        views: BTreeMap::new(),
        memory: terms.memory.clone(),
        acknowledgements: asked
            .sha256
            .map(acknowledge)
            .into_iter()
            .flatten()
            .collect(),
    };
    Judged {
        asked: asked.clone(),
        decision: decide(policy, &question),
        found,
    }
}
