//! `Cargo.lock`, versions 1 to 4.
//!
//! A package is of a registry, of a repository, or of this machine, by its `source`. Which registry it
//! is makes no difference here: bytes are compared, not places.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Entry, FileDigest, Files, Why, problem, purl};

/// The newest version of the format that we know.
const NEWEST: i64 = 4;

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    version: Option<i64>,
    #[serde(default)]
    package: Vec<Package>,
    /// Of old files: the package itself.
    #[serde(default)]
    root: Option<Package>,
    /// Of version 1: `checksum NAME VERSION (SOURCE)` to a digest.
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    checksum: Option<String>,
}

/// Reads a lock.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let text = str::from_utf8(bytes).map_err(|error| problem(&error))?;
    let lock: Lock = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    if lock.version.is_some_and(|version| version > NEWEST) {
        return Err(format!("its version is newer than {NEWEST}"));
    }
    let packages = lock.root.iter().chain(&lock.package);
    Ok(packages.map(|p| entry(p, &lock.metadata)).collect())
}

fn entry(package: &Package, metadata: &BTreeMap<String, String>) -> Entry {
    let Package {
        name,
        version,
        source,
        checksum,
    } = package;
    let listed = |source: &str| metadata.get(&format!("checksum {name} {version} ({source})"));
    let files = match source.as_deref() {
        None => Files::Unconfirmable(Why::Local),
        Some(source) if source.starts_with("path+") => Files::Unconfirmable(Why::Local),
        Some(source) if source.starts_with("git+") => Files::Unconfirmable(Why::Git),
        Some(source) => match checksum.as_ref().or_else(|| listed(source)) {
            None => Files::Unconfirmable(Why::NoDigest),
            Some(text) => match text.parse() {
                Ok(digest) => Files::OneOf(BTreeSet::from([FileDigest::Sha256(digest)])),
                Err(_) => Files::Unconfirmable(Why::NoDigest), // `<none>` of version 1, or damage
            },
        },
    };
    Entry {
        name: format!("{name} {version}"),
        purl: purl("cargo", name, version),
        files,
    }
}
