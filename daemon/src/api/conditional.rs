//! Entity tags: who has an answer already is told so, and does not get it again (RFC 9110 section 13).
//!
//! A tag is strong and is the SHA-256 of the body, so equal bytes have equal tags on every rebuilder
//! that runs this version. Never decides what is answered, only whether its bytes are sent.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use countersign_attest::digest::Sha256;

use super::problem::Problem;
use super::view::ViewError;

/// What is named by its own digest never changes.
pub(super) const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Everything else may have changed: keep it, and ask before using it again.
const ASK_AGAIN: &str = "no-cache";

/// Adds a tag to every answer, and leaves the body out where the caller has it.
pub(super) async fn conditional(mut request: Request, next: Next) -> Response {
    if request.method() == Method::HEAD {
        // the tag of a HEAD is that of its GET; the server leaves the body out
        *request.method_mut() = Method::GET;
    }
    let known = request.headers().clone();
    let (mut head, body) = next.run(request).await.into_parts();
    let caching = head.headers.entry(header::CACHE_CONTROL);
    caching.or_insert(HeaderValue::from_static(ASK_AGAIN));
    if head.status != StatusCode::OK {
        return Response::from_parts(head, body);
    }
    let body = match whole(body).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let tag = format!("\"{}\"", Sha256::of(&body));
    let has_it = names(&known, &tag);
    // hexadecimal in quotes is a header's value
    if let Ok(tag) = tag.parse() {
        head.headers.insert(header::ETAG, tag);
    }
    if !has_it {
        return Response::from_parts(head, body.into());
    }
    head.status = StatusCode::NOT_MODIFIED;
    for name in [
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::CONTENT_DISPOSITION,
    ] {
        head.headers.remove(name);
    }
    Response::from_parts(head, Body::empty())
}

/// Every body is in memory already: nothing here streams.
async fn whole(body: Body) -> Result<Bytes, Problem> {
    let read = to_bytes(body, usize::MAX).await;
    read.map_err(|error| Problem::Fault(ViewError(error.into())))
}

/// Whether `If-None-Match` has this tag, weak or strong, or is `*`.
fn names(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}
