//! Artifacts of a cargo registry with a sparse index: entry, `.crate` file, SHA-256.
//!
//! The index is the authority: it names where files are (`dl` in its `config.json`) and what their
//! digests are. No host but these two is reached.

use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;

use countersign_attest::digest::Sha256;
use countersign_attest::time::Timestamp;
use serde::Deserialize;
use url::Url;

use super::client;
use super::endpoints::{KEY_CARGO, SlashUrl};
use super::error::PublishError;
use super::front::{self, Front, Package, Pending};
use super::name::percent_encoded;
use super::{Fetcher, Found, registry, released};

/// Longest name of a crate, as registries have it.
const LONGEST_NAME: usize = 64;
/// Longest version that is believed.
const LONGEST_VERSION: usize = 256;

mod discover;

/// See the module.
pub(super) const FRONT: Front = Front {
    kind: "cargo",
    key: KEY_CARGO,
    client: "cargo",
    parse: |rest| CargoPackage::parse(rest).map(|package| Arc::new(package) as Arc<dyn Package>),
    endpoint: front::one_address,
    discover: || Box::pin(discover::address(OsStr::new("cargo"), client::TIME)),
};

/// A package of a cargo registry.
#[derive(Debug)]
struct CargoPackage {
    /// ASCII letters, digits, `-` and `_`.
    name: String,
    /// The one version that the user wants, instead of what the tag spells.
    version: Option<String>,
}

impl CargoPackage {
    /// Reads what stands after `pkg:cargo/`; the error is the problem.
    fn parse(rest: &str) -> Result<Self, &'static str> {
        let (name, version) = registry::name_and_version(rest)?;
        if !is_crate_name(name) {
            return Err("its name is not one of letters, digits, - and _");
        }
        let version = registry::wanted_version(version, is_version)?;
        Ok(Self {
            name: name.to_owned(),
            version,
        })
    }
}

impl Package for CargoPackage {
    fn fetch<'a>(
        &'a self,
        fetcher: &'a Fetcher<'a>,
        versions: &'a [String],
        now: Timestamp,
    ) -> Pending<'a, Result<Found, PublishError>> {
        Box::pin(fetch(fetcher, self, versions, now))
    }
}

impl fmt::Display for CargoPackage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => f.write_str(&purl(&self.name, version)),
            None => write!(f, "pkg:cargo/{}", self.name),
        }
    }
}

/// The purl of a version, in canonical form.
fn purl(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{}", percent_encoded(version, b""))
}

fn is_crate_name(name: &str) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(safe)
}

fn is_version(version: &str) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-.+".contains(&b);
    version.starts_with(|c: char| c.is_ascii_digit())
        && version.len() <= LONGEST_VERSION
        && version.bytes().all(safe)
}

/// The path of a crate's file in an index (The Cargo Book, Registry Index §Index files).
pub(crate) fn index_path(name: &str) -> String {
    format!(
        "{}/{}",
        prefix(name).to_ascii_lowercase(),
        name.to_ascii_lowercase()
    )
}

/// The folders above a crate's file. Names are ASCII, so bytes are characters.
fn prefix(name: &str) -> String {
    match (name.len(), name.get(..1), name.get(..2), name.get(2..4)) {
        (1 | 2, ..) => name.len().to_string(),
        (3, Some(first), ..) => format!("3/{first}"),
        (_, _, Some(first), Some(second)) => format!("{first}/{second}"),
        // a crate's name is ASCII and not empty
        _ => String::new(),
    }
}

/// `config.json` of an index, as much of it as we read.
#[derive(Debug, Deserialize)]
struct Config {
    dl: String,
}

/// A line of a crate's file in an index.
#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    vers: String,
    cksum: Sha256,
    #[serde(default)]
    yanked: bool,
    /// When the registry got it. Mirrors may report when they got it themselves.
    #[serde(default)]
    pubtime: Option<Timestamp>,
}

/// Finds the version in the index, downloads its file and checks its digest.
async fn fetch(
    fetcher: &Fetcher<'_>,
    package: &CargoPackage,
    versions: &[String],
    now: Timestamp,
) -> Result<Found, PublishError> {
    let index = &fetcher.endpoints.address(&FRONT)?;
    let versions = package
        .version
        .as_ref()
        .map_or(versions, std::slice::from_ref);
    let (url, entries) = entries(fetcher, index, &package.name).await?;
    let problem = |problem: String| PublishError::Document {
        url: url.clone(),
        problem,
    };
    let entry = pick(&entries, versions).ok_or_else(|| PublishError::VersionMissing {
        package: package.name.clone(),
        tried: versions.to_vec(),
    })?;
    if !entry.name.eq_ignore_ascii_case(&package.name) {
        return Err(problem(format!("it is about {:?}", entry.name)));
    }
    if !is_version(&entry.vers) {
        return Err(problem(format!("{:?} is no version", entry.vers)));
    }
    let (config_url, config) = config(fetcher, index).await?;
    let file = download_url(&config.dl, entry).ok_or_else(|| PublishError::Document {
        url: config_url,
        problem: format!("its dl {:?} is no http or https URL", config.dl),
    })?;
    // the index says where its files are, and their digests: that is a host of the registry
    let endpoints = registry::allowing(fetcher.endpoints, &file);
    let fetcher = Fetcher {
        endpoints: &endpoints,
        ..*fetcher
    };
    let accept = registry::has_sha256(&file, Some(entry.cksum));
    let digests = registry::store(&fetcher, &file, accept).await?;
    let file_name = format!("{}-{}.crate", entry.name, entry.vers);
    let mut artifact = released(file_name, digests, file.to_string(), now);
    artifact.purl = Some(purl(&entry.name, &entry.vers));
    artifact.declared = Some(format!("sha256:{}", entry.cksum));
    artifact.published_on = entry.pubtime;
    artifact.yanked = entry.yanked;
    Ok(Found {
        version: entry.vers.clone(),
        artifacts: vec![artifact],
        companions: Vec::new(),
    })
}

