//! `countersign key rotate`: the change of a key, signed by the old and the new one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use countersign_attest::declaration::{Declaration, Rotation, join};
use countersign_attest::dsse::Limits;
use countersign_attest::time::Timestamp;

use super::{Exit, Format, output};
use crate::config::Config;
use crate::signer::{KeySource, SignerError};
use crate::trouble::Trouble;
use crate::{clock, identity, signers};

/// Arguments of `key rotate`.
#[derive(Debug, Args)]
pub(super) struct RotateArguments {
    /// The new key, made by `key new`.
    new: PathBuf,
    /// From when on the new key signs, and the old one does not; now, where absent.
    #[arg(long, value_name = "DAY|TIME", value_parser = moment)]
    at: Option<Timestamp>,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::from_day_or_time(text).map_err(|error| error.to_string())
}

pub(super) fn run(
    config: &Config,
    arguments: &RotateArguments,
    format: Format,
) -> Result<Exit, Trouble> {
    let old = signers::start(&config.keys.source)?;
    let new = signers::start(&KeySource::file(arguments.new.clone()))?;
    let from = arguments.at.unwrap_or_else(clock::now);
    let rotation = Declaration::Rotation(Rotation {
        rebuilder: config.rebuilder.id.clone(),
        old: old.public(),
        new: new.public(),
        from,
    });
    let refused = |error: SignerError| Trouble::refused("key", error);
    let halves = [old.declare(&rotation), new.declare(&rotation)];
    let [first, second] = halves;
    let joined = join(
        &first.map_err(refused)?,
        &second.map_err(refused)?,
        &Limits::default(),
    );
    let joined = joined.map_err(|error| Trouble::fault("bug", error))?;
    let path = identity::rotations_beside(&arguments.new);
    let mut sources = vec![identity::rotations_beside(config.keys.public_source())];
    if !sources.contains(&path) {
        sources.push(path.clone());
    }
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for source in sources {
        let known = identity::rotations(&source).map_err(|error| Trouble::fault("key", error))?;
        lines.extend(known);
    }
    lines.push(joined.trim_ascii().to_vec());
    write(&path, &lines)
        .with_context(|| format!("writing {}", path.display()))
        .map_err(|error| Trouble::fault("disk", error))?;
    let (old, new) = (old.public(), new.public());
    match format {
        Format::Json => output::json(&serde_json::json!({
            "file": path.display().to_string(),
            "old": old, "new": new, "from": from,
        }))?,
        Format::Text => {
            output::text(&format!(
                "{}\n  old   {}\n  new   {}\n  from  {from}\n",
                path.display(),
                old.fingerprint(),
                new.fingerprint(),
            ))?;
            output::say(&format!(
                "write key: {} into the configuration from then on, and start the daemon again",
                arguments.new.display()
            ));
        }
    }
    Ok(Exit::Good)
}

/// Beside it, then over it: a change that was signed is never lost.
fn write(path: &Path, lines: &[Vec<u8>]) -> io::Result<()> {
    let beside = path.with_extension("jsonl.new");
    let mut file = File::create(&beside)?;
    for line in lines {
        file.write_all(line)?;
        file.write_all(b"\n")?;
    }
    file.sync_all()?;
    fs::rename(&beside, path)
}
