//! Which registries are asked: from the configuration, else from the ecosystem's client, never from
//! the code. The client is asked for its configuration only, from a folder without anybody's files.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;
use url::Url;

/// The configuration key of the npm registry.
pub(crate) const KEY_NPM: &str = "registries.npm";
/// The configuration key of cargo's sparse index.
pub(crate) const KEY_CARGO: &str = "registries.cargo";
/// The configuration key of the simple index for Python packages.
pub(crate) const KEY_PYPI: &str = "registries.pypi";
/// The configuration key of hosts that may serve files beside the registries' own.
pub(crate) const KEY_ALLOWED_HOSTS: &str = "registries.allowed_hosts";
/// The configuration key that allows local paths.
pub(crate) const KEY_ALLOW_LOCAL: &str = "allow_local";
/// The configuration key of the largest artifact.
pub(crate) const KEY_ARTIFACT_BYTES: &str = "limits.artifact_bytes";
/// The configuration key of the largest document.
pub(crate) const KEY_METADATA_BYTES: &str = "limits.metadata_bytes";

/// Most bytes of an answer of a client: one URL.
const ANSWER_BYTES: u64 = 4096;

/// Where registries are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endpoints {
    /// The npm registry, where one is known.
    pub(crate) npm: Option<SlashUrl>,
    /// The sparse index for cargo, where one is known.
    pub(crate) cargo: Option<SlashUrl>,
    /// The simple index for Python's installers, where one is known.
    pub(crate) pypi: Option<SlashUrl>,
    /// Hosts (`host` or `host:port`) that may serve files beside the registry's or the URL's own.
    pub(crate) allowed_hosts: Vec<String>,
}

/// How much is taken from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Most bytes of one artifact.
    pub(crate) artifact_bytes: u64,
    /// Most bytes of one document of a registry, and of one digest list.
    pub(crate) metadata_bytes: u64,
    /// Most artifacts of one digest list.
    pub(crate) digest_lines: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            artifact_bytes: 2 << 30,
            metadata_bytes: 64 << 20,
            digest_lines: 10_000,
        }
    }
}

/// An http or https URL without credentials, query and fragment, whose path ends in a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlashUrl(Url);

impl SlashUrl {
    /// Reads what a user or a client wrote; adds the slash where it is absent.
    ///
    /// # Errors
    /// When it is another kind of URL.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        let refuse = || EndpointError::Url(text.to_owned());
        let mut url: Url = text.parse().map_err(|_| refuse())?;
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain || !matches!(url.scheme(), "http" | "https") {
            return Err(refuse());
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(url))
    }

    /// The URL itself.
    pub(crate) const fn url(&self) -> &Url {
        &self.0
    }

    /// Appends one encoded segment.
    pub(super) fn join(&self, segment: &str) -> Url {
        let mut url = self.0.clone();
        // set_path keeps what is percent-encoded already
        url.set_path(&format!("{}{segment}", self.0.path()));
        url
    }
}

/// Says why no endpoint was discovered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// The text is no URL of a registry.
    #[error("{0:?} is not an http or https URL without credentials; set {KEY_NPM}")]
    Url(String),
    /// The client is not installed, or cannot be started.
    #[error("starting {program:?} to ask for its registry; install it or set {KEY_NPM}")]
    Start {
        /// The program.
        program: OsString,
        /// What the system said.
        source: std::io::Error,
    },
    /// The client failed, said too much or said nothing.
    #[error("{program:?} does not say which registry it uses ({problem}); set {KEY_NPM}")]
    Answer {
        /// The program.
        program: OsString,
        /// What it did instead.
        problem: String,
    },
}

/// Asks npm's client which registry its user has configured.
///
/// `program` is a trusted tool of this machine. It runs in a new empty folder and with
/// `--location=global`: without that, npm walks up from the folder and obeys the `.npmrc` of a
/// stranger's project, for instance one that another user puts into the shared temporary folder.
/// Of the environment it gets what finds the tool and its user's settings, nothing else.
///
/// # Errors
/// See [`EndpointError`]; each names the configuration key that makes this unnecessary.
pub(crate) async fn discover_npm(
    program: &OsStr,
    limit: Duration,
) -> Result<SlashUrl, EndpointError> {
    let start = |source| EndpointError::Start {
        program: program.to_owned(),
        source,
    };
    let answer = |problem: String| EndpointError::Answer {
        program: program.to_owned(),
        problem,
    };
    let folder = tempfile::tempdir().map_err(start)?;
    let mut child = Command::new(program)
        .args(["config", "get", "registry", "--location=global"])
        .current_dir(folder.path())
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| is_setting(name)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let mut text = String::new();
    let run = async {
        if let Some(stdout) = child.stdout.take() {
            stdout.take(ANSWER_BYTES).read_to_string(&mut text).await?;
        }
        child.wait().await
    };
    let status = match timeout(limit, run).await {
        Ok(status) => status.map_err(|e| answer(e.to_string()))?,
        Err(_) => return Err(answer(format!("no answer in {} s", limit.as_secs()))),
    };
    if !status.success() {
        return Err(answer(status.to_string()));
    }
    SlashUrl::parse(text.trim())
}

/// Whether a variable says where the tool is or what its user configured.
fn is_setting(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    matches!(&*name, "PATH" | "HOME") || name.to_ascii_lowercase().starts_with("npm_config_")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    async fn ask(script: &str, seconds: u64) -> Result<SlashUrl, EndpointError> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("client");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        discover_npm(program.as_os_str(), Duration::from_secs(seconds)).await
    }

    #[tokio::test]
    async fn a_client_is_asked_in_an_empty_folder() {
        let script = r#"
            test "$*" = "config get registry --location=global" || exit 1
            test -z "$(ls -A)" || exit 2
            test -z "$CARGO_MANIFEST_DIR" || exit 3
            echo https://registry.example/npm"#;
        let found = ask(script, 60).await.unwrap();
        assert_eq!(found.url().as_str(), "https://registry.example/npm/");
        assert_eq!(
            found.join("@s%2fn").as_str(),
            "https://registry.example/npm/@s%2fn"
        );
    }

    #[tokio::test]
    async fn every_failure_names_the_key() {
        for script in [
            "echo undefined",
            "true",
            "echo https://registry.example/; exit 1",
            "echo file:///etc",
            "echo https://u:p@registry.example/",
            "yes https://registry.example/",
            "exec 1>&-; exec sleep 60",
            "kill -9 $$",
        ] {
            let error = ask(script, 2).await.unwrap_err();
            assert!(error.to_string().contains(KEY_NPM), "{script}: {error}");
        }
        let absent = discover_npm(OsStr::new("/nowhere/client"), Duration::from_secs(1)).await;
        assert!(matches!(absent, Err(EndpointError::Start { .. })));
    }
}
