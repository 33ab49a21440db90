//! Where the pass phrase of an encrypted key comes from. It is never an argument and never in the
//! environment.

use std::path::Path;

use countersign_builder::sandbox::terminal;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::KeyFileError;
use super::place::SecretFile;

/// Who says the pass phrase, if one is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Passphrase {
    /// Whoever sits at the terminal, asked when a key turns out to be encrypted; a new key has none.
    Terminal,
    /// The same, and a new key is encrypted.
    Asked,
    /// The first line of a file.
    File(SecretFile),
}

impl Passphrase {
    /// The pass phrase of an encrypted key.
    pub(super) fn phrase(&self, key: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        match self {
            Self::Terminal | Self::Asked => ask(key, ""),
            Self::File(file) => not_empty(file.line()?),
        }
    }

    /// The pass phrase for a new key, if it is to have one.
    pub(super) fn new_phrase(
        &self,
        key: &Path,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, KeyFileError> {
        match self {
            Self::Terminal => Ok(None),
            Self::File(_) => self.phrase(key).map(Some),
            Self::Asked => {
                let phrase = ask(key, "new ")?;
                if *ask(key, "again the ")? != *phrase {
                    return Err(KeyFileError::Passphrase(
                        "the two pass phrases are not the same",
                    ));
                }
                Ok(Some(phrase))
            }
        }
    }
}

fn ask(key: &Path, which: &str) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let prompt = format!("{which}pass phrase of {}: ", key.display());
    let phrase = terminal::ask_unseen(&prompt).map_err(|source| KeyFileError::NoPassphrase {
        path: key.to_owned(),
        source,
    })?;
    not_empty(Zeroizing::new(phrase))
}

fn not_empty(phrase: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    if phrase.is_empty() {
        return Err(KeyFileError::Passphrase("an empty pass phrase"));
    }
    Ok(phrase)
}
