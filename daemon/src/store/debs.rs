//! Debian packages and what is said of them, for clients of rebuilderd.

use countersign_attest::digest::Sha256;
use countersign_attest::purl::Purl;
use countersign_builder::release::Published;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::releases::time;
use super::{Store, StoreError, from_json, parsed};
use crate::api::rebuilderd::{Deb, DebName, Found};

/// Most packages of a list, the newest.
const MOST: u32 = 100_000;
const COLUMNS: &str = "
    SELECT a.id, a.published, s.rebuild_id, s.issued_on, f.result -> '$.judgement.verdict',
           EXISTS (SELECT 1 FROM statement w WHERE w.artifact_id = a.id AND w.rebuild_id = s.rebuild_id
                   AND w.kind = 'withdrawn' AND w.state = 'published')
    FROM artifact a
    LEFT JOIN statement s ON s.id = (
        SELECT v.id FROM statement v WHERE v.artifact_id = a.id AND v.kind = 'verdict'
        AND v.state = 'published' ORDER BY v.rebuild_id DESC LIMIT 1)
    LEFT JOIN finding f ON f.rebuild_id = s.rebuild_id AND f.artifact_id = a.id";

impl Store {
    /// The packages of this name, or all.
    ///
    /// # Errors
    /// When the database refuses.
    pub(super) async fn debs_named(&self, wanted: Option<DebName>) -> Result<Vec<Deb>, StoreError> {
        let names = wanted.as_ref().map(DebName::file_names);
        let condition = match names {
            Some(_) => "a.file_name IN (?1, ?2)",
            None => "substr(a.file_name, -4) = '.deb'",
        };
        let [first, second] = names.unwrap_or_default();
        let sql = format!("{COLUMNS} WHERE {condition} ORDER BY a.id DESC LIMIT ?3");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(first)
            .bind(second)
            .bind(MOST)
            .fetch_all(&self.pool)
            .await?;
        let mut found = Vec::new();
        for row in &rows {
            if let Some(deb) = deb(row)?
                && wanted.as_ref().is_none_or(|wanted| is_wanted(&deb, wanted))
            {
                found.push(deb);
            }
        }
        Ok(found)
    }

    /// The envelope of the published verdict of a rebuild on an artifact, by its digest; `None` where it
    /// was taken back.
    ///
    /// # Errors
    /// When the database refuses.
    pub(super) async fn verdict_of(
        &self,
        rebuild: i64,
        artifact: i64,
    ) -> Result<Option<Sha256>, StoreError> {
        let digest: Option<String> = sqlx::query_scalar(
            "SELECT envelope_sha256 FROM statement s WHERE artifact_id = ?1 AND rebuild_id = ?2
             AND kind = 'verdict' AND state = 'published' AND NOT EXISTS (
                SELECT 1 FROM statement w WHERE w.artifact_id = ?1 AND w.rebuild_id = ?2
                AND w.kind = 'withdrawn' AND w.state = 'published')",
        )
        .bind(artifact)
        .bind(rebuild)
        .fetch_optional(&self.pool)
        .await?;
        digest.map(|text| parsed(&text, "digest")).transpose()
    }
}

/// A package as its package URL names it, else as its file is named; `None` where neither is one.
fn deb(row: &SqliteRow) -> Result<Option<Deb>, StoreError> {
    let published: Published = from_json(row.try_get(1)?, "published artifact")?;
    let purl = published.purl.as_deref();
    let purl: Option<Purl> = purl.and_then(|purl| purl.parse().ok());
    let purl = purl.filter(|purl| purl.kind() == "deb");
    let of_file = DebName::of_file(&published.file_name);
    let arch = purl.as_ref().and_then(|purl| purl.qualifier("arch"));
    let arch = arch
        .map(str::to_owned)
        .or(of_file.as_ref().map(|of| of.architecture.clone()));
    let name = match (&purl, arch) {
        (Some(purl), Some(architecture)) => Some(DebName {
            name: purl.name().to_owned(),
            version: purl.version().to_owned(),
            architecture,
        }),
        (Some(_), None) => None,
        (None, _) => of_file,
    };
    let Some(name) = name else { return Ok(None) };
    let rebuild: Option<i64> = row.try_get(2)?;
    let verdict: Option<String> = row.try_get(4)?;
    let withdrawn: bool = row.try_get(5)?;
    let verdict = verdict.filter(|_| !withdrawn);
    let verdict = verdict
        .map(|json| from_json(&json, "verdict"))
        .transpose()?;
    let found = match rebuild {
        Some(rebuild) => Some(Found {
            rebuild,
            verdict,
            on: time(row.try_get(3)?)?,
        }),
        None => None,
    };
    Ok(Some(Deb {
        artifact: row.try_get(0)?,
        name,
        distribution: purl.as_ref().and_then(|p| p.namespace().map(str::to_owned)),
        release: purl.and_then(|p| p.qualifier("distro").map(str::to_owned)),
        url: published.download_location,
        seen_on: published.retrieved_on,
        found,
    }))
}

/// Where only a file's name says what it is, the epoch is not known.
fn is_wanted(deb: &Deb, wanted: &DebName) -> bool {
    let same = deb.name.version == wanted.version
        || deb.distribution.is_none() && deb.name.version == wanted.without_epoch();
    deb.name.name == wanted.name && deb.name.architecture == wanted.architecture && same
}
