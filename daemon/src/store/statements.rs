//! Statements on their way: drafted -> signed -> logged -> published.
//!
//! Every step is one row update that repeats without harm: signing is deterministic, an entry is
//! given once, and publishing writes the same file again. On every start the daemon runs the same
//! steps as after a rebuild, so that the way of recovery is the way of every day.

use countersign_attest::digest::Sha256;
use countersign_attest::statement::Facts;
use countersign_attest::time::Timestamp;
use sqlx::Row;

use super::queue::Draft;
use super::releases::add_event;
use super::{Store, StoreError, corrupt, from_json, to_json};

/// A statement that is not published yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pending {
    /// The row.
    pub id: i64,
    /// Which step comes next.
    pub state: PendingState,
    /// What it was composed from.
    pub facts: Facts,
    /// Its final bytes.
    pub bytes: Vec<u8>,
}

/// Where a pending statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PendingState {
    /// Not signed.
    Drafted,
    /// Signed, without an entry.
    Signed {
        /// The signed envelope.
        envelope: Vec<u8>,
    },
    /// Signed and entered, not served.
    Logged {
        /// The signed envelope.
        envelope: Vec<u8>,
    },
}

/// A published verdict, which can be taken back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Withdrawable {
    id: i64,
    /// What it was composed from.
    pub facts: Facts,
    /// Its final bytes.
    pub bytes: Vec<u8>,
}

impl Store {
    /// The published verdict with this envelope.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn withdrawable(
        &self,
        envelope: Sha256,
    ) -> Result<Option<Withdrawable>, StoreError> {
        let row = sqlx::query(
            "SELECT id, facts, bytes FROM statement
             WHERE envelope_sha256 = ? AND kind = 'verdict' AND state = 'published'",
        )
        .bind(envelope.to_string())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Withdrawable {
            id: row.try_get(0)?,
            facts: from_json(row.try_get(1)?, "facts")?,
            bytes: row.try_get(2)?,
        }))
    }

    /// Adds the draft of a withdrawal and tells the operator so; whether there was none before.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn add_withdrawal(
        &self,
        of: &Withdrawable,
        draft: &Draft,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let added = sqlx::query(
            "INSERT INTO statement
               (rebuild_id, artifact_id, kind, state, facts, bytes, sha256, issued_on)
             SELECT rebuild_id, artifact_id, 'withdrawn', 'drafted', ?, ?, ?, ?
             FROM statement WHERE id = ? ON CONFLICT DO NOTHING",
        )
        .bind(to_json(&draft.facts, "facts")?)
        .bind(&draft.bytes)
        .bind(Sha256::of(&draft.bytes).to_string())
        .bind(now.unix_seconds())
        .bind(of.id)
        .execute(&mut *transaction)
        .await?;
        let release: i64 = sqlx::query_scalar(
            "SELECT b.release_id FROM statement s JOIN rebuild b ON b.id = s.rebuild_id WHERE s.id = ?",
        )
        .bind(of.id)
        .fetch_one(&mut *transaction)
        .await?;
        if added.rows_affected() == 0 {
            return Ok(false);
        }
        let message = format!(
            "the verdict {} on {} is taken back",
            of.facts.verdict, of.facts.published.file_name
        );
        add_event(&mut transaction, now, release, "withdrawn", &message).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Every statement that is to be published and is not, oldest first; what is kept back is not.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn pending_statements(&self) -> Result<Vec<Pending>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, state, facts, bytes, envelope FROM statement INDEXED BY statement_pending
             WHERE state <> 'published' AND NOT EXISTS (SELECT 1 FROM hold h
               WHERE h.artifact_id = statement.artifact_id AND h.rebuild_id = statement.rebuild_id
                 AND h.state <> 'released')
             ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let state: String = row.try_get(1)?;
                let envelope: Option<Vec<u8>> = row.try_get(4)?;
                let state = match (state.as_str(), envelope) {
                    ("drafted", None) => PendingState::Drafted,
                    ("signed", Some(envelope)) => PendingState::Signed { envelope },
                    ("logged", Some(envelope)) => PendingState::Logged { envelope },
                    (state, _) => return Err(corrupt("statement's state", state)),
                };
                Ok(Pending {
                    id: row.try_get(0)?,
                    state,
                    facts: from_json(row.try_get(2)?, "facts")?,
                    bytes: row.try_get(3)?,
                })
            })
            .collect()
    }

    /// Stores other bytes for a statement that was drafted and never signed.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn statement_redrafted(
        &self,
        id: i64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE statement SET bytes = ?, sha256 = ? WHERE id = ? AND state = 'drafted'",
        )
        .bind(bytes)
        .bind(Sha256::of(bytes).to_string())
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Stores a signature. Not served yet.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn statement_signed(
        &self,
        id: i64,
        envelope: &[u8],
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE statement SET state = 'signed', envelope = ?, envelope_sha256 = ?
             WHERE id = ? AND state = 'drafted'",
        )
        .bind(envelope)
        .bind(Sha256::of(envelope).to_string())
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Gives a signed statement the next entry of the operator's sequence, without a gap.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn statement_logged(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE statement SET state = 'logged',
                    entry = (SELECT coalesce(max(entry) + 1, 0) FROM statement)
             WHERE id = ? AND state = 'signed'",
        )
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Marks a statement as served.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn statement_published(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE statement SET state = 'published' WHERE id = ? AND state = 'logged'")
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
