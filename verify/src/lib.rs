//! What a user does with attestations: reads them from files, judges them by keys or by a policy, and
//! is told in plain words. The offline half of `countersign verify`, and all of `countersign-verify`.
//!
//! It opens the files that it is told to and nothing else: no network, no database, no process, no git,
//! nothing that only one system has. Deciding is `attest`'s; asking services is the daemon's.

#![forbid(unsafe_code)]

pub mod exit;

pub mod subject;

pub mod files;
pub mod key_file;
pub mod memory;
pub mod policy_file;

pub mod attestation;
pub mod by_key;
pub mod by_policy;
pub mod speakers;

pub mod answer;
pub mod render;

use countersign_attest::verdict::Verdict;

/// Reads a verdict that a user may accept beside `reproduced`.
///
/// # Errors
/// When it is another one.
pub fn accepted(text: &str) -> Result<Verdict, String> {
    [Verdict::Reproduced, Verdict::Assisted, Verdict::Equivalent]
        .into_iter()
        .find(|verdict| verdict.word() == text)
        .ok_or_else(|| "reproduced, assisted or equivalent".to_owned())
}
