//! The decision: a policy and what operators said go in, one outcome with its reasons comes out.
//!
//! Pure: no clock, no file, no memory of its own. The table of ATTESTATION section 7 is [`decide`], row
//! by row, the first that matches. Nobody's silence, and nothing that could not be read, is ever a
//! confirmation. Fewer operators than a rule asks for can delay, never reject.
//!
//! What rejects or holds needs to be known in full: where a view is partial such a row ends as
//! `not-enough`, with its reasons, and never as an acceptance.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Sha256;
use crate::policy::{Mode, Policy, Rule, ViewNeeded, canonical_source};

mod code;
mod distinct;
mod document;
mod hear;
mod stand;
mod testimony;
#[cfg(test)]
mod tests;
pub mod vectors;

pub use code::{Outcome, Reason, Standing, Uncounted};
pub use document::{Document, GroupDocument, StandDocument};
pub use stand::{Group, Stand};
pub use testimony::{
    Acknowledgement, Asked, Form, Memory, Place, Question, Said, Testimony, VerdictSaid, View,
    WithdrawnSaid,
};

/// How far clocks may be apart, in seconds.
pub const CLOCK_SKEW_SECONDS: i64 = hear::CLOCK_SKEW_SECONDS;

/// What was decided, why, and who said what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is decided.
    pub outcome: Outcome,
    /// Why; never empty.
    pub reasons: BTreeSet<Reason>,
    /// What else was seen.
    pub notes: BTreeSet<Reason>,
    /// What somebody should be woken for.
    pub alarms: BTreeSet<Reason>,
    /// The scope of the rule that decided.
    pub rule: String,
    /// Whether that rule stops or only warns.
    pub mode: Mode,
    /// How many must confirm.
    pub k: usize,
    /// How many do, inside one group.
    pub confirming: usize,
    /// That group.
    pub group: Option<Group>,
    /// Where each operator of the rule stands.
    pub stands: BTreeMap<String, Stand>,
    /// Operators whose views are partial.
    pub partial: BTreeSet<String>,
    /// Statements that do not count, and why.
    pub ignored: BTreeMap<Sha256, Uncounted>,
}

impl Decision {
    /// Operators of the rule that could confirm and do not.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.stands
            .iter()
            .filter(|(_, stand)| !matches!(stand.standing, Standing::Confirms | Standing::LeftOut))
            .map(|(name, _)| name.as_str())
    }
}

/// Decides.
#[must_use]
pub fn decide(policy: &Policy, question: &Question) -> Decision {
    let rule = policy.rule(question.subject.purl.as_ref());
    let (heard, mut ignored) = hear::hear(policy, question);
    let stands = stand::stand(policy, rule, question, &heard, &mut ignored);
    // what one of its signers may not say can still be another's word
    ignored.retain(|statement, _| {
        let mut deciding = stands.values().filter(|stand| stand.why.is_none());
        !deciding.any(|stand| stand.statement == Some(*statement))
    });
    let count = Count::of(policy, rule, question, &stands);
    let (full, grounds) = row(rule, question, &count);
    let (mut outcome, mut reasons) = as_far_as_known(rule, &count, full, grounds.clone());
    let mut notes = notes(rule, question, &count);
    let exempt = policy.exemption(question.subject.purl.as_ref(), question.now);
    // an exemption waives too little knowledge, never what would reject or hold
    let waivable = matches!(full, Outcome::NotEnough | Outcome::Accept);
    if outcome == Outcome::NotEnough && waivable && exempt.is_some() {
        notes.append(&mut reasons);
        reasons.insert(Reason::Exempt);
        outcome = Outcome::Accept;
    }
    notes.extend(grounds.into_iter().filter(|g| *g != Reason::Confirmed));
    notes.retain(|note| !reasons.contains(note));
    Decision {
        outcome,
        reasons,
        notes,
        alarms: alarms(rule, &count),
        rule: rule.scope.to_string(),
        mode: rule.mode,
        k: rule.k,
        confirming: count.r,
        group: count.best.cloned(),
        partial: partial(question, stands.keys()),
        stands: stands
            .iter()
            .map(|(n, s)| ((*n).to_owned(), s.clone()))
            .collect(),
        ignored,
    }
}

/// The numbers of the table.
struct Count<'a> {
    /// Operators who confirm inside the best group, as distinct as the rule asks.
    r: usize,
    /// That group.
    best: Option<&'a Group>,
    /// All groups that somebody confirms.
    groups: BTreeSet<&'a Group>,
    /// Operators who confirm inside the best group.
    confirming: BTreeSet<&'a str>,
    /// The most that built the same other thing; for holds, and for rejecting where withdrawn dissents
    /// do not count and the others are as distinct as the rule asks.
    d: usize,
    d_rejecting: usize,
    /// Who built something else.
    dissenting: BTreeMap<&'a str, Option<Sha256>>,
    /// Operators who saw only another binary; the same for rejecting.
    o: usize,
    o_rejecting: usize,
    /// Everybody who is asked and may confirm.
    asked: BTreeSet<&'a str>,
    /// Those of them whose views are partial.
    partial: BTreeSet<&'a str>,
    /// Those who confirmed the previous version and are unstable, failing or silent now.
    lost: bool,
    equivocates: bool,
}

