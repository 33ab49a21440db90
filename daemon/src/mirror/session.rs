//! One run of one build: what it was answered, once for each request, and the record of that.
//!
//! The first answer stands for the whole run, whatever a registry says later. Only answers that are
//! complete and verified enter the cache; what is served is read back from there.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_attest::digest::Sha256;
use countersign_attest::origin::Origin;
use countersign_builder::archive::{ArchiveError, ReadLimits, unpacked};
use countersign_builder::plan::PlanInput;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use url::Url;

use super::budget::{Budgets, Spent};
use super::cache::Cache;
use super::fault::MirrorError;
use super::registry::Asked;
use super::request::{Request, What};
use super::upstream::{Expected, Limit, Registries};
use super::{Report, Told};
use crate::blobs::BlobError;
use crate::publish::endpoints::SlashUrl;

/// A body in the cache; `None` where there is nothing.
pub(super) type Body = Option<Kept>;

/// A blob and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) sha256: Sha256,
    pub(super) size_bytes: u64,
}

/// Where answers come from.
#[derive(Debug)]
pub(super) enum Source {
    /// Registries.
    Registries(Box<Registries>),
    /// A record.
    Record(BTreeMap<String, Kept>),
}

/// A registry's word about a package, in a form of ours that is kept: read once, it stands for the
/// package's index and for every file.
pub(super) trait Document: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What is asked for.
    const ACCEPT: &'static str;

    /// Where it is upstream.
    fn url(endpoint: &SlashUrl, name: &str) -> Url;

    /// Reads what came, without what a build may not see; `None` where nothing is left to see.
    fn of_upstream(
        name: &str,
        url: &Url,
        bytes: &[u8],
        registries: &Registries,
    ) -> Result<Option<Self>, MirrorError>;
}

type Cell<T> = Arc<OnceCell<Result<T, Arc<MirrorError>>>>;
/// A value that was made once, of the type that stands beside its name.
type Made = Cell<Option<Arc<dyn Any + Send + Sync>>>;

/// One run.
#[derive(Debug)]
pub(super) struct Session {
    source: Source,
    budgets: Budgets,
    pub(super) cache: Cache,
    answers: Mutex<HashMap<Request, Cell<Body>>>,
    made: Mutex<HashMap<(TypeId, String), Made>>,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    spent: Spent,
    served: BTreeMap<String, Kept>,
    unanswered: BTreeSet<String>,
    undated: BTreeSet<String>,
    trouble: Option<Told>,
}

impl Session {
    /// Begins a run over a cache folder.
    pub(super) fn new(source: Source, budgets: Budgets, cache: &Path) -> Result<Self, BlobError> {
        Ok(Self {
            source,
            budgets,
            cache: Cache::open(cache, budgets.document_bytes)?,
            answers: Mutex::default(),
            made: Mutex::default(),
            ledger: Mutex::default(),
        })
    }

    /// Counts a request, whatever it is.
    pub(super) fn admit(&self) -> Result<(), Arc<MirrorError>> {
        let counted = self.ledger().spent.request(&self.budgets);
        counted.map_err(|error| self.troubled(Arc::new(error)))
    }

    /// Counts a request that has no answer. `what` is the typed request where there is one.
    pub(super) fn missed(&self, what: String) -> Result<(), Arc<MirrorError>> {
        let mut ledger = self.ledger();
        let counted = ledger.spent.miss(&self.budgets);
        if counted.is_ok() {
            ledger.unanswered.insert(what); // so there are never more than misses
        }
        drop(ledger);
        counted.map_err(|error| self.troubled(Arc::new(error)))
    }

    /// Answers a request of the build and records the answer.
    pub(super) async fn serve(&self, request: &Request) -> Result<Body, Arc<MirrorError>> {
        let counted = self.ledger().spent.name(&self.budgets, request.name());
        counted.map_err(|error| self.troubled(Arc::new(error)))?;
        let body = self.answer(request).await.map_err(|e| self.troubled(e))?;
        if let Some(kept) = body {
            self.ledger().served.insert(request.to_string(), kept);
        }
        Ok(body)
    }

