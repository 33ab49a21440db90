//! The one place that talks to source repositories: smart HTTP, anonymous, under limits.
//!
//! Reads pkt-lines, never a git object. Obeys no redirect to another host, sends no header but its
//! own, keeps no cookie.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::time::Duration;

use countersign_attest::digest::GitOid;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response};
use url::Url;

use super::error::{Fault, Refusal, WatchError, printable};
use super::fetch::{self, PackStream};
use super::pkt::PacketReader;
use super::refs::{self, AnswerError, FirstAnswer, Listing, Protocol};

/// Redirects that are followed in one look.
const MAX_REDIRECTS: usize = 3;

/// What one look may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpstreamLimits {
    /// Bytes of a listing.
    pub answer_bytes: u64,
    /// References in a listing.
    pub max_refs: usize,
    /// Bytes of a pack.
    pub pack_bytes: u64,
    /// Time for a listing.
    pub answer_time: Duration,
    /// Time for a pack.
    pub pack_time: Duration,
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self {
            answer_bytes: 64 << 20,
            max_refs: 100_000,
            pack_bytes: 4 << 30,
            answer_time: Duration::from_secs(60),
            pack_time: Duration::from_secs(1800),
        }
    }
}

/// What is known of a server from before: it makes the next poll one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    asked: Url,
    base: Url,
    protocol: Protocol,
}

/// Asks servers.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    client: Client,
    limits: UpstreamLimits,
}

/// The settings of the client that [`Upstream`] needs: rustls with ring, no redirects of its own.
/// Proxies are those of the environment, unless the caller changes that before `build`.
pub(crate) fn client() -> reqwest::ClientBuilder {
    // an error says that a provider is installed already, which is as good
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // some servers offer the smart protocol only to what calls itself git
        .user_agent(concat!(
            "git/2.0 (countersign ",
            env!("CARGO_PKG_VERSION"),
            ")"
        ))
        .connect_timeout(Duration::from_secs(20))
        .read_timeout(Duration::from_secs(60))
}

impl Upstream {
    /// Asks with this client, which must come from [`client`].
    #[must_use]
    pub(crate) const fn new(client: Client, limits: UpstreamLimits) -> Self {
        Self { client, limits }
    }

    /// Lists all tags, or those whose names start with `tag`.
    ///
    /// # Errors
    /// A fault when there is no answer, a refusal when it is not one of a git server.
    pub(crate) async fn list(
        &self,
        url: &Url,
        tag: Option<&str>,
        remembered: Option<&Remembered>,
    ) -> Result<(Listing, Remembered), WatchError> {
        let work = async {
            if let Some(known) = remembered.filter(|known| known.asked == *url)
                && matches!(known.protocol, Protocol::V2 { .. })
            {
                match self.ls_refs(known, tag).await {
                    // the server has changed since: ask it anew
                    Err(WatchError::Refusal(
                        Refusal::NotGit { .. } | Refusal::NoRepository { .. },
                    )) => {}
                    other => return Ok((other?, known.clone())),
                }
            }
            self.list_anew(url, tag).await
        };
        within(
            self.limits.answer_time,
            format!("listing the tags of {url}"),
            work,
        )
        .await
    }

    async fn list_anew(
        &self,
        url: &Url,
        tag: Option<&str>,
    ) -> Result<(Listing, Remembered), WatchError> {
        let (base, response) = self.first_answer(url).await?;
        let bytes = self.body(url, response).await?;
        let first = refs::parse_first_answer(&bytes, self.limits.max_refs)
            .map_err(|error| refusal_of(url, error))?;
        let known = |protocol| Remembered {
            asked: url.clone(),
            base: base.clone(),
            protocol,
        };
        match first {
            FirstAnswer::V0(protocol, mut listing) => {
                if let Some(tag) = tag {
                    listing.tags.retain(|found| found.name.starts_with(tag));
                }
                Ok((listing, known(protocol)))
            }
            FirstAnswer::V2(protocol) => {
                let known = known(protocol);
                Ok((self.ls_refs(&known, tag).await?, known))
            }
        }
    }

    async fn ls_refs(&self, known: &Remembered, tag: Option<&str>) -> Result<Listing, WatchError> {
        let response = self.post(known, refs::ls_refs_request(tag)).await?;
        let bytes = self.body(&known.asked, response).await?;
        refs::parse_ls_refs(&bytes, self.limits.max_refs)
            .map_err(|error| refusal_of(&known.asked, error))
    }