/// The entry of the first spelling that has one. Registries allow no two versions that differ in
/// build metadata alone, and tags often leave it out.
fn pick<'a>(entries: &'a [Entry], versions: &[String]) -> Option<&'a Entry> {
    let exact = |v: &String| entries.iter().find(|entry| entry.vers == *v);
    let plain = |v: &String| {
        let stem = |text: &str| text.split('+').next().map(str::to_owned);
        entries
            .iter()
            .find(|entry| stem(&entry.vers).as_ref() == Some(v))
    };
    versions
        .iter()
        .find_map(exact)
        .or_else(|| versions.iter().find_map(plain))
}

async fn entries(
    fetcher: &Fetcher<'_>,
    index: &SlashUrl,
    name: &str,
) -> Result<(Url, Vec<Entry>), PublishError> {
    let url = index.join(&index_path(name));
    let bytes = registry::read(fetcher, &url, None).await;
    let bytes = bytes.map_err(registry::unknown(name, index.url()))?;
    let lines = bytes.split(|byte| *byte == b'\n');
    let entries: Result<Vec<Entry>, PublishError> = lines
        .filter(|line| !line.trim_ascii().is_empty())
        .map(|line| registry::json(&url, line))
        .collect();
    Ok((url, entries?))
}

async fn config(fetcher: &Fetcher<'_>, index: &SlashUrl) -> Result<(Url, Config), PublishError> {
    let url = index.join("config.json");
    let bytes = registry::read(fetcher, &url, None).await?;
    let config = registry::json(&url, &bytes)?;
    Ok((url, config))
}

/// Fills in `dl` (The Cargo Book, Registry Index §Index configuration).
fn download_url(dl: &str, entry: &Entry) -> Option<Url> {
    let prefix = prefix(&entry.name);
    let markers = [
        ("{crate}", entry.name.clone()),
        ("{version}", percent_encoded(&entry.vers, b"+")),
        ("{lowerprefix}", prefix.to_ascii_lowercase()),
        ("{prefix}", prefix),
        ("{sha256-checksum}", entry.cksum.to_string()),
    ];
    let mut text = if markers.iter().any(|(marker, _)| dl.contains(marker)) {
        dl.to_owned()
    } else {
        format!("{dl}/{{crate}}/{{version}}/download")
    };
    for (marker, value) in markers {
        text = text.replace(marker, &value); // no value has a brace in it
    }
    let url: Url = text.parse().ok()?;
    let plain = url.username().is_empty() && url.password().is_none();
    (plain && matches!(url.scheme(), "http" | "https")).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CKSUM: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn entry(name: &str, vers: &str) -> Entry {
        serde_json::from_value(serde_json::json!({
            "name": name, "vers": vers, "cksum": CKSUM, "deps": [], "features": {},
            "pubtime": "2025-04-19T16:52:25Z",
        }))
        .unwrap()
    }

    #[test]
    fn index_paths() {
        for (name, expect) in [
            ("a", "1/a"),
            ("ab", "2/ab"),
            ("ABC", "3/a/abc"),
            ("abcd", "ab/cd/abcd"),
            ("Lru-Slab", "lr/u-/lru-slab"),
        ] {
            assert_eq!(index_path(name), expect);
        }
    }

    #[test]
    fn downloads_follow_the_template_of_the_index() {
        let entry = entry("Abcd", "1.0.0+b");
        for (dl, expect) in [
            (
                "https://h.example/c",
                "https://h.example/c/Abcd/1.0.0+b/download",
            ),
            (
                "https://h.example/{prefix}/{lowerprefix}/{crate}-{version}.crate",
                "https://h.example/Ab/cd/ab/cd/Abcd-1.0.0+b.crate",
            ),
        ] {
            assert_eq!(download_url(dl, &entry).unwrap().as_str(), expect);
        }
        for bad in ["", "/c", "file:///c", "https://u:p@h.example/c"] {
            assert!(download_url(bad, &entry).is_none(), "{bad}");
        }
    }

    #[test]
    fn versions_match_exactly_or_but_for_build_metadata() {
        let entries = [
            entry("a", "1.0.0"),
            entry("a", "1.1.0+spec"),
            entry("a", "11.0.0"),
        ];
        let found = |v: &str| pick(&entries, &[v.to_owned()]).map(|e| e.vers.as_str());
        assert_eq!(found("1.0.0"), Some("1.0.0"));
        assert_eq!(found("1.1.0"), Some("1.1.0+spec"));
        assert_eq!(found("1.1.0+spec"), Some("1.1.0+spec"));
        for absent in ["1.1.0+other", "1.0", "v1.0.0", "1.0.0+x", ""] {
            assert_eq!(found(absent), None, "{absent}");
        }
    }
}
