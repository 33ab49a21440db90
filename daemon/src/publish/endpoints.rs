//! Which registries are asked: from the configuration, else from the ecosystem's client, never from
//! the code. The client is asked for its configuration only, from a folder without anybody's files.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio::process::Command;
use tokio::time::timeout;
use url::Url;

use super::error::PublishError;
use super::front::Front;
use crate::apt::AptError;

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

/// Most bytes of an answer of a client: one URL, or an error message.
const ANSWER_BYTES: u64 = 4096;

/// Longest time for asking a client for its registry.
pub(super) const CLIENT_TIME: Duration = Duration::from_secs(30);

/// Where registries are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endpoints {
    /// Endpoints by the type of package URLs, each checked by its front.
    known: BTreeMap<&'static str, String>,
    /// Hosts (`host` or `host:port`) that may serve files beside the registry's or the URL's own.
    pub(crate) allowed_hosts: Vec<String>,
}

impl Endpoints {
    /// No registry yet, and hosts that may serve files.
    #[must_use]
    pub(crate) fn allowing(hosts: &[String]) -> Self {
        Self {
            known: BTreeMap::new(),
            allowed_hosts: hosts.to_vec(),
        }
    }

    /// Says where a registry is.
    ///
    /// # Errors
    /// When the text is none that the front takes.
    pub(crate) fn set(&mut self, front: &'static Front, text: &str) -> Result<(), EndpointError> {
        let text = (front.endpoint)(text)?;
        self.known.insert(front.kind, text);
        Ok(())
    }

    /// What is known of a registry's endpoint, by the type of its package URLs.
    #[must_use]
    pub(crate) fn text(&self, kind: &str) -> Option<&str> {
        self.known.get(kind).map(String::as_str)
    }

