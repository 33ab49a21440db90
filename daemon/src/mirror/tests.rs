//! The door under attack: a mirror on loopback, a registry behind it, and raw bytes from the build.

use std::sync::Arc;

use countersign_attest::origin::Origin;
use countersign_fixtures::archives::gzip;
use countersign_fixtures::registries::{Answer as Upstream, Registry};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::request::Request;
use super::session::{Kept, Session, Source};
use super::upstream::Registries;
use super::*;

const OLD: Option<&str> = Some("2024-05-01T00:00:00Z");
const NEW: Option<&str> = Some("2024-07-01T00:00:00Z");

/// A mirror that serves, and what is around it.
struct Door {
    registry: Registry,
    cache: TempDir,
    session: Arc<Session>,
    address: std::net::SocketAddr,
}

struct Response {
    status: u16,
    head: String,
    body: Vec<u8>,
}

fn registry() -> Registry {
    let registry = Registry::start().unwrap();
    registry.publish_crate("depend", "1.0.0", b"crate one", OLD);
    registry.publish_crate("depend", "2.0.0", b"crate two", NEW);
    registry.publish_pypi("depend", "depend-1.0.tar.gz", b"python one", OLD);
    registry.publish_pypi("depend", "depend-2.0.tar.gz", b"python two", NEW);
    registry
}

fn upstreams(registry: &Registry) -> Upstreams {
    Upstreams {
        as_of: "2024-06-01T00:00:00Z".parse().unwrap(),
        cargo: Some(registry.cargo_index()),
        npm: Some(registry.url()),
        pypi: Some(registry.pypi_index()),
        allowed_hosts: Vec::new(),
        allow_http: true,
        under_test: UnderTest::default(),
    }
}

fn source(upstreams: &Upstreams) -> Source {
    Source::Registries(Box::new(Registries::new(upstreams, Vec::new()).unwrap()))
}

impl Door {
    async fn open() -> Self {
        Self::with(registry(), |_, _| ()).await
    }

    async fn with(registry: Registry, change: impl FnOnce(&mut Upstreams, &mut Budgets)) -> Self {
        let (mut upstreams, mut budgets) = (upstreams(&registry), Budgets::default());
        change(&mut upstreams, &mut budgets);
        Self::over(
            registry,
            source(&upstreams),
            budgets,
            tempfile::tempdir().unwrap(),
        )
        .await
    }

