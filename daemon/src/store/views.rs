//! What readers see: the store behind the API, the pages and the command line. Reads only.
//!
//! A verdict is shown once its statement is published; until then the artifact is not checked yet.

use std::collections::HashMap;

use countersign_attest::digest::{AnyDigest, Sha256};
use countersign_attest::verdict::Verdict;
use countersign_builder::compare::Comparison;
use countersign_builder::recipe::Attempt;
use countersign_builder::release::{Published, Release};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::releases::time;
use super::{Store, StoreError, corrupt, from_json, parsed};
use crate::api::find::Find;
use crate::api::rebuilderd::{Deb, DebName};
use crate::api::statements::Sought;
use crate::api::view::{
    Answer, ArtifactSummary, ArtifactView, EventView, Export, Match, RebuildView, ReleaseSummary,
    ReleaseView, StatementKind, StatementView, ViewError, Views,
};
use crate::difference::Difference;
use crate::pipeline::{ArtifactResult, issue, words};

impl Views for Store {
    fn releases(
        &self,
        find: Option<Find>,
        after: Option<i64>,
        limit: u32,
    ) -> Answer<'_, Vec<ReleaseSummary>> {
        Box::pin(async move {
            let found = self.summaries(find, after, limit).await;
            found.map_err(view_error)
        })
    }

    fn release(&self, id: i64) -> Answer<'_, Option<ReleaseView>> {
        Box::pin(async move { self.release_view(id).await.map_err(view_error) })
    }

    fn by_digest(&self, digest: AnyDigest) -> Answer<'_, Vec<Match>> {
        Box::pin(async move { self.matches(digest).await.map_err(view_error) })
    }

    fn difference(&self, release: i64, published: Sha256) -> Answer<'_, Option<Difference>> {
        Box::pin(async move {
            let found = self.difference_of(release, published).await;
            found.map_err(view_error)
        })
    }

    fn plan(&self, sha256: Sha256) -> Answer<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            sqlx::query_scalar("SELECT bytes FROM plan WHERE sha256 = ?")
                .bind(sha256.to_string())
                .fetch_optional(&self.pool)
                .await
                .map_err(|error| view_error(error.into()))
        })
    }

    fn statement(&self, sha256: Sha256) -> Answer<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            sqlx::query_scalar(
                "SELECT envelope FROM statement WHERE envelope_sha256 = ? AND state = 'published'",
            )
            .bind(sha256.to_string())
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| view_error(error.into()))
        })
    }

    fn statements(&self, about: Vec<Sought>, limit: u32) -> Answer<'_, Vec<Vec<u8>>> {
        Box::pin(async move {
            let found = self.envelopes_about(&about, limit).await;
            found.map_err(view_error)
        })
    }

    fn debs(&self, wanted: Option<DebName>) -> Answer<'_, Vec<Deb>> {
        Box::pin(async move { self.debs_named(wanted).await.map_err(view_error) })
    }

    fn link(&self, rebuild: i64, artifact: i64) -> Answer<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            let verdict = self.verdict_of(rebuild, artifact).await;
            match verdict.map_err(view_error)? {
                Some(envelope) => self.export(envelope, Export::Link).await,
                None => Ok(None),
            }
        })
    }

    fn export(&self, sha256: Sha256, form: Export) -> Answer<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            let kind: Option<String> = sqlx::query_scalar(
                "SELECT kind FROM statement WHERE envelope_sha256 = ? AND state = 'published'",
            )
            .bind(sha256.to_string())
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| view_error(error.into()))?;
            let Some(kind) = kind else {
                return Ok(None);
            };
            let name = match form {
                Export::Bundle => issue::bundle_name(&kind, &sha256),
                Export::Link => issue::link_name(&sha256),
            };
            let path = self.attestations.join(name);
            match tokio::fs::read(&path).await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(view_error(StoreError::Io { path, source })),
            }
        })
    }
}

