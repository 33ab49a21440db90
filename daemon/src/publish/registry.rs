//! What the fronts of registries share: the version in a package URL, a package's document, a file
//! that a document names and its digest. What documents look like is the fronts' own business.

use countersign_attest::digest::{Digests, Sha256};
use serde::de::DeserializeOwned;
use url::Url;

use super::Fetcher;
use super::endpoints::{Endpoints, KEY_METADATA_BYTES};
use super::error::PublishError;
use super::file::store_url;
use super::name::percent_decoded;
use crate::http::{Ask, HttpError, authority};

/// Splits what stands after `pkg:TYPE/` where neither qualifiers nor subpaths mean anything.
///
/// # Errors
/// The problem, in the words of an error about the whole URL.
pub(super) fn name_and_version(rest: &str) -> Result<(&str, Option<&str>), &'static str> {
    if rest.contains(['?', '#']) {
        return Err("qualifiers and subpaths have no meaning here");
    }
    Ok(match rest.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (rest, None),
    })
}

/// Reads the version of a package URL; `None` where the tag says which one is meant.
///
/// # Errors
/// The problem, in the words of an error about the whole URL.
pub(super) fn wanted_version(
    version: Option<&str>,
    is_version: impl Fn(&str) -> bool,
) -> Result<Option<String>, &'static str> {
    match version {
        None | Some("{version}") => Ok(None),
        Some(version) => match percent_decoded(version) {
            Some(version) if is_version(&version) => Ok(Some(version)),
            _ => Err("its version is neither {version} nor a version"),
        },
    }
}

/// Asks for a document; `accept` is the header of that name.
pub(super) async fn read(
    fetcher: &Fetcher<'_>,
    url: &Url,
    accept: Option<&'static str>,
) -> Result<Vec<u8>, PublishError> {
    let ask = Ask {
        limit_bytes: fetcher.limits.metadata_bytes,
        allowed_hosts: &fetcher.endpoints.allowed_hosts,
        accept,
    };
    let read = fetcher.http.read(url, &ask).await;
    read.map_err(|error| PublishError::from_http(error, KEY_METADATA_BYTES))
}

/// Says of a missing document that its registry does not know the package.
pub(super) fn unknown<'a>(
    package: &'a str,
    registry: &'a Url,
) -> impl FnOnce(PublishError) -> PublishError + 'a {
    move |error| match error {
        PublishError::Http(HttpError::Missing { .. }) => PublishError::PackageUnknown {
            package: package.to_owned(),
            registry: authority(registry),
        },
        other => other,
    }
}

/// Reads a document as JSON.
pub(super) fn json<T: DeserializeOwned>(url: &Url, bytes: &[u8]) -> Result<T, PublishError> {
    serde_json::from_slice(bytes).map_err(|source| PublishError::Metadata {
        url: url.clone(),
        source,
    })
}

/// The endpoints, and one more host that may serve files.
pub(super) fn allowing(endpoints: &Endpoints, url: &Url) -> Endpoints {
    let mut endpoints = endpoints.clone();
    endpoints.allowed_hosts.push(authority(url));
    endpoints
}

/// Downloads a file that a document names; that it is not there is the registry's contradiction.
/// `accept` sees the digests before anything becomes visible.
pub(super) async fn store(
    fetcher: &Fetcher<'_>,
    url: &Url,
    accept: impl FnOnce(&Digests) -> Result<(), PublishError> + Send,
) -> Result<Digests, PublishError> {
    match store_url(fetcher, url, accept).await {
        Err(PublishError::Http(HttpError::Missing { url, .. })) => {
            Err(PublishError::TarballMissing { tarball: url })
        }
        stored => stored,
    }
}

/// Refuses bytes that do not have the declared digest.
pub(super) fn has_sha256(
    url: &Url,
    declared: Option<Sha256>,
) -> impl FnOnce(&Digests) -> Result<(), PublishError> + Send {
    let what = url.to_string();
    move |came| match declared {
        Some(declared) if declared != came.sha256 => Err(PublishError::Mismatch {
            what,
            declared: format!("sha256:{declared}"),
            came: format!("sha256:{}", came.sha256),
        }),
        Some(_) | None => Ok(()),
    }
}
