//! Releases, lists and look-ups.

use super::*;

#[tokio::test]
async fn a_release_is_the_golden_document() {
    let reply = get("/api/v1/releases/2").await;
    assert_eq!(reply.status, 200);
    assert!(
        reply.head.contains("content-type: application/json"),
        "{}",
        reply.head
    );
    let document: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../../golden/release.json")).unwrap();
    assert_eq!(document, golden, "{document:#}");
}

#[tokio::test]
async fn a_list_goes_on_by_its_cursor() {
    let page = async |path| -> (Vec<i64>, Option<i64>) {
        let list: serde_json::Value = serde_json::from_str(&get(path).await.body).unwrap();
        let ids = list["releases"].as_array().unwrap().iter();
        (
            ids.map(|r| r["id"].as_i64().unwrap()).collect(),
            list["next"].as_i64(),
        )
    };
    assert_eq!(page("/api/v1/releases").await, (vec![3, 2, 1], None));
    assert_eq!(
        page("/api/v1/releases?limit=2").await,
        (vec![3, 2], Some(2))
    );
    assert_eq!(
        page("/api/v1/releases?limit=2&after=2").await,
        (vec![1], None)
    );
    for bad in [
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=x",
        "after=x",
        "after=",
    ] {
        assert_eq!(
            get(&format!("/api/v1/releases?{bad}")).await.status,
            400,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn an_artifact_is_found_by_either_digest() {
    let digests = Digests::of(b"published");
    for digest in [
        format!("sha256:{}", digests.sha256),
        format!("sha512:{}", digests.sha512),
    ] {
        let reply = get(&format!("/by-digest/{digest}")).await;
        let document: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(document["digest"], digest);
        assert_eq!(document["matches"].as_array().unwrap().len(), 3);
        assert_eq!(document["matches"][0]["artifact"]["verdict"], "differs");
    }
}

#[tokio::test]
async fn a_list_is_searched() {
    let digests = Digests::of(b"published");
    let count = async |query: String| {
        let reply = get(&format!("/api/v1/releases?q={query}")).await;
        assert_eq!(reply.status, 200, "{query}");
        let list: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        list["releases"].as_array().unwrap().len()
    };
    assert_eq!(count("V1.2".to_owned()).await, 3);
    assert_eq!(count("v9".to_owned()).await, 0);
    assert_eq!(count(String::new()).await, 3);
    assert_eq!(count(digests.sha256.to_string()).await, 3);
    assert_eq!(count(format!("sha512:{}", digests.sha512)).await, 3);
    assert_eq!(count(Sha256::of(b"other").to_string()).await, 0);
    assert_eq!(count("x".repeat(200)).await, 0);
    let long = format!("/api/v1/releases?q={}", "x".repeat(201));
    assert_eq!(get(&long).await.status, 400);
}

#[tokio::test]
async fn a_difference_is_served_as_its_document_and_its_absence_is_said() {
    let published = Sha256::of(b"published");
    let path = format!("/api/v1/releases/2/differences/sha256:{published}");
    let reply = get(&path).await;
    assert_eq!(reply.status, 200);
    let served: Difference = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(served, document("lib.js"));
    let schema = get("/api/v1/difference.schema.json").await;
    assert_eq!(schema.body, crate::difference::SCHEMA);
    for (path, status) in [
        (path.replace("/2/", "/9/"), 404),
        (path.replace("/2/", "/x/"), 400),
        (path.replace("sha256:", ""), 400),
        (path.replace(&published.to_string(), &"0".repeat(64)), 404),
    ] {
        assert_eq!(get(&path).await.status, status, "{path}");
        let page = get(path.strip_prefix("/api/v1").unwrap()).await;
        assert_eq!(page.status, status, "{path}");
        assert!(page.body.starts_with("<!doctype html>"), "{}", page.body);
    }
}