impl Store {
    /// Ids of releases, newest first.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn release_ids(
        &self,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<i64>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT id FROM release WHERE id < ? ORDER BY id DESC LIMIT ?")
                .bind(after.unwrap_or(i64::MAX))
                .bind(limit)
                .fetch_all(&self.pool)
                .await?,
        )
    }

    /// A page of the list, in two queries.
    async fn summaries(
        &self,
        find: Option<Find>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<ReleaseSummary>, StoreError> {
        const COLUMNS: &str =
            "SELECT r.source_uri, r.tag, r.resolved, r.first_seen_on, r.moved_from,
                    (SELECT state FROM rebuild b WHERE b.release_id = r.id ORDER BY b.id DESC LIMIT 1),
                    r.id
             FROM release r";
        let (condition, sought) = condition(find);
        let sql = format!("{COLUMNS} WHERE r.id < ?1 AND {condition} ORDER BY r.id DESC LIMIT ?2");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(after.unwrap_or(i64::MAX))
            .bind(limit)
            .bind(sought)
            .fetch_all(&self.pool)
            .await?;
        let mut summaries: Vec<ReleaseSummary> =
            rows.iter().map(summary).collect::<Result<_, _>>()?;
        let ids: Vec<i64> = summaries.iter().map(|summary| summary.id).collect();
        let mut artifacts = self.brief_artifacts(&ids).await?;
        for summary in &mut summaries {
            summary.artifacts = artifacts.remove(&summary.id).unwrap_or_default();
        }
        Ok(summaries)
    }

    /// The artifacts of these releases, each with its last published verdict. The cross join keeps sqlite
    /// from reading the whole table in the order of its ids.
    async fn brief_artifacts(
        &self,
        releases: &[i64],
    ) -> Result<HashMap<i64, Vec<ArtifactSummary>>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.release_id, a.file_name, a.sha256,
                    (SELECT f.result -> '$.judgement.verdict' FROM statement s
                     JOIN finding f ON f.rebuild_id = s.rebuild_id AND f.artifact_id = s.artifact_id
                     WHERE s.artifact_id = a.id AND s.kind = 'verdict' AND s.state = 'published'
                     ORDER BY s.rebuild_id DESC LIMIT 1),
                    (SELECT w.kind = 'withdrawn' FROM statement w
                     WHERE w.artifact_id = a.id AND w.state = 'published'
                       AND w.kind IN ('verdict', 'withdrawn')
                     ORDER BY w.rebuild_id DESC, w.id DESC LIMIT 1)
             FROM json_each(?) wanted CROSS JOIN artifact a ON a.release_id = wanted.value ORDER BY a.id",
        )
        .bind(serde_json::json!(releases).to_string())
        .fetch_all(&self.pool)
        .await?;
        let mut artifacts: HashMap<i64, Vec<ArtifactSummary>> = HashMap::new();
        for row in &rows {
            let verdict: Option<String> = row.try_get(3)?;
            let withdrawn: Option<bool> = row.try_get(4)?;
            let verdict = verdict.filter(|_| withdrawn != Some(true));
            let brief = ArtifactSummary {
                name: row.try_get(1)?,
                sha256: parsed(row.try_get(2)?, "digest")?,
                verdict: verdict
                    .map(|json| from_json::<Verdict>(&json, "verdict"))
                    .transpose()?,
            };
            artifacts.entry(row.try_get(0)?).or_default().push(brief);
        }
        Ok(artifacts)
    }

    /// One release with all that is known of it.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn release_view(&self, id: i64) -> Result<Option<ReleaseView>, StoreError> {
        let row = sqlx::query(
            "SELECT r.source_uri, r.tag, r.resolved, r.first_seen_on, r.moved_from,
                    (SELECT state FROM rebuild b WHERE b.release_id = r.id ORDER BY b.id DESC LIMIT 1),
                    r.id
             FROM release r WHERE r.id = ?",
        )
        .bind(id)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let summary = summary(&row)?;
        Ok(Some(ReleaseView {
            id,
            source: summary.source,
            tag: summary.tag,
            version: summary.version,
            commit: summary.commit,
            state: summary.state,
            first_seen: summary.first_seen,
            artifacts: self.artifact_views(id).await?,
            rebuilds: self.rebuild_views(id).await?,
            events: self.event_views(id).await?,
        }))
    }

    async fn artifact_views(&self, release_id: i64) -> Result<Vec<ArtifactView>, StoreError> {
        let rows =
            sqlx::query("SELECT id, published FROM artifact WHERE release_id = ? ORDER BY id")
                .bind(release_id)
                .fetch_all(&self.pool)
                .await?;
        let mut views = Vec::new();
        for row in rows {
            let view = self.artifact_view(release_id, row.try_get(0)?, row.try_get(1)?);
            views.push(view.await?);
        }
        Ok(views)
    }

    async fn artifact_view(
        &self,
        release_id: i64,
        id: i64,
        published: &str,
    ) -> Result<ArtifactView, StoreError> {
        let published: Published = from_json(published, "published artifact")?;
        let mut view = unchecked(published);
        if let Some((rebuild_id, result)) = self.last_result(id).await? {
            let sha256 = view.sha256;
            let is_known = result.differences.is_some();
            view.difference_url = is_known
                .then(|| format!("/api/v1/releases/{release_id}/differences/sha256:{sha256}"));
            add_result(&mut view, result);
            view.statements = self.statement_views(id, rebuild_id).await?;
            let withdrawn = |statement: &StatementView| statement.kind == StatementKind::Withdrawn;
            if view.statements.iter().any(withdrawn) {
                // what it was stands in the statements; it is none of ours any more
                (view.verdict, view.reason, view.detail) = (None, None, None);
            }
        }
        Ok(view)
    }

    /// A rebuild's state and what it found; `None` where there is no such rebuild.
    pub(crate) async fn rebuild_findings(
        &self,
        id: i64,
    ) -> Result<Option<(String, Vec<ArtifactResult>)>, StoreError> {
        let state: Option<String> = sqlx::query_scalar("SELECT state FROM rebuild WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        let Some(state) = state else {
            return Ok(None);
        };
        let rows =
            sqlx::query("SELECT result FROM finding WHERE rebuild_id = ? ORDER BY artifact_id")
                .bind(id)
                .fetch_all(&self.pool)
                .await?;
        let result = |row: SqliteRow| from_json(row.try_get(0)?, "finding");
        let findings = rows.into_iter().map(result).collect::<Result<_, _>>()?;
        Ok(Some((state, findings)))
    }

    /// What the newest rebuild found of an artifact whose verdict is published.
    async fn last_result(
        &self,
        artifact_id: i64,
    ) -> Result<Option<(i64, ArtifactResult)>, StoreError> {
        let row = sqlx::query(
            "SELECT f.rebuild_id, f.result FROM finding f
             JOIN statement s ON s.rebuild_id = f.rebuild_id AND s.artifact_id = f.artifact_id
             WHERE f.artifact_id = ? AND s.kind = 'verdict' AND s.state = 'published'
             ORDER BY f.rebuild_id DESC LIMIT 1",
        )
        .bind(artifact_id)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| Ok((row.try_get(0)?, from_json(row.try_get(1)?, "finding")?)))
            .transpose()
    }

    async fn difference_of(
        &self,
        release_id: i64,
        published: Sha256,
    ) -> Result<Option<Difference>, StoreError> {
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM artifact WHERE release_id = ? AND sha256 = ? ORDER BY id",
        )
        .bind(release_id)
        .bind(published.to_string())
        .fetch_all(&self.pool)
        .await?;
        for id in ids {
            let result = self.last_result(id).await?;
            if let Some(found) = result.and_then(|(_, result)| Difference::of(&result)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn statement_views(
        &self,
        artifact_id: i64,
        rebuild_id: i64,
    ) -> Result<Vec<StatementView>, StoreError> {
        let rows = sqlx::query(
            "SELECT kind, envelope_sha256, entry, issued_on,
                    CAST(envelope AS TEXT) ->> '$.signatures[0].keyid' FROM statement
             WHERE artifact_id = ? AND rebuild_id = ? AND state = 'published' ORDER BY id",
        )
        .bind(artifact_id)
        .bind(rebuild_id)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(StatementView::new(
                    kind(row.try_get(0)?)?,
                    parsed(row.try_get(1)?, "digest")?,
                    row.try_get(2)?,
                    time(row.try_get(3)?)?,
                    row.try_get(4)?,
                ))
            })
            .collect()
    }

    async fn rebuild_views(&self, release_id: i64) -> Result<Vec<RebuildView>, StoreError> {
        let rows = sqlx::query(
            "SELECT b.id, b.state, b.attempt, b.problem, b.finished_on,
                    (SELECT f.result FROM finding f WHERE f.rebuild_id = b.id
                       AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.rebuild_id = f.rebuild_id
                         AND h.artifact_id = f.artifact_id AND h.state <> 'released')
                     ORDER BY f.artifact_id LIMIT 1)
             FROM rebuild b WHERE b.release_id = ? ORDER BY b.id",
        )
        .bind(release_id)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(rebuild_view).collect()
    }

    async fn event_views(&self, release_id: i64) -> Result<Vec<EventView>, StoreError> {
        let rows = sqlx::query(
            "SELECT happened_on, kind, message FROM event WHERE release_id = ? ORDER BY id",
        )
        .bind(release_id)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(EventView {
                    on: time(row.try_get(0)?)?,
                    kind: row.try_get(1)?,
                    detail: row.try_get(2)?,
                })
            })
            .collect()
    }

    async fn matches(&self, digest: AnyDigest) -> Result<Vec<Match>, StoreError> {
        const COLUMNS: &str = "SELECT a.id, a.published, r.id, r.source_uri, r.tag
             FROM artifact a JOIN release r ON r.id = a.release_id";
        let (sql, text) = match digest {
            AnyDigest::Sha256(digest) => ("a.sha256 = ?", digest.to_string()),
            AnyDigest::Sha512(digest) => ("a.sha512 = ?", digest.to_string()),
        };
        let sql = format!("{COLUMNS} WHERE {sql} ORDER BY r.id DESC LIMIT 100");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(text)
            .fetch_all(&self.pool)
            .await?;
        let mut matches = Vec::new();
        for row in rows {
            matches.push(Match {
                release: row.try_get(2)?,
                source: row.try_get(3)?,
                tag: row.try_get(4)?,
                artifact: self
                    .artifact_view(row.try_get(2)?, row.try_get(0)?, row.try_get(1)?)
                    .await?,
            });
        }
        Ok(matches)
    }
}

