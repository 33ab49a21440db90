//! Artifacts of a gem registry: the compact index's list of a gem's versions, `.gem` files, SHA-256.
//!
//! The registry is the authority; no host but its own, and those that the operator allows, is reached.
//! Its list has no times of publication, so none are claimed.

use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;

use countersign_attest::digest::Sha256;
use countersign_attest::time::Timestamp;

use super::client;
use super::endpoints::{EndpointError, SlashUrl};
use super::error::PublishError;
use super::front::{self, Front, Package, Pending};
use super::name::percent_encoded;
use super::{Fetcher, Found, registry, released};

/// Longest name and longest version that are believed.
const LONGEST: usize = 128;

/// See the module.
pub(super) const FRONT: Front = Front {
    kind: "gem",
    key: "registries.gem",
    client: "gem",
    parse: |rest| GemPackage::parse(rest).map(|package| Arc::new(package) as Arc<dyn Package>),
    endpoint: front::one_address,
    discover: || Box::pin(discover()),
};

/// Asks the client of the ecosystem which registry its user has configured: it prints its sources.
async fn discover() -> Result<String, EndpointError> {
    const QUESTION: [&str; 2] = ["sources", "--list"];
    client::printed_address(OsStr::new("gem"), &QUESTION, FRONT.key, client::TIME).await
}

/// A gem.
#[derive(Debug)]
struct GemPackage {
    /// ASCII letters, digits, `-`, `_` and `.`.
    name: String,
    /// The one version that the user wants, instead of what the tag spells.
    version: Option<String>,
}

impl GemPackage {
    /// Reads what stands after `pkg:gem/`; the error is the problem.
    fn parse(rest: &str) -> Result<Self, &'static str> {
        let (name, version) = registry::name_and_version(rest)?;
        if !is_plain(name) {
            return Err("its name is not one of letters, digits, -, _ and .");
        }
        Ok(Self {
            name: name.to_owned(),
            version: registry::wanted_version(version, is_plain)?,
        })
    }

    /// The purl of a version, in canonical form.
    fn purl(&self, version: &str) -> String {
        format!("pkg:gem/{}@{}", self.name, percent_encoded(version, b""))
    }
}

impl fmt::Display for GemPackage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => f.write_str(&self.purl(version)),
            None => write!(f, "pkg:gem/{}", self.name),
        }
    }
}

impl Package for GemPackage {
    fn fetch<'a>(
        &'a self,
        fetcher: &'a Fetcher<'a>,
        versions: &'a [String],
        now: Timestamp,
    ) -> Pending<'a, Result<Found, PublishError>> {
        Box::pin(fetch(fetcher, self, versions, now))
    }
}

fn is_plain(text: &str) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= LONGEST
        && text.bytes().all(safe)
}

/// The declared digest of a version in a gem's list: `VERSION [DEPENDENCIES]|checksum:SHA256,…`. A gem of
/// one platform has the platform in its version.
fn checksum<'a>(list: &'a str, version: &str) -> Option<&'a str> {
    let of = |line: &'a str| {
        let (known, rest) = line.split_once(' ')?;
        let (_, requirements) = rest.split_once('|')?;
        (known == version).then_some(requirements)
    };
    let requirements = list.lines().find_map(of)?;
    let mut requirements = requirements.split(',');
    requirements.find_map(|one| one.trim().strip_prefix("checksum:"))
}

async fn fetch(
    fetcher: &Fetcher<'_>,
    package: &GemPackage,
    versions: &[String],
    now: Timestamp,
) -> Result<Found, PublishError> {
    let endpoint = fetcher.endpoints.address(&FRONT)?;
    let versions = package
        .version
        .as_ref()
        .map_or(versions, std::slice::from_ref);
    let url = endpoint.join(&format!("info/{}", package.name));
    let bytes = registry::read(fetcher, &url, None).await;
    let bytes = bytes.map_err(registry::unknown(&package.name, endpoint.url()))?;
    let problem = |problem: &str| PublishError::Document {
        url: url.clone(),
        problem: problem.to_owned(),
    };
    let list = std::str::from_utf8(&bytes).map_err(|_| problem("it is not UTF-8"))?;
    if !list.starts_with("---\n") {
        return Err(problem("it is no list of the compact index"));
    }
    let usable = versions.iter().filter(|version| is_plain(version));
    let found = usable
        .into_iter()
        .find_map(|version| Some((version, checksum(list, version)?)));
    let (version, declared) = found.ok_or_else(|| PublishError::VersionMissing {
        package: package.name.clone(),
        tried: versions.to_vec(),
    })?;
    let declared: Sha256 = declared
        .parse()
        .map_err(|_| problem("a version has a malformed SHA-256 digest"))?;
    take(fetcher, &endpoint, package, version, declared, now).await
}

async fn take(
    fetcher: &Fetcher<'_>,
    endpoint: &SlashUrl,
    package: &GemPackage,
    version: &str,
    declared: Sha256,
    now: Timestamp,
) -> Result<Found, PublishError> {
    let file_name = format!("{}-{version}.gem", package.name);
    let url = endpoint.join(&format!("gems/{file_name}"));
    let accept = registry::has_sha256(&url, Some(declared));
    let digests = registry::store(fetcher, &url, accept).await?;
    let mut artifact = released(file_name, digests, url.to_string(), now);
    artifact.purl = Some(package.purl(version));
    artifact.declared = Some(format!("sha256:{declared}"));
    Ok(Found {
        version: version.to_owned(),
        artifacts: vec![artifact],
        companions: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_are_canonical() {
        for (text, expect) in [
            ("left_right", "pkg:gem/left_right"),
            ("left@{version}", "pkg:gem/left"),
            ("Left@1.0.0.pre", "pkg:gem/Left@1.0.0.pre"),
        ] {
            assert_eq!(GemPackage::parse(text).unwrap().to_string(), expect);
        }
        for bad in ["", "-a", "a/b", "..", "a@", "a@1/2", "a?x=y", "a#b"] {
            assert!(GemPackage::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_declares_a_digest_for_each_version() {
        let list = "---\n1.0.0 |checksum:aa\n1.0.1 dep:>= 1&< 2,other:= 3|ruby:>= 2.0,checksum:bb\n1.0.1-java |checksum:cc\n1.0.2 |ruby:>= 2\n1.0.3\n";
        assert_eq!(checksum(list, "1.0.0"), Some("aa"));
        assert_eq!(checksum(list, "1.0.1"), Some("bb"));
        assert_eq!(checksum(list, "1.0.1-java"), Some("cc"));
        for absent in ["1.0.2", "1.0.3", "1.0", "---", ""] {
            assert_eq!(checksum(list, absent), None, "{absent}");
        }
    }
}
