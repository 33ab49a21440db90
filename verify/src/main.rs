//! `countersign-verify`: says what attestations that are here say of a file. No network, no daemon.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is where the program speaks"
)]

use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

use clap::Parser;
use countersign_attest::digest::Sha256;
use countersign_attest::escape::printable;
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::Verdict;
use countersign_verify::answer::{self, Answer, Trusted};
use countersign_verify::attestation::causes;
use countersign_verify::exit::Exit;
use countersign_verify::files::{ReadLimits, attestations};
use countersign_verify::memory::Remembered;
use countersign_verify::subject::{Named, package};
use countersign_verify::{key_file, policy_file, render};

/// Says what attestations that are here say of a file: by some keys, or by a policy.
#[derive(Debug, Parser)]
#[command(name = "countersign-verify", version, max_term_width = 100)]
struct Arguments {
    /// The file, a package URL with a version, or sha256:… or sha512:… of a file.
    #[arg(value_name = "FILE|PURL|DIGEST")]
    subject: String,
    /// A file with attestations, or a folder of such files; may be given several times.
    #[arg(long, required = true, value_name = "FILE|DIR")]
    attestation: Vec<PathBuf>,
    /// What the file is: chooses the rule of the policy, and statements about others do not count.
    #[arg(long = "as", value_name = "PURL")]
    purl: Option<String>,
    /// A policy.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    policy: Option<PathBuf>,
    /// A public key that you believe (PEM, ed25519:… or ecdsa-p256:…); may be given several times.
    #[arg(long, value_name = "PUB")]
    key: Vec<String>,
    /// With --key, verdicts beside `reproduced` that count as good: assisted, equivalent.
    #[arg(long, value_delimiter = ',', requires = "key", value_parser = countersign_verify::accepted)]
    accept: Vec<Verdict>,
    /// With --policy, a file in which accepted packages are remembered, so that a change is noticed.
    #[arg(long, value_name = "FILE", requires = "policy")]
    remember: Option<PathBuf>,
    /// With --policy, the digest of a statement of dissent that you have looked at.
    #[arg(long, value_name = "SHA256", requires = "policy")]
    acknowledge: Vec<Sha256>,
    /// Writes one JSON value instead of text.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse(); // exits with 2 on a usage error
    let json = arguments.json;
    let code = match run(&arguments) {
        Ok(answer) => {
            let text = if json {
                format!("{:#}\n", render::value(&answer))
            } else {
                render::text(&answer)
            };
            // a reader that went away is not an error
            let _ = io::stdout().lock().write_all(text.as_bytes());
            answer.exit().code()
        }
        Err(error) => {
            eprintln!("countersign-verify: {}", printable(&causes(&*error)));
            Exit::REFUSED
        }
    };
    ExitCode::from(code)
}

fn run(arguments: &Arguments) -> Result<Answer, Box<dyn Error>> {
    let purl = arguments.purl.as_deref().map(package).transpose()?;
    let asked = Named::parse(&arguments.subject)?.asked(purl)?;
    let mut found = Vec::new();
    for path in &arguments.attestation {
        found.extend(attestations(path, &ReadLimits::default())?);
    }
    let keys = arguments.key.iter().map(|text| key_file::read(text));
    let mut trusted = Trusted {
        policy: arguments
            .policy
            .as_deref()
            .map(policy_file::load)
            .transpose()?,
        keys: keys.collect::<Result<_, _>>()?,
        accept: arguments.accept.iter().copied().collect(),
        remembered: match &arguments.remember {
            Some(path) => Remembered::load(path)?,
            None => Remembered::default(),
        },
        acknowledged: arguments.acknowledge.clone(),
    };
    let answer = answer::answer(&trusted.trust(), &asked, &found, Vec::new(), now()?);
    if let Some(path) = &arguments.remember
        && answer.teach(&mut trusted.remembered)
    {
        trusted.remembered.save(path)?;
    }
    Ok(answer)
}

#[allow(
    clippy::disallowed_methods,
    reason = "the one place of this program that asks what time it is"
)]
fn now() -> Result<Timestamp, Box<dyn Error>> {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Timestamp::from_unix_seconds(i64::try_from(
        since.as_secs(),
    )?)?)
}
