//! Repositories, the tags seen in them, and what moved.

use countersign_attest::digest::GitOid;
use countersign_attest::time::Timestamp;
use countersign_builder::release::{Published, Release};
use sqlx::Row;

use super::{Store, StoreError, Transaction, from_json, parsed, to_json};

/// What is known of a repository between polls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PollState {
    /// When the next poll is due.
    pub next_poll_on: Timestamp,
    /// Polls that failed in a row.
    pub failures: u32,
}

/// A tag as a poll saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenTag {
    /// The tag without `refs/tags/`.
    pub name: String,
    /// The object that the tag names.
    pub oid: GitOid,
}

/// A release as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredRelease {
    /// The row.
    pub id: i64,
    /// The signed source URI.
    pub source_uri: String,
    /// The tag.
    pub tag: String,
    /// The object that the tag names now.
    pub advertised_oid: GitOid,
    /// The object that it named before, until acknowledged.
    pub moved_from: Option<GitOid>,
    /// What it was resolved to last.
    pub resolved: Option<Release>,
}

/// What a poll changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PollChange {
    /// Releases that are new.
    pub new: u64,
    /// How many of those are not rebuilt unless an operator asks.
    pub skipped: u64,
    /// Releases whose tag names another object now.
    pub moved: u64,
}

impl Store {
    /// What is known of a repository; a new one is due at once.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn poll_state(
        &self,
        source_uri: &str,
        now: Timestamp,
    ) -> Result<PollState, StoreError> {
        // asked for each repository whenever the daemon wakes: only the first time writes
        let row = sqlx::query("SELECT next_poll_on, failures FROM repository WHERE source_uri = ?")
            .bind(source_uri)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else {
            sqlx::query(
                "INSERT INTO repository (source_uri, next_poll_on) VALUES (?, ?)
                 ON CONFLICT DO NOTHING",
            )
            .bind(source_uri)
            .bind(now.unix_seconds())
            .execute(&self.pool)
            .await?;
            return Ok(PollState {
                next_poll_on: now,
                failures: 0,
            });
        };
        Ok(PollState {
            next_poll_on: time(row.try_get(0)?)?,
            failures: row.try_get(1)?,
        })
    }

    /// Records a poll that failed, and when to try again.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn poll_failed(
        &self,
        source_uri: &str,
        now: Timestamp,
        next: Timestamp,
        problem: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE repository SET failures = failures + 1, problem = ?, last_poll_on = ?, next_poll_on = ?
             WHERE source_uri = ?",
        )
        .bind(problem)
        .bind(now.unix_seconds())
        .bind(next.unix_seconds())
        .bind(source_uri)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Records all that a poll saw, in one transaction. Of the new tags, which come highest version
    /// first, at most so many are queued and the rest is skipped: a flood of tags is no flood of builds.
    /// A tag that names another object becomes an event and is queued, so that its verdict says so,
    /// unless the release was skipped.
    ///
    /// # Errors
    /// When the database refuses; then nothing of the poll is recorded.
    pub(crate) async fn poll_succeeded(
        &self,
        source_uri: &str,
        tags: &[SeenTag],
        at_most: usize,
        now: Timestamp,
        next: Timestamp,
    ) -> Result<PollChange, StoreError> {
        let mut change = PollChange::default();
        let mut new = Vec::new();
        let mut transaction = self.begin().await?;
        let known: std::collections::HashMap<String, (i64, String)> =
            sqlx::query_as("SELECT tag, id, advertised_oid FROM release WHERE source_uri = ?")
                .bind(source_uri)
                .fetch_all(&mut *transaction)
                .await?
                .into_iter()
                .map(|(tag, id, oid): (String, i64, String)| (tag, (id, oid)))
                .collect();
        for tag in tags {
            let oid = tag.oid.to_string();
            match known.get(&tag.name) {
                Some((_, before)) if *before == oid => {}
                Some((id, before)) => {
                    change.moved += 1;
                    record_move(&mut transaction, *id, before, &oid, now).await?;
                }
                None => new.push(tag),
            }
        }
        change.new = new.len() as u64;
        change.skipped = new.len().saturating_sub(at_most) as u64;
        // the lowest version first, so that the newest release has the largest id
        for (rank, tag) in new.into_iter().enumerate().rev() {
            let state = if rank < at_most { "queued" } else { "skipped" };
            record_new(&mut transaction, source_uri, tag, state, now).await?;
        }
        sqlx::query(
            "UPDATE repository SET failures = 0, problem = NULL, last_poll_on = ?, next_poll_on = ?
             WHERE source_uri = ?",
        )
        .bind(now.unix_seconds())
        .bind(next.unix_seconds())
        .bind(source_uri)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(change)
    }

    /// One release.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn release(&self, id: i64) -> Result<Option<StoredRelease>, StoreError> {
        let row = sqlx::query(
            "SELECT id, source_uri, tag, advertised_oid, moved_from, resolved FROM release WHERE id = ?",
        )
        .bind(id)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            let moved: Option<String> = row.try_get(4)?;
            let resolved: Option<String> = row.try_get(5)?;
            Ok(StoredRelease {
                id: row.try_get(0)?,
                source_uri: row.try_get(1)?,
                tag: row.try_get(2)?,
                advertised_oid: parsed(row.try_get(3)?, "object name")?,
                moved_from: moved.map(|oid| parsed(&oid, "object name")).transpose()?,
                resolved: resolved
                    .map(|json| from_json(&json, "release"))
                    .transpose()?,
            })
        })
        .transpose()
    }

    /// Accepts that a tag moved: the release is rebuilt at its new commit. `false` where it had not.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn acknowledge_move(
        &self,
        id: i64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let moved = sqlx::query(
            "UPDATE release SET moved_from = NULL WHERE id = ? AND moved_from IS NOT NULL",
        )
        .bind(id)
        .execute(&mut *transaction)
        .await?
        .rows_affected()
            == 1;
        if moved {
            let message = "an operator acknowledged that the tag names another object now";
            add_event(&mut transaction, now, id, "move-acknowledged", message).await?;
            queue(&mut transaction, id, now).await?;
        }
        transaction.commit().await?;
        Ok(moved)
    }

    /// Queues another rebuild of a release; one that waits already is due now, as if it had never been
    /// tried. `false` where one waited.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn retry(&self, id: i64, now: Timestamp) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let queued = queue(&mut transaction, id, now).await?;
        transaction.commit().await?;
        Ok(queued)
    }
}

