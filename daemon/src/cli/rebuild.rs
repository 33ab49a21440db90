//! `countersign rebuild`: one release, no configuration file. The JSON that it prints is a contract.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use countersign_attest::digest::Sha256;
use countersign_attest::escape::printable;
use countersign_attest::verdict::Verdict;
use countersign_builder::compare::{Comparison, normalization};
use countersign_builder::outcome::Misses;
use countersign_builder::plan::{Candidate, Plan};
use countersign_builder::recipe::{self, Attempt, Hints};
use serde::Serialize;

use super::{Exit, Format, output};
use crate::config::{self, HostLimits};
use crate::difference::Difference;
use crate::http::{Http, HttpOptions};
use crate::identity;
use crate::pipeline::source_evidence::Finding;
use crate::pipeline::{self, ArtifactResult, Findings, Task, facts, issue};
use crate::publish::Endpoints;
use crate::publish::PublishedSource;
use crate::publish::front::{FRONTS, Front};
use crate::signers::Signers;
use crate::trouble::Trouble;
use crate::watch::location::{Location, LocationRules};
use crate::watch::signature::TagKeys;
use crate::workshop::{Progress, Step, Workshop};

mod logs;
mod vary;

/// The rebuilder of a one-shot command: nobody in particular.
const ONE_SHOT: &str = "urn:countersign:one-shot";

/// Arguments of `rebuild`.
#[derive(Debug, Args)]
pub(super) struct RebuildArguments {
    /// The source repository, as it is signed: an https URL, or a path of this machine.
    #[arg(long, value_name = "URL")]
    source: String,
    /// Where to fetch it from instead; never signed.
    #[arg(long, value_name = "URL")]
    fetch_from: Option<String>,
    /// The release's tag.
    #[arg(long)]
    tag: String,
    /// What was published: a purl, a URL with {tag} and {version}, a path, sha256:…, or digests:URL.
    #[arg(long, required = true, value_name = "PURL|URL|PATH|DIGEST")]
    published: Vec<String>,
    /// A recipe's name, or a file with build steps, outputs and tools for the generic one.
    #[arg(long, value_name = "NAME|FILE")]
    recipe: Option<String>,
    /// The folder of the source tree where the package is.
    #[arg(long, default_value = "", value_name = "DIR")]
    subdir: String,
    /// The release of the distribution whose packages a build runs in: bookworm.
    #[arg(long, value_name = "NAME")]
    suite: Option<String>,
    /// A .buildinfo file, whose packages a build of a distribution's package runs in.
    #[arg(long, value_name = "FILE")]
    buildinfo: Option<PathBuf>,
    /// A plan to replay as it is, instead of asking a recipe.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Shows what was tried and why.
    #[arg(long)]
    explain: bool,
    /// Builds again with other values of what must not matter (path, time zone, locale, file order, …), and
    /// names those that the build notices.
    #[arg(long)]
    vary: bool,
    /// Where attestations, plans and, unless reproduced, the rebuilt files go.
    #[arg(long, default_value = "countersign-out", value_name = "DIR")]
    out: PathBuf,
    /// Signs with this key instead of one that is forgotten at the end. Not together with --plan: who chose
    /// the values of a plan from elsewhere is that file's word alone.
    #[arg(long, value_name = "FILE", conflicts_with = "plan")]
    key: Option<PathBuf>,
    /// Verdicts beside `reproduced` that count as good: assisted, equivalent.
    #[arg(long, value_delimiter = ',', value_parser = parse_accept)]
    accept: Vec<Verdict>,
    /// The npm registry; by default npm's own configuration says.
    #[arg(long, value_name = "URL")]
    npm_registry: Option<String>,
    /// The sparse index for cargo.
    #[arg(long, value_name = "URL")]
    cargo_index: Option<String>,
    /// The simple index for Python packages.
    #[arg(long, value_name = "URL")]
    pypi_index: Option<String>,
    /// The endpoint of a registry by the type of its package URLs.
    #[arg(long, value_name = "TYPE=ENDPOINT")]
    registry: Vec<String>,
    /// OpenPGP keys, binary or armored, whose signatures of the tag count.
    #[arg(long, value_name = "FILE")]
    openpgp_keys: Option<PathBuf>,
    /// Allowed signers of the tag, as ssh-keygen reads them.
    #[arg(long, value_name = "FILE")]
    allowed_signers: Option<PathBuf>,
    /// A host (`host` or `host:port`) beside the registries' own that may serve their files.
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// Where environments that were made, and what registries' clients know, are kept for the next time.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// A folder with a toolchain beside /usr; its bin comes first in the build's PATH.
    #[arg(long, value_name = "DIR")]
    toolchain: Vec<PathBuf>,
    /// A folder with a root file system, for a plan or a recipe that names it by its digest.
    #[arg(long, value_name = "DIR")]
    root: Vec<PathBuf>,
}

