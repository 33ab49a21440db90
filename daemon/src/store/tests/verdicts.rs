//! What was judged, signed and published, and what is remembered of it.

use super::*;

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
async fn what_gave_the_bytes_of_other_releases_is_remembered_by_its_way() {
    const CANDIDATE: &str = include_str!("../../../../builder/golden/candidate-cargo.json");
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
