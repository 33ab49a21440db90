//! A service that answers as it should, and one that does anything else.

use countersign_attest::digest::Digests;
use countersign_fixtures::registries::{Answer, Registry};
use serde_json::json;

use super::*;
use crate::http::HttpOptions;

const FILE: &[u8] = b"published bytes";

fn subject() -> Asked {
    Asked {
        sha256: Some(Digests::of(FILE).sha256),
        sha512: Some(Digests::of(FILE).sha512),
        ..Asked::default()
    }
}

fn limits() -> AskLimits {
    AskLimits {
        list_bytes: 1000,
        releases: 2,
        attestations: 3,
        attestation_bytes: 8,
        total_bytes: 20,
        time: Duration::from_secs(20),
    }
}

/// A service under a path, with these attestations of the file.
fn service(attestations: &[&[u8]]) -> Registry {
    let server = Registry::start().unwrap();
    let digests: Vec<Sha256> = attestations.iter().map(|bytes| Sha256::of(bytes)).collect();
    put_list(&server, &list_of(&digests));
    for (digest, bytes) in digests.iter().zip(attestations) {
        let path = format!("/peer/attestations/sha256:{digest}");
        server.put(&path, Answer::Bytes(bytes.to_vec()));
    }
    server
}

fn list_of(digests: &[Sha256]) -> serde_json::Value {
    let statements: Vec<_> = digests
        .iter()
        // the address is the service's word, and is not asked
        .map(|digest| json!({"digest": digest, "kind": "verdict", "url": "http://192.0.2.1/"}))
        .collect();
    json!({"matches": [{"release": 1, "artifact": {"name": "x", "statements": statements}}]})
}

fn put_list(server: &Registry, list: &serde_json::Value) {
    let path = format!("/peer/by-digest/sha256:{}", Sha256::of(FILE));
    server.put(&path, Answer::Bytes(list.to_string().into_bytes()));
}

async fn asked(server: &Registry, limits: &AskLimits) -> (Vec<Vec<u8>>, Vec<ProblemKind>) {
    let base = base(&format!("{}peer", server.url()), false).unwrap();
    let http = Http::new(HttpOptions::default()).unwrap();
    let gathered = ask(&http, &base, &subject(), limits).await;
    for problem in &gathered.problems {
        assert!(
            countersign_attest::escape::is_printable(&problem.message),
            "{problem:?}"
        );
    }
    let bytes = gathered.attestations.into_iter();
    (
        bytes.map(|found| found.unverified_bytes).collect(),
        gathered.problems.iter().map(|p| p.kind).collect(),
    )
}

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[tokio::test]
async fn what_is_listed_is_fetched_once_and_in_order() {
    let server = service(&[b"one", b"two", b"one"]);
    let found = asked(&server, &limits()).await;
    assert_eq!(found, (bytes(&["one", "two"]), vec![]));
    let asked_for = server.requests();
    assert_eq!(asked_for.len(), 3, "{asked_for:?}");

    let nothing = Registry::start().unwrap();
    let found = asked(&nothing, &limits()).await;
    assert_eq!(found, (vec![], vec![ProblemKind::NothingThere]));
}

#[tokio::test]
async fn a_file_known_by_its_other_digest_is_asked_for_by_that() {
    let server = service(&[b"one"]);
    let sha512 = Digests::of(FILE).sha512;
    let list = list_of(&[Sha256::of(b"one")]).to_string();
    server.put(
        &format!("/peer/by-digest/sha512:{sha512}"),
        Answer::Bytes(list.into_bytes()),
    );
    let subject = Asked {
        sha512: Some(sha512),
        ..Asked::default()
    };
    let base = base(&format!("{}peer/", server.url()), false).unwrap();
    let http = Http::new(HttpOptions::default()).unwrap();
    let gathered = ask(&http, &base, &subject, &limits()).await;
    assert_eq!(gathered.attestations.len(), 1);
    let name = &gathered.attestations[0].name;
    assert!(name.starts_with(&server.url()), "{name}");
}

