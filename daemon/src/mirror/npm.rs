//! The registry of npm packages.
//!
//! A package's document is as of the moment; a tarball is served whenever its version came: a build
//! names one exactly because a lock file of its source does, and what a source names was there.

use super::fault::MirrorError;
use super::registry::{Asked, Registry, Shown};
use super::request::{NotARequest, What, decoded, is_version, without_build};
use super::session::Body;
use super::upstream::Expected;
use crate::publish::endpoints::KEY_NPM;

mod document;

use document::Package;

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
    let (What::Index(name) | What::File(name, _)) = asked.request.what() else {
        return Ok(None);
    };
    let Some(package) = asked.session.document::<Package>(asked, name).await? else {
        return Ok(None);
    };
    if let What::File(_, version) = asked.request.what() {
        let Some(known) = package.version(version) else {
            return Ok(None);
        };
        let expected = Expected::Sha512(known.sha512);
        return asked.session.file(asked, &known.url()?, expected).await;
    }
    let Some(bytes) = package.to_served(asked.registries.as_of) else {
        return Ok(None); // at that moment there was no such package
    };
    if !package.is_dated() {
        asked.session.is_undated(asked.request);
    }
    asked.session.cache.keep(bytes).await.map(Some)
}
