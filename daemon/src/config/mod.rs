//! The operator's configuration: strict YAML, parsed at the edge into values that cannot be wrong.
//! The one home of `serde_yaml`.
//!
//! Unknown keys are errors with file, line and column. Paths are relative to the file that names
//! them. Nothing here touches the network or the store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_builder::recipe::Hints;

use self::keys::OperatorKeys;
use self::negative::{Negative, NegativeEntry};
use crate::publish::front::{FRONTS, Front};
use crate::publish::{Endpoints, PublishedSource};
use crate::trouble::with_causes;
use crate::watch::location::{Location, LocationRules};
use crate::watch::signature::TagKeys;

pub(crate) mod keys;
pub(crate) mod negative;
pub(crate) mod project;
mod written;

pub(crate) use written::{CandidateRules, HostLimits, Rebuilder};
use written::{File, Registries};

/// The configuration that `init` writes, with comments.
pub(crate) const TEMPLATE: &str = include_str!("../../../config/countersign.yaml");

/// The rebuilder's id in [`TEMPLATE`], which nobody may sign under.
pub(crate) const PLACEHOLDER: &str = "https://rebuilder.example";

/// Longest configuration file in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Why a configuration is not used. The caller's doing, always.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("reading the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not YAML of the right shape.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1; 0 where the parser does not say.
        line: usize,
        /// Column, from 1; 0 where the parser does not say.
        column: usize,
        /// What is wrong, with the key's path.
        message: String,
    },
    /// A value is well-formed and still cannot be used.
    #[error("{}: {key}: {message}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, as in `repositories[2].source`.
        key: String,
        /// What is wrong and what to write instead.
        message: String,
    },
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The folder of the store, blobs, mirrors and attestations.
    pub data: PathBuf,
    /// The keys of statements.
    pub keys: OperatorKeys,
    /// Who signs.
    pub rebuilder: Rebuilder,
    /// Where the API and the pages listen; `None` for nowhere.
    pub listen: Option<std::net::SocketAddr>,
    /// What kinds of location are allowed.
    pub rules: LocationRules,
    /// Registries, as far as they are configured.
    pub registries: Endpoints,
    /// Folders with toolchains beside `/usr`.
    pub toolchains: Vec<PathBuf>,
    /// Folders and tars of root file systems, which plans name by digest.
    pub roots: Vec<PathBuf>,
    /// Limits of the host.
    pub limits: HostLimits,
    /// What is watched, one per source URI.
    pub repositories: Vec<Repository>,
}

/// A watched repository.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    /// Where the source is, as signed, and from where it is fetched.
    pub location: Location,
    /// Which tags are releases.
    pub tags: String,
    /// Where its published artifacts are; empty where the project's own file says it.
    pub published: Vec<PublishedSource>,
    /// The package's name, which tags may carry.
    pub package: Option<String>,
    /// The recipe, where it is not read off the rest.
    pub recipe: Option<String>,
    /// Time between polls.
    pub interval: Duration,
    /// How many of the tags that are new at one poll are rebuilt, highest versions first.
    pub backlog: usize,
    /// How to build.
    pub hints: Hints,
    /// Whose signatures of its tags count.
    pub tag_keys: TagKeys,
    /// What becomes of its negative verdicts.
    pub negative: Negative,
    /// Who may ask for rebuilds of its candidates.
    pub candidates: CandidateRules,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Says file, line, column and key of the first thing that is wrong.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let config = Self::parse(&read(path)?, path)?;
        if config.rebuilder.id == PLACEHOLDER {
            let message = "say who you are: this is the id of the example, and readers pin it";
            return Err(value(path, "rebuilder.id", message.into()));
        }
        Ok(config)
    }

    /// Checks a file's text; `path` is for messages and for relative paths.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let file: File = serde_yaml::from_str(text).map_err(|error| syntax(path, &error))?;
        if file.version != 1 {
            let message = format!(
                "version {} is not known; this program reads version 1",
                file.version
            );
            return Err(value(path, "version", message));
        }
        if url::Url::parse(&file.rebuilder.id).is_err() {
            let message =
                "write a URI that names this rebuilder, such as https://rebuilder.example";
            return Err(value(path, "rebuilder.id", message.into()));
        }
        if let Some(address) = &file.rebuilder.address {
            crate::consult::remote::base(address, file.allow_http)
                .map_err(|error| value(path, "rebuilder.address", with_causes(&error)))?;
        }
        let base = path.parent().unwrap_or(Path::new("."));
        let rules = LocationRules {
            allow_local: file.allow_local,
            allow_http: file.allow_http,
        };
        let repositories = checked_repositories(&file, rules, base, path)?;
        let keys = OperatorKeys::checked(
            file.key.as_deref(),
            file.passphrase.as_deref(),
            file.signer.as_ref(),
            &file.retired_keys,
            base,
        )
        .map_err(|(key, message)| value(path, &key, message))?;
        Ok(Self {
            data: base.join(&file.data),
            keys,
            rebuilder: file.rebuilder,
            listen: file.listen,
            rules,
            registries: endpoints(&file.registries, path)?,
            toolchains: file
                .toolchains
                .iter()
                .map(|folder| base.join(folder))
                .collect(),
            roots: file.roots.iter().map(|folder| base.join(folder)).collect(),
            limits: file.limits,
            repositories,
        })
    }

    /// The watched repository with this signed URI.
    #[must_use]
    pub(crate) fn repository(&self, source_uri: &str) -> Option<&Repository> {
        self.repositories
            .iter()
            .find(|r| r.location.source_uri() == source_uri)
    }
}

