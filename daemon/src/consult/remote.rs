//! Asks a rebuilder's service what it has about a file, for `verify --from`.
//!
//! The service is a stranger: what it lists is read strictly and under limits, what it serves must have
//! the digest under which it was listed, and nothing that it says is believed; attestations go to
//! the verifier like those of files. Its word decides neither which address is asked (paths
//! are ours, digests are its) nor how long we listen.

use std::collections::BTreeSet;
use std::time::Duration;

use countersign_attest::decide::Asked;
use countersign_attest::digest::Sha256;
use countersign_attest::json;
use countersign_verify::attestation::{Attestation, Problem, ProblemKind, causes};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::http::{Ask, Http, HttpError};

/// What one service may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskLimits {
    /// Longest list in bytes.
    pub(crate) list_bytes: u64,
    /// Most releases of a package that are looked at.
    pub(crate) releases: usize,
    /// Most attestations that are taken from a list.
    pub(crate) attestations: usize,
    /// Longest attestation in bytes.
    pub(crate) attestation_bytes: u64,
    /// Most bytes of all attestations together.
    pub(crate) total_bytes: u64,
    /// For everything.
    pub(crate) time: Duration,
}

impl Default for AskLimits {
    fn default() -> Self {
        Self {
            list_bytes: 4 << 20,
            releases: 20,
            attestations: 256,
            attestation_bytes: 8 << 20,
            total_bytes: 64 << 20,
            time: Duration::from_secs(120),
        }
    }
}

/// Says why an address is not that of a service. The caller's mistake.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BaseError {
    /// No absolute URL.
    #[error("not a URL")]
    Parse(#[source] url::ParseError),
    /// More than scheme, host and path.
    #[error("the address of a service has neither credentials, query nor fragment")]
    Parts,
    /// Another scheme, or plain http to another machine.
    #[error("https only, and http on loopback only; --allow-http asks others in clear too")]
    Scheme,
}

