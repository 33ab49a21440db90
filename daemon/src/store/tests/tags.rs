//! Polls, and tags that move.

use super::*;

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
