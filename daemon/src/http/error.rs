//! Why nothing usable came of a request, told apart by what the caller can do about it.

use std::error::Error as StdError;
use std::io;

use reqwest::StatusCode;
use url::Url;

/// Says why nothing usable came. URLs in the text are percent-encoded, so they are printable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The server says that there is no such thing (404 or 410).
    #[error("{url} does not exist ({status})")]
    Missing {
        /// What was asked for.
        url: Url,
        /// The status.
        status: StatusCode,
    },
    /// The server answers, but not with the thing: 5xx, 429 and everything else that is not 200.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked for.
        url: Url,
        /// The status.
        status: StatusCode,
    },
    /// No connection, or it broke.
    #[error("reaching {url}")]
    Unreachable {
        /// What was asked for.
        url: Url,
        /// The client's words.
        source: reqwest::Error,
    },
    /// One of the three time limits passed.
    #[error("{url} took too long to answer")]
    TimedOut {
        /// What was asked for.
        url: Url,
    },
    /// No trusted TLS session: a bad certificate, no common version, no root certificates here.
    #[error(
        "no trusted connection to {url}; are root certificates installed (ca-certificates) and this machine's time right?"
    )]
    Tls {
        /// What was asked for.
        url: Url,
        /// The client's words.
        source: reqwest::Error,
    },
    /// The body is longer than the caller takes.
    #[error("{url} has more than the {limit_bytes} bytes allowed")]
    TooLarge {
        /// What was asked for.
        url: Url,
        /// The limit.
        limit_bytes: u64,
    },
    /// A redirect leads to a host that nobody allowed.
    #[error("{url} redirects to {target}, which is not an allowed host")]
    OtherHost {
        /// What was asked for.
        url: Url,
        /// `host` or `host:port` of the target, as an allow list would name it.
        target: String,
    },
    /// A redirect without a usable target, or too many of them.
    #[error("{url} redirects without end or to nowhere")]
    Redirect {
        /// What was asked for.
        url: Url,
    },
    /// The scheme is not https (nor http to loopback), or the URL carries a password.
    #[error("{url} is not allowed: https only, http on loopback only, no credentials in the URL")]
    Forbidden {
        /// What was asked for, without the password.
        url: Url,
    },
    /// The bytes could not be kept.
    #[error("writing what {url} sent")]
    Sink {
        /// What was asked for.
        url: Url,
        /// What the system said.
        source: io::Error,
    },
}

/// Tells a late answer and a bad TLS session from a connection that just failed.
pub(super) fn classify(url: &Url, error: reqwest::Error) -> HttpError {
    let (url, source) = (url.clone(), error.without_url());
    if source.is_timeout() {
        HttpError::TimedOut { url }
    } else if is_tls(&source) {
        HttpError::Tls { url, source }
    } else {
        HttpError::Unreachable { url, source }
    }
}

fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // an io::Error shows what it wraps through get_ref, and skips it in source
        next = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}