/// Reads a value of `--accept`.
pub(super) fn parse_accept(text: &str) -> Result<Verdict, String> {
    match text {
        "assisted" => Ok(Verdict::Assisted),
        "equivalent" => Ok(Verdict::Equivalent),
        _ => Err("assisted and equivalent can be accepted".to_owned()),
    }
}

pub(super) async fn run(arguments: RebuildArguments, format: Format) -> Result<Exit, Trouble> {
    let task = task(&arguments)?;
    if arguments.key.is_some() && task.location.is_local() {
        let message = "a local source is never signed with an operator's key; leave --key out";
        return Err(Trouble::refused("local-source", anyhow!(message)));
    }
    let signers = match &arguments.key {
        Some(key) => Signers::start(key, false)?,
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
        registries(&arguments)?,
        &HostLimits::default(),
        &arguments.toolchain,
        arguments.cache.as_deref(),
        reporter(bar.clone()),
    )?
    .with_roots(&arguments.root)?;
    let findings = pipeline::run(&workshop, &task).await;
    bar.finish_and_clear();
    let findings = findings?;
    let report = report(&findings, &signers, &arguments.out).await?;
    logs::keep(&workshop, &findings, &arguments.out)?;
    match format {
        Format::Json => output::json(&report)?,
        Format::Text => output::text(&text(&report, &findings, &arguments, &signers, &workshop)?)?,
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

/// The registries that the command line names.
fn registries(arguments: &RebuildArguments) -> Result<Endpoints, Trouble> {
    let mut registries = Endpoints::allowing(&arguments.allow_host);
    let mut set = |option: &'static str, kind: &str, text: &str| {
        let known: Vec<&str> = FRONTS.iter().map(|front| front.kind).collect();
        let set = match Front::of(kind) {
            Some(front) => registries.set(front, text).map_err(anyhow::Error::new),
            None => Err(anyhow!(
                "no registry {kind:?}; there are: {}",
                known.join(", ")
            )),
        };
        set.map_err(|error| Trouble::refusal(error.context(option)))
    };
    for (option, kind, text) in [
        ("--npm-registry", "npm", &arguments.npm_registry),
        ("--cargo-index", "cargo", &arguments.cargo_index),
        ("--pypi-index", "pypi", &arguments.pypi_index),
    ] {
        if let Some(text) = text {
            set(option, kind, text)?;
        }
    }
    for text in &arguments.registry {
        let (kind, text) = text.split_once('=').unwrap_or((text, ""));
        set("--registry", kind, text)?;
    }
    Ok(registries)
}

fn task(arguments: &RebuildArguments) -> Result<Task, Trouble> {
    // what stands on the command line was typed by the user: paths and http are allowed
    let rules = LocationRules {
        allow_local: true,
        allow_http: true,
    };
    let here = Path::new(".");
    let parse = |text: &str, option: &'static str| {
        Location::parse(text, rules)
            .map_err(|error| Trouble::refusal(anyhow::Error::new(error).context(option)))
    };
    let mut location = parse(&arguments.source, "--source")?;
    if let Some(other) = &arguments.fetch_from {
        location = location.fetched_from(parse(other, "--fetch-from")?);
    }
    let mut published = Vec::new();
    for text in &arguments.published {
        published.push(
            PublishedSource::parse(text, Some(here)).map_err(|error| {
                Trouble::refusal(anyhow::Error::new(error).context("--published"))
            })?,
        );
    }
    let (recipe, mut hints) = match &arguments.recipe {
        None => (None, Hints::default()),
        Some(name) if recipe::names().contains(&name.as_str()) => {
            (Some(name.clone()), Hints::default())
        }
        Some(file) if Path::new(file).is_file() => {
            let hints = config::load_hints(Path::new(file)).map_err(Trouble::refusal)?;
            (Some("generic".to_owned()), hints)
        }
        Some(other) => {
            let names = recipe::names().join(", ");
            let message = format!("--recipe: {other:?} is neither a recipe ({names}) nor a file");
            return Err(Trouble::refusal(anyhow!(message)));
        }
    };
    if !arguments.subdir.is_empty() {
        hints.subdir.clone_from(&arguments.subdir);
    }
    if arguments.suite.is_some() {
        hints.suite.clone_from(&arguments.suite);
    }
    if let Some(file) = &arguments.buildinfo {
        hints.packages = installed(file)?;
    }
    Ok(Task {
        location,
        tag: arguments.tag.clone(),
        expected: None,
        published,
        package: None,
        recipe,
        hints,
        plan: arguments.plan.as_deref().map(load_plan).transpose()?,
        moved_from: None,
        tag_keys: TagKeys {
            openpgp: arguments.openpgp_keys.clone(),
            ssh: arguments.allowed_signers.clone(),
        },
        vary: arguments.vary,
        live: None,
    })
}

