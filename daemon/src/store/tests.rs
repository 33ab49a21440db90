//! The store's promises, each on a database on disk.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use countersign_attest::digest::{AnyDigest, Digests, GitOid, Sha256};
use countersign_attest::statement::{Facts, Kind};
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::{Reason, Verdict};
use countersign_builder::judge;
use countersign_builder::recipe::{Attempt, Proposal};
use countersign_builder::release::{Claims, Published, Release, Stage};
use tempfile::TempDir;

use super::holds::KeepBack;
use super::queue::{Draft, Judged, JudgedArtifact, Lease, PlanBytes, Recorded};
use super::releases::{PollChange, SeenTag, StoredRelease};
use super::statements::PendingState;
use super::*;
use crate::api::find::Find;
use crate::api::statements::Sought;
use crate::api::view::Views as _;
use crate::pipeline::ArtifactResult;
use crate::watch::signature::Checked;

mod lookups;
mod queue;
mod tags;
mod verdicts;
mod versions;

const SOURCE: &str = "git+https://forge.example/lib";
const FACTS: &str = include_str!("../../../attest/golden/facts/reproduced.json");

/// A store in a folder of its own.
pub(super) struct Bench {
    folder: TempDir,
    pub(super) store: Store,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let bench = Self { folder, store };
        bench.store.poll_state(SOURCE, on(0)).await.unwrap();
        bench
    }

    /// One with these wanted tags, each naming the object of the same number.
    pub(super) async fn with(tags: &[&str]) -> Self {
        let bench = Self::new().await;
        let tags: Vec<SeenTag> = (1..).zip(tags).map(|(n, tag)| seen(tag, n)).collect();
        bench.poll(&tags, 0).await;
        bench
    }

    async fn poll(&self, tags: &[SeenTag], seconds: i64) -> PollChange {
        self.poll_at_most(usize::MAX, tags, seconds).await
    }

    /// Tags in ascending order, as the tests name them; the store takes the highest first.
    async fn poll_at_most(&self, at_most: usize, tags: &[SeenTag], seconds: i64) -> PollChange {
        let tags: Vec<SeenTag> = tags.iter().rev().cloned().collect();
        self.store
            .poll_succeeded(SOURCE, &tags, at_most, on(seconds), on(seconds + 60))
            .await
            .unwrap()
    }

    async fn lease(&self, seconds: i64) -> Option<Lease> {
        self.store.lease(on(seconds), on(9999)).await.unwrap()
    }

    /// Leases the next rebuild and records what it came to.
    async fn judge(&self, verdict: Verdict, kinds: &[Kind]) -> (Lease, Recorded) {
        self.judge_keeping(verdict, kinds, None).await
    }

    /// The same, and keeps it back.
    pub(super) async fn judge_keeping(
        &self,
        verdict: Verdict,
        kinds: &[Kind],
        keep_back: Option<KeepBack>,
    ) -> (Lease, Recorded) {
        let lease = self.lease(100).await.unwrap();
        let about = self.store.release(lease.release_id).await.unwrap().unwrap();
        let mut judged = judged(about, verdict, kinds);
        judged.artifacts[0].keep_back = keep_back;
        let recorded = self.store.judged(lease.rebuild_id, &judged, on(100)).await;
        (lease, recorded.unwrap())
    }

    /// Takes every pending statement to its end.
    pub(super) async fn publish(&self) {
        for pending in self.store.pending_statements().await.unwrap() {
            let envelope = envelope(pending.id);
            self.store
                .statement_signed(pending.id, &envelope)
                .await
                .unwrap();
            self.store.statement_logged(pending.id).await.unwrap();
            self.store.statement_published(pending.id).await.unwrap();
        }
        self.store.finish_published(on(200)).await.unwrap();
    }

    async fn count(&self, table: &'static str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(&self.store.pool)
            .await
            .unwrap()
    }

    async fn state(&self, rebuild_id: i64) -> (String, Option<String>) {
        sqlx::query_as("SELECT state, problem FROM rebuild WHERE id = ?")
            .bind(rebuild_id)
            .fetch_one(&self.store.pool)
            .await
            .unwrap()
    }

    async fn damage(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.store.pool).await.unwrap();
    }
}

pub(super) fn on(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000 + seconds).unwrap()
}

