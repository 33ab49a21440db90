//! `Verdict -> Statement -> Envelope -> Entry -> store`: what happens to statements once drafted.
//!
//! The one routine, [`advance`], moves every pending statement as far as it goes. It runs after each
//! rebuild and at every start, so recovery is not a second way. Each step repeats without harm:
//! composing and signing are deterministic, an entry is given once, a file is renamed into place.

use std::path::Path;

use anyhow::Context as _;
use countersign_attest::digest::Sha256;
use countersign_attest::statement::{Facts, Kind, types};
use countersign_attest::verdict::Verdict;

use crate::crash;
use crate::signers::Signers;
use crate::store::queue::Draft;
use crate::store::statements::{Pending, PendingState};
use crate::store::{Store, StoreError};
use crate::trouble::Trouble;

/// `Facts -> Statement`: has the signer compose each statement. Nothing is signed here.
///
/// # Errors
/// A contradiction in the facts is a fault of ours: nothing is recorded, nothing signed.
pub(crate) async fn draft(signers: &Signers, facts: Vec<Facts>) -> Result<Vec<Draft>, Trouble> {
    let mut drafts = Vec::new();
    for facts in facts {
        let bytes = signers.draft(&facts).await?;
        drafts.push(Draft { facts, bytes });
    }
    Ok(drafts)
}

/// Moves every pending statement on: signs, enters, writes the file, marks it as served. One that
/// cannot be moved keeps no other one waiting.
///
/// # Errors
/// The first fault; all that could be done is done.
pub(crate) async fn advance(
    store: &Store,
    signers: &Signers,
    folder: &Path,
) -> Result<u64, Trouble> {
    let pending = store.pending_statements().await.map_err(store_fault)?;
    let count = pending.len() as u64;
    let mut first = None;
    for statement in pending {
        if let Err(trouble) = advance_one(store, signers, folder, statement).await {
            first.get_or_insert(trouble);
        }
    }
    first.map_or(Ok(count), Err)
}

async fn advance_one(
    store: &Store,
    signers: &Signers,
    folder: &Path,
    statement: Pending,
) -> Result<(), Trouble> {
    let (envelope, logged) = match statement.state {
        PendingState::Drafted => {
            let bytes = of_these_types(store, signers, &statement).await?;
            let envelope = signers.sign(&statement.facts, &bytes).await?;
            crash::point("signed");
            store
                .statement_signed(statement.id, &envelope)
                .await
                .map_err(store_fault)?;
            crash::point("signature-stored");
            (envelope, false)
        }
        PendingState::Signed { envelope } => (envelope, false),
        PendingState::Logged { envelope } => (envelope, true),
    };
    if !logged {
        store
            .statement_logged(statement.id)
            .await
            .map_err(store_fault)?;
        crash::point("logged");
    }
    let (kind, sha256) = (statement.facts.kind, Sha256::of(&envelope));
    write_new(folder, &envelope_name(kind, &envelope), &envelope)?;
    if let Some(bundle) = signers.bundle(&statement.facts, &envelope)? {
        write_new(folder, &bundle_name(kind.word(), &sha256), &bundle)?;
    }
    if let Some(link) = link(signers, &statement.facts).await? {
        write_new(folder, &link_name(&sha256), &link)?;
    }
    crash::point("file-written");
    store
        .statement_published(statement.id)
        .await
        .map_err(store_fault)?;
    crash::point("published");
    Ok(())
}

/// The bytes of a draft. One of older types, which nobody reads any more, is drafted anew from the same facts and
/// stored before it is signed, as the first time: no signature over the old bytes was ever stored or shown.
async fn of_these_types(
    store: &Store,
    signers: &Signers,
    statement: &Pending,
) -> Result<Vec<u8>, Trouble> {
    if !types::is_of_older_types(&statement.bytes) {
        return Ok(statement.bytes.clone());
    }
    let bytes = signers.draft(&statement.facts).await?;
    let stored = store.statement_redrafted(statement.id, &bytes).await;
    stored.map_err(store_fault)?;
    tracing::info!(
        statement = statement.id,
        "drafted anew under the types of this version"
    );
    Ok(bytes)
}

/// The legacy link that goes with a `reproduced` verdict.
///
/// # Errors
/// When the signer does not answer.
pub(crate) async fn link(signers: &Signers, facts: &Facts) -> Result<Option<Vec<u8>>, Trouble> {
    if facts.kind == Kind::Verdict && facts.verdict == Verdict::Reproduced {
        signers.link(facts).await.map(Some)
    } else {
        Ok(None)
    }
}

/// The file name of an envelope: the digest of its bytes, under which it is served too.
#[must_use]
pub(crate) fn envelope_name(kind: Kind, envelope: &[u8]) -> String {
    format!("{}.{}.dsse.json", Sha256::of(envelope), kind.word())
}

/// The file name of a bundle: that of the envelope in it, so that the two stand side by side.
#[must_use]
pub(crate) fn bundle_name(kind: &str, envelope: &Sha256) -> String {
    format!("{envelope}.{kind}.sigstore.json")
}

/// The file name of a legacy link: that of the envelope with the verdict that it goes with.
#[must_use]
pub(crate) fn link_name(envelope: &Sha256) -> String {
    format!("{envelope}.link")
}

/// Writes a file that is whole or not there, and durable once this returns.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn write_new(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
    use std::io::Write as _;
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(folder.join(name))
            .map_err(|error| error.error)?;
        std::fs::File::open(folder)?.sync_all()
    };
    write()
        .with_context(|| format!("writing {} in {}", name, folder.display()))
        .map_err(|error| Trouble::fault("disk", error))
}

/// The store's trouble as the command line takes it: a folder that another process has and a database
/// of another version are the operator's to change, all else is a fault.
pub(crate) fn store_fault(error: StoreError) -> Trouble {
    match error {
        StoreError::InUse { .. } => Trouble::refused("in-use", error),
        StoreError::Schema { .. } => Trouble::refused("schema", error),
        StoreError::Sql(_) | StoreError::Io { .. } | StoreError::Corrupt { .. } => {
            Trouble::fault("store", error)
        }
    }
}
