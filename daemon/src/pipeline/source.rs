//! The forms in which a release's source enters a sandbox.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use countersign_attest::digest::Sha256;
use countersign_builder::plan::SourceForm;
use countersign_builder::tree::{self, TreeDigest};
use tempfile::TempDir;

use super::{Resolved, TREE, blocking};
use crate::trouble::Trouble;
use crate::watch::WatchError;
use crate::workshop::Workshop;

/// Makes a form that is not there yet.
pub(super) async fn prepare(
    workshop: &Workshop,
    resolved: &Resolved,
    form: SourceForm,
) -> Result<(), Trouble> {
    match form {
        SourceForm::Tree => Ok(()),
        SourceForm::Git => {
            let make = || with_git(workshop, resolved);
            resolved.with_git.get_or_try_init(make).await.map(|_| ())
        }
    }
}

async fn with_git(
    workshop: &Workshop,
    resolved: &Resolved,
) -> Result<(TempDir, TreeDigest), Trouble> {
    let scratch = workshop.scratch("source-git-")?;
    let folder = scratch.path().join(TREE);
    workshop
        .repositories()
        .export(&resolved.fetched, &folder, true)
        .await
        .map_err(WatchError::into_trouble)?;
    let digest = digested(&folder).await?;
    Ok((scratch, digest))
}

/// Takes the digest of an exported tree.
pub(super) async fn digested(folder: &Path) -> Result<TreeDigest, Trouble> {
    let opened = open_folder(folder)?;
    blocking(move || tree::digest(opened.as_fd()))
        .await?
        .map_err(|error| Trouble::fault("source-tree", anyhow::Error::new(error)))
}

/// The folder and the digest of a form that is there.
fn find(resolved: &Resolved, form: SourceForm) -> Result<(&TempDir, &TreeDigest), Trouble> {
    match form {
        SourceForm::Tree => Ok((&resolved.tree, &resolved.digest)),
        SourceForm::Git => {
            let made = resolved.with_git.get().map(|(tree, digest)| (tree, digest));
            made.ok_or_else(|| Trouble::fault("bug", anyhow!("the source has no .git yet")))
        }
    }
}

/// The digest of all that enters the sandbox.
pub(super) fn digest(resolved: &Resolved, form: SourceForm) -> Result<Sha256, Trouble> {
    find(resolved, form).map(|(_, digest)| digest.sha256)
}

/// Opens the tree.
pub(super) fn open(resolved: &Resolved, form: SourceForm) -> Result<File, Trouble> {
    find(resolved, form).and_then(|(tree, _)| open_folder(&tree.path().join(TREE)))
}

fn open_folder(path: &Path) -> Result<File, Trouble> {
    File::open(path)
        .context("opening the exported source tree")
        .map_err(|error| Trouble::fault("scratch", error))
}
