//! Statements by what they are about, for many files and packages at once.

use countersign_attest::digest::AnyDigest;
use serde_json::json;

use super::{Store, StoreError};
use crate::api::statements::Sought;

/// Artifacts with one of these digests, or of one of these packages. A package URL that says more, after
/// a question mark, is of the same package; `@` is the character behind that mark.
pub(super) const ARTIFACTS: &str = "
    SELECT id FROM artifact WHERE sha256 IN (SELECT value FROM json_each(?1))
    UNION SELECT id FROM artifact WHERE sha512 IN (SELECT value FROM json_each(?2))
    UNION SELECT a.id FROM json_each(?3) wanted CROSS JOIN artifact a
        ON a.published ->> '$.purl' = wanted.value
    UNION SELECT a.id FROM json_each(?3) wanted CROSS JOIN artifact a
        ON a.published ->> '$.purl' >= wanted.value || '?' AND a.published ->> '$.purl' < wanted.value || '@'";

impl Store {
    /// Envelopes of published verdicts and withdrawals, in the order in which they were entered.
    ///
    /// # Errors
    /// When the database refuses.
    pub(super) async fn envelopes_about(
        &self,
        about: &[Sought],
        limit: u32,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let (mut sha256, mut sha512, mut packages) = (Vec::new(), Vec::new(), Vec::new());
        for about in about {
            match about {
                Sought::Digest(AnyDigest::Sha256(digest)) => sha256.push(digest.to_string()),
                Sought::Digest(AnyDigest::Sha512(digest)) => sha512.push(digest.to_string()),
                Sought::Package(purl) => packages.push(purl.bare()),
            }
        }
        let sql = format!(
            "SELECT envelope FROM statement WHERE artifact_id IN ({ARTIFACTS})
             AND state = 'published' AND kind IN ('verdict', 'withdrawn') ORDER BY entry LIMIT ?4"
        );
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(json!(sha256).to_string())
            .bind(json!(sha512).to_string())
            .bind(json!(packages).to_string())
            .bind(limit)
            .fetch_all(&self.pool)
            .await?)
    }
}