/// The packages that a `.buildinfo` says were installed.
fn installed(path: &Path) -> Result<Vec<String>, Trouble> {
    let context = || format!("--buildinfo {}", path.display());
    let text = std::fs::read_to_string(path)
        .with_context(context)
        .map_err(Trouble::refusal)?;
    recipe::deb::installed(&text).ok_or_else(|| {
        let message = "it has no Installed-Build-Depends of packages at versions";
        Trouble::refusal(anyhow!(message).context(context()))
    })
}

fn load_plan(path: &Path) -> Result<Plan, Trouble> {
    let context = || format!("--plan {}", path.display());
    let bytes = std::fs::read(path)
        .with_context(context)
        .map_err(Trouble::refusal)?;
    let plan = Plan::from_bytes(&bytes)
        .with_context(context)
        .map_err(Trouble::refusal)?;
    if plan.to_bytes() != bytes {
        let message = "the file is not byte for byte as countersign wrote it, so its digest names another plan";
        return Err(Trouble::refusal(anyhow!(message).context(context())));
    }
    Ok(plan)
}

/// What is printed with `--format json`.
#[derive(Debug, Serialize)]
struct Report {
    release: ReportRelease,
    artifacts: Vec<ReportArtifact>,
    attempts: Vec<ReportAttempt>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    variations: Vec<vary::ReportVariations>,
}

#[derive(Debug, Serialize)]
struct ReportRelease {
    source: String,
    tag: String,
    commit: String,
}

#[derive(Debug, Serialize)]
struct ReportDigest {
    sha256: Sha256,
}

#[derive(Debug, Serialize)]
struct ReportArtifact {
    name: String,
    published: ReportDigest,
    rebuilt: Vec<ReportDigest>,
    verdict: Verdict,
    reason: Option<&'static str>,
    detail: Option<String>,
    assisted_by: Vec<countersign_attest::origin::AssistKind>,
    normalizations: Vec<String>,
    causes: Vec<String>,
    findings: Vec<Finding>,
    attestations: Vec<ReportAttestation>,
    #[serde(skip)]
    yanked: bool,
}

#[derive(Debug, Serialize)]
struct ReportAttestation {
    kind: &'static str,
    format: &'static str,
    path: String,
}

#[derive(Debug, Serialize)]
struct ReportAttempt {
    candidate: Candidate,
    plan: String,
    outcome: countersign_builder::outcome::Ended,
    #[serde(skip_serializing_if = "Misses::is_empty")]
    misses: Misses,
    seconds: f64,
}

