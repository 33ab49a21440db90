//! `countersign scan`: how much of a list of dependencies, or of what is installed, a policy accepts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use countersign_attest::decide::Asked;
use countersign_attest::policy::Policy;
use countersign_attest::purl::Purl;
use countersign_verify::attestation::{Attestation, Problem, ProblemKind, hear_all};
use countersign_verify::exit::Exit;
use countersign_verify::files::{self, ReadLimits};
use countersign_verify::memory::{MemoryError, Remembered};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::trust::needed_policy;
use super::{Format, output};
use crate::clock;
use crate::consult::batch::{self, About, BatchLimits};
use crate::consult::rebuilderd;
use crate::consult::remote::Gathered;
use crate::consult::service::Service;
use crate::http::{Http, HttpOptions};
use crate::scan::judge::{self, Finding, Index};
use crate::scan::report::Report;
use crate::scan::{self, Entry, FileDigest, Files, Kind, dpkg};
use crate::trouble::Trouble;

/// Services that are asked at once. Each has one request at a time.
const AT_ONCE: usize = 8;

/// Arguments of `scan`.
#[derive(Debug, Args)]
pub(super) struct ScanArguments {
    /// Lists of dependencies: Cargo.lock, package-lock.json, or requirements with --hash.
    #[arg(required_unless_present = "dpkg", conflicts_with = "dpkg")]
    lists: Vec<PathBuf>,
    /// What the lists are, where their names do not say it.
    #[arg(long, value_enum)]
    kind: Option<KindName>,
    /// What dpkg says is installed.
    #[arg(long)]
    dpkg: bool,
    /// With --dpkg, the root folder of the system that is meant.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// A policy: whom you believe, and how many of them. Without it yours is used, which `trust add` keeps.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A file with attestations, or a folder of such files; may be given several times.
    #[arg(long, value_name = "FILE|DIR")]
    attestation: Vec<PathBuf>,
    /// The address of a rebuilder's service that is asked, instead of those that the policy names; may be
    /// given several times.
    #[arg(long, value_name = "URL")]
    from: Vec<String>,
    /// Asks nobody.
    #[arg(long, conflicts_with = "from")]
    offline: bool,
    /// Lets other machines be asked over http, where everybody on the way can read what you have and leave
    /// attestations out.
    #[arg(long)]
    allow_http: bool,
    /// Folders and files of this machine in a list do not count against it.
    #[arg(long)]
    allow_local: bool,
    /// A file in which accepted packages are remembered, as with `verify`.
    #[arg(long, value_name = "FILE")]
    remember: Option<PathBuf>,
    /// Shows only what is not accepted.
    #[arg(long)]
    missing: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    Cargo,
    Npm,
    Requirements,
}

pub(super) fn run(arguments: &ScanArguments, format: Format) -> Result<Exit, Trouble> {
    let policy = needed_policy(arguments.policy.as_deref())?;
    let mut remembered = match &arguments.remember {
        Some(path) => Remembered::load(path).map_err(Trouble::refusal)?,
        None => Remembered::default(),
    };
    let entries = entries(arguments)?;
    let mut attestations: Vec<Attestation> = Vec::new();
    for path in &arguments.attestation {
        let found = files::attestations(path, &ReadLimits::default()).map_err(Trouble::refusal)?;
        attestations.extend(found);
    }
    let asked = whom(arguments, &policy, &entries)?;
    let gathered = ask(arguments.allow_http, asked)?;
    attestations.extend(gathered.attestations);
    let (heard, mut problems) = hear_all(&attestations, &policy.keys());
    problems.extend(gathered.problems);
    let index = Index::new(&heard);
    let now = clock::now();
    let judge = |entry: Entry| {
        let finding = judge::judge(&policy, &entry, &index, &remembered, now);
        (entry, finding)
    };
    let findings: Vec<(Entry, Finding)> = entries.into_iter().map(judge).collect();
    let is_unreachable = problems.iter().any(|p| p.kind == ProblemKind::Unreachable);
    let exit =
        |(_, finding): &(Entry, Finding)| finding.exit(is_unreachable, arguments.allow_local);
    let report = Report {
        exit: findings.iter().map(exit).max().unwrap_or(Exit::Good),
        findings: &findings,
        problems: &problems,
    };
    match format {
        Format::Json => output::json(&report.value())?,
        Format::Text => output::text(&report.text(arguments.missing))?,
    }
    let exit = report.exit;
    learn(arguments, &mut remembered, &findings)?;
    Ok(exit)
}

fn entries(arguments: &ScanArguments) -> Result<Vec<Entry>, Trouble> {
    if arguments.dpkg {
        let installed = dpkg::installed(&arguments.root).map_err(Trouble::refusal)?;
        for problem in installed.problems {
            output::say(&countersign_attest::escape::printable(&problem));
        }
        return Ok(installed.entries);
    }
    let mut entries = Vec::new();
    for path in &arguments.lists {
        let named = arguments.kind.map(|kind| match kind {
            KindName::Cargo => Kind::Cargo,
            KindName::Npm => Kind::Npm,
            KindName::Requirements => Kind::Requirements,
        });
        let kind = named.or_else(|| Kind::of_name(path)).ok_or_else(|| {
            let path = path.display();
            let message = format!("{path}: its name does not say what list it is; say --kind");
            Trouble::refused("usage", anyhow::anyhow!(message))
        })?;
        entries.extend(scan::read(path, kind).map_err(Trouble::refusal)?);
    }
    entries.sort();
    entries.dedup();
    Ok(entries)
}

