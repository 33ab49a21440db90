//! `package-lock.json`, versions 1 to 3.
//!
//! Version 2 has every package twice, for clients old and new, and nothing makes both say the same: both
//! are read, so that no client gets something that was not looked at.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::digest::{Sha256, Sha512};
use countersign_attest::json;
use serde::Deserialize;

use super::{Entry, FileDigest, Files, MAX_BYTES, MAX_ENTRIES, Why, problem, purl};

const MODULES: &str = "node_modules/";
/// Deepest nesting of the JSON; each level of version 1 takes two.
const DEPTH: usize = 120;

#[derive(Deserialize)]
struct Lock {
    #[serde(rename = "lockfileVersion")]
    version: u32,
    #[serde(default)]
    packages: Option<BTreeMap<String, Package>>,
    #[serde(default)]
    dependencies: Option<BTreeMap<String, Dependency>>,
}

/// Of versions 2 and 3, by its place.
#[derive(Deserialize)]
struct Package {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    resolved: Option<String>,
    #[serde(default)]
    integrity: Option<String>,
    #[serde(default)]
    link: bool,
    #[serde(default, rename = "inBundle")]
    in_bundle: bool,
}

/// Of versions 1 and 2, by its name, with what it has below it.
#[derive(Deserialize)]
struct Dependency {
    version: String,
    #[serde(default)]
    integrity: Option<String>,
    #[serde(default)]
    bundled: bool,
    #[serde(default)]
    dependencies: BTreeMap<String, Self>,
}

/// Reads a lock.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let limits = json::Limits {
        bytes: usize::try_from(MAX_BYTES).unwrap_or(usize::MAX),
        depth: DEPTH,
    };
    let lock: Lock = json::from_slice(bytes, &limits).map_err(|error| problem(&error))?;
    let mut entries = Vec::new();
    match (lock.version, &lock.packages, &lock.dependencies) {
        (1, None, _) | (2 | 3, Some(_), _) => {}
        (1..=3, ..) => return Err("its version does not fit what is in it".to_owned()),
        (version, ..) => return Err(format!("its version is {version}; 1 to 3 are read")),
    }
    for (place, package) in lock.packages.iter().flatten() {
        entries.push(placed(place, package));
    }
    named(lock.dependencies.iter().flatten(), &mut entries);
    Ok(entries)
}

fn placed(place: &str, package: &Package) -> Entry {
    let installed = place.rsplit_once(MODULES).map(|(_, name)| name);
    let name = package.name.as_deref().or(installed).unwrap_or(place);
    let resolved = package.resolved.as_deref().unwrap_or_default();
    let files = match &package.integrity {
        _ if package.link || installed.is_none() => Files::Unconfirmable(Why::Local),
        _ if is_git(resolved) => Files::Unconfirmable(Why::Git),
        Some(integrity) => digests(integrity),
        None if package.in_bundle => Files::Unconfirmable(Why::Bundled),
        None if resolved.starts_with("file:") => Files::Unconfirmable(Why::Local),
        None => Files::Unconfirmable(Why::NoDigest),
    };
    entry(name, package.version.as_deref(), files)
}

/// All that stands below, level by level; a list that is too long is refused by its caller.
fn named<'a>(
    dependencies: impl Iterator<Item = (&'a String, &'a Dependency)>,
    entries: &mut Vec<Entry>,
) {
    for (name, dependency) in dependencies {
        if entries.len() > MAX_ENTRIES {
            return;
        }
        let version = dependency.version.as_str();
        // an alias: the name here is only where it is installed
        let alias = version.strip_prefix("npm:");
        let (name, version) = match alias.and_then(|alias| alias.rsplit_once('@')) {
            Some((name, version)) => (name, version),
            None => (name.as_str(), version),
        };
        let files = match &dependency.integrity {
            _ if is_git(version) => Files::Unconfirmable(Why::Git),
            Some(integrity) => digests(integrity),
            None if dependency.bundled => Files::Unconfirmable(Why::Bundled),
            None if version.starts_with("file:") => Files::Unconfirmable(Why::Local),
            None => Files::Unconfirmable(Why::NoDigest),
        };
        entries.push(entry(name, Some(version), files));
        named(dependency.dependencies.iter(), entries);
    }
}

fn entry(name: &str, version: Option<&str>, files: Files) -> Entry {
    Entry {
        name: match version {
            Some(version) => format!("{name} {version}"),
            None => name.to_owned(),
        },
        // of old files: what is no version is where it comes from
        purl: version
            .filter(|version| !version.contains(['/', ':']))
            .and_then(|version| purl("npm", name, version)),
        files,
    }
}

/// Whether npm would ask git. What it spells as `user/name` it writes with a scheme into a lock.
fn is_git(resolved: &str) -> bool {
    const SCHEMES: [&str; 6] = ["git+", "git:", "github:", "gitlab:", "bitbucket:", "gist:"];
    SCHEMES.iter().any(|scheme| resolved.starts_with(scheme))
}

/// Subresource integrity: of several kinds the client takes the strongest, of one kind any.
fn digests(integrity: &str) -> Files {
    let all = |kind: &str| -> BTreeSet<Option<Vec<u8>>> {
        let words = integrity.split_ascii_whitespace();
        let of_kind = words.filter_map(|word| word.strip_prefix(kind));
        of_kind
            .map(|text| text.split('?').next().unwrap_or_default())
            .map(|text| STANDARD.decode(text).ok())
            .collect()
    };
    let sha512 = |bytes: Option<Vec<u8>>| -> Option<FileDigest> {
        let bytes = bytes?.try_into().ok()?;
        Some(FileDigest::Sha512(Sha512::from_bytes(bytes)))
    };
    let sha256 = |bytes: Option<Vec<u8>>| -> Option<FileDigest> {
        let bytes = bytes?.try_into().ok()?;
        Some(FileDigest::Sha256(Sha256::from_bytes(bytes)))
    };
    let strongest = all("sha512-");
    let found: Option<BTreeSet<FileDigest>> = if !strongest.is_empty() {
        strongest.into_iter().map(sha512).collect()
    } else if !all("sha384-").is_empty() {
        None
    } else {
        all("sha256-").into_iter().map(sha256).collect()
    };
    match found {
        Some(found) if !found.is_empty() => Files::OneOf(found),
        _ => Files::Unconfirmable(Why::OtherDigest),
    }
}
