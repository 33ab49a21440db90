//! A date of the publisher's, behind every recipe: where all members of a file bear one time, which is
//! neither the commit's nor a constant of a backend, it was `SOURCE_DATE_EPOCH` there. What came as far as
//! the same content is built once more with it. It is copied, so that the verdict is `assisted` at best
//! (ATTESTATION section 2): one value, where a recipe would copy a time of each member.

use countersign_attest::digest::Sha256;
use countersign_attest::origin::{AssistKind, Origin};
use countersign_attest::verdict::Verdict;

use super::{Attempt, Proposal, Situation};
use crate::plan::{Assist, Candidate, Valued};

/// The variable that build tools take their date from.
const VARIABLE: &str = "SOURCE_DATE_EPOCH";

/// Whether an attempt is one of these; a recipe does not see them.
pub(super) fn is_copied(attempt: &Attempt) -> bool {
    let of_it = |assist: &Assist| assist.kind == AssistKind::Epoch;
    let chosen = attempt.candidate.variables.get(VARIABLE);
    attempt.candidate.assists.iter().any(of_it)
        && chosen.is_some_and(|value| value.origin == Origin::Artifact)
}

/// The best attempt that came as far as the same content, with the file's one time.
pub(super) fn next(situation: &Situation<'_>) -> Option<Box<Proposal>> {
    let attempts = situation.attempts;
    let time = situation
        .evidence
        .one_time(situation.release.commit_time)?
        .to_string();
    if attempts.iter().any(is_copied) {
        return None;
    }
    let close = |attempt: &&Attempt| {
        let verdict = attempt.verdict;
        let same = matches!(verdict, Verdict::Equivalent | Verdict::Indeterminate);
        let candidate = &attempt.candidate;
        let whole = candidate.incomplete.is_none() && candidate.encoding.is_none();
        same && whole && candidate.assists.is_empty()
    };
    let best = attempts.iter().filter(close).min_by_key(|a| a.verdict)?;
    let why =
        format!("all members of the published file are of one time, {time} seconds after 1970");
    let candidate = with(&best.candidate, time);
    Some(Proposal::new(candidate, best.way.clone(), why))
}

fn with(candidate: &Candidate, time: String) -> Candidate {
    let mut candidate = candidate.clone();
    candidate.assists.push(Assist {
        kind: AssistKind::Epoch,
        sha256: Sha256::of(time.as_bytes()),
    });
    let value = Valued::new(time, Origin::Artifact);
    candidate.variables.insert(VARIABLE.to_owned(), value);
    candidate
}