async fn record_new(
    transaction: &mut Transaction,
    source_uri: &str,
    tag: &SeenTag,
    state: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO release (source_uri, tag, advertised_oid, first_seen_on) VALUES (?, ?, ?, ?)
         RETURNING id",
    )
    .bind(source_uri)
    .bind(&tag.name)
    .bind(tag.oid.to_string())
    .bind(now.unix_seconds())
    .fetch_one(&mut **transaction)
    .await?;
    add_rebuild(transaction, id, now, state).await?;
    Ok(())
}

async fn record_move(
    transaction: &mut Transaction,
    id: i64,
    before: &str,
    after: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    // a tag that moves twice keeps the object that it named when it was last trusted
    sqlx::query(
        "UPDATE release SET moved_from = coalesce(moved_from, advertised_oid), advertised_oid = ?
         WHERE id = ?",
    )
    .bind(after)
    .bind(id)
    .execute(&mut **transaction)
    .await?;
    let message = format!("the tag named {before} and names {after} now");
    add_event(transaction, now, id, "tag-moved", &message).await?;
    let skipped: bool = sqlx::query_scalar(
        "SELECT state = 'skipped' FROM rebuild WHERE release_id = ? ORDER BY id DESC LIMIT 1",
    )
    .bind(id)
    .fetch_one(&mut **transaction)
    .await?;
    if !skipped {
        queue(transaction, id, now).await?;
    }
    Ok(())
}

/// Queues a rebuild, or makes the one that waits due now. `false` where one waited.
async fn queue(
    transaction: &mut Transaction,
    release_id: i64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let waiting = sqlx::query(
        "UPDATE rebuild SET run_on = ?, attempt = 0, problem = NULL
         WHERE release_id = ? AND state = 'queued'",
    )
    .bind(now.unix_seconds())
    .bind(release_id)
    .execute(&mut **transaction)
    .await?
    .rows_affected();
    if waiting == 0 {
        add_rebuild(transaction, release_id, now, "queued").await?;
    }
    Ok(waiting == 0)
}

/// Adds a rebuild in a first state and gives its row.
pub(super) async fn add_rebuild(
    transaction: &mut Transaction,
    release_id: i64,
    now: Timestamp,
    state: &str,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "INSERT INTO rebuild (release_id, state, run_on) VALUES (?, ?, ?) RETURNING id",
    )
    .bind(release_id)
    .bind(state)
    .bind(now.unix_seconds())
    .fetch_one(&mut **transaction)
    .await?)
}

/// Records what a tag was resolved to.
pub(super) async fn set_resolved(
    transaction: &mut Transaction,
    id: i64,
    release: &Release,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE release SET resolved = ? WHERE id = ?")
        .bind(to_json(release, "release")?)
        .bind(id)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Records a published artifact of a release, once, and gives its row. What was seen of its bytes wins
/// over what was only declared.
pub(super) async fn add_artifact(
    transaction: &mut Transaction,
    release_id: i64,
    published: &Published,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "INSERT INTO artifact (release_id, file_name, sha256, sha512, published)
         VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (release_id, file_name, sha256)
         DO UPDATE SET
           published = CASE WHEN excluded.sha512 IS NULL THEN published ELSE excluded.published END,
           sha512 = coalesce(excluded.sha512, sha512)
         RETURNING id",
    )
    .bind(release_id)
    .bind(&published.file_name)
    .bind(published.sha256.to_string())
    .bind(published.sha512.map(|digest| digest.to_string()))
    .bind(to_json(published, "published artifact")?)
    .fetch_one(&mut **transaction)
    .await?)
}

pub(super) async fn add_event(
    transaction: &mut Transaction,
    now: Timestamp,
    release_id: i64,
    kind: &str,
    message: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO event (happened_on, release_id, kind, message) VALUES (?, ?, ?, ?)")
        .bind(now.unix_seconds())
        .bind(release_id)
        .bind(kind)
        .bind(message)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

pub(super) fn time(seconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_unix_seconds(seconds).map_err(|source| StoreError::Corrupt {
        what: "time",
        source: source.into(),
    })
}
