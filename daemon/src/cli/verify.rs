//! `countersign verify`: what attestations say of a file, to somebody who has a public key or a policy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use countersign_attest::decide::Asked;
use countersign_attest::digest::Sha256;
use countersign_attest::key::AnyPublicKey;
use countersign_attest::policy::Policy;
use countersign_attest::purl::Purl;
use countersign_attest::verdict::Verdict;
use countersign_verify::answer::{self, Answer, Trusted};
use countersign_verify::attestation::Attestation;
use countersign_verify::files::{self, ReadLimits};
use countersign_verify::memory::{MemoryError, Remembered};
use countersign_verify::subject::{Named, package};
use countersign_verify::{key_file, policy_file, render};

use super::rebuild::parse_accept;
use super::trust::own_policy;
use super::{Exit, Format, output};
use crate::consult::remote::Gathered;
use crate::consult::service::Service;
use crate::http::{Http, HttpOptions};
use crate::trouble::Trouble;
use crate::{clock, keys};

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// The file, a package URL with a version, or sha256:… or sha512:… of a file.
    #[arg(value_name = "FILE|PURL|DIGEST")]
    subject: String,
    /// What the file is: chooses the rule of the policy, and statements about others do not count.
    #[arg(long = "as", value_name = "PURL")]
    purl: Option<String>,
    /// A policy: whom you believe, and how many of them. Without it and without --key yours is used, which
    /// `trust add` keeps.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    policy: Option<PathBuf>,
    /// A public key that you believe (a file, ed25519:… or ecdsa-p256:…); may be given several times.
    #[arg(long, value_name = "PUB")]
    key: Vec<PathBuf>,
    /// A file with attestations (envelopes, Sigstore bundles, links of rebuilderd, bundles of OSS
    /// Rebuild), or a folder of such files; may be given several times.
    #[arg(long, value_name = "FILE|DIR")]
    attestation: Vec<PathBuf>,
    /// The address of a rebuilder's service that is asked what it has about the file; may be given
    /// several times. Where rebuilderd runs, say rebuilderd+URL. It only carries attestations: what
    /// counts is the key. With --policy and without this, the rebuilders of the policy are asked.
    #[arg(long, value_name = "URL")]
    from: Vec<String>,
    /// Asks nobody.
    #[arg(long, conflicts_with = "from")]
    offline: bool,
    /// Lets other machines be asked over http, where everybody on the way can read what you ask for
    /// and leave attestations out.
    #[arg(long)]
    allow_http: bool,
    /// With --key, verdicts beside `reproduced` that count as good: assisted, equivalent.
    #[arg(long, value_delimiter = ',', value_parser = parse_accept, conflicts_with = "policy")]
    accept: Vec<Verdict>,
    /// With --policy, a file in which accepted packages are remembered, so that a change of their
    /// source or of who confirms them is noticed.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    remember: Option<PathBuf>,
    /// With --policy, the digest of a statement of dissent that you have looked at.
    #[arg(long, value_name = "SHA256", conflicts_with = "key")]
    acknowledge: Vec<Sha256>,
}

pub(super) fn run(arguments: &VerifyArguments, format: Format) -> Result<Exit, Trouble> {
    let purl: Option<Purl> = match &arguments.purl {
        Some(text) => Some(package(text).map_err(Trouble::refusal)?),
        None => None,
    };
    let named = Named::parse(&arguments.subject).map_err(Trouble::refusal)?;
    let asked = named.asked(purl).map_err(Trouble::refusal)?;
    let mut trusted = trusted(arguments)?;
    let policy = trusted.policy.as_ref();
    if arguments.allow_http && arguments.from.is_empty() && policy.is_none() {
        let error = anyhow::anyhow!("--allow-http without anybody who is asked: say --from URL");
        return Err(Trouble::refused("usage", error));
    }
    let by_policy = !arguments.acknowledge.is_empty() || arguments.remember.is_some();
    if by_policy && policy.is_none() {
        let message =
            "--remember and --acknowledge are about a policy, and there is none: say --policy FILE";
        return Err(Trouble::refused("usage", anyhow::anyhow!(message)));
    }
    let services = services(arguments, policy, &asked)?;
    if services.is_empty() && arguments.attestation.is_empty() {
        let message = "nobody is asked and nothing is given: say --from URL or --attestation FILE, or name \
                       rebuilders in the policy";
        return Err(Trouble::refused("usage", anyhow::anyhow!(message)));
    }
    let mut attestations: Vec<Attestation> = Vec::new();
    for path in &arguments.attestation {
        let found = files::attestations(path, &ReadLimits::default()).map_err(Trouble::refusal)?;
        attestations.extend(found);
    }
    let gathered = ask(arguments.allow_http, &services, &asked)?;
    attestations.extend(gathered.attestations);
    let answer = answer::answer(
        &trusted.trust(),
        &asked,
        &attestations,
        gathered.problems,
        clock::now(),
    );
    show(&answer, format)?;
    if let Some(path) = &arguments.remember
        && answer.teach(&mut trusted.remembered)
    {
        trusted.remembered.save(path).map_err(|error| match error {
            MemoryError::Write { .. } => Trouble::fault("disk", error),
            other => Trouble::refusal(other),
        })?;
    }
    Ok(answer.exit())
}

