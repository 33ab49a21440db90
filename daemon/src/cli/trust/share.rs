//! `trust share`: a signed list of operators of a policy, for others to take over with `trust add --list`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use countersign_attest::declaration::{Declaration, ListedOperator, OperatorList};
use countersign_attest::policy::Operator;

use super::PolicyArguments;
use crate::cli::{Exit, output};
use crate::signer::{KeySource, SignerError};
use crate::trouble::Trouble;
use crate::{clock, signers};

const SECONDS_OF_A_DAY: i64 = 86_400;

/// Arguments of `trust share`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ShareArguments {
    /// Which operators; all that are not revoked, where none is named.
    names: Vec<String>,
    /// The key that signs the list; tell its fingerprint to those who are to take it over.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What the list is called.
    #[arg(long, value_name = "TEXT")]
    title: String,
    /// For how many days it may be taken over.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: u16,
    #[command(flatten)]
    policy: PolicyArguments,
}

pub(super) fn run(arguments: &ShareArguments) -> Result<Exit, Trouble> {
    let user = arguments.policy.open()?;
    let policy = user.existing()?;
    let mut operators = BTreeMap::new();
    for name in &arguments.names {
        if !policy.operators().contains_key(name) {
            let message = format!("{}: there is no operator {name:?}", user.path().display());
            return Err(Trouble::refusal(anyhow!(message)));
        }
    }
    for (name, operator) in policy.operators() {
        let named = arguments.names.is_empty() || arguments.names.contains(name);
        if let Some(listed) = listed(operator).filter(|_| named) {
            operators.insert(name.clone(), listed);
        }
    }
    let now = clock::now();
    let list = Declaration::Operators(OperatorList {
        name: arguments.title.clone(),
        issued_on: now,
        expires_on: now.plus_seconds(i64::from(arguments.days) * SECONDS_OF_A_DAY),
        operators,
    });
    let signer = signers::start(&KeySource::file(arguments.key.clone()))?;
    let envelope = signer.declare(&list).map_err(|error| match error {
        SignerError::Refused(_) => Trouble::refused("input", error),
        error => Trouble::fault("signer", error),
    })?;
    output::text(&String::from_utf8_lossy(&envelope))?;
    let key = signer.public();
    output::say(&format!(
        "signed by {key}\n  fingerprint {}",
        key.fingerprint()
    ));
    Ok(Exit::Good)
}

/// What of an operator may be handed on: its keys that are in use.
fn listed(operator: &Operator) -> Option<ListedOperator> {
    let now = clock::now();
    let in_use = operator
        .keys
        .iter()
        .filter(|terms| terms.revoked.is_none() && terms.until.is_none_or(|until| now < until));
    let keys: Vec<_> = in_use.map(|terms| terms.key).collect();
    let usable = operator.revoked.is_none() && !keys.is_empty();
    usable.then(|| ListedOperator {
        keys,
        rebuilder: operator.rebuilder.clone(),
        log: operator.log.clone(),
        attrs: operator.attributes.clone(),
    })
}
