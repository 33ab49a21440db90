//! Which index pip reads.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::publish::client::{Refusing, address_in, answer, ask, starting};
use crate::publish::endpoints::{EndpointError, KEY_PYPI};

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
pub(super) async fn address(program: &OsStr, limit: Duration) -> Result<String, EndpointError> {
    let start = |source| starting(program, KEY_PYPI, source);
    let folder = tempfile::tempdir().map_err(start)?;
    let refusing = Refusing::bind().map_err(start)?;
    let mut command = Command::new(program);
    command
        .args(["index", "versions", "-vv", "--retries", "0", "--proxy"])
        .args([&refusing.url, QUESTION])
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
const QUESTION: &str = "question";

/// The index in pip's list of addresses, each the index and the name that it was asked about.
fn simple_index_in(text: &str) -> Result<&str, &'static str> {
    let mut found = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("* "))
        .filter_map(|url| {
            let url = url.strip_suffix('/').unwrap_or(url);
            url.strip_suffix(QUESTION)
        });
    match (found.next(), found.next()) {
        (Some(index), None) if index.ends_with('/') => Ok(index),
        (Some(_), Some(_)) => Err("it has several indexes"),
        (None | Some(_), _) => Err("no address of an index in what it prints"),
    }
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

    use crate::publish::client::tests::client;

    use super::*;

    /// The installed pip names an index although no connection can be made.
    #[tokio::test]
    async fn pip_names_its_index_without_a_network() {
        let found = address(OsStr::new("pip"), Duration::from_secs(60)).await;
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
            address(&program, Duration::from_secs(60)).await
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
            let error = address(&program, Duration::from_secs(2)).await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains(KEY_PYPI), "{script}: {error}");
        }
    }
}
