//! What is special about npm packages.

use super::*;

/// A registry whose packages `depend` and `@s/depend` have two versions, around the moment.
fn npm_registry() -> Registry {
    let registry = registry();
    for name in ["depend", "@s/depend"] {
        registry.publish_npm_at(name, "1.0.0", b"npm one", "2024-05-01T00:00:00.123Z");
        registry.publish_npm_at(name, "2.0.0", b"npm two", "2024-07-01T00:00:00.123Z");
    }
    registry
}

#[tokio::test]
async fn npm_packages_are_as_of_the_moment_and_tarballs_as_they_are_named() {
    let door = Door::with(npm_registry(), |_, _| ()).await;
    for path in ["/npm/depend", "/npm/@s%2fdepend", "/npm/@s/depend"] {
        let index = door.get(path).await;
        assert_eq!(index.status, 200, "{path}");
        assert!(index.head.contains("application/json"), "{}", index.head);
        let index: serde_json::Value = serde_json::from_slice(&index.body).unwrap();
        let versions: Vec<_> = index["versions"].as_object().unwrap().keys().collect();
        assert_eq!(versions, ["1.0.0"], "{path}");
        assert_eq!(index["dist-tags"]["latest"], "1.0.0");
    }
    // a lock file names what its author saw, whatever the registry's clock says of it
    for (path, body) in [
        ("/npm/depend/-/depend-1.0.0.tgz", &b"npm one"[..]),
        ("/npm/depend/-/depend-2.0.0.tgz", b"npm two"),
        ("/npm/@s/depend/-/depend-1.0.0.tgz", b"npm one"),
    ] {
        assert_eq!(door.get(path).await.body, body, "{path}");
    }
    for path in ["/npm/depend/-/depend-3.0.0.tgz", "/npm/other", "/npm/-/all"] {
        assert_eq!(door.get(path).await.status, 404, "{path}");
    }
    let report = door.report();
    assert_eq!((report.trouble, report.undated), (None, Vec::new()));
    assert_eq!(
        door.requests(),
        [
            "npm:file/@s/depend/1.0.0",
            "npm:file/depend/1.0.0",
            "npm:file/depend/2.0.0",
            "npm:index/@s/depend",
            "npm:index/depend",
        ]
    );
    // each document was asked for once, and equal files too
    let asked = door.registry.requests();
    assert_eq!(asked.len(), 5, "{asked:?}");

    let early = Door::with(npm_registry(), |upstreams, _| {
        upstreams.as_of = "2024-04-01T00:00:00Z".parse().unwrap();
    });
    assert_eq!(early.await.get("/npm/depend").await.status, 404);
}

#[tokio::test]
async fn npm_times_that_run_backwards_are_said() {
    let registry = npm_registry();
    registry.publish_npm_at("depend", "2.0.1", b"npm three", "2024-04-01T00:00:00Z");
    let door = Door::with(registry, |_, _| ()).await;
    let index = door.get("/npm/depend").await;
    let index: serde_json::Value = serde_json::from_slice(&index.body).unwrap();
    assert_eq!(index["versions"].as_object().unwrap().len(), 3);
    assert_eq!(index["dist-tags"]["latest"], "2.0.1");
    assert_eq!(door.get("/npm/@s/depend").await.status, 200);
    assert_eq!(door.report().undated, ["npm:index/depend"]);
    assert!(door.report().trouble.is_none());
}

#[tokio::test]
async fn npm_tarballs_that_are_not_what_was_declared_are_not_served() {
    let registry = npm_registry();
    registry.put(
        "/depend/-/depend-1.0.0.tgz",
        Upstream::Bytes(b"evil".to_vec()),
    );
    let door = Door::with(registry, |_, _| ()).await;
    assert_eq!(door.get("/npm/depend/-/depend-1.0.0.tgz").await.status, 502);
    assert_eq!(door.trouble(), TroubleKind::Registry);
    let message = door.report().trouble.unwrap().message;
    assert!(message.contains("npm:file/depend/1.0.0"), "{message}");

    // with the same cache, the tarball is there without being asked for again
    let (registry, cache) = (npm_registry(), tempfile::tempdir().unwrap());
    let source = || source(&upstreams(&registry));
    for _ in 0..2 {
        let session = Session::new(source(), Budgets::default(), cache.path()).unwrap();
        let request = "npm:file/depend/1.0.0".parse::<Request>().unwrap();
        assert_eq!(
            session.serve(&request).await.unwrap().unwrap().size_bytes,
            7
        );
    }
    assert_eq!(registry.requests().len(), 2);

    let tested = Door::with(npm_registry(), |upstreams, _| {
        upstreams
            .under_test
            .add_version("npm", "@s/depend", "1.0.0");
    });
    let tested = tested.await;
    assert_eq!(tested.get("/npm/@s/depend").await.status, 404);
    assert_eq!(
        tested.get("/npm/@s/depend/-/depend-1.0.0.tgz").await.status,
        404
    );
    assert_eq!(tested.get("/npm/depend").await.status, 200);
}

#[tokio::test]
async fn a_tarball_asks_for_its_version_alone_where_the_registry_has_such_documents() {
    let whole = ["/depend", "/depend/-/depend-1.0.0.tgz"];
    let alone = ["/depend/1.0.0", "/depend/-/depend-1.0.0.tgz"];
    for (answer, expect) in [
        (None, &alone[..]),
        (Some(Upstream::Status(404)), &[alone[0], whole[0], whole[1]]),
        (Some(Upstream::Status(405)), &[alone[0], whole[0], whole[1]]),
    ] {
        let registry = npm_registry();
        if let Some(answer) = answer {
            registry.put("/depend/1.0.0", answer);
        }
        let door = Door::with(registry, |_, _| ()).await;
        let path = "/npm/depend/-/depend-1.0.0.tgz";
        assert_eq!(door.get(path).await.body, b"npm one");
        assert_eq!(door.registry.requests(), expect);
    }
    // one that calls itself otherwise is the registry's trouble
    for (key, other) in [("name", "other"), ("version", "2.0.0")] {
        let registry = npm_registry();
        registry.edit_npm("depend", |d| d["versions"]["1.0.0"][key] = other.into());
        let door = Door::with(registry, |_, _| ()).await;
        assert_eq!(door.get("/npm/depend/-/depend-1.0.0.tgz").await.status, 502);
        assert_eq!(door.trouble(), TroubleKind::Registry);
    }
    // nothing is asked about what is under test
    let tested = Door::with(npm_registry(), |upstreams, _| {
        upstreams.under_test.add_version("npm", "depend", "1.0.0");
    });
    let tested = tested.await;
    assert_eq!(
        tested.get("/npm/depend/-/depend-1.0.0.tgz").await.status,
        404
    );
    assert_eq!(tested.registry.requests(), [""; 0]);
}
