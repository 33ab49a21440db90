//! Tests of the client against a well-behaved server and against raw bytes.

use std::io;

use countersign_fixtures::registries::{Answer, Registry};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;

const ASK: Ask<'_> = Ask {
    limit_bytes: 100,
    allowed_hosts: &[],
    accept: None,
};

fn client() -> Http {
    Http::new(HttpOptions {
        read_timeout: Duration::from_millis(500),
        ..HttpOptions::default()
    })
    .unwrap()
}

async fn get(registry: &Registry, path: &str) -> Result<Vec<u8>, HttpError> {
    let url = format!("{}{}", registry.url(), path).parse().unwrap();
    client().read(&url, &ASK).await
}

/// A server that answers each connection with these bytes and then closes or holds it.
async fn raw(bytes: &'static [u8], hold: bool) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(bytes).await;
            if hold {
                std::mem::forget(stream);
            }
        }
    });
    url.parse().unwrap()
}

#[tokio::test]
async fn a_body_comes_with_its_digests() {
    let registry = Registry::start().unwrap();
    registry.put("/a", Answer::Bytes(b"abc".to_vec()));
    let url = format!("{}a#fragment", registry.url()).parse().unwrap();
    let mut sink = Vec::new();
    let digests = client().download(&url, &ASK, &mut sink).await.unwrap();
    assert_eq!((digests, &*sink), (Digests::of(b"abc"), &b"abc"[..]));
}

#[tokio::test]
async fn what_is_not_there_is_told_from_what_does_not_work() {
    let registry = Registry::start().unwrap();
    for (path, status) in [
        ("gone", 410),
        ("broken", 503),
        ("busy", 429),
        ("denied", 403),
    ] {
        registry.put(&format!("/{path}"), Answer::Status(status));
    }
    for path in ["never", "gone"] {
        assert!(
            matches!(get(&registry, path).await, Err(HttpError::Missing { .. })),
            "{path}"
        );
    }
    for path in ["broken", "busy", "denied"] {
        assert!(
            matches!(get(&registry, path).await, Err(HttpError::Status { .. })),
            "{path}"
        );
    }
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{nobody}/").parse().unwrap();
    let error = client().read(&url, &ASK).await;
    assert!(
        matches!(error, Err(HttpError::Unreachable { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_limit_holds_with_and_without_a_declared_length() {
    let registry = Registry::start().unwrap();
    registry.put("/fits", Answer::Bytes(vec![7; 100]));
    registry.put("/over", Answer::Bytes(vec![7; 101]));
    assert_eq!(get(&registry, "fits").await.unwrap().len(), 100);
    assert!(matches!(
        get(&registry, "over").await,
        Err(HttpError::TooLarge { .. })
    ));

    let url = raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        false,
    )
    .await;
    let read = async |limit_bytes| client().read(&url, &Ask { limit_bytes, ..ASK }).await;
    assert_eq!(read(5).await.unwrap(), b"abcde");
    assert!(matches!(read(4).await, Err(HttpError::TooLarge { .. })));
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_body() {
    let url = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", false).await;
    assert!(matches!(
        client().read(&url, &ASK).await,
        Err(HttpError::Unreachable { .. })
    ));
}

#[tokio::test]
async fn silence_ends_at_the_time_limit() {
    let registry = Registry::start().unwrap();
    registry.put("/hang", Answer::Hang);
    assert!(matches!(
        get(&registry, "hang").await,
        Err(HttpError::TimedOut { .. })
    ));
    let url = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", true).await;
    assert!(matches!(
        client().read(&url, &ASK).await,
        Err(HttpError::TimedOut { .. })
    ));
}

#[tokio::test]
async fn redirects_stay_where_they_are_allowed() {
    let registry = Registry::start().unwrap();
    let other = Registry::start().unwrap();
    registry.put("/a", Answer::Bytes(b"abc".to_vec()));
    other.put("/a", Answer::Bytes(b"abd".to_vec()));
    registry.put("/near", Answer::Redirect("/a".to_owned()));
    registry.put("/far", Answer::Redirect(format!("{}a", other.url())));
    registry.put("/round", Answer::Redirect("/round".to_owned()));
    registry.put("/file", Answer::Redirect("file:///etc/passwd".to_owned()));
    registry.put(
        "/password",
        Answer::Redirect(registry.url().replace("//", "//u:p@")),
    );
    assert_eq!(get(&registry, "near").await.unwrap(), b"abc");
    assert!(matches!(
        get(&registry, "round").await,
        Err(HttpError::Redirect { .. })
    ));
    assert!(matches!(
        get(&registry, "file").await,
        Err(HttpError::OtherHost { .. })
    ));
    assert!(matches!(
        get(&registry, "password").await,
        Err(HttpError::Forbidden { .. })
    ));

    let Err(HttpError::OtherHost { target, .. }) = get(&registry, "far").await else {
        panic!("followed to another host");
    };
    assert!(other.requests().is_empty(), "the other host was spoken to");
    let url = format!("{}far", registry.url()).parse().unwrap();
    let allowed_hosts = &[target];
    let read = client()
        .read(
            &url,
            &Ask {
                allowed_hosts,
                ..ASK
            },
        )
        .await;
    assert_eq!(read.unwrap(), b"abd");
}

#[tokio::test]
async fn plain_http_stays_on_this_machine() {
    for url in [
        "http://registry.example/",
        "ftp://127.0.0.1/",
        "https://u:p@127.0.0.1/",
    ] {
        let error = client()
            .read(&url.parse().unwrap(), &ASK)
            .await
            .unwrap_err();
        assert!(matches!(error, HttpError::Forbidden { .. }), "{url}");
        assert!(!format!("{error} {error:?}").contains("u:p"), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_error() {
    let registry = Registry::start().unwrap();
    let url = registry.url().replace("http:", "https:").parse().unwrap();
    let error = client().read(&url, &ASK).await;
    assert!(matches!(error, Err(HttpError::Tls { .. })), "{error:?}");
}

#[tokio::test]
async fn a_sink_that_is_full_is_our_own_trouble() {
    let registry = Registry::start().unwrap();
    registry.put("/a", Answer::Bytes(b"abc".to_vec()));
    let url = format!("{}a", registry.url()).parse().unwrap();
    let mut full = tokio::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .await
        .unwrap();
    let Err(HttpError::Sink { source, .. }) = client().download(&url, &ASK, &mut full).await else {
        panic!("wrote to a full device");
    };
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
}

#[tokio::test]
async fn a_guarded_client_reaches_private_addresses_only_where_they_were_named() {
    let registry = Registry::start().unwrap();
    registry.put("/x", Answer::Bytes(b"x".to_vec()));
    let url: Url = format!("{}x", registry.url()).parse().unwrap();
    let named = Http::guarded(HttpOptions::default(), vec!["127.0.0.1".into()]).unwrap();
    assert_eq!(named.read(&url, &ASK).await.unwrap(), b"x");
    let other = Http::guarded(HttpOptions::default(), vec!["127.0.0.2".into()]).unwrap();
    let refused = other.read(&url, &ASK).await;
    assert!(
        matches!(refused, Err(HttpError::Forbidden { .. })),
        "{refused:?}"
    );
    assert_eq!(registry.requests().len(), 1);
}
