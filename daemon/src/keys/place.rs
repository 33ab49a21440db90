//! Where a secret is kept: a file of the operator's, or a credential of the service manager. The
//! secret itself is never in a configuration, an argument, the environment or a log.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::KeyFileError;
use super::file::read;

/// What stands before a credential's name.
const CREDENTIAL: &str = "credential:";
/// Where systemd puts credentials (systemd.exec, LoadCredential and LoadCredentialEncrypted).
const FOLDER: &str = "CREDENTIALS_DIRECTORY";

/// A file with a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecretFile {
    path: PathBuf,
    is_credential: bool,
}

/// Text that names no secret's place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlaceError {
    /// A credential has a plain name.
    #[error("credential: is followed by the credential's name, without a folder")]
    Name,
    /// The service manager gave no credentials.
    #[error(
        "no credentials were given ({FOLDER} is not set): start it as a systemd service with LoadCredential="
    )]
    NoCredentials,
}

impl SecretFile {
    /// A file at a path.
    pub(crate) const fn at(path: PathBuf) -> Self {
        Self {
            path,
            is_credential: false,
        }
    }

    /// Reads a place: `credential:NAME`, or a path relative to `base`.
    ///
    /// # Errors
    /// When a credential has no plain name, or there are none.
    pub(crate) fn parse(text: &str, base: &Path) -> Result<Self, PlaceError> {
        let folder = std::env::var_os(FOLDER);
        Self::parse_with(text, base, folder.as_deref().map(Path::new))
    }

    pub(super) fn parse_with(
        text: &str,
        base: &Path,
        credentials: Option<&Path>,
    ) -> Result<Self, PlaceError> {
        let Some(name) = text.strip_prefix(CREDENTIAL) else {
            return Ok(Self::at(base.join(text)));
        };
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(PlaceError::Name);
        }
        Ok(Self {
            path: credentials.ok_or(PlaceError::NoCredentials)?.join(name),
            is_credential: true,
        })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the service manager gave it: then nothing can be made beside it.
    pub(crate) const fn is_credential(&self) -> bool {
        self.is_credential
    }

    /// Looks whether the secret could be read, without reading it.
    ///
    /// # Errors
    /// When it is not there, not a file, or others can read it.
    pub(crate) fn check(&self) -> Result<(), KeyFileError> {
        let found = fs::metadata(&self.path).map_err(|source| KeyFileError::Io {
            doing: "looking for the secret",
            path: self.path.clone(),
            source,
        })?;
        if !found.is_file() {
            return Err(KeyFileError::NotAFile(self.path.clone()));
        }
        self.check_mode(found.mode() & 0o7777)
    }

    /// Reads the secret. A symbolic link is followed, as deployments that mount secrets use them: the
    /// permissions of the file behind it decide, looked at through the descriptor that is then read.
    ///
    /// # Errors
    /// As [`Self::check`], and when it is longer than any secret of ours.
    pub(crate) fn read(&self) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        let (text, mode) = read(&self.path)?;
        self.check_mode(mode)?;
        Ok(text)
    }

    /// The first line without its end: a pass phrase, or a webhook's secret.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn line(&self) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        let text = self.read()?;
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok(Zeroizing::new(line.trim_ascii_end().to_vec()))
    }

    /// The service manager keeps others away by an access list, whose mask shows as the group's bits.
    fn check_mode(&self, mode: u32) -> Result<(), KeyFileError> {
        let open = if self.is_credential { 0o037 } else { 0o077 };
        if mode & open == 0 {
            return Ok(());
        }
        Err(KeyFileError::Readable {
            path: self.path.clone(),
            mode,
        })
    }
}

impl fmt::Display for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}
