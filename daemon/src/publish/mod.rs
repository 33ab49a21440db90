//! Finds what was published for a tag and stores it by digest.
//!
//! One arrow of the flow: a tag and the versions that it may spell go in, [`Found`] comes out. What a
//! registry declares must equal what came. Nothing here decides whether an artifact is good, and no
//! host name of a registry is written in the code.

use std::path::Path;

use countersign_attest::digest::Digests;
use countersign_attest::time::Timestamp;
use countersign_builder::release::{Claims, Published, Stage};

use crate::blobs::Blobs;
use crate::http::Http;

pub(crate) mod cargo;
mod client;
mod deb;
pub(crate) mod digest_list;
pub(crate) mod endpoints;
pub(crate) mod error;
pub(crate) mod file;
pub(crate) mod front;
mod gem;
pub(crate) mod name;
pub(crate) mod npm;
pub(crate) mod pypi;
mod registry;
pub(crate) mod source;
pub(crate) mod template;

pub(crate) use endpoints::{Endpoints, Limits};
pub(crate) use error::PublishError;
pub(crate) use source::PublishedSource;

/// What fetching needs beside the question itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetcher<'a> {
    /// The process's client.
    pub(crate) http: &'a Http,
    /// Which registries are asked, and which other hosts may serve files.
    pub(crate) endpoints: &'a Endpoints,
    /// Where bytes go.
    pub(crate) blobs: &'a Blobs,
    /// How much is taken.
    pub(crate) limits: Limits,
    /// Where clients of registries keep a state of their own.
    pub(crate) clients: &'a Path,
}

/// What was found for a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The version that matched, as the publisher writes it.
    pub(crate) version: String,
    /// The artifacts; never empty. Bytes of those that are released are in the store.
    pub(crate) artifacts: Vec<Published>,
    /// What else the registry has of the release and is no artifact of it: looked at, never judged.
    pub(crate) companions: Vec<Published>,
}

/// Fetches what `source` says was published for `tag`. `versions` are the spellings that the tag may
/// stand for, best first; they must match exactly. `now` becomes the time of retrieval.
///
/// # Errors
/// See [`PublishError`]; [`PublishError::kind`] tells a fault from a refusal.
pub(crate) async fn fetch(
    fetcher: &Fetcher<'_>,
    source: &PublishedSource,
    tag: &str,
    versions: &[String],
    now: Timestamp,
) -> Result<Found, PublishError> {
    match source {
        PublishedSource::Package(package) => package.fetch(fetcher, versions, now).await,
        PublishedSource::File(location) => file::fetch(fetcher, location, tag, versions, now).await,
        PublishedSource::DigestList(location) => {
            digest_list::fetch(fetcher, location, tag, versions, now).await
        }
        PublishedSource::Digest { sha256, file_name } => Ok(Found {
            version: versions.first().map_or(tag, String::as_str).to_owned(),
            artifacts: vec![candidate(*sha256, file_name.clone(), now)],
            companions: Vec::new(),
        }),
    }
}

/// Stores a file whose digest is known, unless other bytes come.
///
/// # Errors
/// See [`PublishError`].
pub(crate) async fn fetch_as(
    fetcher: &Fetcher<'_>,
    url: &url::Url,
    sha256: countersign_attest::digest::Sha256,
) -> Result<(), PublishError> {
    let accept = registry::has_sha256(url, Some(sha256));
    registry::store(fetcher, url, accept).await.map(drop)
}

/// An artifact of which only the digest is known.
fn candidate(
    sha256: countersign_attest::digest::Sha256,
    file_name: Option<String>,
    now: Timestamp,
) -> Published {
    Published {
        file_name: file_name.unwrap_or_else(|| format!("sha256-{sha256}")),
        purl: None,
        download_location: None,
        retrieved_on: now,
        sha256,
        sha512: None,
        size_bytes: None,
        declared: None,
        published_on: None,
        stage: Stage::Candidate,
        yanked: false,
        claims: Claims::default(),
    }
}

/// An artifact whose bytes are in the store.
fn released(file_name: String, digests: Digests, location: String, now: Timestamp) -> Published {
    Published {
        file_name,
        purl: None,
        download_location: Some(location),
        retrieved_on: now,
        sha256: digests.sha256,
        sha512: Some(digests.sha512),
        size_bytes: Some(digests.size_bytes),
        declared: None,
        published_on: None,
        stage: Stage::Released,
        yanked: false,
        claims: Claims::default(),
    }
}

/// Runs what blocks on the disk away from the threads that serve requests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        // the task is never aborted, so it can only have panicked: a bug, which goes on panicking
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests;
