//! Answers about npm packages.
//!
//! A package's document is as of the moment; a tarball is served whenever its version came: a build
//! names one exactly because a lock file of its source does, and what a source names was there.

use std::sync::{Arc, PoisonError};

use super::super::fault::MirrorError;
use super::super::npm::{self, Package};
use super::super::request::Request;
use super::super::upstream::{Expected, Registries};
use super::{Body, Session, again};

impl Session {
    pub(super) async fn npm_index(
        &self,
        registries: &Registries,
        request: &Request,
        name: &str,
    ) -> Result<Body, MirrorError> {
        let Some(package) = self.package(registries, name).await? else {
            return Ok(None);
        };
        let Some(bytes) = package.to_served(registries.as_of) else {
            return Ok(None); // at that moment there was no such package
        };
        if !package.is_dated() {
            self.ledger().undated.insert(request.to_string());
        }
        self.keep(bytes).await.map(Some)
    }

    pub(super) async fn npm_file(
        &self,
        registries: &Registries,
        request: &Request,
        name: &str,
        version: &str,
    ) -> Result<Body, MirrorError> {
        let Some(package) = self.package(registries, name).await? else {
            return Ok(None);
        };
        let Some(known) = package.version(version) else {
            return Ok(None);
        };
        let expected = Expected::Sha512(known.sha512);
        self.file(registries, request, &known.url()?, expected)
            .await
    }

    /// A package; the first answer stands for its document and for every file.
    async fn package(
        &self,
        registries: &Registries,
        name: &str,
    ) -> Result<Option<Arc<Package>>, MirrorError> {
        let cell = {
            let mut known = self.packages.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(name.to_owned()).or_default())
        };
        let found = cell.get_or_init(|| async {
            let found = self.fetch_package(registries, name).await;
            found.map(|p| p.map(Arc::new)).map_err(Arc::new)
        });
        found.await.clone().map_err(|error| again(&error))
    }

    async fn fetch_package(
        &self,
        registries: &Registries,
        name: &str,
    ) -> Result<Option<Package>, MirrorError> {
        let request = Request::NpmIndex(name.to_owned());
        let endpoint = registries.npm(&request)?;
        let key = self.key(registries, &request, endpoint.url().as_str());
        if let Some(kept) = self.cached(&key).await? {
            let bytes = self.bytes(kept).await?;
            return serde_json::from_slice(&bytes)
                .map_err(MirrorError::Kept)
                .map(Some);
        }
        let url = npm::index_url(endpoint, name);
        let accept = Some(npm::ACCEPT);
        let Some(bytes) = registries.document(&url, self.document(), accept).await? else {
            return Ok(None);
        };
        let package = Package::read(name, &bytes, &registries.under_test)?;
        let kept = self
            .keep(serde_json::to_vec(&package).map_err(MirrorError::Kept)?)
            .await?;
        self.remember(registries, &key, kept).await?;
        Ok(Some(package))
    }
}
