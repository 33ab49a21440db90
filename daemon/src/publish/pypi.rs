//! Artifacts of a Python package index: the list of a project's files (PEP 691), files, SHA-256.
//!
//! Files usually lie on another host than the index. The index's own answer is allowed to name that
//! host, for files whose SHA-256 it declares and only over https, because that gives the other host
//! nothing: it cannot send other bytes than the index says, nothing of us is sent to it, and what the
//! index can make us ask for is one GET of an https URL. A redirect from there is not followed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;

use countersign_attest::digest::Sha256;
use countersign_attest::time::Timestamp;
use countersign_builder::recipe::pypi::file_name::{self, FileKind};
use countersign_builder::recipe::pypi::version::Version;
use countersign_builder::release::Published;
use serde::Deserialize;
use url::Url;

use super::client;
use super::endpoints::{Endpoints, KEY_PYPI, SlashUrl};
use super::error::PublishError;
use super::front::{self, Front, Package, Pending};
use super::name::{self, percent_decoded, percent_encoded};
use super::{Fetcher, Found, candidate, registry, released};
use crate::http::{authority, may_reach};

/// The one form of a list that is read; the other has no upload times.
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json";
/// Longest version that is believed.
const LONGEST_VERSION: usize = 256;

mod discover;

/// See the module.
pub(super) const FRONT: Front = Front {
    kind: "pypi",
    key: KEY_PYPI,
    client: "pip",
    parse: |rest| PypiPackage::parse(rest).map(|package| Arc::new(package) as Arc<dyn Package>),
    endpoint: front::one_address,
    discover: || Box::pin(discover::address(OsStr::new("pip"), client::TIME)),
};

/// A project of a Python package index.
#[derive(Debug)]
struct PypiPackage {
    /// Normalized.
    name: String,
    /// The one version that the user wants, instead of what the tag spells.
    version: Option<String>,
    /// The one file that the user wants, instead of all of the version.
    file_name: Option<String>,
}

impl PypiPackage {
    /// Reads what stands after `pkg:pypi/`; the error is the problem.
    fn parse(rest: &str) -> Result<Self, &'static str> {
        let (rest, file_name) = match rest.split_once('?') {
            None => (rest, None),
            Some((rest, qualifier)) => {
                let value = qualifier.strip_prefix("file_name=");
                let decoded = value.and_then(percent_decoded);
                match decoded.map(|value| name::checked(&value)) {
                    Some(Ok(file_name)) => (rest, Some(file_name)),
                    Some(Err(_)) | None => {
                        return Err("of qualifiers it may have file_name and a file's name");
                    }
                }
            }
        };
        let (name, version) = match rest.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (rest, None),
        };
        if !file_name::is_name(name) {
            return Err("its name is not one of letters, digits, -, _ and .");
        }
        let version = registry::wanted_version(version, is_version)?;
        Ok(Self {
            name: file_name::normalized(name),
            version,
            file_name,
        })
    }

    /// The purl of one file, in canonical form.
    fn purl(&self, version: &str, file_name: &str) -> String {
        let version = percent_encoded(version, b"");
        let file_name = percent_encoded(file_name, b"");
        format!("pkg:pypi/{}@{version}?file_name={file_name}", self.name)
    }
}

impl Package for PypiPackage {
    fn fetch<'a>(
        &'a self,
        fetcher: &'a Fetcher<'a>,
        versions: &'a [String],
        now: Timestamp,
    ) -> Pending<'a, Result<Found, PublishError>> {
        Box::pin(fetch(fetcher, self, versions, now))
    }
}

impl fmt::Display for PypiPackage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pkg:pypi/{}", self.name)?;
        if let Some(version) = &self.version {
            write!(f, "@{}", percent_encoded(version, b""))?;
        }
        match &self.file_name {
            Some(file_name) => write!(f, "?file_name={}", percent_encoded(file_name, b"")),
            None => Ok(()),
        }
    }
}

fn is_version(version: &str) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-_.+!".contains(&b);
    !version.is_empty() && version.len() <= LONGEST_VERSION && version.bytes().all(safe)
}

/// A project's files (PEP 691, PEP 700), as much of it as we read.
#[derive(Debug, Deserialize)]
struct Document {
    meta: Meta,
    name: String,
    #[serde(default)]
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
struct Meta {
    #[serde(rename = "api-version")]
    api_version: String,
}

#[derive(Debug, Deserialize)]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
    /// When the index got it. Mirrors may report when they got it themselves.
    #[serde(default, rename = "upload-time")]
    upload_time: Option<Timestamp>,
    /// `false`, `true`, or the reason.
    #[serde(default)]
    yanked: serde_json::Value,
}

