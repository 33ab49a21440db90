//! `countersign key new|show|import|rotate`.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Exit, Format, output, rotate};
use crate::config::Config;
use crate::keys;
use crate::trouble::Trouble;

/// Subcommands of `key`.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Makes a new Ed25519 key: PKCS#8 PEM, mode 0600, and its public key beside it.
    New {
        /// Where to write it; it must not exist.
        file: PathBuf,
    },
    /// Shows the public key, its fingerprint and its key ids.
    Show {
        /// A private or public key; by default the configuration's.
        file: Option<PathBuf>,
    },
    /// Copies a key that another tool made (`openssl genpkey -algorithm ed25519`).
    Import {
        /// The PEM file to read.
        from: PathBuf,
        /// Where to write it; it must not exist. By default the configuration's key.
        to: Option<PathBuf>,
    },
    /// Has the configuration's key and a new one sign that one follows the other, for readers who pinned
    /// the old one. Writes rotations.jsonl beside the new key.
    Rotate(rotate::RotateArguments),
}

pub(super) fn run(command: &KeyCommand, config: &Path, format: Format) -> Result<Exit, Trouble> {
    let configured = || {
        Config::load(config)
            .map(|c| c.key)
            .map_err(Trouble::refusal)
    };
    let (path, public) = match command {
        KeyCommand::Rotate(arguments) => {
            let config = Config::load(config).map_err(Trouble::refusal)?;
            return rotate::run(&config, arguments, format);
        }
        KeyCommand::New { file } => (file.clone(), keys::new(file)),
        KeyCommand::Show { file } => {
            let path = file.clone().map_or_else(configured, Ok)?;
            let public = keys::show(&path);
            (path, public)
        }
        KeyCommand::Import { from, to } => {
            let path = to.clone().map_or_else(configured, Ok)?;
            let public = keys::import(from, &path);
            (path, public)
        }
    };
    let public = public.map_err(keys::KeyFileError::into_trouble)?;
    match format {
        Format::Json => output::json(&serde_json::json!({
            "file": path.display().to_string(),
            "fingerprint": public.fingerprint(),
            "keyId": public.key_id(),
            "spkiKeyId": public.spki_key_id(),
            "publicKey": public.to_pem(),
            "policyKey": public,
        }))?,
        Format::Text => output::text(&format!(
            "file         {}\nfingerprint  {}\nkey id       {}\nin a policy  {public}\n{}",
            path.display(),
            public.fingerprint(),
            public.key_id(),
            public.to_pem(),
        ))?,
    }
    Ok(Exit::Good)
}
