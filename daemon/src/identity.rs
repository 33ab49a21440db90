//! Who this rebuilder is: what statements, pages and its own signed card say of it.
//!
//! What is here is public. The old key of a rotation is needed once, when `key rotate` has it sign, and
//! never by the daemon.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use countersign_attest::declaration::{Card, CardError, Declaration, Identity};
use countersign_attest::dsse::Limits;
use countersign_attest::statement::{KeyIsolation, Rebuilder};

use crate::clock;
use crate::config::Config;
use crate::signers::Signers;
use crate::trouble::Trouble;

/// The file beside a key with the changes of key that led to it, one envelope a line.
const ROTATIONS: &str = "rotations.jsonl";
/// Longest such file in bytes.
const MAX_ROTATIONS_BYTES: u64 = 1 << 20;

/// The rebuilder as statements name it; how its key is kept is the signer's own word.
#[must_use]
pub(crate) fn rebuilder(id: &str, key_isolation: KeyIsolation) -> Rebuilder {
    Rebuilder {
        id: id.to_owned(),
        version: BTreeMap::from([(
            "countersign".to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        )]),
        key_isolation,
    }
}

/// The card that the service shows to those who may come to trust it.
///
/// # Errors
/// When the changes of key beside the key are not this rebuilder's, or the signer refuses.
pub(crate) async fn card(config: &Config, signers: &Signers) -> Result<Vec<u8>, Trouble> {
    let identity = Declaration::Identity(Identity {
        rebuilder: config.rebuilder.id.clone(),
        address: config.rebuilder.address.clone(),
        key: signers.public(),
        log: None,
        issued_on: clock::now(),
    });
    let identity = signers.declare(identity).await?;
    let path = rotations_beside(config.keys.public_source());
    let rotations = rotations(&path).map_err(|error| Trouble::fault("key", error))?;
    let refused = |error: CardError| {
        let error = anyhow!(error).context(format!(
            "serving the identity with {}; is it of another rebuilder or key?",
            path.display()
        ));
        Trouble::refused("identity", error)
    };
    let card = Card::write(&identity, &rotations).map_err(refused)?;
    Card::parse(&card, &Limits::default()).map_err(refused)?; // what readers would refuse is not served
    Ok(card)
}

/// Where the changes of key are kept.
#[must_use]
pub(crate) fn rotations_beside(key: &Path) -> PathBuf {
    key.with_file_name(ROTATIONS)
}

/// The envelopes of a file of changes; none where there is no file.
///
/// # Errors
/// When the system refuses, or it is too long.
pub(crate) fn rotations(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("opening {}", path.display()))?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_ROTATIONS_BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("reading {}", path.display()))?;
    if bytes.len() as u64 > MAX_ROTATIONS_BYTES {
        anyhow::bail!(
            "{} is longer than {MAX_ROTATIONS_BYTES} bytes",
            path.display()
        );
    }
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    Ok(lines
        .filter(|l| !l.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}
