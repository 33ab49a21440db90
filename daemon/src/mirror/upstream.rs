//! Asking registries: each request is built here from typed values, with nothing of a build's in it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use countersign_attest::digest::{Digests, Sha256, Sha512};
use url::Url;

use super::fault::MirrorError;
use super::request::Request;
use super::{UnderTest, Upstreams};
use crate::blobs::Blobs;
use crate::http::{Ask, Http, HttpError, HttpOptions};
use crate::publish::endpoints::SlashUrl;
use countersign_attest::time::Timestamp;

/// How much, of what, and the key that raises it.
pub(super) type Limit = (u64, &'static str, &'static str);

/// Waits before another try of what did not answer.
const PATIENCE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(3)];

/// What a file must be, in the words of the index that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Expected {
    fn is(&self, came: &Digests) -> bool {
        *self == self.of(came)
    }

    /// What came, in the same words.
    const fn of(&self, came: &Digests) -> Self {
        match self {
            Self::Sha256(_) => Self::Sha256(came.sha256),
            Self::Sha512(_) => Self::Sha512(came.sha512),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(sha256) => sha256.fmt(f),
            Self::Sha512(sha512) => sha512.fmt(f),
        }
    }
}

/// The registries of one run.
#[derive(Debug)]
pub(super) struct Registries {
    http: Http,
    /// By kind.
    endpoints: BTreeMap<String, SlashUrl>,
    allowed_hosts: Vec<String>,
    pub(super) as_of: Timestamp,
    pub(super) under_test: UnderTest,
}

impl Registries {
    /// Reads what the host says. `proxies` are hosts through which requests go.
    pub(super) fn new(upstreams: &Upstreams, proxies: Vec<String>) -> Result<Self, String> {
        let parse = |(kind, text): (&String, &String)| {
            let url = SlashUrl::parse(text).map_err(|error| error.to_string())?;
            Ok((kind.clone(), url))
        };
        let endpoints: BTreeMap<String, SlashUrl> = upstreams
            .endpoints
            .iter()
            .map(parse)
            .collect::<Result<_, String>>()?;
        let mut exempt = proxies;
        for endpoint in endpoints.values() {
            exempt.extend(endpoint.url().host_str().map(str::to_owned));
        }
        // whoever names a host says that it may be asked, wherever it is
        let named = upstreams.allowed_hosts.iter();
        exempt.extend(named.filter_map(|host| {
            let url: Url = format!("http://{host}/").parse().ok()?;
            url.host_str().map(str::to_owned)
        }));
        let options = HttpOptions {
            allow_http: upstreams.allow_http,
            ..HttpOptions::default()
        };
        let http = Http::guarded(options, exempt).map_err(|error| error.to_string())?;
        Ok(Self {
            http,
            endpoints,
            allowed_hosts: upstreams.allowed_hosts.clone(),
            as_of: upstreams.as_of,
            under_test: upstreams.under_test.clone(),
        })
    }

    /// Where the registry is that a request asks, or which key to set.
    pub(super) fn endpoint(&self, request: &Request) -> Result<&SlashUrl, MirrorError> {
        let registry = request.registry();
        let endpoint = self.endpoints.get(registry.kind);
        endpoint.ok_or_else(|| MirrorError::Unconfigured {
            request: request.to_string(),
            key: registry.key,
        })
    }

    /// Reads a document; `None` where there is none.
    pub(super) async fn document(
        &self,
        url: &Url,
        limit: Limit,
        accept: Option<&'static str>,
    ) -> Result<Option<Vec<u8>>, MirrorError> {
        let ask = self.ask(limit.0, accept);
        let mut waits = PATIENCE.iter();
        loop {
            match self.http.read(url, &ask).await {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(HttpError::Missing { .. }) => return Ok(None),
                Err(error) => wait_or_fail(error, limit, &mut waits).await?,
            }
        }
    }

    /// Stores a file if it is the one that an index names; `None` where there is none.
    pub(super) async fn file(
        &self,
        request: &Request,
        url: &Url,
        expected: &Expected,
        limit: Limit,
        blobs: &Blobs,
    ) -> Result<Option<Digests>, MirrorError> {
        let ask = self.ask(limit.0, None);
        let mut waits = PATIENCE.iter();
        loop {
            let incoming = blobs.begin()?;
            let mut sink = incoming.sink()?;
            let error = match self.http.download(url, &ask, &mut sink).await {
                Ok(digests) if expected.is(&digests) => {
                    drop(sink);
                    let committed =
                        tokio::task::spawn_blocking(move || incoming.commit(&digests)).await;
                    return match committed {
                        Ok(stored) => Ok(stored.map(|()| Some(digests))?),
                        // never aborted: it panicked, which goes on
                        Err(error) => std::panic::resume_unwind(error.into_panic()),
                    };
                }
                Ok(digests) => {
                    return Err(MirrorError::Digest {
                        request: request.to_string(),
                        expected: expected.to_string(),
                        found: expected.of(&digests).to_string(),
                    });
                }
                Err(HttpError::Missing { .. }) => return Ok(None),
                Err(error) => error,
            };
            wait_or_fail(error, limit, &mut waits).await?;
        }
    }

    const fn ask(&self, limit_bytes: u64, accept: Option<&'static str>) -> Ask<'_> {
        Ask {
            limit_bytes,
            allowed_hosts: self.allowed_hosts.as_slice(),
            accept,
        }
    }
}

/// Waits where another try may help and one is left.
async fn wait_or_fail(
    error: HttpError,
    (limit, what, key): Limit,
    waits: &mut std::slice::Iter<'_, Duration>,
) -> Result<(), MirrorError> {
    let passing = match &error {
        HttpError::Unreachable { .. } | HttpError::TimedOut { .. } => true,
        HttpError::Status { status, .. } => status.is_server_error() || status.as_u16() == 429,
        HttpError::TooLarge { .. } => return Err(MirrorError::Budget { what, limit, key }),
        HttpError::Missing { .. }
        | HttpError::Tls { .. }
        | HttpError::OtherHost { .. }
        | HttpError::Redirect { .. }
        | HttpError::Forbidden { .. }
        | HttpError::Sink { .. } => false,
    };
    match waits.next() {
        Some(wait) if passing => {
            tokio::time::sleep(*wait).await;
            Ok(())
        }
        Some(_) | None => Err(MirrorError::Http(error)),
    }
}