    /// Says of an index that its times are not those of publication.
    pub(super) fn is_undated(&self, request: &Request) {
        self.ledger().undated.insert(request.to_string());
    }

    /// What was done so far.
    pub(super) fn report(&self) -> Report {
        let ledger = self.ledger();
        let input = |(request, kept): (&String, &Kept)| PlanInput {
            request: request.clone(),
            sha256: kept.sha256,
            size_bytes: kept.size_bytes,
            origin: Origin::Registry,
        };
        Report {
            inputs: ledger.served.iter().map(input).collect(),
            unanswered: ledger.unanswered.iter().cloned().collect(),
            undated: ledger.undated.iter().cloned().collect(),
            trouble: ledger.trouble.clone(),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // every change of the ledger is whole before anything could panic
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn troubled(&self, error: Arc<MirrorError>) -> Arc<MirrorError> {
        self.ledger().trouble.get_or_insert_with(|| error.told());
        error
    }

    /// The answer of this run; the first that came stands.
    pub(super) async fn answer(&self, request: &Request) -> Result<Body, Arc<MirrorError>> {
        let cell = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(answers.entry(request.clone()).or_default())
        };
        let found = cell.get_or_init(|| async {
            let found = match &self.source {
                Source::Record(inputs) => self.recorded(inputs, request).await,
                Source::Registries(registries) => self.fetch(registries, request).await,
            };
            let body = found.map_err(Arc::new)?;
            if let Some(kept) = body {
                let counted = self.ledger().spent.bytes(&self.budgets, kept.size_bytes);
                counted.map_err(Arc::new)?;
            }
            Ok(body)
        });
        found.await.clone()
    }

    /// What the record has, verified once more.
    async fn recorded(
        &self,
        inputs: &BTreeMap<String, Kept>,
        request: &Request,
    ) -> Result<Body, MirrorError> {
        let Some(kept) = inputs.get(&request.to_string()) else {
            return Ok(None);
        };
        let (blobs, sha256) = (self.cache.blobs.clone(), kept.sha256);
        blocking(move || blobs.check(&sha256)).await?;
        Ok(Some(*kept))
    }

    async fn fetch(&self, registries: &Registries, request: &Request) -> Result<Body, MirrorError> {
        let asked = Asked {
            session: self,
            registries,
            request,
        };
        let body = (request.registry().answer)(asked).await?;
        match (request.what(), body) {
            (What::File(..), Some(kept)) => {
                let fine = self.is_other(registries, kept).await?;
                Ok(fine.then_some(kept))
            }
            (What::Config | What::Index(_) | What::File(..), body) => Ok(body),
        }
    }

    /// A registry's document about a package; the first answer stands for the whole run.
    pub(super) async fn document<T: Document>(
        &self,
        asked: Asked<'_>,
        name: &str,
    ) -> Result<Option<Arc<T>>, MirrorError> {
        let fetched = self.fetch_document(asked, name);
        self.once(name.to_owned(), fetched).await
    }

    /// A document that this run has read.
    pub(super) fn made<T: Document>(&self, name: &str) -> Option<Arc<T>> {
        let key = (TypeId::of::<T>(), name.to_owned());
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let value = made.get(&key)?.get()?.as_ref().ok()?.clone()?;
        value.downcast().ok()
    }

    async fn fetch_document<T: Document>(
        &self,
        asked: Asked<'_>,
        name: &str,
    ) -> Result<Option<T>, MirrorError> {
        let registries = asked.registries;
        let index = Request::new(asked.request.registry(), What::Index(name.to_owned()));
        let Ok(index) = index else {
            return Ok(None);
        };
        let endpoint = registries.endpoint(&index)?;
        let key = self.cache.key(registries, &index, endpoint);
        if let Some(kept) = self.cache.named(&key).await? {
            let bytes = self.cache.bytes(kept).await?;
            return serde_json::from_slice(&bytes)
                .map_err(MirrorError::Kept)
                .map(Some);
        }
        let (url, limit) = (T::url(endpoint, name), self.document_limit());
        let Some(bytes) = registries.document(&url, limit, Some(T::ACCEPT)).await? else {
            return Ok(None);
        };
        let Some(document) = T::of_upstream(name, &url, &bytes, registries)? else {
            return Ok(None);
        };
        let ours = serde_json::to_vec(&document).map_err(MirrorError::Kept)?;
        let kept = self.cache.keep(ours).await?;
        self.cache.remember(registries, &key, kept).await?;
        Ok(Some(document))
    }

    /// Makes a value once for the whole run; who asks for the same meanwhile waits for it.
    pub(super) async fn once<T: Send + Sync + 'static>(
        &self,
        name: String,
        make: impl Future<Output = Result<Option<T>, MirrorError>> + Send,
    ) -> Result<Option<Arc<T>>, MirrorError> {
        let cell = {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(made.entry((TypeId::of::<T>(), name)).or_default())
        };
        let found = cell.get_or_init(|| async {
            let found = make.await.map_err(Arc::new)?;
            Ok(found.map(|value| Arc::new(value) as Arc<dyn Any + Send + Sync>))
        });
        let found = found.await.clone().map_err(MirrorError::Same)?;
        // the type is part of what the value is kept under
        Ok(found.and_then(|value| value.downcast().ok()))
    }