    /// The address of a registry that has one.
    ///
    /// # Errors
    /// When none is known.
    pub(super) fn address(&self, front: &Front) -> Result<SlashUrl, PublishError> {
        let known = self.text(front.kind).map(SlashUrl::parse);
        match known {
            Some(Ok(url)) => Ok(url),
            Some(Err(_)) | None => Err(PublishError::NoEndpoint(front.key)),
        }
    }
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
    pub(crate) fn join(&self, segment: &str) -> Url {
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
    #[error("{0:?} is not an http or https URL without credentials")]
    Url(String),
    /// The text is no list of archives.
    #[error("it is no list of archives as in sources.list: {0}")]
    Sources(String),
    /// apt does not say which archives it uses.
    #[error("asking apt for its archives; or set registries.deb")]
    Apt(#[source] AptError),
    /// The client is not installed, or cannot be started.
    #[error("starting {program:?} to ask for its registry; install it or set {key}")]
    Start {
        /// The configuration key that makes asking unnecessary.
        key: &'static str,
        /// The program.
        program: OsString,
        /// What the system said.
        source: std::io::Error,
    },
    /// The client failed, said too much or said nothing.
    #[error("{program:?} does not say which registry it uses ({problem}); set {key}")]
    Answer {
        /// The configuration key that makes asking unnecessary.
        key: &'static str,
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
) -> Result<String, EndpointError> {
    let folder = tempfile::tempdir().map_err(|source| starting(program, KEY_NPM, source))?;
    let mut command = Command::new(program);
    command
        .args(["config", "get", "registry", "--location=global"])
        .current_dir(folder.path())
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| is_npm_setting(name)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let said = ask(command, limit, KEY_NPM).await?;
    if !said.success {
        return Err(answer(program, KEY_NPM, "it failed".to_owned()));
    }
    address_in(said.text.trim(), program, KEY_NPM)
}

/// Asks cargo which index it would read in the place of its default registry.
///
/// Cargo has no command that says so: on an ordinary machine the address stands in no file. But it
/// names the URL of a download that fails. So it is made to resolve a package of ours with one
/// dependency, through a proxy that refuses every connection: nothing leaves the machine, and
/// replacements in its user's configuration are followed by cargo itself, however many there are.
///
/// `program` is a trusted tool of this machine. It runs in the root folder, because cargo reads the
/// configuration of every folder above the one in which it runs, and the shared temporary folder is
/// one where anybody may put some.
///
/// # Errors
/// See [`EndpointError`]; each names the configuration key that makes this unnecessary.
pub(crate) async fn discover_cargo(
    program: &OsStr,
    limit: Duration,
) -> Result<String, EndpointError> {
    let start = |source| starting(program, KEY_CARGO, source);
    let folder = tempfile::tempdir().map_err(start)?;
    let manifest = folder.path().join("Cargo.toml");
    std::fs::write(&manifest, CARGO_QUESTION).map_err(start)?;
    std::fs::write(folder.path().join("lib.rs"), "").map_err(start)?;
    // bound and never listening: as long as we hold it, nobody else can answer at this port
    let refusing = TcpSocket::new_v4().map_err(start)?;
    refusing
        .bind((Ipv4Addr::LOCALHOST, 0).into())
        .map_err(start)?;
    let proxy = format!("http://{}", refusing.local_addr().map_err(start)?);
    let mut command = Command::new(program);
    command
        .args(["generate-lockfile", "--manifest-path"])
        .arg(&manifest)
        .current_dir("/")
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| is_cargo_setting(name)))
        .env("CARGO_HTTP_PROXY", &proxy)
        .env("CARGO_NET_RETRY", "0")
        .env("CARGO_NET_OFFLINE", "false")
        .env("CARGO_REGISTRIES_CRATES_IO_PROTOCOL", "sparse")
        .env("CARGO_TERM_COLOR", "never")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let said = ask(command, limit, KEY_CARGO).await?;
    let url = index_in(&said.text).ok_or_else(|| {
        let problem = "no address of a sparse index in its error messages";
        answer(program, KEY_CARGO, problem.to_owned())
    })?;
    address_in(url, program, KEY_CARGO)
}

/// Asks pip which index it would read.
///
/// pip prints the addresses that it is going to search before it does so. Nothing leaves the machine:
/// its way out is a proxy that refuses every connection. `index versions` reads lists only: unlike
/// `install --dry-run` and `download` it runs no project's code, and the name is not even one.
///
/// `program` is a trusted tool of this machine. It runs in a new empty folder; of the environment it
/// gets what finds the tool and its user's settings.
///
/// # Errors
/// See [`EndpointError`]; each names the configuration key that makes this unnecessary. Several
/// indexes are an error: which one a name belongs to would be a guess.
pub(crate) async fn discover_pypi(
    program: &OsStr,
    limit: Duration,
) -> Result<String, EndpointError> {
    let start = |source| starting(program, KEY_PYPI, source);
    let folder = tempfile::tempdir().map_err(start)?;
    // bound and never listening: as long as we hold it, nobody else can answer at this port
    let refusing = TcpSocket::new_v4().map_err(start)?;
    refusing
        .bind((Ipv4Addr::LOCALHOST, 0).into())
        .map_err(start)?;
    let proxy = format!("http://{}", refusing.local_addr().map_err(start)?);
    let mut command = Command::new(program);
    command
        .args(["index", "versions", "-vv", "--retries", "0", "--proxy"])
        .args([&proxy, PYPI_QUESTION])
        .current_dir(folder.path())
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| is_pip_setting(name)))
        .env("PIP_NO_COLOR", "1")
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let said = ask(command, limit, KEY_PYPI).await?;
    let url = simple_index_in(&said.text)
        .map_err(|problem| answer(program, KEY_PYPI, problem.to_owned()))?;
    address_in(url, program, KEY_PYPI)
}

/// The name that pip is asked about.
const PYPI_QUESTION: &str = "question";

/// The index in pip's list of addresses, each the index and the name that it was asked about.
fn simple_index_in(text: &str) -> Result<&str, &'static str> {
    let mut found = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("* "))
        .filter_map(|url| {
            let url = url.strip_suffix('/').unwrap_or(url);
            url.strip_suffix(PYPI_QUESTION)
        });
    match (found.next(), found.next()) {
        (Some(index), None) if index.ends_with('/') => Ok(index),
        (Some(_), Some(_)) => Err("it has several indexes"),
        (None | Some(_), _) => Err("no address of an index in what it prints"),
    }
}

/// A package with one dependency. It is a workspace of its own, so that none above it is looked for.
const CARGO_QUESTION: &str = r#"[package]
name = "question"
version = "0.0.0"
edition = "2021"
[lib]
path = "lib.rs"
[workspace]
[dependencies]
a = "*"
"#;

/// The index in the URL of a download that failed: of its `config.json`, or of the file of `a`.
fn index_in(text: &str) -> Option<&str> {
    text.split(['`', '"', '\'', ' ', '\n', '(', ')'])
        .filter(|word| word.starts_with("https://") || word.starts_with("http://"))
        .find_map(|word| {
            let base = word.strip_suffix("config.json");
            base.or_else(|| word.strip_suffix("1/a"))
        })
        .filter(|base| base.ends_with('/'))
}