fn oid(n: u32) -> GitOid {
    format!("{n:040x}").parse().unwrap()
}

fn seen(name: &str, n: u32) -> SeenTag {
    SeenTag {
        name: name.to_owned(),
        oid: oid(n),
    }
}

fn envelope(id: i64) -> Vec<u8> {
    format!("{{\"payload\":\"{id}\",\"signatures\":[{{\"keyid\":\"00ff\",\"sig\":\"\"}}]}}\n")
        .into_bytes()
}

fn published(content: &[u8]) -> Published {
    let digests = Digests::of(content);
    Published {
        file_name: "lib-1.2.3.tgz".to_owned(),
        purl: None,
        download_location: None,
        retrieved_on: on(0),
        sha256: digests.sha256,
        sha512: Some(digests.sha512),
        size_bytes: Some(digests.size_bytes),
        declared: None,
        published_on: None,
        stage: Stage::Released,
        yanked: false,
        claims: Claims::default(),
    }
}

/// What a rebuild of a release came to, with a draft of each of these kinds.
fn judged(about: StoredRelease, verdict: Verdict, kinds: &[Kind]) -> Judged {
    static SERIAL: AtomicI64 = AtomicI64::new(0);
    let resolved = Release {
        source_uri: about.source_uri.clone(),
        tag: about.tag.clone(),
        version: "1.2.3".to_owned(),
        tag_object: None,
        commit: about.advertised_oid,
        tree: oid(0),
        commit_time: on(0),
    };
    let mut judgement = judge::because(Reason::TagMoved, None);
    judgement.verdict = verdict;
    let result = ArtifactResult {
        release: resolved.clone(),
        tree_sha256: Sha256::of(b"tree"),
        moved_from: about.moved_from,
        signature: Checked::default(),
        findings: Vec::new(),
        published: published(about.tag.as_bytes()),
        judgement,
        decided_on: on(100),
        plan: None,
        plan_bytes: 0,
        rebuilt: Vec::new(),
        comparison: None,
        causes: Vec::new(),
        not_in_source: Vec::new(),
        evidence: Vec::new(),
        differences: None,
        attempts: Vec::new(),
        encoders: Vec::new(),
        variations: Vec::new(),
    };
    let facts: Facts = serde_json::from_str(FACTS).unwrap();
    let drafts = kinds.iter().map(|&kind| Draft {
        facts: Facts {
            kind,
            ..facts.clone()
        },
        bytes: format!("statement {}", SERIAL.fetch_add(1, Ordering::Relaxed)).into_bytes(),
    });
    Judged {
        about,
        resolved,
        artifacts: vec![JudgedArtifact {
            result,
            drafts: drafts.collect(),
            keep_back: None,
        }],
        plans: vec![PlanBytes {
            sha256: Sha256::of(b"plan"),
            bytes: b"plan".to_vec(),
        }],
    }
}

/// The table of statements as version 1 had it.
const STATEMENTS_OF_1: &str = "
    ALTER TABLE statement RENAME TO later;
    CREATE TABLE statement (
        id INTEGER PRIMARY KEY,
        rebuild_id INTEGER NOT NULL REFERENCES rebuild (id),
        artifact_id INTEGER NOT NULL REFERENCES artifact (id),
        kind TEXT NOT NULL CHECK (kind IN ('verdict', 'provenance', 'build-record')),
        state TEXT NOT NULL CHECK (state IN ('drafted', 'signed', 'logged', 'published')),
        facts TEXT NOT NULL, bytes BLOB NOT NULL, sha256 TEXT NOT NULL,
        envelope BLOB, envelope_sha256 TEXT, entry INTEGER UNIQUE, issued_on INTEGER NOT NULL,
        UNIQUE (artifact_id, rebuild_id, kind)
    ) STRICT;
    INSERT INTO statement SELECT * FROM later;
    DROP TABLE later;
    CREATE INDEX statement_by_envelope ON statement (envelope_sha256);
    CREATE INDEX statement_pending ON statement (rebuild_id) WHERE state <> 'published';
    DROP TABLE hold;
    PRAGMA user_version = 1;";
/// Version 2 knew no verdicts that are kept back.
const STATEMENTS_OF_2: &str = "DROP TABLE hold; PRAGMA user_version = 2;";