fn view_error(error: StoreError) -> ViewError {
    ViewError(error.into())
}

fn resolved(row: &SqliteRow, column: usize) -> Result<Option<Release>, StoreError> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|json| from_json(&json, "release")).transpose()
}

fn kind(word: &str) -> Result<StatementKind, StoreError> {
    match word {
        "verdict" => Ok(StatementKind::Verdict),
        "provenance" => Ok(StatementKind::Provenance),
        "build-record" => Ok(StatementKind::BuildRecord),
        "withdrawn" => Ok(StatementKind::Withdrawn),
        other => Err(corrupt("kind of statement", other)),
    }
}

/// What a release must fulfil to be found, and the parameter `?3` of that. A name is looked for as it
/// is, not as a pattern; `lower` knows ASCII alone.
fn condition(find: Option<Find>) -> (&'static str, Option<String>) {
    match find {
        None => ("?3 IS NULL", None),
        Some(Find::Name(name)) => (
            "(instr(lower(r.source_uri), ?3) OR instr(lower(r.tag), ?3) OR EXISTS (
                SELECT 1 FROM artifact a WHERE a.release_id = r.id AND (
                    instr(lower(a.file_name), ?3) OR instr(lower(a.published ->> '$.purl'), ?3))))",
            Some(name),
        ),
        Some(Find::Digest(AnyDigest::Sha256(digest))) => (
            "r.id IN (SELECT release_id FROM artifact WHERE sha256 = ?3)",
            Some(digest.to_string()),
        ),
        Some(Find::Digest(AnyDigest::Sha512(digest))) => (
            "r.id IN (SELECT release_id FROM artifact WHERE sha512 = ?3)",
            Some(digest.to_string()),
        ),
    }
}

