//! The one door for writing: projects ask for rebuilds of what they are about to publish.
//!
//! What comes in is bounded and signed; who may ask is for the [`Desk`]. An answer never says more of a
//! project than that its requests are taken here or not.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_attest::digest::Sha256;
use serde_json::json;

use super::problem::Problem;
use super::view::Answer;
use super::{Segment, Shared, named};

/// Longest request in bytes.
pub(super) const MAX_BYTES: usize = 64 << 10;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Submission {
    /// It will be rebuilt.
    Taken(Sha256),
    /// The same was asked before.
    Known(Sha256),
    /// No project of this rebuilder signed it.
    Forbidden,
    /// It cannot be taken as it is.
    Refused(&'static str),
    /// Enough for today.
    TooMany,
}

/// Takes requests.
pub(crate) trait Desk: Send + Sync + 'static {
    /// Takes the bytes of a signed request.
    fn submit(&self, body: Vec<u8>) -> Answer<'_, Submission>;

    /// How far a request is; `None` for an unknown one.
    fn state(&self, id: Sha256) -> Answer<'_, Option<String>>;
}

pub(super) async fn submit(State(shared): State<Shared>, body: Bytes) -> Result<Response, Problem> {
    let (status, id) = match shared.desk.submit(body.to_vec()).await? {
        Submission::Taken(id) => (StatusCode::ACCEPTED, id),
        Submission::Known(id) => (StatusCode::OK, id),
        Submission::Forbidden => {
            return Err(Problem::Forbidden(
                "no project that this rebuilder takes candidates from signed this",
            ));
        }
        Submission::Refused(why) => return Err(Problem::BadRequest(why)),
        Submission::TooMany => {
            return Err(Problem::TooMany(
                "this project asked for as many candidates as it may in a day",
            ));
        }
    };
    let body = json!({"id": format!("sha256:{id}")}).to_string();
    Ok((status, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

pub(super) async fn state(State(shared): State<Shared>, id: Segment) -> Result<Response, Problem> {
    let id = named(&id)?;
    let state = shared.desk.state(id).await?;
    let state = state.ok_or(Problem::NotFound("no candidate has this id"))?;
    super::json(&json!({"id": format!("sha256:{id}"), "state": state}))
}
