//! Registries that lie, stumble or are not known.

use super::*;

#[tokio::test]
async fn a_file_that_is_not_what_the_index_says_is_neither_served_nor_kept() {
    for (path, upstream) in [
        (
            "/cargo/dl/depend/1.0.0/download",
            "/dl/depend/depend-1.0.0.crate",
        ),
        (
            "/pypi/files/depend/depend-1.0.tar.gz",
            "/packages/depend-1.0.tar.gz",
        ),
    ] {
        let door = Door::open().await;
        door.registry
            .put(upstream, Upstream::Bytes(b"tampered!".to_vec()));
        let response = door.get(path).await;
        assert_eq!((response.status, response.body.len()), (502, 0));
        assert_eq!(door.trouble(), TroubleKind::Registry);
        assert!(
            !door
                .requests()
                .iter()
                .any(|request| request.contains("file"))
        );
        let tampered = door.session.cache.blobs.file(&Sha256::of(b"tampered!"));
        assert!(tampered.is_err(), "{path}: kept");
        // a listed file that is not there is the registry's trouble too, no 404 of the release
        let door = Door::open().await;
        door.registry.put(upstream, Upstream::Status(404));
        assert_eq!(door.get(path).await.status, 502);
        assert_eq!(door.trouble(), TroubleKind::Registry);
    }
}

#[tokio::test]
async fn other_hosts_and_private_addresses_are_not_reached() {
    let inner = Registry::start().unwrap(); // stands for a service of this machine
    inner.put("/secret", Upstream::Bytes(b"python one".to_vec()));
    let inner_port = inner.url();
    // a registry on loopback was configured so, and only its own host is thereby allowed
    for target in [
        "http://192.168.0.1/secret",
        "http://10.1.2.3/secret",
        "http://169.254.169.254/latest/meta-data",
        "http://100.64.0.1/",
        "http://[::1]:9/secret",
        "http://[fd00::1]/secret",
        "http://[::ffff:10.0.0.1]/secret",
        "http://localhost:9/secret",
        "http://0.0.0.0/secret",
    ] {
        let door = Door::open().await;
        door.registry.edit("/simple/depend/", |bytes| {
            let mut index: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            index["files"][0]["url"] = target.into();
            index.to_string().into_bytes()
        });
        let response = door.get("/pypi/files/depend/depend-1.0.tar.gz").await;
        assert_eq!(response.status, 502, "{target}");
        let told = door.report().trouble.unwrap();
        assert!(
            told.message.contains("not allowed") || told.message.contains("may not"),
            "{target}: {}",
            told.message
        );
    }
    // a redirect to another host
    let door = Door::open().await;
    let to = format!("{inner_port}secret");
    door.registry
        .put("/packages/depend-1.0.tar.gz", Upstream::Redirect(to));
    assert_eq!(
        door.get("/pypi/files/depend/depend-1.0.tar.gz")
            .await
            .status,
        502
    );
    assert!(inner.requests().is_empty());
    // the control arm: the operator allowed that host
    let allowed = inner_port
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let door = Door::with(registry(), |upstreams, _| {
        upstreams.allowed_hosts = vec![allowed];
    })
    .await;
    let to = format!("{inner_port}secret");
    door.registry
        .put("/packages/depend-1.0.tar.gz", Upstream::Redirect(to));
    assert_eq!(
        door.get("/pypi/files/depend/depend-1.0.tar.gz").await.body,
        b"python one"
    );
}

#[tokio::test]
async fn a_registry_that_nobody_named_is_asked_nothing() {
    for path in [
        "/cargo/index/config.json",
        "/npm/depend",
        "/pypi/simple/depend/",
    ] {
        let door = Door::with(registry(), |upstreams, _| {
            upstreams.endpoints.clear();
        });
        let door = door.await;
        assert_eq!(door.get(path).await.status, 502);
        assert_eq!(door.trouble(), TroubleKind::RegistryUnknown);
        let message = door.report().trouble.unwrap().message;
        assert!(message.contains("set registries."), "{message}");
        assert!(door.registry.requests().is_empty());
    }
}

#[tokio::test]
async fn an_upstream_that_stumbles_is_asked_again_and_one_that_stays_down_is_our_fault() {
    let door = Door::open().await;
    door.registry
        .put("/dl/depend/depend-1.0.0.crate", Upstream::Status(503));
    assert_eq!(
        door.get("/cargo/dl/depend/1.0.0/download").await.status,
        502
    );
    assert_eq!(door.trouble(), TroubleKind::RegistryUnreachable);
    let tries = door.registry.requests();
    let tries = tries.iter().filter(|path| path.ends_with(".crate")).count();
    assert_eq!(tries, 3);
    let trouble = Trouble::from(door.report().trouble.unwrap());
    assert_eq!(
        (trouble.kind(), trouble.code()),
        ("fault", "registry-unreachable")
    );
}
