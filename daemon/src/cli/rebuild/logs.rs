//! Logs of builds that did not end well: kept for the user, raw, and their ends shown, escaped.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use countersign_attest::digest::Sha256;
use countersign_attest::escape::printable;
use countersign_builder::outcome::{Ended, LogRecord};

use crate::pipeline::{ArtifactResult, Findings, issue};
use crate::trouble::Trouble;
use crate::workshop::Workshop;

/// Most lines of a log's end that are shown.
const SHOWN_LINES: usize = 12;

/// Writes the log of every build that failed to the folder, as `DIGEST.log`.
///
/// # Errors
/// When the disk refuses.
pub(super) fn keep(workshop: &Workshop, findings: &Findings, out: &Path) -> Result<(), Trouble> {
    let all = findings.artifacts.iter().flat_map(failed);
    let digests: BTreeSet<Sha256> = all.map(|log| log.sha256).collect();
    for digest in digests {
        issue::write_new(out, &format!("{digest}.log"), &workshop.log(&digest)?)?;
    }
    Ok(())
}

/// The end of the log of an artifact's last failed build, where there is one.
///
/// # Errors
/// When the disk refuses.
pub(super) fn show(
    text: &mut String,
    workshop: &Workshop,
    result: &ArtifactResult,
    out: &Path,
) -> Result<(), Trouble> {
    let Some(log) = failed(result).last() else {
        return Ok(());
    };
    let bytes = workshop.log(&log.sha256)?;
    let lines: Vec<String> = String::from_utf8_lossy(&bytes)
        .lines()
        .map(printable)
        .collect();
    let path = out.join(format!("{}.log", log.sha256));
    let _ = writeln!(text, "  log          {}", path.display());
    for line in lines.iter().skip(lines.len().saturating_sub(SHOWN_LINES)) {
        let _ = writeln!(text, "    | {line}");
    }
    Ok(())
}

fn failed(result: &ArtifactResult) -> impl Iterator<Item = &LogRecord> {
    let outcomes = result.attempts.iter().flat_map(|attempt| &attempt.outcomes);
    outcomes
        .filter(|outcome| outcome.ended != Ended::Completed)
        .map(|outcome| &outcome.log)
}
