//! Asks a service that speaks as rebuilderd does what it has about a file, for `verify`; and which keys it says
//! are its own, for `trust add`.
//!
//! rebuilderd is asked by name, version and architecture, never by digest. Of its answers only ids are taken,
//! which are numbers: where a link is fetched is ours to say, whether it is about the file the link's, and whether
//! that counts its signature's. The service's word for a package (`GOOD`) is passed over.

use std::collections::BTreeSet;
use std::time::Duration;

use countersign_attest::decide::Asked;
use countersign_attest::digest::Sha256;
use countersign_attest::key::{AnyPublicKey, KeyError, PublicKey};
use countersign_verify::attestation::{Problem, ProblemKind};
use serde::Deserialize;
use url::Url;

use super::remote::{self, AskLimits, Gathered, Stopped, below, document, fetch};
use crate::api::rebuilderd::DebName;
use crate::http::Http;

/// Most keys that a service may show.
const MAX_KEYS: usize = 16;

/// The part of a page of packages that is used.
#[derive(Deserialize)]
struct Page {
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    build_id: Option<u32>,
    #[serde(default)]
    artifact_id: Option<u32>,
}

/// Asks one service about a file. `base` is of [`remote::base()`].
pub(crate) async fn ask(http: &Http, base: &Url, subject: &Asked, limits: &AskLimits) -> Gathered {
    let mut gathered = Gathered::default();
    let asking = gather(http, base, subject, limits, &mut gathered);
    let problem = remote::within(limits.time, base, asking).await;
    gathered.problems.extend(problem);
    gathered
}

/// Asks one service about many files, one after the other, for so long. What it does not know is no problem here;
/// a service that is down is left alone.
pub(crate) async fn ask_each(
    http: &Http,
    base: &Url,
    subjects: &[Asked],
    time: Duration,
) -> Gathered {
    let mut gathered = Gathered::default();
    let limits = AskLimits::default();
    let all = async {
        for subject in subjects {
            let Gathered {
                attestations,
                problems,
            } = ask(http, base, subject, &limits).await;
            gathered.attestations.extend(attestations);
            let is = |kind| {
                problems
                    .iter()
                    .any(|problem: &Problem| problem.kind == kind)
            };
            let is_down = is(ProblemKind::Unreachable);
            let told = problems
                .into_iter()
                .filter(|p| p.kind != ProblemKind::NothingThere);
            gathered.problems.extend(told);
            if is_down {
                break;
            }
        }
        Ok(())
    };
    let problem = remote::within(time, base, all).await;
    gathered.problems.extend(problem);
    gathered
}

async fn gather(
    http: &Http,
    base: &Url,
    subject: &Asked,
    limits: &AskLimits,
    gathered: &mut Gathered,
) -> Result<(), Stopped> {
    let nothing = |message: &str| Stopped::new(base, ProblemKind::NothingThere, message);
    let Some(package) = package(subject) else {
        let message = "is asked by package: say what the file is, --as pkg:deb/debian/NAME@VERSION?arch=ARCH or \
                       pkg:alpm/arch/NAME@VERSION?arch=ARCH";
        return Err(nothing(message));
    };
    let mut url = below(base, "api/v1/packages/binary")?;
    url.query_pairs_mut()
        .append_pair("name", &package.name)
        .append_pair("version", &package.version)
        .append_pair("architecture", &package.architecture);
    let page: Page = document(http, &url, limits).await?;
    // one for each distribution and release, which often share what was built
    let ids = page.records.iter();
    let ids: BTreeSet<(u32, u32)> = ids.filter_map(|r| r.build_id.zip(r.artifact_id)).collect();
    if ids.len() > limits.releases {
        let message = format!("lists more than {} builds of one file", limits.releases);
        return Err(Stopped::new(base, ProblemKind::BadAnswer, &message));
    }
    if ids.is_empty() {
        let message = match page.records.len() {
            0 => {
                "does not know this package in this version; one with an epoch is found with --as alone"
            }
            _ => "knows this package in this version and has not built it",
        };
        return Err(nothing(message));
    }
    let mut listed: Vec<(Url, Option<Sha256>)> = Vec::new();
    for (build, artifact) in ids {
        let path = format!("api/v1/builds/{build}/artifacts/{artifact}/attestation");
        listed.push((below(base, &path)?, None));
    }
    fetch(http, listed, limits, gathered).await
}

/// What the file is, by its package URL, else by its name.
fn package(subject: &Asked) -> Option<DebName> {
    if let Some(purl) = &subject.purl {
        let known = matches!(purl.kind(), "deb" | "alpm");
        let architecture = purl.qualifier("arch").filter(|_| known)?;
        return Some(DebName {
            name: purl.name().to_owned(),
            version: purl.version().to_owned(),
            architecture: architecture.to_owned(),
        });
    }
    let name = subject.file_name.as_deref()?;
    DebName::of_file(name).or_else(|| of_arch_file(name))
}

/// What a file of Arch Linux is called after: `NAME-VERSION-RELEASE-ARCH.pkg.tar.zst`.
fn of_arch_file(file_name: &str) -> Option<DebName> {
    let (stem, _) = file_name.split_once(".pkg.tar")?;
    let mut parts = stem.rsplitn(4, '-');
    let (architecture, release) = (parts.next()?, parts.next()?);
    let (version, name) = (parts.next()?, parts.next()?);
    Some(DebName {
        name: name.to_owned(),
        version: format!("{version}-{release}"),
        architecture: architecture.to_owned(),
    })
}

/// Says why it is not known which keys a service has.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// It gives no answer, or none that is taken.
    #[error("asking for its keys: {}", .0.message)]
    Answer(Problem),
    /// One of them is none.
    #[error("reading its keys")]
    Key(#[source] KeyError),
    /// There are none, or very many.
    #[error("it shows {0} keys; between 1 and {MAX_KEYS} are taken")]
    Count(usize),
}

impl KeysError {
    /// Whether asking again later may help.
    pub(crate) fn is_fault(&self) -> bool {
        matches!(self, Self::Answer(problem) if problem.kind == ProblemKind::Unreachable)
    }
}

/// The keys that a service says are its own, by nobody's signature.
///
/// # Errors
/// See [`KeysError`].
pub(crate) async fn unverified_keys(
    http: &Http,
    base: &Url,
    limits: &AskLimits,
) -> Result<Vec<AnyPublicKey>, KeysError> {
    #[derive(Deserialize)]
    struct Keys {
        current: Vec<String>,
    }
    let answer = async {
        let url = below(base, "api/v1/meta/public-keys")?;
        document::<Keys>(http, &url, limits).await
    };
    let Keys { current } = answer
        .await
        .map_err(|stopped| KeysError::Answer(stopped.0))?;
    if current.is_empty() || current.len() > MAX_KEYS {
        return Err(KeysError::Count(current.len()));
    }
    let key = |pem: &String| PublicKey::from_pem(pem.as_bytes()).map(AnyPublicKey::from);
    let keys: BTreeSet<AnyPublicKey> = current
        .iter()
        .map(key)
        .collect::<Result<_, _>>()
        .map_err(KeysError::Key)?;
    Ok(keys.into_iter().collect())
}

#[cfg(test)]
mod tests;
