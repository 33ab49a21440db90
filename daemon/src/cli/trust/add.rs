//! `trust add`: an operator that says who it is, or operators of a signed list.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use countersign_attest::declaration::Identity;
use countersign_attest::escape::printable;
use countersign_attest::key::AnyPublicKey;
use countersign_attest::policy::Policy;
use serde_json::json;
use url::Url;

use super::consent::{Pin, consent};
use super::edit::{self, Entry};
use super::{PolicyArguments, UserPolicy, client, list, others};
use crate::cli::{Exit, Format, output};
use crate::consult::identity::{self, IdentityError};
use crate::consult::remote;
use crate::trouble::{Trouble, with_causes};

/// Arguments of `trust add`.
#[derive(Debug, Args)]
pub(in crate::cli) struct AddArguments {
    /// The address of the operator's service.
    #[arg(value_name = "URL", required_unless_present_any = ["list", "public"])]
    pub(super) address: Option<String>,
    /// A signed list of operators instead, a file or its address. Give the key of its maker with --key.
    #[arg(long, value_name = "FILE|URL", conflicts_with_all = ["address", "name"], requires = "key")]
    list: Option<String>,
    /// Of a list, only this operator; may be given several times.
    #[arg(long, value_name = "NAME", requires = "list")]
    only: Vec<String>,
    /// The operator runs other software, whose evidence says less than ours: rebuilderd is asked for its
    /// keys, which nobody signed; OSS Rebuild has no address to ask, so that its key is given with --public.
    #[arg(
        long = "software",
        value_name = "SOFTWARE",
        value_enum,
        conflicts_with = "list"
    )]
    other: Option<others::Software>,
    /// With --software, the operator's public key itself, for whom cannot be asked.
    #[arg(long, value_name = "FILE|KEY", requires = "other", requires = "name")]
    pub(super) public: Option<PathBuf>,
    /// What you call the operator; by default the host of its address.
    #[arg(long)]
    pub(super) name: Option<String>,
    /// The key, or its fingerprint, as you were told it by another way. Another key is refused.
    #[arg(long, value_name = "FINGERPRINT|KEY")]
    pub(super) key: Option<Pin>,
    /// Does not ask. For scripts; the key must be named.
    #[arg(long, requires = "key")]
    yes: bool,
    /// Has the default rule ask for so many operators from now on.
    #[arg(long, value_name = "K")]
    require: Option<usize>,
    /// Names the operator in no rule; you write it into the rules that are to ask it.
    #[arg(long, conflicts_with = "require")]
    no_rule: bool,
    /// Lets other machines be asked over http, where everybody on the way can answer in their place.
    #[arg(long)]
    pub(super) allow_http: bool,
    #[command(flatten)]
    policy: PolicyArguments,
}

pub(super) async fn run(arguments: &AddArguments, format: Format) -> Result<Exit, Trouble> {
    let user = arguments.policy.open()?;
    let entries = match (&arguments.list, &arguments.address) {
        (Some(place), _) => {
            let key = match &arguments.key {
                Some(Pin::Key(key)) => key.ed25519(),
                Some(Pin::Fingerprint(_)) | None => None,
            };
            let Some(key) = key else {
                let message = "a list is checked with the whole key of its maker: --key ed25519:…";
                return Err(Trouble::refused("usage", anyhow!(message)));
            };
            match list::read(place, &key, &arguments.only, arguments.allow_http).await? {
                Ok(entries) => entries,
                Err(problem) => return Ok(refuse(&problem)),
            }
        }
        (None, address) => {
            let found = match (&arguments.other, address) {
                (Some(software), _) => others::entry(arguments, *software).await?,
                (None, Some(address)) => asked(arguments, address).await?,
                (None, None) => return Ok(Exit::Good), // clap has refused this
            };
            match found {
                Ok(entry) => vec![entry],
                Err(exit) => return Ok(exit),
            }
        }
    };
    take(&user, arguments, &entries, format)
}

