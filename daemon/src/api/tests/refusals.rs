//! What is not answered, and that nothing is told by that.

use super::*;

#[tokio::test]
async fn what_is_unknown_or_malformed_is_a_problem() {
    let unknown = Sha256::of(b"unknown");
    let unknown512 = Sha512::from_bytes([1; 64]);
    for (path, status) in [
        (format!("/by-digest/sha256:{unknown}"), 404),
        (format!("/by-digest/sha512:{unknown512}"), 404),
        (format!("/plans/sha256:{unknown}"), 404),
        (format!("/attestations/sha256:{unknown}"), 404),
        (format!("/attestations/sha256:{unknown}/bundle"), 404),
        (format!("/attestations/sha256:{unknown}/link"), 404),
        (format!("/attestations/sha256:{unknown}/other"), 404),
        ("/attestations/..%2f..%2fetc/link".to_owned(), 400),
        ("/api/v1/releases/9".to_owned(), 404),
        ("/api/v1/nothing".to_owned(), 404),
        ("/keys/0123.pem".to_owned(), 404),
        (format!("/keys/{}", operators_key().id), 404),
        ("/keys/..%2fstatement.pem".to_owned(), 404),
        (format!("/by-digest/{unknown}"), 400),
        (format!("/by-digest/SHA256:{unknown}"), 400),
        (format!("/by-digest/sha256:{unknown}0"), 400),
        ("/by-digest/md5:00".to_owned(), 400),
        ("/by-digest/%ff".to_owned(), 400),
        (format!("/plans/sha512:{unknown512}"), 400),
        ("/attestations/..%2f..%2fetc".to_owned(), 400),
        ("/api/v1/releases/1.5".to_owned(), 400),
        ("/api/v1/statements".to_owned(), 400),
        ("/api/v1/statements?about=".to_owned(), 400),
        ("/api/v1/statements?about=pkg:npm/a".to_owned(), 400),
        (format!("/api/v1/statements?about={unknown}"), 400),
        (
            format!("/api/v1/statements?{}", "about=pkg:npm/a@1&".repeat(101)),
            400,
        ),
    ] {
        let reply = get(&path).await;
        assert_eq!(reply.status, status, "{path}");
        assert!(
            reply.head.contains("application/problem+json"),
            "{path}: {}",
            reply.head
        );
        let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(problem["status"], status, "{path}");
    }
}

#[tokio::test]
async fn our_own_trouble_tells_nothing_of_the_inside() {
    for path in ["/api/v1/releases", "/releases/1", "/"] {
        let reply = ask(
            Memory {
                broken: true,
                ..Memory::default()
            },
            "GET",
            path,
        )
        .await;
        assert_eq!(reply.status, 500, "{path}");
        assert!(!reply.body.contains("secret"), "{}", reply.body);
    }
}

#[tokio::test]
async fn nothing_but_reading_is_answered() {
    for method in ["POST", "DELETE", "PUT"] {
        assert_eq!(ask(memory(), method, "/api/v1/releases").await.status, 405);
    }
    assert_eq!(ask(memory(), "HEAD", "/").await.body, "");
}

#[tokio::test]
async fn a_candidate_is_taken_or_refused_by_its_signature_alone() {
    let id = format!("sha256:{}", candidate());
    for (body, status) in [
        ("new", 202),
        ("again", 200),
        ("late", 400),
        ("often", 429),
        ("forged", 403),
        ("", 403),
    ] {
        let headers = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let reply = ask_with(Memory::default(), "POST", "/api/v1/candidates", &headers).await;
        assert_eq!(reply.status, status, "{body}");
        assert_eq!(
            reply.body.contains(&id),
            status <= 202,
            "{body}: {}",
            reply.body
        );
    }
    let length = candidates::MAX_BYTES + 1;
    let long = format!("Content-Length: {length}\r\n\r\n{}", "x".repeat(length));
    let reply = ask_with(Memory::default(), "POST", "/api/v1/candidates", &long).await;
    assert_eq!(reply.status, 413);
    let path = format!("/api/v1/candidates/{id}");
    assert!(get(&path).await.body.contains("queued"));
    let other = format!("/api/v1/candidates/sha256:{}", Sha256::of(b"other"));
    assert_eq!(get(&other).await.status, 404);
    assert_eq!(get("/api/v1/candidates").await.status, 405);
}
