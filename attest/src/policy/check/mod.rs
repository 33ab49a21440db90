//! From a policy as it is written to a [`Policy`] that holds: every check between the two.
//!
//! Strict: a number that cannot be reached, a key with two owners or a scope that competes with another is
//! an error that names the key and the remedy. Nothing is repaired silently.

use std::collections::BTreeMap;
use std::fmt;

use super::written::{File, WitnessesEntry};
use super::{Policy, Scope, VerifierKey};
use crate::time::Timestamp;

mod operators;
mod rules;

/// Most operators of a policy; counting them takes time in their square.
const MAX_OPERATORS: usize = 1000;

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
        let (rules, default) = rules::rules(file.rules, &operators)?;
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