/// A row of: source URI, tag, resolved, first seen, moved from, state of the last rebuild, id.
fn summary(row: &SqliteRow) -> Result<ReleaseSummary, StoreError> {
    let resolved = resolved(row, 2)?;
    let moved: Option<String> = row.try_get(4)?;
    let state: Option<String> = row.try_get(5)?;
    let state = match moved {
        Some(_) => "moved".to_owned(),
        None => state.unwrap_or_else(|| "skipped".to_owned()),
    };
    Ok(ReleaseSummary {
        id: row.try_get(6)?,
        source: row.try_get(0)?,
        tag: row.try_get(1)?,
        commit: resolved.as_ref().map(|r| r.commit),
        version: resolved.map(|r| r.version),
        state,
        first_seen: time(row.try_get(3)?)?,
        artifacts: Vec::new(),
    })
}

fn unchecked(published: Published) -> ArtifactView {
    ArtifactView {
        name: published.file_name,
        purl: published.purl,
        download_location: published.download_location,
        sha256: published.sha256,
        sha512: published.sha512,
        size_bytes: published.size_bytes,
        verdict: None,
        reason: None,
        detail: None,
        assisted_by: Vec::new(),
        normalizations: Vec::new(),
        members: Vec::new(),
        members_unlisted: 0,
        difference_url: None,
        encoders: Vec::new(),
        missed: Vec::new(),
        missed_unlisted: 0,
        rebuilt: Vec::new(),
        plan: None,
        decided_on: None,
        commit: None,
        statements: Vec::new(),
    }
}

