//! What `countersign status` shows of the database: repositories, and what waits. Reads only.

use countersign_attest::time::Timestamp;
use serde::Serialize;
use sqlx::Row;

use super::releases::time;
use super::{Store, StoreError};

/// A watched repository, for `status`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RepositoryView {
    /// The signed source URI.
    pub(crate) source: String,
    /// When it was asked last.
    pub(crate) last_poll_on: Option<Timestamp>,
    /// When it is asked next.
    pub(crate) next_poll_on: Timestamp,
    /// Polls that failed in a row.
    pub(crate) failures: u32,
    /// The last failure, where the last poll failed.
    pub(crate) problem: Option<String>,
}

/// Something that waits for time or for an operator, for `status`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WaitingView {
    /// The release.
    pub(crate) release: i64,
    /// The signed source URI.
    pub(crate) source: String,
    /// The tag.
    pub(crate) tag: String,
    /// `queued`, `running`, `judged`, `cancelled`, or `moved`.
    pub(crate) state: String,
    /// How often it was tried.
    pub(crate) attempt: u32,
    /// When it is due.
    pub(crate) run_on: Timestamp,
    /// Why it waits, where something went wrong.
    pub(crate) problem: Option<String>,
}

impl Store {
    /// Every repository that was ever watched.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn repository_views(&self) -> Result<Vec<RepositoryView>, StoreError> {
        let rows = sqlx::query(
            "SELECT source_uri, last_poll_on, next_poll_on, failures, problem FROM repository
             ORDER BY source_uri",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let last: Option<i64> = row.try_get(1)?;
                Ok(RepositoryView {
                    source: row.try_get(0)?,
                    last_poll_on: last.map(time).transpose()?,
                    next_poll_on: time(row.try_get(2)?)?,
                    failures: row.try_get(3)?,
                    problem: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// What is in the queue, and what waits for an operator: given up, or moved.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn waiting_views(&self) -> Result<Vec<WaitingView>, StoreError> {
        let rows = sqlx::query(
            "SELECT r.id, r.source_uri, r.tag,
                    CASE WHEN r.moved_from IS NOT NULL THEN 'moved' ELSE b.state END,
                    b.attempt, b.run_on, b.problem
             FROM release r JOIN rebuild b ON b.id =
                  (SELECT max(id) FROM rebuild WHERE release_id = r.id)
             WHERE b.state IN ('queued', 'running', 'judged', 'cancelled') OR r.moved_from IS NOT NULL
             ORDER BY b.run_on, r.id LIMIT 500",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(WaitingView {
                    release: row.try_get(0)?,
                    source: row.try_get(1)?,
                    tag: row.try_get(2)?,
                    state: row.try_get(3)?,
                    attempt: row.try_get(4)?,
                    run_on: time(row.try_get(5)?)?,
                    problem: row.try_get(6)?,
                })
            })
            .collect()
    }
}
