//! Where each operator stands: its newest verdict on these bytes, and whether that confirms them. The
//! one place where votes are made: an operator has one, whatever it signed.

use std::collections::{BTreeMap, BTreeSet};

use super::code::{Standing, Uncounted};
use super::hear::{Heard, Ignored, Verdict};
use super::testimony::{Asked, Form, Question, VerdictSaid};
use crate::digest::{GitOid, Sha256};
use crate::policy::{Policy, Rule, canonical_source};
use crate::purl::Purl;
use crate::verdict::Verdict as Word;

/// What confirmations must have in common to be added up, beside the bytes themselves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// What the file is said to be.
    pub purl: Option<Purl>,
    /// Its name where it was published.
    pub file_name: String,
    /// The source, in canonical form, where those who confirm say it.
    pub source: Option<String>,
    /// The commit, likewise.
    pub commit: Option<GitOid>,
}

/// Where one operator stands, from what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stand {
    /// Where.
    pub standing: Standing,
    /// Why what it said does not count, where it does not.
    pub why: Option<Uncounted>,
    /// The statement that decides, where one does.
    pub statement: Option<Sha256>,
    /// Its verdict.
    pub verdict: Option<Word>,
    /// In which form it was said.
    pub form: Form,
    /// What it confirms, exactly where it confirms.
    pub group: Option<Group>,
    /// What it built, exactly where it dissents.
    pub built: Option<Sha256>,
    /// Whether its dissent was withdrawn, with nothing newer in its place.
    pub is_withdrawn: bool,
}

impl Stand {
    const fn without_statement(standing: Standing, why: Option<Uncounted>) -> Self {
        Self {
            standing,
            why,
            statement: None,
            verdict: None,
            form: Form::Statement,
            group: None,
            built: None,
            is_withdrawn: false,
        }
    }

    const fn of(standing: Standing, why: Option<Uncounted>, verdict: &Verdict<'_>) -> Self {
        Self {
            standing,
            why,
            statement: Some(verdict.statement),
            verdict: Some(verdict.said.verdict),
            form: verdict.said.form,
            group: None,
            built: None,
            is_withdrawn: false,
        }
    }
}

/// Where every operator of a rule stands.
pub(super) fn stand<'a>(
    policy: &'a Policy,
    rule: &'a Rule,
    question: &Question,
    heard: &BTreeMap<&'a str, Heard<'a>>,
    ignored: &mut Ignored,
) -> BTreeMap<&'a str, Stand> {
    let nothing = Heard::default();
    let subject = &question.subject;
    let names = names_of(subject, rule, heard);
    let mut stands = BTreeMap::new();
    for (operator, heard) in heard {
        if !rule.of.contains(*operator) {
            let all = heard.verdicts.iter().map(|v| v.statement);
            ignored.extend(all.map(|statement| (statement, Uncounted::NotAsked)));
        }
    }
    for operator in &rule.of {
        let heard = heard.get(operator.as_str()).unwrap_or(&nothing);
        let stand = if policy.publishes(operator, subject.purl.as_ref()) {
            let all = heard.verdicts.iter().map(|v| v.statement);
            ignored.extend(all.map(|statement| (statement, Uncounted::Publishes)));
            Stand::without_statement(Standing::LeftOut, Some(Uncounted::Publishes))
        } else {
            one(policy, rule, question, operator, heard, &names, ignored)
        };
        stands.insert(operator.as_str(), stand);
    }
    stands
}

fn one(
    policy: &Policy,
    rule: &Rule,
    question: &Question,
    operator: &str,
    heard: &Heard<'_>,
    names: &Names,
    ignored: &mut Ignored,
) -> Stand {
    let subject = &question.subject;
    let (on_these, on_others): (Vec<Verdict<'_>>, Vec<Verdict<'_>>) = heard
        .verdicts
        .iter()
        .partition(|v| subject.is(v.said.sha256, v.said.sha512));
    for other in &on_others {
        ignored.insert(other.statement, Uncounted::OtherBytes);
    }
    if equivocates(&on_these, &heard.withdrawn) {
        let all = on_these.iter().map(|v| v.statement);
        ignored.extend(all.map(|statement| (statement, Uncounted::Equivocation)));
        return Stand::without_statement(Standing::Unusable, Some(Uncounted::Equivocation));
    }
    let Some(newest) = newest(&on_these) else {
        let other = on_others
            .iter()
            .find(|v| names.has(v.said) && !heard.withdrawn.contains(&v.statement));
        return match other {
            Some(other) => Stand::of(Standing::SawAnother, Some(Uncounted::OtherBytes), other),
            None => Stand::without_statement(Standing::Silent, None),
        };
    };
    for older in on_these.iter().filter(|v| v.statement != newest.statement) {
        ignored.insert(older.statement, Uncounted::Superseded);
    }
    let is_withdrawn = heard.withdrawn.contains(&newest.statement);
    let stand = judge(policy, rule, question, operator, newest, is_withdrawn);
    if let Some(why) = stand.why {
        ignored.insert(newest.statement, why);
    }
    stand
}