/// Says why a key or a list is not taken. Nothing was changed.
pub(super) fn refuse(problem: &str) -> Exit {
    output::say(&format!(
        "countersign: {}; nothing was changed",
        printable(problem)
    ));
    Exit::NotMet
}

/// Asks a service who it is and shows it.
async fn asked(arguments: &AddArguments, address: &str) -> Result<Result<Entry, Exit>, Trouble> {
    let base = remote::base(address, arguments.allow_http)
        .map_err(|error| Trouble::refusal(anyhow!(error).context(address.to_owned())))?;
    let http = client(arguments.allow_http)?;
    let card = match identity::card(&http, &base).await {
        Ok(card) => card,
        Err(error) => return Ok(Err(unanswered(&base, &error))),
    };
    let found = card.identity();
    show(&base, found);
    if let Some(pin) = &arguments.key
        && !pin.is(&found.key.into())
    {
        let problem = "this is not the key that --key names";
        return Ok(Err(refuse(problem)));
    }
    Ok(Ok(Entry {
        name: arguments.name.clone().unwrap_or_else(|| name_of(&base)),
        keys: vec![found.key.into()],
        rebuilder: Some(base.to_string()),
        log: found.log.clone(),
        attrs: BTreeMap::new(),
    }))
}

/// Says that a service did not say who it is.
fn unanswered(base: &Url, error: &IdentityError) -> Exit {
    refuse(&format!("{base}: {}", with_causes(error)));
    if error.is_fault() {
        Exit::Fault
    } else {
        Exit::NotMet
    }
}

fn show(base: &Url, identity: &Identity) {
    let log = identity.log.as_ref().map_or_else(
        || "none: what it says to you cannot be compared with what it says to others".to_owned(),
        |log| {
            format!(
                "{log}\n             fingerprint {}",
                log.key().fingerprint()
            )
        },
    );
    let address = match &identity.address {
        Some(_) => "as it says itself",
        None => "it does not say its own",
    };
    let log: Vec<String> = log.lines().map(printable).collect();
    output::say(&format!(
        "{base} says of itself\n  operator   {}, the name in its statements\n  address    {base} ({address})\n  \
         key        {}\n             fingerprint {}\n  log        {}\n\
         Compare the fingerprint with what the operator says elsewhere; this came from its server alone.",
        printable(&identity.rebuilder),
        identity.key,
        identity.key.fingerprint(),
        log.join("\n"),
    ));
}

/// A name for an operator: the host, with the port where it is not the usual one.
pub(super) fn name_of(base: &Url) -> String {
    let host = base.host_str().unwrap_or_default();
    let name = base
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}-{port}"));
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    name.chars().map(plain).collect()
}

/// What a policy says already about an operator that is to be added.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    /// Nothing.
    No,
    /// The same keys under the same name.
    Same,
    /// Something else, which is never replaced here.
    Conflict(String),
}

fn known(policy: Option<&Policy>, entry: &Entry) -> Known {
    let Some(policy) = policy else {
        return Known::No;
    };
    for key in &entry.keys {
        if let Some((owner, _, _)) = policy.owner(key)
            && owner != entry.name
        {
            let problem = format!("the key of {} is in the policy as {owner}'s", entry.name);
            return Known::Conflict(problem);
        }
    }
    if let Some(operator) = policy.operators().get(&entry.name) {
        let has = |key: &AnyPublicKey| operator.keys.iter().any(|terms| terms.key == *key);
        if entry.keys.iter().all(has) {
            return Known::Same;
        }
        let problem = format!(
            "the policy knows {} with another key; if its key changed, countersign trust sync follows a signed \
             change; if it is somebody else, say --name",
            entry.name
        );
        return Known::Conflict(problem);
    }
    let same_address = |other: &&String| {
        let other = policy
            .operators()
            .get(*other)
            .and_then(|o| o.rebuilder.as_deref());
        let same = |text: &str| entry.rebuilder.as_deref() == Some(text);
        other.is_some_and(|other| same(other) || same(&format!("{other}/")))
    };
    match policy.operators().keys().find(same_address) {
        Some(other) => Known::Conflict(format!(
            "the policy knows the operator at this address as {other}, with another key; countersign trust sync \
             follows a signed change"
        )),
        None => Known::No,
    }
}

