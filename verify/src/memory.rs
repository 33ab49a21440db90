//! What a user's machine remembers of packages that it accepted: the source, and who confirmed them. A
//! file of its own, written whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use countersign_attest::decide::{Decision, Memory, Outcome, Standing};
use countersign_attest::json::{self, JsonError};
use countersign_attest::purl::Purl;
use serde::{Deserialize, Serialize};

use crate::files::{self, ReadError};

/// Longest file in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// All that is remembered, by package without its version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Remembered {
    version: u32,
    packages: BTreeMap<String, Package>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Package {
    source: String,
    last: Accepted,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Accepted>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Accepted {
    version: String,
    confirmed: BTreeSet<String>,
}

/// Says why nothing is remembered.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The file cannot be read.
    #[error("reading what is remembered")]
    Read(#[from] ReadError),
    /// The file is something else. It is never replaced by an empty one.
    #[error("{} is not a file of remembered packages", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: JsonError,
    },
    /// Written by another version of this program.
    #[error("{} has version {version}; this program reads version 1", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: u32,
    },
    /// The file cannot be written.
    #[error("writing {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Remembered {
    /// Reads a file; one that is not there remembers nothing.
    ///
    /// # Errors
    /// When it cannot be read or is something else.
    pub fn load(path: &Path) -> Result<Self, MemoryError> {
        if !path.exists() {
            return Ok(Self {
                version: 1,
                packages: BTreeMap::new(),
            });
        }
        let bytes = files::bounded(path, MAX_BYTES)?;
        let limits = json::Limits {
            bytes: bytes.len(),
            ..json::Limits::default()
        };
        let read: Self = json::from_slice(&bytes, &limits).map_err(|source| MemoryError::Json {
            path: path.to_owned(),
            source,
        })?;
        if read.version != 1 {
            return Err(MemoryError::Version {
                path: path.to_owned(),
                version: read.version,
            });
        }
        Ok(read)
    }

    /// What is remembered of the versions before this one.
    #[must_use]
    pub fn of(&self, purl: Option<&Purl>) -> Memory {
        let Some((purl, package)) =
            purl.and_then(|purl| Some((purl, self.packages.get(&nameless(purl))?)))
        else {
            return Memory::default();
        };
        let previous = if package.last.version == purl.version() {
            package.before.as_ref()
        } else {
            Some(&package.last)
        };
        Memory {
            source: Some(package.source.clone()),
            confirmed_previous: previous.map(|p| p.confirmed.clone()).unwrap_or_default(),
        }
    }

    /// Remembers a decision; whether anything is new.
    pub fn learn(&mut self, purl: Option<&Purl>, decision: &Decision) -> bool {
        let (Some(purl), Some(group), Outcome::Accept) = (purl, &decision.group, decision.outcome)
        else {
            return false;
        };
        let Some(source) = group
            .source
            .clone()
            .filter(|_| decision.confirming >= decision.k)
        else {
            return false; // exempt, or confirmed by who does not say its source
        };
        let confirms = |(name, stand): (&String, &countersign_attest::decide::Stand)| {
            (stand.standing == Standing::Confirms).then(|| name.clone())
        };
        let accepted = Accepted {
            version: purl.version().to_owned(),
            confirmed: decision.stands.iter().filter_map(confirms).collect(),
        };
        let known = self.packages.get(&nameless(purl));
        let before = match known {
            Some(known) if known.last.version == accepted.version => known.before.clone(),
            Some(known) => Some(known.last.clone()),
            None => None,
        };
        let package = Package {
            source,
            last: accepted,
            before,
        };
        if known == Some(&package) {
            return false;
        }
        self.packages.insert(nameless(purl), package);
        true
    }

    /// Writes the file: beside it, then over it.
    ///
    /// # Errors
    /// When the system refuses; the old file is there then.
    pub fn save(&self, path: &Path) -> Result<(), MemoryError> {
        let failed = |source| MemoryError::Write {
            path: path.to_owned(),
            source,
        };
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| failed(io::Error::other(e)))?;
        text.push(b'\n');
        files::replace(path, &text).map_err(failed)
    }
}

/// A package without its version.
fn nameless(purl: &Purl) -> String {
    let namespace = purl
        .namespace()
        .map(|n| format!("{n}/"))
        .unwrap_or_default();
    format!("pkg:{}/{namespace}{}", purl.kind(), purl.name())
}
