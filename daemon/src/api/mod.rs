//! The HTTP interface for programs, and the one place where routes are put together.
//!
//! Everything but one door for signed requests is GET, public and already published. The home of the
//! web framework, with `web`.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::middleware::{from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use countersign_attest::digest::{AnyDigest, Sha256};
use countersign_attest::time::Timestamp;
use serde::Serialize;

pub(crate) mod candidates;
mod conditional;
pub(crate) mod find;
pub(crate) mod problem;
pub(crate) mod rebuilderd;
pub(crate) mod statements;
pub(crate) mod view;

use tokio::net::TcpListener;

use crate::difference::Difference;
use crate::web::{self, About, SigningKey};
use candidates::Desk;
use find::Find;
use problem::Problem;
use view::{Export, ReleaseSummary, ViewError, Views};

/// Releases on a page when nobody says how many.
const PAGE: u32 = 50;
/// Most releases on a page.
const LONGEST_PAGE: u32 = 500;

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    /// The store, to read.
    pub(crate) views: Arc<dyn Views>,
    /// Who speaks.
    pub(crate) about: Arc<About>,
    /// Who takes requests.
    pub(crate) desk: Arc<dyn Desk>,
}

/// Serves until the process ends or the listener breaks.
///
/// # Errors
/// When the listener breaks.
pub(crate) async fn serve(
    listener: TcpListener,
    views: Arc<dyn Views>,
    about: About,
    desk: Arc<dyn Desk>,
) -> std::io::Result<()> {
    axum::serve(listener, router(views, about, desk)).await
}

/// All routes, with the headers that every response carries.
pub(crate) fn router(views: Arc<dyn Views>, about: About, desk: Arc<dyn Desk>) -> Router {
    let mut router = Router::new();
    for (path, answer) in programs() {
        router = router.route(path, answer);
    }
    router
        .merge(web::routes())
        .fallback(nothing)
        .method_not_allowed_fallback(async || Problem::Method)
        .layer(from_fn(conditional::conditional))
        .layer(map_response(guard))
        .with_state(Shared {
            views,
            about: Arc::new(about),
            desk,
        })
}

/// The routes for programs. The document at the first one describes each of them.
fn programs() -> [(&'static str, MethodRouter<Shared>); 20] {
    [
        ("/api/v1/openapi.json", get(openapi)),
        ("/api/v1/identity", get(identity)),
        ("/api/v1/releases", get(releases)),
        ("/api/v1/releases/{id}", get(release)),
        (
            "/api/v1/releases/{id}/differences/{digest}",
            get(difference),
        ),
        ("/api/v1/difference.schema.json", get(difference_schema)),
        ("/api/v1/statements", get(statements::statements)),
        ("/api/v1/keys", get(keys)),
        (
            "/api/v1/candidates",
            post(candidates::submit).layer(DefaultBodyLimit::max(candidates::MAX_BYTES)),
        ),
        ("/api/v1/candidates/{id}", get(candidates::state)),
        ("/by-digest/{digest}", get(by_digest)),
        ("/plans/{digest}", get(plan)),
        ("/attestations/{digest}", get(attestation)),
        ("/attestations/{digest}/bundle", get(bundle)),
        ("/attestations/{digest}/link", get(link)),
        ("/keys/{file}", get(key)),
        ("/api/v1/packages/binary", get(rebuilderd::packages)),
        (
            "/api/v1/builds/{id}/artifacts/{artifact}/attestation",
            get(rebuilderd::link),
        ),
        ("/api/v1/meta/public-keys", get(rebuilderd::public_keys)),
        ("/api/v0/pkgs/list", get(rebuilderd::list)),
    ]
}

/// Keeps browsers from running, framing or guessing anything; a page with a script of ours has said
/// so itself.
async fn guard(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; \
                          form-action 'self'; frame-ancestors 'none'";
    const HEADERS: [(HeaderName, &str); 2] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let headers = response.headers_mut();
    let policy = headers.entry(header::CONTENT_SECURITY_POLICY);
    policy.or_insert(HeaderValue::from_static(POLICY));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page for people, a problem for programs.
async fn nothing(uri: Uri) -> Response {
    let programs = [
        "/api/",
        "/by-digest/",
        "/plans/",
        "/attestations/",
        "/keys/",
    ];
    let problem = Problem::NotFound("nothing is served under this path");
    if programs.iter().any(|prefix| uri.path().starts_with(prefix)) {
        problem.into_response()
    } else {
        web::error_page(&problem)
    }
}

async fn openapi() -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (headers, include_str!("openapi.json")).into_response()
}

/// Who this rebuilder is, signed by its own key. That says that whoever serves it has the key, no more.
async fn identity(State(shared): State<Shared>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (headers, shared.about.card.clone()).into_response()
}

/// One page of a list.
#[derive(Serialize)]
struct List {
    releases: Vec<ReleaseSummary>,
    /// What to give as `after` for the next page.
    next: Option<i64>,
}

async fn releases(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = Page::parse(query.as_deref())?;
    let (releases, next) = page.read(&*shared.views).await?;
    json(&List { releases, next })
}

/// Which part of the list of releases is asked for.
pub(crate) struct Page {
    after: Option<i64>,
    limit: u32,
    /// What was searched for, as it was written.
    pub(crate) query: String,
    find: Option<Find>,
}

impl Page {
    /// Reads `after`, `limit` and `q`; other parameters mean nothing.
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let mut page = Self {
            after: None,
            limit: PAGE,
            query: String::new(),
            find: None,
        };
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "after" => {
                    let after = value.parse();
                    page.after = Some(after.map_err(|_| Problem::BadRequest("after is a number"))?);
                }
                "limit" => {
                    let limit = value
                        .parse()
                        .ok()
                        .filter(|l| (1..=LONGEST_PAGE).contains(l));
                    page.limit = limit.ok_or(Problem::BadRequest("limit is from 1 to 500"))?;
                }
                "q" => {
                    let find = Find::parse(&value);
                    page.find = find
                        .map_err(|_| Problem::BadRequest("a search has at most 200 characters"))?;
                    page.query = value.trim().to_owned();
                }
                _ => {}
            }
        }
        Ok(page)
    }

    /// The releases, and where the next page starts, if there may be one.
    pub(crate) async fn read(
        &self,
        views: &dyn Views,
    ) -> Result<(Vec<ReleaseSummary>, Option<i64>), ViewError> {
        let releases = views
            .releases(self.find.clone(), self.after, self.limit)
            .await?;
        let full = releases.len() == usize::try_from(self.limit).unwrap_or(usize::MAX);
        let next = releases.last().map(|last| last.id).filter(|_| full);
        Ok((releases, next))
    }
}

