//! The read routes of rebuilderd's clients.

use super::*;

/// What clients of rebuilderd read, field by field.
#[tokio::test]
async fn clients_of_rebuilderd_are_answered_in_its_words() {
    let value = async |path: &str| -> serde_json::Value {
        let reply = get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        serde_json::from_str(&reply.body).unwrap()
    };
    let query = "name=lib&version=1%3A2.0-1&architecture=amd64";
    let found = value(&format!("/api/v1/packages/binary?{query}")).await;
    let expect = serde_json::json!({"total": 1, "records": [{
        "id": 7, "name": "lib", "version": "1:2.0-1", "distribution": "debian", "release": "bookworm",
        "component": null, "architecture": "amd64", "url": "https://files.example/lib_2.0-1_amd64.deb",
        "status": "GOOD", "build_id": 2, "artifact_id": 7, "diffoscope_log_id": null,
        "attestation_log_id": 7, "last_seen": "2023-11-14T22:13:20", "seen_in_last_sync": true,
    }]});
    assert_eq!(found, expect);
    let link = get("/api/v1/builds/2/artifacts/7/attestation").await;
    assert_eq!((link.status, &*link.body), (200, "{\"link\":1}"));
    let missing = get("/api/v1/builds/2/artifacts/8/attestation").await;
    assert_eq!(missing.status, 404);
    // a client that gets ids takes a missing link for a failure
    for name in ["other", "taken-back"] {
        let query = format!("name={name}&version=1:2.0-1&architecture=amd64");
        let found = value(&format!("/api/v1/packages/binary?{query}")).await;
        let record = &found["records"][0];
        assert_eq!(
            (&record["build_id"], &record["artifact_id"]),
            (&().into(), &().into())
        );
        assert_ne!(record["status"], "GOOD");
    }
    let list = value("/api/v0/pkgs/list").await;
    let states: Vec<&serde_json::Value> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["status"])
        .collect();
    assert_eq!(states, ["GOOD", "BAD", "UNKWN"]);
    let expect = serde_json::json!([{
        "name": "lib", "version": "1:2.0-1", "status": "GOOD", "distro": "debian", "suite": "bookworm",
        "architecture": "amd64", "artifact_url": "https://files.example/lib_2.0-1_amd64.deb",
        "build_id": 2, "built_at": "2023-11-14T22:13:20", "has_diffoscope": false, "has_attestation": true,
    }]);
    let filtered =
        "/api/v0/pkgs/list?status=GOOD&distro=debian&suite=bookworm&architecture=amd64&name=lib";
    assert_eq!(value(filtered).await, expect);
    assert_eq!(
        value("/api/v0/pkgs/list?status=GOOD&name=other").await,
        serde_json::json!([])
    );
    let keys = value("/api/v1/meta/public-keys").await;
    let first = keys["current"][0].as_str().unwrap();
    assert_eq!(first, operators_key().pem_with_null);
    assert_eq!(
        PublicKey::from_pem(first.as_bytes()).unwrap(),
        PublicKey::from_bytes([1; 32])
    );
    assert_eq!(keys["current"].as_array().map(Vec::len), Some(2));
    for bad in ["", "?name=lib", "?name=lib&version=1"] {
        let reply = get(&format!("/api/v1/packages/binary{bad}")).await;
        assert_eq!(reply.status, 400, "{bad}");
    }
    assert_eq!(
        get("/api/v1/builds/x/artifacts/1/attestation").await.status,
        400
    );
}
