//! Artifacts of an npm registry: package document, version, tarball, integrity.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::digest::Digests;
use countersign_attest::time::Timestamp;
use countersign_builder::release::Claims;
use serde::Deserialize;
use url::Url;

use super::client;
use super::endpoints::{KEY_NPM, SlashUrl};
use super::error::PublishError;
use super::front::{self, Front, Package, Pending};
use super::name::{self, percent_decoded, percent_encoded};
use super::{Fetcher, Found, registry, released};
use times::Times;

mod discover;
pub(crate) mod times;
use crate::http::{authority, may_reach};

/// Longest name of a package, as registries have it.
const LONGEST_NAME: usize = 214;

/// The whole document: the smaller one that registries make for installing has no times.
const ACCEPT: &str = "application/json";

/// See the module.
pub(super) const FRONT: Front = Front {
    kind: "npm",
    key: KEY_NPM,
    client: "npm",
    parse: |rest| NpmPackage::parse(rest).map(|package| Arc::new(package) as Arc<dyn Package>),
    endpoint: front::one_address,
    discover: || Box::pin(discover::address(OsStr::new("npm"), client::TIME)),
};

/// A package of an npm registry.
#[derive(Debug)]
struct NpmPackage {
    /// `name` or `@scope/name`, with URL-safe characters only.
    name: String,
    /// The one version that the user wants, instead of what the tag spells.
    version: Option<String>,
}

impl NpmPackage {
    /// Reads what stands after `pkg:npm/`; the error is the problem.
    fn parse(rest: &str) -> Result<Self, &'static str> {
        if rest.contains(['?', '#']) {
            return Err("qualifiers and subpaths have no meaning here");
        }
        // a scope's own @ stands at the start
        let (name, version) = match rest.char_indices().rfind(|(at, c)| *at > 0 && *c == '@') {
            Some((at, _)) => (&rest[..at], Some(&rest[at + 1..])), // both sides of an ASCII character
            None => (rest, None),
        };
        let Some(name) = percent_decoded(name) else {
            return Err("its name is not percent-encoded UTF-8");
        };
        if !is_package_name(&name) {
            return Err("its name is not name or @scope/name of URL-safe characters");
        }
        let version = registry::wanted_version(version, is_version)?;
        Ok(Self { name, version })
    }

    /// The purl of a version, in canonical form.
    fn purl(&self, version: &str) -> String {
        // packages are lower-case but for old ones, which must keep their case
        let name = percent_encoded(&self.name, b"/");
        format!("pkg:npm/{name}@{}", percent_encoded(version, b":"))
    }
}

impl Package for NpmPackage {
    fn fetch<'a>(
        &'a self,
        fetcher: &'a Fetcher<'a>,
        versions: &'a [String],
        now: Timestamp,
    ) -> Pending<'a, Result<Found, PublishError>> {
        Box::pin(fetch(fetcher, self, versions, now))
    }
}

impl fmt::Display for NpmPackage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => f.write_str(&self.purl(version)),
            None => write!(f, "pkg:npm/{}", percent_encoded(&self.name, b"/")),
        }
    }
}

fn is_package_name(name: &str) -> bool {
    let part = |part: &str| {
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"-._~!'()*".contains(&b);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(safe)
    };
    name.len() <= LONGEST_NAME
        && match name.strip_prefix('@') {
            Some(scoped) => scoped
                .split_once('/')
                .is_some_and(|(s, n)| part(s) && part(n)),
            None => part(name),
        }
}

fn is_version(version: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._+~:!".contains(&b);
    !version.is_empty() && version.len() <= 256 && version.bytes().all(plain)
}

/// A package document, as much of it as we read. Old entries may lack anything.
#[derive(Debug, Deserialize)]
struct Document {
    name: Option<String>,
    #[serde(default)]
    versions: BTreeMap<String, Manifest>,
    #[serde(default)]
    time: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    version: Option<String>,
    dist: Option<Dist>,
    #[serde(default)]
    git_head: serde_json::Value,
    #[serde(default, rename = "_nodeVersion")]
    node_version: serde_json::Value,
    #[serde(default, rename = "_npmVersion")]
    npm_version: serde_json::Value,
}

