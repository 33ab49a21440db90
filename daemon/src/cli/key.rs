//! `countersign key new|show|import|rotate`.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Subcommand;
use countersign_attest::key::AnyPublicKey;

use super::{Exit, Format, output, rotate};
use crate::config::Config;
use crate::config::keys::OperatorKeys;
use crate::keys::place::SecretFile;
use crate::keys::{self, Passphrase};
use crate::trouble::Trouble;

/// Subcommands of `key`.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Makes a new Ed25519 key: PKCS#8 PEM, mode 0600, and its public key beside it.
    New {
        /// Where to write it; it must not exist.
        file: PathBuf,
        /// Encrypts it under a pass phrase, which is asked for.
        #[arg(long, conflicts_with = "passphrase")]
        encrypt: bool,
        /// Encrypts it under the first line of this file (or credential:NAME).
        #[arg(long, value_name = "FILE")]
        passphrase: Option<String>,
    },
    /// Shows the public key, its fingerprint and its key ids; anybody's public key too.
    Show {
        /// A private or public key; by default the configuration's.
        file: Option<PathBuf>,
        /// The file with the pass phrase of an encrypted key; else it is asked for.
        #[arg(long, value_name = "FILE")]
        passphrase: Option<String>,
    },
    /// Copies a key that another tool made (`openssl genpkey -algorithm ed25519`), encrypted or not.
    Import {
        /// The PEM file to read.
        from: PathBuf,
        /// Where to write it; it must not exist. By default the configuration's key.
        to: Option<PathBuf>,
        /// The file with the pass phrase of an encrypted key; else it is asked for.
        #[arg(long, value_name = "FILE")]
        passphrase: Option<String>,
    },
    /// Has the configuration's key and a new one sign that one follows the other, for readers who pinned
    /// the old one. Writes rotations.jsonl beside the new key.
    Rotate(rotate::RotateArguments),
}

pub(super) fn run(command: &KeyCommand, config: &Path, format: Format) -> Result<Exit, Trouble> {
    let configured = || {
        Config::load(config)
            .map_err(Trouble::refusal)
            .map(|c| c.keys)
    };
    let made = |keys: &OperatorKeys| {
        let message = "the configuration's key is no file that could be made here; name one";
        let path = keys.file().map(Path::to_owned);
        path.ok_or_else(|| Trouble::refused("key", anyhow!(message)))
    };
    let (path, public) = match command {
        KeyCommand::Rotate(arguments) => {
            let config = Config::load(config).map_err(Trouble::refusal)?;
            return rotate::run(&config, arguments, format);
        }
        KeyCommand::New {
            file,
            encrypt,
            passphrase,
        } => {
            let passphrase = if *encrypt {
                Passphrase::Asked
            } else {
                said(passphrase.as_deref())?
            };
            (file.clone(), keys::new(file, &passphrase).map(Into::into))
        }
        KeyCommand::Show { file, passphrase } => match file {
            Some(file) => (
                file.clone(),
                keys::show_any(file, &said(passphrase.as_deref())?),
            ),
            None => {
                let keys = configured()?;
                let path = keys.public_source().to_owned();
                let public = keys::show(&path, &keys.passphrase());
                (path, public.map(Into::into))
            }
        },
        KeyCommand::Import {
            from,
            to,
            passphrase,
        } => {
            let path = match to {
                Some(path) => path.clone(),
                None => made(&configured()?)?,
            };
            let public = keys::import(from, &path, &said(passphrase.as_deref())?);
            (path, public.map(Into::into))
        }
    };
    let public: AnyPublicKey = public.map_err(keys::KeyFileError::into_trouble)?;
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

/// Where a pass phrase is, by the command line.
fn said(place: Option<&str>) -> Result<Passphrase, Trouble> {
    let place = place.map(|text| SecretFile::parse(text, Path::new("")));
    let place = place.transpose().map_err(Trouble::refusal)?;
    Ok(place.map_or(Passphrase::Terminal, Passphrase::File))
}
