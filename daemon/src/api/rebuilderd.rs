//! The read routes of rebuilderd, as its clients ask them: repro-threshold (v1) and debian-repro-status
//! (v0). For Debian packages alone, which is what these clients know.
//!
//! Their words are fewer than ours: what is not the same bytes, twice, from the source alone is never
//! `GOOD`. What such a client believes is the link and the key that it was given; nothing here is signed.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::Verdict;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::problem::Problem;
use super::{Shared, json};

/// A Debian package that was published, and what we say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deb {
    /// The store's id of the artifact.
    pub(crate) artifact: i64,
    /// What it is.
    pub(crate) name: DebName,
    /// The distribution, where the package URL says it.
    pub(crate) distribution: Option<String>,
    /// Its release, likewise.
    pub(crate) release: Option<String>,
    /// Where it was downloaded.
    pub(crate) url: Option<String>,
    /// When we got it.
    pub(crate) seen_on: Timestamp,
    /// What was found, once that is published.
    pub(crate) found: Option<Found>,
}

/// What the newest published verdict says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The store's id of the rebuild.
    pub(crate) rebuild: i64,
    /// The verdict; `None` where it was taken back.
    pub(crate) verdict: Option<Verdict>,
    /// When it was issued.
    pub(crate) on: Timestamp,
}

/// A version of a package for an architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DebName {
    /// The package.
    pub(crate) name: String,
    /// Its version, with the epoch where there is one.
    pub(crate) version: String,
    /// `all`, or a machine's.
    pub(crate) architecture: String,
}

impl DebName {
    /// The names that its file may have: with the epoch, as apt keeps it, and without, as archives do.
    pub(crate) fn file_names(&self) -> [String; 2] {
        let of = |version: &str| format!("{}_{version}_{}.deb", self.name, self.architecture);
        [
            of(&self.version.replace(':', "%3a")),
            of(self.without_epoch()),
        ]
    }

    /// The version as it stands in file names.
    pub(crate) fn without_epoch(&self) -> &str {
        let parts = self.version.split_once(':');
        parts.map_or(&self.version, |(_, version)| version)
    }

    /// What a file of this name is.
    pub(crate) fn of_file(file_name: &str) -> Option<Self> {
        let mut parts = file_name.strip_suffix(".deb")?.splitn(3, '_');
        Some(Self {
            name: parts.next()?.to_owned(),
            version: parts.next()?.replace("%3a", ":"),
            architecture: parts.next()?.to_owned(),
        })
    }
}

/// A status of rebuilderd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Status {
    #[serde(rename = "GOOD")]
    Good,
    #[serde(rename = "BAD")]
    Bad,
    #[serde(rename = "UNKWN")]
    Unknown,
}

impl Status {
    const fn of(verdict: Option<Verdict>) -> Self {
        match verdict {
            Some(Verdict::Reproduced) => Self::Good,
            Some(Verdict::Equivalent | Verdict::Differs | Verdict::Unstable) => Self::Bad,
            // the same bytes with something taken from them: neither
            Some(Verdict::Assisted | Verdict::BuildFailed | Verdict::Indeterminate) | None => {
                Self::Unknown
            }
        }
    }
}

impl Deb {
    fn status(&self) -> Status {
        Status::of(self.found.as_ref().and_then(|found| found.verdict))
    }

    /// Ids of rebuild and artifact where there is a link: a client that gets ids asks for one, and takes
    /// its absence for a failure of the service.
    fn linked(&self) -> Option<(i64, i64)> {
        let rebuild = self.found.as_ref().map(|found| found.rebuild);
        let is_good = self.status() == Status::Good;
        rebuild.filter(|_| is_good).map(|id| (id, self.artifact))
    }
}

/// A package in version 1 of their interface.
#[derive(Serialize)]
struct BinaryPackage {
    id: i64,
    name: String,
    version: String,
    distribution: String,
    release: Option<String>,
    component: Option<String>,
    architecture: String,
    url: String,
    status: Status,
    build_id: Option<i64>,
    artifact_id: Option<i64>,
    diffoscope_log_id: Option<i64>,
    attestation_log_id: Option<i64>,
    #[serde(serialize_with = "without_zone")]
    last_seen: Timestamp,
    seen_in_last_sync: bool,
}

impl From<Deb> for BinaryPackage {
    fn from(deb: Deb) -> Self {
        let linked = deb.linked();
        Self {
            id: deb.artifact,
            status: deb.status(),
            distribution: deb.distribution.unwrap_or_default(),
            release: deb.release,
            component: None,
            url: deb.url.unwrap_or_default(),
            build_id: linked.map(|(rebuild, _)| rebuild),
            artifact_id: linked.map(|(_, artifact)| artifact),
            diffoscope_log_id: None,
            attestation_log_id: linked.map(|(_, artifact)| artifact),
            last_seen: deb.seen_on,
            seen_in_last_sync: true,
            name: deb.name.name,
            version: deb.name.version,
            architecture: deb.name.architecture,
        }
    }
}

