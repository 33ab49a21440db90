//! Everything that is signed about many packages, in one answer: for somebody who has a whole list of
//! them. One envelope a line, byte for byte as it is served alone.

use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use countersign_attest::digest::AnyDigest;
use countersign_attest::purl::Purl;

use super::Shared;
use super::problem::Problem;

/// Most files and packages in one question.
const LONGEST: usize = 100;
/// Most envelopes in one answer.
const MOST: u32 = 2_000;

/// What statements are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sought {
    /// A file.
    Digest(AnyDigest),
    /// A version of a package: each of its files, whatever the qualifiers.
    Package(Purl),
}

/// `?about=sha256:…&about=pkg:…`
pub(super) async fn statements(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let about = parse(query.as_deref().unwrap_or_default())?;
    let envelopes = shared.views.statements(about, MOST + 1).await?;
    if envelopes.len() > MOST as usize {
        return Err(Problem::TooMuch(
            "more than 2000 statements; ask about fewer packages at once",
        ));
    }
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, envelopes.concat()).into_response())
}

fn parse(query: &str) -> Result<Vec<Sought>, Problem> {
    let mut about = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name != "about" {
            continue;
        }
        let read = if value.starts_with("pkg:") {
            value.parse().ok().map(Sought::Package)
        } else {
            value.parse().ok().map(Sought::Digest)
        };
        about.push(read.ok_or(Problem::BadRequest(
            "what is asked about is sha256:…, sha512:… or a package URL with a version",
        ))?);
    }
    if about.is_empty() || about.len() > LONGEST {
        let problem = "between 1 and 100 files or packages are asked about, each as about=…";
        return Err(Problem::BadRequest(problem));
    }
    Ok(about)
}
