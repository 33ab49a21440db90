//! `countersign compare`: two files side by side, without a release or a build.
//!
//! What is said here is about two files of the caller and is never signed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use countersign_attest::digest::{Sha256, Sha256Hasher};
use countersign_attest::escape::printable;
use countersign_attest::verdict::Verdict;
use countersign_builder::archive::ReadLimits;
use countersign_builder::child;
use countersign_builder::compare::{Compared, Comparison, normalization};
use countersign_verify::exit::Exit;
use serde::Serialize;

use super::rebuild::parse_accept;
use super::{Format, output};
use crate::difference::Difference;
use crate::pipeline::words;
use crate::trouble::Trouble;

/// Longest time for looking inside.
const TIME: Duration = Duration::from_secs(3600);
/// Bytes of each file that are read at once.
const BLOCK: usize = 1 << 18;

#[derive(Debug, Args)]
pub(super) struct CompareArguments {
    /// The published file.
    published: PathBuf,
    /// The file that was built.
    rebuilt: PathBuf,
    /// Ends well for equivalent files too.
    #[arg(long, value_delimiter = ',', value_parser = parse_accept)]
    accept: Vec<Verdict>,
}

/// What is printed with `--format json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    published: Sha256,
    rebuilt: Sha256,
    /// `same-bytes`, `equivalent`, `differs`, `not-comparable` or `failed`.
    result: &'static str,
    normalizations: Vec<String>,
    causes: Vec<String>,
    /// As `/api/v1/difference.schema.json` describes it.
    difference: Option<Difference>,
}

pub(super) fn run(arguments: &CompareArguments, format: Format) -> Result<Exit, Trouble> {
    let (mut published, mut rebuilt) = (open(&arguments.published)?, open(&arguments.rebuilt)?);
    let both = || {
        let (a, b) = (arguments.published.display(), arguments.rebuilt.display());
        format!("reading {a} and {b}")
    };
    let digests = digests(&mut published, &mut rebuilt)
        .with_context(both)
        .map_err(|error| Trouble::fault("disk", error))?;
    let compared = match digests {
        (a, b) if a == b => None,
        _ => Some(look_inside(arguments, &published, &rebuilt)?),
    };
    let (report, exit) = report(arguments, digests, compared);
    match format {
        Format::Json => output::json(&report)?,
        Format::Text => output::text(&text(&report))?,
    }
    Ok(exit)
}

fn open(path: &Path) -> Result<File, Trouble> {
    let context = || format!("opening {}", path.display());
    let file = File::open(path)
        .with_context(context)
        .map_err(Trouble::refusal)?;
    let metadata = file
        .metadata()
        .with_context(context)
        .map_err(Trouble::refusal)?;
    if metadata.is_file() {
        return Ok(file);
    }
    let message = format!("{} is no regular file", path.display());
    Err(Trouble::refusal(anyhow!(message)))
}

/// Digests two files in one pass. While they are the same, one digest is taken for both.
fn digests(published: &mut File, rebuilt: &mut File) -> std::io::Result<(Sha256, Sha256)> {
    let (mut a, mut b) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut ours: Option<Sha256Hasher> = None;
    let mut theirs = Sha256Hasher::new();
    loop {
        let (from_a, from_b) = (fill(published, &mut a)?, fill(rebuilt, &mut b)?);
        let (block_a, block_b) = (&a[..from_a], &b[..from_b]); // fill returns no more than there is room
        if ours.is_none() && block_a != block_b {
            ours = Some(theirs.clone());
        }
        if let Some(ours) = &mut ours {
            ours.update(block_b);
        }
        theirs.update(block_a);
        if from_a == 0 && from_b == 0 {
            let theirs = theirs.finish();
            return Ok((theirs, ours.map_or(theirs, Sha256Hasher::finish)));
        }
    }
}

fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// In a parsing child, as a rebuild does it.
fn look_inside(
    arguments: &CompareArguments,
    published: &File,
    rebuilt: &File,
) -> Result<Compared, Trouble> {
    let binary = std::env::current_exe()
        .context("finding this program's own file")
        .map_err(|error| Trouble::fault("binary", error))?;
    let name = name(&arguments.published);
    let limits = ReadLimits::default();
    child::compare(&binary, &name, published, rebuilt, limits, TIME)
        .map_err(|error| Trouble::fault("child", anyhow::Error::new(error)))
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn report(
    arguments: &CompareArguments,
    (published, rebuilt): (Sha256, Sha256),
    compared: Option<Compared>,
) -> (Report, Exit) {
    let comparison = compared.as_ref().map(|compared| &compared.comparison);
    let (result, exit) = match comparison {
        None => ("same-bytes", Exit::Good),
        Some(Comparison::Equivalent { .. }) if arguments.accept.contains(&Verdict::Equivalent) => {
            ("equivalent", Exit::Good)
        }
        Some(Comparison::Equivalent { .. }) => ("equivalent", Exit::of(Verdict::Equivalent)),
        Some(Comparison::Different { .. }) => ("differs", Exit::of(Verdict::Differs)),
        Some(Comparison::NotComparable { .. }) => {
            ("not-comparable", Exit::of(Verdict::Indeterminate))
        }
        Some(Comparison::Failed { .. }) => ("failed", Exit::of(Verdict::Indeterminate)),
    };
    let normalizations = match comparison {
        Some(Comparison::Equivalent { normalizations, .. }) => {
            normalizations.iter().map(|n| n.id.clone()).collect()
        }
        _ => Vec::new(),
    };
    let causes = comparison
        .map(|c| words::causes(c, &[]))
        .unwrap_or_default();
    let tree = compared.and_then(|compared| compared.tree);
    let report = Report {
        published,
        rebuilt,
        result,
        normalizations,
        causes,
        difference: tree.map(|tree| Difference {
            name: name(&arguments.published),
            published,
            rebuilt,
            tree,
        }),
    };
    (report, exit)
}

fn text(report: &Report) -> String {
    let mut text = format!("{}\n", report.result);
    for id in &report.normalizations {
        text.push_str(&format!("after {}\n", normalization::described(id)));
    }
    match &report.difference {
        Some(difference) => text.push_str(&difference.to_text()),
        None => {
            for cause in &report.causes {
                text.push_str(&format!("- {}\n", printable(cause)));
            }
        }
    }
    text
}
