//! What the answers come to, artifact by artifact. Pure.
//!
//! The policy's table decides, with every view taken as complete: the operators were asked by us, about
//! bytes that nobody saw before, and what one of them left out can only delay. A build that came out
//! twice the same and not as the candidate has no verdict `differs`, since there are no bytes to look
//! into; here it is a dissent all the same.

use std::collections::BTreeMap;

use countersign_attest::decide::{
    Asked, Outcome, Question, Stand, Standing, Testimony, View, decide,
};
use countersign_attest::declaration::CandidateRequest;
use countersign_attest::digest::Sha256;
use countersign_attest::dsse::Verified;
use countersign_attest::policy::Policy;
use countersign_attest::statement::Statement;
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::{Reason, Verdict};
use countersign_verify::attestation::{Attestation, Content, Opened, open_all};

use super::asking::Operator;
use crate::consult::candidate::Said;

/// What one artifact came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Result {
    /// Enough operators confirm it.
    Confirmed,
    /// As many as must confirm built something else.
    Rejected,
    /// Enough confirm it, and something else speaks against it.
    Held,
    /// Too few confirm it, and no more will, or the time is over.
    NotMet,
    /// Somebody may still answer.
    Pending,
}

/// Where one operator stands on one artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// For people and programs.
    pub(super) word: &'static str,
    /// What it said, where it has a verdict.
    pub(super) verdict: Option<Verdict>,
    /// More, in its own words or ours.
    pub(super) detail: Option<String>,
}

/// One artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    /// Its name.
    pub(super) name: String,
    /// Its digest.
    pub(super) sha256: Sha256,
    /// What it came to.
    pub(super) result: Result,
    /// How many confirm it.
    pub(super) confirming: usize,
    /// How many must.
    pub(super) k: usize,
    /// By operator.
    pub(super) words: BTreeMap<String, Word>,
}

/// Judges each artifact.
pub(super) fn judge(
    policy: &Policy,
    request: &CandidateRequest,
    operators: &BTreeMap<String, Operator>,
    over: bool,
    now: Timestamp,
) -> Vec<Judged> {
    let all: Vec<Attestation> = operators
        .values()
        .flat_map(|o| o.attestations.clone())
        .collect();
    let (opened, _) = open_all(&all, &policy.keys());
    let opened = about(request, opened);
    let one = |artifact: &countersign_attest::declaration::CandidateArtifact| {
        let question = Question {
            now,
            subject: Asked {
                purl: None,
                file_name: Some(artifact.name.clone()),
                sha256: Some(artifact.sha256),
                sha512: None,
            },
            testimonies: opened
                .iter()
                .filter_map(|verified| Testimony::of(verified, None))
                .collect(),
            views: operators
                .keys()
                .map(|name| (name.clone(), View::Complete))
                .collect(),
            memory: countersign_attest::decide::Memory::default(),
            acknowledgements: Vec::new(),
        };
        let decision = decide(policy, &question);
        let words: BTreeMap<String, Word> = decision
            .stands
            .iter()
            .map(|(name, stand)| (name.clone(), word(stand, operators.get(name), &opened)))
            .collect();
        let dissents = words.values().filter(|word| word.word == DIFFERS).count();
        let open = words.iter().filter(|(name, word)| {
            let done = operators.get(*name).is_none_or(Operator::is_final);
            word.verdict.is_none() && !done
        });
        let open = if over { 0 } else { open.count() };
        Judged {
            name: artifact.name.clone(),
            sha256: artifact.sha256,
            result: result(
                decision.outcome,
                decision.confirming,
                decision.k,
                dissents,
                open,
            ),
            confirming: decision.confirming,
            k: decision.k,
            words,
        }
    };
    request.artifacts.iter().map(one).collect()
}