/// Which service is asked about what: each operator of the policy about the packages for whose rule it
/// counts, or those that are named about everything.
fn whom<'a>(
    arguments: &ScanArguments,
    policy: &Policy,
    entries: &'a [Entry],
) -> Result<BTreeMap<Service, Vec<&'a Entry>>, Trouble> {
    let mut asked: BTreeMap<Service, Vec<&Entry>> = BTreeMap::new();
    if arguments.offline {
        return Ok(asked);
    }
    let named = arguments.from.iter().map(|text| {
        Service::named(text, arguments.allow_http)
            .with_context(|| format!("--from {text}"))
            .map_err(Trouble::refusal)
    });
    let named: Vec<Service> = named.collect::<Result<_, _>>()?;
    for entry in entries {
        for service in &named {
            asked.entry(service.clone()).or_default().push(entry);
        }
        if !named.is_empty() {
            continue;
        }
        for name in &policy.rule(entry.purl.as_ref()).of {
            let operator = policy.operators().get(name);
            let service = operator.and_then(|operator| Service::of(operator, arguments.allow_http));
            let service = service.transpose();
            let service = service.with_context(|| format!("operators.{name}.rebuilder"));
            if let Some(service) = service.map_err(Trouble::refusal)? {
                asked.entry(service).or_default().push(entry);
            }
        }
    }
    Ok(asked)
}

/// The same as a file of its own, for a service that is asked by package; `None` where that cannot help.
fn subject(entry: &Entry) -> Option<Asked> {
    let unconfirmable = matches!(entry.files, Files::Unconfirmable(_));
    let purl = entry.purl.clone().filter(|_| !unconfirmable)?;
    Some(Asked {
        purl: Some(purl),
        ..Asked::default()
    })
}

/// What is asked about an entry; `None` where nothing that anybody said could count.
fn about(entry: &Entry) -> Option<About> {
    let purl = entry.purl.as_ref().map(Purl::bare).map(str::to_owned);
    let digests = match &entry.files {
        Files::Unconfirmable(_) => return None,
        Files::NameOnly => Vec::new(),
        Files::OneOf(digests) => digests.iter().map(spelled).collect(),
    };
    let about: About = purl.into_iter().chain(digests).collect();
    (!about.is_empty()).then_some(about)
}

fn spelled(digest: &FileDigest) -> String {
    match digest {
        FileDigest::Sha256(digest) => format!("sha256:{digest}"),
        FileDigest::Sha512(digest) => format!("sha512:{digest}"),
    }
}

/// Asks the services, several at once. That one cannot be asked is no error here: what the others and
/// the files say may suffice.
fn ask(allow_http: bool, asked: BTreeMap<Service, Vec<&Entry>>) -> Result<Gathered, Trouble> {
    let mut gathered = Gathered::default();
    if asked.is_empty() {
        return Ok(gathered);
    }
    let http = Http::new(HttpOptions {
        connect_timeout: Duration::from_secs(10),
        read_timeout: Duration::from_secs(20),
        total_timeout: Duration::from_secs(60),
        allow_http,
    })
    .map_err(|error| Trouble::fault("http", error))?;
    let (http, places) = (Arc::new(http), Arc::new(Semaphore::new(AT_ONCE)));
    super::wait_for(async {
        let mut asking = JoinSet::new();
        for (service, entries) in asked {
            let (http, places) = (Arc::clone(&http), Arc::clone(&places));
            let about: Vec<About> = entries.iter().filter_map(|entry| about(entry)).collect();
            let subjects: Vec<Asked> = entries.iter().filter_map(|entry| subject(entry)).collect();
            asking.spawn(async move {
                let _place = places.acquire().await; // never closed
                let limits = BatchLimits::default();
                match &service {
                    Service::Countersign(base) => batch::ask(&http, base, &about, &limits).await,
                    Service::Rebuilderd(base) => {
                        rebuilderd::ask_each(&http, base, &subjects, limits.time).await
                    }
                }
            });
        }
        for answer in asking.join_all().await {
            gathered.attestations.extend(answer.attestations);
            gathered.problems.extend(answer.problems);
        }
        gathered
            .problems
            .sort_by(|a: &Problem, b| a.name.cmp(&b.name));
        Ok(gathered)
    })
}

fn learn(
    arguments: &ScanArguments,
    remembered: &mut Remembered,
    findings: &[(Entry, Finding)],
) -> Result<(), Trouble> {
    let Some(path) = &arguments.remember else {
        return Ok(());
    };
    let mut learned = false;
    for (entry, finding) in findings {
        if let Finding::Files(judged) = finding {
            for judged in judged {
                learned |= remembered.learn(entry.purl.as_ref(), &judged.decision);
            }
        }
    }
    if !learned {
        return Ok(());
    }
    remembered.save(path).map_err(|error| match error {
        MemoryError::Write { .. } => Trouble::fault("disk", error),
        other => Trouble::refusal(other),
    })
}
