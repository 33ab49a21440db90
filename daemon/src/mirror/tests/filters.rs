//! What a build may see: as of the moment, and nothing that is under test.

use super::*;

#[tokio::test]
async fn what_is_younger_is_not_there_even_by_its_own_address() {
    let door = Door::open().await;
    for path in [
        "/cargo/dl/depend/2.0.0/download",
        "/pypi/files/depend/depend-2.0.tar.gz",
        "/cargo/index/ne/ve/nevermade",
        "/pypi/simple/nevermade/",
        "/pypi/files/other/depend-1.0.tar.gz",
        "/cargo/dl/Depend/1.0.0/download",
    ] {
        assert_eq!(door.get(path).await.status, 404, "{path}");
    }
    assert!(door.report().trouble.is_none());
    let asked = door.registry.requests();
    assert!(!asked.iter().any(|path| path.contains("2.0")), "{asked:?}");
    let later = Door::with(registry(), |upstreams, _| {
        upstreams.as_of = "2024-07-01T00:00:00Z".parse().unwrap();
    });
    let later = later.await;
    assert_eq!(
        later.get("/cargo/dl/depend/2.0.0/download").await.body,
        b"crate two"
    );
    // a name of nothing but younger versions does not exist yet
    let early = Door::with(registry(), |upstreams, _| {
        upstreams.as_of = "2024-04-01T00:00:00Z".parse().unwrap();
    });
    let early = early.await;
    assert_eq!(early.get("/cargo/index/de/pe/depend").await.status, 404);
    assert_eq!(early.get("/pypi/simple/depend/").await.status, 404);
}

#[tokio::test]
async fn what_is_under_test_is_refused() {
    let ask = [
        "/cargo/dl/depend/1.0.0/download",
        "/pypi/files/depend/depend-1.0.tar.gz",
    ];
    for change in [
        (|tested: &mut UnderTest| {
            tested.add_version("cargo", "Depend", "1.0.0+build");
            tested.add_version("pypi", "DEPEND", "v1");
        }) as fn(&mut UnderTest),
        |tested| {
            tested.add_digest(Sha256::of(b"crate one"));
            tested.add_digest(Sha256::of(b"python one"));
        },
    ] {
        let door = Door::with(registry(), |upstreams, _| {
            upstreams.as_of = "2024-08-01T00:00:00Z".parse().unwrap();
            change(&mut upstreams.under_test);
        });
        let door = door.await;
        for path in ask {
            assert_eq!(door.get(path).await.status, 404, "{path}");
        }
        assert_eq!(door.report().unanswered.len(), 2);
        let index = door.get("/cargo/index/de/pe/depend").await;
        let index = String::from_utf8(index.body).unwrap();
        assert!(
            index.contains("2.0.0") && !index.contains("1.0.0"),
            "{index}"
        );
        let files = door.registry.requests();
        assert!(!files.iter().any(|path| path.contains("-1.0")), "{files:?}");
        // other versions are no secret
        assert_eq!(
            door.get("/cargo/dl/depend/2.0.0/download").await.status,
            200
        );
    }
}

#[tokio::test]
async fn no_version_of_the_package_under_test_is_served() {
    let door = Door::with(registry(), |upstreams, _| {
        upstreams.as_of = "2024-08-01T00:00:00Z".parse().unwrap();
        upstreams.under_test.add_name("cargo", "Depend");
        upstreams.under_test.add_name("pypi", "DEPEND");
    });
    let door = door.await;
    door.registry
        .publish_crate("depend-2", "1.0.0", b"another", OLD);
    for path in [
        "/cargo/index/de/pe/depend",
        "/cargo/dl/depend/1.0.0/download",
        "/cargo/dl/depend/2.0.0/download",
        "/pypi/simple/depend/",
        "/pypi/files/depend/depend-1.0.tar.gz",
        "/pypi/files/depend/depend-2.0.tar.gz",
    ] {
        assert_eq!(door.get(path).await.status, 404, "{path}");
    }
    assert_eq!(door.report().unanswered.len(), 6);
    let other = door.get("/cargo/dl/depend-2/1.0.0/download").await;
    assert_eq!(other.body, b"another");
}

#[tokio::test]
async fn what_is_under_test_is_refused_however_it_is_compressed() {
    let payload = b"what was published";
    let (start, end) = payload.split_at(8);
    let paths = [
        "/cargo/dl/again/1.0.0/download",
        "/pypi/files/again/again-1.0.tar.gz",
    ];
    for (tested, status) in [(&payload[..], 404), (b"something else", 200)] {
        let door = Door::with(registry(), |upstreams, _| {
            upstreams.under_test.add_digest(Sha256::of(tested));
        });
        let door = door.await;
        door.registry
            .publish_crate("again", "1.0.0", &gzip(payload), OLD);
        let in_two = [gzip(start), gzip(end)].concat();
        door.registry
            .publish_pypi("again", "again-1.0.tar.gz", &in_two, OLD);
        for path in paths {
            assert_eq!(door.get(path).await.status, status, "{path}");
        }
        let report = door.report();
        assert_eq!(report.unanswered.len(), if status == 404 { 2 } else { 0 });
        assert!(report.trouble.is_none());
    }
    // a bomb is over the budget, and nobody can say what is in it
    let door = Door::with(registry(), |_, budgets| budgets.bytes = 4096);
    let door = door.await;
    let bomb = gzip(&[0; 9000]);
    door.registry.publish_crate("again", "1.0.0", &bomb, OLD);
    assert_eq!(door.get(paths[0]).await.status, 429);
    assert_eq!(door.trouble(), TroubleKind::Budget);
}