impl Manifest {
    /// What npm's client said; what is of another form was not said.
    fn claims(&self) -> Claims {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let tools = [("node", &self.node_version), ("npm", &self.npm_version)];
        let tools = tools.into_iter().filter_map(|(name, version)| {
            let version = text(version).filter(|version| is_version(version))?;
            Some((name.to_owned(), version))
        });
        Claims {
            commit: text(&self.git_head).and_then(|commit| commit.parse().ok()),
            tools: tools.collect(),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Dist {
    tarball: Option<String>,
    integrity: Option<String>,
}

/// Finds the version in the package's document, downloads its tarball and checks its integrity.
async fn fetch(
    fetcher: &Fetcher<'_>,
    package: &NpmPackage,
    versions: &[String],
    now: Timestamp,
) -> Result<Found, PublishError> {
    let endpoint = &fetcher.endpoints.address(&FRONT)?;
    let versions = package
        .version
        .as_ref()
        .map_or(versions, std::slice::from_ref);
    let (url, document) = document(fetcher, endpoint, package).await?;
    let problem = |problem: String| PublishError::Document {
        url: url.clone(),
        problem,
    };
    if document
        .name
        .as_ref()
        .is_some_and(|name| *name != package.name)
    {
        return Err(problem(format!(
            "it is about {:?}",
            document.name.unwrap_or_default()
        )));
    }
    let found = versions
        .iter()
        .find_map(|v| document.versions.get(v).map(|m| (v, m)));
    let (version, manifest) = found.ok_or_else(|| PublishError::VersionMissing {
        package: package.name.clone(),
        tried: versions.to_vec(),
    })?;
    if manifest
        .version
        .as_ref()
        .is_some_and(|other| other != version)
    {
        return Err(problem(format!(
            "version {version:?} calls itself otherwise"
        )));
    }
    let dist = manifest.dist.as_ref();
    let tarball = dist.and_then(|d| d.tarball.as_deref());
    let tarball: Url = tarball
        .and_then(|t| t.parse().ok())
        .ok_or_else(|| problem(format!("version {version:?} has no usable tarball URL")))?;
    if !may_reach(endpoint.url(), &tarball, &fetcher.endpoints.allowed_hosts) {
        return Err(PublishError::OtherHost {
            url,
            host: authority(&tarball),
        });
    }
    let file_name = name::of_url(&tarball)?;
    let declared = Declared::parse(dist.and_then(|d| d.integrity.as_deref()));
    let declared = declared
        .map_err(|text| problem(format!("version {version:?} has the integrity {text:?}")))?;

    let accept = |came: &Digests| declared.check(&tarball, came);
    let digests = registry::store(fetcher, &tarball, accept).await?;
    let mut artifact = released(file_name, digests, tarball.to_string(), now);
    artifact.purl = Some(package.purl(version));
    artifact.declared = declared.text();
    artifact.claims = manifest.claims();
    // times of a copy are none of publication
    let times = Times::read(&document.time).ok();
    let times = times.filter(Times::is_dated);
    artifact.published_on = times.and_then(|times| times.of(version));
    Ok(Found {
        version: version.clone(),
        artifacts: vec![artifact],
        companions: Vec::new(),
    })
}

async fn document(
    fetcher: &Fetcher<'_>,
    endpoint: &SlashUrl,
    package: &NpmPackage,
) -> Result<(Url, Document), PublishError> {
    // the whole name is one segment, spelled as npm's own client spells it
    let segment = package.name.replace('/', "%2f");
    let url = endpoint.join(&segment);
    let bytes = registry::read(fetcher, &url, Some(ACCEPT)).await;
    let bytes = bytes.map_err(registry::unknown(&package.name, endpoint.url()))?;
    let document = registry::json(&url, &bytes)?;
    Ok((url, document))
}

/// What a registry declares of a tarball (Subresource Integrity §3): SHA-512 digests if there are
/// any, else SHA-256. SHA-1 counts as nothing declared.
#[derive(Debug, PartialEq, Eq)]
struct Declared(Vec<String>);

impl Declared {
    /// Takes the text apart; the error is a part that is malformed.
    fn parse(integrity: Option<&str>) -> Result<Self, String> {
        let mut declared: Vec<String> = Vec::new();
        for part in integrity.unwrap_or_default().split_ascii_whitespace() {
            // options after a question mark have no meaning yet
            let part = part.split('?').next().unwrap_or_default();
            let (kind, digest) = part.split_once('-').ok_or(part)?;
            let length = match kind {
                "sha512" => 64,
                "sha256" => 32,
                _ => continue,
            };
            let bytes = STANDARD.decode(digest).map_err(|_| part)?;
            if bytes.len() != length {
                return Err(part.to_owned());
            }
            declared.push(part.to_owned());
        }
        if declared.iter().any(|d| d.starts_with("sha512-")) {
            declared.retain(|d| d.starts_with("sha512-"));
        }
        Ok(Self(declared))
    }

    fn check(&self, tarball: &Url, came: &Digests) -> Result<(), PublishError> {
        let Some(first) = self.0.first() else {
            return Ok(());
        };
        let came = if first.starts_with("sha512-") {
            format!("sha512-{}", STANDARD.encode(came.sha512.as_bytes()))
        } else {
            format!("sha256-{}", STANDARD.encode(came.sha256.as_bytes()))
        };
        if self.0.contains(&came) {
            return Ok(());
        }
        Err(PublishError::Mismatch {
            what: tarball.to_string(),
            declared: self.0.join(" "),
            came,
        })
    }

    /// What a statement carries: what was declared, which is now known to be what came.
    fn text(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(rest: &str) -> NpmPackage {
        NpmPackage::parse(rest).unwrap()
    }

    #[test]
    fn purls_are_canonical() {
        for (text, version, expect) in [
            ("left", "1.0.0", "pkg:npm/left@1.0.0"),
            (
                "@s/left",
                "1.0.0-rc.1+b",
                "pkg:npm/%40s/left@1.0.0-rc.1%2Bb",
            ),
            ("%40s%2Fleft", "1.0.0", "pkg:npm/%40s/left@1.0.0"),
            ("JSONStream", "1.0.0", "pkg:npm/JSONStream@1.0.0"),
        ] {
            assert_eq!(package(text).purl(version), expect);
        }
    }

    #[test]
    fn integrity_is_the_strongest_that_is_declared() {
        let digests = Digests::of(b"abc");
        let of = |kind: &str, bytes: &[u8]| format!("{kind}-{}", STANDARD.encode(bytes));
        let s512 = of("sha512", digests.sha512.as_bytes());
        let s256 = of("sha256", digests.sha256.as_bytes());
        let other = of("sha512", Digests::of(b"abd").sha512.as_bytes());
        let sha1 = of("sha1", &[0; 20]);
        let url: Url = "https://h.example/x".parse().unwrap();
        for (text, good, kept) in [
            (s512.clone(), true, Some(s512.clone())),
            (format!("{sha1} {s512}?foo"), true, Some(s512.clone())),
            (format!("{s256} {other}"), false, Some(other.clone())),
            (
                format!("{other} {s512}"),
                true,
                Some(format!("{other} {s512}")),
            ),
            (s256.clone(), true, Some(s256.clone())),
            (sha1, true, None),
            (String::new(), true, None),
        ] {
            let declared = Declared::parse(Some(&text)).unwrap();
            assert_eq!(declared.check(&url, &digests).is_ok(), good, "{text}");
            assert_eq!(declared.text(), kept);
        }
        for bad in ["sha512", "sha512-", "sha512-!!", &s512[..80], "sha256-YWJj"] {
            assert!(Declared::parse(Some(bad)).is_err(), "{bad}");
        }
    }
}