impl<'a> Count<'a> {
    fn of(
        policy: &Policy,
        rule: &Rule,
        question: &Question,
        stands: &'a BTreeMap<&'a str, Stand>,
    ) -> Self {
        let distinct =
            |names: &BTreeSet<&str>| distinct::count(policy, rule, names.iter().copied());
        let standing = |wanted: Standing| -> BTreeSet<&'a str> {
            let those = stands.iter().filter(|(_, s)| s.standing == wanted);
            those.map(|(name, _)| *name).collect()
        };
        let mut groups: BTreeMap<&Group, BTreeSet<&str>> = BTreeMap::new();
        let mut built: BTreeMap<Option<Sha256>, BTreeSet<&str>> = BTreeMap::new();
        let mut built_and_standing = built.clone();
        let mut dissenting = BTreeMap::new();
        for (name, stand) in stands {
            if let Some(group) = &stand.group {
                groups.entry(group).or_default().insert(name);
            }
            if stand.standing == Standing::Dissents {
                let dissent = stand.statement;
                dissenting.insert(*name, dissent);
                built.entry(stand.built).or_default().insert(name);
                if !stand.is_withdrawn {
                    built_and_standing
                        .entry(stand.built)
                        .or_default()
                        .insert(name);
                }
            }
        }
        // of groups of one size the first, so that the answer does not depend on any order of input
        let best = groups.iter().rev().max_by_key(|(_, names)| distinct(names));
        let another = standing(Standing::SawAnother);
        let asked: BTreeSet<&str> = stands
            .iter()
            .filter(|(_, stand)| stand.standing != Standing::LeftOut)
            .map(|(name, _)| *name)
            .collect();
        let lost = |name: &&str| {
            question.memory.confirmed_previous.contains(*name)
                && stands.get(name).is_some_and(has_lost)
        };
        Self {
            r: best.map_or(0, |(_, names)| distinct(names)),
            best: best.map(|(group, _)| *group),
            confirming: best.map(|(_, names)| names.clone()).unwrap_or_default(),
            groups: groups.keys().copied().collect(),
            d: built.values().map(BTreeSet::len).max().unwrap_or(0),
            d_rejecting: built_and_standing.values().map(distinct).max().unwrap_or(0),
            dissenting,
            o: another.len(),
            o_rejecting: distinct(&another),
            partial: partial(question, &asked),
            lost: asked.iter().any(lost),
            asked,
            equivocates: stands
                .values()
                .any(|stand| stand.why == Some(Uncounted::Equivocation)),
        }
    }
}

/// Those of some operators whose views are not complete.
fn partial<'n, 'a: 'n, T: From<&'a str> + Ord>(
    question: &Question,
    operators: impl IntoIterator<Item = &'n &'a str>,
) -> BTreeSet<T> {
    operators
        .into_iter()
        .filter(|name| question.views.get(**name) != Some(&View::Complete))
        .map(|name| T::from(*name))
        .collect()
}

/// Whether an operator says `unstable`, `build-failed` or nothing.
fn has_lost(stand: &Stand) -> bool {
    use crate::verdict::Verdict;
    match stand.standing {
        Standing::Silent => true,
        Standing::Undecided => matches!(
            stand.verdict,
            Some(Verdict::Unstable | Verdict::BuildFailed)
        ),
        Standing::Confirms
        | Standing::Dissents
        | Standing::SawAnother
        | Standing::Unaccepted
        | Standing::Unusable
        | Standing::LeftOut => false,
    }
}

/// The first row that matches of those that do not ask for complete views, as if all were known.
fn row(rule: &Rule, question: &Question, count: &Count<'_>) -> (Outcome, BTreeSet<Reason>) {
    let k = rule.k;
    let one = |reason| BTreeSet::from([reason]);
    let seen = |o: bool, d: bool| {
        let mut reasons = BTreeSet::new();
        if o {
            reasons.insert(Reason::DifferentBinaryServed);
        }
        if d {
            reasons.insert(Reason::Differs);
        }
        reasons
    };
    if count.o_rejecting >= k || count.d_rejecting >= k {
        let reasons = seen(count.o_rejecting >= k, count.d_rejecting >= k);
        return (Outcome::Reject, reasons);
    }
    // who is silent in a partial view may have spoken
    if count.r < k && count.lost && count.partial.is_empty() {
        return (Outcome::Hold, one(Reason::ReproducibilityLost));
    }
    if count.r < k {
        let mut reasons = seen(count.o >= 1, false);
        reasons.insert(Reason::TooFew);
        if disagrees(count) {
            reasons.insert(Reason::SourceDisagreement);
        }
        return (Outcome::NotEnough, reasons);
    }
    if count.o >= 2 || count.d >= 2 {
        return (Outcome::Hold, seen(count.o >= 2, count.d >= 2));
    }
    if count
        .dissenting
        .keys()
        .any(|name| holds_alone(rule, question, count, name))
    {
        return (Outcome::Hold, one(Reason::DissentOfAFormerConfirmer));
    }
    if disagrees(count) {
        return (Outcome::Hold, one(Reason::SourceDisagreement));
    }
    if source_changed(rule, question, count) {
        return (Outcome::Hold, one(Reason::SourceChanged));
    }
    (Outcome::Accept, one(Reason::Confirmed))
}