/// A package in version 0 of their interface.
#[derive(Serialize)]
struct PkgRelease {
    name: String,
    version: String,
    status: Status,
    distro: String,
    suite: String,
    architecture: String,
    artifact_url: String,
    build_id: Option<i64>,
    #[serde(serialize_with = "perhaps_without_zone")]
    built_at: Option<Timestamp>,
    has_diffoscope: bool,
    has_attestation: bool,
}

impl From<Deb> for PkgRelease {
    fn from(deb: Deb) -> Self {
        let linked = deb.linked();
        Self {
            status: deb.status(),
            distro: deb.distribution.unwrap_or_default(),
            suite: deb.release.unwrap_or_default(),
            artifact_url: deb.url.unwrap_or_default(),
            build_id: linked.map(|(rebuild, _)| rebuild),
            built_at: deb.found.map(|found| found.on),
            has_diffoscope: false,
            has_attestation: linked.is_some(),
            name: deb.name.name,
            version: deb.name.version,
            architecture: deb.name.architecture,
        }
    }
}

/// Their times are UTC and do not say so.
fn without_zone<S: Serializer>(on: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(on.to_string().trim_end_matches('Z'))
}

fn perhaps_without_zone<S: Serializer>(
    on: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match on {
        Some(on) => without_zone(on, serializer),
        None => serializer.serialize_none(),
    }
}

/// `GET /api/v1/packages/binary?name=…&version=…&architecture=…`
pub(super) async fn packages(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let value = |wanted| parameter(query.as_deref(), wanted);
    let (Some(name), Some(version), Some(architecture)) =
        (value("name"), value("version"), value("architecture"))
    else {
        let needed = "name, version and architecture of a Debian package are needed";
        return Err(Problem::BadRequest(needed));
    };
    let wanted = DebName {
        name,
        version,
        architecture,
    };
    let found = shared.views.debs(Some(wanted)).await?;
    let records: Vec<BinaryPackage> = found.into_iter().map(Into::into).collect();
    json(&json!({"total": records.len(), "records": records}))
}

/// `GET /api/v0/pkgs/list`
pub(super) async fn list(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let listed = shared.views.debs(None).await?.into_iter();
    let mut listed: Vec<PkgRelease> = listed.map(Into::into).collect();
    let status = |p: &PkgRelease| serde_json::to_value(p.status).unwrap_or_default();
    for (filter, of) in [
        (
            "name",
            (|p| p.name.clone().into()) as fn(&PkgRelease) -> serde_json::Value,
        ),
        ("status", status),
        ("distro", |p| p.distro.clone().into()),
        ("suite", |p| p.suite.clone().into()),
        ("architecture", |p| p.architecture.clone().into()),
    ] {
        if let Some(wanted) = parameter(query.as_deref(), filter) {
            listed.retain(|package| of(package) == wanted);
        }
    }
    json(&listed)
}

/// `GET /api/v1/builds/{id}/artifacts/{artifact}/attestation`
pub(super) async fn link(
    State(shared): State<Shared>,
    path: Result<Path<(i64, i64)>, PathRejection>,
) -> Result<Response, Problem> {
    let Path((rebuild, artifact)) = path.map_err(|_| Problem::BadRequest("an id is a number"))?;
    let found = shared.views.link(rebuild, artifact).await?;
    let bytes = found.ok_or(Problem::NotFound("no link is known here"))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// `GET /api/v1/meta/public-keys`. Clients take the first.
pub(super) async fn public_keys(State(shared): State<Shared>) -> Result<Response, Problem> {
    let keys: Vec<&str> = shared
        .about
        .in_use()
        .map(|key| &*key.pem_with_null)
        .collect();
    json(&json!({ "current": keys }))
}

fn parameter(query: Option<&str>, wanted: &str) -> Option<String> {
    let mut all = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    all.find(|(name, _)| name == wanted)
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_with_or_without_an_epoch() {
        let name = |text: &str| DebName::of_file(text).unwrap();
        let epoch = name("lib_1%3a2.0-1_amd64.deb");
        assert_eq!(
            (&*epoch.version, epoch.without_epoch()),
            ("1:2.0-1", "2.0-1")
        );
        assert_eq!(
            epoch.file_names(),
            ["lib_1%3a2.0-1_amd64.deb", "lib_2.0-1_amd64.deb"]
        );
        let plain = name("lib_2.0_all.deb");
        assert_eq!(plain.file_names(), ["lib_2.0_all.deb", "lib_2.0_all.deb"]);
        for other in ["lib_2.0.deb", "lib.deb", "lib_2.0_all.rpm", ""] {
            assert_eq!(DebName::of_file(other), None, "{other}");
        }
    }

    #[test]
    fn only_the_same_bytes_from_the_source_alone_are_good() {
        let words = Verdict::ALL.map(|verdict| Status::of(Some(verdict)));
        use Status::{Bad, Good, Unknown};
        assert_eq!(words, [Good, Unknown, Bad, Bad, Bad, Unknown, Unknown]);
        assert_eq!(Status::of(None), Unknown);
    }
}
