//! The registries that package URLs name: what each front says of itself, and the list of them.
//!
//! Adding a registry is one file beside this one and one line in [`FRONTS`]. Nothing else asks which
//! registry it is.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use countersign_attest::time::Timestamp;

use super::endpoints::{EndpointError, SlashUrl};
use super::error::{ParseSourceError, PublishError};
use super::{Fetcher, Found, cargo, deb, gem, npm, pypi};

/// All fronts.
pub(crate) const FRONTS: &[&Front] = &[
    &cargo::FRONT,
    &deb::FRONT,
    &gem::FRONT,
    &npm::FRONT,
    &pypi::FRONT,
];

/// Something that is being waited for, of a type that a table can hold.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a registry's front says of itself.
pub(crate) struct Front {
    /// The type of its package URLs, and its name in the configuration.
    pub(crate) kind: &'static str,
    /// The configuration key of its endpoint.
    pub(crate) key: &'static str,
    /// The program of its ecosystem that asks it, in builds too.
    pub(crate) client: &'static str,
    /// Reads what stands after `pkg:KIND/`; the error is the problem, in the words of an error about
    /// the whole URL.
    pub(super) parse: fn(&str) -> Result<Arc<dyn Package>, &'static str>,
    /// Checks an endpoint that a user wrote and gives its canonical text.
    pub(super) endpoint: fn(&str) -> Result<String, EndpointError>,
    /// Asks the client for the endpoint that its user has configured.
    pub(super) discover: fn() -> Pending<'static, Result<String, EndpointError>>,
}

impl Front {
    /// The front of this type of package URL.
    #[must_use]
    pub(crate) fn of(kind: &str) -> Option<&'static Self> {
        FRONTS.iter().copied().find(|front| front.kind == kind)
    }

    /// Asks the ecosystem's client for its endpoint.
    ///
    /// # Errors
    /// See [`EndpointError`]; each names the configuration key that makes this unnecessary.
    pub(crate) async fn discover(&self) -> Result<String, EndpointError> {
        (self.discover)().await
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)
    }
}

/// A package of a registry, read from a package URL. It displays as its canonical package URL: two
/// that display alike are the same.
pub(crate) trait Package: fmt::Debug + fmt::Display + Send + Sync {
    /// Fetches what was published under one of `versions`, best first, or under the version that the
    /// URL itself names.
    fn fetch<'a>(
        &'a self,
        fetcher: &'a Fetcher<'a>,
        versions: &'a [String],
        now: Timestamp,
    ) -> Pending<'a, Result<Found, PublishError>>;
}

/// A package and the front that knows what it means.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// The registry's front.
    pub(crate) front: &'static Front,
    package: Arc<dyn Package>,
}

impl Named {
    /// Reads a package URL.
    ///
    /// # Errors
    /// When no front is of its type, or it is no URL of a package there.
    pub(super) fn parse(text: &str) -> Result<Self, ParseSourceError> {
        let rest = text.strip_prefix("pkg:").unwrap_or(text);
        let parts = rest.split_once('/');
        let Some((front, rest)) = parts.and_then(|(kind, rest)| Some((Front::of(kind)?, rest)))
        else {
            let known: Vec<String> = FRONTS.iter().map(|f| format!("pkg:{}/…", f.kind)).collect();
            return Err(ParseSourceError::PurlType {
                text: text.to_owned(),
                known: known.join(", "),
            });
        };
        match (front.parse)(rest) {
            Ok(package) => Ok(Self { front, package }),
            Err(problem) => Err(ParseSourceError::Purl {
                text: text.to_owned(),
                kind: front.kind,
                problem,
            }),
        }
    }

    /// See [`Package::fetch`].
    pub(super) async fn fetch(
        &self,
        fetcher: &Fetcher<'_>,
        versions: &[String],
        now: Timestamp,
    ) -> Result<Found, PublishError> {
        self.package.fetch(fetcher, versions, now).await
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.package.fmt(f)
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Named {}

/// The endpoint of a registry at one address.
pub(super) fn one_address(text: &str) -> Result<String, EndpointError> {
    // cargo writes what kind of index it is before the address
    let url = text.strip_prefix("sparse+").unwrap_or(text);
    SlashUrl::parse(url).map(|url| url.url().to_string())
}
