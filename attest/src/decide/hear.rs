//! From testimonies to what each operator said: whose a statement is, whether it counts at all, and
//! which were withdrawn. The same statement from two places, or under two keys of one operator, is one.

use std::collections::{BTreeMap, BTreeSet};

use super::code::Uncounted;
use super::testimony::{Place, Question, Said, Testimony, VerdictSaid};
use crate::digest::Sha256;
use crate::policy::{Operator, OperatorKey, Policy, Revocation};
use crate::time::Timestamp;

/// How far clocks may be apart, in seconds.
pub(super) const CLOCK_SKEW_SECONDS: i64 = 600;

/// What one operator said, as far as it counts.
#[derive(Debug, Default)]
pub(super) struct Heard<'a> {
    /// Its verdicts, each statement once.
    pub(super) verdicts: Vec<Verdict<'a>>,
    /// Statements that it took back.
    pub(super) withdrawn: BTreeSet<Sha256>,
}

/// A verdict of an operator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict<'a> {
    pub(super) statement: Sha256,
    pub(super) said: &'a VerdictSaid,
    /// Its position in the operator's own log, where it has one.
    pub(super) index: Option<u64>,
    /// When it was seen by a witness; without one, when the operator says that it was decided.
    pub(super) time: Timestamp,
}

/// A statement that does not count, and why.
pub(super) type Ignored = BTreeMap<Sha256, Uncounted>;

/// Sorts testimonies by operator. A statement that several operators signed is the word of each: who
/// signs what another found is as little to be believed as who writes it anew.
pub(super) fn hear<'a>(
    policy: &'a Policy,
    question: &'a Question,
) -> (BTreeMap<&'a str, Heard<'a>>, Ignored) {
    let mut heard: BTreeMap<&str, Heard<'_>> = BTreeMap::new();
    let mut ignored = Ignored::new();
    for copies in by_statement(&question.testimonies) {
        let Some(first) = copies.first() else {
            continue;
        };
        let mut owners: BTreeMap<&str, (&Operator, Vec<&OperatorKey>)> = BTreeMap::new();
        let signers: BTreeSet<_> = copies.iter().flat_map(|copy| &copy.signers).collect();
        for (name, operator, terms) in signers.iter().filter_map(|key| policy.owner(key)) {
            let (_, keys) = owners.entry(name).or_insert((operator, Vec::new()));
            keys.push(terms);
        }
        let mut why = owners.is_empty().then_some(Uncounted::UnknownKey);
        for (name, (operator, keys)) in owners {
            match attribute(operator, &keys, question.now, &copies) {
                Err(error) => why = Some(error),
                Ok((place, time)) => {
                    let heard = heard.entry(name).or_default();
                    heard.take(first, place, time);
                }
            }
        }
        if let Some(why) = why {
            ignored.insert(first.statement, why);
        }
    }
    (heard, ignored)
}

impl<'a> Heard<'a> {
    fn take(&mut self, testimony: &'a Testimony, place: Option<&Place>, time: Timestamp) {
        match &testimony.said {
            Said::Withdrawn(said) => {
                self.withdrawn.insert(said.withdraws);
            }
            Said::Verdict(said) => self.verdicts.push(Verdict {
                statement: testimony.statement,
                said,
                index: place.map(|place| place.index),
                time,
            }),
        }
    }
}

/// The copies of each statement, in the order of the statements' digests.
fn by_statement(testimonies: &[Testimony]) -> Vec<Vec<&Testimony>> {
    let mut copies: BTreeMap<Sha256, Vec<&Testimony>> = BTreeMap::new();
    for testimony in testimonies {
        copies
            .entry(testimony.statement)
            .or_default()
            .push(testimony);
    }
    copies.into_values().collect()
}

/// A statement's place in an operator's own log, and when it was made; or why it is not the operator's.
fn attribute<'a>(
    operator: &Operator,
    keys: &[&OperatorKey],
    now: Timestamp,
    copies: &[&'a Testimony],
) -> Result<(Option<&'a Place>, Timestamp), Uncounted> {
    // a place in somebody else's log says nothing of this operator
    let log = operator.log.as_ref().map(ToString::to_string);
    let places = copies.iter().filter_map(|copy| copy.place.as_ref());
    let mut places: Vec<&Place> = places.filter(|p| Some(&p.log) == log.as_ref()).collect();
    // of several places the first: entering it again does not make a statement newer
    places.sort_by_key(|place| (place.index, place.pinned_proof.is_empty()));
    let place = places.first().copied();
    let forms = copies.iter().map(|copy| copy.form().software());
    for software in forms.flatten() {
        if operator.attributes.get("software").map(String::as_str) != Some(software) {
            return Err(Uncounted::OtherSoftware);
        }
    }
    // who does not say when is taken for as old as can be: no window and no limit of age lets that in
    let decided_on = copies.iter().filter_map(|copy| copy.decided_on()).max();
    let decided_on = decided_on.unwrap_or(Timestamp::EPOCH);
    let time = time(now, decided_on, place)?;
    let mut why = Uncounted::UnknownKey;
    for terms in keys {
        match under_terms(now, operator, terms, &places, time) {
            Ok(()) => return Ok((place, time)),
            Err(error) => why = error,
        }
    }
    Err(why)
}

fn time(
    now: Timestamp,
    decided_on: Timestamp,
    place: Option<&Place>,
) -> Result<Timestamp, Uncounted> {
    let latest = now.plus_seconds(CLOCK_SKEW_SECONDS);
    let time = place.map_or(decided_on, |place| place.witnessed_on);
    if time > latest {
        return Err(Uncounted::FromTheFuture);
    }
    if decided_on > time.plus_seconds(CLOCK_SKEW_SECONDS) {
        return Err(Uncounted::DecidedAfterWitnessed);
    }
    Ok(time)
}

/// Whether a key could make this statement then.
fn under_terms(
    now: Timestamp,
    operator: &Operator,
    terms: &OperatorKey,
    places: &[&Place],
    time: Timestamp,
) -> Result<(), Uncounted> {
    if terms.from.is_some_and(|from| time < from) {
        return Err(Uncounted::KeyNotYetValid);
    }
    if let Some(until) = terms.until {
        // once the key has ended, only a witness can say that a statement is older than that
        let unwitnessed = places.is_empty() && now >= until;
        if time >= until || unwitnessed {
            return Err(Uncounted::KeyExpired);
        }
    }
    let revocations = operator.revoked.iter().chain(&terms.revoked);
    for revocation in revocations {
        if !places.iter().any(|place| is_kept(revocation, place)) {
            return Err(Uncounted::Revoked);
        }
    }
    Ok(())
}

fn is_kept(revocation: &Revocation, place: &Place) -> bool {
    let Place {
        index,
        leaf,
        pinned_proof,
        ..
    } = place;
    revocation
        .keep
        .is_some_and(|tree| tree.includes(leaf, *index, pinned_proof))
}