/// Finds the files of the version, downloads those that can be rebuilt and checks their digests.
///
/// A file that no recipe can rebuild yet, a platform's wheel for instance, is known by its declared
/// digest only: it becomes an artifact that says so, and costs no download.
async fn fetch(
    fetcher: &Fetcher<'_>,
    package: &PypiPackage,
    versions: &[String],
    now: Timestamp,
) -> Result<Found, PublishError> {
    let index = &fetcher.endpoints.address(&FRONT)?;
    let versions = package
        .version
        .as_ref()
        .map_or(versions, std::slice::from_ref);
    let (url, document) = document(fetcher, index, package).await?;
    if file_name::normalized(&document.name) != package.name {
        return Err(PublishError::Document {
            url,
            problem: format!("it is about {:?}", document.name),
        });
    }
    let missing = || PublishError::VersionMissing {
        package: package.name.clone(),
        tried: versions.to_vec(),
    };
    let (version, files) = pick(&document.files, package, versions).ok_or_else(missing)?;
    let mut artifacts = Vec::new();
    for (file, kind) in files {
        // a release may have a hundred wheels for other machines: their digests are enough, but of one asked for
        let whole = matches!(kind, FileKind::Sdist | FileKind::PureWheel);
        let whole = whole || package.file_name.is_some();
        let mut artifact = take(fetcher, &url, file, whole, now).await?;
        artifact.purl = Some(package.purl(&version, &file.filename));
        artifact.published_on = file.upload_time;
        artifact.yanked = file.yanked.is_string() || file.yanked == true;
        artifacts.push(artifact);
    }
    Ok(Found {
        version,
        artifacts,
        companions: Vec::new(),
    })
}

/// The files of the first spelling that has some: wheels first, because a wheel says what made
/// it and its sdist; what cannot be rebuilt last.
fn pick<'a>(
    files: &'a [File],
    package: &PypiPackage,
    versions: &[String],
) -> Option<(String, Vec<(&'a File, FileKind)>)> {
    versions.iter().find_map(|text| {
        let version = Version::parse(text)?;
        let mut found: Vec<(&File, FileKind)> = files
            .iter()
            .filter(|file| {
                package
                    .file_name
                    .as_ref()
                    .is_none_or(|wanted| *wanted == file.filename)
            })
            .filter_map(|file| {
                let kind = file_name::of_version(&file.filename, &package.name, &version)?;
                Some((file, kind))
            })
            .collect();
        let rank = |kind: &FileKind| match kind {
            FileKind::PureWheel => 0,
            FileKind::Sdist => 1,
            FileKind::PlatformWheel => 2,
            FileKind::Other => 3,
        };
        found.sort_by_key(|(file, kind)| (rank(kind), file.filename.clone()));
        // as the publisher writes it; a tag's spelling may be another one of the same version
        let written = file_name::version_of(&found.first()?.0.filename, &package.name)?;
        is_version(written).then(|| (written.to_owned(), found))
    })
}

/// Takes a file, or where not the whole of it is wanted and the index declares its digest, that.
async fn take(
    fetcher: &Fetcher<'_>,
    page: &Url,
    file: &File,
    whole: bool,
    now: Timestamp,
) -> Result<Published, PublishError> {
    let problem = |problem: String| PublishError::Document {
        url: page.clone(),
        problem: format!("{:?} {problem}", file.filename),
    };
    let file_name = name::checked(&file.filename)?;
    let declared: Option<Sha256> = match file.hashes.get("sha256") {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| problem(format!("has the SHA-256 digest {text:?}")))?,
        ),
    };
    let url = page
        .join(&file.url)
        .map_err(|_| problem("has no usable URL".to_owned()))?;
    let text = declared.map(|declared| format!("sha256:{declared}"));
    if let Some(declared) = declared.filter(|_| !whole) {
        let mut artifact = candidate(declared, Some(file_name), now);
        artifact.declared = text;
        return Ok(artifact);
    }
    let mut endpoints = Endpoints::clone(fetcher.endpoints);
    if !may_reach(page, &url, &endpoints.allowed_hosts) {
        // see the module: a declared digest and https, and no port that is not https' own
        if declared.is_none() || url.scheme() != "https" || url.port().is_some() {
            return Err(PublishError::OtherHost {
                url: page.clone(),
                host: authority(&url),
            });
        }
        endpoints = registry::allowing(&endpoints, &url);
    }
    let fetcher = Fetcher {
        endpoints: &endpoints,
        ..*fetcher
    };
    let accept = registry::has_sha256(&url, declared);
    let digests = registry::store(&fetcher, &url, accept).await?;
    let mut artifact = released(file_name, digests, url.to_string(), now);
    artifact.declared = text;
    Ok(artifact)
}

async fn document(
    fetcher: &Fetcher<'_>,
    index: &SlashUrl,
    package: &PypiPackage,
) -> Result<(Url, Document), PublishError> {
    let url = index.join(&format!("{}/", package.name));
    let bytes = registry::read(fetcher, &url, Some(ACCEPT)).await;
    let bytes = bytes.map_err(registry::unknown(&package.name, index.url()))?;
    let document: Document = registry::json(&url, &bytes)?;
    if document.meta.api_version.split('.').next() != Some("1") {
        let problem = format!("its API version is {:?}", document.meta.api_version);
        return Err(PublishError::Document { url, problem });
    }
    Ok((url, document))
}
