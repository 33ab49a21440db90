//! Who spoke, for somebody who trusts nobody yet. Everything here is the speakers' own word: nothing is
//! opened with a key, and nothing decides.

use std::collections::BTreeMap;

use countersign_attest::dsse::{Limits, UnverifiedClaim, unverified_claim};
use countersign_attest::evidence::link;

use crate::attestation::{Attestation, Problem, ProblemKind, causes};

/// Somebody who signed, as an envelope has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Speaker {
    /// The URI under which the statement is made.
    pub rebuilder: Option<String>,
    /// The id of the key that is named.
    pub key_id: Option<String>,
}

/// Who spoke how often, and what could not be read.
#[must_use]
pub fn speakers(attestations: &[Attestation]) -> (BTreeMap<Speaker, usize>, Vec<Problem>) {
    let mut speakers = BTreeMap::new();
    let mut problems = Vec::new();
    for attestation in attestations {
        match claim(&attestation.unverified_bytes) {
            Err(message) => {
                let message = format!("cannot be used: {message}");
                let kind = ProblemKind::Unreadable;
                problems.push(Problem::with(&attestation.name, kind, &message));
            }
            Ok(UnverifiedClaim { rebuilder, key_ids }) => {
                for key_id in key_ids {
                    let rebuilder = rebuilder.clone();
                    let speaker = Speaker { rebuilder, key_id };
                    *speakers.entry(speaker).or_insert(0) += 1;
                }
            }
        }
    }
    (speakers, problems)
}

/// Who is named, in whatever form; a link names keys alone.
fn claim(document: &[u8]) -> Result<UnverifiedClaim, String> {
    if link::is_link(document) {
        let ids = link::unverified_key_ids(document).map_err(|error| causes(&error))?;
        return Ok(UnverifiedClaim {
            rebuilder: None,
            key_ids: ids.into_iter().map(Some).collect(),
        });
    }
    unverified_claim(document, &Limits::default()).map_err(|error| causes(&error))
}