fn add_result(view: &mut ArtifactView, result: ArtifactResult) {
    let decided = |attempt: &&Attempt| Some(attempt.plan) == result.plan;
    if let Some(attempt) = result.attempts.iter().find(decided) {
        let misses = attempt.misses();
        (view.missed, view.missed_unlisted) = (misses.listed, misses.unlisted);
    }
    view.encoders = words::encoders(&result.encoders);
    view.verdict = Some(result.judgement.verdict);
    view.reason = result.judgement.reason;
    view.detail = result.judgement.detail;
    view.assisted_by = result.judgement.assisted_by;
    view.rebuilt = result
        .rebuilt
        .iter()
        .map(|file| file.digests.sha256)
        .collect();
    view.plan = result.plan;
    view.decided_on = Some(result.decided_on);
    view.commit = Some(result.release.commit);
    match result.comparison {
        Some(Comparison::Equivalent { normalizations, .. }) => {
            view.normalizations = normalizations.into_iter().map(Into::into).collect();
        }
        Some(Comparison::Different { members, unlisted }) => {
            view.members = members.into_iter().map(Into::into).collect();
            view.members_unlisted = unlisted;
        }
        Some(Comparison::NotComparable { .. } | Comparison::Failed { .. }) | None => {}
    }
}

fn rebuild_view(row: &SqliteRow) -> Result<RebuildView, StoreError> {
    let finished: Option<i64> = row.try_get(4)?;
    let result: Option<String> = row.try_get(5)?;
    let result: Option<ArtifactResult> =
        result.map(|json| from_json(&json, "finding")).transpose()?;
    let attempt = result.as_ref().and_then(|result| result.attempts.last());
    let first = attempt.and_then(|attempt| attempt.outcomes.first());
    let problem: Option<String> = row.try_get(3)?;
    let ended = attempt.and_then(|attempt| attempt.outcomes.last());
    Ok(RebuildView {
        id: row.try_get(0)?,
        state: row.try_get(1)?,
        attempt: row.try_get(2)?,
        recipe: attempt.map(|attempt| attempt.candidate.recipe.clone()),
        plan: attempt.map(|attempt| attempt.plan),
        started_on: first.map(|outcome| outcome.started_on),
        finished_on: finished.map(time).transpose()?,
        ended: problem
            .or_else(|| ended.map(|outcome| countersign_builder::judge::describe(&outcome.ended))),
    })
}