/// What an operator's newest verdict on these bytes is worth.
fn judge(
    policy: &Policy,
    rule: &Rule,
    question: &Question,
    operator: &str,
    newest: &Verdict<'_>,
    is_withdrawn: bool,
) -> Stand {
    let said = newest.said;
    if policy.publishes(operator, said.purl.as_ref()) {
        return Stand::of(Standing::LeftOut, Some(Uncounted::Publishes), newest);
    }
    if let Some(why) = mismatch(&question.subject, said) {
        return Stand::of(Standing::Unusable, Some(why), newest);
    }
    match said.verdict {
        // a dissent that was withdrawn stands until there is something newer
        Word::Differs => Stand {
            built: said.rebuilt,
            is_withdrawn,
            ..Stand::of(Standing::Dissents, None, newest)
        },
        _ if is_withdrawn => Stand::of(Standing::Silent, Some(Uncounted::Withdrawn), newest),
        Word::Unstable | Word::BuildFailed | Word::Indeterminate => {
            Stand::of(Standing::Undecided, Some(Uncounted::NotAccepted), newest)
        }
        Word::Reproduced | Word::Assisted | Word::Equivalent => confirms(rule, question, newest),
    }
}

fn confirms(rule: &Rule, question: &Question, newest: &Verdict<'_>) -> Stand {
    let said = newest.said;
    if !rule.accept.contains(&said.verdict) {
        return Stand::of(Standing::Unaccepted, Some(Uncounted::NotAccepted), newest);
    }
    let source = said.source.as_deref().map(canonical_source);
    if rule.source.is_some() && rule.source != source {
        return Stand::of(Standing::Unusable, Some(Uncounted::SourceNotPinned), newest);
    }
    let age = question.now.unix_seconds() - newest.time.unix_seconds();
    if rule.max_age_seconds.is_some_and(|oldest| age > oldest) {
        return Stand::of(Standing::Unusable, Some(Uncounted::TooOld), newest);
    }
    Stand {
        group: Some(Group {
            purl: said.purl.clone(),
            file_name: said.file_name.clone(),
            source,
            commit: said.commit,
        }),
        ..Stand::of(Standing::Confirms, None, newest)
    }
}

/// Whether a verdict is about something else than what the caller says the file is.
fn mismatch(subject: &Asked, said: &VerdictSaid) -> Option<Uncounted> {
    match (&subject.purl, &subject.file_name) {
        (Some(purl), _) => (!said.is_of(purl)).then_some(Uncounted::PurlMismatch),
        (None, Some(name)) => (said.file_name != *name).then_some(Uncounted::NameMismatch),
        (None, None) => None,
    }
}

/// An operator's newest verdict: of those in its log the highest, of others the latest decided; where
/// there are both, and of two from one second, the later and then the worse.
fn newest<'v, 'a>(verdicts: &'v [Verdict<'a>]) -> Option<&'v Verdict<'a>> {
    let logged = verdicts.iter().filter(|v| v.index.is_some());
    let logged = logged.max_by_key(|v| v.index);
    let others = verdicts.iter().filter(|v| v.index.is_none());
    let when = |v: &&Verdict<'_>| (v.said.decided_on, v.said.verdict);
    others.chain(logged).max_by_key(when)
}

/// Whether an operator claims two outcomes of one plan on these bytes, and withdrew neither.
fn equivocates(verdicts: &[Verdict<'_>], withdrawn: &BTreeSet<Sha256>) -> bool {
    let mut built: BTreeMap<Sha256, Sha256> = BTreeMap::new();
    let standing = verdicts
        .iter()
        .filter(|v| !withdrawn.contains(&v.statement));
    for verdict in standing {
        let claims_bytes = match verdict.said.verdict {
            Word::Reproduced | Word::Assisted | Word::Equivalent | Word::Differs => true,
            // a build may fail today and not tomorrow, and say so without contradiction
            Word::Unstable | Word::BuildFailed | Word::Indeterminate => false,
        };
        if let (true, Some(plan), Some(bytes)) =
            (claims_bytes, verdict.said.plan, verdict.said.rebuilt)
            && *built.entry(plan).or_insert(bytes) != bytes
        {
            return true;
        }
    }
    false
}

/// What these bytes are called, by the caller and by those who are asked: other bytes under the same
/// names are another binary.
struct Names {
    purl: Option<Purl>,
    purls: BTreeSet<Option<Purl>>,
    file_names: BTreeSet<String>,
}

impl Names {
    fn has(&self, said: &VerdictSaid) -> bool {
        let purl = match &self.purl {
            Some(purl) => said.is_of(purl),
            None => self.purls.is_empty() || self.purls.contains(&said.purl),
        };
        purl && self.file_names.contains(&said.file_name)
    }
}

fn names_of(subject: &Asked, rule: &Rule, heard: &BTreeMap<&str, Heard<'_>>) -> Names {
    let asked = heard.iter().filter(|(name, _)| rule.of.contains(**name));
    let verdicts = asked.flat_map(|(_, heard)| &heard.verdicts);
    let these: Vec<&VerdictSaid> = verdicts
        .map(|v| v.said)
        .filter(|said| subject.is(said.sha256, said.sha512) && mismatch(subject, said).is_none())
        .collect();
    let mut file_names: BTreeSet<String> = these.iter().map(|s| s.file_name.clone()).collect();
    file_names.extend(subject.file_name.clone());
    Names {
        purl: subject.purl.clone(),
        purls: these.iter().map(|said| said.purl.clone()).collect(),
        file_names,
    }
}
