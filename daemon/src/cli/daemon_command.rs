//! `countersign daemon [--once]`.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use tracing::info;

use super::Exit;
use crate::config::Config;
use crate::config::keys::RetiredKey;
use crate::http::{Http, HttpOptions};
use crate::keys::{self, Passphrase};
use crate::pipeline::issue::store_fault;
use crate::publish::front::Front;
use crate::publish::{Endpoints, PublishedSource};
use crate::service::Service;
use crate::signers::Signers;
use crate::store::Store;
use crate::trouble::Trouble;
use crate::web::{About, Retired};
use crate::workshop::Workshop;
use crate::{api, identity};

/// Arguments of `daemon`.
#[derive(Debug, Args)]
pub(super) struct DaemonArguments {
    /// Asks every repository once, rebuilds what is due, and exits: 0 when every due release has a
    /// recorded verdict, whatever it is.
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(config: Config, arguments: &DaemonArguments) -> Result<Exit, Trouble> {
    start_logging();
    let config = Arc::new(config);
    // the lock comes first: two daemons must not even start a signer on one folder
    let store = Store::open(&config.data).await.map_err(store_fault)?;
    let signers = Arc::new(Signers::of(&config)?);
    let http = Http::new(HttpOptions {
        allow_http: config.rules.allow_http,
        ..HttpOptions::default()
    })
    .map_err(|e| Trouble::fault("http", e))?;
    let workshop = Arc::new(
        Workshop::open(
            &config.data,
            http,
            registries(&config, &store).await?,
            &config.limits,
            &config.toolchains,
            None,
            Box::new(|_| {}),
        )?
        .with_roots(&config.roots)?,
    );
    let retired = retired(&config, &signers)?;
    let rebuilder = identity::rebuilder(&config.rebuilder.id, signers.isolation());
    let service = Service::new(
        Arc::clone(&config),
        store.clone(),
        workshop,
        Arc::clone(&signers),
        rebuilder,
    );
    let server = match config.listen.filter(|_| !arguments.once) {
        Some(address) => {
            let listener = tokio::net::TcpListener::bind(address)
                .await
                .with_context(|| format!("listening on {address} (the key `listen`)"))
                .map_err(|error| Trouble::refused("listen", error))?;
            // with port 0 the system chose
            let address = listener.local_addr().unwrap_or(address);
            info!(%address, "serving the API and the pages");
            let about = About {
                rebuilder_id: config.rebuilder.id.clone(),
                key: signers.public().into(),
                local_key: signers.local_public().map(Into::into),
                address: config.rebuilder.address.clone(),
                card: identity::card(&config, &signers).await?,
                retired: retired.clone(),
            };
            Some(tokio::spawn(api::serve(
                listener,
                Arc::new(store.clone()),
                about,
                Arc::new(service.candidates()),
            )))
        }
        None => None,
    };
    let summary = service.run(arguments.once).await;
    if let Some(server) = server {
        server.abort();
    }
    let summary = summary?;
    if !arguments.once {
        return Ok(Exit::Good);
    }
    info!(
        faulted = summary.faulted,
        refused = summary.refused,
        failed_polls = summary.failed_polls,
        "done"
    );
    if summary.faulted + summary.failed_polls > 0 {
        return Ok(Exit::Fault);
    }
    if summary.refused > 0 {
        let message = format!(
            "{} {} refused and have no verdict; `countersign status` says why",
            summary.refused,
            if summary.refused == 1 {
                "release was"
            } else {
                "releases were"
            }
        );
        return Err(Trouble::refused(
            "releases-refused",
            anyhow::anyhow!(message),
        ));
    }
    Ok(Exit::Good)
}

/// The public halves of keys that do not sign any more.
fn retired(config: &Config, signers: &Signers) -> Result<Vec<Retired>, Trouble> {
    let read = |key: &RetiredKey| {
        let public = keys::show(&key.public, &Passphrase::Terminal);
        let public = public.map_err(keys::KeyFileError::into_trouble)?;
        if public == signers.public() {
            let message = format!("{} signs; it is not retired", key.public.display());
            return Err(Trouble::refused("key", anyhow::anyhow!(message)));
        }
        Ok(Retired {
            key: public.into(),
            from: key.from,
            until: key.until,
        })
    };
    config.keys.retired.iter().map(read).collect()
}

/// The configured registries; a client is asked for its own once, and the answer is remembered.
async fn registries(config: &Config, store: &Store) -> Result<Endpoints, Trouble> {
    let mut endpoints = config.registries.clone();
    let published = config.repositories.iter().flat_map(|r| &r.published);
    for front in published.filter_map(PublishedSource::front) {
        if endpoints.text(front.kind).is_none() {
            remember(&mut endpoints, front, store).await?;
        }
    }
    Ok(endpoints)
}

/// Takes the endpoint that was found before, else what the client says now.
async fn remember(
    endpoints: &mut Endpoints,
    front: &'static Front,
    store: &Store,
) -> Result<(), Trouble> {
    let setting = format!("registry.{}", front.kind);
    let known = store.setting(&setting).await.map_err(store_fault)?;
    if known.is_some_and(|text| endpoints.set(front, &text).is_ok()) {
        return Ok(());
    }
    let unknown = |error| Trouble::fault("registry-unknown", error);
    let found = front.discover().await.map_err(unknown)?;
    info!(setting, registry = %found, "a client says that this is its registry");
    endpoints.set(front, &found).map_err(unknown)?;
    store
        .set_setting(&setting, &found)
        .await
        .map_err(store_fault)
}

/// Logs go to standard error; `RUST_LOG` chooses what.
fn start_logging() {
    use std::io::IsTerminal as _;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
