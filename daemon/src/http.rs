//! The one client through which this process speaks to other machines. The home of `reqwest`.
//!
//! Every response is hostile: it has a size limit, time limits, and may send us only to hosts that
//! the caller named. Nothing is ever sent but a GET without credentials, documents that are signed, and what
//! [`post`] says. What the bytes mean is for the caller; this module never parses a body.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use countersign_attest::digest::{Digests, Hasher};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Client, Response, StatusCode, redirect};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use url::{Host, Url};

mod error;
mod guard;
mod post;

pub(crate) use error::HttpError;
use error::classify;
use guard::Guard;

pub(crate) use reqwest::header::HeaderValue as Header;

/// Redirects that one request may follow.
const REDIRECTS: usize = 5;

/// How long to wait and which schemes to speak.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpOptions {
    /// Until a connection stands, TLS included.
    pub(crate) connect_timeout: Duration,
    /// Between two pieces of a response.
    pub(crate) read_timeout: Duration,
    /// For one response with its body.
    pub(crate) total_timeout: Duration,
    /// Whether `http:` may leave this machine. Loopback is always allowed.
    pub(crate) allow_http: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_secs(60),
            total_timeout: Duration::from_secs(3600),
            allow_http: false,
        }
    }
}

/// What a caller is ready to take for one URL.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// Most bytes of the body.
    pub(crate) limit_bytes: u64,
    /// Hosts (`host` or `host:port`) beside the URL's own that a redirect may lead to.
    pub(crate) allowed_hosts: &'a [String],
    /// The `Accept` header; ASCII.
    pub(crate) accept: Option<&'static str>,
}

/// The client. Cheap to share by reference; one per process.
#[derive(Debug)]
pub(crate) struct Http {
    options: HttpOptions,
    /// For `http:` on loopback: no proxy, no root certificates to load.
    local: Client,
    /// For all else; made at first use, because it needs the system's root certificates.
    outer: OnceLock<Client>,
    /// Which hosts may be of a private network; `None` where the caller's own addresses are asked.
    guard: Option<Arc<Guard>>,
}

impl Http {
    /// Makes the client. Installs ring as the process's TLS provider if none is installed.
    ///
    /// # Errors
    /// When the client library cannot start.
    pub(crate) fn new(options: HttpOptions) -> Result<Self, reqwest::Error> {
        Self::with_guard(options, None)
    }

    /// Whether `http:` may leave this machine.
    pub(crate) const fn allows_http(&self) -> bool {
        self.options.allow_http
    }

