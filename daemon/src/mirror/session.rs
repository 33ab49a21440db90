//! One run of one build: what it was answered, once for each request, and the record of that.
//!
//! The first answer stands for the whole run, whatever a registry says later. Only answers that are
//! complete and verified enter the cache; what is served is read back from there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_attest::digest::Sha256;
use countersign_attest::origin::Origin;
use countersign_builder::archive::{ArchiveError, ReadLimits, unpacked};
use countersign_builder::plan::PlanInput;
use tokio::sync::OnceCell;

mod npm;

use super::budget::{Budgets, Spent};
use super::fault::MirrorError;
use super::npm::Package;
use super::pypi::Project;
use super::request::Request;
use super::upstream::{Expected, Registries};
use super::{Report, Told, cargo, pypi};
use crate::blobs::{BlobError, Blobs};

/// An answer from registries is kept for later runs only when its moment is this long ago: until then
/// something may still appear with an earlier time.
const SETTLED_SECONDS: i64 = 3600;

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

type Cell<T> = Arc<OnceCell<Result<T, Arc<MirrorError>>>>;

/// One run.
#[derive(Debug)]
pub(super) struct Session {
    source: Source,
    budgets: Budgets,
    blobs: Blobs,
    keys: PathBuf,
    answers: Mutex<HashMap<Request, Cell<Body>>>,
    projects: Mutex<HashMap<String, Cell<Option<Arc<Project>>>>>,
    packages: Mutex<HashMap<String, Cell<Option<Arc<Package>>>>>,
    downloads: OnceCell<String>,
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
        let keys = cache.join("keys");
        std::fs::create_dir_all(&keys).map_err(|source| BlobError::Io {
            what: "making folders",
            dir: cache.to_owned(),
            source,
        })?;
        Ok(Self {
            source,
            budgets,
            blobs: Blobs::open(cache)?,
            keys,
            answers: Mutex::default(),
            projects: Mutex::default(),
            packages: Mutex::default(),
            downloads: OnceCell::new(),
            ledger: Mutex::default(),
        })
    }

    /// The blobs from which bodies are served.
    pub(super) const fn blobs(&self) -> &Blobs {
        &self.blobs
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
    async fn answer(&self, request: &Request) -> Result<Body, Arc<MirrorError>> {
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
        let (blobs, sha256) = (self.blobs.clone(), kept.sha256);
        blocking(move || blobs.check(&sha256)).await?;
        Ok(Some(*kept))
    }

    async fn fetch(&self, registries: &Registries, request: &Request) -> Result<Body, MirrorError> {
        let body = self.ask(registries, request).await?;
        match (request, body) {
            (Request::CargoFile(..) | Request::NpmFile(..) | Request::PypiFile(..), Some(kept)) => {
                let fine = self.is_other(registries, kept).await?;
                Ok(fine.then_some(kept))
            }
            (
                Request::CargoConfig
                | Request::CargoIndex(_)
                | Request::NpmIndex(_)
                | Request::PypiIndex(_)
                | Request::CargoFile(..)
                | Request::NpmFile(..)
                | Request::PypiFile(..),
                body,
            ) => Ok(body),
        }
    }

    /// Whether what is in a file is not under test, however the file is compressed.
    async fn is_other(&self, registries: &Registries, kept: Kept) -> Result<bool, MirrorError> {
        let (blobs, budget) = (self.blobs.clone(), self.budgets.bytes);
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

    async fn ask(&self, registries: &Registries, request: &Request) -> Result<Body, MirrorError> {
        match request {
            Request::CargoConfig => {
                registries.cargo(request)?; // a registry that nobody knows has no configuration
                self.keep(cargo::config()).await.map(Some)
            }
            Request::CargoIndex(name) => self.cargo_index(registries, request, name).await,
            Request::CargoFile(name, version) => {
                self.cargo_file(registries, request, name, version).await
            }
            Request::NpmIndex(name) => self.npm_index(registries, request, name).await,
            Request::NpmFile(name, version) => {
                self.npm_file(registries, request, name, version).await
            }
            Request::PypiIndex(name) => match self.project(registries, name).await? {
                None => Ok(None),
                Some(project) => self.keep(project.to_served()).await.map(Some),
            },
            Request::PypiFile(name, file) => {
                let Some(project) = self.project(registries, name).await? else {
                    return Ok(None);
                };
                let Some(known) = project.file(file) else {
                    return Ok(None);
                };
                self.file(
                    registries,
                    request,
                    &known.url()?,
                    Expected::Sha256(known.sha256),
                )
                .await
            }
        }
    }

    async fn cargo_index(
        &self,
        registries: &Registries,
        request: &Request,
        name: &str,
    ) -> Result<Body, MirrorError> {
        let endpoint = registries.cargo(request)?;
        let key = self.key(registries, request, endpoint.url().as_str());
        if let Some(kept) = self.cached(&key).await? {
            return Ok(Some(kept));
        }
        let url = cargo::index_url(endpoint, name);
        let Some(bytes) = registries.document(&url, self.document(), None).await? else {
            return Ok(None);
        };
        let filtered = cargo::filtered(name, &bytes, registries.as_of, &registries.under_test)?;
        if filtered.is_empty() {
            return Ok(None); // at that moment there was no such crate
        }
        let kept = self.keep(filtered).await?;
        self.remember(registries, &key, kept).await?;
        Ok(Some(kept))
    }

    async fn cargo_file(
        &self,
        registries: &Registries,
        request: &Request,
        name: &str,
        version: &str,
    ) -> Result<Body, MirrorError> {
        let index = Request::CargoIndex(name.to_ascii_lowercase());
        let found = Box::pin(self.answer(&index)).await;
        let Some(kept) = found.map_err(|error| again(&error))? else {
            return Ok(None);
        };
        let lines = self.bytes(kept).await?;
        let Some(sha256) = cargo::find(name, version, &lines)? else {
            return Ok(None);
        };
        let endpoint = registries.cargo(request)?;
        if let Some(kept) = self.stored(sha256).await? {
            return Ok(Some(kept)); // verified when it came
        }
        let template = self
            .downloads
            .get_or_try_init(|| async {
                let url = endpoint.join("config.json");
                let config = registries.document(&url, self.document(), None).await?;
                let config = config.ok_or_else(|| {
                    MirrorError::Registry("the cargo registry has no config.json".into())
                })?;
                cargo::download_template(&config)
            })
            .await?;
        let url = cargo::download_url(template, name, version, &sha256)?;
        self.file(registries, request, &url, Expected::Sha256(sha256))
            .await
    }

    /// A file that an index names; one that an index names and nobody has is the registry's fault.
    async fn file(
        &self,
        registries: &Registries,
        request: &Request,
        url: &url::Url,
        expected: Expected,
    ) -> Result<Body, MirrorError> {
        if let Some(kept) = self.known(&expected).await? {
            return Ok(Some(kept));
        }
        let left = self.ledger().spent.left(&self.budgets);
        let limit = if left < self.budgets.file_bytes {
            (left, "bytes", "bytes")
        } else {
            (self.budgets.file_bytes, "bytes of one file", "file_bytes")
        };
        let found = registries
            .file(request, url, &expected, limit, &self.blobs)
            .await?;
        let digests = found.ok_or_else(|| {
            MirrorError::Registry(format!("the registry lists {request} and does not have it"))
        })?;
        let kept = Kept {
            sha256: digests.sha256,
            size_bytes: digests.size_bytes,
        };
        if let Expected::Sha512(_) = expected {
            self.write_key(&self.name_of(&expected), kept).await?;
        }
        Ok(Some(kept))
    }

    /// A file that came before and is what an index names.
    async fn known(&self, expected: &Expected) -> Result<Body, MirrorError> {
        match expected {
            Expected::Sha256(sha256) => self.stored(*sha256).await,
            Expected::Sha512(_) => self.cached(&self.name_of(expected)).await,
        }
    }

    /// What names the SHA-256 of a file whose SHA-512 was verified.
    fn name_of(&self, expected: &Expected) -> PathBuf {
        let text = format!("sha512\n{expected}\n");
        self.keys.join(Sha256::of(text.as_bytes()).to_string())
    }

    /// A project's files; the first answer stands for the index and for every file.
    async fn project(
        &self,
        registries: &Registries,
        name: &str,
    ) -> Result<Option<Arc<Project>>, MirrorError> {
        let cell = {
            let mut known = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(name.to_owned()).or_default())
        };
        let found = cell.get_or_init(|| async {
            let found = self.fetch_project(registries, name).await;
            found.map(|p| p.map(Arc::new)).map_err(Arc::new)
        });
        found.await.clone().map_err(|error| again(&error))
    }

    async fn fetch_project(
        &self,
        registries: &Registries,
        name: &str,
    ) -> Result<Option<Project>, MirrorError> {
        let request = Request::PypiIndex(name.to_owned());
        let endpoint = registries.pypi(&request)?;
        let key = self.key(registries, &request, endpoint.url().as_str());
        if let Some(kept) = self.cached(&key).await? {
            let bytes = self.bytes(kept).await?;
            return serde_json::from_slice(&bytes)
                .map_err(MirrorError::Kept)
                .map(Some);
        }
        let url = pypi::index_url(endpoint, name);
        let accept = Some(pypi::JSON);
        let Some(bytes) = registries.document(&url, self.document(), accept).await? else {
            return Ok(None);
        };
        let project = Project::read(name, &url, &bytes, registries.as_of, &registries.under_test)?;
        if project.is_empty() {
            return Ok(None); // at that moment there was no such project
        }
        let kept = self
            .keep(serde_json::to_vec(&project).map_err(MirrorError::Kept)?)
            .await?;
        self.remember(registries, &key, kept).await?;
        Ok(Some(project))
    }

    const fn document(&self) -> (u64, &'static str, &'static str) {
        let limit = self.budgets.document_bytes;
        (limit, "bytes of one document", "document_bytes")
    }

    async fn keep(&self, bytes: Vec<u8>) -> Result<Kept, MirrorError> {
        let blobs = self.blobs.clone();
        let digests = blocking(move || blobs.put(bytes.as_slice())).await?;
        Ok(Kept {
            sha256: digests.sha256,
            size_bytes: digests.size_bytes,
        })
    }

    async fn bytes(&self, kept: Kept) -> Result<Vec<u8>, MirrorError> {
        let (blobs, limit) = (
            self.blobs.clone(),
            self.budgets.document_bytes.saturating_mul(2),
        );
        Ok(blocking(move || blobs.bytes(&kept.sha256, limit)).await?)
    }

    /// A blob that is here and whole.
    async fn stored(&self, sha256: Sha256) -> Result<Body, MirrorError> {
        let blobs = self.blobs.clone();
        match blocking(move || blobs.check(&sha256)).await {
            Ok(digests) => Ok(Some(Kept {
                sha256,
                size_bytes: digests.size_bytes,
            })),
            // damage heals by fetching again
            Err(BlobError::Absent(_) | BlobError::Damaged { .. }) => Ok(None),
            Err(error @ (BlobError::Full { .. } | BlobError::Input(_) | BlobError::Io { .. })) => {
                Err(error.into())
            }
        }
    }

    /// What names a cached index: everything that its bytes depend on.
    fn key(&self, registries: &Registries, request: &Request, endpoint: &str) -> PathBuf {
        let under_test = serde_json::to_string(&registries.under_test).unwrap_or_default(); // strings only
        let text = format!(
            "v1\n{request}\n{endpoint}\n{}\n{under_test}\n",
            registries.as_of
        );
        self.keys.join(Sha256::of(text.as_bytes()).to_string())
    }

    async fn cached(&self, key: &Path) -> Result<Body, MirrorError> {
        let Ok(text) = std::fs::read_to_string(key) else {
            return Ok(None); // not there, or of no use
        };
        match text.trim().parse() {
            Ok(sha256) => self.stored(sha256).await,
            Err(_) => Ok(None),
        }
    }

    async fn remember(
        &self,
        registries: &Registries,
        key: &Path,
        kept: Kept,
    ) -> Result<(), MirrorError> {
        if registries.as_of.plus_seconds(SETTLED_SECONDS) > crate::clock::now() {
            return Ok(());
        }
        self.write_key(key, kept).await
    }

    async fn write_key(&self, key: &Path, kept: Kept) -> Result<(), MirrorError> {
        let (folder, key) = (self.keys.clone(), key.to_owned());
        let write = move || -> std::io::Result<()> {
            use std::io::Write as _;
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            writeln!(file, "{}", kept.sha256)?;
            file.persist(&key).map_err(|error| error.error)?;
            Ok(())
        };
        let dir = self.keys.clone();
        blocking(write).await.map_err(|source| {
            let what = "remembering an answer";
            BlobError::Io { what, dir, source }.into()
        })
    }
}

/// The same trouble for another request of the run, which was told when it came up.
fn again(error: &MirrorError) -> MirrorError {
    match error {
        MirrorError::Budget { what, limit, key } => MirrorError::Budget {
            what,
            limit: *limit,
            key,
        },
        MirrorError::Unconfigured { request, key } => MirrorError::Unconfigured {
            request: request.clone(),
            key,
        },
        MirrorError::NoTimes(what) => MirrorError::NoTimes(what.clone()),
        other @ (MirrorError::Registry(_)
        | MirrorError::Digest { .. }
        | MirrorError::Http(_)
        | MirrorError::Storage(_)
        | MirrorError::Kept(_)) => MirrorError::Registry(other.told().message),
    }
}

/// Runs what blocks on the disk away from the thread that serves.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        // the task is never aborted, so it can only have panicked: a bug, which goes on panicking
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
