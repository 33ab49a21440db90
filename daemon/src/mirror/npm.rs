//! The registry of npm packages.
//!
//! A package's document is as of the moment; a tarball is served whenever its version came: a build
//! names one exactly because a lock file of its source does, and what a source names was there.

use super::fault::MirrorError;
use super::registry::{Asked, Registry, Shown};
use super::request::{NotARequest, What, decoded, is_version, without_build};
use super::session::{Body, Document as _};
use super::upstream::{Expected, Registries};
use crate::http::HttpError;
use crate::publish::endpoints::{KEY_NPM, SlashUrl};

mod document;

use document::{Known, Package};

/// What the mirror knows of it.
pub(super) const REGISTRY: Registry = Registry {
    kind: "npm",
    client: "npm",
    key: KEY_NPM,
    path,
    exists,
    version_key: without_build,
    shown: |what, _| match what {
        What::Config | What::Index(_) => Shown::as_is("application/json"),
        What::File(..) => Shown::as_is("application/octet-stream"),
    },
    answer: |asked| Box::pin(answer(asked)),
};

/// Longest name of a package, with its scope.
const PACKAGE_BYTES: usize = 214;

/// A name has its scope: `@scope/name`, or with the slash encoded.
fn path(parts: &[&str]) -> Result<Option<What>, NotARequest> {
    Ok(match *parts {
        [ref name @ .., "-", file] => tarball(decoded(&name.join("/"))?, &decoded(file)?),
        ref name => Some(What::Index(decoded(&name.join("/"))?)),
    })
}

/// The name of a tarball's file is the package's without its scope, a hyphen and the version.
fn tarball(name: String, file: &str) -> Option<What> {
    let base = name.rsplit('/').next().unwrap_or(&name);
    let version = file.strip_prefix(base)?.strip_prefix('-')?;
    let version = version.strip_suffix(".tgz")?.to_owned();
    Some(What::File(name, version))
}

fn exists(what: &What) -> bool {
    match what {
        What::Config => false,
        What::Index(name) => is_package(name),
        What::File(name, version) => is_package(name) && is_version(version),
    }
}

/// Whether a name is one of an npm package. Old packages may have capitals.
fn is_package(name: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c))
    };
    name.len() <= PACKAGE_BYTES
        && match name.strip_prefix('@') {
            Some(scoped) => scoped
                .split_once('/')
                .is_some_and(|(scope, name)| part(scope) && part(name)),
            None => part(name) && name != "-",
        }
}

async fn answer(asked: Asked<'_>) -> Result<Body, MirrorError> {
    match asked.request.what() {
        What::Config => Ok(None),
        What::Index(name) => index(asked, name).await,
        What::File(name, version) => file(asked, name, version).await,
    }
}

async fn index(asked: Asked<'_>, name: &str) -> Result<Body, MirrorError> {
    let Some(package) = asked.session.document::<Package>(asked, name).await? else {
        return Ok(None);
    };
    let Some(bytes) = package.to_served(asked.registries.as_of) else {
        return Ok(None); // at that moment there was no such package
    };
    if !package.is_dated() {
        asked.session.is_undated(asked.request);
    }
    asked.session.cache.keep(bytes).await.map(Some)
}

/// Nothing about a version's tarball changes: what was found once stands for later runs.
async fn file(asked: Asked<'_>, name: &str, version: &str) -> Result<Body, MirrorError> {
    let (session, registries) = (asked.session, asked.registries);
    let endpoint = registries.endpoint(asked.request)?;
    let key = session.cache.key(registries, asked.request, endpoint);
    if let Some(kept) = session.cache.named(&key).await? {
        return Ok(Some(kept));
    }
    let Some(known) = known(asked, endpoint, name, version).await? else {
        return Ok(None);
    };
    let expected = Expected::Sha512(known.sha512);
    let Some(kept) = session.file(asked, &known.url()?, expected).await? else {
        return Ok(None);
    };
    session.cache.remember(registries, &key, kept).await?;
    Ok(Some(kept))
}

fn is_tested(registries: &Registries, name: &str, version: &str) -> bool {
    registries.under_test.has_version(&REGISTRY, name, version)
}

/// What the registry says of one version: in the package's document where that is at hand, else in a
/// document of that version alone, which is a hundredth of it.
async fn known(
    asked: Asked<'_>,
    endpoint: &SlashUrl,
    name: &str,
    version: &str,
) -> Result<Option<Known>, MirrorError> {
    let (session, registries) = (asked.session, asked.registries);
    if is_tested(registries, name, version) {
        return Ok(None);
    }
    if session.made::<Package>(name).is_none() {
        let url = Known::address(endpoint, name, version);
        let limit = session.document_limit();
        match registries
            .document(&url, limit, Some(Package::ACCEPT))
            .await
        {
            Ok(Some(bytes)) => return Known::read(name, version, &bytes),
            // not every registry has such documents
            Ok(None) => {}
            Err(MirrorError::Http(HttpError::Status { status, .. }))
                if status.is_client_error() => {}
            Err(error) => return Err(error),
        }
    }
    let package = session.document::<Package>(asked, name).await?;
    Ok(package.and_then(|package| package.version(version).cloned()))
}
