//! A service that answers as rebuilderd does, and one that does anything else.

use countersign_fixtures::registries::{Answer, Registry};
use serde_json::{Value, json};

use super::*;
use crate::http::HttpOptions;

const PAGE: &str = "/api/v1/packages/binary?name=lib&version=1%3A2.0-1%2Bb2&architecture=amd64";

fn subject() -> Asked {
    Asked {
        purl: "pkg:deb/debian/lib@1:2.0-1%2Bb2?arch=amd64".parse().ok(),
        ..Asked::default()
    }
}

fn limits() -> AskLimits {
    AskLimits {
        list_bytes: 2000,
        releases: 2,
        attestations: 3,
        attestation_bytes: 8,
        total_bytes: 20,
        time: Duration::from_secs(20),
    }
}

/// A package as rebuilderd lists it.
fn record(build: Option<u32>, artifact: Option<u32>) -> Value {
    json!({
        "id": 1, "name": "lib", "version": "1:2.0-1+b2", "distribution": "debian", "release": "trixie",
        "component": "main", "architecture": "amd64", "url": "http://192.0.2.1/lib.deb", "status": "GOOD",
        "build_id": build, "artifact_id": artifact, "diffoscope_log_id": null, "attestation_log_id": artifact,
        "last_seen": "2026-11-01T10:00:00.25", "seen_in_last_sync": true,
    })
}

fn put_page(server: &Registry, records: &[Value]) {
    let page = json!({"total": records.len(), "records": records});
    server.put(PAGE, Answer::Bytes(page.to_string().into_bytes()));
}

/// A service with these links of the package, by build and artifact.
fn service(links: &[(u32, u32, &[u8])]) -> Registry {
    let server = Registry::start().unwrap();
    let records: Vec<Value> = links
        .iter()
        .map(|(b, a, _)| record(Some(*b), Some(*a)))
        .collect();
    put_page(&server, &records);
    for (build, artifact, bytes) in links {
        let path = format!("/api/v1/builds/{build}/artifacts/{artifact}/attestation");
        server.put(&path, Answer::Bytes(bytes.to_vec()));
    }
    server
}

async fn asked(server: &Registry, subject: &Asked) -> (Vec<Vec<u8>>, Vec<ProblemKind>) {
    let base = remote::base(&server.url(), false).unwrap();
    let http = Http::new(HttpOptions::default()).unwrap();
    let gathered = ask(&http, &base, subject, &limits()).await;
    for problem in &gathered.problems {
        assert!(
            countersign_attest::escape::is_printable(&problem.message),
            "{problem:?}"
        );
    }
    let bytes = gathered
        .attestations
        .into_iter()
        .map(|found| found.unverified_bytes);
    (
        bytes.collect(),
        gathered.problems.iter().map(|p| p.kind).collect(),
    )
}

#[tokio::test]
async fn links_of_every_build_are_fetched_once_by_its_ids() {
    let server = service(&[(7, 9, b"one"), (7, 9, b"one"), (8, 10, b"two")]);
    let found = asked(&server, &subject()).await;
    assert_eq!(found, (vec![b"one".to_vec(), b"two".to_vec()], vec![]));
    assert_eq!(server.requests().len(), 3, "{:?}", server.requests());
}

#[tokio::test]
async fn what_was_not_built_or_is_not_known_is_said() {
    let server = Registry::start().unwrap();
    put_page(&server, &[record(None, None), record(Some(1), None)]);
    assert_eq!(
        asked(&server, &subject()).await,
        (vec![], vec![ProblemKind::NothingThere])
    );
    put_page(&server, &[]);
    assert_eq!(
        asked(&server, &subject()).await,
        (vec![], vec![ProblemKind::NothingThere])
    );
    // a package that it cannot be asked about: nothing is sent
    let before = server.requests().len();
    for purl in ["pkg:npm/lib@1", "pkg:deb/debian/lib@1"] {
        let subject = Asked {
            purl: purl.parse().ok(),
            file_name: Some("lib_1_amd64.deb".into()),
            ..Asked::default()
        };
        assert_eq!(
            asked(&server, &subject).await,
            (vec![], vec![ProblemKind::NothingThere]),
            "{purl}"
        );
    }
    assert_eq!(
        asked(&server, &Asked::default()).await.1,
        [ProblemKind::NothingThere]
    );
    assert_eq!(server.requests().len(), before);
}

