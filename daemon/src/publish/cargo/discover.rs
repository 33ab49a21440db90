//! Which index cargo reads in the place of its default registry.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::publish::client::{Refusing, address_in, answer, ask, starting};
use crate::publish::endpoints::{EndpointError, KEY_CARGO};

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
pub(super) async fn address(program: &OsStr, limit: Duration) -> Result<String, EndpointError> {
    let start = |source| starting(program, KEY_CARGO, source);
    let folder = tempfile::tempdir().map_err(start)?;
    let manifest = folder.path().join("Cargo.toml");
    std::fs::write(&manifest, QUESTION).map_err(start)?;
    std::fs::write(folder.path().join("lib.rs"), "").map_err(start)?;
    let refusing = Refusing::bind().map_err(start)?;
    let mut command = Command::new(program);
    command
        .args(["generate-lockfile", "--manifest-path"])
        .arg(&manifest)
        .current_dir("/")
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| is_cargo_setting(name)))
        .env("CARGO_HTTP_PROXY", &refusing.url)
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

/// A package with one dependency. It is a workspace of its own, so that none above it is looked for.
const QUESTION: &str = r#"[package]
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

/// Whether a variable says where cargo is or what its user configured about registries.
fn is_cargo_setting(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    matches!(&*name, "PATH" | "HOME" | "CARGO_HOME")
        || ["RUSTUP_", "CARGO_SOURCE_", "CARGO_REGISTR"]
            .iter()
            .any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::publish::client::tests::client;

    use super::*;

    async fn asked(script: &str, seconds: u64) -> Result<String, EndpointError> {
        let (_folder, program) = client(script);
        address(&program, Duration::from_secs(seconds)).await
    }

    /// The installed cargo names an index although no connection can be made.
    #[tokio::test]
    async fn cargo_names_its_index_without_a_network() {
        let found = address(OsStr::new("cargo"), Duration::from_secs(60)).await;
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
        let found = asked(&script, 60).await.unwrap();
        assert_eq!(found, "https://two.example/i/");
    }

    #[tokio::test]
    async fn cargo_is_asked_in_the_root_folder_and_every_failure_names_the_key() {
        let script = r#"
            test "$(pwd)" = / || exit 1
            test -z "$CARGO_MANIFEST_DIR" || exit 1
            echo 'failed to download from `https://registry.example/index/config.json`' >&2
            exit 101"#;
        let found = asked(script, 60).await.unwrap();
        assert_eq!(found, "https://registry.example/index/");
        for script in [
            "true",
            "echo 'failed: `https://registry.example/git`' >&2; exit 101",
            "echo 'failed: `https://u:p@registry.example/config.json`' >&2",
            "echo 'failed: `file:///config.json`' >&2",
            "yes config.json >&2",
            "exec 2>&-; exec sleep 60",
        ] {
            let error = asked(script, 2).await.unwrap_err();
            assert!(error.to_string().contains(KEY_CARGO), "{script}: {error}");
        }
    }
}