/// Statements about another source or tag are about something else, whatever bytes they name; and no other
/// software is asked about candidates.
fn about(request: &CandidateRequest, opened: Vec<Opened>) -> Vec<Verified<Statement>> {
    let canonical = countersign_attest::policy::canonical_source;
    let source = canonical(&request.source);
    let reference = format!("refs/tags/{}", request.tag);
    let is_about = |verified: &Verified<Statement>| match verified.value() {
        Statement::Verdict(verdict) => {
            let said = &verdict.predicate.source;
            canonical(&said.uri) == source && said.reference == reference
        }
        Statement::Withdrawn(_) => true,
        Statement::Build(_) => false,
    };
    let statements = opened
        .into_iter()
        .filter_map(|opened| match opened.content {
            Content::Statement(verified) => Some(verified),
            Content::Evidence(_) => None,
        });
    statements.filter(is_about).collect()
}

const DIFFERS: &str = "differs";

fn result(outcome: Outcome, confirming: usize, k: usize, dissents: usize, open: usize) -> Result {
    if dissents >= k {
        return Result::Rejected;
    }
    match outcome {
        Outcome::Reject => Result::Rejected,
        // as in the policy's table: one dissent is a note, two hold
        Outcome::Accept if dissents < 2 => Result::Confirmed,
        Outcome::Accept | Outcome::Hold if open == 0 => Result::Held,
        Outcome::NotEnough if confirming.saturating_add(open) < k => Result::NotMet,
        Outcome::Accept | Outcome::Hold | Outcome::NotEnough => {
            if open == 0 {
                Result::NotMet
            } else {
                Result::Pending
            }
        }
    }
}

fn word(stand: &Stand, operator: Option<&Operator>, opened: &[Verified<Statement>]) -> Word {
    let said = operator.and_then(|operator| operator.said.as_ref());
    let reason = reason(stand, opened);
    let (word, detail) = match stand.standing {
        Standing::Confirms => ("confirmed", None),
        Standing::Dissents => (DIFFERS, None),
        Standing::Undecided if reason == Some(Reason::DigestOnly) => (DIFFERS, None),
        Standing::Undecided | Standing::Unaccepted => {
            ("not-confirmed", reason.map(|reason| reason.to_string()))
        }
        Standing::SawAnother => ("saw-another", None),
        Standing::Unusable => ("unusable", None),
        Standing::LeftOut => ("left-out", None),
        Standing::Silent => match said {
            None => ("pending", None),
            Some(Said::Pending(state)) => ("pending", Some(state.clone())),
            Some(Said::Ended) => ("no-verdict", None),
            Some(Said::Refused(why)) => ("refused", Some(why.clone())),
            Some(Said::Down(why)) => ("down", Some(why.clone())),
        },
    };
    Word {
        word,
        verdict: stand.verdict,
        detail,
    }
}

fn reason(stand: &Stand, opened: &[Verified<Statement>]) -> Option<Reason> {
    let statement = stand.statement?;
    let found = opened.iter().find(|o| o.signed() == statement)?;
    match found.value() {
        Statement::Verdict(verdict) => verdict.predicate.reason,
        Statement::Withdrawn(_) | Statement::Build(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_from_waiting_at_every_limit() {
        use Outcome::{Accept, Hold, NotEnough, Reject};
        for (outcome, confirming, k, dissents, open, expect) in [
            (NotEnough, 0, 2, 0, 5, Result::Pending),
            (NotEnough, 1, 2, 0, 1, Result::Pending),
            (NotEnough, 1, 3, 0, 1, Result::NotMet), // not even with all who are left
            (NotEnough, 1, 2, 1, 0, Result::NotMet),
            (NotEnough, 1, 2, 1, 1, Result::Pending),
            (NotEnough, 1, 2, 2, 1, Result::Rejected),
            (Reject, 0, 2, 0, 5, Result::Rejected),
            (Accept, 2, 2, 0, 3, Result::Confirmed),
            (Accept, 3, 3, 1, 0, Result::Confirmed),
            (Accept, 3, 3, 2, 0, Result::Held),
            (Accept, 3, 3, 2, 1, Result::Pending),
            (Hold, 3, 3, 0, 1, Result::Pending),
            (Hold, 3, 3, 0, 0, Result::Held),
        ] {
            let found = result(outcome, confirming, k, dissents, open);
            assert_eq!(
                found, expect,
                "{outcome:?} {confirming} {k} {dissents} {open}"
            );
        }
    }
}