    /// A file that an index names; one that an index names and nobody has is the registry's fault.
    pub(super) async fn file(
        &self,
        asked: Asked<'_>,
        url: &Url,
        expected: Expected,
    ) -> Result<Body, MirrorError> {
        let request = asked.request;
        let known = match expected {
            Expected::Sha256(sha256) => self.cache.stored(sha256).await?,
            Expected::Sha512(_) => self.cache.named(&self.cache.name_of(&expected)).await?,
        };
        if known.is_some() {
            return Ok(known);
        }
        let left = self.ledger().spent.left(&self.budgets);
        let limit = if left < self.budgets.file_bytes {
            (left, "bytes", "bytes")
        } else {
            (self.budgets.file_bytes, "bytes of one file", "file_bytes")
        };
        let found = asked
            .registries
            .file(request, url, &expected, limit, &self.cache.blobs)
            .await?;
        let digests = found.ok_or_else(|| {
            MirrorError::Registry(format!("the registry lists {request} and does not have it"))
        })?;
        let kept = Kept {
            sha256: digests.sha256,
            size_bytes: digests.size_bytes,
        };
        if let Expected::Sha512(_) = expected {
            self.cache
                .name(&self.cache.name_of(&expected), kept)
                .await?;
        }
        Ok(Some(kept))
    }

    /// How long a document may be.
    pub(super) const fn document_limit(&self) -> Limit {
        let limit = self.budgets.document_bytes;
        (limit, "bytes of one document", "document_bytes")
    }

    /// Whether what is in a file is not under test, however the file is compressed.
    async fn is_other(&self, registries: &Registries, kept: Kept) -> Result<bool, MirrorError> {
        let (blobs, budget) = (self.cache.blobs.clone(), self.budgets.bytes);
        let limits = ReadLimits {
            total_bytes: budget,
            ..ReadLimits::default()
        };
        let file = blobs.file(&kept.sha256)?;
        match blocking(move || unpacked::digest(file, &limits)).await {
            Ok(inner) => {
                let tested = inner.is_some_and(|inner| registries.under_test.has_digest(&inner));
                Ok(!tested && !registries.under_test.has_digest(&kept.sha256))
            }
            Err(ArchiveError::Io(error)) => Err(BlobError::Input(error).into()),
            Err(
                ArchiveError::Limit { .. }
                | ArchiveError::Truncated(_)
                | ArchiveError::Malformed { .. }
                | ArchiveError::Unsupported { .. },
            ) => Err(MirrorError::Budget {
                what: "bytes of one file, unpacked",
                limit: budget,
                key: "bytes",
            }),
        }
    }
}

/// Runs what blocks on the disk away from the thread that serves.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        // the task is never aborted, so it can only have panicked: a bug, which goes on panicking
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
