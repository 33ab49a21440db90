//! What the arrows of the pipeline need from this machine: a client, stored blobs, scratch folders,
//! the binary that children are made of, and what this machine can do.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use countersign_attest::digest::Sha256;
use countersign_attest::time::Timestamp;
use countersign_builder::environment::Capabilities;
use countersign_builder::release::Published;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::blobs::{BlobError, Blobs};
use crate::config::HostLimits;
use crate::http::Http;
use crate::live::Live;
use crate::mirror::{Budgets, Mode, Setup};
use crate::publish::{Endpoints, Limits};
use crate::roots;
use crate::trouble::Trouble;
use crate::watch::children::Children;
use crate::watch::git::{Repositories, WatchLimits};
use crate::watch::{WatchError, upstream};

mod machine;
mod registries;
mod rustup;

/// Most bytes of a log that are read at once.
const MAX_LOG: u64 = 1 << 30;

/// What the pipeline is doing, for progress on a terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'a> {
    /// Getting the tag's commit.
    Fetching {
        /// The tag.
        tag: &'a str,
    },
    /// Getting what was published.
    Downloading,
    /// Making the environment that a candidate wants.
    Preparing,
    /// Running a build for what it asks of registries.
    Recording,
    /// Building.
    Building {
        /// Which run, from 0.
        run: usize,
    },
    /// Looking inside two files.
    Comparing,
    /// Building with other values of what must not matter.
    Varying {
        /// Which build, from 1.
        build: usize,
    },
}

