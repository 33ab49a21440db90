//! Policies: whom a user believes, how many of them, and for what (ATTESTATION section 7).
//!
//! A [`Policy`] is data that holds: every name in it is known, every number can be reached, every key
//! belongs to one operator. It comes from text that was read strictly; this module reads no file and
//! no YAML. What a policy decides is in [`crate::decide`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::key::AnyPublicKey;
use crate::merkle::Tree;
use crate::purl::Purl;
use crate::time::Timestamp;
use crate::verdict::Verdict;

mod check;
mod scope;
#[cfg(test)]
mod tests;
mod verifier_key;
mod written;

pub use check::{PolicyError, is_operator_name};
pub use scope::Scope;
pub use verifier_key::{Algorithm, ParseVerifierKeyError, VerifierKey};

/// What a policy calls the software of operators whose evidence has forms of its own
/// (`attrs: { software: … }`).
pub mod software {
    /// Its links are in-toto's old format.
    pub const REBUILDERD: &str = "rebuilderd";
    /// Its attestations are envelopes under ECDSA keys.
    pub const OSS_REBUILD: &str = "oss-rebuild";
}

/// A checked policy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "written::File")]
pub struct Policy {
    operators: BTreeMap<String, Operator>,
    keys: BTreeMap<AnyPublicKey, String>,
    witnesses: Option<Witnesses>,
    rules: Vec<Rule>,
    default: Rule,
    exemptions: Vec<Exemption>,
}

impl Policy {
    /// All operators by name.
    #[must_use]
    pub const fn operators(&self) -> &BTreeMap<String, Operator> {
        &self.operators
    }

    /// Every key of every operator.
    #[must_use]
    pub fn keys(&self) -> Vec<AnyPublicKey> {
        self.keys.keys().copied().collect()
    }

    /// The one operator to whom a key belongs, with the key's own terms.
    #[must_use]
    pub fn owner(&self, key: &AnyPublicKey) -> Option<(&str, &Operator, &OperatorKey)> {
        let (name, operator) = self.operators.get_key_value(self.keys.get(key)?)?;
        let terms = operator.keys.iter().find(|terms| terms.key == *key)?;
        Some((name, operator, terms))
    }

    /// Who must have seen a checkpoint.
    #[must_use]
    pub const fn witnesses(&self) -> Option<&Witnesses> {
        self.witnesses.as_ref()
    }

    /// All rules, the default last.
    #[must_use]
    pub fn rules(&self) -> Vec<&Rule> {
        self.rules.iter().chain([&self.default]).collect()
    }

    /// The rule for a package: of those whose scope matches, the one with the longest literal prefix,
    /// else the default. Nothing but the caller's package URL chooses it.
    #[must_use]
    pub fn rule(&self, purl: Option<&Purl>) -> &Rule {
        let matching = self
            .rules
            .iter()
            .filter(|rule| purl.is_some_and(|purl| rule.scope.matches(purl)));
        // no two scopes have the same literal prefix: see `check`
        matching
            .max_by_key(|rule| rule.scope.literal_prefix().len())
            .unwrap_or(&self.default)
    }

    /// All exemptions, in the policy's order.
    #[must_use]
    pub fn exemptions(&self) -> &[Exemption] {
        &self.exemptions
    }

    /// The exemption that covers a package now.
    #[must_use]
    pub fn exemption(&self, purl: Option<&Purl>, now: Timestamp) -> Option<&Exemption> {
        let purl = purl?;
        self.exemptions
            .iter()
            .find(|exemption| exemption.scope.matches(purl) && now < exemption.expires)
    }

    /// Whether an operator publishes this package, and so cannot confirm it independently.
    #[must_use]
    pub fn publishes(&self, operator: &str, purl: Option<&Purl>) -> bool {
        let scopes = self.operators.get(operator).map(|o| &o.publishes[..]);
        purl.is_some_and(|purl| {
            scopes
                .unwrap_or_default()
                .iter()
                .any(|scope| scope.matches(purl))
        })
    }
}

/// Somebody who rebuilds and signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// What it signs with; at least one.
    pub keys: Vec<OperatorKey>,
    /// The address of its service.
    pub rebuilder: Option<String>,
    /// The key of its transparency log.
    pub log: Option<VerifierKey>,
    /// What tells operators apart beside their keys: a country, the software.
    pub attributes: BTreeMap<String, String>,
    /// What it publishes itself.
    pub publishes: Vec<Scope>,
    /// Since when nothing of it counts any more, whatever the key.
    pub revoked: Option<Revocation>,
}

/// A key and how long it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorKey {
    /// The key.
    pub key: AnyPublicKey,
    /// Statements before this moment are not the operator's.
    pub from: Option<Timestamp>,
    /// Statements from this moment on are not the operator's.
    pub until: Option<Timestamp>,
    /// Since when nothing under this key counts any more.
    pub revoked: Option<Revocation>,
}

/// An end of belief that somebody with the stolen key cannot backdate: what stands in a log up to a
/// checkpoint still counts, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// What still counts; `None` for nothing at all.
    pub keep: Option<Tree>,
    /// Why, for people.
    pub reason: String,
}

/// Who must have seen a checkpoint, and how many of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnesses {
    /// How many.
    pub k: usize,
    /// Of these.
    pub of: Vec<VerifierKey>,
}

/// What a package needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// For which packages.
    pub scope: Scope,
    /// Whether a decision against it stops somebody or only warns.
    pub mode: Mode,
    /// How many operators must agree; at least 1.
    pub k: usize,
    /// Who is asked.
    pub of: BTreeSet<String>,
    /// Attributes in which those who are counted must differ; at most two.
    pub distinct: Vec<String>,
    /// Which verdicts confirm: `reproduced`, and perhaps `assisted` and `equivalent`.
    pub accept: BTreeSet<Verdict>,
    /// Whether everything that the operators logged must have been looked at.
    pub view: ViewNeeded,
    /// How old a confirmation may be, in seconds.
    pub max_age_seconds: Option<i64>,
    /// The only source that counts, in canonical form.
    pub source: Option<String>,
}

/// What a decision against a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It stops.
    Enforce,
    /// It warns.
    Warn,
}

impl Mode {
    /// The word in policies and decisions.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
        }
    }
}

/// How much must be known of what the operators said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewNeeded {
    /// All of it, up to a witnessed checkpoint.
    Required,
    /// What there is.
    BestEffort,
}

impl ViewNeeded {
    /// The word in policies.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::BestEffort => "best-effort",
        }
    }
}

/// A package for which too few confirmations are no obstacle, for a while. A dissent still is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemption {
    /// For which packages.
    pub scope: Scope,
    /// Why, for people.
    pub reason: String,
    /// From when on it is over.
    pub expires: Timestamp,
}

/// The form in which sources are compared: host in lower case, without `.git` and slashes at the end.
#[must_use]
pub fn canonical_source(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return uri.to_owned();
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    format!("{}://{}/{path}", scheme, host.to_ascii_lowercase())
}
