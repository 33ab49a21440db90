//! What a configuration file says, before its values are checked: its keys and their defaults.

use std::collections::BTreeMap;
use std::path::PathBuf;

use countersign_attest::key::PublicKey;
use countersign_builder::recipe::Hints;
use serde::{Deserialize, Deserializer, Serialize};

use super::keys::{RetiredEntry, SignerEntry};
use super::negative::NegativeEntry;
use crate::mirror::Budgets;
use crate::watch::signature::TagKeys;

/// A file's content, before its values are checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) version: u32,
    #[serde(default = "default_data")]
    pub(super) data: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) passphrase: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signer: Option<SignerEntry>,
    #[serde(default)]
    pub(super) retired_keys: Vec<RetiredEntry>,
    pub(super) rebuilder: Rebuilder,
    #[serde(default)]
    pub(super) listen: Option<std::net::SocketAddr>,
    #[serde(default)]
    pub(super) allow_local: bool,
    #[serde(default)]
    pub(super) allow_http: bool,
    #[serde(default)]
    pub(super) registries: Registries,
    #[serde(default)]
    pub(super) toolchains: Vec<PathBuf>,
    #[serde(default)]
    pub(super) roots: Vec<PathBuf>,
    #[serde(default)]
    pub(super) limits: HostLimits,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) negative_verdicts: Option<NegativeEntry>,
    #[serde(default)]
    pub(super) repositories: Vec<RepositoryEntry>,
}

/// Who signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rebuilder {
    /// A URI that names this rebuilder in every statement.
    pub id: String,
    /// Where others reach its service, as its identity says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// Endpoints of registries, where the ecosystem's client is not to be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Registries {
    /// Hosts (`host` or `host:port`) that may serve files beside the registries' own.
    pub allowed_hosts: Vec<String>,
    /// Endpoints by the type of package URLs.
    #[serde(flatten)]
    pub endpoints: BTreeMap<String, String>,
}

/// What the host may use to fetch; the limits of builds are in each repository's `limits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HostLimits {
    /// Bytes of one published artifact.
    pub artifact_bytes: u64,
    /// Bytes of a registry's answer about one package.
    pub metadata_bytes: u64,
    /// Bytes that a fetch of one tag may bring.
    pub fetch_bytes: u64,
    /// Bytes of one source tree.
    pub source_bytes: u64,
    /// Files of one source tree.
    pub source_files: u64,
    /// Seconds for one fetch.
    pub fetch_seconds: u64,
    /// Tags that one repository may have.
    pub tags: usize,
    /// Times that a rebuild is tried again after faults of ours, before it waits for an operator.
    pub attempts: u32,
    /// What one build may ask of registries through the mirror.
    pub mirror: Budgets,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            artifact_bytes: 2 << 30,
            metadata_bytes: 64 << 20,
            fetch_bytes: 4 << 30,
            source_bytes: 4 << 30,
            source_files: 500_000,
            fetch_seconds: 1800,
            tags: 100_000,
            attempts: 20,
            mirror: Budgets::default(),
        }
    }
}

/// One repository as the file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoryEntry {
    pub(super) source: String,
    #[serde(default)]
    pub(super) fetch_from: Option<String>,
    #[serde(default = "default_tags")]
    pub(super) tags: String,
    #[serde(default, deserialize_with = "one_or_more")]
    pub(super) published: Vec<String>,
    #[serde(default)]
    pub(super) package: Option<String>,
    #[serde(default)]
    pub(super) recipe: Option<String>,
    #[serde(default = "default_interval")]
    pub(super) interval_seconds: u64,
    #[serde(default = "default_backlog")]
    pub(super) backlog: usize,
    #[serde(default)]
    pub(super) build: Hints,
    #[serde(default)]
    pub(super) tag_keys: TagKeys,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) negative_verdicts: Option<NegativeEntry>,
    #[serde(default)]
    pub(super) candidates: CandidateRules,
}

/// Who may ask for rebuilds of what a project is about to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CandidateRules {
    /// The keys of the project; none may ask where there is none.
    pub keys: Vec<PublicKey>,
    /// Requests of one project in a day.
    pub per_day: u32,
}

impl Default for CandidateRules {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            per_day: 20,
        }
    }
}

pub(super) fn one_or_more<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    Ok(match OneOrMore::deserialize(deserializer)? {
        OneOrMore::One(text) => vec![text],
        OneOrMore::More(texts) => texts,
    })
}

fn default_data() -> PathBuf {
    "data".into()
}

fn default_tags() -> String {
    "*".into()
}

const fn default_interval() -> u64 {
    900
}

const fn default_backlog() -> usize {
    10
}