/// Signs what was found and writes it to the folder; nothing is written where anything is refused.
async fn report(findings: &Findings, signers: &Signers, out: &Path) -> Result<Report, Trouble> {
    let rebuilder = identity::rebuilder(ONE_SHOT, signers.isolation());
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut artifacts = Vec::new();
    for result in &findings.artifacts {
        let plan = result.plan.and_then(|digest| findings.plans.get(&digest));
        let mut attestations = Vec::new();
        for facts in facts::of(result, plan, &rebuilder, &findings.known_published) {
            let draft = signers.draft(&facts).await?;
            let envelope = signers.sign(&facts, &draft).await?;
            let mut keep = |kind, format, name: String, bytes| {
                let path = out.join(&name).display().to_string();
                attestations.push(ReportAttestation { kind, format, path });
                files.push((name, bytes));
            };
            let kind = facts.kind.word();
            let bundle = signers.bundle(&facts, &envelope)?;
            let sha256 = Sha256::of(&envelope);
            let name = issue::envelope_name(facts.kind, &envelope);
            keep(kind, "dsse", name, envelope);
            if let Some(bundle) = bundle {
                keep(kind, "bundle", issue::bundle_name(kind, &sha256), bundle);
            }
            if let Some(link) = issue::link(signers, &facts).await? {
                keep("link", "metablock", issue::link_name(&sha256), link);
            }
        }
        artifacts.push(artifact(result, attestations));
    }
    for (digest, plan) in &findings.plans {
        files.push((format!("{digest}.plan.json"), plan.to_bytes()));
    }
    files.push((
        "signer.pub.pem".to_owned(),
        signers.public().to_pem().into_bytes(),
    ));
    for result in &findings.artifacts {
        if let Some(difference) = Difference::of(result) {
            let name = |kind| format!("{}.difference.{kind}", result.published.sha256);
            files.push((name("json"), difference.to_json()));
            files.push((name("txt"), difference.to_text().into_bytes()));
        }
    }
    for (name, bytes) in &files {
        issue::write_new(out, name, bytes)?;
    }
    keep_rebuilt(findings, out)?;
    Ok(Report {
        release: ReportRelease {
            source: findings.release.source_uri.clone(),
            tag: findings.release.tag.clone(),
            commit: findings.release.commit.to_string(),
        },
        artifacts,
        attempts: attempts(findings),
        variations: vary::report(findings),
    })
}

/// A rebuilt file that is not the published one is evidence: it is kept for the user to look at.
fn keep_rebuilt(findings: &Findings, out: &Path) -> Result<(), Trouble> {
    for result in &findings.artifacts {
        for file in result
            .rebuilt
            .iter()
            .filter(|f| f.digests.sha256 != result.published.sha256)
        {
            let folder = out.join("rebuilt").join(file.digests.sha256.to_string());
            let copy = || -> std::io::Result<()> {
                std::fs::create_dir_all(&folder)?;
                std::fs::copy(&file.path, folder.join(&file.file_name)).map(|_| ())
            };
            copy()
                .with_context(|| format!("keeping a rebuilt file in {}", folder.display()))
                .map_err(|error| Trouble::fault("disk", error))?;
        }
    }
    Ok(())
}

fn artifact(result: &ArtifactResult, attestations: Vec<ReportAttestation>) -> ReportArtifact {
    let judgement = &result.judgement;
    let (normalizations, mut causes) = match &result.comparison {
        Some(Comparison::Equivalent { normalizations, .. }) => (
            normalizations.iter().map(|n| n.id.clone()).collect(),
            Vec::new(),
        ),
        Some(comparison) => (Vec::new(), pipeline::causes(comparison, &result.causes)),
        None => (Vec::new(), Vec::new()),
    };
    causes.extend(pipeline::encoders(&result.encoders));
    ReportArtifact {
        name: result.published.file_name.clone(),
        published: ReportDigest {
            sha256: result.published.sha256,
        },
        rebuilt: result
            .rebuilt
            .iter()
            .map(|file| ReportDigest {
                sha256: file.digests.sha256,
            })
            .collect(),
        verdict: judgement.verdict,
        reason: judgement.reason.map(|reason| reason.code()),
        detail: judgement.detail.clone(),
        assisted_by: judgement.assisted_by.clone(),
        normalizations,
        causes,
        findings: result.findings.clone(),
        yanked: result.published.yanked,
        attestations,
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "milliseconds of a build are far below 2^52"
)]
fn attempts(findings: &Findings) -> Vec<ReportAttempt> {
    let mut all: BTreeMap<Sha256, Vec<ReportAttempt>> = BTreeMap::new();
    for attempt in findings
        .artifacts
        .iter()
        .flat_map(|result| &result.attempts)
    {
        all.entry(attempt.plan).or_insert_with(|| {
            let one = |outcome: &countersign_builder::outcome::Outcome| ReportAttempt {
                candidate: attempt.candidate.clone(),
                plan: format!("sha256:{}", attempt.plan),
                outcome: outcome.ended.clone(),
                misses: outcome.misses.clone(),
                seconds: outcome.duration_ms as f64 / 1000.0,
            };
            attempt.outcomes.iter().map(one).collect()
        });
    }
    all.into_values().flatten().collect()
}

