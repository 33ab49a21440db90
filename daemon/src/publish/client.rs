//! How an ecosystem's own client is asked which registry its user has configured: it is a trusted tool of
//! this machine, asked for its configuration only, from a folder without anybody's files, within limits.
//! What to ask, and how an answer is read, is the business of each front.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio::process::Command;
use tokio::time::timeout;

use super::endpoints::{EndpointError, SlashUrl};

/// Most bytes of an answer: one URL, or an error message.
const ANSWER_BYTES: u64 = 4096;

/// Longest time for asking.
pub(super) const TIME: Duration = Duration::from_secs(30);

/// Asks a client that prints the addresses of its registries, each on a line of its own. It runs in a new
/// empty folder; of the environment it gets what finds it and its user's settings.
///
/// # Errors
/// See [`EndpointError`]; each names the configuration key that makes this unnecessary. Several
/// registries are an error: which one a name belongs to would be a guess.
pub(super) async fn printed_address(
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

/// A proxy that refuses every connection, so that nothing of a client leaves the machine: an address that
/// is bound and never listened at. As long as it is held, nobody else can answer there.
pub(super) struct Refusing {
    _held: TcpSocket,
    /// Its address, as a client takes one.
    pub(super) url: String,
}

impl Refusing {
    /// Takes a free port of the loopback.
    ///
    /// # Errors
    /// Of the system.
    pub(super) fn bind() -> std::io::Result<Self> {
        let held = TcpSocket::new_v4()?;
        held.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let url = format!("http://{}", held.local_addr()?);
        Ok(Self { _held: held, url })
    }
}

/// What a client said.
pub(super) struct Said {
    /// All of it, from whichever stream was a pipe.
    pub(super) text: String,
    /// Whether it ended well.
    pub(super) success: bool,
}

/// Runs a client that prints to one pipe, and reads what it prints, to its end and within limits.
pub(super) async fn ask(
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

/// The address that a client said.
pub(super) fn address_in(
    url: &str,
    program: &OsStr,
    key: &'static str,
) -> Result<String, EndpointError> {
    match SlashUrl::parse(url) {
        Ok(url) => Ok(url.url().to_string()),
        Err(error) => Err(answer(program, key, error.to_string())),
    }
}

/// It could not be started.
pub(super) fn starting(
    program: &OsStr,
    key: &'static str,
    source: std::io::Error,
) -> EndpointError {
    EndpointError::Start {
        key,
        program: program.to_owned(),
        source,
    }
}

/// It gave no answer, or none that is one.
pub(super) fn answer(program: &OsStr, key: &'static str, problem: String) -> EndpointError {
    EndpointError::Answer {
        key,
        program: program.to_owned(),
        problem,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::ffi::OsString;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A client that is a script; the folder keeps it.
    pub(in crate::publish) fn client(script: &str) -> (tempfile::TempDir, OsString) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("client");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        (folder, program.into_os_string())
    }

    #[tokio::test]
    async fn a_client_that_prints_its_registry_is_read() {
        const KEY: &str = "registries.some";
        let ask = async |script: &str| {
            let (_folder, program) = client(script);
            let limit = Duration::from_secs(60);
            printed_address(&program, &["sources", "--list"], KEY, limit).await
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
}