/// Called with each step.
pub(crate) type Progress = Box<dyn Fn(Step<'_>) + Send + Sync>;

/// The parts, shared by all rebuilds of a process.
pub(crate) struct Workshop {
    http: Http,
    blobs: Blobs,
    repositories: Repositories,
    mirrors: PathBuf,
    endpoints: Mutex<Endpoints>,
    limits: Limits,
    toolchains: Vec<String>,
    /// Folders of root file systems that were checked, by their digests.
    roots: BTreeMap<Sha256, PathBuf>,
    scratch: PathBuf,
    /// Where clients of registries keep a state of their own.
    clients: PathBuf,
    /// Where root file systems are kept, by what they are made of.
    environments: PathBuf,
    binary: PathBuf,
    progress: Progress,
    mirror_cache: PathBuf,
    budgets: Budgets,
    capabilities: Mutex<Option<(Vec<String>, Capabilities)>>,
    /// Folders of [`Capabilities::alternatives`], in the same order; found once.
    alternatives: Vec<Vec<String>>,
}

impl Workshop {
    /// Puts the parts together in a folder that this process owns.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(crate) fn open(
        folder: &Path,
        http: Http,
        registries: Endpoints,
        limits: &HostLimits,
        toolchains: &[PathBuf],
        cache: Option<&Path>,
        progress: Progress,
    ) -> Result<Self, Trouble> {
        let fault = |error: std::io::Error| {
            let error = anyhow::Error::new(error)
                .context(format!("using the data folder {}", folder.display()));
            Trouble::fault("disk", error)
        };
        let scratch = folder.join("scratch");
        // what an earlier process left behind is of no use to anybody
        match std::fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fault(error)),
            _ => {}
        }
        std::fs::create_dir_all(&scratch).map_err(fault)?;
        let kept = cache.unwrap_or(folder);
        let (clients, environments) = (kept.join("clients"), kept.join("environments"));
        for folder in [&clients, &environments] {
            std::fs::create_dir_all(folder).map_err(fault)?;
        }
        // a builder child is given a root by name, and starts in another folder
        let environments = std::fs::canonicalize(environments).map_err(fault)?;
        let mirror_cache = folder.join("mirror-cache");
        std::fs::create_dir_all(&mirror_cache).map_err(fault)?;
        // the mirror is given its folder by name and starts in another
        let mirror_cache = std::fs::canonicalize(mirror_cache).map_err(fault)?;
        let kept = Blobs::open(&mirror_cache).map_err(storage)?;
        kept.sweep().map_err(storage)?; // no mirror of this folder runs yet
        let blobs = Blobs::open(folder.join("blobs")).map_err(storage)?;
        blobs.sweep().map_err(storage)?;
        let binary = std::env::current_exe()
            .context("finding this program's own file")
            .map_err(|error| Trouble::fault("binary", error))?;
        let client = upstream::client()
            .build()
            .context("making an HTTP client")
            .map_err(|error| Trouble::fault("http", error))?;
        let children = Children::of_this_binary().map_err(WatchError::into_trouble)?;
        let repositories = Repositories::new(client, children, watch_limits(limits));
        let mut folders = Vec::new();
        for toolchain in toolchains {
            let real = std::fs::canonicalize(toolchain).map_err(|error| {
                let error = anyhow::Error::new(error)
                    .context(format!("toolchains: {}", toolchain.display()));
                Trouble::refused("toolchain", error)
            })?;
            folders.push(real.display().to_string());
        }
        Ok(Self {
            http,
            blobs,
            repositories,
            mirrors: folder.join("git"),
            endpoints: Mutex::new(registries),
            limits: Limits {
                artifact_bytes: limits.artifact_bytes,
                metadata_bytes: limits.metadata_bytes,
                ..Limits::default()
            },
            alternatives: rustup::toolchains(&folders),
            toolchains: folders,
            roots: BTreeMap::new(),
            scratch,
            clients,
            environments,
            binary,
            progress,
            mirror_cache,
            budgets: limits.mirror,
            capabilities: Mutex::new(None),
        })
    }

    /// The same with root file systems, each checked and digested now, which takes a while. One that comes
    /// as a tar has two names: the tar's digest, and that of what is in it.
    ///
    /// # Errors
    /// When a folder or tar is no root file system that a build may run in.
    pub(crate) fn with_roots(mut self, paths: &[PathBuf]) -> Result<Self, Trouble> {
        for path in paths {
            let root = roots::open(path, &self.binary, &self.environments).map_err(|error| {
                let error = error.context(format!("roots: {}", path.display()));
                Trouble::refused("root", error)
            })?;
            tracing::info!(root = %root.tree, folder = %root.folder.display(), "a root file system");
            if let Some(tar) = root.tar {
                self.roots.insert(tar, root.folder.clone());
            }
            self.roots.insert(root.tree, root.folder);
        }
        Ok(self)
    }

    /// The folder of a root file system.
    ///
    /// # Errors
    /// A refusal where it is not among those that are configured.
    pub(crate) fn rootfs(&self, sha256: &Sha256) -> Result<&Path, Trouble> {
        self.roots.get(sha256).map(PathBuf::as_path).ok_or_else(|| {
            let here: Vec<String> = self.roots.keys().map(Sha256::to_string).collect();
            let here = if here.is_empty() {
                "there is none here".to_owned()
            } else {
                format!("here are {}", here.join(", "))
            };
            Trouble::refused(
                "root-unavailable",
                anyhow::anyhow!(
                    "the plan needs the root file system {sha256}; {here} (name its folder or tar: `roots` in \
                     the configuration, or --root)"
                ),
            )
        })
    }
    /// A fresh folder that is gone when the value is.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn scratch(&self, prefix: &str) -> Result<TempDir, Trouble> {
        tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(&self.scratch)
            .with_context(|| format!("making a folder in {}", self.scratch.display()))
            .map_err(|error| Trouble::fault("disk", error))
    }

    /// Begins the logs of a rebuild, for whoever follows them.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn live(&self, rebuild: i64) -> Result<Live, Trouble> {
        Live::begin(&self.scratch, rebuild)
            .context("beginning the logs of a rebuild")
            .map_err(|error| Trouble::fault("disk", error))
    }

    /// The stored bytes of a published artifact, where there are any, digested once more: a disk
    /// that damaged them must not become a verdict about the release.
    ///
    /// # Errors
    /// When bytes that were stored cannot be opened, or are others now; storing them again heals that.
    pub(crate) fn stored(&self, published: &Published) -> Result<Option<File>, Trouble> {
        if published.stored().is_none() {
            return Ok(None);
        }
        let read = || -> Result<File, BlobError> {
            self.blobs.check(&published.sha256)?;
            self.blobs.file(&published.sha256)
        };
        // it takes as long as the artifact is large
        tokio::task::block_in_place(read)
            .with_context(|| format!("reading the stored {}", published.file_name))
            .map_err(|error| Trouble::fault("disk", error))
            .map(Some)
    }

    /// Keeps a log under the digest of its bytes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn keep(&self, mut log: File) -> Result<(), Trouble> {
        use std::io::Seek as _;
        log.rewind()
            .context("reading a log again")
            .map_err(|error| Trouble::fault("disk", error))?;
        self.blobs.put(log).map(|_| ()).map_err(storage)
    }

    /// A kept log, raw.
    ///
    /// # Errors
    /// When the disk refuses, or it is longer than any plan allows.
    pub(crate) fn log(&self, sha256: &Sha256) -> Result<Vec<u8>, Trouble> {
        self.blobs.bytes(sha256, MAX_LOG).map_err(storage)
    }

    /// Says what happens.
    pub(crate) fn progress(&self, step: Step<'_>) {
        (self.progress)(step);
    }

    /// The current moment.
    #[must_use]
    pub(crate) fn now(&self) -> Timestamp {
        crate::clock::now()
    }

    /// Looks at source repositories.
    #[must_use]
    pub(crate) const fn repositories(&self) -> &Repositories {
        &self.repositories
    }

    /// The folder for the objects of one repository.
    #[must_use]
    pub(crate) fn mirror(&self, source_uri: &str) -> PathBuf {
        self.mirrors
            .join(Sha256::of(source_uri.as_bytes()).to_string())
    }

    /// What a mirror of this machine starts with.
    #[must_use]
    pub(crate) fn mirror_setup(&self, mode: Mode) -> Setup {
        Setup {
            mode,
            cache: self.mirror_cache.clone(),
            budgets: self.budgets,
        }
    }

    /// Where clients of registries keep a state of their own.
    #[must_use]
    pub(crate) fn clients(&self) -> &Path {
        &self.clients
    }

    /// Where root file systems are kept.
    #[must_use]
    pub(crate) fn environments(&self) -> &Path {
        &self.environments
    }

    /// A fresh folder beside the roots that are kept, which can become one of them.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn environment_scratch(&self) -> Result<TempDir, Trouble> {
        tempfile::Builder::new()
            .prefix("making-")
            .tempdir_in(&self.environments)
            .with_context(|| format!("making a folder in {}", self.environments.display()))
            .map_err(|error| Trouble::fault("disk", error))
    }

    /// A stored file.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn blob(&self, sha256: &Sha256) -> Result<File, Trouble> {
        self.blobs.file(sha256).map_err(storage)
    }

    /// The program that children are made of.
    #[must_use]
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }
}

fn watch_limits(limits: &HostLimits) -> WatchLimits {
    let mut watch = WatchLimits::default();
    watch.upstream.pack_bytes = limits.fetch_bytes;
    watch.upstream.pack_time = Duration::from_secs(limits.fetch_seconds);
    watch.upstream.max_refs = limits.tags;
    watch.tree.entries = limits.source_files;
    watch.tree.bytes = limits.source_bytes;
    watch
}

fn storage(error: BlobError) -> Trouble {
    Trouble::fault("disk", error)
}
