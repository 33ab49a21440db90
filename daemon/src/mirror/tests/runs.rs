//! One answer for a run, what later runs keep of it, and replays.

use countersign_attest::origin::Origin;

use super::*;
use crate::mirror::session::Kept;

#[tokio::test]
async fn the_first_answer_stands_for_the_run() {
    let door = Door::open().await;
    let paths = ["/cargo/index/de/pe/depend", "/pypi/simple/depend/"];
    let mut before = Vec::new();
    for path in paths {
        before.push(door.get(path).await.body);
    }
    // the registry says something else now
    door.registry
        .publish_crate("depend", "1.0.9", b"slipped in", OLD);
    door.registry
        .publish_pypi("depend", "depend-1.0.9.tar.gz", b"slipped in", OLD);
    door.registry
        .put("/index/ab/se/absent", Upstream::Status(404));
    for (path, before) in paths.iter().zip(&before) {
        assert_eq!(&door.get(path).await.body, before, "{path}");
    }
    assert_eq!(
        door.get("/cargo/dl/depend/1.0.9/download").await.status,
        404
    );
    assert_eq!(
        door.get("/pypi/files/depend/depend-1.0.9.tar.gz")
            .await
            .status,
        404
    );
    // absence stands too
    assert_eq!(door.get("/cargo/index/ab/se/absent").await.status, 404);
    door.registry.publish_crate("absent", "1.0.0", b"late", OLD);
    assert_eq!(door.get("/cargo/index/ab/se/absent").await.status, 404);
    // another run sees it
    let other = Door::with(registry(), |_, _| ()).await;
    other
        .registry
        .publish_crate("depend", "1.0.9", b"slipped in", OLD);
    assert_eq!(
        other.get("/cargo/dl/depend/1.0.9/download").await.body,
        b"slipped in"
    );
}

#[tokio::test]
async fn a_later_run_needs_no_registry_for_what_is_settled() {
    let door = Door::open().await;
    let paths = [
        "/cargo/index/config.json",
        "/cargo/index/de/pe/depend",
        "/cargo/dl/depend/1.0.0/download",
        "/pypi/simple/depend/",
        "/pypi/files/depend/depend-1.0.tar.gz",
    ];
    for path in paths {
        assert_eq!(door.get(path).await.status, 200, "{path}");
    }
    let (inputs, upstreams) = (door.report().inputs, upstreams(&door.registry));
    let Door {
        registry, cache, ..
    } = door;
    let asked = registry.requests().len();
    let again = Door::over(registry, source(&upstreams), Budgets::default(), cache).await;
    for path in paths {
        assert_eq!(again.get(path).await.status, 200, "{path}");
    }
    assert_eq!(again.report().inputs, inputs);
    assert_eq!(again.registry.requests().len(), asked);
    // another moment is another question
    let mut later = upstreams.clone();
    later.as_of = "2024-06-01T00:00:01Z".parse().unwrap();
    let Door {
        registry, cache, ..
    } = again;
    let again = Door::over(registry, source(&later), Budgets::default(), cache).await;
    let _ = again.get("/cargo/index/de/pe/depend").await;
    assert_eq!(again.registry.requests().len(), asked + 1);
    // and a moment that has just been is not settled: nothing is kept of it
    let mut door = Door::open().await;
    let mut fresh = upstreams;
    fresh.as_of = crate::clock::now();
    fresh
        .endpoints
        .insert("cargo".into(), door.registry.cargo_index());
    for asked in [1, 2] {
        let Door {
            registry, cache, ..
        } = door;
        door = Door::over(registry, source(&fresh), Budgets::default(), cache).await;
        assert_eq!(door.get("/cargo/index/de/pe/depend").await.status, 200);
        assert_eq!(door.registry.requests().len(), asked);
    }
}

#[tokio::test]
async fn a_replay_serves_its_record_and_nothing_else() {
    let door = Door::open().await;
    for path in [
        "/cargo/index/de/pe/depend",
        "/cargo/dl/depend/1.0.0/download",
        "/pypi/simple/depend/",
    ] {
        assert_eq!(door.get(path).await.status, 200, "{path}");
    }
    let index = door.get("/cargo/index/de/pe/depend").await.body;
    let inputs = door.report().inputs;
    let record = |inputs: &[PlanInput]| {
        let kept = |input: &PlanInput| Kept {
            sha256: input.sha256,
            size_bytes: input.size_bytes,
        };
        Source::Record(
            inputs
                .iter()
                .map(|i| (i.request.clone(), kept(i)))
                .collect(),
        )
    };
    let Door {
        registry, cache, ..
    } = door;
    let asked = registry.requests().len();
    let replay = Door::over(registry, record(&inputs), Budgets::default(), cache).await;
    assert_eq!(replay.get("/cargo/index/de/pe/depend").await.body, index);
    assert_eq!(
        replay.get("/cargo/dl/depend/1.0.0/download").await.body,
        b"crate one"
    );
    assert_eq!(replay.get("/pypi/simple/depend/").await.status, 200);
    assert_eq!(replay.report().inputs, inputs);
    for path in [
        "/cargo/index/config.json",
        "/pypi/files/depend/depend-1.0.tar.gz",
        "/cargo/dl/depend/2.0.0/download",
    ] {
        assert_eq!(replay.get(path).await.status, 404, "{path}");
    }
    assert_eq!(replay.report().unanswered.len(), 3);
    assert!(replay.report().trouble.is_none());
    assert_eq!(replay.registry.requests().len(), asked);
    // a cache that lost or changed an input is a fault, never a 404 that the build could act on
    let Door {
        registry,
        cache,
        session,
        ..
    } = replay;
    let input = inputs
        .iter()
        .find(|i| i.request == "cargo:file/depend/1.0.0")
        .unwrap();
    let path = session.cache.blobs.path(&input.sha256);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"crate 0ne").unwrap();
    let replay = Door::over(registry, record(&inputs), Budgets::default(), cache).await;
    assert_eq!(
        replay.get("/cargo/dl/depend/1.0.0/download").await.status,
        502
    );
    assert_eq!(replay.trouble(), TroubleKind::Cache);
}

#[tokio::test]
async fn gathering_says_what_is_lacking() {
    let session = |door: &Door| Arc::clone(&door.session);
    let door = Door::open().await;
    let wanted = |request: &str, bytes: &[u8]| PlanInput {
        request: request.to_owned(),
        sha256: Sha256::of(bytes),
        size_bytes: bytes.len() as u64,
        origin: Origin::Registry,
    };
    let inputs = [
        wanted("cargo:file/depend/1.0.0", b"crate one"),
        wanted("cargo:file/depend/2.0.0", b"crate two"),
        wanted("npm:file/x", b""),
        wanted("pypi:file/depend/depend-1.0.tar.gz", b"other"),
    ];
    let report = child::gather(&session(&door), &inputs).await;
    assert_eq!(
        report.unanswered,
        [
            "cargo:file/depend/2.0.0",
            "npm:file/x",
            "pypi:file/depend/depend-1.0.tar.gz"
        ]
    );
    assert!(report.trouble.is_none());
    let request: Request = "cargo:file/depend/1.0.0".parse().unwrap();
    assert!(door.session.serve(&request).await.unwrap().is_some());
}
