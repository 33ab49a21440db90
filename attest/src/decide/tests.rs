//! Every vector of `attest/vectors/decision`, and what must hold of any decision.

use std::collections::BTreeSet;

use super::vectors::{self, Case};
use super::*;

#[test]
fn every_vector_is_decided_as_it_says() {
    let cases = vectors::folder("decision");
    assert!(cases.len() >= 80, "{} vectors", cases.len());
    let mut wrong = Vec::new();
    for (name, bytes) in cases {
        let ran = vectors::run(&bytes).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        if !ran.is_right() {
            wrong.push(format!(
                "{name}\n  due   {:?}\n  found {:?}",
                ran.expected, ran.found
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn cases() -> impl Iterator<Item = (String, Case)> {
    let cases = vectors::folder("decision").into_iter();
    cases.map(|(name, bytes)| (name, serde_json::from_slice(&bytes).unwrap()))
}

/// Vectors that nobody needs would hide that one is missing.
#[test]
fn the_vectors_use_every_code() {
    let (mut outcomes, mut reasons) = (BTreeSet::new(), BTreeSet::new());
    let (mut standings, mut uncounted) = (BTreeSet::new(), BTreeSet::new());
    for (_, case) in cases() {
        let decision = decide(&case.policy, &case.question);
        outcomes.insert(decision.outcome);
        reasons.extend(decision.reasons.into_iter().chain(decision.notes));
        standings.extend(decision.stands.values().map(|stand| stand.standing));
        uncounted.extend(decision.ignored.into_values());
        uncounted.extend(decision.stands.into_values().filter_map(|stand| stand.why));
    }
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), Outcome::ALL);
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), Reason::ALL);
    assert_eq!(standings.into_iter().collect::<Vec<_>>(), Standing::ALL);
    assert_eq!(uncounted.into_iter().collect::<Vec<_>>(), Uncounted::ALL);
}

/// Nobody chooses the order in which testimonies arrive, and copies are not further voices.
#[test]
fn order_and_copies_of_testimonies_change_nothing() {
    for (name, case) in cases() {
        let decision = decide(&case.policy, &case.question);
        let mut turned = case.question.clone();
        turned.testimonies.reverse();
        turned.testimonies.extend(case.question.testimonies.clone());
        assert_eq!(decide(&case.policy, &turned), decision, "{name}");
    }
}

/// To accept, something must have been said: whatever is left out of an answer, a decision that was
/// against a file for want of confirmations never becomes an acceptance.
#[test]
fn no_acceptance_comes_from_leaving_confirmations_out() {
    for (name, case) in cases() {
        let decision = decide(&case.policy, &case.question);
        if decision.outcome == Outcome::Accept {
            continue;
        }
        let confirming: BTreeSet<_> = decision
            .stands
            .values()
            .filter(|stand| stand.standing == Standing::Confirms)
            .filter_map(|stand| stand.statement)
            .collect();
        for left_out in &confirming {
            let mut fewer = case.question.clone();
            fewer.testimonies.retain(|t| t.statement != *left_out);
            let outcome = decide(&case.policy, &fewer).outcome;
            let exempt = case
                .policy
                .exemption(fewer.subject.purl.as_ref(), fewer.now);
            // leaving out who confirms from another source ends the disagreement; nothing else accepts
            let disagreed = decision.reasons.contains(&Reason::SourceDisagreement);
            assert!(
                outcome != Outcome::Accept || disagreed || exempt.is_some(),
                "{name}"
            );
        }
    }
}

/// Where every view is partial, nobody can reject or hold: what is shown may be old.
#[test]
fn partial_views_neither_reject_nor_hold_nor_accept_over_what_would() {
    for (name, case) in cases() {
        let known = decide(&case.policy, &case.question).outcome;
        let mut partial = case.question.clone();
        partial.views.clear();
        let outcome = decide(&case.policy, &partial).outcome;
        assert!(
            matches!(outcome, Outcome::Accept | Outcome::NotEnough),
            "{name}: {outcome}"
        );
        if matches!(known, Outcome::Reject | Outcome::Hold) {
            let lost = case.question.memory.confirmed_previous.len() == 1
                && outcome == Outcome::Accept
                && case
                    .policy
                    .exemption(partial.subject.purl.as_ref(), partial.now)
                    .is_some();
            assert!(outcome == Outcome::NotEnough || lost, "{name}: {outcome}");
        }
    }
}
