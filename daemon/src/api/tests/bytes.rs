//! Bytes under their digests, keys, and what a client need not fetch again.

use super::*;

#[tokio::test]
async fn bytes_are_served_as_they_are_and_only_under_their_digest() {
    let plan = get(&format!("/plans/sha256:{}", Sha256::of(b"{}\n"))).await;
    assert_eq!((plan.status, &*plan.body), (200, "{}\n"));
    let envelope = get(&format!("/attestations/sha256:{}", Sha256::of(b"{1}\n"))).await;
    assert_eq!((envelope.status, &*envelope.body), (200, "{1}\n"));
    assert!(
        envelope
            .head
            .contains("application/vnd.dsse.envelope.v1+json")
    );

    let name = Sha256::of(b"other");
    let damaged = Memory {
        plans: vec![(name, b"{}\n".to_vec())],
        ..Memory::default()
    };
    let reply = ask(damaged, "GET", &format!("/plans/sha256:{name}")).await;
    assert_eq!(reply.status, 500);
}

#[tokio::test]
async fn the_keys_in_use_are_served_under_their_ids() {
    for key in [operators_key(), local_key(), retired_key()] {
        let reply = get(&format!("/keys/{}.pem", key.id)).await;
        assert_eq!((reply.status, &*reply.body), (200, &*key.pem));
        assert_eq!(key.id, key.fingerprint.replace(' ', ""));
        assert_eq!(
            PublicKey::from_pem(reply.body.as_bytes()).unwrap().key_id(),
            key.id
        );
    }
}

/// Who asks about a long list gets every line whole, or is told to ask about less.
#[tokio::test]
async fn statements_come_one_a_line_or_not_at_all() {
    let path = format!(
        "/api/v1/statements?about=sha256:{}",
        Sha256::of(b"published")
    );
    let reply = get(&path).await;
    assert_eq!((reply.status, &*reply.body), (200, "{1}\n"));
    let nothing = get("/api/v1/statements?about=pkg:npm/a@1").await;
    assert_eq!((nothing.status, &*nothing.body), (200, ""));
    let mut many = memory();
    let one = (Sha256::of(b"{1}\n"), b"{1}\n".to_vec());
    many.statements = vec![one.clone(); 2000];
    assert_eq!(ask(many, "GET", &path).await.status, 200);
    let mut more = memory();
    more.statements = vec![one; 2001];
    assert_eq!(ask(more, "GET", &path).await.status, 413);
}

/// The value of a header.
fn header_of<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let mut lines = reply.head.lines().filter_map(|line| line.split_once(": "));
    lines.find_map(|(n, value)| (n == name).then_some(value))
}

#[tokio::test]
async fn who_has_the_bytes_is_told_so() {
    let plan = format!("/plans/sha256:{}", Sha256::of(b"{}\n"));
    let envelope = format!("/attestations/sha256:{}", Sha256::of(b"{1}\n"));
    let key = format!("/keys/{}.pem", operators_key().id);
    let forever = "public, max-age=31536000, immutable";
    for (path, caching) in [
        ("/api/v1/releases", "no-cache"),
        ("/api/v1/releases/2", "no-cache"),
        ("/api/v1/openapi.json", "no-cache"),
        ("/", "no-cache"),
        ("/releases/2", "no-cache"),
        ("/by-digest", "no-cache"),
        ("/style.css", "no-cache"),
        ("/search.js", "no-cache"),
        (&key, "no-cache"),
        (&plan, forever),
        (&envelope, forever),
    ] {
        let reply = get(path).await;
        let tag = format!("\"{}\"", Sha256::of(reply.body.as_bytes()));
        assert_eq!(header_of(&reply, "etag"), Some(&*tag), "{path}");
        assert_eq!(header_of(&reply, "cache-control"), Some(caching), "{path}");
        let head = ask(memory(), "HEAD", path).await;
        assert_eq!((head.status, &*head.body), (200, ""), "{path}");
        for name in ["etag", "content-type", "content-length", "cache-control"] {
            let value = header_of(&reply, name);
            assert_eq!(header_of(&head, name), value, "{path}: {name}");
        }
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            format!("\"x\"\r\nIf-None-Match: {tag}"),
            "*".to_owned(),
        ] {
            for method in ["GET", "HEAD"] {
                let header = format!("If-None-Match: {known}\r\n");
                let reply = ask_with(memory(), method, path, &header).await;
                assert_eq!((reply.status, &*reply.body), (304, ""), "{path} {known}");
                assert_eq!(header_of(&reply, "etag"), Some(&*tag), "{path}");
                assert_eq!(header_of(&reply, "cache-control"), Some(caching), "{path}");
                assert_eq!(header_of(&reply, "content-type"), None, "{path}");
            }
        }
        let unquoted = tag.trim_matches('"');
        for other in ["\"\"", "", unquoted, "\"x\", W/\"y\""] {
            let header = format!("If-None-Match: {other}\r\n");
            let again = ask_with(memory(), "GET", path, &header).await;
            assert_eq!((again.status, &again.body), (200, &reply.body), "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_has_no_tag_and_is_asked_for_again() {
    let zeros = "0".repeat(64);
    for path in ["/nothing", &format!("/plans/sha256:{zeros}"), "/?limit=0"] {
        let reply = ask_with(memory(), "GET", path, "If-None-Match: *\r\n").await;
        assert!([400, 404].contains(&reply.status), "{path}");
        assert_eq!(header_of(&reply, "etag"), None, "{path}");
        assert_eq!(header_of(&reply, "cache-control"), Some("no-cache"));
    }
}
