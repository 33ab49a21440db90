//! Asks a service to rebuild a candidate, for `await`, and how far it is. Its answers decide only whether
//! it is asked again: what it found counts where it signed it.

use countersign_attest::digest::Sha256;
use countersign_attest::json;
use serde::Deserialize;
use url::Url;

use crate::http::{Ask, Http, HttpError};

/// Longest answer in bytes.
const MAX_BYTES: usize = 16 << 10;

/// What a service says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// It works, or will.
    Pending(String),
    /// It is done with it, well or not.
    Ended,
    /// It does not take it.
    Refused(String),
    /// It cannot be asked now.
    Down(String),
}

#[derive(Deserialize)]
struct State {
    state: String,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// Hands a signed request in.
pub(crate) async fn submit(http: &Http, base: &Url, request: &[u8]) -> Said {
    let url = below(base, "api/v1/candidates");
    match http.post(&url, request.to_vec(), MAX_BYTES).await {
        Ok((status, _)) if status.is_success() => Said::Pending("asked".into()),
        Ok((status, body)) if status.is_client_error() && status.as_u16() != 429 => {
            let problem: Option<Problem> = json::from_slice(&body, &json::Limits::default()).ok();
            let detail = problem.map(|problem| problem.detail);
            Said::Refused(detail.unwrap_or_else(|| format!("answers {status}")))
        }
        Ok((status, _)) => Said::Down(format!("answers {status}")),
        Err(error) => down(&error),
    }
}

/// Asks how far a request is.
pub(crate) async fn state(http: &Http, base: &Url, id: Sha256) -> Said {
    let ask = Ask {
        limit_bytes: MAX_BYTES as u64,
        allowed_hosts: &[],
        accept: None,
    };
    let url = below(base, &format!("api/v1/candidates/sha256:{id}"));
    let bytes = match http.read(&url, &ask).await {
        Ok(bytes) => bytes,
        Err(error) => return down(&error),
    };
    match json::from_slice::<State>(&bytes, &json::Limits::default()) {
        Ok(State { state }) if matches!(&*state, "done" | "skipped" | "cancelled") => Said::Ended,
        Ok(State { state }) => Said::Pending(state),
        Err(_) => Said::Down("gives no answer that can be read".into()),
    }
}

fn down(error: &HttpError) -> Said {
    Said::Down(crate::trouble::with_causes(error))
}

fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path()));
    url
}
