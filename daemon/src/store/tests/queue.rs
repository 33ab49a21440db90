//! Rebuilds that wait, are leased, fail, and are tried again.

use super::*;

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
