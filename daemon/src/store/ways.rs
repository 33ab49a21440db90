//! How earlier releases of a repository came out well: what is tried first for the next one. A hint for
//! an order, which decides nothing.

use countersign_attest::verdict::Verdict;
use sqlx::Row as _;

use super::{Store, StoreError, from_json};
use crate::pipeline::ArtifactResult;

/// Most findings that are looked at, the newest first: those of a few releases.
const LOOKED_AT: i64 = 8;

impl Store {
    /// The ways that gave the published bytes of other releases of a repository, the newest first, each once.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn ways_that_worked(
        &self,
        source_uri: &str,
        release_id: i64,
    ) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(
            "SELECT f.result FROM finding f
             JOIN rebuild b ON b.id = f.rebuild_id
             JOIN release r ON r.id = b.release_id
             WHERE r.source_uri = ? AND r.id <> ?
             ORDER BY f.rebuild_id DESC, f.artifact_id LIMIT ?",
        )
        .bind(source_uri)
        .bind(release_id)
        .bind(LOOKED_AT)
        .fetch_all(&self.pool)
        .await?;
        let mut ways = Vec::new();
        for row in rows {
            let result: ArtifactResult = from_json(row.try_get(0)?, "finding")?;
            if let Some(way) = way(&result).filter(|way| !ways.contains(way)) {
                ways.push(way);
            }
        }
        Ok(ways)
    }
}

fn way(result: &ArtifactResult) -> Option<String> {
    match result.judgement.verdict {
        Verdict::Reproduced | Verdict::Assisted => {}
        Verdict::Equivalent
        | Verdict::Differs
        | Verdict::Unstable
        | Verdict::BuildFailed
        | Verdict::Indeterminate => return None,
    }
    let plan = result.plan?;
    let attempt = result.attempts.iter().find(|a| a.plan == plan)?;
    (!attempt.way.is_empty()).then(|| attempt.way.clone())
}
