//! Whether a commit is part of a repository's own history: reachable from a branch or a tag that it
//! advertises. That an object is there says nothing, because forges keep the objects of forks beside it.
//!
//! Runs in the git child.

use std::collections::BTreeSet;

use countersign_attest::digest::GitOid;

use super::error::{Refusal, WatchError};
use super::mirror::Objects;

/// Most commits that are looked at.
const MOST_COMMITS: usize = 2_000_000;

/// Walks from the tips towards the first commits until it comes by the wanted one. What is not there, as in
/// a clone that was cut off, leads nowhere.
///
/// # Errors
/// A refusal when there are too many commits.
pub(crate) fn reaches(
    objects: &Objects,
    tips: Vec<GitOid>,
    wanted: GitOid,
) -> Result<bool, WatchError> {
    let mut due = tips;
    let mut seen = BTreeSet::new();
    while let Some(oid) = due.pop() {
        // a tip may be a tag object
        let Ok((peeled, commit)) = objects.peel(oid) else {
            continue;
        };
        if peeled.commit == wanted {
            return Ok(true);
        }
        if !seen.insert(peeled.commit) {
            continue;
        }
        if seen.len() > MOST_COMMITS {
            let what = "the history in which a claimed commit is looked for".to_owned();
            let limit = MOST_COMMITS as u64;
            return Err(Refusal::Limit { what, limit }.into());
        }
        due.extend(commit.parents);
    }
    Ok(false)
}