/// Asks a client that prints the addresses of its registries, each on a line of its own. It runs in a new
/// empty folder; of the environment it gets what finds it and its user's settings.
///
/// # Errors
/// See [`EndpointError`]; each names the configuration key that makes this unnecessary. Several
/// registries are an error: which one a name belongs to would be a guess.
pub(super) async fn discover_printed(
    program: &OsStr,
    question: &[&str],
    key: &'static str,
    limit: Duration,
) -> Result<String, EndpointError> {
    let folder = tempfile::tempdir().map_err(|source| starting(program, key, source))?;
    let kept = |name: &OsStr| name == "PATH" || name == "HOME";
    let mut command = Command::new(program);
    command
        .args(question)
        .current_dir(folder.path())
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| kept(name)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let said = ask(command, limit, key).await?;
    let is_address = |line: &&str| line.starts_with("https://") || line.starts_with("http://");
    let mut lines = said.text.lines().map(str::trim).filter(is_address);
    match (said.success, lines.next(), lines.next()) {
        (true, Some(url), None) => address_in(url, program, key),
        (true, Some(_), Some(_)) => Err(answer(program, key, "it has several".to_owned())),
        (true, None, _) => Err(answer(program, key, "it prints no address".to_owned())),
        (false, ..) => Err(answer(program, key, "it failed".to_owned())),
    }
}

/// The address that a client said.
fn address_in(url: &str, program: &OsStr, key: &'static str) -> Result<String, EndpointError> {
    match SlashUrl::parse(url) {
        Ok(url) => Ok(url.url().to_string()),
        Err(error) => Err(answer(program, key, error.to_string())),
    }
}

/// What a client said.
struct Said {
    text: String,
    success: bool,
}

/// Runs a client that prints to one pipe, and reads what it prints, to its end and within limits.
async fn ask(
    mut command: Command,
    limit: Duration,
    key: &'static str,
) -> Result<Said, EndpointError> {
    let program = command.as_std().get_program().to_owned();
    let mut child = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| starting(&program, key, source))?;
    let mut text = String::new();
    let run = async {
        if let Some(stdout) = child.stdout.take() {
            stdout.take(ANSWER_BYTES).read_to_string(&mut text).await?;
        }
        if let Some(stderr) = child.stderr.take() {
            stderr.take(ANSWER_BYTES).read_to_string(&mut text).await?;
        }
        child.wait().await
    };
    match timeout(limit, run).await {
        Ok(Ok(status)) => Ok(Said {
            text,
            success: status.success(),
        }),
        Ok(Err(error)) => Err(answer(&program, key, error.to_string())),
        Err(_) => {
            let problem = format!("no answer in {} s", limit.as_secs());
            Err(answer(&program, key, problem))
        }
    }
}

fn starting(program: &OsStr, key: &'static str, source: std::io::Error) -> EndpointError {
    EndpointError::Start {
        key,
        program: program.to_owned(),
        source,
    }
}

fn answer(program: &OsStr, key: &'static str, problem: String) -> EndpointError {
    EndpointError::Answer {
        key,
        program: program.to_owned(),
        problem,
    }
}

/// Whether a variable says where npm is or what its user configured.
fn is_npm_setting(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    matches!(&*name, "PATH" | "HOME") || name.to_ascii_lowercase().starts_with("npm_config_")
}

/// Whether a variable says where cargo is or what its user configured about registries.
fn is_cargo_setting(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    matches!(&*name, "PATH" | "HOME" | "CARGO_HOME")
        || ["RUSTUP_", "CARGO_SOURCE_", "CARGO_REGISTR"]
            .iter()
            .any(|start| name.starts_with(start))
}

