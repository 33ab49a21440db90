//! A policy as it is written, and every check between that and a [`Policy`] that holds.
//!
//! Strict: an unknown key, a name that stands twice, a number that cannot be reached, or a scope that
//! competes with another is an error that names the key and the remedy. Nothing is repaired silently.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{
    Exemption, Mode, Operator, OperatorKey, Policy, Revocation, Rule, Scope, VerifierKey,
    ViewNeeded, Witnesses, canonical_source,
};
use crate::digest::Sha256;
use crate::key::PublicKey;
use crate::merkle::Tree;
use crate::time::Timestamp;
use crate::verdict::Verdict;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Most operators of a policy; counting them takes time in their square.
const MAX_OPERATORS: usize = 1000;
/// Most attributes in which operators must differ: more of them could not be counted in time.
const MAX_ATTRIBUTES: usize = 2;
const SECONDS_OF_A_DAY: i64 = 86_400;

/// A value that is well-formed and still cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct PolicyError {
    /// Where, as in `rules[2].require.k`.
    pub key: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

fn wrong<T>(key: impl Into<String>, message: impl fmt::Display) -> Result<T, PolicyError> {
    Err(PolicyError {
        key: key.into(),
        message: message.to_string(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    version: u32,
    operators: Unique<OperatorEntry>,
    #[serde(default)]
    witnesses: Option<WitnessesEntry>,
    rules: Vec<RuleEntry>,
    #[serde(default)]
    exempt: Vec<ExemptEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OperatorEntry {
    keys: Vec<KeyEntry>,
    #[serde(default)]
    rebuilder: Option<String>,
    #[serde(default)]
    log: Option<String>,
    #[serde(default)]
    attrs: Unique<String>,
    #[serde(default)]
    publishes: Vec<String>,
    #[serde(default)]
    revoked: Option<RevokedEntry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum KeyEntry {
    Bare(String),
    Terms(KeyTerms),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTerms {
    key: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    until: Option<String>,
    #[serde(default)]
    revoked: Option<RevokedEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokedEntry {
    keep: KeepEntry,
    reason: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum KeepEntry {
    Word(String),
    Tree(TreeEntry),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TreeEntry {
    size: u64,
    root: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WitnessesEntry {
    k: usize,
    of: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    scope: String,
    #[serde(default)]
    mode: Option<String>,
    require: RequireEntry,
    #[serde(default)]
    accept: Option<Vec<String>>,
    #[serde(default)]
    view: Option<String>,
    #[serde(default)]
    max_age_days: Option<u32>,
    #[serde(default)]
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequireEntry {
    k: usize,
    of: Vec<String>,
    #[serde(default)]
    distinct: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExemptEntry {
    scope: String,
    reason: String,
    expires: String,
}

impl TryFrom<File> for Policy {
    type Error = PolicyError;

    fn try_from(file: File) -> Result<Self, PolicyError> {
        if file.version != 1 {
            let found = file.version;
            return wrong("version", format!("{found} is not known; write version: 1"));
        }
        if file.operators.0.len() > MAX_OPERATORS {
            return wrong("operators", format!("more than {MAX_OPERATORS}"));
        }
        let mut operators = BTreeMap::new();
        let mut keys = BTreeMap::new();
        for (name, entry) in file.operators.0 {
            let at = format!("operators.{name}");
            if !is_operator_name(&name) {
                return wrong(at, "names are made of letters, digits, and . _ -");
            }
            let operator = entry.checked(&at)?;
            for (index, terms) in operator.keys.iter().enumerate() {
                if let Some(other) = keys.insert(terms.key, name.clone()) {
                    let message = format!("is a key of {other} already; a key has one operator");
                    return wrong(format!("{at}.keys[{index}]"), message);
                }
            }
            operators.insert(name, operator);
        }
        let witnesses = file.witnesses.map(WitnessesEntry::checked).transpose()?;
        let (rules, default) = rules(file.rules, &operators)?;
        let exemptions = file.exempt.into_iter().enumerate();
        let exemptions = exemptions.map(|(index, entry)| entry.checked(index));
        Ok(Self {
            operators,
            keys,
            witnesses,
            rules,
            default,
            exemptions: exemptions.collect::<Result<_, _>>()?,
        })
    }
}

/// Whether an operator or an attribute may be called so.
#[must_use]
pub fn is_operator_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.chars().all(plain)
}

fn rules(
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

impl OperatorEntry {
    fn checked(self, at: &str) -> Result<Operator, PolicyError> {
        if self.keys.is_empty() {
            return wrong(format!("{at}.keys"), "an operator has at least one key");
        }
        let mut keys = Vec::new();
        for (index, entry) in self.keys.into_iter().enumerate() {
            keys.push(entry.checked(&format!("{at}.keys[{index}]"))?);
        }
        if let Some(url) = &self.rebuilder
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            return wrong(format!("{at}.rebuilder"), "write an https:// address");
        }
        let log = match self.log {
            Some(text) => Some(verifier_key(&text, &format!("{at}.log"))?),
            None => None,
        };
        let pins = keys.iter().filter_map(|terms| terms.revoked.as_ref());
        let revoked = self.revoked.map(|r| r.checked(&format!("{at}.revoked")));
        let revoked = revoked.transpose()?;
        if log.is_none() && pins.chain(&revoked).any(|r| r.keep.is_some()) {
            let message =
                "keep is a checkpoint of the operator's log: name it, or write keep: none";
            return wrong(format!("{at}.log"), message);
        }
        let mut publishes = Vec::new();
        for (index, text) in self.publishes.iter().enumerate() {
            publishes.push(scope(text, &format!("{at}.publishes[{index}]"))?);
        }
        Ok(Operator {
            keys,
            rebuilder: self.rebuilder,
            log,
            attributes: self.attrs.0,
            publishes,
            revoked,
        })
    }
}

impl KeyEntry {
    fn checked(self, at: &str) -> Result<OperatorKey, PolicyError> {
        let terms = match self {
            Self::Terms(terms) => terms,
            Self::Bare(key) => KeyTerms {
                key,
                from: None,
                until: None,
                revoked: None,
            },
        };
        let Ok(key) = terms.key.parse::<PublicKey>() else {
            return wrong(
                at,
                "a key is written ed25519: and 64 hexadecimal characters; countersign key show prints it",
            );
        };
        let from = time(terms.from, &format!("{at}.from"))?;
        let until = time(terms.until, &format!("{at}.until"))?;
        if let (Some(from), Some(until)) = (from, until)
            && from >= until
        {
            return wrong(format!("{at}.until"), "is not later than from");
        }
        Ok(OperatorKey {
            key,
            from,
            until,
            revoked: terms
                .revoked
                .map(|r| r.checked(&format!("{at}.revoked")))
                .transpose()?,
        })
    }
}

impl RevokedEntry {
    fn checked(self, at: &str) -> Result<Revocation, PolicyError> {
        let keep = match self.keep {
            KeepEntry::Word(word) if word == "none" => None,
            KeepEntry::Word(_) => {
                return wrong(format!("{at}.keep"), "write none, or {size, root}");
            }
            KeepEntry::Tree(tree) => {
                let root = STANDARD.decode(&tree.root).unwrap_or_default();
                let Ok(root) = <[u8; 32]>::try_from(root) else {
                    let message = "the root of a checkpoint is 32 bytes in base64";
                    return wrong(format!("{at}.keep.root"), message);
                };
                Some(Tree {
                    size: tree.size,
                    root: Sha256::from_bytes(root),
                })
            }
        };
        Ok(Revocation {
            keep,
            reason: self.reason,
        })
    }
}

impl WitnessesEntry {
    fn checked(self) -> Result<Witnesses, PolicyError> {
        let mut of = Vec::new();
        for (index, text) in self.of.iter().enumerate() {
            let at = format!("witnesses.of[{index}]");
            let key = verifier_key(text, &at)?;
            if of
                .iter()
                .any(|other: &VerifierKey| other.key() == key.key())
            {
                return wrong(at, "the same key twice is one witness");
            }
            of.push(key);
        }
        if self.k == 0 || self.k > of.len() {
            return wrong("witnesses.k", format!("between 1 and {}", of.len()));
        }
        Ok(Witnesses { k: self.k, of })
    }
}

impl RuleEntry {
    fn checked(
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
    fn checked(self, index: usize) -> Result<Exemption, PolicyError> {
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

fn scope(text: &str, at: &str) -> Result<Scope, PolicyError> {
    text.parse().or_else(|error| wrong(at, error))
}

fn verifier_key(text: &str, at: &str) -> Result<VerifierKey, PolicyError> {
    text.parse().or_else(|error| wrong(at, error))
}

fn time(text: Option<String>, at: &str) -> Result<Option<Timestamp>, PolicyError> {
    let parse = |text: String| {
        Timestamp::from_day_or_time(&text)
            .or_else(|_| wrong(at, "a day such as 2027-03-01, or a time in UTC"))
    };
    text.map(parse).transpose()
}

/// A map in which no key stands twice: of two the parser would keep one, and nobody knows which.
struct Unique<T>(BTreeMap<String, T>);

impl<T> Default for Unique<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Unique<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Unique<T>, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((key, value)) = pairs.next_entry::<String, T>()? {
                    if map.contains_key(&key) {
                        return Err(A::Error::custom(format!("{key} stands twice")));
                    }
                    map.insert(key, value);
                }
                Ok(Unique(map))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}
