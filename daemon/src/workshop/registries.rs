//! What is known of registries: where they are, and what is fetched of them.

use countersign_attest::digest::Sha256;
use countersign_attest::time::Timestamp;

use super::Workshop;
use crate::mirror::{REGISTRIES, Registry, UnderTest, Upstreams};
use crate::publish::front::{FRONTS, Front};
use crate::publish::{self, Endpoints, Fetcher, Found, PublishError, PublishedSource};
use crate::trouble::Trouble;

impl Workshop {
    /// Finds and stores what was published for a tag.
    ///
    /// # Errors
    /// As [`publish::fetch`], or when no registry is known for a package.
    pub(crate) async fn published(
        &self,
        source: &PublishedSource,
        tag: &str,
        versions: &[String],
    ) -> Result<Found, Trouble> {
        let endpoints = self.endpoints(source).await?;
        publish::fetch(&self.fetcher(&endpoints), source, tag, versions, self.now())
            .await
            .map_err(PublishError::into_trouble)
    }

    fn fetcher<'a>(&'a self, endpoints: &'a Endpoints) -> Fetcher<'a> {
        Fetcher {
            http: &self.http,
            endpoints,
            blobs: &self.blobs,
            limits: self.limits,
            clients: &self.clients,
        }
    }

    /// The known endpoints; a registry that is not configured is asked for once, of its client.
    async fn endpoints(&self, source: &PublishedSource) -> Result<Endpoints, Trouble> {
        let mut known = self.endpoints.lock().await;
        if let Some(front) = source.front() {
            discover(&mut known, front).await?;
        }
        Ok(known.clone())
    }

    /// Asks the clients that a build runs for their registries, where none is configured.
    ///
    /// # Errors
    /// A fault that names the configuration key to set instead.
    pub(crate) async fn discover(
        &self,
        clients: impl Iterator<Item = &str> + Send,
    ) -> Result<(), Trouble> {
        let mut known = self.endpoints.lock().await;
        for client in clients {
            if let Some(front) = FRONTS.iter().find(|front| front.client == client) {
                discover(&mut known, front).await?;
            }
        }
        Ok(())
    }

    /// The registries that a build may reach through the mirror, as of a moment.
    pub(crate) async fn upstreams(&self, as_of: Timestamp, under_test: UnderTest) -> Upstreams {
        let known = self.endpoints.lock().await;
        let endpoint = |registry: &&Registry| {
            let text = known.text(registry.kind)?;
            Some((registry.kind.to_owned(), text.to_owned()))
        };
        Upstreams {
            as_of,
            endpoints: REGISTRIES.iter().filter_map(endpoint).collect(),
            allowed_hosts: known.allowed_hosts.clone(),
            allow_http: self.http.allows_http(),
            under_test,
        }
    }

    /// The endpoint of a registry, which its client is asked for where none is configured.
    ///
    /// # Errors
    /// A fault that names the configuration key to set instead.
    pub(crate) async fn endpoint(&self, kind: &str) -> Result<String, Trouble> {
        let mut known = self.endpoints.lock().await;
        if let Some(front) = Front::of(kind) {
            discover(&mut known, front).await?;
        }
        let unknown = || Trouble::fault("bug", anyhow::anyhow!("no registry is called {kind:?}"));
        known.text(kind).map(str::to_owned).ok_or_else(unknown)
    }

    /// Stores a file that must have this digest, unless it is there already.
    ///
    /// # Errors
    /// When it cannot be had, or is another one.
    pub(crate) async fn fetch_as(&self, url: &url::Url, sha256: Sha256) -> Result<(), Trouble> {
        if self.blobs.check(&sha256).is_ok() {
            return Ok(());
        }
        let endpoints = self.endpoints.lock().await.clone();
        publish::fetch_as(&self.fetcher(&endpoints), url, sha256)
            .await
            .map_err(PublishError::into_trouble)
    }
}

/// Asks a registry's client for its endpoint, where none is known.
async fn discover(known: &mut Endpoints, front: &'static Front) -> Result<(), Trouble> {
    if known.text(front.kind).is_some() {
        return Ok(());
    }
    let unknown = |error| Trouble::fault("registry-unknown", error);
    let found = front.discover().await.map_err(unknown)?;
    known.set(front, &found).map_err(unknown)
}
