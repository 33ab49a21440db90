//! Which key signs, and which ones did before.

use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_attest::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::keys::Passphrase;
use crate::keys::place::SecretFile;
use crate::signer::KeySource;
use crate::signer::program::Program;

/// The key where nothing is said.
pub(super) const DEFAULT_KEY: &str = "keys/statement.pem";
/// The key of statements about local sources; beside the operator's own where that is a file.
const LOCAL_KEY: &str = "local.pem";
/// Longest time that a program may have for one signature.
const MAX_SECONDS: u64 = 600;

/// `signer`, as the file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignerEntry {
    exec: Vec<String>,
    public: PathBuf,
    #[serde(default)]
    hardware: bool,
    #[serde(default = "default_seconds")]
    seconds: u64,
}

/// One of `retired_keys`, as the file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetiredEntry {
    public: PathBuf,
    #[serde(default)]
    from: Option<String>,
    until: String,
}

/// The operator's keys.
#[derive(Debug, Clone)]
pub(crate) struct OperatorKeys {
    /// What signs now.
    pub(crate) source: KeySource,
    /// The key of statements about local sources.
    pub(crate) local: PathBuf,
    /// What signed before.
    pub(crate) retired: Vec<RetiredKey>,
}

/// A key that does not sign any more; what it signed while it did stays as good as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetiredKey {
    /// Its public half.
    pub(crate) public: PathBuf,
    /// When it began to sign, where that is said.
    pub(crate) from: Option<Timestamp>,
    /// When it ceased to.
    pub(crate) until: Timestamp,
}

impl OperatorKeys {
    /// The file of the key that signs, where it is one that could be made.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.source {
            KeySource::File { file, .. } if !file.is_credential() => Some(file.path()),
            KeySource::File { .. }
            | KeySource::Program { .. }
            | KeySource::Local { .. }
            | KeySource::Ephemeral => None,
        }
    }

    /// The file from which the public half of the key that signs is read.
    pub(crate) fn public_source(&self) -> &Path {
        match &self.source {
            KeySource::File { file, .. } => file.path(),
            KeySource::Program { program } => &program.public,
            KeySource::Local { path } => path,
            KeySource::Ephemeral => &self.local,
        }
    }

    /// Who says the pass phrase of that file.
    pub(crate) fn passphrase(&self) -> Passphrase {
        match &self.source {
            KeySource::File { passphrase, .. } => passphrase.clone(),
            KeySource::Program { .. } | KeySource::Local { .. } | KeySource::Ephemeral => {
                Passphrase::Terminal
            }
        }
    }

    /// Checks what the file says; an error is the key and what is wrong.
    pub(super) fn checked(
        key: Option<&str>,
        passphrase: Option<&str>,
        signer: Option<&SignerEntry>,
        retired: &[RetiredEntry],
        base: &Path,
    ) -> Result<Self, (String, String)> {
        let source = match signer {
            None => file(key.unwrap_or(DEFAULT_KEY), passphrase, base)?,
            Some(_) if key.is_some() || passphrase.is_some() => {
                let message = "a program signs, or the key does; leave `key` and `passphrase` out";
                return Err(("signer".into(), message.into()));
            }
            Some(entry) => entry.checked(base)?,
        };
        let mut keys = Self {
            source,
            local: base.join("keys").join(LOCAL_KEY),
            retired: Vec::new(),
        };
        if let Some(file) = keys.file() {
            keys.local = file.with_file_name(LOCAL_KEY);
        }
        for (index, entry) in retired.iter().enumerate() {
            let wrong = |(key, message)| (format!("retired_keys[{index}].{key}"), message);
            keys.retired.push(entry.checked(base).map_err(wrong)?);
        }
        Ok(keys)
    }
}

fn file(key: &str, passphrase: Option<&str>, base: &Path) -> Result<KeySource, (String, String)> {
    let place = |name: &str, text: &str| {
        SecretFile::parse(text, base).map_err(|error| (name.to_owned(), error.to_string()))
    };
    let passphrase = passphrase.map(|text| place("passphrase", text));
    Ok(KeySource::File {
        file: place("key", key)?,
        passphrase: passphrase
            .transpose()?
            .map_or(Passphrase::Terminal, Passphrase::File),
    })
}

impl SignerEntry {
    fn checked(&self, base: &Path) -> Result<KeySource, (String, String)> {
        let wrong = |key: &str, message: &str| Err((format!("signer.{key}"), message.to_owned()));
        match self.exec.first() {
            Some(program) if program.starts_with('/') => {}
            Some(_) | None => {
                return wrong("exec", "the full path of a program, then its arguments");
            }
        }
        if !(1..=MAX_SECONDS).contains(&self.seconds) {
            return wrong("seconds", "from 1 to 600");
        }
        Ok(KeySource::Program {
            program: Program {
                command: self.exec.clone(),
                public: base.join(&self.public),
                time: Duration::from_secs(self.seconds),
                hardware: self.hardware,
            },
        })
    }
}

impl RetiredEntry {
    fn checked(&self, base: &Path) -> Result<RetiredKey, (&'static str, String)> {
        let time = |key, text: &str| {
            Timestamp::from_day_or_time(text).map_err(|error| (key, error.to_string()))
        };
        let from = self.from.as_deref().map(|text| time("from", text));
        let (from, until) = (from.transpose()?, time("until", &self.until)?);
        if from.is_some_and(|from| from >= until) {
            return Err(("until", "not after `from`".into()));
        }
        Ok(RetiredKey {
            public: base.join(&self.public),
            from,
            until,
        })
    }
}

const fn default_seconds() -> u64 {
    30
}
