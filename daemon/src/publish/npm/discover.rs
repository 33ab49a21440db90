//! Which registry npm's client uses.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::publish::client::{address_in, answer, ask, starting};
use crate::publish::endpoints::{EndpointError, KEY_NPM};

/// Asks npm's client which registry its user has configured.
///
/// `program` is a trusted tool of this machine. It runs in a new empty folder and with
/// `--location=global`: without that, npm walks up from the folder and obeys the `.npmrc` of a
/// stranger's project, for instance one that another user puts into the shared temporary folder.
/// Of the environment it gets what finds the tool and its user's settings, nothing else.
///
/// # Errors
/// See [`EndpointError`]; each names the configuration key that makes this unnecessary.
pub(super) async fn address(program: &OsStr, limit: Duration) -> Result<String, EndpointError> {
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

/// Whether a variable says where npm is or what its user configured.
fn is_npm_setting(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    matches!(&*name, "PATH" | "HOME") || name.to_ascii_lowercase().starts_with("npm_config_")
}

#[cfg(test)]
mod tests {
    use crate::publish::client::tests::client;
    use crate::publish::endpoints::SlashUrl;

    use super::*;

    async fn asked(script: &str, seconds: u64) -> Result<String, EndpointError> {
        let (_folder, program) = client(script);
        address(&program, Duration::from_secs(seconds)).await
    }

    #[tokio::test]
    async fn a_client_is_asked_in_an_empty_folder() {
        let script = r#"
            test "$*" = "config get registry --location=global" || exit 1
            test -z "$(ls -A)" || exit 2
            test -z "$CARGO_MANIFEST_DIR" || exit 3
            echo https://registry.example/npm"#;
        let found = asked(script, 60).await.unwrap();
        assert_eq!(found, "https://registry.example/npm/");
        assert_eq!(
            SlashUrl::parse(&found).unwrap().join("@s%2fn").as_str(),
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
            let error = asked(script, 2).await.unwrap_err();
            assert!(error.to_string().contains(KEY_NPM), "{script}: {error}");
        }
        let absent = address(OsStr::new("/nowhere/client"), Duration::from_secs(1)).await;
        assert!(matches!(absent, Err(EndpointError::Start { .. })));
    }
}
