//! Candidates that projects asked for, and the rebuilds that they came to. Who may ask is decided before.

use countersign_attest::declaration::{CandidateArtifact, CandidateRequest};
use countersign_attest::digest::Sha256;
use countersign_attest::time::Timestamp;
use sqlx::Row;

use super::releases::add_rebuild;
use super::{Store, StoreError, from_json, to_json};

const SECONDS_OF_A_DAY: i64 = 86_400;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is kept.
    New,
    /// The same was asked before, and nothing is done twice.
    Known,
    /// The project asked for as much as it may today.
    TooMany,
}

impl Store {
    /// Keeps a request, once. Its repository is polled soon where the tag was not seen yet.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn add_candidate(
        &self,
        request: &CandidateRequest,
        per_day: u32,
        now: Timestamp,
    ) -> Result<Added, StoreError> {
        let id = request.id().to_string();
        let mut transaction = self.begin().await?;
        let known: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM candidate WHERE id = ?)")
                .bind(&id)
                .fetch_one(&mut *transaction)
                .await?;
        if known {
            return Ok(Added::Known);
        }
        let today: u32 = sqlx::query_scalar(
            "SELECT count(*) FROM candidate WHERE source_uri = ? AND asked_on > ?",
        )
        .bind(&request.source)
        .bind(now.plus_seconds(-SECONDS_OF_A_DAY).unix_seconds())
        .fetch_one(&mut *transaction)
        .await?;
        if today >= per_day {
            return Ok(Added::TooMany);
        }
        sqlx::query(
            "INSERT INTO candidate (id, source_uri, tag, artifacts, asked_on) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(&id)
        .bind(&request.source)
        .bind(&request.tag)
        .bind(to_json(&request.artifacts, "candidate")?)
        .bind(now.unix_seconds())
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "UPDATE repository SET next_poll_on = min(next_poll_on, ?1) WHERE source_uri = ?2
             AND NOT EXISTS (SELECT 1 FROM release WHERE source_uri = ?2 AND tag = ?3)",
        )
        .bind(now.unix_seconds())
        .bind(&request.source)
        .bind(&request.tag)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Added::New)
    }

    /// Queues a rebuild for every candidate whose tag has been seen.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn queue_candidates(&self, now: Timestamp) -> Result<u64, StoreError> {
        const WAITING: &str = "SELECT c.id, r.id FROM candidate c
             JOIN release r ON r.source_uri = c.source_uri AND r.tag = c.tag
             WHERE c.rebuild_id IS NULL ORDER BY c.asked_on, c.id";
        let waiting = sqlx::query(WAITING).fetch_all(&self.pool).await?;
        if waiting.is_empty() {
            return Ok(0); // as most times: nothing is locked
        }
        let mut transaction = self.begin().await?;
        let waiting = sqlx::query(WAITING).fetch_all(&mut *transaction).await?;
        for row in &waiting {
            let (candidate, release): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            let rebuild = add_rebuild(&mut transaction, release, now, "queued").await?;
            sqlx::query("UPDATE candidate SET rebuild_id = ? WHERE id = ?")
                .bind(rebuild)
                .bind(candidate)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(waiting.len() as u64)
    }

    /// What a rebuild is to come to, where it is one of a candidate.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn candidate_of(
        &self,
        rebuild_id: i64,
    ) -> Result<Option<Vec<CandidateArtifact>>, StoreError> {
        let json: Option<String> =
            sqlx::query_scalar("SELECT artifacts FROM candidate WHERE rebuild_id = ?")
                .bind(rebuild_id)
                .fetch_optional(&self.pool)
                .await?;
        json.map(|json| from_json(&json, "candidate")).transpose()
    }

    /// How far a candidate is: `waiting` for its tag, or the state of its rebuild.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn candidate_state(&self, id: Sha256) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT coalesce(b.state, 'waiting') FROM candidate c
             LEFT JOIN rebuild b ON b.id = c.rebuild_id WHERE c.id = ?",
        )
        .bind(id.to_string())
        .fetch_optional(&self.pool)
        .await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::releases::SeenTag;

    fn request(tag: &str, name: &str) -> CandidateRequest {
        CandidateRequest {
            source: "git+https://forge.example/me/x".into(),
            tag: tag.into(),
            artifacts: vec![CandidateArtifact {
                name: name.into(),
                sha256: Sha256::of(name.as_bytes()),
            }],
            expires_on: Timestamp::EPOCH.plus_seconds(1_000_000),
        }
    }

    #[tokio::test]
    async fn a_request_is_queued_once_when_its_tag_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let now = Timestamp::EPOCH.plus_seconds(500_000);
        let asked = request("v1", "a.tgz");
        store.poll_state(&asked.source, now).await.unwrap();
        let later = now.plus_seconds(900);
        store
            .poll_succeeded(&asked.source, &[], 10, now, later)
            .await
            .unwrap();

        let mut added = Vec::new();
        for other in [
            &asked,
            &asked,
            &request("v1", "b.tgz"),
            &request("v2", "a.tgz"),
        ] {
            added.push(store.add_candidate(other, 2, now).await.unwrap());
        }
        assert_eq!(
            added,
            [Added::New, Added::Known, Added::New, Added::TooMany]
        );
        let tomorrow = now.plus_seconds(SECONDS_OF_A_DAY + 1);
        let again = store
            .add_candidate(&request("v2", "a.tgz"), 2, tomorrow)
            .await;
        assert_eq!(again.unwrap(), Added::New);

        // the tag was never seen: the repository is polled now
        let state = store.poll_state(&asked.source, now).await.unwrap();
        assert_eq!(state.next_poll_on, now);
        assert_eq!(store.queue_candidates(now).await.unwrap(), 0);
        let id = asked.id();
        assert_eq!(
            store.candidate_state(id).await.unwrap().as_deref(),
            Some("waiting")
        );
        let tag = SeenTag {
            name: "v1".into(),
            oid: "a".repeat(40).parse().unwrap(),
        };
        // of the tags that a poll sees none is rebuilt by itself, and the candidates are
        store
            .poll_succeeded(&asked.source, &[tag], 0, now, later)
            .await
            .unwrap();
        assert_eq!(store.queue_candidates(now).await.unwrap(), 2);
        assert_eq!(store.queue_candidates(now).await.unwrap(), 0);
        assert_eq!(
            store.candidate_state(id).await.unwrap().as_deref(),
            Some("queued")
        );
        let lease = store.lease(now, later).await.unwrap().unwrap();
        let artifacts = store.candidate_of(lease.rebuild_id).await.unwrap();
        assert_eq!(artifacts.map(|list| list.len()), Some(1));
        assert_eq!(
            store.candidate_of(lease.rebuild_id + 100).await.unwrap(),
            None
        );
        assert_eq!(
            store.candidate_state(Sha256::of(b"other")).await.unwrap(),
            None
        );
    }
}