/// Reads the address of a service: everything before `by-digest/`, with or without the last slash.
pub(crate) fn base(text: &str, allow_http: bool) -> Result<Url, BaseError> {
    let mut url = Url::parse(text).map_err(BaseError::Parse)?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !bare {
        return Err(BaseError::Parts);
    }
    match url.scheme() {
        "https" => {}
        "http" if allow_http || crate::http::is_loopback(&url) => {}
        _ => return Err(BaseError::Scheme),
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// What came of asking: attestations, and what went wrong. Both may be there.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// In the order of the list, each once.
    pub(crate) attestations: Vec<Attestation>,
    /// Named by the address that was asked.
    pub(crate) problems: Vec<Problem>,
}

/// Asks one service about a file. `base` is of [`base()`].
pub(crate) async fn ask(http: &Http, base: &Url, subject: &Asked, limits: &AskLimits) -> Gathered {
    let mut gathered = Gathered::default();
    let asking = gather(http, base, subject, limits, &mut gathered);
    let problem = within(limits.time, base, asking).await;
    gathered.problems.extend(problem);
    gathered
}

/// What ended a conversation before its end, which is so long at most.
pub(super) async fn within(
    time: Duration,
    base: &Url,
    asking: impl Future<Output = Result<(), Stopped>>,
) -> Option<Problem> {
    let ended = match tokio::time::timeout(time, asking).await {
        Ok(ended) => ended,
        Err(_) => Err(Stopped::new(
            base,
            ProblemKind::Unreachable,
            "took too long to tell all that it lists",
        )),
    };
    ended.err().map(|stopped| stopped.0)
}

/// What ends the conversation with a service.
pub(super) struct Stopped(pub(super) Problem);

impl Stopped {
    pub(super) fn new(url: &Url, kind: ProblemKind, message: &str) -> Self {
        Self(Problem {
            name: url.to_string(),
            kind,
            message: countersign_attest::escape::printable(message),
        })
    }

    fn http(url: &Url, error: &HttpError) -> Self {
        let kind = match error {
            HttpError::Missing { .. } => ProblemKind::NothingThere,
            _ => kind_of(error),
        };
        let message = match error {
            HttpError::Missing { .. } => "has nothing about these bytes".to_owned(),
            _ => format!("gave no attestation: {}", causes(error)),
        };
        Self::new(url, kind, &message)
    }
}

/// Whether a service could not be asked, or answers something else than what was asked.
pub(super) fn kind_of(error: &HttpError) -> ProblemKind {
    match error {
        HttpError::Status { status, .. } if status.is_server_error() || status.as_u16() == 429 => {
            ProblemKind::Unreachable
        }
        HttpError::Unreachable { .. }
        | HttpError::TimedOut { .. }
        | HttpError::Tls { .. }
        | HttpError::Sink { .. } => ProblemKind::Unreachable,
        HttpError::Missing { .. }
        | HttpError::Status { .. }
        | HttpError::TooLarge { .. }
        | HttpError::OtherHost { .. }
        | HttpError::Redirect { .. }
        | HttpError::Forbidden { .. } => ProblemKind::BadAnswer,
    }
}

/// The part of a service's answer that is used. All else in it is its own word and passed over.
#[derive(Deserialize)]
struct List {
    matches: Vec<Match>,
}

#[derive(Deserialize)]
struct Match {
    artifact: Artifact,
}

#[derive(Deserialize)]
struct Artifact {
    #[serde(default)]
    purl: Option<String>,
    statements: Vec<Listed>,
}

/// The part of a list of releases that is used.
#[derive(Deserialize)]
struct Releases {
    releases: Vec<Id>,
}

#[derive(Deserialize)]
struct Id {
    id: u64,
}

/// The part of a release that is used.
#[derive(Deserialize)]
struct Release {
    artifacts: Vec<Artifact>,
}

#[derive(Deserialize)]
struct Listed {
    digest: Sha256,
}

async fn gather(
    http: &Http,
    base: &Url,
    subject: &Asked,
    limits: &AskLimits,
    gathered: &mut Gathered,
) -> Result<(), Stopped> {
    let (digests, problems) = list(http, base, subject, limits).await?;
    gathered.problems.extend(problems);
    let mut listed = Vec::new();
    for digest in digests {
        let url = below(base, &format!("attestations/sha256:{digest}"))?;
        listed.push((url, Some(digest)));
    }
    fetch(http, listed, limits, gathered).await
}

/// Fetches what a service lists: addresses of ours below its own, and the digest that a document must have where
/// it was listed under one.
pub(super) async fn fetch(
    http: &Http,
    listed: Vec<(Url, Option<Sha256>)>,
    limits: &AskLimits,
    gathered: &mut Gathered,
) -> Result<(), Stopped> {
    let mut left = limits.total_bytes;
    for (url, digest) in listed {
        let limit_bytes = limits.attestation_bytes.min(left);
        let problem = match read(http, &url, limit_bytes).await {
            Ok(bytes) if digest.is_none_or(|digest| Sha256::of(&bytes) == digest) => {
                left = left.saturating_sub(bytes.len() as u64);
                gathered.attestations.push(Attestation {
                    name: url.to_string(),
                    unverified_bytes: bytes,
                });
                continue;
            }
            Ok(_) => {
                let message = "is not the attestation of this digest";
                Stopped::new(&url, ProblemKind::BadAnswer, message)
            }
            Err(HttpError::Missing { .. }) => {
                let message = "is listed and not there";
                Stopped::new(&url, ProblemKind::BadAnswer, message)
            }
            Err(error) => Stopped::http(&url, &error),
        };
        // one bad attestation does not make the others worse; a service that is down is left alone
        match problem.0.kind {
            ProblemKind::Unreachable => return Err(problem),
            ProblemKind::BadAnswer
            | ProblemKind::NothingThere
            | ProblemKind::Signature
            | ProblemKind::Unreadable
            | ProblemKind::FromTheFuture
            | ProblemKind::Withdrawn
            | ProblemKind::NoVerdict => gathered.problems.push(problem.0),
        }
    }
    Ok(())
}

/// The digests of the attestations that a service lists about a file, in its order, each once: those on
/// the bytes, and where the package is known those on it, since other bytes under its name matter too.
/// What one of the two lists lacks is a problem; where neither has anything the service is done with.
async fn list(
    http: &Http,
    base: &Url,
    subject: &Asked,
    limits: &AskLimits,
) -> Result<(Vec<Sha256>, Vec<Problem>), Stopped> {
    let mut artifacts = Vec::new();
    let mut problems = Vec::new();
    let of_bytes = on_bytes(http, base, subject, limits).await;
    let of_package = match &of_bytes {
        Err(stopped) if stopped.0.kind == ProblemKind::Unreachable => Ok(Vec::new()),
        Ok(_) | Err(_) => on_package(http, base, subject, limits).await,
    };
    for listed in [of_bytes, of_package] {
        match listed {
            Ok(listed) => artifacts.extend(listed),
            Err(stopped) => problems.push(stopped.0),
        }
    }
    let mut seen = BTreeSet::new();
    let digests: Vec<Sha256> = artifacts
        .into_iter()
        .flat_map(|artifact| artifact.statements)
        .map(|listed| listed.digest)
        .filter(|digest| seen.insert(*digest))
        .collect();
    if digests.len() > limits.attestations {
        let message = format!("lists more than {} attestations", limits.attestations);
        return Err(Stopped::new(base, ProblemKind::BadAnswer, &message));
    }
    Ok((digests, problems))
}

/// What a service lists about these bytes.
async fn on_bytes(
    http: &Http,
    base: &Url,
    subject: &Asked,
    limits: &AskLimits,
) -> Result<Vec<Artifact>, Stopped> {
    let digest = match (subject.sha256, subject.sha512) {
        (Some(sha256), _) => format!("sha256:{sha256}"),
        (None, Some(sha512)) => format!("sha512:{sha512}"),
        (None, None) => return Ok(Vec::new()),
    };
    let url = below(base, &format!("by-digest/{digest}"))?;
    let list: List = document(http, &url, limits).await?;
    Ok(list
        .matches
        .into_iter()
        .map(|found| found.artifact)
        .collect())
}

/// What a service lists about this version of a package.
async fn on_package(
    http: &Http,
    base: &Url,
    subject: &Asked,
    limits: &AskLimits,
) -> Result<Vec<Artifact>, Stopped> {
    let Some(purl) = &subject.purl else {
        return Ok(Vec::new());
    };
    let mut url = below(base, "api/v1/releases")?;
    url.query_pairs_mut()
        .append_pair("q", purl.as_str())
        .append_pair("limit", &limits.releases.to_string());
    let list: Releases = document(http, &url, limits).await?;
    let mut artifacts = Vec::new();
    for Id { id } in list.releases.into_iter().take(limits.releases) {
        let url = below(base, &format!("api/v1/releases/{id}"))?;
        let release: Release = document(http, &url, limits).await?;
        // a search finds pieces of names; which package a statement is about it says itself later
        let named = |artifact: &Artifact| artifact.purl.as_deref() == Some(purl.as_str());
        artifacts.extend(release.artifacts.into_iter().filter(named));
    }
    Ok(artifacts)
}

pub(super) async fn document<T: DeserializeOwned>(
    http: &Http,
    url: &Url,
    limits: &AskLimits,
) -> Result<T, Stopped> {
    let bytes = read(http, url, limits.list_bytes)
        .await
        .map_err(|error| Stopped::http(url, &error))?;
    json::from_slice(&bytes, &json::Limits::default()).map_err(|error| {
        let message = format!(
            "is not the answer of a rebuilder's service (if rebuilderd runs there, say rebuilderd+https://…): {}",
            causes(&error)
        );
        Stopped::new(url, ProblemKind::BadAnswer, &message)
    })
}

pub(super) fn below(base: &Url, path: &str) -> Result<Url, Stopped> {
    base.join(path)
        .map_err(|_| Stopped::new(base, ProblemKind::BadAnswer, "is no address to ask below"))
}

async fn read(http: &Http, url: &Url, limit_bytes: u64) -> Result<Vec<u8>, HttpError> {
    let ask = Ask {
        limit_bytes,
        allowed_hosts: &[],
        accept: None,
    };
    http.read(url, &ask).await
}

#[cfg(test)]
mod tests;
