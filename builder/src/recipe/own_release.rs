//! Self-hosting, behind every recipe: a build that asked for another release of its own package, and had
//! to do without, is tried with such releases. What it is then served taints (ATTESTATION section 3.2).
//!
//! A build that failed for it is tried again at once. Whatever else may only have done without is tried
//! again last, and only where nothing gave the bytes.

use countersign_attest::purl::Purl;
use countersign_attest::verdict::Verdict;

use super::{Attempt, Proposal, Situation};
use crate::plan::Candidate;

/// What a recipe sees: in the place of a build that failed for want of its own package, what came of it
/// with that.
pub(super) fn seen<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> Vec<Attempt> {
    let all: Vec<&Attempt> = attempts.collect();
    let done = |failed: &Attempt| {
        let again = all.iter().filter(|other| other.candidate.own_releases);
        failed.failed()
            && !failed.candidate.own_releases
            && again
                .into_iter()
                .any(|a| is_same(&a.candidate, &with(failed)))
    };
    let seen = all.iter().filter(|attempt| !done(attempt));
    seen.map(|attempt| (*attempt).clone()).collect()
}

/// A build that failed, with what it asked for.
pub(super) fn at_once(situation: &Situation<'_>) -> Option<Box<Proposal>> {
    next(situation, Attempt::failed)
}

/// Any build, with what it asked for.
pub(super) fn at_last(situation: &Situation<'_>) -> Option<Box<Proposal>> {
    next(situation, |_| true)
}

fn next(situation: &Situation<'_>, which: fn(&Attempt) -> bool) -> Option<Box<Proposal>> {
    let attempts = situation.attempts;
    let same = |verdict: Verdict| matches!(verdict, Verdict::Reproduced | Verdict::Assisted);
    if attempts.iter().any(|attempt| same(attempt.verdict)) {
        return None;
    }
    let purl: Purl = situation.published.purl.as_deref()?.parse().ok()?;
    let asked = |attempt: &Attempt| {
        let misses = attempt.misses();
        misses.listed.iter().any(|miss| purl.is_requested_by(miss))
    };
    let needy = attempts
        .iter()
        .filter(|attempt| !attempt.candidate.own_releases && which(attempt) && asked(attempt));
    let mut again = needy.map(|attempt| (attempt, with(attempt)));
    let (attempt, candidate) =
        again.find(|(_, candidate)| !attempts.iter().any(|a| is_same(&a.candidate, candidate)))?;
    let why = "the build asked for another release of its own package and had to do without";
    Some(Proposal::new(candidate, attempt.way.clone(), why))
}

/// Whether two are the same but for what was only found out when they were recorded.
fn is_same(one: &Candidate, other: &Candidate) -> bool {
    let proposed = |candidate: &Candidate| Candidate {
        incomplete: None,
        missing: None,
        ..candidate.clone()
    };
    proposed(one) == proposed(other)
}

fn with(attempt: &Attempt) -> Candidate {
    Candidate {
        own_releases: true,
        ..attempt.candidate.clone()
    }
}