    async fn over(registry: Registry, source: Source, budgets: Budgets, cache: TempDir) -> Self {
        let session = Arc::new(Session::new(source, budgets, cache.path()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(server::serve(listener, Arc::clone(&session)));
        Self {
            registry,
            cache,
            session,
            address,
        }
    }

    /// Sends bytes, and reads until the mirror closes.
    async fn raw(&self, bytes: &[u8]) -> Response {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        let end = head::end_of_head(&all).expect("an answer with a head");
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        Response {
            status: head[9..12].parse().unwrap(),
            head,
            body: all[end..].to_vec(),
        }
    }

    async fn get(&self, path: &str) -> Response {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: mirror\r\n\r\n").as_bytes())
            .await
    }

    fn report(&self) -> Report {
        self.session.report()
    }

    fn requests(&self) -> Vec<String> {
        self.report()
            .inputs
            .into_iter()
            .map(|i| i.request)
            .collect()
    }

    fn trouble(&self) -> TroubleKind {
        self.report().trouble.expect("trouble").kind
    }
}

#[tokio::test]
async fn what_was_there_is_served_and_recorded() {
    let door = Door::open().await;
    let config = door.get("/cargo/index/config.json").await;
    assert_eq!(config.status, 200);
    assert_eq!(
        config.body,
        b"{\"dl\":\"http://mirror/cargo/dl/{crate}/{version}/download\"}\n"
    );
    let index = door.get("/cargo/index/de/pe/depend").await;
    assert!(
        index.body.ends_with(b"}\n") && !String::from_utf8_lossy(&index.body).contains("2.0.0")
    );
    assert_eq!(
        door.get("/cargo/dl/depend/1.0.0/download").await.body,
        b"crate one"
    );
    let simple = door
        .raw(b"GET /pypi/simple/depend/ HTTP/1.1\r\nHost: mirror\r\nAccept: application/vnd.pypi.simple.v1+json\r\n\r\n")
        .await;
    assert!(
        simple.head.contains("application/vnd.pypi.simple.v1+json"),
        "{}",
        simple.head
    );
    let html = door.get("/pypi/simple/depend/").await;
    assert!(html.head.contains("text/html"), "{}", html.head);
    let file = door.get("/pypi/files/depend/depend-1.0.tar.gz").await;
    assert_eq!(file.body, b"python one");
    let head = door
        .raw(b"HEAD /pypi/files/depend/depend-1.0.tar.gz HTTP/1.1\r\nHost: mirror\r\n\r\n")
        .await;
    assert!(head.body.is_empty() && head.head.contains("Content-Length: 10\r\n"));

    let report = door.report();
    assert_eq!((report.trouble, report.unanswered), (None, Vec::new()));
    let digest = |request: &str| {
        let input = report.inputs.iter().find(|input| input.request == request);
        input.unwrap().sha256
    };
    assert_eq!(report.inputs.len(), 5);
    assert_eq!(digest("cargo:index/depend"), Sha256::of(&index.body));
    // one document in two forms: what is recorded is the one that the other is made from
    assert_eq!(digest("pypi:index/depend"), Sha256::of(&simple.body));
    assert_eq!(digest("cargo:file/depend/1.0.0"), Sha256::of(b"crate one"));
}

#[tokio::test]
async fn nothing_of_the_client_goes_upstream() {
    let door = Door::open().await;
    let request = "GET /cargo/dl/depend/1.0.0/download HTTP/1.1\r\nHost: mirror\r\nCookie: secret\r\n\
                   Authorization: secret\r\nUser-Agent: secret\r\nRange: bytes=0-1\r\n\
                   Referer: http://secret/\r\nIf-None-Match: secret\r\n\r\n";
    let response = door.raw(request.as_bytes()).await;
    assert_eq!(
        (response.status, response.body.as_slice()),
        (200, &b"crate one"[..])
    );
    assert!(!door.registry.headers().is_empty());
    for headers in door.registry.headers() {
        for (name, value) in headers {
            assert!(!value.contains("secret"), "{name}: {value}");
            assert!(
                !["range", "if-none-match", "cookie"].contains(&name.as_str()),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn unusual_requests_are_refused_and_reach_nobody() {
    let long = format!(
        "GET /cargo/index/aa/aa/{} HTTP/1.1\r\nHost: mirror\r\n\r\n",
        "a".repeat(65)
    );
    let longer = format!("GET /{} HTTP/1.1\r\nHost: mirror\r\n\r\n", "a".repeat(9000));
    let plain = "GET /cargo/dl/depend/1.0.0/download HTTP/1.1\r\nHost: mirror\r\n\r\n";
    let two = format!("{plain}{plain}");
    for (request, status) in [
        // a body
        (
            "GET /cargo/dl/depend/1.0.0/download HTTP/1.1\r\nHost: mirror\r\nContent-Length: 4\r\n\r\nbody",
            400,
        ),
        (
            "GET /cargo/dl/depend/1.0.0/download HTTP/1.1\r\nHost: mirror\r\nContent-Length: 4\r\n\r\n",
            413,
        ),
        (
            "GET /cargo/dl/depend/1.0.0/download HTTP/1.1\r\nHost: mirror\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "POST /cargo/dl/depend/1.0.0/download HTTP/1.1\r\nHost: mirror\r\n\r\n",
            405,
        ),
        // a long name, a long line
        (long.as_str(), 404),
        (&longer, 431),
        // an absolute URI, other hosts, tunnels
        (
            "GET http://mirror/cargo/index/config.json HTTP/1.1\r\nHost: mirror\r\n\r\n",
            400,
        ),
        (
            "GET http://192.0.2.1/ HTTP/1.1\r\nHost: mirror\r\n\r\n",
            400,
        ),
        (
            "GET /cargo/index/config.json HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
            421,
        ),
        ("CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: mirror\r\n\r\n", 405),
        // two requests in one connection
        (&two, 400),
        // paths out of the grammar
        (
            "GET /cargo/index/../../etc/passwd HTTP/1.1\r\nHost: mirror\r\n\r\n",
            404,
        ),
        (
            "GET /pypi/simple/depend/?x=1 HTTP/1.1\r\nHost: mirror\r\n\r\n",
            400,
        ),
        (
            "GET /pypi/simple/../simple/depend/ HTTP/1.1\r\nHost: mirror\r\n\r\n",
            404,
        ),
    ] {
        let door = Door::open().await;
        let response = door.raw(request.as_bytes()).await;
        assert_eq!(response.status, status, "{request:.80?}");
        assert!(response.body.is_empty(), "{request:.80?}");
        assert!(door.registry.requests().is_empty(), "{request:.80?}");
        let report = door.report();
        assert_eq!(
            (report.inputs.len(), report.unanswered.len()),
            (0, 1),
            "{request:.80?}"
        );
    }
    // the control arm, and a second request that comes after the answer: nobody reads it
    let door = Door::open().await;
    let mut stream = TcpStream::connect(door.address).await.unwrap();
    stream.write_all(plain.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_buf(&mut answer).await.unwrap();
    let _ = stream.write_all(plain.as_bytes()).await; // the mirror may have closed already
    let _ = stream.read_to_end(&mut answer).await;
    let answers = String::from_utf8_lossy(&answer).matches("HTTP/1.1").count();
    assert_eq!((answers, door.report().inputs.len()), (1, 1));
}

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
async fn a_run_over_a_budget_is_told_which() {
    type Lower = fn(&mut Budgets);
    let cases: &[(Lower, &[&str], &str)] = &[
        (
            |b| b.requests = 2,
            &["/cargo/index/config.json"; 3],
            "limits.mirror.requests",
        ),
        (|b| b.misses = 1, &["/x", "/y"], "limits.mirror.misses"),
        (
            |b| b.names = 1,
            &["/cargo/index/de/pe/depend", "/pypi/simple/depend/"],
            "limits.mirror.names",
        ),
        (
            |b| b.file_bytes = 8,
            &["/cargo/dl/depend/1.0.0/download"],
            "limits.mirror.file_bytes",
        ),
        (
            |b| b.document_bytes = 100,
            &["/pypi/simple/depend/"],
            "limits.mirror.document_bytes",
        ),
        (
            |b| b.bytes = 300,
            &[
                "/cargo/index/de/pe/depend",
                "/cargo/index/config.json",
                "/pypi/files/depend/depend-1.0.tar.gz",
                "/pypi/simple/depend/",
            ],
            "limits.mirror.bytes",
        ),
    ];
    for (lower, paths, key) in cases {
        let door = Door::with(registry(), |_, budgets| lower(budgets)).await;
        let (last, before) = paths.split_last().unwrap();
        for path in before {
            assert_ne!(door.get(path).await.status, 429, "{key}: {path}");
        }
        let response = door.get(last).await;
        assert_eq!((response.status, response.body.len()), (429, 0), "{key}");
        let told = door.report().trouble.unwrap();
        assert_eq!(told.kind, TroubleKind::Budget);
        assert!(told.message.contains(key), "{key}: {}", told.message);
        let trouble = Trouble::from(told);
        assert_eq!(
            (trouble.kind(), trouble.code()),
            ("refusal", "mirror-budget")
        );
    }
}

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
        let tampered = door.session.blobs().file(&Sha256::of(b"tampered!"));
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
    for path in ["/cargo/index/config.json", "/pypi/simple/depend/"] {
        let door = Door::with(registry(), |upstreams, _| {
            upstreams.cargo = None;
            upstreams.pypi = None;
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
    (fresh.as_of, fresh.cargo) = (crate::clock::now(), Some(door.registry.cargo_index()));
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
    let path = session.blobs().path(&input.sha256);
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
        let request = Request::NpmFile("depend".into(), "1.0.0".into());
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
