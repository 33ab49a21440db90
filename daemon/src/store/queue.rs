//! The queue of rebuilds: leases, faults and results.
//!
//! `queued -> running -> judged -> done`. A rebuild that is `running` when its daemon dies is queued
//! again at the next start; one that is `judged` has its drafts stored and is only finished, never
//! built again.

use countersign_attest::digest::Sha256;
use countersign_attest::statement::Facts;
use countersign_attest::time::Timestamp;
use countersign_builder::release::Release;
use sqlx::Row;

use super::holds::{self, KeepBack};
use super::releases::{StoredRelease, add_artifact, add_event, set_resolved, time};
use super::{Store, StoreError, Transaction, to_json};
use crate::pipeline::ArtifactResult;

/// A rebuild that this daemon has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The rebuild.
    pub rebuild_id: i64,
    /// Its release.
    pub release_id: i64,
    /// How often it was taken, this time included.
    pub attempt: u32,
}

/// A statement that was composed and is to be kept before it is signed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    /// What it was composed from.
    pub facts: Facts,
    /// Its final bytes.
    pub bytes: Vec<u8>,
}

/// A plan's bytes, named by their digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlanBytes {
    /// SHA-256 of the bytes.
    pub sha256: Sha256,
    /// The bytes as first written.
    pub bytes: Vec<u8>,
}

/// Everything that a rebuild came to.
#[derive(Debug)]
pub(crate) struct Judged {
    /// The release as it was when the rebuild began.
    pub about: StoredRelease,
    /// What its tag was resolved to.
    pub resolved: Release,
    /// What was found for each published artifact.
    pub artifacts: Vec<JudgedArtifact>,
    /// Every plan that ran.
    pub plans: Vec<PlanBytes>,
}

/// What a rebuild came to for one artifact.
#[derive(Debug)]
pub(crate) struct JudgedArtifact {
    /// What was found.
    pub result: ArtifactResult,
    /// What is to be signed about it.
    pub drafts: Vec<Draft>,
    /// How that is kept back, where it is.
    pub keep_back: Option<KeepBack>,
}

/// What became of the end of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It is recorded, and its statements are drafted.
    Kept,
    /// Nothing of it is recorded: meanwhile the tag moved, or an operator acknowledged that it had.
    /// Another rebuild is queued, and nothing is signed that was known to be outdated.
    Superseded,
}

impl Store {
    /// Takes the rebuild that is due first.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn lease(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        let row = sqlx::query(
            "UPDATE rebuild SET state = 'running', attempt = attempt + 1, lease_until = ?
             WHERE id = (SELECT id FROM rebuild WHERE state = 'queued' AND run_on <= ?
                         ORDER BY run_on, id LIMIT 1)
             RETURNING id, release_id, attempt",
        )
        .bind(lease_until.unix_seconds())
        .bind(now.unix_seconds())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            Ok(Lease {
                rebuild_id: row.try_get(0)?,
                release_id: row.try_get(1)?,
                attempt: row.try_get(2)?,
            })
        })
        .transpose()
    }

    /// Queues again what a dead daemon was running. The lock of the data folder says that it is dead.
    /// It comes after all that is due: what kills the daemon each time keeps nothing else waiting.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn requeue_interrupted(&self, now: Timestamp) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "UPDATE rebuild SET state = 'queued', lease_until = NULL, attempt = attempt - 1,
                    run_on = ?
             WHERE state = 'running'",
        )
        .bind(now.unix_seconds())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// Records a fault of ours: the rebuild is tried again later. Nothing is signed.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn fault(
        &self,
        rebuild_id: i64,
        problem: &str,
        run_on: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE rebuild SET state = 'queued', problem = ?, run_on = ?, lease_until = NULL
             WHERE id = ? AND state = 'running'",
        )
        .bind(problem)
        .bind(run_on.unix_seconds())
        .bind(rebuild_id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Gives a rebuild up until an operator asks again: it was refused, or failed too often.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn give_up(
        &self,
        rebuild_id: i64,
        problem: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let release: Option<i64> = sqlx::query_scalar(
            "UPDATE rebuild SET state = 'cancelled', problem = ?, finished_on = ?, lease_until = NULL
             WHERE id = ? AND state = 'running' RETURNING release_id",
        )
        .bind(problem)
        .bind(now.unix_seconds())
        .bind(rebuild_id)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(release) = release {
            add_event(&mut transaction, now, release, "given-up", problem).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Records what a rebuild found, its plans, and every statement's final bytes, in one transaction.
    /// From here on the rebuild is only finished, never run again.
    ///
    /// # Errors
    /// When the database refuses; then nothing is recorded.
    pub(crate) async fn judged(
        &self,
        rebuild_id: i64,
        judged: &Judged,
        now: Timestamp,
    ) -> Result<Recorded, StoreError> {
        let mut transaction = self.begin().await?;
        let recorded = if is_current(&mut transaction, rebuild_id, &judged.about).await? {
            record(&mut transaction, rebuild_id, judged, now).await?;
            Recorded::Kept
        } else {
            sqlx::query(
                "UPDATE rebuild SET state = 'cancelled', problem = ?, finished_on = ?, lease_until = NULL
                 WHERE id = ? AND state = 'running'",
            )
            .bind("the tag moved while this ran; what it found is about another object")
            .bind(now.unix_seconds())
            .bind(rebuild_id)
            .execute(&mut *transaction)
            .await?;
            Recorded::Superseded
        };
        transaction.commit().await?;
        Ok(recorded)
    }

    /// Marks every judged rebuild whose statements are all published, or never will be, as done.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn finish_published(&self, now: Timestamp) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "UPDATE rebuild SET state = 'done', finished_on = ? WHERE state = 'judged' AND NOT EXISTS
               (SELECT 1 FROM statement s WHERE s.rebuild_id = rebuild.id AND s.state <> 'published'
                  AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.rebuild_id = s.rebuild_id
                    AND h.artifact_id = s.artifact_id AND h.state IN ('withheld', 'superseded')))",
        )
        .bind(now.unix_seconds())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// When the next rebuild in the queue is due.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let due: Option<i64> =
            sqlx::query_scalar("SELECT min(run_on) FROM rebuild WHERE state = 'queued'")
                .fetch_one(&self.pool)
                .await?;
        due.map(time).transpose()
    }

    /// Number of rebuilds that wait after a fault of ours, with statements or without, and of those
    /// that were given up. What is held waits for its time, not for us.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn troubled(&self) -> Result<(u64, u64), StoreError> {
        let row = sqlx::query(
            "SELECT count(*) FILTER (WHERE state = 'queued' AND problem IS NOT NULL
                      OR state = 'judged' AND EXISTS (SELECT 1 FROM statement s
                        WHERE s.rebuild_id = rebuild.id AND s.state <> 'published'
                          AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.rebuild_id = s.rebuild_id
                            AND h.artifact_id = s.artifact_id AND h.state <> 'released'))),
                    count(*) FILTER (WHERE state = 'cancelled' AND id =
                      (SELECT max(id) FROM rebuild other WHERE other.release_id = rebuild.release_id))
             FROM rebuild",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}