#[tokio::test]
async fn a_hostile_service_gets_no_further_than_a_problem() {
    let bytes = |value: Value| Answer::Bytes(value.to_string().into_bytes());
    let many: Vec<Value> = (1..4).map(|id| record(Some(id), Some(id))).collect();
    let padded = json!({"records": [], "x": "x".repeat(2000)});
    for (answer, kind) in [
        (Answer::Status(500), ProblemKind::Unreachable),
        (Answer::Status(429), ProblemKind::Unreachable),
        (Answer::Status(404), ProblemKind::NothingThere),
        (Answer::Status(403), ProblemKind::BadAnswer),
        (
            Answer::Redirect("http://192.0.2.1/".to_owned()),
            ProblemKind::BadAnswer,
        ),
        (Answer::Bytes(b"<html>".to_vec()), ProblemKind::BadAnswer),
        (
            Answer::Bytes(b"{\"records\":[],\"records\":[]}".to_vec()),
            ProblemKind::BadAnswer,
        ),
        (
            bytes(json!({"records": [{"build_id": "../../x", "artifact_id": 1}]})),
            ProblemKind::BadAnswer,
        ),
        (
            bytes(json!({"records": [{"build_id": -1, "artifact_id": 1}]})),
            ProblemKind::BadAnswer,
        ),
        (
            bytes(json!({"records": [{"build_id": 1.5, "artifact_id": 1}]})),
            ProblemKind::BadAnswer,
        ),
        (bytes(json!({"records": many})), ProblemKind::BadAnswer),
        (bytes(padded), ProblemKind::BadAnswer),
    ] {
        let server = Registry::start().unwrap();
        server.put(PAGE, answer.clone());
        assert_eq!(
            asked(&server, &subject()).await,
            (vec![], vec![kind]),
            "{answer:?}"
        );
    }
    // a link that is too long, one that leads elsewhere; the other one is taken
    let server = service(&[(1, 1, b"123456789"), (2, 2, b"good")]);
    assert_eq!(
        asked(&server, &subject()).await,
        (vec![b"good".to_vec()], vec![ProblemKind::BadAnswer])
    );
    let first = "/api/v1/builds/1/artifacts/1/attestation";
    server.put(first, Answer::Redirect("http://192.0.2.1/".to_owned()));
    assert_eq!(
        asked(&server, &subject()).await,
        (vec![b"good".to_vec()], vec![ProblemKind::BadAnswer])
    );
    server.put(first, Answer::Status(404));
    assert_eq!(
        asked(&server, &subject()).await,
        (vec![b"good".to_vec()], vec![ProblemKind::BadAnswer])
    );
}

#[tokio::test]
async fn of_many_files_the_unknown_are_passed_over_and_a_service_that_is_down_is_left() {
    let server = service(&[(1, 1, b"good")]);
    let base = remote::base(&server.url(), false).unwrap();
    let http = Http::new(HttpOptions::default()).unwrap();
    let other = |purl: &str| Asked {
        purl: purl.parse().ok(),
        ..Asked::default()
    };
    let many = [
        other("pkg:deb/debian/none@1?arch=all"),
        other("pkg:npm/lib@1"),
        subject(),
    ];
    let long = Duration::from_secs(20);
    let gathered = ask_each(&http, &base, &many, long).await;
    assert_eq!(
        (gathered.attestations.len(), gathered.problems.len()),
        (1, 0),
        "{gathered:?}"
    );
    server.put(PAGE, Answer::Status(503));
    let asked = server.requests().len();
    let gathered = ask_each(&http, &base, &[subject(), subject()], long).await;
    assert_eq!(gathered.problems[0].kind, ProblemKind::Unreachable);
    assert_eq!(
        (gathered.problems.len(), server.requests().len()),
        (1, asked + 1)
    );
    server.put(PAGE, Answer::Hang);
    let gathered = ask_each(&http, &base, &[subject()], Duration::from_millis(300)).await;
    assert_eq!(gathered.problems[0].kind, ProblemKind::Unreachable);
}

#[test]
fn files_say_what_they_are_as_distributions_name_them() {
    let named = |name: &str| {
        let subject = Asked {
            file_name: Some(name.to_owned()),
            ..Asked::default()
        };
        package(&subject).map(|p| [p.name, p.version, p.architecture])
    };
    let of = |parts: [&str; 3]| Some(parts.map(str::to_owned));
    assert_eq!(
        named("lib_1%3a2.0-1_amd64.deb"),
        of(["lib", "1:2.0-1", "amd64"])
    );
    assert_eq!(
        named("gcc-libs-14.2.1+r753-1-x86_64.pkg.tar.zst"),
        of(["gcc-libs", "14.2.1+r753-1", "x86_64"])
    );
    for other in ["lib-1.0.tgz", "a-b.pkg.tar", "lib.whl", ""] {
        assert_eq!(named(other), None, "{other}");
    }
}

#[tokio::test]
async fn keys_are_read_strictly_and_by_nobodys_word() {
    let key = PublicKey::from_bytes([7; 32]);
    let ask = async |answer: Answer| {
        let server = Registry::start().unwrap();
        server.put("/api/v1/meta/public-keys", answer);
        let base = remote::base(&server.url(), false).unwrap();
        let http = Http::new(HttpOptions::default()).unwrap();
        unverified_keys(&http, &base, &limits()).await
    };
    let bytes = |keys: Value| Answer::Bytes(json!({"current": keys}).to_string().into_bytes());
    for good in [
        json!([key.to_pem_with_null()]),
        json!([key.to_pem(), key.to_pem_with_null()]),
    ] {
        assert_eq!(ask(bytes(good)).await.unwrap(), [AnyPublicKey::from(key)]);
    }
    let [(private, ecdsa), _] = countersign_fixtures::oss_rebuild::KEYS;
    for bad in [
        json!([]),
        json!(["x"]),
        json!([key.to_pem(), "x"]),
        json!([private]),
        json!([ecdsa]),
        json!(vec![key.to_pem(); MAX_KEYS + 1]),
    ] {
        let error = ask(bytes(bad.clone())).await.unwrap_err();
        assert!(!error.is_fault(), "{bad}");
    }
    assert!(ask(Answer::Status(503)).await.unwrap_err().is_fault());
    assert!(!ask(Answer::Status(404)).await.unwrap_err().is_fault());
}
