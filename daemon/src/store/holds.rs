//! Negative verdicts that are kept back: until a moment, or for good. They are stored like any other
//! and shown to the operator alone.
//!
//! A hold ends by its time, or because the artifact was judged anew: what is newer stands for what is
//! older, and a newer verdict that is held too becomes public no later than the older one would have.

use countersign_attest::statement::Facts;
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::{Reason, Verdict};
use serde::Serialize;
use sqlx::Row;

use super::releases::time;
use super::{Store, StoreError, Transaction, from_json};
use crate::pipeline::ArtifactResult;

/// How an artifact's verdict is kept back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeepBack {
    /// Until a moment.
    Until {
        /// When it becomes public.
        until: Timestamp,
        /// Whether the project is to be told before.
        notice: bool,
    },
    /// For good.
    ForGood,
}

/// A verdict that is kept back, for the operator.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HoldView {
    /// The release.
    pub(crate) release: i64,
    /// The signed source URI.
    pub(crate) source: String,
    /// The tag.
    pub(crate) tag: String,
    /// The artifact's file name.
    pub(crate) artifact: String,
    /// What was found.
    pub(crate) verdict: Verdict,
    /// Why.
    pub(crate) reason: Option<Reason>,
    /// The particulars.
    pub(crate) detail: Option<String>,
    /// When it becomes public; `None`: never.
    pub(crate) until: Option<Timestamp>,
    /// When the project was told.
    pub(crate) noticed_on: Option<Timestamp>,
    /// Why the last try to tell it failed.
    pub(crate) notice_problem: Option<String>,
}

/// A notice that is due.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DueNotice {
    artifact_id: i64,
    rebuild_id: i64,
    /// How often it was tried.
    pub tries: u32,
    /// When the verdict becomes public.
    pub until: Timestamp,
    /// What the verdict's statement is composed from.
    pub facts: Facts,
}

impl DueNotice {
    /// A name that is the same for each try.
    pub(crate) fn id(&self) -> String {
        format!("hold-{}-{}", self.rebuild_id, self.artifact_id)
    }
}

impl Store {
    /// Releases what was held long enough, and says how much.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn end_holds(&self, now: Timestamp) -> Result<u64, StoreError> {
        let ended = sqlx::query(
            "UPDATE hold SET state = 'released', notice_on = NULL WHERE state = 'held' AND until <= ?",
        )
        .bind(now.unix_seconds())
        .execute(&self.pool)
        .await?;
        Ok(ended.rows_affected())
    }

    /// When the next hold ends or the next notice is due.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn next_hold_event(&self) -> Result<Option<Timestamp>, StoreError> {
        let next: Option<i64> = sqlx::query_scalar(
            "SELECT min(min(until, coalesce(notice_on, until))) FROM hold WHERE state = 'held'",
        )
        .fetch_one(&self.pool)
        .await?;
        next.map(time).transpose()
    }

    /// Notices to be sent now, the longest due first.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn due_notices(&self, now: Timestamp) -> Result<Vec<DueNotice>, StoreError> {
        let rows = sqlx::query(
            "SELECT h.artifact_id, h.rebuild_id, h.notice_tries, h.until, s.facts
             FROM hold h JOIN statement s ON s.artifact_id = h.artifact_id
               AND s.rebuild_id = h.rebuild_id AND s.kind = 'verdict'
             WHERE h.state = 'held' AND h.notice_on <= ? ORDER BY h.notice_on LIMIT 50",
        )
        .bind(now.unix_seconds())
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(DueNotice {
                    artifact_id: row.try_get(0)?,
                    rebuild_id: row.try_get(1)?,
                    tries: row.try_get(2)?,
                    until: time(row.try_get(3)?)?,
                    facts: from_json(row.try_get(4)?, "facts")?,
                })
            })
            .collect()
    }

    /// Records that a project was told.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn noticed(
        &self,
        notice: &DueNotice,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE hold SET notice_on = NULL, notice_problem = NULL, noticed_on = ?
             WHERE artifact_id = ? AND rebuild_id = ?",
        )
        .bind(now.unix_seconds())
        .bind(notice.artifact_id)
        .bind(notice.rebuild_id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Records that a project could not be told, and when to try again; `None`: not again.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn notice_failed(
        &self,
        notice: &DueNotice,
        problem: &str,
        again: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE hold SET notice_on = ?, notice_tries = notice_tries + 1, notice_problem = ?
             WHERE artifact_id = ? AND rebuild_id = ? AND state = 'held'",
        )
        .bind(again.map(Timestamp::unix_seconds))
        .bind(problem)
        .bind(notice.artifact_id)
        .bind(notice.rebuild_id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Everything that is kept back now, for the operator; newest first.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn hold_views(&self) -> Result<Vec<HoldView>, StoreError> {
        let rows = sqlx::query(
            "SELECT r.id, r.source_uri, r.tag, f.result, h.until, h.noticed_on, h.notice_problem
             FROM hold h JOIN artifact a ON a.id = h.artifact_id JOIN release r ON r.id = a.release_id
             JOIN finding f ON f.artifact_id = h.artifact_id AND f.rebuild_id = h.rebuild_id
             WHERE h.state IN ('held', 'withheld') ORDER BY h.rebuild_id DESC, h.artifact_id LIMIT 500",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let result: ArtifactResult = from_json(row.try_get(3)?, "finding")?;
                let (until, noticed_on): (Option<i64>, Option<i64>) =
                    (row.try_get(4)?, row.try_get(5)?);
                Ok(HoldView {
                    release: row.try_get(0)?,
                    source: row.try_get(1)?,
                    tag: row.try_get(2)?,
                    artifact: result.published.file_name,
                    verdict: result.judgement.verdict,
                    reason: result.judgement.reason,
                    detail: result.judgement.detail,
                    until: until.map(time).transpose()?,
                    noticed_on: noticed_on.map(time).transpose()?,
                    notice_problem: row.try_get(6)?,
                })
            })
            .collect()
    }
}

/// Ends what is held of an artifact that was judged anew, and keeps the new verdict back where it is to
/// be.
pub(super) async fn judged_anew(
    transaction: &mut Transaction,
    rebuild_id: i64,
    artifact_id: i64,
    keep_back: Option<KeepBack>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let earlier: Vec<i64> = sqlx::query_scalar(
        "UPDATE hold SET state = 'superseded', notice_on = NULL
         WHERE artifact_id = ? AND state = 'held' RETURNING until",
    )
    .bind(artifact_id)
    .fetch_all(&mut **transaction)
    .await?;
    let (state, until, notice) = match keep_back {
        None => return Ok(()),
        Some(KeepBack::ForGood) => ("withheld", None, false),
        Some(KeepBack::Until { until, notice }) => {
            let until = earlier.into_iter().fold(until.unix_seconds(), i64::min);
            ("held", Some(until), notice)
        }
    };
    sqlx::query(
        "INSERT INTO hold (artifact_id, rebuild_id, state, until, notice_on) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(artifact_id)
    .bind(rebuild_id)
    .bind(state)
    .bind(until)
    .bind(notice.then(|| now.unix_seconds()))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
