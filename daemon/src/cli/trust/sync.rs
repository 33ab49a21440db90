//! `trust sync`: asks the operators of a policy who they are now.
//!
//! A key changes only along a chain of rotations that begins at a key of the policy; a log is taken
//! from an identity that such a key signed. Both are shown and asked about. Everything else is refused.

use anyhow::anyhow;
use clap::Args;
use countersign_attest::declaration::{Card, Rotation};
use countersign_attest::escape::printable;
use countersign_attest::policy::{Operator, OperatorKey, VerifierKey, software};
use countersign_attest::time::Timestamp;
use serde_json::json;

use super::consent::consent;
use super::{PolicyArguments, UserPolicy, client, edit};
use crate::cli::{Exit, Format, output};
use crate::clock;
use crate::consult::{identity, remote};
use crate::http::Http;
use crate::trouble::{Trouble, with_causes};

/// Arguments of `trust sync`.
#[derive(Debug, Args)]
pub(in crate::cli) struct SyncArguments {
    /// Which operators; all where none is named.
    names: Vec<String>,
    /// Takes changes that an operator's known key signed without asking. No other change is ever taken.
    #[arg(long)]
    yes: bool,
    /// Lets other machines be asked over http.
    #[arg(long)]
    allow_http: bool,
    #[command(flatten)]
    policy: PolicyArguments,
}

/// What came of asking one operator.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// It is who the policy says.
    Same,
    /// Its key changed, and the old one signed that.
    Rotated(Vec<Rotation>),
    /// It has a log, or another one.
    Log(Option<VerifierKey>, VerifierKey),
    /// It shows a key that nobody of the policy signed for.
    Changed(String),
    /// It could not be asked, or gives no usable answer.
    Unknown {
        /// Whether trying again may help.
        fault: bool,
        /// Why.
        problem: String,
    },
    /// There is no address, or nothing of it counts any more.
    Skipped(&'static str),
}

impl Found {
    const fn word(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Rotated(_) => "rotated",
            Self::Log(..) => "log",
            Self::Changed(_) => "changed",
            Self::Unknown { .. } => "unknown",
            Self::Skipped(_) => "skipped",
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::Same => "the same key and log as in the policy".into(),
            Self::Rotated(way) => {
                let steps = way.iter().map(|r| {
                    let (old, new) = (r.old.fingerprint(), r.new.fingerprint());
                    format!(
                        "its key changes on {}, signed by the old key:\n    {old}\n    {new}",
                        r.from
                    )
                });
                steps.collect::<Vec<_>>().join("\n  ")
            }
            Self::Log(None, new) => format!("it has a log now: {}", printable(&new.to_string())),
            Self::Log(Some(old), new) => format!(
                "it says that its log is another one:\n    {}\n    {}",
                printable(&old.to_string()),
                printable(&new.to_string())
            ),
            Self::Changed(problem) => format!("REFUSED: {problem}"),
            Self::Unknown { problem, .. } => printable(problem),
            Self::Skipped(why) => (*why).into(),
        }
    }

    const fn exit(&self) -> Exit {
        match self {
            Self::Same | Self::Rotated(_) | Self::Log(..) | Self::Skipped(_) => Exit::Good,
            Self::Changed(_) | Self::Unknown { fault: false, .. } => Exit::NotMet,
            Self::Unknown { fault: true, .. } => Exit::Fault,
        }
    }
}

pub(super) async fn run(arguments: &SyncArguments, format: Format) -> Result<Exit, Trouble> {
    let user = arguments.policy.open()?;
    let policy = user.existing()?;
    for name in &arguments.names {
        if !policy.operators().contains_key(name) {
            let message = format!("{}: there is no operator {name:?}", user.path().display());
            return Err(Trouble::refusal(anyhow!(message)));
        }
    }
    let http = client(arguments.allow_http)?;
    let mut exit = Exit::Good;
    let mut told = Vec::new();
    for (name, operator) in policy.operators() {
        if !arguments.names.is_empty() && !arguments.names.contains(name) {
            continue;
        }
        let mut taken = false;
        let mut found = Vec::new();
        for one in ask(&http, operator).await {
            output::say(&format!("{name}\n  {}", one.sentence()));
            let mut ended = one.exit();
            if matches!(one, Found::Rotated(_) | Found::Log(..)) {
                let question = format!("Take this into {}?", user.path().display());
                let otherwise = "say --yes to take what a known key signed";
                if consent(&question, arguments.yes, otherwise)? {
                    take(user.path(), name, &one)?;
                    taken = true;
                } else {
                    ended = Exit::NotMet;
                }
            }
            exit = exit.max(ended);
            found.push(one.word());
        }
        told.push(json!({"operator": name, "found": found, "taken": taken}));
    }
    if format == Format::Json {
        let path = user.path().display().to_string();
        output::json(&json!({"policy": path, "operators": told}))?;
    }
    Ok(exit)
}