type Segment = Result<Path<String>, PathRejection>;

async fn release(State(shared): State<Shared>, id: Segment) -> Result<Response, Problem> {
    let id = segment(&id)?
        .parse()
        .map_err(|_| Problem::BadRequest("an id is a number"))?;
    match shared.views.release(id).await? {
        Some(release) => json(&release),
        None => Err(Problem::NotFound("no release has this id")),
    }
}

/// How a published artifact and what was rebuilt of it differ.
async fn difference(
    State(shared): State<Shared>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let found = find_difference(&shared, path).await?;
    json(&found)
}

/// Finds what `…/{id}/differences/{digest}` names.
pub(crate) async fn find_difference(
    shared: &Shared,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Difference, Problem> {
    let Path((id, digest)) =
        path.map_err(|_| Problem::BadRequest("the path is not percent-encoded UTF-8"))?;
    let id = id
        .parse()
        .map_err(|_| Problem::BadRequest("an id is a number"))?;
    let found = shared.views.difference(id, named(&Ok(Path(digest)))?);
    let unknown = "no difference of such a file is known here";
    found.await?.ok_or(Problem::NotFound(unknown))
}

async fn difference_schema() -> Response {
    let headers = [(header::CONTENT_TYPE, "application/schema+json")];
    (headers, crate::difference::SCHEMA).into_response()
}

async fn by_digest(State(shared): State<Shared>, digest: Segment) -> Result<Response, Problem> {
    let text = segment(&digest)?;
    let digest: AnyDigest = text.parse().map_err(|_| {
        Problem::BadRequest("a digest is sha256: or sha512: and lower-case hexadecimal")
    })?;
    let matches = shared.views.by_digest(digest).await?;
    if matches.is_empty() {
        return Err(Problem::NotFound(
            "no published artifact with this digest was seen here",
        ));
    }
    json(&serde_json::json!({ "digest": text, "matches": matches }))
}

async fn plan(State(shared): State<Shared>, digest: Segment) -> Result<Response, Problem> {
    let sha256 = named(&digest)?;
    let bytes = shared.views.plan(sha256).await?;
    let bytes = bytes.ok_or(Problem::NotFound("no plan has this digest"))?;
    by_name(&sha256, "application/json", bytes)
}

async fn attestation(State(shared): State<Shared>, digest: Segment) -> Result<Response, Problem> {
    let sha256 = named(&digest)?;
    let found = shared.views.statement(sha256).await?;
    let bytes = found.ok_or(Problem::NotFound("no attestation has this digest"))?;
    by_name(&sha256, "application/vnd.dsse.envelope.v1+json", bytes)
}

async fn bundle(State(shared): State<Shared>, digest: Segment) -> Result<Response, Problem> {
    let media_type = countersign_attest::bundle::MEDIA_TYPE;
    export(
        &shared,
        &digest,
        Export::Bundle,
        media_type,
        "sigstore.json",
    )
    .await
}

async fn link(State(shared): State<Shared>, digest: Segment) -> Result<Response, Problem> {
    export(&shared, &digest, Export::Link, "application/json", "link").await
}

async fn export(
    shared: &Shared,
    digest: &Segment,
    form: Export,
    media_type: &'static str,
    suffix: &str,
) -> Result<Response, Problem> {
    let sha256 = named(digest)?;
    let found = shared.views.export(sha256, form).await?;
    let bytes = found.ok_or(Problem::NotFound(
        "no attestation has this digest, or it has no such form",
    ))?;
    let name = format!("attachment; filename=\"{sha256}.{suffix}\"");
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, bytes).into_response())
}