fn checked_repositories(
    file: &File,
    rules: LocationRules,
    base: &Path,
    path: &Path,
) -> Result<Vec<Repository>, ConfigError> {
    let negative = |entry: &Option<NegativeEntry>, place: String| match entry {
        None => Ok(None),
        Some(entry) => entry
            .checked(base, rules.allow_http)
            .map(Some)
            .map_err(|(key, message)| value(path, &format!("{place}.{key}"), message)),
    };
    let for_all =
        negative(&file.negative_verdicts, "negative_verdicts".into())?.unwrap_or_default();
    let mut seen = BTreeSet::new();
    let mut repositories = Vec::new();
    for (index, entry) in file.repositories.iter().enumerate() {
        let key = |name: &str| format!("repositories[{index}].{name}");
        let location = Location::parse_beside(&entry.source, rules, base)
            .map_err(|error| value(path, &key("source"), with_causes(&error)))?;
        let location = match &entry.fetch_from {
            None => location,
            Some(other) => location.fetched_from(
                Location::parse_beside(other, rules, base)
                    .map_err(|error| value(path, &key("fetch_from"), with_causes(&error)))?,
            ),
        };
        if !seen.insert(location.source_uri().to_owned()) {
            let message = format!("{} is already watched above", location.source_uri());
            return Err(value(path, &key("source"), message));
        }
        let mut published = Vec::new();
        for text in &entry.published {
            published.push(
                PublishedSource::parse(text, rules.allow_local.then_some(base))
                    .map_err(|error| value(path, &key("published"), with_causes(&error)))?,
            );
        }
        if entry.interval_seconds < 10 {
            return Err(value(path, &key("interval_seconds"), "at least 10".into()));
        }
        let known = countersign_builder::recipe::names();
        if let Some(recipe) = &entry.recipe
            && !known.contains(&recipe.as_str())
        {
            let message = format!("no recipe {recipe:?}; there are: {}", known.join(", "));
            return Err(value(path, &key("recipe"), message));
        }
        repositories.push(Repository {
            location,
            tags: entry.tags.clone(),
            published,
            package: entry.package.clone(),
            recipe: entry.recipe.clone(),
            interval: Duration::from_secs(entry.interval_seconds),
            backlog: entry.backlog,
            hints: entry.build.clone(),
            tag_keys: TagKeys {
                openpgp: entry.tag_keys.openpgp.as_ref().map(|path| base.join(path)),
                ssh: entry.tag_keys.ssh.as_ref().map(|path| base.join(path)),
            },
            negative: negative(&entry.negative_verdicts, key("negative_verdicts"))?
                .unwrap_or_else(|| for_all.clone()),
            candidates: entry.candidates.clone(),
        });
    }
    Ok(repositories)
}

/// Reads build hints from a file of their own: what `rebuild --recipe FILE` takes.
///
/// # Errors
/// Says file, line, column and key of the first thing that is wrong.
pub(crate) fn load_hints(path: &Path) -> Result<Hints, ConfigError> {
    serde_yaml::from_str(&read(path)?).map_err(|error| syntax(path, &error))
}

fn endpoints(registries: &Registries, path: &Path) -> Result<Endpoints, ConfigError> {
    let mut endpoints = Endpoints::allowing(&registries.allowed_hosts);
    for (kind, text) in &registries.endpoints {
        let Some(front) = Front::of(kind) else {
            let known: Vec<&str> = FRONTS.iter().map(|front| front.kind).collect();
            let message = format!("no such registry; there are: {}", known.join(", "));
            return Err(value(path, &format!("registries.{kind}"), message));
        };
        endpoints
            .set(front, text)
            .map_err(|error| value(path, front.key, with_causes(&error)))?;
    }
    Ok(endpoints)
}

fn value(path: &Path, key: &str, message: String) -> ConfigError {
    ConfigError::Value {
        path: path.to_owned(),
        key: key.to_owned(),
        message,
    }
}

/// What `config show` prints: the file with every default filled in.
///
/// # Errors
/// As [`Config::load`].
pub(crate) fn show(path: &Path) -> Result<String, ConfigError> {
    serde_yaml::to_string(&filled_in(path)?).map_err(|error| value(path, "file", error.to_string()))
}

/// The same as a JSON value.
///
/// # Errors
/// As [`Config::load`].
pub(crate) fn show_value(path: &Path) -> Result<serde_json::Value, ConfigError> {
    serde_json::to_value(filled_in(path)?).map_err(|error| value(path, "file", error.to_string()))
}

fn filled_in(path: &Path) -> Result<File, ConfigError> {
    let text = read(path)?;
    Config::parse(&text, path)?;
    let mut file: File = serde_yaml::from_str(&text).map_err(|error| syntax(path, &error))?;
    if file.signer.is_none() {
        file.key.get_or_insert_with(|| keys::DEFAULT_KEY.to_owned());
    }
    Ok(file)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let fault = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let size = std::fs::metadata(path).map_err(fault)?.len();
    if size > MAX_BYTES {
        return Err(value(
            path,
            "file",
            format!("{size} bytes; at most {MAX_BYTES} are read"),
        ));
    }
    std::fs::read_to_string(path).map_err(fault)
}

fn syntax(path: &Path, error: &serde_yaml::Error) -> ConfigError {
    let (line, column) = error
        .location()
        .map_or((0, 0), |place| (place.line(), place.column()));
    let text = error.to_string();
    // the parser appends the place that we print in front
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    ConfigError::Syntax {
        path: path.to_owned(),
        line,
        column,
        message,
    }
}