#[tokio::test]
async fn bytes_of_another_digest_are_not_taken_and_the_rest_is() {
    let server = service(&[b"one", b"two", b"three"]);
    let path = |text: &[u8]| format!("/peer/attestations/sha256:{}", Sha256::of(text));
    server.put(&path(b"one"), Answer::Bytes(b"One".to_vec()));
    server.put(&path(b"two"), Answer::Status(404));
    let found = asked(&server, &limits()).await;
    let bad = vec![ProblemKind::BadAnswer; 2];
    assert_eq!(found, (bytes(&["three"]), bad));
}

#[tokio::test]
async fn a_service_in_trouble_is_told_from_one_that_answers_nonsense() {
    let list = format!("/peer/by-digest/sha256:{}", Sha256::of(FILE));
    for (answer, kind) in [
        (Answer::Status(500), ProblemKind::Unreachable),
        (Answer::Status(503), ProblemKind::Unreachable),
        (Answer::Status(429), ProblemKind::Unreachable),
        (Answer::Status(404), ProblemKind::NothingThere),
        (Answer::Status(403), ProblemKind::BadAnswer),
        (Answer::Status(204), ProblemKind::BadAnswer),
        (Answer::Bytes(b"<html>".to_vec()), ProblemKind::BadAnswer),
        (Answer::Bytes(b"{}".to_vec()), ProblemKind::BadAnswer),
        (
            Answer::Bytes(b"{\"matches\":[],\"matches\":[]}".to_vec()),
            ProblemKind::BadAnswer,
        ),
        (
            Answer::Bytes(
                b"{\"matches\":[{\"artifact\":{\"statements\":[{\"digest\":\"../../x\"}]}}]}"
                    .to_vec(),
            ),
            ProblemKind::BadAnswer,
        ),
        (
            Answer::Redirect("http://192.0.2.1/".to_owned()),
            ProblemKind::BadAnswer,
        ),
    ] {
        let server = Registry::start().unwrap();
        server.put(&list, answer.clone());
        let found = asked(&server, &limits()).await;
        assert_eq!(found, (vec![], vec![kind]), "{answer:?}");
    }

    // nobody listens
    let server = Registry::start().unwrap();
    let base = base("http://127.0.0.1:1/", false).unwrap();
    let http = Http::new(HttpOptions::default()).unwrap();
    let gathered = ask(&http, &base, &subject(), &limits()).await;
    assert_eq!(gathered.problems[0].kind, ProblemKind::Unreachable);
    assert!(server.requests().is_empty());

    // one that goes down in between keeps what it gave, and is left alone
    let server = service(&[b"one", b"two", b"three"]);
    let second = format!("/peer/attestations/sha256:{}", Sha256::of(b"two"));
    server.put(&second, Answer::Status(502));
    let found = asked(&server, &limits()).await;
    assert_eq!(found, (bytes(&["one"]), vec![ProblemKind::Unreachable]));
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_service_that_keeps_us_waiting_is_left() {
    let server = service(&[b"one", b"two"]);
    let second = format!("/peer/attestations/sha256:{}", Sha256::of(b"two"));
    server.put(&second, Answer::Hang);
    let hasty = AskLimits {
        time: Duration::from_millis(500),
        ..limits()
    };
    let found = asked(&server, &hasty).await;
    assert_eq!(found, (bytes(&["one"]), vec![ProblemKind::Unreachable]));
}

#[tokio::test]
async fn limits_hold_from_both_sides() {
    let server = service(&[b"12345678", b"12345679", b"1234"]);
    let found = asked(&server, &limits()).await;
    assert_eq!((found.0.len(), found.1), (3, vec![]));

    let short = |change: fn(&mut AskLimits)| {
        let mut limits = limits();
        change(&mut limits);
        limits
    };
    let found = asked(&server, &short(|l| l.attestations = 2)).await;
    assert_eq!(found, (vec![], vec![ProblemKind::BadAnswer]));
    let found = asked(&server, &short(|l| l.attestation_bytes = 7)).await;
    assert_eq!(found, (bytes(&["1234"]), vec![ProblemKind::BadAnswer; 2]));
    let found = asked(&server, &short(|l| l.total_bytes = 19)).await;
    assert_eq!((found.0.len(), found.1), (2, vec![ProblemKind::BadAnswer]));

    let length = list_of(&[b"12345678", b"12345679", &b"1234"[..]].map(Sha256::of));
    let length = length.to_string().len() as u64;
    let mut exact = limits();
    exact.list_bytes = length;
    assert_eq!(asked(&server, &exact).await.0.len(), 3);
    exact.list_bytes = length - 1;
    let found = asked(&server, &exact).await;
    assert_eq!(found, (vec![], vec![ProblemKind::BadAnswer]));
}

#[test]
fn an_address_is_a_plain_one_and_private_to_the_way() {
    for (good, expected) in [
        ("https://rebuilder.example", "https://rebuilder.example/"),
        (
            "https://rebuilder.example/a/b",
            "https://rebuilder.example/a/b/",
        ),
        ("http://localhost:8080/", "http://localhost:8080/"),
        ("http://[::1]:1", "http://[::1]:1/"),
    ] {
        assert_eq!(base(good, false).unwrap().as_str(), expected);
    }
    for bad in ["", "rebuilder.example", "/a"] {
        assert!(matches!(base(bad, true), Err(BaseError::Parse(_))), "{bad}");
    }
    for bad in [
        "https://u@rebuilder.example/",
        "https://:p@rebuilder.example/",
        "https://rebuilder.example/?a",
        "https://rebuilder.example/#a",
    ] {
        assert!(matches!(base(bad, true), Err(BaseError::Parts)), "{bad}");
    }
    for bad in ["ftp://rebuilder.example/", "file:///tmp"] {
        assert!(matches!(base(bad, true), Err(BaseError::Scheme)), "{bad}");
    }
    let clear = "http://rebuilder.example/";
    assert!(matches!(base(clear, false), Err(BaseError::Scheme)));
    assert!(base(clear, true).is_ok());
}

#[tokio::test]
async fn a_named_package_is_asked_for_too() {
    let server = service(&[b"on these"]);
    let other = Sha256::of(b"on other");
    let path = format!("/peer/attestations/sha256:{other}");
    server.put(&path, Answer::Bytes(b"on other".to_vec()));
    let q = "q=pkg%3Anpm%2Fleft%401.0.0&limit=2";
    server.put(
        &format!("/peer/api/v1/releases?{q}"),
        Answer::Bytes(br#"{"releases":[{"id":7}],"next":null}"#.to_vec()),
    );
    let release = json!({"artifacts": [
        {"purl": "pkg:npm/left@1.0.0", "statements": [{"digest": other}]},
        {"purl": "pkg:npm/left@1.0.0-beta", "statements": [{"digest": Sha256::of(b"not there")}]},
    ]});
    server.put(
        "/peer/api/v1/releases/7",
        Answer::Bytes(release.to_string().into_bytes()),
    );
    let base = base(&format!("{}peer", server.url()), false).unwrap();
    let http = Http::new(HttpOptions::default()).unwrap();
    let named = Asked {
        purl: "pkg:npm/left@1.0.0".parse().ok(),
        ..subject()
    };
    let gathered = ask(&http, &base, &named, &limits()).await;
    let bytes = gathered
        .attestations
        .iter()
        .map(|a| &a.unverified_bytes[..]);
    assert_eq!(bytes.collect::<Vec<_>>(), [b"on these", b"on other"]);
    assert!(gathered.problems.is_empty(), "{:?}", gathered.problems);

    // nothing about the bytes, and still what is known of the name
    let unknown = Asked {
        sha256: Some(Sha256::of(b"unknown")),
        ..named
    };
    let gathered = ask(&http, &base, &unknown, &limits()).await;
    assert_eq!(gathered.attestations.len(), 1);
    assert_eq!(gathered.problems.len(), 1);
    assert_eq!(gathered.problems[0].kind, ProblemKind::NothingThere);
}
