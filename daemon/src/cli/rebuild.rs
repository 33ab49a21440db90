//! `countersign rebuild`: one release, no configuration file.

use anyhow::{Context as _, anyhow};
use countersign_attest::escape::printable;

use super::{Exit, Format, output};
use crate::config::HostLimits;
use crate::http::{Http, HttpOptions};
use crate::pipeline;
use crate::signer::KeySource;
use crate::signers::Signers;
use crate::trouble::Trouble;
use crate::workshop::{Progress, Step, Workshop};

mod arguments;
mod logs;
mod report;
mod text;
mod vary;

pub(super) use arguments::{RebuildArguments, parse_accept};

pub(super) async fn run(arguments: RebuildArguments, format: Format) -> Result<Exit, Trouble> {
    let task = arguments::task(&arguments)?;
    if arguments.key.is_some() && task.location.is_local() {
        let message = "a local source is never signed with an operator's key; leave --key out";
        return Err(Trouble::refused("local-source", anyhow!(message)));
    }
    let signers = match &arguments.key {
        Some(key) => Signers::start(&KeySource::file(key.clone()), None)?,
        None => Signers::ephemeral()?,
    };
    let folder = tempfile::Builder::new()
        .prefix("countersign-")
        .tempdir()
        .context("making a scratch folder (set TMPDIR to choose where)")
        .map_err(|error| Trouble::fault("disk", error))?;
    let bar = progress_bar(format);
    let workshop = Workshop::open(
        folder.path(),
        Http::new(HttpOptions {
            allow_http: true,
            ..HttpOptions::default()
        })
        .map_err(|e| Trouble::fault("http", e))?,
        arguments::registries(&arguments)?,
        &HostLimits::default(),
        &arguments.toolchain,
        arguments.cache.as_deref(),
        reporter(bar.clone()),
    )?
    .with_roots(&arguments.root)?;
    let findings = pipeline::run(&workshop, &task).await;
    bar.finish_and_clear();
    let findings = findings?;
    let report = report::report(&findings, &signers, &arguments.out).await?;
    logs::keep(&workshop, &findings, &arguments.out)?;
    match format {
        Format::Json => output::json(&report)?,
        Format::Text => {
            let text = text::text(&report, &findings, &arguments, &signers, &workshop)?;
            output::text(&text)?;
        }
    }
    Ok(findings
        .artifacts
        .iter()
        .map(|result| result.judgement.verdict)
        .map(|verdict| {
            if arguments.accept.contains(&verdict) {
                Exit::Good
            } else {
                Exit::of(verdict)
            }
        })
        .max()
        .unwrap_or(Exit::Undecided))
}

fn progress_bar(format: Format) -> indicatif::ProgressBar {
    use std::io::IsTerminal as _;
    if format == Format::Text && std::io::stderr().is_terminal() {
        let bar = indicatif::ProgressBar::new_spinner();
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        bar
    } else {
        indicatif::ProgressBar::hidden()
    }
}

fn reporter(bar: indicatif::ProgressBar) -> Progress {
    Box::new(move |step| {
        bar.set_message(match step {
            Step::Fetching { tag } => format!("fetching {}", printable(tag)),
            Step::Downloading => "getting what was published".to_owned(),
            Step::Preparing => "making the environment".to_owned(),
            Step::Recording => "building, to see what it fetches".to_owned(),
            Step::Building { run } => format!("building, run {} of 2", run + 1),
            Step::Comparing => "comparing".to_owned(),
            Step::Varying { build } => format!("building with other settings, build {build}"),
        });
    })
}
