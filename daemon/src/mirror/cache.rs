//! What the mirror keeps: bodies by digest, and names for those that an index answered.
//!
//! Only what is complete and verified comes in here; what goes out is verified once more.

use std::path::{Path, PathBuf};

use countersign_attest::digest::Sha256;

use super::fault::MirrorError;
use super::request::Request;
use super::session::{Body, Kept, blocking};
use super::upstream::{Expected, Registries};
use crate::blobs::{BlobError, Blobs};
use crate::publish::endpoints::SlashUrl;

/// An answer from registries is kept for later runs only when its moment is this long ago: until then
/// something may still appear with an earlier time.
const SETTLED_SECONDS: i64 = 3600;

/// One folder, shared by all runs.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) blobs: Blobs,
    keys: PathBuf,
    /// Most bytes of a kept document.
    document_bytes: u64,
}

impl Cache {
    /// Opens a folder that exists.
    pub(super) fn open(folder: &Path, document_bytes: u64) -> Result<Self, BlobError> {
        let keys = folder.join("keys");
        std::fs::create_dir_all(&keys).map_err(|source| BlobError::Io {
            what: "making folders",
            dir: folder.to_owned(),
            source,
        })?;
        Ok(Self {
            blobs: Blobs::open(folder)?,
            keys,
            document_bytes: document_bytes.saturating_mul(2), // ours says more than the registry's
        })
    }

    /// Keeps a document.
    pub(super) async fn keep(&self, bytes: Vec<u8>) -> Result<Kept, MirrorError> {
        let blobs = self.blobs.clone();
        let digests = blocking(move || blobs.put(bytes.as_slice())).await?;
        Ok(Kept {
            sha256: digests.sha256,
            size_bytes: digests.size_bytes,
        })
    }

    /// A kept document.
    pub(super) async fn bytes(&self, kept: Kept) -> Result<Vec<u8>, MirrorError> {
        let (blobs, limit) = (self.blobs.clone(), self.document_bytes);
        Ok(blocking(move || blobs.bytes(&kept.sha256, limit)).await?)
    }

    /// A blob that is here and whole.
    pub(super) async fn stored(&self, sha256: Sha256) -> Result<Body, MirrorError> {
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
    pub(super) fn key(
        &self,
        registries: &Registries,
        request: &Request,
        endpoint: &SlashUrl,
    ) -> PathBuf {
        let under_test = serde_json::to_string(&registries.under_test).unwrap_or_default(); // strings only
        let text = format!(
            "v1\n{request}\n{}\n{}\n{under_test}\n",
            endpoint.url(),
            registries.as_of
        );
        self.keys.join(Sha256::of(text.as_bytes()).to_string())
    }

    /// What was given a name, if it is still here and whole.
    pub(super) async fn named(&self, key: &Path) -> Result<Body, MirrorError> {
        let Ok(text) = std::fs::read_to_string(key) else {
            return Ok(None); // not there, or of no use
        };
        match text.trim().parse() {
            Ok(sha256) => self.stored(sha256).await,
            Err(_) => Ok(None),
        }
    }

    /// Names an answer of registries for later runs, where nothing can change it any more.
    pub(super) async fn remember(
        &self,
        registries: &Registries,
        key: &Path,
        kept: Kept,
    ) -> Result<(), MirrorError> {
        if registries.as_of.plus_seconds(SETTLED_SECONDS) > crate::clock::now() {
            return Ok(());
        }
        self.name(key, kept).await
    }

    /// Gives a body a name.
    pub(super) async fn name(&self, key: &Path, kept: Kept) -> Result<(), MirrorError> {
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

    /// What names the SHA-256 of a file whose SHA-512 was verified.
    pub(super) fn name_of(&self, expected: &Expected) -> PathBuf {
        let text = format!("sha512\n{expected}\n");
        self.keys.join(Sha256::of(text.as_bytes()).to_string())
    }
}