    /// Downloads a pack with `want` and what it needs into an unnamed file in `folder`, read from its
    /// start. Nothing in the pack is checked.
    ///
    /// # Errors
    /// As for a listing; also when the server does not want to send that object.
    pub(crate) async fn pack(
        &self,
        known: &Remembered,
        want: GitOid,
        have: &[GitOid],
        folder: &Path,
    ) -> Result<File, WatchError> {
        let url = &known.asked;
        let work = async {
            let mut response = self
                .post(known, fetch::request(known.protocol, want, have))
                .await?;
            let what = || format!("writing the pack of {url}");
            let mut file = tempfile::tempfile_in(folder).map_err(Fault::io(what()))?;
            let mut reader = PacketReader::default();
            let mut stream = PackStream::new(known.protocol);
            let mut left = self.limits.pack_bytes;
            while let Some(bytes) = response.chunk().await.map_err(|e| unreachable(url, e))? {
                left = left
                    .checked_sub(bytes.len() as u64)
                    .ok_or_else(|| Refusal::Limit {
                        what: format!("the pack of {url}"),
                        limit: self.limits.pack_bytes,
                    })?;
                reader.push(&bytes);
                let mut piece = Vec::new();
                while let Some(packet) = reader
                    .next_packet()
                    .map_err(|error| refusal_of(url, error.into()))?
                {
                    piece.extend(
                        stream
                            .take(packet)
                            .map_err(|error| refusal_of(url, error))?,
                    );
                }
                file.write_all(&piece).map_err(Fault::io(what()))?;
            }
            stream.finish().map_err(|error| refusal_of(url, error))?;
            file.rewind().map_err(Fault::io(what()))?;
            Ok(file)
        };
        within(self.limits.pack_time, format!("fetching from {url}"), work).await
    }

    /// `GET info/refs`, following redirects on the same host.
    async fn first_answer(&self, url: &Url) -> Result<(Url, Response), WatchError> {
        const TAIL: &str = "/info/refs?service=git-upload-pack";
        let mut base = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let target = format!("{base}{TAIL}");
            let request = self
                .client
                .request(Method::GET, &target)
                .header("git-protocol", "version=2")
                .header(ACCEPT, "*/*");
            let response = request.send().await.map_err(|e| unreachable(url, e))?;
            if !response.status().is_redirection() {
                check(
                    url,
                    &response,
                    "application/x-git-upload-pack-advertisement",
                )?;
                return Ok((base, response));
            }
            base = redirected(url, &base, response.headers().get(LOCATION), TAIL)?;
        }
        Err(not_git(url, "it redirects in a circle").into())
    }

    async fn post(&self, known: &Remembered, body: Vec<u8>) -> Result<Response, WatchError> {
        let mut request = self
            .client
            .request(Method::POST, format!("{}/git-upload-pack", known.base))
            .header(CONTENT_TYPE, "application/x-git-upload-pack-request")
            .header(ACCEPT, "application/x-git-upload-pack-result")
            .body(body);
        if matches!(known.protocol, Protocol::V2 { .. }) {
            request = request.header("git-protocol", "version=2");
        }
        let response = request
            .send()
            .await
            .map_err(|e| unreachable(&known.asked, e))?;
        check(
            &known.asked,
            &response,
            "application/x-git-upload-pack-result",
        )?;
        Ok(response)
    }

    async fn body(&self, url: &Url, mut response: Response) -> Result<Vec<u8>, WatchError> {
        let limit = self.limits.answer_bytes;
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|e| unreachable(url, e))? {
            if body.len() as u64 + bytes.len() as u64 > limit {
                let what = format!("the listing of {url}");
                return Err(Refusal::Limit { what, limit }.into());
            }
            body.extend_from_slice(&bytes);
        }
        Ok(body)
    }
}

/// Where a redirect leads, when it stays on the host and is still the same question.
fn redirected(
    url: &Url,
    base: &Url,
    location: Option<&HeaderValue>,
    tail: &str,
) -> Result<Url, WatchError> {
    let text = location
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let current = Url::parse(&format!("{base}{tail}")).map_err(|_| not_git(url, "no address"))?;
    let target = current
        .join(text)
        .map_err(|_| not_git(url, "its redirect leads nowhere"))?;
    let elsewhere = || Refusal::RedirectedElsewhere {
        location: url.to_string(),
        to: printable(
            target
                .as_str()
                .strip_suffix(tail)
                .unwrap_or(target.as_str())
                .as_bytes(),
        ),
    };
    let same_place = target.host() == base.host()
        && target.port_or_known_default() == base.port_or_known_default()
        && target.scheme() == base.scheme();
    let upgrade = base.scheme() == "http"
        && target.scheme() == "https"
        && target.host() == base.host()
        && base.port().is_none()
        && target.port().is_none();
    let bare = target
        .as_str()
        .strip_suffix(tail)
        .and_then(|bare| Url::parse(bare).ok());
    let clean = target.username().is_empty() && target.password().is_none();
    match bare {
        Some(bare) if (same_place || upgrade) && clean => Ok(bare),
        _ => Err(elsewhere().into()),
    }
}