/// Whether a variable says where pip is or what its user configured.
fn is_pip_setting(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    matches!(
        &*name,
        "PATH" | "HOME" | "XDG_CONFIG_HOME" | "XDG_CONFIG_DIRS"
    ) || ["PIP_", "PYENV_"]
        .iter()
        .any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn client(script: &str) -> (tempfile::TempDir, OsString) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("client");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        (folder, program.into_os_string())
    }

    async fn ask(script: &str, seconds: u64) -> Result<String, EndpointError> {
        let (_folder, program) = client(script);
        discover_npm(&program, Duration::from_secs(seconds)).await
    }

    async fn ask_cargo(script: &str, seconds: u64) -> Result<String, EndpointError> {
        let (_folder, program) = client(script);
        discover_cargo(&program, Duration::from_secs(seconds)).await
    }

    /// The installed pip names an index although no connection can be made.
    #[tokio::test]
    async fn pip_names_its_index_without_a_network() {
        let found = discover_pypi(OsStr::new("pip"), Duration::from_secs(60)).await;
        let found = found.unwrap();
        assert!(found.starts_with("http"), "{found}");
    }

    #[tokio::test]
    async fn pip_follows_its_users_configuration_and_every_failure_names_the_key() {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("pip.conf");
        let path = config.display().to_string();
        let script = format!("PIP_CONFIG_FILE='{path}' exec pip \"$@\"");
        let pip = async |text: &str| {
            fs::write(&config, text).unwrap();
            let (_folder, program) = client(&script);
            discover_pypi(&program, Duration::from_secs(60)).await
        };
        let one = "[global]\nindex-url = https://one.example/simple\n";
        let found = pip(one).await.unwrap();
        assert_eq!(found, "https://one.example/simple/");
        let two = format!("{one}extra-index-url = https://two.example/simple\n");
        let error = pip(&two).await.unwrap_err();
        assert!(error.to_string().contains("several"), "{error}");
        for script in [
            "true",
            "echo '* https://registry.example/'",
            "echo '* https://u:p@registry.example/simple/question/'",
            "echo '* file:///question/'",
            "yes question",
            "exec 1>&-; exec sleep 60",
        ] {
            let (_folder, program) = client(script);
            let error = discover_pypi(&program, Duration::from_secs(2)).await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains(KEY_PYPI), "{script}: {error}");
        }
    }

    /// The installed cargo names an index although no connection can be made.
    #[tokio::test]
    async fn cargo_names_its_index_without_a_network() {
        let found = discover_cargo(OsStr::new("cargo"), Duration::from_secs(60)).await;
        let found = found.unwrap();
        assert!(found.starts_with("http"), "{found}");
    }

    /// Replacements of the default registry in the user's own configuration are followed.
    #[tokio::test]
    async fn cargo_follows_the_users_configuration() {
        let home = tempfile::tempdir().unwrap();
        fs::write(
            home.path().join("config.toml"),
            "[source.crates-io]\nreplace-with = \"one\"\n[source.one]\nregistry = \"sparse+https://one.example/i/\"\nreplace-with = \"two\"\n[source.two]\nregistry = \"sparse+https://two.example/i/\"\n",
        )
        .unwrap();
        let script = format!("CARGO_HOME='{}' exec cargo \"$@\"", home.path().display());
        let found = ask_cargo(&script, 60).await.unwrap();
        assert_eq!(found, "https://two.example/i/");
    }

    #[tokio::test]
    async fn cargo_is_asked_in_the_root_folder_and_every_failure_names_the_key() {
        let script = r#"
            test "$(pwd)" = / || exit 1
            test -z "$CARGO_MANIFEST_DIR" || exit 1
            echo 'failed to download from `https://registry.example/index/config.json`' >&2
            exit 101"#;
        let found = ask_cargo(script, 60).await.unwrap();
        assert_eq!(found, "https://registry.example/index/");
        for script in [
            "true",
            "echo 'failed: `https://registry.example/git`' >&2; exit 101",
            "echo 'failed: `https://u:p@registry.example/config.json`' >&2",
            "echo 'failed: `file:///config.json`' >&2",
            "yes config.json >&2",
            "exec 2>&-; exec sleep 60",
        ] {
            let error = ask_cargo(script, 2).await.unwrap_err();
            assert!(error.to_string().contains(KEY_CARGO), "{script}: {error}");
        }
    }

    #[tokio::test]
    async fn a_client_is_asked_in_an_empty_folder() {
        let script = r#"
            test "$*" = "config get registry --location=global" || exit 1
            test -z "$(ls -A)" || exit 2
            test -z "$CARGO_MANIFEST_DIR" || exit 3
            echo https://registry.example/npm"#;
        let found = ask(script, 60).await.unwrap();
        assert_eq!(found, "https://registry.example/npm/");
        assert_eq!(
            SlashUrl::parse(&found).unwrap().join("@s%2fn").as_str(),
            "https://registry.example/npm/@s%2fn"
        );
    }

    #[tokio::test]
    async fn a_client_that_prints_its_registry_is_read() {
        const KEY: &str = "registries.some";
        let ask = async |script: &str| {
            let (_folder, program) = client(script);
            let limit = Duration::from_secs(60);
            discover_printed(&program, &["sources", "--list"], KEY, limit).await
        };
        let found = ask("echo '*** SOURCES ***'; echo; echo https://some.example/").await;
        assert_eq!(found.unwrap(), "https://some.example/");
        for script in [
            "true",
            "echo https://one.example/; echo https://two.example/",
            "echo https://u:p@some.example/",
            "echo https://some.example/; exit 1",
        ] {
            let error = ask(script).await.unwrap_err();
            assert!(error.to_string().contains(KEY), "{script}: {error}");
        }
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
