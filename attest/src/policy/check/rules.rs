//! Rules and exemptions: for what, how many of whom, and what counts.

use std::collections::{BTreeMap, BTreeSet};

use super::{PolicyError, scope, time, wrong};
use crate::policy::written::{ExemptEntry, RequireEntry, RuleEntry};
use crate::policy::{Exemption, Mode, Operator, Rule, Scope, ViewNeeded, canonical_source};
use crate::verdict::Verdict;

/// Most attributes in which operators must differ: more of them could not be counted in time.
const MAX_ATTRIBUTES: usize = 2;
const SECONDS_OF_A_DAY: i64 = 86_400;

pub(super) fn rules(
    entries: Vec<RuleEntry>,
    operators: &BTreeMap<String, Operator>,
) -> Result<(Vec<Rule>, Rule), PolicyError> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut default = None;
    for (index, entry) in entries.into_iter().enumerate() {
        let at = format!("rules[{index}]");
        let is_default = entry.scope == "default";
        let rule = entry.checked(&at, operators)?;
        if is_default {
            if default.replace(rule).is_some() {
                return wrong(format!("{at}.scope"), "there is a default already");
            }
            continue;
        }
        let literal = rule.scope.literal_prefix();
        if let Some(other) = rules.iter().find(|r| r.scope.literal_prefix() == literal) {
            let message = format!(
                "starts with the same literal characters as {}, so neither comes first; make one longer",
                other.scope
            );
            return wrong(format!("{at}.scope"), message);
        }
        rules.push(rule);
    }
    match default {
        Some(default) => Ok((rules, default)),
        None => wrong(
            "rules",
            "a rule with scope: default is needed, for whatever no other scope matches",
        ),
    }
}

impl RuleEntry {
    pub(super) fn checked(
        self,
        at: &str,
        operators: &BTreeMap<String, Operator>,
    ) -> Result<Rule, PolicyError> {
        let scope = match self.scope.as_str() {
            "default" => Scope::everything(),
            text => scope(text, &format!("{at}.scope"))?,
        };
        let mode = match self.mode.as_deref() {
            None | Some("enforce") => Mode::Enforce,
            Some("warn") => Mode::Warn,
            Some(_) => return wrong(format!("{at}.mode"), "enforce or warn"),
        };
        let view = match self.view.as_deref() {
            None | Some("required") => ViewNeeded::Required,
            Some("best-effort") => ViewNeeded::BestEffort,
            Some(_) => return wrong(format!("{at}.view"), "required or best-effort"),
        };
        let RequireEntry { k, of, distinct } = self.require;
        let mut asked = BTreeSet::new();
        for (index, name) in of.into_iter().enumerate() {
            let at = format!("{at}.require.of[{index}]");
            match operators.get(&name) {
                None => return wrong(at, format!("there is no operator {name}")),
                Some(operator) if mode == Mode::Enforce && operator.log.is_none() => {
                    let message = format!(
                        "{name} has no log, and a rule that enforces asks only operators who have one; add its log, or say mode: warn"
                    );
                    return wrong(at, message);
                }
                Some(_) if !asked.insert(name) => return wrong(at, "is named twice"),
                Some(_) => {}
            }
        }
        if k == 0 || k > asked.len() {
            let message = format!("between 1 and the {} operators of this rule", asked.len());
            return wrong(format!("{at}.require.k"), message);
        }
        let distinct = attributes(distinct, &asked, operators, at)?;
        Ok(Rule {
            scope,
            mode,
            k,
            of: asked,
            distinct,
            accept: accepted(self.accept, at)?,
            view,
            max_age_seconds: match self.max_age_days {
                None => None,
                Some(0) => return wrong(format!("{at}.max_age_days"), "at least 1"),
                Some(days) => Some(i64::from(days) * SECONDS_OF_A_DAY),
            },
            source: match self.source {
                None => None,
                Some(uri) if uri.starts_with("git+") => Some(canonical_source(&uri)),
                Some(_) => {
                    return wrong(
                        format!("{at}.source"),
                        "write it as statements do, git+https://…",
                    );
                }
            },
        })
    }
}

fn attributes(
    distinct: Option<Vec<String>>,
    of: &BTreeSet<String>,
    operators: &BTreeMap<String, Operator>,
    at: &str,
) -> Result<Vec<String>, PolicyError> {
    let at = format!("{at}.require.distinct");
    let mut attributes: Vec<String> = Vec::new();
    for name in distinct.unwrap_or_default() {
        if name == "operator" {
            continue; // who is counted is always another operator
        }
        let without = of.iter().find(|operator| {
            let attrs = operators.get(*operator).map(|o| &o.attributes);
            !attrs.is_some_and(|attrs| attrs.contains_key(&name))
        });
        if let Some(operator) = without {
            return wrong(at, format!("{operator} has no {name} in its attrs"));
        }
        if attributes.contains(&name) {
            return wrong(at, format!("{name} is named twice"));
        }
        attributes.push(name);
    }
    if attributes.len() > MAX_ATTRIBUTES {
        return wrong(at, format!("at most {MAX_ATTRIBUTES} beside operator"));
    }
    Ok(attributes)
}

fn accepted(words: Option<Vec<String>>, at: &str) -> Result<BTreeSet<Verdict>, PolicyError> {
    let Some(words) = words else {
        return Ok(BTreeSet::from([Verdict::Reproduced]));
    };
    let at = format!("{at}.accept");
    let mut accepted = BTreeSet::new();
    for word in words {
        let verdict = [Verdict::Reproduced, Verdict::Assisted, Verdict::Equivalent]
            .into_iter()
            .find(|verdict| verdict.word() == word);
        match verdict {
            Some(verdict) => accepted.insert(verdict),
            None => return wrong(at, "any of reproduced, assisted, equivalent"),
        };
    }
    if accepted.contains(&Verdict::Reproduced) {
        Ok(accepted)
    } else {
        wrong(at, "reproduced is always among them")
    }
}

impl ExemptEntry {
    pub(super) fn checked(self, index: usize) -> Result<Exemption, PolicyError> {
        let at = format!("exempt[{index}]");
        if self.reason.trim().is_empty() {
            return wrong(format!("{at}.reason"), "say why");
        }
        let expires_at = format!("{at}.expires");
        let Some(expires) = time(Some(self.expires), &expires_at)? else {
            return wrong(expires_at, "say until when");
        };
        Ok(Exemption {
            scope: scope(&self.scope, &format!("{at}.scope"))?,
            reason: self.reason,
            expires,
        })
    }
}