fn check(url: &Url, response: &Response, expected: &str) -> Result<(), WatchError> {
    let location = url.to_string();
    let status = response.status().as_u16();
    match status {
        200 => {}
        401 | 403 | 404 | 410 => return Err(Refusal::NoRepository { location, status }.into()),
        300..=399 => {
            let to = response.headers().get(LOCATION).map(HeaderValue::as_bytes);
            let to = printable(to.unwrap_or_default());
            return Err(Refusal::RedirectedElsewhere { location, to }.into());
        }
        _ => return Err(Fault::Status { location, status }.into()),
    }
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let bare = kind
        .split(|&b| b == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    if bare == expected.as_bytes() {
        return Ok(());
    }
    let detail = format!(
        "its answer is of the type {:?}, not {expected}",
        printable(kind)
    );
    Err(Refusal::NotGit { location, detail }.into())
}

fn refusal_of(url: &Url, error: AnswerError) -> WatchError {
    let location = url.to_string();
    match error {
        AnswerError::Server(message) => Refusal::ServerRefuses { location, message },
        AnswerError::ObjectFormat(_) => Refusal::ObjectFormat { location },
        AnswerError::TooMany(limit) => Refusal::Limit {
            what: format!("the listing of {location}"),
            limit: limit as u64,
        },
        error @ (AnswerError::Packet(_) | AnswerError::Line(_) | AnswerError::Capability(_)) => {
            Refusal::NotGit {
                location,
                detail: error.to_string(),
            }
        }
    }
    .into()
}

fn not_git(url: &Url, detail: &str) -> Refusal {
    Refusal::NotGit {
        location: url.to_string(),
        detail: detail.into(),
    }
}

fn unreachable(url: &Url, error: reqwest::Error) -> WatchError {
    Fault::Unreachable {
        location: url.to_string(),
        source: error.without_url(),
    }
    .into()
}

async fn within<T>(
    time: Duration,
    what: String,
    work: impl Future<Output = Result<T, WatchError>>,
) -> Result<T, WatchError> {
    tokio::time::timeout(time, work).await.unwrap_or_else(|_| {
        Err(Fault::TimeOut {
            what,
            seconds: time.as_secs(),
        }
        .into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_stays_on_its_host_and_its_question() {
        const TAIL: &str = "/info/refs?service=git-upload-pack";
        for (base, location, expect) in [
            (
                "https://a.example/x",
                "https://a.example/y.git/info/refs?service=git-upload-pack",
                Some("https://a.example/y.git"),
            ),
            (
                "https://a.example/x",
                "/y/info/refs?service=git-upload-pack",
                Some("https://a.example/y"),
            ),
            (
                "http://a.example/x",
                "https://a.example/x/info/refs?service=git-upload-pack",
                Some("https://a.example/x"),
            ),
            (
                "https://a.example/x",
                "http://a.example/x/info/refs?service=git-upload-pack",
                None,
            ),
            (
                "https://a.example/x",
                "https://b.example/x/info/refs?service=git-upload-pack",
                None,
            ),
            (
                "https://a.example/x",
                "https://a.example:8443/x/info/refs?service=git-upload-pack",
                None,
            ),
            (
                "https://a.example/x",
                "https://u:p@a.example/x/info/refs?service=git-upload-pack",
                None,
            ),
            (
                "https://a.example/x",
                "https://a.example.evil/x/info/refs?service=git-upload-pack",
                None,
            ),
            ("https://a.example/x", "https://a.example/login", None),
            ("https://a.example/x", "", None),
            (
                "http://127.0.0.1:80/x",
                "https://127.0.0.1/x/info/refs?service=git-upload-pack",
                Some("https://127.0.0.1/x"),
            ),
            (
                "http://a.example:8080/x",
                "https://a.example/x/info/refs?service=git-upload-pack",
                None,
            ),
        ] {
            let base = Url::parse(base).expect("a URL");
            let header = HeaderValue::from_str(location).expect("a header");
            let found = redirected(&base, &base, Some(&header), TAIL);
            match expect {
                Some(to) => assert_eq!(found.expect(location).as_str(), to),
                None if location.is_empty() => {
                    // the same address again: the count of redirects ends it
                    assert_eq!(found.ok(), Some(base));
                }
                None => assert!(
                    matches!(
                        found,
                        Err(WatchError::Refusal(Refusal::RedirectedElsewhere { .. }))
                    ),
                    "{location}"
                ),
            }
        }
    }
}
