//! What a build may ask, and what is refused before anybody is asked.

use super::*;

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
