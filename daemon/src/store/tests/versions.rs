//! Whose database it is: one daemon's, of this version or one before, and whole.

use super::*;

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