async fn ask(http: &Http, operator: &Operator) -> Vec<Found> {
    if operator.revoked.is_some() {
        return vec![Found::Skipped("revoked in the policy; it is not asked")];
    }
    let runs = operator.attributes.get("software").map(String::as_str);
    if matches!(runs, Some(software::REBUILDERD | software::OSS_REBUILD)) {
        return vec![Found::Skipped(
            "it runs other software, whose changes of key nobody signs; ask its operator by another way",
        )];
    }
    let Some(address) = &operator.rebuilder else {
        return vec![Found::Skipped(
            "no address in the policy; it cannot be asked",
        )];
    };
    let base = match remote::base(address, http.allows_http()) {
        Ok(base) => base,
        Err(error) => {
            let problem = with_causes(&error);
            return vec![Found::Unknown {
                fault: false,
                problem,
            }];
        }
    };
    match identity::card(http, &base).await {
        Ok(card) => compare(operator, &card, clock::now()),
        Err(error) => vec![Found::Unknown {
            fault: error.is_fault(),
            problem: with_causes(&error),
        }],
    }
}

/// What a card says beside a policy. The order of the answer is the order in which it is taken.
fn compare(operator: &Operator, card: &Card, now: Timestamp) -> Vec<Found> {
    let shown = card.identity().key;
    let counts = |terms: &&OperatorKey| terms.revoked.is_none();
    let in_use = |terms: &&OperatorKey| terms.until.is_none_or(|until| now < until);
    let known = operator.keys.iter().find(|terms| terms.key == shown);
    let mut found = Vec::new();
    match known {
        Some(terms) if terms.revoked.is_some() => {
            return vec![Found::Changed(
                "it shows a key that the policy revokes".into(),
            )];
        }
        Some(terms) if !in_use(&terms) => {
            let problem = "it shows a key that has ended; was an older answer repeated?";
            return vec![Found::Changed(problem.into())];
        }
        Some(_) => {}
        None => {
            // a key with an end has its successor in the policy already: two would be a fork
            let open = operator
                .keys
                .iter()
                .filter(counts)
                .filter(|t| t.until.is_none());
            let mut open = open.into_iter().filter_map(|terms| terms.key.ed25519());
            let way = open.find_map(|key| card.way_from(&key));
            let Some(way) = way else {
                let problem = format!(
                    "it shows another key than the policy, and no key of the policy signed for it:\n    {}\n  \
                     ask its operator by another way; nothing was changed",
                    shown.fingerprint()
                );
                return vec![Found::Changed(problem)];
            };
            found.push(Found::Rotated(way.into_iter().cloned().collect()));
        }
    }
    if let Some(log) = &card.identity().log
        && operator.log.as_ref() != Some(log)
    {
        found.push(Found::Log(operator.log.clone(), log.clone()));
    }
    if found.is_empty() {
        found.push(Found::Same);
    }
    found
}

fn take(path: &std::path::Path, name: &str, found: &Found) -> Result<(), Trouble> {
    let user = UserPolicy::open(Some(path))?; // what was taken before is in it
    match found {
        Found::Rotated(way) => {
            let mut text = user.text().to_owned();
            for step in way {
                text = edit::rotate(&text, &step.old, &step.new, step.from)
                    .map_err(Trouble::refusal)?;
            }
            user.write(&text, |meaning| {
                let Some(operator) = meaning.operators.get_mut(name) else {
                    return;
                };
                for step in way {
                    for terms in &mut operator.keys {
                        if terms.key == step.old {
                            terms.until = Some(step.from);
                        }
                    }
                    let at = operator.keys.iter().position(|terms| terms.key == step.old);
                    let next = OperatorKey {
                        key: step.new.into(),
                        from: Some(step.from),
                        until: None,
                        revoked: None,
                    };
                    operator.keys.insert(at.map_or(0, |at| at + 1), next);
                }
            })
        }
        Found::Log(old, new) => {
            let text = edit::log(user.text(), name, old.as_ref(), new).map_err(Trouble::refusal)?;
            user.write(&text, |meaning| {
                if let Some(operator) = meaning.operators.get_mut(name) {
                    operator.log = Some(new.clone());
                }
            })
        }
        Found::Same | Found::Changed(_) | Found::Unknown { .. } | Found::Skipped(_) => Ok(()),
    }
}