/// Whether a rebuild is still running, and its release still what it was.
async fn is_current(
    transaction: &mut Transaction,
    rebuild_id: i64,
    about: &StoredRelease,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM rebuild b JOIN release r ON r.id = b.release_id
           WHERE b.id = ? AND b.state = 'running'
             AND r.id = ? AND r.advertised_oid = ? AND r.moved_from IS ?)",
    )
    .bind(rebuild_id)
    .bind(about.id)
    .bind(about.advertised_oid.to_string())
    .bind(about.moved_from.map(|oid| oid.to_string()))
    .fetch_one(&mut **transaction)
    .await?)
}

async fn record(
    transaction: &mut Transaction,
    rebuild_id: i64,
    judged: &Judged,
    now: Timestamp,
) -> Result<(), StoreError> {
    set_resolved(transaction, judged.about.id, &judged.resolved).await?;
    for plan in &judged.plans {
        sqlx::query("INSERT INTO plan (sha256, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(plan.sha256.to_string())
            .bind(&plan.bytes)
            .execute(&mut **transaction)
            .await?;
    }
    for JudgedArtifact {
        result,
        drafts,
        keep_back,
    } in &judged.artifacts
    {
        let artifact = add_artifact(transaction, judged.about.id, &result.published).await?;
        sqlx::query("INSERT INTO finding (rebuild_id, artifact_id, result) VALUES (?, ?, ?)")
            .bind(rebuild_id)
            .bind(artifact)
            .bind(to_json(result, "finding")?)
            .execute(&mut **transaction)
            .await?;
        for draft in drafts {
            add_draft(transaction, rebuild_id, artifact, draft, now).await?;
        }
        holds::judged_anew(transaction, rebuild_id, artifact, *keep_back, now).await?;
    }
    sqlx::query(
        "UPDATE rebuild SET state = 'judged', problem = NULL, lease_until = NULL WHERE id = ?",
    )
    .bind(rebuild_id)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn add_draft(
    transaction: &mut Transaction,
    rebuild_id: i64,
    artifact_id: i64,
    draft: &Draft,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO statement
           (rebuild_id, artifact_id, kind, state, facts, bytes, sha256, issued_on)
         VALUES (?, ?, ?, 'drafted', ?, ?, ?, ?)",
    )
    .bind(rebuild_id)
    .bind(artifact_id)
    .bind(draft.facts.kind.word())
    .bind(to_json(&draft.facts, "facts")?)
    .bind(&draft.bytes)
    .bind(Sha256::of(&draft.bytes).to_string())
    .bind(now.unix_seconds())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