/// Asks, and takes operators into the policy, all of them or none.
fn take(
    user: &UserPolicy,
    arguments: &AddArguments,
    entries: &[Entry],
    format: Format,
) -> Result<Exit, Trouble> {
    let mut new = Vec::new();
    for entry in entries {
        match known(user.policy(), entry) {
            Known::No => new.push(entry),
            Known::Same => {}
            Known::Conflict(problem) => return Ok(refuse(&problem)),
        }
    }
    if new.is_empty() && arguments.require.is_none() {
        output::say("nothing to do: already in the policy");
        return tell(user, &[], format);
    }
    let names: Vec<&str> = new.iter().map(|entry| entry.name.as_str()).collect();
    let question = format!("Trust {} in {}?", names.join(", "), user.path().display());
    let otherwise = "say --yes and --key FINGERPRINT, which you were told by another way";
    if !consent(&question, arguments.yes, otherwise)? {
        output::say("nothing was changed");
        return Ok(Exit::NotMet);
    }
    write(user, arguments, &new)?;
    tell(user, &names, format)
}

fn write(user: &UserPolicy, arguments: &AddArguments, new: &[&Entry]) -> Result<(), Trouble> {
    let mut text = user.text().to_owned();
    let mut rest = new;
    if user.policy().is_none()
        && let Some((first, others)) = new.split_first()
    {
        text = edit::fresh(first);
        user.begin(&text)?;
        rest = others;
    }
    if rest.is_empty() && arguments.require.is_none() {
        return Ok(());
    }
    // a policy that was just begun is changed like any other
    let user = UserPolicy::open(Some(user.path()))?;
    for entry in rest {
        text = edit::add(&text, entry).map_err(Trouble::refusal)?;
        if !arguments.no_rule {
            text = edit::ask(&text, &entry.name).map_err(Trouble::refusal)?;
        }
    }
    if let Some(k) = arguments.require {
        text = edit::require(&text, k).map_err(Trouble::refusal)?;
    }
    user.write(&text, |meaning| {
        let added = rest
            .iter()
            .map(|entry| (entry.name.clone(), entry.operator()));
        meaning.operators.extend(added);
        let Some(default) = meaning.rules.last_mut() else {
            return; // every policy has a default
        };
        if !arguments.no_rule {
            default
                .of
                .extend(rest.iter().map(|entry| entry.name.clone()));
        }
        default.k = arguments.require.unwrap_or(default.k);
    })
}

/// Says what the policy asks for now.
fn tell(user: &UserPolicy, names: &[&str], format: Format) -> Result<Exit, Trouble> {
    let user = UserPolicy::open(Some(user.path()))?;
    let policy = user.existing()?;
    let rule = policy.rule(None);
    let path = user.path().display().to_string();
    match format {
        Format::Json => output::json(&json!({
            "policy": path,
            "added": names,
            "default": {"k": rule.k, "of": rule.of},
        }))?,
        Format::Text => {
            let of: Vec<&str> = rule.of.iter().map(String::as_str).collect();
            let (k, of) = (rule.k, of.join(", "));
            output::say(&format!("{path} now asks for {k} of {of}"));
            if rule.k == 1 {
                output::say(
                    "one operator alone should not be believed: trust others, with --require 2",
                );
            }
        }
    }
    Ok(Exit::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_a_policy_takes() {
        for (address, expect) in [
            ("https://alice.example/", "alice.example"),
            ("https://alice.example:8443/x/", "alice.example-8443"),
            ("http://[::1]:8470/", "---1--8470"),
            ("https://bücher.example/", "xn--bcher-kva.example"),
        ] {
            let name = name_of(&Url::parse(address).unwrap());
            assert_eq!(name, expect);
            assert!(countersign_attest::policy::is_operator_name(&name));
        }
    }
}