    /// Makes a client that speaks to private addresses only where a host of that name was configured.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn guarded(
        options: HttpOptions,
        exempt: Vec<String>,
    ) -> Result<Self, reqwest::Error> {
        Self::with_guard(options, Some(Arc::new(Guard { exempt })))
    }

    fn with_guard(options: HttpOptions, guard: Option<Arc<Guard>>) -> Result<Self, reqwest::Error> {
        // an error only says that a provider is there already
        let _ = rustls::crypto::ring::default_provider().install_default();
        let local = builder(&options).no_proxy().tls_certs_only([]).build()?;
        Ok(Self {
            options,
            local,
            outer: OnceLock::new(),
            guard,
        })
    }

    /// Reads a body into memory.
    ///
    /// # Errors
    /// See [`HttpError`]; nothing is returned of a body that is over the limit.
    pub(crate) async fn read(&self, url: &Url, ask: &Ask<'_>) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        self.download(url, ask, &mut body).await?;
        Ok(body)
    }

    /// Streams a body into `sink` and digests it on the way. Flushes `sink` at the end.
    ///
    /// # Errors
    /// See [`HttpError`]; `sink` may then hold a beginning of the body.
    pub(crate) async fn download(
        &self,
        url: &Url,
        ask: &Ask<'_>,
        sink: &mut (impl AsyncWrite + Unpin),
    ) -> Result<Digests, HttpError> {
        let mut response = self.respond(url, ask).await?;
        let too_large = || HttpError::TooLarge {
            url: url.clone(),
            limit_bytes: ask.limit_bytes,
        };
        if response
            .content_length()
            .is_some_and(|length| length > ask.limit_bytes)
        {
            return Err(too_large());
        }
        let wrote = |source| HttpError::Sink {
            url: url.clone(),
            source,
        };
        let mut hasher = Hasher::new();
        let mut left = ask.limit_bytes;
        while let Some(piece) = response.chunk().await.map_err(|e| classify(url, e))? {
            left = left.checked_sub(piece.len() as u64).ok_or_else(too_large)?;
            hasher.update(&piece);
            sink.write_all(&piece).await.map_err(wrote)?;
        }
        sink.flush().await.map_err(wrote)?;
        Ok(hasher.finish())
    }

    /// Sends a signed document to where it is meant for: no redirect is followed. Gives status and answer.
    ///
    /// # Errors
    /// See [`HttpError`]; a status is none.
    pub(crate) async fn post(
        &self,
        url: &Url,
        document: Vec<u8>,
        limit_bytes: usize,
    ) -> Result<(StatusCode, Vec<u8>), HttpError> {
        let request = self.client(url)?.post(url.clone());
        let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let sent = request.body(document).send().await;
        let mut response = sent.map_err(|error| classify(url, error))?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|e| classify(url, e))? {
            if body.len().saturating_add(piece.len()) > limit_bytes {
                return Err(HttpError::TooLarge {
                    url: url.clone(),
                    limit_bytes: limit_bytes as u64,
                });
            }
            body.extend_from_slice(&piece);
        }
        Ok((response.status(), body))
    }

    /// Follows redirects by hand, so that each target is checked before it is spoken to.
    async fn respond(&self, asked: &Url, ask: &Ask<'_>) -> Result<Response, HttpError> {
        let mut url = asked.clone();
        url.set_fragment(None);
        for _ in 0..=REDIRECTS {
            let mut request = self.client(&url)?.get(url.clone());
            request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if let Some(accept) = ask.accept {
                request = request.header(ACCEPT, HeaderValue::from_static(accept));
            }
            let response = request.send().await.map_err(|e| classify(&url, e))?;
            let status = response.status();
            if status == StatusCode::OK {
                return Ok(response);
            }
            if status == StatusCode::NOT_FOUND || status == StatusCode::GONE {
                return Err(HttpError::Missing { url, status });
            }
            if !status.is_redirection() {
                return Err(HttpError::Status { url, status });
            }
            url = redirect_target(asked, &url, &response, ask.allowed_hosts)?;
        }
        Err(HttpError::Redirect { url: asked.clone() })
    }

    fn client(&self, url: &Url) -> Result<&Client, HttpError> {
        let credentials = !url.username().is_empty() || url.password().is_some();
        let loopback = is_loopback(url);
        let guarded = self.guard.as_ref().is_some_and(|guard| !guard.allows(url));
        match url.scheme() {
            _ if guarded => Err(self.forbidden(url)),
            _ if credentials => Err(self.forbidden(url)),
            "http" if loopback => Ok(&self.local),
            "https" => self.outer(url),
            "http" if self.options.allow_http => self.outer(url),
            _ => Err(self.forbidden(url)),
        }
    }

    fn outer(&self, url: &Url) -> Result<&Client, HttpError> {
        if let Some(client) = self.outer.get() {
            return Ok(client);
        }
        let tls = |source| HttpError::Tls {
            url: url.clone(),
            source,
        };
        let mut builder = builder(&self.options);
        if let Some(guard) = &self.guard {
            builder = builder.dns_resolver(Arc::clone(guard));
        }
        let client = builder.build().map_err(tls)?;
        Ok(self.outer.get_or_init(|| client))
    }

    fn forbidden(&self, url: &Url) -> HttpError {
        let mut url = url.clone();
        // both only fail on URLs that cannot have credentials
        let _ = url.set_password(None);
        let _ = url.set_username("");
        HttpError::Forbidden { url }
    }
}

fn builder(options: &HttpOptions) -> reqwest::ClientBuilder {
    Client::builder()
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .timeout(options.total_timeout)
}

/// Where a redirect leads, if it may lead there: the host first asked or an allowed one, and never
/// from https to http.
fn redirect_target(
    asked: &Url,
    from: &Url,
    response: &Response,
    allowed: &[String],
) -> Result<Url, HttpError> {
    let nowhere = || HttpError::Redirect { url: from.clone() };
    let location = response.headers().get(LOCATION).ok_or_else(nowhere)?;
    let location = location.to_str().map_err(|_| nowhere())?;
    let mut target = from.join(location).map_err(|_| nowhere())?;
    target.set_fragment(None);
    if from.scheme() == "https" && target.scheme() != "https" {
        return Err(HttpError::Forbidden { url: target });
    }
    if may_reach(asked, &target, allowed) {
        Ok(target)
    } else {
        Err(HttpError::OtherHost {
            url: asked.clone(),
            target: authority(&target),
        })
    }
}

/// Whether `target` is on the host of `own` or on one of the `allowed` (`host` or `host:port`).
pub(crate) fn may_reach(own: &Url, target: &Url, allowed: &[String]) -> bool {
    let host = authority(target);
    host == authority(own)
        || allowed
            .iter()
            .any(|entry| entry.eq_ignore_ascii_case(&host))
}

/// `host`, with `:port` where the port is not the scheme's own.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether a URL names this machine, by an address or as `localhost`.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests;
