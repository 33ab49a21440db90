//! The OpenAPI document against what is served: the same routes, the same fields, the same words.

use std::collections::BTreeSet;

use countersign_attest::digest::Sha256;
use countersign_attest::verdict::{Reason, Verdict};
use serde_json::{Value, json};

use super::programs;
use super::tests::{get, operators_key};

fn document() -> Value {
    serde_json::from_str(include_str!("openapi.json")).unwrap()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// What a schema says, after its references; of a choice, what is not null.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(path) = schema["$ref"].as_str() {
        let found = document.pointer(path.strip_prefix('#').unwrap());
        return resolved(document, found.unwrap_or_else(|| panic!("{path}")));
    }
    match schema["oneOf"].as_array() {
        Some(choice) => resolved(document, &choice[0]),
        None => schema,
    }
}

/// Fails unless each object has the fields of its schema, all of them and no other.
fn assert_fits(document: &Value, schema: &Value, value: &Value, at: &str) {
    let nullable = schema["oneOf"][1]["type"] == "null"
        || schema["type"]
            .as_array()
            .is_some_and(|types| types.contains(&json!("null")));
    let schema = resolved(document, schema);
    let is = |name: &str| {
        schema["type"] == name
            || schema["type"]
                .as_array()
                .is_some_and(|types| types.contains(&json!(name)))
    };
    match value {
        Value::Null => assert!(nullable, "{at} is null"),
        Value::Object(fields) => {
            assert!(is("object"), "{at}: {schema}");
            let Some(properties) = schema.get("properties") else {
                return;
            };
            assert_eq!(keys(value), keys(properties), "{at}");
            let required = schema["required"].as_array().unwrap().iter();
            let required = required.map(|name| name.as_str().unwrap().to_owned());
            assert_eq!(required.collect::<BTreeSet<_>>(), keys(value), "{at}");
            for (name, field) in fields {
                assert_fits(document, &properties[name], field, &format!("{at}/{name}"));
            }
        }
        Value::Array(items) => {
            assert!(is("array"), "{at}: {schema}");
            for item in items {
                assert_fits(document, &schema["items"], item, &format!("{at}[]"));
            }
        }
        Value::String(text) => {
            assert!(is("string"), "{at}: {schema}");
            let words = schema["enum"].as_array();
            assert!(words.is_none_or(|w| w.contains(value)), "{at}: {text}");
        }
        Value::Number(_) => assert!(is("integer"), "{at}: {schema}"),
        Value::Bool(_) => assert!(is("boolean"), "{at}: {schema}"),
    }
}

/// A path that has an answer.
fn example(path: &str) -> String {
    let published = Sha256::of(b"published");
    path.replace(
        "differences/{digest}",
        &format!("differences/sha256:{published}"),
    )
    .replace(
        "/candidates/{id}",
        &format!("/candidates/sha256:{}", super::tests::candidate()),
    )
    .replace("{id}", "2")
    .replace("{artifact}", "7")
    .replace(
        "packages/binary",
        "packages/binary?name=lib&version=1:2.0-1&architecture=amd64",
    )
    .replace("{file}", &format!("{}.pem", operators_key().id))
    .replace(
        "/by-digest/{digest}",
        &format!("/by-digest/sha256:{}", Sha256::of(b"published")),
    )
    .replace(
        "/api/v1/statements",
        &format!("/api/v1/statements?about=sha256:{published}&about=pkg:npm/a@1"),
    )
    .replace(
        "/plans/{digest}",
        &format!("/plans/sha256:{}", Sha256::of(b"{}\n")),
    )
    .replace(
        "/attestations/{digest}",
        &format!("/attestations/sha256:{}", Sha256::of(b"{1}\n")),
    )
}

#[tokio::test]
async fn the_document_has_every_route_and_no_other() {
    let served = programs().map(|(path, _)| path.to_owned());
    assert_eq!(keys(&document()["paths"]), BTreeSet::from(served));
    let reply = get("/api/v1/openapi.json").await;
    let served: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(served, document());
    assert_eq!(served["openapi"], "3.1.0");
}

#[tokio::test]
async fn every_path_answers_as_the_document_says() {
    let document = document();
    for path in keys(&document["paths"]) {
        if document["paths"][&path].get("get").is_none() {
            continue; // the one door for writing has a test of its own
        }
        let reply = get(&example(&path)).await;
        assert_eq!(reply.status, 200, "{path}");
        let content = &document["paths"][&path]["get"]["responses"]["200"]["content"];
        let media_type = keys(content).pop_first().unwrap();
        let header = format!("content-type: {media_type}\r\n");
        assert!(reply.head.contains(&header), "{path}: {}", reply.head);
        if let Ok(body) = serde_json::from_str(&reply.body) {
            assert_fits(&document, &content[&media_type]["schema"], &body, &path);
        }
    }
}

#[tokio::test]
async fn problems_are_as_the_document_says() {
    let document = document();
    for (path, status) in [
        ("/api/v1/releases/9", "404"),
        ("/api/v1/releases/x", "400"),
        ("/api/v1/releases?limit=0", "400"),
    ] {
        let body = serde_json::from_str(&get(path).await.body).unwrap();
        let route = path.split('?').next().unwrap();
        let route = route.replace("/9", "/{id}").replace("/x", "/{id}");
        let response = &document["paths"][&route]["get"]["responses"][status];
        let schema =
            &resolved(&document, response)["content"]["application/problem+json"]["schema"];
        assert!(schema.is_object(), "{route} {status}");
        assert_fits(&document, schema, &body, path);
    }
}

#[test]
fn the_golden_release_has_exactly_the_fields_of_its_schema() {
    let golden: Value = serde_json::from_str(include_str!("../../golden/release.json")).unwrap();
    let (document, schema) = (
        document(),
        json!({ "$ref": "#/components/schemas/Release" }),
    );
    assert_fits(&document, &schema, &golden, "");
    // and the comparison finds what is wrong
    let refused = |change: fn(&mut Value)| {
        let mut other = golden.clone();
        change(&mut other);
        let fits = || assert_fits(&document, &schema, &other, "");
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(fits)).is_err());
    };
    refused(|release| release["further"] = json!(1));
    refused(|release| release["artifacts"][0]["statements"][0]["further"] = json!(1));
    refused(|release| {
        let rebuild = release["rebuilds"][0].as_object_mut().unwrap();
        rebuild.remove("plan");
    });
    refused(|release| release["artifacts"][0]["verdict"] = json!("good"));
    refused(|release| release["tag"] = Value::Null);
    refused(|release| release["id"] = json!("2"));
}

#[test]
fn the_document_has_all_our_words() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["Verdict"]["enum"], json!(Verdict::ALL));
    assert_eq!(schemas["Reason"]["enum"], json!(Reason::ALL));
}
