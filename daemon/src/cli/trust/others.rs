//! `trust add --software`: operators of other software. Nobody signs who they are, so that a key is shown as what
//! it is, the word of a server or of a file, and taken by the user's yes alone.

use std::collections::BTreeMap;

use anyhow::anyhow;
use clap::ValueEnum;
use countersign_attest::key::AnyPublicKey;
use countersign_attest::policy::software;
use countersign_verify::key_file;
use url::Url;

use super::add::{AddArguments, name_of, refuse};
use super::client;
use super::edit::Entry;
use crate::cli::{Exit, output};
use crate::consult::remote::AskLimits;
use crate::consult::{rebuilderd, remote};
use crate::trouble::{Trouble, with_causes};

/// Software whose evidence is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Software {
    /// Links of files that came out with the same bytes.
    Rebuilderd,
    /// Attestations under ECDSA keys.
    OssRebuild,
}

impl Software {
    const fn word(self) -> &'static str {
        match self {
            Self::Rebuilderd => software::REBUILDERD,
            Self::OssRebuild => software::OSS_REBUILD,
        }
    }

    /// Whether what this software makes is signed with such a key.
    const fn signs_with(self, key: &AnyPublicKey) -> bool {
        match self {
            Self::Rebuilderd => key.ed25519().is_some(),
            Self::OssRebuild => key.ecdsa_p256().is_some(),
        }
    }
}

/// The operator as it is to be taken, shown; or how the command ends without it.
pub(super) async fn entry(
    arguments: &AddArguments,
    software: Software,
) -> Result<Result<Entry, Exit>, Trouble> {
    let base = arguments.address.as_deref().map(|address| {
        remote::base(address, arguments.allow_http)
            .map_err(|error| Trouble::refusal(anyhow!(error).context(address.to_owned())))
    });
    let base = base.transpose()?;
    let mut keys = match (&arguments.public, &base, software) {
        (Some(place), _, _) => {
            let key = key_file::read(&place.display().to_string()).map_err(Trouble::refusal)?;
            output::say(&format!("{}, as you gave it", place.display()));
            vec![key]
        }
        (None, Some(base), Software::Rebuilderd) => match asked(arguments, base).await? {
            Ok(keys) => keys,
            Err(exit) => return Ok(Err(exit)),
        },
        (None, _, _) => {
            let message = "nobody can be asked for the key of this software: say --public FILE";
            return Err(Trouble::refused("usage", anyhow!(message)));
        }
    };
    for key in &keys {
        output::say(&format!(
            "  key        {key}\n             fingerprint {}",
            key.fingerprint()
        ));
    }
    if let Some(pin) = &arguments.key {
        keys.retain(|key| pin.is(key));
        if keys.is_empty() {
            return Ok(Err(refuse("this is not the key that --key names")));
        }
    }
    if let Some(other) = keys.iter().find(|key| !software.signs_with(key)) {
        let message = format!(
            "{} signs with no key of the kind of {other}",
            software.word()
        );
        return Err(Trouble::refused("usage", anyhow!(message)));
    }
    output::say(
        "Compare the fingerprint with what the operator says elsewhere. Evidence of this software says less than a \
         statement of ours; verify shows what.",
    );
    let name = arguments
        .name
        .clone()
        .or_else(|| base.as_ref().map(name_of));
    Ok(Ok(Entry {
        name: name.unwrap_or_default(), // clap asks for one where there is no address
        keys,
        rebuilder: base.map(String::from),
        log: None,
        attrs: BTreeMap::from([("software".to_owned(), software.word().to_owned())]),
    }))
}

/// What a service says that its keys are, by nobody's signature.
async fn asked(
    arguments: &AddArguments,
    base: &Url,
) -> Result<Result<Vec<AnyPublicKey>, Exit>, Trouble> {
    let http = client(arguments.allow_http)?;
    match rebuilderd::unverified_keys(&http, base, &AskLimits::default()).await {
        Ok(keys) => {
            output::say(&format!("{base} says of itself, signed by nobody"));
            Ok(Ok(keys))
        }
        Err(error) => {
            let exit = refuse(&format!("{base}: {}", with_causes(&error)));
            Ok(Err(if error.is_fault() { Exit::Fault } else { exit }))
        }
    }
}