/// Whether one dissenter is enough to wait: it confirmed the previous version, and neither one more
/// than needed, nor everybody else, nor the user says that it is wrong.
fn holds_alone(rule: &Rule, question: &Question, count: &Count<'_>, dissenter: &str) -> bool {
    let others_agree = count
        .asked
        .iter()
        .filter(|name| !count.dissenting.contains_key(**name))
        .all(|name| count.confirming.contains(name));
    question.memory.confirmed_previous.contains(dissenter)
        && count.r <= rule.k
        && !others_agree
        && !is_acknowledged(question, count, dissenter)
}

fn is_acknowledged(question: &Question, count: &Count<'_>, dissenter: &str) -> bool {
    let dissent = count.dissenting.get(dissenter).copied().flatten();
    question.acknowledgements.iter().any(|acknowledged| {
        Some(acknowledged.dissent) == dissent
            && Some(acknowledged.subject) == question.subject.sha256
            && question.now < acknowledged.expires
    })
}

/// Whether these bytes are confirmed from two sources or commits.
fn disagrees(count: &Count<'_>) -> bool {
    // who does not say from what it built contradicts nobody
    let named = count.groups.iter().filter(|g| g.commit.is_some());
    let sources: BTreeSet<_> = named.map(|g| (&g.source, &g.commit)).collect();
    sources.len() > 1
}

fn source_changed(rule: &Rule, question: &Question, count: &Count<'_>) -> bool {
    let remembered = question.memory.source.as_deref().map(canonical_source);
    match (&rule.source, remembered, count.best) {
        (None, Some(remembered), Some(group)) => group.source.as_ref() != Some(&remembered),
        _ => false,
    }
}

fn notes(rule: &Rule, question: &Question, count: &Count<'_>) -> BTreeSet<Reason> {
    let acknowledged = |name: &&str| is_acknowledged(question, count, name);
    let first_seen =
        rule.source.is_none() && question.memory.source.is_none() && count.best.is_some();
    [
        (!count.dissenting.is_empty(), Reason::Differs),
        (count.o > 0, Reason::DifferentBinaryServed),
        (disagrees(count), Reason::SourceDisagreement),
        (source_changed(rule, question, count), Reason::SourceChanged),
        (first_seen, Reason::SourceFirstSeen),
        (count.equivocates, Reason::Equivocation),
        (!count.partial.is_empty(), Reason::ViewIncomplete),
        (
            count.dissenting.keys().any(acknowledged),
            Reason::DissentAcknowledged,
        ),
    ]
    .into_iter()
    .filter_map(|(seen, reason)| seen.then_some(reason))
    .collect()
}

/// What a row is worth where something may have been left out: nothing is rejected or held because of
/// what somebody chose to show, and nothing accepted over it either.
fn as_far_as_known(
    rule: &Rule,
    count: &Count<'_>,
    outcome: Outcome,
    mut reasons: BTreeSet<Reason>,
) -> (Outcome, BTreeSet<Reason>) {
    if count.partial.is_empty() {
        return (outcome, reasons);
    }
    match (rule.view, outcome) {
        (ViewNeeded::Required, _) => (Outcome::NotEnough, BTreeSet::from([Reason::ViewIncomplete])),
        (ViewNeeded::BestEffort, Outcome::Accept | Outcome::NotEnough) => (outcome, reasons),
        (ViewNeeded::BestEffort, Outcome::Hold | Outcome::Reject) => {
            reasons.insert(Reason::ViewIncomplete);
            (Outcome::NotEnough, reasons)
        }
    }
}

/// What is worth waking somebody for, whatever else was decided.
fn alarms(rule: &Rule, count: &Count<'_>) -> BTreeSet<Reason> {
    [
        (
            count.o >= 2 || count.o_rejecting >= rule.k,
            Reason::DifferentBinaryServed,
        ),
        (count.d >= 2 || count.d_rejecting >= rule.k, Reason::Differs),
        (count.equivocates, Reason::Equivocation),
    ]
    .into_iter()
    .filter_map(|(seen, reason)| seen.then_some(reason))
    .collect()
}
