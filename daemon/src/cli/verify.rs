//! `countersign verify`: what attestations say of a file, to somebody who has a public key.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use countersign_attest::digest::{AnyDigest, Digests};
use countersign_attest::key::PublicKey;
use countersign_attest::verdict::Verdict;

use super::rebuild::parse_accept;
use super::{Exit, Format, output};
use crate::consult::files::{self, ReadLimits};
use crate::consult::remote::{self, AskLimits, Gathered};
use crate::consult::{self, Question, Subject, render};
use crate::http::{Http, HttpOptions};
use crate::trouble::Trouble;
use crate::{clock, keys};

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// The file, or sha256:… or sha512:… of it.
    #[arg(value_name = "FILE|DIGEST")]
    subject: String,
    /// A public key that you believe; may be given several times.
    #[arg(long, required = true, value_name = "PUB")]
    key: Vec<PathBuf>,
    /// A file with attestations (envelopes or Sigstore bundles), or a folder of such files; may be
    /// given several times.
    #[arg(long, required_unless_present = "from", value_name = "FILE|DIR")]
    attestation: Vec<PathBuf>,
    /// The address of a rebuilder's service that is asked what it has about the file; may be given
    /// several times. It only carries attestations: what counts is the key.
    #[arg(long, value_name = "URL")]
    from: Vec<String>,
    /// Lets --from ask other machines over http, where everybody on the way can read what you ask for
    /// and leave attestations out.
    #[arg(long, requires = "from")]
    allow_http: bool,
    /// Verdicts beside `reproduced` that count as good: assisted, equivalent.
    #[arg(long, value_delimiter = ',', value_parser = parse_accept)]
    accept: Vec<Verdict>,
}

pub(super) fn run(arguments: &VerifyArguments, format: Format) -> Result<Exit, Trouble> {
    let subject = subject(&arguments.subject)?;
    let keys: Vec<PublicKey> = arguments
        .key
        .iter()
        .map(|path| keys::show(path).map_err(keys::KeyFileError::into_trouble))
        .collect::<Result<_, _>>()?;
    let mut attestations = Vec::new();
    for path in &arguments.attestation {
        let found = files::attestations(path, &ReadLimits::default()).map_err(Trouble::refusal)?;
        attestations.extend(found);
    }
    let gathered = ask(arguments, &subject)?;
    attestations.extend(gathered.attestations);
    let accept: BTreeSet<Verdict> = arguments.accept.iter().copied().collect();
    let question = Question {
        subject: &subject,
        keys: &keys,
        accept: &accept,
        now: clock::now(),
    };
    let decision = consult::decide(&question, &attestations, gathered.problems);
    match format {
        Format::Json => output::json(&render::report(&subject, &decision))?,
        Format::Text => output::text(&render::text(&subject, &decision))?,
    }
    Ok(decision.answer.exit())
}

/// Asks every service, one after the other. That one cannot be asked is no error here: what the others
/// and the files say may suffice.
fn ask(arguments: &VerifyArguments, subject: &Subject) -> Result<Gathered, Trouble> {
    let mut gathered = Gathered::default();
    if arguments.from.is_empty() {
        return Ok(gathered);
    }
    let mut bases = Vec::new();
    for text in &arguments.from {
        let base = remote::base(text, arguments.allow_http)
            .with_context(|| format!("--from {text}"))
            .map_err(Trouble::refusal)?;
        bases.push(base);
    }
    let http = Http::new(HttpOptions {
        connect_timeout: Duration::from_secs(10),
        read_timeout: Duration::from_secs(20),
        total_timeout: Duration::from_secs(60),
        allow_http: arguments.allow_http,
    })
    .map_err(|error| Trouble::fault("http", error))?;
    // one thread is enough to ask a few servers in turn
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
        .map_err(|error| Trouble::fault("runtime", error))?;
    for base in &bases {
        let answer = runtime.block_on(remote::ask(&http, base, subject, &AskLimits::default()));
        gathered.attestations.extend(answer.attestations);
        gathered.problems.extend(answer.problems);
    }
    Ok(gathered)
}

fn subject(text: &str) -> Result<Subject, Trouble> {
    if text.starts_with("sha256:") || text.starts_with("sha512:") {
        let digest: AnyDigest = text.parse().map_err(Trouble::refusal)?;
        return Ok(match digest {
            AnyDigest::Sha256(digest) => Subject {
                sha256: Some(digest),
                ..Subject::default()
            },
            AnyDigest::Sha512(digest) => Subject {
                sha512: Some(digest),
                ..Subject::default()
            },
        });
    }
    let path = Path::new(text);
    let read = || -> std::io::Result<Digests> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("not a regular file"));
        }
        Digests::of_reader(file)
    };
    let digests = read()
        .with_context(|| format!("reading {text}"))
        .map_err(Trouble::refusal)?;
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    if name.is_none() {
        return Err(Trouble::refusal(anyhow!("{text} has no file name")));
    }
    Ok(Subject::of_file(name, &digests))
}
