//! `countersign log tail`: what a build says, while it says it.
//!
//! On a terminal it is escaped: a stranger wrote it. Into a pipe it goes raw.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Subcommand;

use super::{Exit, output};
use crate::blobs::Blobs;
use crate::config::Config;
use crate::live::{Follower, Look};
use crate::store::Store;
use crate::trouble::Trouble;

/// Most bytes of a log that are shown of a rebuild that is over.
const MAX_LOG: u64 = 1 << 30;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Subcommands of `log`.
#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Follows the log of a rebuild that runs, to its end; of one that is over, shows it.
    Tail {
        /// The rebuild's number, as `release show` has it.
        rebuild: i64,
        /// Writes what the build said as it is, also to a terminal, and nothing else.
        #[arg(long)]
        raw: bool,
    },
}

pub(super) async fn run(command: &LogCommand, config: &Config) -> Result<Exit, Trouble> {
    let LogCommand::Tail { rebuild, raw } = command;
    let mut out = Out {
        raw: *raw,
        escaped: !raw && io::stdout().is_terminal(),
        escaper: output::Escaper::default(),
    };
    let disk = |error: io::Error| {
        let error = anyhow::Error::new(error).context("reading the log of a build");
        Trouble::fault("disk", error)
    };
    let scratch = config.data.join("scratch");
    let Some(mut follower) = Follower::find(&scratch, *rebuild).map_err(disk)? else {
        return ended(*rebuild, config, &mut out).await;
    };
    loop {
        match follower.look().map_err(disk)? {
            Look::Begins(build) => out.begins(&format!("build {build}")),
            Look::Bytes(bytes) => {
                if !out.said(&bytes)? {
                    return Ok(Exit::Good); // nobody reads any more
                }
            }
            Look::Nothing => tokio::time::sleep(PAUSE).await,
            Look::Over => return Ok(Exit::Good),
        }
    }
}

/// The logs of a rebuild that does not run.
async fn ended(rebuild: i64, config: &Config, out: &mut Out) -> Result<Exit, Trouble> {
    let fault = |error| Trouble::fault("store", anyhow::Error::new(error));
    let unknown = || {
        let text =
            format!("there is no rebuild {rebuild}; `countersign release show` has their numbers");
        Trouble::refused("no-rebuild", anyhow!(text))
    };
    let store = Store::open_beside(&config.data).await.map_err(fault)?;
    let store = store.ok_or_else(unknown)?;
    let found = store.rebuild_findings(rebuild).await.map_err(fault)?;
    let (state, findings) = found.ok_or_else(unknown)?;
    let outcomes = findings
        .iter()
        .flat_map(|result| &result.attempts)
        .flat_map(|attempt| &attempt.outcomes);
    let mut logs: Vec<_> = outcomes.map(|outcome| outcome.log.sha256).collect();
    let mut seen = std::collections::BTreeSet::new();
    logs.retain(|log| seen.insert(*log)); // artifacts share builds, and builds say the same
    if logs.is_empty() {
        output::say(&format!("rebuild {rebuild} is {state} and has no log"));
        return Ok(Exit::NotMet);
    }
    let blobs = Blobs::open(config.data.join("blobs"))
        .context("opening the stored logs")
        .map_err(|error| Trouble::fault("disk", error))?;
    for log in logs {
        out.begins(&format!("log sha256:{log}"));
        let bytes = blobs
            .bytes(&log, MAX_LOG)
            .with_context(|| format!("reading the log sha256:{log}"))
            .map_err(|error| Trouble::fault("disk", error))?;
        if !out.said(&bytes)? {
            break;
        }
    }
    Ok(Exit::Good)
}

/// Standard output, as whoever reads it needs it.
struct Out {
    raw: bool,
    escaped: bool,
    escaper: output::Escaper,
}

impl Out {
    /// Says on standard error what comes now.
    fn begins(&self, what: &str) {
        if !self.raw {
            output::say(&format!("== {what}"));
        }
    }

    /// Passes bytes on; `false` when the reader has gone.
    fn said(&mut self, bytes: &[u8]) -> Result<bool, Trouble> {
        let mut out = io::stdout().lock();
        let written = if self.escaped {
            out.write_all(self.escaper.push(bytes).as_bytes())
        } else {
            out.write_all(bytes)
        };
        match written.and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Trouble::fault(
                "output",
                anyhow::Error::new(error).context("writing to standard output"),
            )),
        }
    }
}
