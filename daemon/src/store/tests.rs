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

#[tokio::test]
async fn a_folder_has_one_daemon_and_any_number_of_readers() {
    let bench = Bench::new().await;
    let error = Store::open(bench.folder.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    let beside = Store::open_beside(bench.folder.path()).await.unwrap();
    let beside = beside.unwrap();
    bench.poll(&[seen("v1", 1)], 0).await;
    assert_eq!(beside.release(1).await.unwrap().unwrap().tag, "v1");
    assert!(!beside.retry(1, on(5)).await.unwrap());
    assert_eq!(bench.store.next_due().await.unwrap(), Some(on(5)));

    let Bench { folder, store } = bench;
    let clone = store.clone();
    drop(store);
    assert!(Store::open(folder.path()).await.is_err(), "a clone has it");
    drop(clone);
    let again = Store::open(folder.path()).await.unwrap();
    assert_eq!(again.release(1).await.unwrap().unwrap().tag, "v1");

    let empty = tempfile::tempdir().unwrap();
    assert!(Store::open_beside(empty.path()).await.unwrap().is_none());
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
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

#[tokio::test]
async fn a_database_of_an_older_version_is_taken_over_with_its_statements() {
    taken_over(1, STATEMENTS_OF_1).await;
    taken_over(2, STATEMENTS_OF_2).await;
}

async fn taken_over(version: i64, as_it_was: &'static str) {
    let bench = Bench::with(&["v1"]).await;
    bench.judge(Verdict::Reproduced, &[Kind::Verdict]).await;
    let before = bench.store.pending_statements().await.unwrap();
    assert_eq!(before.len(), 1);
    bench.damage(as_it_was).await;
    let Bench { folder, store } = bench;
    drop(store);
    let beside = Store::open_beside(folder.path()).await.unwrap_err();
    assert!(matches!(beside, StoreError::Schema { found, .. } if found == version));
    let again = Store::open(folder.path()).await.unwrap();
    assert_eq!(again.pending_statements().await.unwrap(), before);
    assert_eq!(again.schema_version().await.unwrap(), SCHEMA_VERSION);
    drop(again);
    let again = Store::open(folder.path()).await.unwrap();
    assert_eq!(again.pending_statements().await.unwrap(), before);
}

#[tokio::test]
async fn what_was_published_can_be_withdrawn_once() {
    let bench = Bench::with(&["v1"]).await;
    bench.judge(Verdict::Reproduced, &[Kind::Verdict]).await;
    let envelope = Sha256::of(b"envelope");
    assert!(bench.store.withdrawable(envelope).await.unwrap().is_none());
    let pending = bench.store.pending_statements().await.unwrap();
    let id = pending[0].id;
    bench.store.statement_signed(id, b"envelope").await.unwrap();
    bench.store.statement_logged(id).await.unwrap();
    assert!(bench.store.withdrawable(envelope).await.unwrap().is_none());
    bench.store.statement_published(id).await.unwrap();
    let found = bench.store.withdrawable(envelope).await.unwrap().unwrap();
    assert_eq!(found.facts, pending[0].facts);
    assert_eq!(found.bytes, pending[0].bytes);
    let draft = Draft {
        facts: Facts {
            kind: Kind::Withdrawn,
            ..found.facts.clone()
        },
        bytes: b"withdrawal".to_vec(),
    };
    assert!(
        bench
            .store
            .add_withdrawal(&found, &draft, on(9))
            .await
            .unwrap()
    );
    assert!(
        !bench
            .store
            .add_withdrawal(&found, &draft, on(10))
            .await
            .unwrap()
    );
    let pending = bench.store.pending_statements().await.unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].bytes, draft.bytes);
}

