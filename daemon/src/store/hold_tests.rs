//! What is kept back is neither signed nor served, and ends when it should.

use countersign_attest::statement::Kind;
use countersign_attest::verdict::Verdict;

use super::holds::KeepBack;
use super::tests::{Bench, on};

fn until(seconds: i64) -> Option<KeepBack> {
    Some(KeepBack::Until {
        until: on(seconds),
        notice: true,
    })
}

/// How many statements wait, how many are held for the operator to see, and what the public sees.
async fn seen(bench: &Bench) -> (usize, usize, Option<Verdict>) {
    let pending = bench.store.pending_statements().await.unwrap().len();
    let held = bench.store.hold_views().await.unwrap().len();
    let release = bench.store.release(1).await.unwrap().unwrap();
    let view = bench.store.release_view(release.id).await.unwrap().unwrap();
    assert!(view.rebuilds.iter().all(|rebuild| rebuild.plan.is_none()));
    (
        pending,
        held,
        view.artifacts.first().and_then(|artifact| artifact.verdict),
    )
}

async fn states(bench: &Bench) -> Vec<String> {
    let view = bench.store.release_view(1).await.unwrap().unwrap();
    view.rebuilds
        .into_iter()
        .map(|rebuild| rebuild.state)
        .collect()
}

#[tokio::test]
async fn what_is_held_becomes_public_at_its_time_and_not_before() {
    let bench = Bench::with(&["v1"]).await;
    let kinds = [Kind::Verdict, Kind::Provenance];
    bench
        .judge_keeping(Verdict::Differs, &kinds, until(1000))
        .await;
    assert_eq!(seen(&bench).await, (0, 1, None));
    // it waits for its time, not for us, and its rebuild is not done
    assert_eq!(bench.store.finish_published(on(200)).await.unwrap(), 0);
    assert_eq!(bench.store.troubled().await.unwrap(), (0, 0));
    assert_eq!(bench.store.next_hold_event().await.unwrap(), Some(on(100)));
    assert_eq!(bench.store.end_holds(on(999)).await.unwrap(), 0);
    assert_eq!(seen(&bench).await, (0, 1, None));
    assert_eq!(bench.store.end_holds(on(1000)).await.unwrap(), 1);
    assert_eq!(seen(&bench).await, (2, 0, None));
    assert_eq!(bench.store.troubled().await.unwrap(), (1, 0));
    bench.publish().await;
    assert_eq!(seen(&bench).await, (0, 0, Some(Verdict::Differs)));
    assert_eq!(states(&bench).await, ["done"]);
    assert_eq!(bench.store.next_hold_event().await.unwrap(), None);
    assert_eq!(bench.store.end_holds(on(9000)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_better_verdict_before_the_end_stands_for_the_held_one() {
    let bench = Bench::with(&["v1"]).await;
    bench
        .judge_keeping(Verdict::Differs, &[Kind::Verdict], until(1000))
        .await;
    bench.store.retry(1, on(100)).await.unwrap();
    bench
        .judge_keeping(Verdict::Reproduced, &[Kind::Verdict], None)
        .await;
    assert_eq!(seen(&bench).await, (1, 0, None));
    bench.publish().await;
    assert_eq!(bench.store.end_holds(on(2000)).await.unwrap(), 0);
    assert_eq!(seen(&bench).await, (0, 0, Some(Verdict::Reproduced)));
    // neither of the two rebuilds waits for anything
    assert_eq!(states(&bench).await, ["done", "done"]);
    assert!(bench.store.due_notices(on(2000)).await.unwrap().is_empty());
}

#[tokio::test]
async fn another_negative_verdict_is_public_no_later_than_the_first() {
    let bench = Bench::with(&["v1"]).await;
    bench
        .judge_keeping(Verdict::Differs, &[Kind::Verdict], until(1000))
        .await;
    bench.store.retry(1, on(100)).await.unwrap();
    bench
        .judge_keeping(Verdict::Unstable, &[Kind::Verdict], until(5000))
        .await;
    assert_eq!(seen(&bench).await, (0, 1, None));
    assert_eq!(bench.store.end_holds(on(1000)).await.unwrap(), 1);
    bench.publish().await;
    assert_eq!(seen(&bench).await, (0, 0, Some(Verdict::Unstable)));
}

#[tokio::test]
async fn what_is_only_logged_stays_with_the_operator() {
    let bench = Bench::with(&["v1"]).await;
    bench
        .judge_keeping(
            Verdict::BuildFailed,
            &[Kind::Verdict],
            Some(KeepBack::ForGood),
        )
        .await;
    assert_eq!(
        bench
            .store
            .end_holds(on(i64::from(u32::MAX)))
            .await
            .unwrap(),
        0
    );
    assert_eq!(seen(&bench).await, (0, 1, None));
    assert_eq!(bench.store.finish_published(on(200)).await.unwrap(), 1);
    let views = bench.store.hold_views().await.unwrap();
    assert_eq!(
        (views[0].verdict, views[0].until),
        (Verdict::BuildFailed, None)
    );
    assert!(bench.store.due_notices(on(9999)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_notice_is_tried_until_it_arrives_or_the_hold_ends() {
    let bench = Bench::with(&["v1"]).await;
    bench
        .judge_keeping(Verdict::Differs, &[Kind::Verdict], until(1000))
        .await;
    let store = &bench.store;
    let first = store.due_notices(on(100)).await.unwrap();
    assert_eq!(
        (first.len(), first[0].tries, first[0].until),
        (1, 0, on(1000))
    );
    store
        .notice_failed(&first[0], "down", Some(on(160)))
        .await
        .unwrap();
    assert!(store.due_notices(on(159)).await.unwrap().is_empty());
    assert_eq!(store.next_hold_event().await.unwrap(), Some(on(160)));
    let again = store.due_notices(on(160)).await.unwrap();
    assert_eq!((again[0].tries, again[0].id()), (1, first[0].id()));
    assert_eq!(
        store.hold_views().await.unwrap()[0]
            .notice_problem
            .as_deref(),
        Some("down")
    );
    store.noticed(&again[0], on(161)).await.unwrap();
    assert!(store.due_notices(on(999)).await.unwrap().is_empty());
    assert_eq!(
        store.hold_views().await.unwrap()[0].noticed_on,
        Some(on(161))
    );
    assert_eq!(store.next_hold_event().await.unwrap(), Some(on(1000)));
}
