//! A decision as JSON: what programs read, and what vectors compare. Nothing here decides.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::code::{Outcome, Reason, Standing, Uncounted};
use super::stand::Group;
use super::testimony::{Form, View};
use super::{Decision, Stand};
use crate::digest::{GitOid, Sha256};
use crate::purl::Purl;
use crate::verdict::Verdict;

/// A decision as one JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    /// What is decided.
    pub decision: Outcome,
    /// Why; never empty.
    pub reasons: BTreeSet<Reason>,
    /// What else was seen.
    pub notes: BTreeSet<Reason>,
    /// What somebody should be woken for.
    pub alarms: BTreeSet<Reason>,
    /// The scope of the rule that decided.
    pub rule: String,
    /// `enforce` or `warn`.
    pub mode: String,
    /// How many must confirm.
    pub k: usize,
    /// How many do, inside one group.
    pub confirming: usize,
    /// That group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupDocument>,
    /// Each operator of the rule.
    pub operators: BTreeMap<String, StandDocument>,
    /// Those who could confirm and do not.
    pub missing: Vec<String>,
    /// Statements that do not count, and why.
    pub ignored: BTreeMap<String, Uncounted>,
}

/// What confirmations have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupDocument {
    /// What the file is said to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<Purl>,
    /// Its name.
    pub file_name: String,
    /// The source, in canonical form, where those who confirm say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The commit, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<GitOid>,
}

/// Where an operator stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StandDocument {
    /// Where.
    pub standing: Standing,
    /// Why what it said does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Uncounted>,
    /// Its verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// In which form it was said, where that is not a statement of ours: it says less then.
    #[serde(default, skip_serializing_if = "Form::is_statement")]
    pub form: Form,
    /// The statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Sha256>,
    /// How much is known of what it said.
    pub view: View,
}

impl From<&Group> for GroupDocument {
    fn from(group: &Group) -> Self {
        Self {
            purl: group.purl.clone(),
            file_name: group.file_name.clone(),
            source: group.source.clone(),
            commit: group.commit,
        }
    }
}

impl From<&Decision> for Document {
    fn from(decision: &Decision) -> Self {
        let operator = |(name, stand): (&String, &Stand)| {
            let view = if decision.partial.contains(name) {
                View::Partial
            } else {
                View::Complete
            };
            let stand = StandDocument {
                standing: stand.standing,
                why: stand.why,
                verdict: stand.verdict,
                form: stand.form,
                statement: stand.statement,
                view,
            };
            (name.clone(), stand)
        };
        let ignored = decision.ignored.iter();
        Self {
            decision: decision.outcome,
            reasons: decision.reasons.clone(),
            notes: decision.notes.clone(),
            alarms: decision.alarms.clone(),
            rule: decision.rule.clone(),
            mode: decision.mode.word().to_owned(),
            k: decision.k,
            confirming: decision.confirming,
            group: decision.group.as_ref().map(GroupDocument::from),
            operators: decision.stands.iter().map(operator).collect(),
            missing: decision.missing().map(str::to_owned).collect(),
            ignored: ignored
                .map(|(digest, why)| (digest.to_string(), *why))
                .collect(),
        }
    }
}
