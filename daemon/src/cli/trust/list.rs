//! A signed list of operators, read because its user asked for it. It can name no other list.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use countersign_attest::declaration::{self, ListedOperator, OperatorList};
use countersign_attest::dsse::Limits;
use countersign_attest::escape::printable;
use countersign_attest::json;
use countersign_attest::key::PublicKey;
use countersign_verify::files;
use url::Url;

use super::client;
use super::edit::Entry;
use crate::cli::output;
use crate::clock;
use crate::consult::remote;
use crate::http::Ask;
use crate::trouble::{Trouble, with_causes};

/// Longest list in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Reads a list, checks it with its maker's key and shows it. The inner error says why it is not taken.
pub(super) async fn read(
    place: &str,
    key: &PublicKey,
    only: &[String],
    allow_http: bool,
) -> Result<Result<Vec<Entry>, String>, Trouble> {
    let bytes = bytes(place, allow_http).await?;
    let limits = Limits {
        json: json::Limits {
            bytes: bytes.len(),
            depth: 8,
        },
        ..Limits::default()
    };
    let opened = match declaration::open::<OperatorList>(&bytes, &[*key], 1, &limits) {
        Ok(opened) => opened,
        Err(error) => {
            return Ok(Err(format!(
                "the list is not taken: {}",
                with_causes(&error)
            )));
        }
    };
    let list = opened.value();
    if clock::now() >= list.expires_on {
        return Ok(Err(format!("the list expired on {}", list.expires_on)));
    }
    let (name, made) = (printable(&list.name), list.issued_on);
    output::say(&format!("{name}, made on {made} by {}", key.fingerprint()));
    if let Some(unknown) = only.iter().find(|name| !list.operators.contains_key(*name)) {
        return Ok(Err(format!("the list has no operator {unknown:?}")));
    }
    let chosen = list.operators.iter();
    let chosen = chosen.filter(|(name, _)| only.is_empty() || only.contains(*name));
    let mut entries = Vec::new();
    for (name, operator) in chosen {
        show(name, operator);
        entries.push(Entry {
            name: name.clone(),
            keys: operator.keys.clone(),
            rebuilder: operator.rebuilder.clone(),
            log: operator.log.clone(),
            attrs: operator.attrs.clone(),
        });
    }
    Ok(Ok(entries))
}

fn show(name: &str, operator: &ListedOperator) {
    let address = operator.rebuilder.as_deref().unwrap_or("no address");
    output::say(&format!("  {} at {}", printable(name), printable(address)));
    for key in &operator.keys {
        output::say(&format!("    key {}", key.fingerprint()));
    }
    if let Some(log) = &operator.log {
        output::say(&format!("    log {}", printable(&log.to_string())));
    }
}

async fn bytes(place: &str, allow_http: bool) -> Result<Vec<u8>, Trouble> {
    if !place.contains("://") {
        return files::bounded(Path::new(place), MAX_BYTES).map_err(Trouble::refusal);
    }
    let url = Url::parse(place)
        .with_context(|| format!("--list {place}"))
        .map_err(Trouble::refusal)?;
    // the same schemes as for a service
    let mut base = url.clone();
    base.set_path("/");
    base.set_query(None);
    remote::base(base.as_str(), allow_http)
        .map_err(|error| Trouble::refusal(anyhow!(error).context(format!("--list {url}"))))?;
    let ask = Ask {
        limit_bytes: MAX_BYTES,
        allowed_hosts: &[],
        accept: None,
    };
    let read = client(allow_http)?.read(&url, &ask).await;
    read.map_err(|error| Trouble::fault("list", anyhow!(error).context("reading the list")))
}
