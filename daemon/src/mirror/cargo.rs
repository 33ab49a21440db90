//! Cargo's registry: the sparse index as of the moment, and the crates that it names.

use super::fault::MirrorError;
use super::registry::{Asked, Registry, Shown};
use super::request::{NotARequest, Request, What, decoded, is_version, without_build};
use super::session::Body;
use super::upstream::Expected;
use crate::publish::endpoints::KEY_CARGO;

mod index;

/// What the mirror knows of it.
pub(super) const REGISTRY: Registry = Registry {
    kind: "cargo",
    client: "cargo",
    key: KEY_CARGO,
    path,
    exists,
    version_key: without_build,
    shown: |what, _| match what {
        What::Config => Shown::as_is("application/json"),
        What::Index(_) => Shown::as_is("text/plain"),
        What::File(..) => Shown::as_is("application/octet-stream"),
    },
    answer: |asked| Box::pin(answer(asked)),
};

/// Longest name of a crate, as registries have it.
const CRATE_BYTES: usize = 64;

fn path(parts: &[&str]) -> Result<Option<What>, NotARequest> {
    Ok(match *parts {
        ["index", "config.json"] => Some(What::Config),
        ["index", ref shelf @ .., name] if shelf.join("/") == index::shelf(name) => {
            Some(What::Index(name.to_owned()))
        }
        ["dl", name, version, "download"] => Some(What::File(name.to_owned(), decoded(version)?)),
        _ => None,
    })
}

/// The name is in lower case in the index's paths, and in its publisher's case in those of crates.
fn exists(what: &What) -> bool {
    match what {
        What::Config => true,
        What::Index(name) => is_crate(name) && !name.contains(|c: char| c.is_ascii_uppercase()),
        What::File(name, version) => is_crate(name) && is_version(version),
    }
}

fn is_crate(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=CRATE_BYTES).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(fine)
}

async fn answer(asked: Asked<'_>) -> Result<Body, MirrorError> {
    match asked.request.what() {
        What::Config => {
            asked.registries.endpoint(asked.request)?; // a registry that nobody knows has no configuration
            asked.session.cache.keep(index::config()).await.map(Some)
        }
        What::Index(name) => lines(asked, name).await,
        What::File(name, version) => file(asked, name, version).await,
    }
}

async fn lines(asked: Asked<'_>, name: &str) -> Result<Body, MirrorError> {
    let (session, registries) = (asked.session, asked.registries);
    let endpoint = registries.endpoint(asked.request)?;
    let key = session.cache.key(registries, asked.request, endpoint);
    if let Some(kept) = session.cache.named(&key).await? {
        return Ok(Some(kept));
    }
    let url = index::url(endpoint, name);
    let limit = session.document_limit();
    let Some(bytes) = registries.document(&url, limit, None).await? else {
        return Ok(None);
    };
    let filtered = index::filtered(name, &bytes, registries.as_of, &registries.under_test)?;
    if filtered.is_empty() {
        return Ok(None); // at that moment there was no such crate
    }
    let kept = session.cache.keep(filtered).await?;
    session.cache.remember(registries, &key, kept).await?;
    Ok(Some(kept))
}

async fn file(asked: Asked<'_>, name: &str, version: &str) -> Result<Body, MirrorError> {
    let session = asked.session;
    let index = What::Index(name.to_ascii_lowercase());
    let Ok(index) = Request::new(asked.request.registry(), index) else {
        return Ok(None);
    };
    // boxed: an answer asks for an answer
    let found = Box::pin(session.answer(&index)).await;
    let Some(kept) = found.map_err(MirrorError::Same)? else {
        return Ok(None);
    };
    let lines = session.cache.bytes(kept).await?;
    let Some(sha256) = index::find(name, version, &lines)? else {
        return Ok(None);
    };
    if let Some(kept) = session.cache.stored(sha256).await? {
        return Ok(Some(kept)); // verified when it came
    }
    let template = session.once(String::new(), template(asked)).await?;
    let template = template.as_deref().map_or("", |Template(text)| text);
    let url = index::download_url(template, name, version, &sha256)?;
    session.file(asked, &url, Expected::Sha256(sha256)).await
}

/// Where the registry has its downloads, with markers.
struct Template(String);

async fn template(asked: Asked<'_>) -> Result<Option<Template>, MirrorError> {
    let url = asked
        .registries
        .endpoint(asked.request)?
        .join("config.json");
    let limit = asked.session.document_limit();
    let config = asked.registries.document(&url, limit, None).await?;
    let config = config
        .ok_or_else(|| MirrorError::Registry("the cargo registry has no config.json".into()))?;
    index::download_template(&config).map(|text| Some(Template(text)))
}
