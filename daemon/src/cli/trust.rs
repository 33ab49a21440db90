//! `countersign trust add|list|remove|sync|share`: whom a user believes, kept in the user's policy.
//!
//! Nobody is trusted silently: what a service says of itself is shown with fingerprints, and a person, or
//! a script that names the key, says yes. A list of operators is taken over when its user asks for it
//! and never because another list or service names it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use countersign_attest::escape::printable;
use countersign_attest::key::AnyPublicKey;
use countersign_attest::policy::Operator;
use serde_json::{Value, json};

use super::{Exit, Format, output};
use crate::clock;
use crate::http::{Http, HttpOptions};
use crate::trouble::Trouble;

mod add;
mod consent;
mod edit;
mod list;
mod others;
mod share;
mod sync;
mod user_policy;

use user_policy::UserPolicy;
pub(super) use user_policy::{needed_policy, own_policy};

/// Subcommands of `trust`.
#[derive(Debug, Subcommand)]
pub(super) enum TrustCommand {
    /// Shows who an operator says that it is, asks you, and takes it into your policy.
    Add(add::AddArguments),
    /// Lists the operators of your policy.
    List(PolicyArguments),
    /// Takes an operator out of your policy and of every rule in it.
    Remove {
        /// Its name in the policy.
        name: String,
        #[command(flatten)]
        policy: PolicyArguments,
    },
    /// Asks each operator who it is now. A new key counts only where the old one signed that it follows.
    Sync(sync::SyncArguments),
    /// Writes a signed list of operators of your policy, for others to take over.
    Share(share::ShareArguments),
}

/// Which policy.
#[derive(Debug, Args)]
pub(super) struct PolicyArguments {
    /// The policy; by default yours, which `verify` uses too.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl PolicyArguments {
    fn open(&self) -> Result<UserPolicy, Trouble> {
        UserPolicy::open(self.policy.as_deref())
    }
}

pub(super) async fn run(command: TrustCommand, format: Format) -> Result<Exit, Trouble> {
    match command {
        TrustCommand::Add(arguments) => add::run(&arguments, format).await,
        TrustCommand::List(policy) => list(&policy.open()?, format),
        TrustCommand::Remove { name, policy } => remove(policy.open()?, &name, format),
        TrustCommand::Sync(arguments) => sync::run(&arguments, format).await,
        TrustCommand::Share(arguments) => share::run(&arguments),
    }
}

/// A client for strangers' identities: short documents, short patience.
fn client(allow_http: bool) -> Result<Http, Trouble> {
    Http::new(HttpOptions {
        connect_timeout: Duration::from_secs(10),
        read_timeout: Duration::from_secs(20),
        total_timeout: Duration::from_secs(60),
        allow_http,
    })
    .map_err(|error| Trouble::fault("http", error))
}

fn list(user: &UserPolicy, format: Format) -> Result<Exit, Trouble> {
    let policy = user.existing()?;
    match format {
        Format::Json => {
            let operators = policy.operators().iter();
            let operators: Vec<Value> = operators
                .map(|(name, operator)| {
                    let asked = policy.rules().into_iter().filter(|r| r.of.contains(name));
                    let asked: Vec<String> = asked.map(|rule| rule.scope.to_string()).collect();
                    value(name, operator, &asked)
                })
                .collect();
            let path = user.path().display().to_string();
            output::json(&json!({"policy": path, "operators": operators}))?;
        }
        Format::Text => {
            let mut text = format!("{}\n", user.path().display());
            for (name, operator) in policy.operators() {
                let rules = policy.rules();
                let asked = rules.iter().filter(|rule| rule.of.contains(name));
                let asked: Vec<String> = asked
                    .map(|rule| format!("{} ({} of {})", rule.scope, rule.k, rule.of.len()))
                    .collect();
                text.push_str(&words(name, operator, &asked.join(", ")));
            }
            output::text(&text)?;
        }
    }
    Ok(Exit::Good)
}

fn words(name: &str, operator: &Operator, asked: &str) -> String {
    let mut text = format!("{}\n", printable(name));
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<9} {}", printable(value)); // to a String
    };
    for terms in &operator.keys {
        let end = terms.until.map(|until| format!(" until {until}"));
        let revoked = terms
            .revoked
            .as_ref()
            .map(|r| format!(" revoked: {}", r.reason));
        let [end, revoked] = [end, revoked].map(Option::unwrap_or_default);
        let kind = match terms.key {
            AnyPublicKey::Ed25519(_) => "",
            AnyPublicKey::EcdsaP256(_) => " (ECDSA P-256)",
        };
        field(
            "key",
            &format!("{}{kind}{end}{revoked}", terms.key.fingerprint()),
        );
    }
    field(
        "log",
        &operator
            .log
            .as_ref()
            .map_or_else(|| "none".into(), ToString::to_string),
    );
    field("address", operator.rebuilder.as_deref().unwrap_or("none"));
    if let Some(software) = operator.attributes.get("software") {
        field("software", software);
    }
    if let Some(revoked) = &operator.revoked {
        field("revoked", &revoked.reason);
    }
    field(
        "asked",
        if asked.is_empty() {
            "by no rule"
        } else {
            asked
        },
    );
    text
}

fn value(name: &str, operator: &Operator, asked: &[String]) -> Value {
    let now = clock::now();
    let keys = operator.keys.iter().map(|terms| {
        json!({
            "key": terms.key,
            "fingerprint": terms.key.key_id(),
            "from": terms.from,
            "until": terms.until,
            "current": terms.revoked.is_none() && terms.until.is_none_or(|until| now < until),
        })
    });
    json!({
        "name": name,
        "keys": keys.collect::<Vec<_>>(),
        "log": operator.log,
        "rebuilder": operator.rebuilder,
        "software": operator.attributes.get("software"),
        "revoked": operator.revoked.as_ref().map(|revoked| &revoked.reason),
        "rules": asked,
    })
}

fn remove(user: UserPolicy, name: &str, format: Format) -> Result<Exit, Trouble> {
    let policy = user.existing()?;
    if !policy.operators().contains_key(name) {
        let message = format!("{}: there is no operator {name:?}", user.path().display());
        return Err(Trouble::refusal(anyhow::anyhow!(message)));
    }
    let text = edit::remove(user.text(), name).map_err(Trouble::refusal)?;
    user.write(&text, |meaning| {
        meaning.operators.remove(name);
        for rule in &mut meaning.rules {
            rule.of.remove(name);
        }
    })?;
    match format {
        Format::Json => output::json(&json!({"removed": name}))?,
        Format::Text => output::say(&format!("{name} is trusted no more")),
    }
    Ok(Exit::Good)
}