fn text(
    report: &Report,
    findings: &Findings,
    arguments: &RebuildArguments,
    signers: &Signers,
    workshop: &Workshop,
) -> Result<String, Trouble> {
    let mut text = String::new();
    text.push_str(&format!(
        "{} {}\ncommit {}\n",
        printable(&report.release.source),
        printable(&report.release.tag),
        report.release.commit
    ));
    for (artifact, result) in report.artifacts.iter().zip(&findings.artifacts) {
        let _ = write!(
            text,
            "\n{}\n  {} ({})\n",
            printable(&artifact.name),
            artifact.verdict.sentence(),
            artifact.verdict
        );
        if let Some(reason) = artifact.reason {
            let _ = writeln!(text, "  reason: {reason}");
        }
        if let Some(detail) = &artifact.detail {
            let _ = writeln!(text, "  {}", printable(detail));
        }
        for name in &artifact.normalizations {
            let _ = writeln!(text, "  after {}", normalization::described(name));
        }
        for cause in &artifact.causes {
            let _ = writeln!(text, "  - {}", printable(cause));
        }
        for finding in &artifact.findings {
            let _ = writeln!(text, "  ! {}", printable(&finding.to_string()));
        }
        if artifact.yanked {
            let _ = writeln!(
                text,
                "  note: the registry has withdrawn it from new use (yanked)"
            );
        }
        if matches!(
            artifact.verdict,
            Verdict::BuildFailed | Verdict::Unstable | Verdict::Indeterminate
        ) {
            let decided = |attempt: &&Attempt| Some(attempt.plan) == result.plan;
            if let Some(attempt) = result.attempts.iter().find(decided) {
                missed(&mut text, &attempt.misses());
            }
            logs::show(&mut text, workshop, result, &arguments.out)?;
        }
        let _ = writeln!(text, "  published sha256:{}", artifact.published.sha256);
        for file in &artifact.rebuilt {
            let _ = writeln!(text, "  rebuilt   sha256:{}", file.sha256);
        }
        if result.differences.is_some() {
            let name = format!("{}.difference.txt", artifact.published.sha256);
            let _ = writeln!(
                text,
                "  what differs: {}",
                arguments.out.join(name).display()
            );
        }
        for attestation in &artifact.attestations {
            let ReportAttestation { kind, format, path } = attestation;
            let _ = writeln!(text, "  {kind:<12} {format:<9} {path}");
        }
    }
    vary::show(&mut text, findings);
    if arguments.explain {
        explain(&mut text, findings);
    }
    let public = arguments.out.join("signer.pub.pem");
    let _ = write!(
        text,
        "\nsigned by {}{}\nCheck a file against this:\n  countersign verify FILE --key {} --attestation {}\n",
        signers.public().fingerprint(),
        if arguments.key.is_none() {
            " (a key made for this run and forgotten)"
        } else {
            ""
        },
        public.display(),
        arguments.out.display(),
    );
    Ok(text)
}

fn missed(text: &mut String, misses: &Misses) {
    for request in &misses.listed {
        let _ = writeln!(text, "  asked for and not served: {}", printable(request));
    }
    if misses.unlisted > 0 {
        let _ = writeln!(text, "  and {} more", misses.unlisted);
    }
}

/// What was tried, with each step as it was run.
fn explain(text: &mut String, findings: &Findings) {
    for result in &findings.artifacts {
        for attempt in &result.attempts {
            let _ = writeln!(
                text,
                "\ntried recipe {} (plan sha256:{})",
                attempt.candidate.recipe, attempt.plan
            );
            for step in &attempt.candidate.steps {
                let argv: Vec<String> = step.argv.iter().map(|a| printable(&a.value)).collect();
                let _ = writeln!(text, "  run {argv:?}");
            }
            for (name, value) in &attempt.candidate.variables {
                let _ = writeln!(text, "  with {name}={:?} ({:?})", value.value, value.origin);
            }
            for (run, outcome) in attempt.outcomes.iter().enumerate() {
                let _ = writeln!(
                    text,
                    "  run {run}: {} after {} ms; {} bytes of log, sha256:{}",
                    countersign_builder::judge::describe(&outcome.ended),
                    outcome.duration_ms,
                    outcome.log.size_bytes,
                    outcome.log.sha256
                );
                missed(text, &outcome.misses);
            }
        }
    }
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