#[tokio::test]
async fn a_database_of_another_version_is_left_alone() {
    let bench = Bench::with(&["v1"]).await;
    bench.damage("PRAGMA user_version = 99").await;
    let Bench { folder, store } = bench;
    drop(store);
    for error in [
        Store::open(folder.path()).await.unwrap_err(),
        Store::open_beside(folder.path()).await.unwrap_err(),
    ] {
        assert!(
            matches!(error, StoreError::Schema { found: 99, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("schema version 99"), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("countersign.db"), "no database").unwrap();
    let error = Store::open(folder.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Sql(_)), "{error}");
}

#[tokio::test]
async fn what_no_version_wrote_is_an_error_and_never_a_panic() {
    let corrupt = |error: &dyn std::error::Error| {
        let mut next = Some(error);
        std::iter::from_fn(|| {
            let error = next?;
            next = error.source();
            Some(error.to_string())
        })
        .any(|text| text.contains("that cannot be read"))
    };
    for damage in [
        "UPDATE release SET resolved = '{'",
        "UPDATE artifact SET published = '{}'",
        "UPDATE finding SET result = '{\"judgement\":{\"verdict\":\"good\"}}'",
        "UPDATE release SET first_seen_on = 9223372036854775807",
        "UPDATE statement SET envelope_sha256 = 'x'",
    ] {
        let bench = Bench::with(&["v1"]).await;
        bench.judge(Verdict::Reproduced, &[Kind::Verdict]).await;
        bench.publish().await;
        assert!(bench.store.release_view(1).await.unwrap().is_some());
        bench.damage(damage).await;
        let error = bench.store.release_view(1).await.unwrap_err();
        assert!(corrupt(&error), "{damage}: {error:?}");
        if damage.contains("judgement") || damage.contains("resolved") {
            let error = bench.store.releases(None, None, 10).await.unwrap_err();
            assert!(corrupt(&error), "{damage}: {error:?}");
        }
    }
    for damage in [
        "UPDATE statement SET facts = 'null'",
        "UPDATE statement SET state = 'signed'",
    ] {
        let bench = Bench::with(&["v1"]).await;
        bench.judge(Verdict::Reproduced, &[Kind::Verdict]).await;
        bench.damage(damage).await;
        let error = bench.store.pending_statements().await.unwrap_err();
        assert!(corrupt(&error), "{damage}: {error:?}");
    }
    let bench = Bench::with(&["v1"]).await;
    bench
        .damage("UPDATE release SET advertised_oid = '1'")
        .await;
    let error = bench.store.release(1).await.unwrap_err();
    assert!(corrupt(&error), "{error:?}");
}

#[tokio::test]
async fn a_lease_is_taken_once_and_in_order() {
    let bench = Bench::with(&["v1", "v2", "v3"]).await;
    bench.store.retry(1, on(50)).await.unwrap(); // later than the others
    assert_eq!(bench.lease(-1).await, None, "nothing is due yet");
    let first = bench.lease(10).await.unwrap();
    assert_eq!((first.release_id, first.attempt), (2, 1));
    assert_eq!(bench.lease(10).await.unwrap().release_id, 3);
    assert_eq!(bench.lease(49).await, None);
    assert_eq!(bench.store.next_due().await.unwrap(), Some(on(50)));
    assert_eq!(bench.lease(50).await.unwrap().release_id, 1);
    assert_eq!(bench.lease(50).await, None);
    assert_eq!(bench.store.next_due().await.unwrap(), None);
}

#[tokio::test]
async fn leases_taken_at_once_are_all_different() {
    let names: Vec<String> = (0..40).map(|n| format!("v{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bench = Bench::with(&names).await;
    let beside = Store::open_beside(bench.folder.path()).await.unwrap();
    let stores = [bench.store.clone(), beside.unwrap()];
    let mut tasks = tokio::task::JoinSet::new();
    for store in stores.iter().cycle().take(8) {
        let store = store.clone();
        tasks.spawn(async move {
            let mut taken = Vec::new();
            while let Some(lease) = store.lease(on(1), on(2)).await.unwrap() {
                taken.push(lease.rebuild_id);
            }
            taken
        });
    }
    let mut taken: Vec<i64> = tasks.join_all().await.concat();
    taken.sort_unstable();
    assert_eq!(taken, (1..=40).collect::<Vec<i64>>());
}

#[tokio::test]
async fn polls_and_operators_at_once_wait_for_each_other() {
    let bench = Bench::with(&["v1"]).await;
    let beside = Store::open_beside(bench.folder.path()).await.unwrap();
    let stores = [bench.store.clone(), beside.unwrap()];
    let mut tasks = tokio::task::JoinSet::new();
    for (n, store) in stores.iter().cycle().take(12).cloned().enumerate() {
        tasks.spawn(async move {
            let source = format!("{SOURCE}-{n}");
            store.poll_state(&source, on(0)).await.unwrap();
            let tags: Vec<SeenTag> = (0..50).map(|t| seen(&format!("v{t}"), t)).collect();
            for round in 0..4 {
                let change = store
                    .poll_succeeded(&source, &tags, usize::MAX, on(round), on(round))
                    .await;
                change.unwrap();
                store.retry(1, on(round)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(bench.count("release").await, 1 + 12 * 50);
    assert_eq!(bench.count("rebuild").await, 1 + 12 * 50);
}

#[tokio::test]
async fn what_a_dead_daemon_ran_is_queued_again_behind_the_rest() {
    let bench = Bench::with(&["v1", "v2"]).await;
    assert_eq!(bench.lease(10).await.unwrap().release_id, 1);
    assert_eq!(bench.store.requeue_interrupted(on(20)).await.unwrap(), 1);
    assert_eq!(bench.store.requeue_interrupted(on(20)).await.unwrap(), 0);
    assert_eq!(bench.lease(20).await.unwrap().release_id, 2);
    let again = bench.lease(20).await.unwrap();
    assert_eq!((again.release_id, again.attempt), (1, 1), "not its fault");
    assert_eq!(bench.store.troubled().await.unwrap(), (0, 0));
}

#[tokio::test]
async fn a_fault_waits_and_what_is_given_up_waits_for_an_operator() {
    let bench = Bench::with(&["v1"]).await;
    let lease = bench.lease(0).await.unwrap();
    bench
        .store
        .fault(lease.rebuild_id, "a full disk", on(30))
        .await
        .unwrap();
    assert_eq!(bench.store.troubled().await.unwrap(), (1, 0));
    assert_eq!(bench.lease(29).await, None);
    let waiting = bench.store.waiting_views().await.unwrap();
    assert_eq!(waiting[0].problem.as_deref(), Some("a full disk"));
    let lease = bench.lease(30).await.unwrap();
    assert_eq!(lease.attempt, 2);
    bench
        .store
        .give_up(lease.rebuild_id, "refused", on(31))
        .await
        .unwrap();
    assert_eq!(bench.store.troubled().await.unwrap(), (0, 1));
    assert_eq!(bench.lease(9000).await, None);
    let view = bench.store.release_view(1).await.unwrap().unwrap();
    assert_eq!((&*view.state, view.events.len()), ("cancelled", 1));

    // what is not running is neither put off nor given up
    bench
        .store
        .fault(lease.rebuild_id, "late", on(1))
        .await
        .unwrap();
    bench
        .store
        .give_up(lease.rebuild_id, "late", on(1))
        .await
        .unwrap();
    assert_eq!(bench.count("event").await, 1);
    let (state, problem) = bench.state(lease.rebuild_id).await;
    assert_eq!(
        (&*state, problem.as_deref()),
        ("cancelled", Some("refused"))
    );

    assert!(bench.store.retry(1, on(40)).await.unwrap());
    assert_eq!(bench.store.troubled().await.unwrap(), (0, 0));
    assert_eq!(bench.lease(40).await.unwrap().attempt, 1);
}

#[tokio::test]
async fn a_retry_of_what_waits_makes_it_due_and_forgets_its_tries() {
    let bench = Bench::with(&["v1"]).await;
    let lease = bench.lease(0).await.unwrap();
    let later = on(3600);
    bench
        .store
        .fault(lease.rebuild_id, "5xx", later)
        .await
        .unwrap();
    assert!(!bench.store.retry(1, on(1)).await.unwrap());
    assert_eq!(bench.count("rebuild").await, 1);
    assert_eq!(bench.lease(1).await.unwrap().attempt, 1);
    // beside one that runs, another one waits
    assert!(bench.store.retry(1, on(2)).await.unwrap());
    assert!(!bench.store.retry(1, on(2)).await.unwrap());
    assert_eq!(bench.count("rebuild").await, 2);
}

#[tokio::test]
async fn what_was_judged_is_recorded_whole_or_not_at_all() {
    let bench = Bench::with(&["v1"]).await;
    let lease = bench.lease(0).await.unwrap();
    let about = bench.store.release(1).await.unwrap().unwrap();
    // the second draft breaks the rule that an artifact has one statement of a kind
    let twice = judged(
        about.clone(),
        Verdict::Reproduced,
        &[Kind::Verdict, Kind::Verdict],
    );
    let error = bench.store.judged(lease.rebuild_id, &twice, on(1)).await;
    assert!(matches!(error, Err(StoreError::Sql(_))), "{error:?}");
    for table in ["plan", "artifact", "finding", "statement"] {
        assert_eq!(bench.count(table).await, 0, "{table}");
    }
    assert_eq!(bench.state(lease.rebuild_id).await.0, "running");
    assert_eq!(
        bench.store.release(1).await.unwrap().unwrap().resolved,
        None
    );

    let whole = judged(
        about,
        Verdict::Reproduced,
        &[Kind::Verdict, Kind::Provenance],
    );
    let recorded = bench.store.judged(lease.rebuild_id, &whole, on(1)).await;
    assert_eq!(recorded.unwrap(), Recorded::Kept);
    for (table, rows) in [
        ("plan", 1),
        ("artifact", 1),
        ("finding", 1),
        ("statement", 2),
    ] {
        assert_eq!(bench.count(table).await, rows, "{table}");
    }
    assert_eq!(bench.state(lease.rebuild_id).await.0, "judged");
    // it is never run or recorded again
    assert_eq!(bench.store.requeue_interrupted(on(2)).await.unwrap(), 0);
    let recorded = bench.store.judged(lease.rebuild_id, &whole, on(2)).await;
    assert_eq!(recorded.unwrap(), Recorded::Superseded);
    assert_eq!(bench.count("statement").await, 2);
    assert_eq!(bench.state(lease.rebuild_id).await.0, "judged");
    assert_eq!(
        bench.store.troubled().await.unwrap(),
        (1, 0),
        "not served yet"
    );
}

#[tokio::test]
async fn steps_of_statements_repeat_without_harm_and_entries_are_dense() {
    let bench = Bench::with(&["v1", "v2"]).await;
    for _ in 0..2 {
        bench
            .judge(Verdict::Reproduced, &[Kind::Verdict, Kind::Provenance])
            .await;
    }
    let pending = bench.store.pending_statements().await.unwrap();
    assert_eq!(pending.len(), 4);
    let store = &bench.store;
    // too early: nothing happens
    for statement in &pending {
        store.statement_logged(statement.id).await.unwrap();
        store.statement_published(statement.id).await.unwrap();
    }
    assert_eq!(store.pending_statements().await.unwrap(), pending);
    assert_eq!(store.finish_published(on(1)).await.unwrap(), 0);
    // the last one first, each step twice, and a signature that comes late changes nothing
    for statement in pending.iter().rev() {
        let (id, envelope) = (statement.id, envelope(statement.id));
        for _ in 0..2 {
            store.statement_signed(id, &envelope).await.unwrap();
        }
        store.statement_signed(id, b"{}").await.unwrap();
        let found = store.pending_statements().await.unwrap();
        let found = found.iter().find(|s| s.id == id).unwrap();
        assert_eq!(found.state, PendingState::Signed { envelope });
        for _ in 0..2 {
            store.statement_logged(id).await.unwrap();
        }
        for _ in 0..2 {
            store.statement_published(id).await.unwrap();
            store.statement_logged(id).await.unwrap();
        }
    }
    let entries: Vec<(i64, i64)> = sqlx::query_as("SELECT id, entry FROM statement ORDER BY id")
        .fetch_all(&store.pool)
        .await
        .unwrap();
    assert_eq!(entries, [(1, 3), (2, 2), (3, 1), (4, 0)]);
    assert_eq!(store.pending_statements().await.unwrap(), []);
    assert_eq!(store.finish_published(on(1)).await.unwrap(), 2);
    assert_eq!(store.finish_published(on(1)).await.unwrap(), 0);
    assert_eq!(store.troubled().await.unwrap(), (0, 0));
}

#[tokio::test]
async fn a_poll_that_saw_nothing_new_changes_nothing() {
    let bench = Bench::new().await;
    let tags = [seen("v0", 9), seen("v1", 1), seen("v2", 2)];
    let first = bench.store.poll_state(SOURCE, on(5)).await.unwrap();
    assert_eq!(first.next_poll_on, on(0));
    let change = PollChange {
        new: 3,
        skipped: 1,
        moved: 0,
    };
    assert_eq!(bench.poll_at_most(2, &tags, 0).await, change);
    for _ in 0..2 {
        assert_eq!(bench.poll(&tags, 10).await, PollChange::default());
    }
    // a tag that is gone is not forgotten
    assert_eq!(bench.poll(&tags[..1], 20).await, PollChange::default());
    assert_eq!(
        (bench.count("release").await, bench.count("rebuild").await),
        (3, 3)
    );
    assert_eq!(bench.count("event").await, 0);
    let state = bench.store.poll_state(SOURCE, on(5)).await.unwrap();
    assert_eq!(state.next_poll_on, on(80));
    // the highest versions are built, the last release that is listed first is the highest
    let queued: Vec<i64> = sqlx::query_scalar(
        "SELECT release_id FROM rebuild WHERE state = 'queued' ORDER BY release_id DESC",
    )
    .fetch_all(&bench.store.pool)
    .await
    .unwrap();
    assert_eq!(queued, [3, 2]);

    bench
        .store
        .poll_failed(SOURCE, on(90), on(99), "5xx")
        .await
        .unwrap();
    bench
        .store
        .poll_failed(SOURCE, on(90), on(99), "5xx")
        .await
        .unwrap();
    let state = bench.store.poll_state(SOURCE, on(5)).await.unwrap();
    assert_eq!((state.failures, state.next_poll_on), (2, on(99)));
    bench.poll(&tags, 100).await;
    let view = bench.store.repository_views().await.unwrap();
    assert_eq!((view[0].failures, view[0].problem.as_deref()), (0, None));
}

#[tokio::test]
async fn a_tag_that_moves_is_recorded_once_until_it_is_acknowledged() {
    let bench = Bench::with(&["v1"]).await;
    bench.judge(Verdict::Reproduced, &[Kind::Verdict]).await;
    bench.publish().await;
    assert!(!bench.store.acknowledge_move(1, on(0)).await.unwrap());
    let moved = PollChange {
        moved: 1,
        ..PollChange::default()
    };
    assert_eq!(bench.poll(&[seen("v1", 2)], 1).await, moved);
    assert_eq!(bench.poll(&[seen("v1", 2)], 2).await, PollChange::default());
    assert_eq!(bench.count("event").await, 1);
    assert_eq!(bench.count("rebuild").await, 2);
    // moved twice, and back: the object that was last trusted stays known
    assert_eq!(bench.poll(&[seen("v1", 3)], 3).await, moved);
    assert_eq!(bench.poll(&[seen("v1", 1)], 4).await, moved);
    let release = bench.store.release(1).await.unwrap().unwrap();
    assert_eq!(release.moved_from, Some(oid(1)));
    assert_eq!(release.advertised_oid, oid(1));
    assert_eq!(bench.count("event").await, 3);
    assert_eq!(bench.count("rebuild").await, 2, "one waits, that is enough");
    let view = bench.store.release_view(1).await.unwrap().unwrap();
    assert_eq!(view.state, "moved");
    assert_eq!(bench.store.waiting_views().await.unwrap()[0].state, "moved");

    bench.judge(Verdict::Indeterminate, &[Kind::Verdict]).await;
    bench.publish().await;
    assert!(bench.store.acknowledge_move(1, on(5)).await.unwrap());
    assert!(!bench.store.acknowledge_move(1, on(5)).await.unwrap());
    let release = bench.store.release(1).await.unwrap().unwrap();
    assert_eq!(release.moved_from, None);
    assert_eq!(bench.lease(5).await.unwrap().release_id, 1);
}

#[tokio::test]
async fn a_moved_tag_that_nobody_wanted_is_not_built() {
    let bench = Bench::new().await;
    bench.poll_at_most(0, &[seen("v1", 1)], 0).await;
    bench.poll_at_most(0, &[seen("v1", 2)], 1).await;
    assert_eq!(bench.lease(10).await, None);
    assert_eq!(bench.count("event").await, 1);
    assert!(bench.store.retry(1, on(11)).await.unwrap());
    assert_eq!(bench.lease(11).await.unwrap().release_id, 1);
}

#[tokio::test]
async fn a_rebuild_whose_tag_moved_meanwhile_says_nothing() {
    let bench = Bench::with(&["v1"]).await;
    let lease = bench.lease(0).await.unwrap();
    let about = bench.store.release(1).await.unwrap().unwrap();
    let outdated = judged(about, Verdict::Reproduced, &[Kind::Verdict]);
    bench.poll(&[seen("v1", 2)], 1).await;
    let recorded = bench.store.judged(lease.rebuild_id, &outdated, on(2)).await;
    assert_eq!(recorded.unwrap(), Recorded::Superseded);
    for table in ["plan", "artifact", "finding", "statement"] {
        assert_eq!(bench.count(table).await, 0, "{table}");
    }
    assert_eq!(bench.state(lease.rebuild_id).await.0, "cancelled");
    assert_eq!(bench.store.troubled().await.unwrap(), (0, 0));

    // the next one knows of the move; an acknowledgement makes that one outdated, too
    let lease = bench.lease(3).await.unwrap();
    let about = bench.store.release(1).await.unwrap().unwrap();
    assert_eq!(about.moved_from, Some(oid(1)));
    let outdated = judged(about, Verdict::Indeterminate, &[Kind::Verdict]);
    bench.store.acknowledge_move(1, on(4)).await.unwrap();
    let recorded = bench.store.judged(lease.rebuild_id, &outdated, on(5)).await;
    assert_eq!(recorded.unwrap(), Recorded::Superseded);
    assert_eq!(bench.count("statement").await, 0);

    let (_, recorded) = bench.judge(Verdict::Reproduced, &[Kind::Verdict]).await;
    assert_eq!(recorded, Recorded::Kept);
}

#[tokio::test]
async fn a_verdict_is_shown_once_its_statement_is_published() {
    let bench = Bench::with(&["v1", "v2"]).await;
    bench
        .judge(Verdict::Reproduced, &[Kind::Verdict, Kind::Provenance])
        .await;
    let shown = async || {
        let release = bench.store.release_view(1).await.unwrap().unwrap();
        let list = bench.store.releases(None, None, 10).await.unwrap();
        let brief = list.last().unwrap();
        assert_eq!((brief.id, &brief.state), (1, &release.state));
        assert_eq!(
            (brief.commit, &brief.version),
            (release.commit, &release.version)
        );
        let artifact = release.artifacts[0].clone();
        assert_eq!(brief.artifacts[0].verdict, artifact.verdict);
        assert_eq!(brief.artifacts[0].sha256, artifact.sha256);
        artifact
    };
    for _ in 0..2 {
        let artifact = shown().await;
        assert_eq!((artifact.verdict, artifact.commit), (None, None));
        assert!(artifact.statements.is_empty());
        let id = bench.store.pending_statements().await.unwrap()[0].id;
        bench
            .store
            .statement_signed(id, &envelope(id))
            .await
            .unwrap();
        assert!(
            bench
                .store
                .statement(Sha256::of(&envelope(id)))
                .await
                .unwrap()
                .is_none()
        );
    }
    bench.publish().await;
    let artifact = shown().await;
    assert_eq!(artifact.verdict, Some(Verdict::Reproduced));
    assert_eq!(artifact.commit, Some(oid(1)));
    assert_eq!(artifact.statements.len(), 2);
    assert!(artifact.statements.iter().all(|s| s.key_id == "00ff"));
    let digest = artifact.statements[0].digest;
    let bytes = bench.store.statement(digest).await.unwrap().unwrap();
    assert_eq!(Sha256::of(&bytes), digest);
    let plan = bench.store.plan(Sha256::of(b"plan")).await.unwrap();
    assert_eq!(plan.as_deref(), Some(&b"plan"[..]));

    for digest in [
        AnyDigest::Sha256(artifact.sha256),
        AnyDigest::Sha512(artifact.sha512.unwrap()),
    ] {
        let matches = bench.store.by_digest(digest).await.unwrap();
        assert_eq!((matches.len(), matches[0].release), (1, 1));
        assert_eq!(matches[0].artifact.verdict, Some(Verdict::Reproduced));
    }
    let unknown = AnyDigest::Sha256(Sha256::of(b"unknown"));
    assert!(bench.store.by_digest(unknown).await.unwrap().is_empty());

    // a later verdict takes its place only when it is published, too
    bench.store.retry(1, on(0)).await.unwrap();
    let lease = loop {
        let (lease, _) = bench.judge(Verdict::Differs, &[Kind::Verdict]).await;
        if lease.release_id == 1 {
            break lease;
        }
    };
    assert_eq!(shown().await.verdict, Some(Verdict::Reproduced));
    bench.publish().await;
    assert_eq!(shown().await.verdict, Some(Verdict::Differs));
    assert_eq!(bench.state(lease.rebuild_id).await.0, "done");
}

#[tokio::test]
async fn a_digest_learns_of_its_bytes() {
    let bench = Bench::with(&["v1"]).await;
    let lease = bench.lease(0).await.unwrap();
    let about = bench.store.release(1).await.unwrap().unwrap();
    let mut first = judged(about, Verdict::Indeterminate, &[Kind::Verdict]);
    let whole = first.artifacts[0].result.published.clone();
    first.artifacts[0].result.published.sha512 = None;
    first.artifacts[0].result.published.size_bytes = None;
    bench
        .store
        .judged(lease.rebuild_id, &first, on(1))
        .await
        .unwrap();
    let view = bench.store.release_view(1).await.unwrap().unwrap();
    assert_eq!(view.artifacts[0].sha512, None);
    bench.store.retry(1, on(0)).await.unwrap();
    bench.judge(Verdict::Reproduced, &[Kind::Verdict]).await;
    let view = bench.store.release_view(1).await.unwrap().unwrap();
    assert_eq!(view.artifacts.len(), 1);
    assert_eq!(view.artifacts[0].sha512, whole.sha512);
}

#[tokio::test]
#[allow(
    clippy::print_stdout,
    reason = "times are for people, not for assertions"
)]
async fn ten_thousand_tags_are_polled_listed_and_looked_up() {
    let bench = Bench::new().await;
    let tags: Vec<SeenTag> = (0..10_000).map(|n| seen(&format!("v{n}"), n)).collect();
    let started = Instant::now();
    let change = bench.poll(&tags, 0).await;
    println!("10,000 new tags: {:?}", started.elapsed());
    assert_eq!(
        change,
        PollChange {
            new: 10_000,
            ..PollChange::default()
        }
    );
    let started = Instant::now();
    assert_eq!(bench.poll(&tags, 1).await, PollChange::default());
    println!("10,000 known tags: {:?}", started.elapsed());
    let started = Instant::now();
    let mut after = None;
    let mut listed = Vec::new();
    loop {
        let page = bench.store.releases(None, after, 500).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        listed.extend(page.into_iter().map(|release| release.id));
    }
    println!("20 pages of 500: {:?}", started.elapsed());
    assert_eq!(listed, (1..=10_000).rev().collect::<Vec<i64>>());
    let started = Instant::now();
    for _ in 0..100 {
        bench.store.lease(on(2), on(3)).await.unwrap().unwrap();
    }
    println!("100 leases: {:?}", started.elapsed());
}

/// A look-up must not read a whole table, however large it is.
#[tokio::test]
async fn what_is_asked_often_is_indexed() {
    let bench = Bench::new().await;
    for sql in [
        "SELECT 1 FROM artifact WHERE sha256 = 'x'",
        "SELECT 1 FROM artifact WHERE sha512 = 'x'",
        "SELECT 1 FROM json_each('[1,2]') wanted CROSS JOIN artifact a ON a.release_id = wanted.value",
        "SELECT 1 FROM statement WHERE envelope_sha256 = 'x' AND state = 'published'",
        "SELECT 1 FROM statement WHERE artifact_id = 1 AND kind = 'verdict' ORDER BY rebuild_id DESC",
        "SELECT 1 FROM statement INDEXED BY statement_pending WHERE state <> 'published' ORDER BY id",
        "SELECT 1 FROM statement s WHERE s.rebuild_id = 1 AND s.state <> 'published'",
        "SELECT 1 FROM rebuild WHERE state = 'queued' AND run_on <= 1 ORDER BY run_on, id LIMIT 1",
        "SELECT 1 FROM rebuild WHERE release_id = 1 ORDER BY id DESC LIMIT 1",
        "SELECT 1 FROM event WHERE release_id = 1",
        "SELECT 1 FROM artifact WHERE file_name IN ('x', 'y')",
    ]
    .into_iter()
    .chain(about::ARTIFACTS.split("UNION").filter(|sql| sql.contains("wanted")))
    {
        let plan = sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
        let steps: Vec<(i64, i64, i64, String)> = plan.fetch_all(&bench.store.pool).await.unwrap();
        for (.., step) in &steps {
            let is_list = step.starts_with("SCAN wanted"); // a parameter of ours
            let partial = step.contains("statement_pending");
            assert!(
                step.contains("SEARCH") || partial || is_list || step.contains("ORDER BY"),
                "{sql}: {step}"
            );
        }
    }
}

#[tokio::test]
async fn statements_are_found_by_many_digests_and_packages_at_once() {
    let bench = Bench::with(&["v1", "v2", "v3"]).await;
    for _ in 0..3 {
        bench
            .judge(Verdict::Reproduced, &[Kind::Verdict, Kind::Provenance])
            .await;
    }
    let purls = "UPDATE artifact SET published = json_set(published, '$.purl', CASE id
        WHEN 1 THEN 'pkg:pypi/a@1?file_name=x' WHEN 2 THEN 'pkg:pypi/a@1.5' ELSE 'pkg:pypi/a@1' END)";
    bench.damage(purls).await;
    let ask = async |about: &[&str], limit: u32| {
        let about = about.iter().map(|text| match text.parse() {
            Ok(digest) => Sought::Digest(digest),
            Err(_) => Sought::Package(text.parse().unwrap()),
        });
        let found = bench
            .store
            .statements(about.collect(), limit)
            .await
            .unwrap();
        found.len()
    };
    assert_eq!(ask(&["pkg:pypi/a@1"], 9).await, 0, "not published");
    bench.publish().await;
    // of the same package in that version, however it says which file; verdicts alone
    assert_eq!(ask(&["pkg:pypi/a@1"], 9).await, 2);
    assert_eq!(ask(&["pkg:pypi/a@1?file_name=y"], 9).await, 2);
    assert_eq!(ask(&["pkg:pypi/a@1.5", "pkg:pypi/a@1"], 9).await, 3);
    assert_eq!(ask(&["pkg:pypi/a@1.5", "pkg:pypi/a@1"], 2).await, 2);
    assert_eq!(ask(&["pkg:pypi/b@1", "pkg:npm/a@1"], 9).await, 0);
    let view = bench.store.release_view(1).await.unwrap().unwrap();
    let artifact = &view.artifacts[0];
    let sha256 = format!("sha256:{}", artifact.sha256);
    let sha512 = format!("sha512:{}", artifact.sha512.unwrap());
    assert_eq!(ask(&[&sha256], 9).await, 1);
    assert_eq!(ask(&[&sha256, &sha512, &sha256], 9).await, 1, "each once");
    assert_eq!(ask(&[&format!("sha256:{}", Sha256::of(b"x"))], 9).await, 0);
}

#[tokio::test]
async fn releases_are_found_by_pieces_of_names_and_by_digest() {
    let bench = Bench::with(&["v1", "V2%", "v_3"]).await;
    let ids = async |query: &str| {
        let find = Find::parse(query).unwrap();
        let found = bench.store.releases(find, None, 10).await.unwrap();
        found.iter().map(|release| release.id).collect::<Vec<i64>>()
    };
    let all = ids("").await;
    assert_eq!(all.len(), 3);
    let tag = async |query: &str| {
        let found = ids(query).await;
        let list = bench.store.releases(None, None, 10).await.unwrap();
        let tags = list.into_iter().filter(|r| found.contains(&r.id));
        tags.map(|r| r.tag).collect::<Vec<_>>()
    };
    assert_eq!(tag("V1").await, ["v1"]);
    assert_eq!(tag("v2").await, ["V2%"]);
    // no letter of a search is a pattern
    assert_eq!(tag("%").await, ["V2%"]);
    assert_eq!(tag("_").await, ["v_3"]);
    assert!(tag("v%1").await.is_empty());
    assert!(tag("' OR 1=1 --").await.is_empty());
    let list = bench.store.releases(None, None, 10).await.unwrap();
    assert_eq!(ids(&list[0].source.to_uppercase()).await, all);
    bench.judge(Verdict::Reproduced, &[Kind::Verdict]).await;
    let purl = "UPDATE artifact SET published = json_set(published, '$.purl', 'pkg:npm/left@1')";
    bench.damage(purl).await;
    let view = bench.store.release_view(1).await.unwrap().unwrap();
    let artifact = &view.artifacts[0];
    assert_eq!(ids(&artifact.sha256.to_string()).await, [1]);
    assert_eq!(ids(&artifact.name.to_uppercase()).await, [1]);
    assert_eq!(ids("PKG:npm/LEFT@").await, [1]);
    assert!(ids(&Sha256::of(b"another").to_string()).await.is_empty());
    let sha512 = artifact.sha512.unwrap();
    assert_eq!(ids(&format!("sha512:{sha512}")).await, [1]);
    let after = bench.store.releases(Find::parse("v").unwrap(), Some(2), 10);
    assert_eq!(after.await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_gave_the_bytes_of_other_releases_is_remembered_by_its_way() {
    const CANDIDATE: &str = include_str!("../../../builder/golden/candidate-cargo.json");
    let bench = Bench::with(&["v1", "v2", "v3"]).await;
    let mut last = 0;
    for (verdict, way) in [
        (Verdict::Reproduced, "one"),
        (Verdict::BuildFailed, "two"),
        (Verdict::Assisted, "three"),
    ] {
        let lease = bench.lease(100).await.unwrap();
        last = lease.release_id;
        let about = bench.store.release(last).await.unwrap().unwrap();
        let mut judged = judged(about, verdict, &[Kind::Verdict]);
        let proposal = Proposal::new(serde_json::from_str(CANDIDATE).unwrap(), way, "");
        let plan = Sha256::of(b"plan");
        let result = &mut judged.artifacts[0].result;
        result.plan = Some(plan);
        result.attempts = vec![Attempt::new(*proposal, plan, verdict)];
        let recorded = bench.store.judged(lease.rebuild_id, &judged, on(100)).await;
        assert_eq!(recorded.unwrap(), Recorded::Kept);
    }
    let ways = |source, but| bench.store.ways_that_worked(source, but);
    assert_eq!(ways(SOURCE, 0).await.unwrap(), ["three", "one"]);
    assert_eq!(ways(SOURCE, last).await.unwrap(), ["one"]);
    assert!(
        ways("git+https://forge.example/b", 0)
            .await
            .unwrap()
            .is_empty()
    );
}
