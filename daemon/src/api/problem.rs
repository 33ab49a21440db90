//! What a program is told when there is no answer: problem documents (RFC 9457).
//!
//! The text never carries an inner error: what a client reads and what the log reads are two strings.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::view::ViewError;

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum Problem {
    /// What was asked for is malformed.
    BadRequest(&'static str),
    /// There is no such thing here.
    NotFound(&'static str),
    /// The answer would be too long.
    TooMuch(&'static str),
    /// Who asks may not.
    Forbidden(&'static str),
    /// Who asks asked too often.
    TooMany(&'static str),
    /// The method is none of the path's.
    Method,
    /// Our own trouble.
    Fault(ViewError),
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Self {
        Self::Fault(error)
    }
}

impl Problem {
    /// Status and text; logs our own trouble, so it is called once.
    pub(crate) fn tell(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest(detail) => (StatusCode::BAD_REQUEST, detail),
            Self::NotFound(detail) => (StatusCode::NOT_FOUND, detail),
            Self::TooMuch(detail) => (StatusCode::PAYLOAD_TOO_LARGE, detail),
            Self::Forbidden(detail) => (StatusCode::FORBIDDEN, detail),
            Self::TooMany(detail) => (StatusCode::TOO_MANY_REQUESTS, detail),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET and HEAD are answered here",
            ),
            Self::Fault(error) => {
                let source: &dyn std::error::Error = error;
                tracing::error!(error = source, "a request could not be answered");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "our own trouble; try again later",
                )
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, detail) = self.tell();
        let body = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": detail,
        });
        (
            status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            body.to_string(),
        )
            .into_response()
    }
}