/// Whom the command line names.
fn trusted(arguments: &VerifyArguments) -> Result<Trusted, Trouble> {
    let policy = policy_path(arguments).map(|path| policy_file::load(&path));
    let keys = arguments.key.iter().map(|path| key(path));
    Ok(Trusted {
        policy: policy.transpose().map_err(Trouble::refusal)?,
        keys: keys.collect::<Result<_, _>>()?,
        accept: arguments.accept.iter().copied().collect(),
        remembered: match &arguments.remember {
            Some(path) => Remembered::load(path).map_err(Trouble::refusal)?,
            None => Remembered::default(),
        },
        acknowledged: arguments.acknowledge.clone(),
    })
}

/// The policy that is named, else the user's own, where no key is named.
fn policy_path(arguments: &VerifyArguments) -> Option<PathBuf> {
    match &arguments.policy {
        None if !arguments.key.is_empty() => None,
        named => own_policy(named.as_deref()),
    }
}

fn show(answer: &Answer, format: Format) -> Result<(), Trouble> {
    match format {
        Format::Json => output::json(&render::value(answer)),
        Format::Text => output::text(&render::text(answer)),
    }
}

/// A public key, written out or in a file; of a private key's file, its public half.
fn key(path: &Path) -> Result<AnyPublicKey, Trouble> {
    match path.to_str() {
        Some(text) if AnyPublicKey::is_meant(text) => {
            key_file::read(text).map_err(Trouble::refusal)
        }
        _ => keys::show_any(path, &keys::Passphrase::Terminal)
            .map_err(keys::KeyFileError::into_trouble),
    }
}

/// The services that are asked: those that are named, else those of the operators whom the policy asks
/// about this package.
fn services(
    arguments: &VerifyArguments,
    policy: Option<&Policy>,
    asked: &Asked,
) -> Result<Vec<Service>, Trouble> {
    let mut services = Vec::new();
    for text in &arguments.from {
        let service = Service::named(text, arguments.allow_http)
            .with_context(|| format!("--from {text}"))
            .map_err(Trouble::refusal)?;
        services.push(service);
    }
    let Some(policy) = policy.filter(|_| services.is_empty() && !arguments.offline) else {
        return Ok(services);
    };
    for name in &policy.rule(asked.purl.as_ref()).of {
        let operator = policy.operators().get(name);
        let service = operator.and_then(|operator| Service::of(operator, arguments.allow_http));
        let service = service.transpose();
        let service = service.with_context(|| format!("operators.{name}.rebuilder"));
        services.extend(service.map_err(Trouble::refusal)?);
    }
    Ok(services)
}

/// Asks every service, one after the other. That one cannot be asked is no error here: what the others
/// and the files say may suffice.
fn ask(allow_http: bool, services: &[Service], asked: &Asked) -> Result<Gathered, Trouble> {
    let mut gathered = Gathered::default();
    if services.is_empty() {
        return Ok(gathered);
    }
    let http = Http::new(HttpOptions {
        connect_timeout: Duration::from_secs(10),
        read_timeout: Duration::from_secs(20),
        total_timeout: Duration::from_secs(60),
        allow_http,
    })
    .map_err(|error| Trouble::fault("http", error))?;
    // one thread is enough to ask a few servers in turn
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
        .map_err(|error| Trouble::fault("runtime", error))?;
    for service in services {
        let answer = runtime.block_on(service.ask(&http, asked));
        gathered.attestations.extend(answer.attestations);
        gathered.problems.extend(answer.problems);
    }
    Ok(gathered)
}