/// Every key that signs here or did, and when. Who takes one from here compares its fingerprint with what
/// the operator says elsewhere.
async fn keys(State(shared): State<Shared>) -> Result<Response, Problem> {
    let about = &shared.about;
    let key = |key: &SigningKey, role: &str, from: Option<Timestamp>, until: Option<Timestamp>| {
        serde_json::json!({
            "keyId": key.id, "role": role, "from": from, "until": until,
            "url": format!("/keys/{}", key.file_name()), "publicKey": key.pem,
        })
    };
    let local = about.local_key.iter();
    let local = local.map(|local| key(local, "local-sources", None, None));
    let retired = about.retired.iter();
    let retired = retired.map(|old| key(&old.key, "retired", old.from, Some(old.until)));
    let keys = std::iter::once(key(&about.key, "signs", None, None));
    let keys: Vec<_> = keys.chain(local).chain(retired).collect();
    json(&serde_json::json!({ "keys": keys }))
}

/// A public key that signs here or did. Who takes it from here compares its fingerprint with what the
/// operator says elsewhere.
async fn key(State(shared): State<Shared>, file: Segment) -> Result<Response, Problem> {
    let name = segment(&file)?;
    let key = shared.about.keys().find(|key| key.file_name() == name);
    let key = key.ok_or(Problem::NotFound("no key in use here has this id"))?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-pem-file".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}\"", key.file_name()),
        ),
    ];
    Ok((headers, key.pem.clone()).into_response())
}

fn segment(segment: &Segment) -> Result<&str, Problem> {
    match segment {
        Ok(Path(text)) => Ok(text),
        Err(_) => Err(Problem::BadRequest("the path is not percent-encoded UTF-8")),
    }
}

fn named(digest: &Segment) -> Result<Sha256, Problem> {
    let text = segment(digest)?
        .strip_prefix("sha256:")
        .and_then(|hex| hex.parse().ok());
    text.ok_or(Problem::BadRequest(
        "what is named here is sha256: and lower-case hexadecimal",
    ))
}

/// Bytes under the name that is their digest, which is checked once more.
fn by_name(sha256: &Sha256, media_type: &'static str, bytes: Vec<u8>) -> Result<Response, Problem> {
    let found = Sha256::of(&bytes);
    if found != *sha256 {
        let error = format!("{sha256:?} is stored with bytes of {found:?}");
        return Err(Problem::Fault(ViewError(error.into())));
    }
    let name = format!("attachment; filename=\"{}\"", file_name(sha256));
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, conditional::IMMUTABLE.to_owned()),
    ];
    Ok((headers, bytes).into_response())
}

/// The name under which a browser saves what is served by digest.
pub(crate) fn file_name(sha256: &Sha256) -> String {
    format!("sha256-{sha256}.json")
}

fn json(value: &impl Serialize) -> Result<Response, Problem> {
    let mut body = serde_json::to_vec(value).map_err(|e| ViewError(e.into()))?;
    body.push(b'\n');
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

#[cfg(test)]
mod openapi_tests;
#[cfg(test)]
pub(crate) mod tests;
