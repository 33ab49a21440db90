//! The JSON Schemas in `attest/schema`, one for each predicate type: made here from the words of the
//! types, so that a new word changes them, and compared with the files that others read.
//!
//! They say what a form can say; that two fields agree with each other is in [`super::super::rules`].
//! That golden statements are valid under them and tampered ones are not is asked of somebody else's
//! validator (`tests/e2e/foreign.rs`).

use serde_json::{Map, Value, json};

use super::*;
use crate::statement::types;

/// Everything that has a name of its own, in the one list that all schemas share.
fn definitions() -> Value {
    let text = |pattern: &str| json!({"type": "string", "pattern": pattern});
    let number = json!({"type": "integer", "minimum": 0});
    let step = |how: &str, more: Value| {
        let mut properties = json!({"how": {"const": how}, "step": number});
        let mut required = vec!["how", "step"];
        for (name, schema) in more.as_object().expect("an object") {
            properties[name] = schema.clone();
            required.push(name);
        }
        json!({"properties": properties, "required": required})
    };
    let exits = json!([
        {"properties": {"how": {"enum": ["completed", "output-missing", "output-rejected"]}}},
        step("exited", json!({"code": {"type": "integer"}})),
        step("signalled", json!({"signal": {"type": "integer"}})),
        step("not-started", json!({})),
        step("timed-out", json!({})),
        step("limit-reached", json!({"limit": {"enum": [
            LimitKind::Silence, LimitKind::Memory, LimitKind::Processes, LimitKind::Disk,
        ]}})),
    ]);
    let means = json!({"enum": [
        Means::None, Means::CgroupV1, Means::CgroupV2, Means::Sampled, Means::Rlimit, Means::Affinity,
    ]});
    let resource = |notes: Value| {
        object(
            json!({"name": named("text"), "digest": named("digest"), "annotations": notes}),
            &["name", "digest", "annotations"],
        )
    };
    let file_notes = || object(json!({"sizeBytes": number}), &["sizeBytes"]);
    json!({
        "sha256": text("^[0-9a-f]{64}$"),
        "sha512": text("^[0-9a-f]{128}$"),
        "gitObject": text("^([0-9a-f]{40}|[0-9a-f]{64})$"),
        "time": text("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"),
        "text": {
            "type": "string", "minLength": 1, "maxLength": 4096,
            "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
        },
        "fileName": {
            "type": "string", "minLength": 1, "maxLength": 255,
            "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f/\\\\]+$", "not": {"enum": [".", ".."]},
        },
        "uri": text("^[A-Za-z][A-Za-z0-9+.-]*:[^\\s]+$"),
        "sourceUri": text("^git\\+(https?://[^@/?#\\s]+([/?#][^\\s]*)?|file:[^/\\\\]+)$"),
        "tagRef": text("^refs/tags/."),
        "versioned": text("^.+/v[0-9]+$"),
        "version": {"type": "object", "additionalProperties": named("text")},
        "digest": closed(
            json!({"sha256": named("sha256"), "sha512": named("sha512")}), &["sha256"],
        ),
        "subject": closed(
            json!({"name": named("text"), "digest": named("digest")}), &["name", "digest"],
        ),
        "rebuilder": object(
            json!({
                "id": named("uri"),
                "version": named("version"),
                "keyIsolation": {"enum": [
                    KeyIsolation::SeparateUid, KeyIsolation::SameUid, KeyIsolation::Hardware,
                ]},
            }),
            &["id", "version", "keyIsolation"],
        ),
        "gitDigests": object(
            json!({
                "gitCommit": named("gitObject"), "gitTree": named("gitObject"),
                "gitTag": named("gitObject"),
            }),
            &["gitCommit", "gitTree"],
        ),
        "source": object(
            json!({
                "uri": named("sourceUri"), "ref": named("tagRef"), "digest": named("gitDigests"),
                "treeSha256": named("sha256"),
                "tag": object(
                    json!({
                        "kind": {"enum": ["annotated", "lightweight"]},
                        "signature": object(
                            json!({
                                "state": {"enum": [
                                    SignatureState::Valid, SignatureState::Invalid,
                                    SignatureState::UnknownKey, SignatureState::ExpiredKey,
                                    SignatureState::Unsigned, SignatureState::Unchecked,
                                ]},
                                "format": {"enum": [
                                    SignatureFormat::Openpgp, SignatureFormat::Ssh,
                                    SignatureFormat::X509,
                                ]},
                                "keyFingerprint": named("text"),
                            }),
                            &["state"],
                        ),
                        "movedFrom": named("gitObject"),
                    }),
                    &["kind", "signature"],
                ),
            }),
            &["uri", "ref", "digest", "tag"],
        ),
        "published": object(
            json!({
                "purl": text("^pkg:[a-z0-9.+-]+/.+@.+$"),
                "fileName": named("fileName"),
                "stage": {"enum": [Stage::Candidate, Stage::Released]},
                "digest": named("digest"),
                "downloadLocation": text("^https?://[^@/?#\\s]+([/?#][^\\s]*)?$"),
                "sizeBytes": number, "retrievedOn": named("time"), "declared": named("text"),
            }),
            &["fileName", "stage", "digest"],
        ),
        "file": resource(file_notes()),
        "rebuiltFile": {"allOf": [
            resource(object(json!({"run": number, "sizeBytes": number}), &["run", "sizeBytes"])),
            {"properties": {"name": named("fileName")}},
        ]},
        "log": resource(object(
            json!({"sizeBytes": number, "droppedBytes": number}), &["sizeBytes", "droppedBytes"],
        )),
        "assist": object(
            json!({
                "kind": {"enum": [
                    AssistKind::LockfileInert, AssistKind::FileTimes, AssistKind::Epoch,
                    AssistKind::Owners, AssistKind::Commit, AssistKind::Metadata,
                    AssistKind::OwnRelease,
                ]},
                "sha256": named("sha256"),
            }),
            &["kind", "sha256"],
        ),
        "comparison": object(
            json!({
                "normalizations": list(object(
                    json!({
                        "id": named("versioned"), "scope": named("text"),
                        "changedPublished": number, "changedRebuilt": number,
                    }),
                    &["id", "scope", "changedPublished", "changedRebuilt"],
                )),
                "normalizedDigest": named("sha256"),
                "differingMembers": list(object(
                    json!({
                        "name": named("text"),
                        "what": {"enum": [
                            MemberChange::OnlyPublished, MemberChange::OnlyRebuilt,
                            MemberChange::Content, MemberChange::Type, MemberChange::Mode,
                            MemberChange::Order, MemberChange::Container,
                        ]},
                        "published": named("sha256"), "rebuilt": named("sha256"),
                    }),
                    &["name", "what"],
                )),
                "unlistedMembers": number,
                "causes": list(named("text")),
            }),
            &["normalizations", "differingMembers", "unlistedMembers", "causes"],
        ),
        "network": {"enum": [Network::None, Network::Replay]},
        "environment": object(
            json!({
                "architecture": named("text"),
                "toolchain": list(object(
                    json!({"name": named("text"), "uri": named("uri")}), &["name", "uri"],
                )),
                "rootTreeSha256": named("sha256"),
                "sandbox": object(
                    json!({
                        "profile": named("versioned"),
                        "idMode": {"enum": [IdMode::RootRange, IdMode::UserRange, IdMode::SingleId]},
                        "limits": {"type": "object", "additionalProperties": number},
                        "enforcement": closed(
                            json!({"memory": means, "processes": means, "cpus": means}),
                            &["memory", "processes", "cpus"],
                        ),
                    }),
                    &["profile", "idMode", "limits"],
                ),
            }),
            &["architecture", "toolchain", "sandbox"],
        ),
        "build": object(
            json!({
                "plan": named("file"),
                "runs": list(object(
                    json!({
                        "startedOn": named("time"), "finishedOn": named("time"),
                        "exit": {"type": "object", "required": ["how"], "oneOf": exits},
                        "log": named("log"),
                    }),
                    &["startedOn", "finishedOn", "exit", "log"],
                )),
                "network": named("network"), "environment": named("environment"),
                "worker": named("text"),
            }),
            &["plan", "runs", "network", "environment"],
        ),
        "variation": object(
            json!({
                "name": named("text"),
                "values": {"type": "array", "items": named("text"), "minItems": 2, "maxItems": 2},
                "outcome": {"enum": [Effect::Stable, Effect::Unstable, Effect::Void]},
            }),
            &["name", "values", "outcome"],
        ),
    })
}

fn named(definition: &str) -> Value {
    json!({"$ref": format!("#/$defs/{definition}")})
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// Fields that a reader does not know take nothing away.
fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

/// Where every field counts.
fn closed(properties: Value, required: &[&str]) -> Value {
    let mut schema = object(properties, required);
    schema["additionalProperties"] = false.into();
    schema
}

fn verdict_predicate() -> Value {
    object(
        json!({
            "verdict": {"enum": Verdict::ALL},
            "reason": {"enum": Reason::ALL},
            "decidedOn": named("time"),
            "rebuilder": named("rebuilder"),
            "source": named("source"),
            "published": named("published"),
            "rebuilt": list(named("rebuiltFile")),
            "assistedBy": list(named("assist")),
            "comparison": named("comparison"),
            "build": named("build"),
            "variations": list(named("variation")),
        }),
        &[
            "verdict",
            "decidedOn",
            "rebuilder",
            "source",
            "published",
            "rebuilt",
        ],
    )
}

/// What a verdict adds: which fields must be there, and which must not.
fn case(verdict: Verdict) -> Value {
    let reasons: Vec<Reason> = Reason::ALL
        .iter()
        .copied()
        .filter(|r| r.verdict() == verdict)
        .collect();
    let mut properties = json!({"verdict": {"const": verdict}});
    let mut required = Vec::new();
    if reasons.is_empty() {
        properties["reason"] = false.into();
    } else {
        properties["reason"] = json!({"enum": reasons});
        required.push("reason");
    }
    if verdict == Verdict::Assisted {
        properties["assistedBy"] = json!({"minItems": 1});
        required.push("assistedBy");
    } else {
        properties["assistedBy"] = json!({"maxItems": 0});
    }
    let unequal = json!({"normalizations": {"maxItems": 0}, "normalizedDigest": false});
    match verdict {
        Verdict::Reproduced | Verdict::Assisted | Verdict::Unstable | Verdict::BuildFailed => {
            properties["comparison"] = false.into();
        }
        Verdict::Equivalent => {
            required.push("comparison");
            properties["comparison"] = json!({
                "required": ["normalizedDigest"],
                "properties": {
                    "normalizations": {"minItems": 1}, "differingMembers": {"maxItems": 0},
                    "unlistedMembers": {"const": 0},
                },
            });
        }
        Verdict::Differs => {
            required.push("comparison");
            properties["comparison"] = json!({
                "properties": unequal,
                "anyOf": [
                    {"properties": {"differingMembers": {"minItems": 1}}},
                    {"properties": {"unlistedMembers": {"minimum": 1}}},
                ],
            });
        }
        Verdict::Indeterminate => properties["comparison"] = json!({"properties": unequal}),
    }
    match verdict {
        Verdict::Reproduced | Verdict::Assisted | Verdict::Equivalent | Verdict::Differs => {
            properties["rebuilt"] = json!({"minItems": 2});
            required.push("build");
        }
        Verdict::Unstable | Verdict::BuildFailed => required.push("build"),
        Verdict::Indeterminate => {}
    }
    json!({
        "properties": properties, "required": required,
        // whatever was built was pinned
        "if": {"required": ["build"]},
        "then": {"properties": {"source": {"required": ["treeSha256"]}}},
    })
}

fn withdrawn_predicate() -> Value {
    let withdraws = object(
        json!({
            "statement": named("sha256"),
            "predicateType": {"enum": [
                types::REPRODUCED, types::ASSISTED, types::EQUIVALENT, types::DIFFERS,
                types::NOT_REBUILT,
            ]},
            "verdict": {"enum": Verdict::ALL},
            "decidedOn": named("time"),
        }),
        &["statement", "predicateType", "verdict", "decidedOn"],
    );
    object(
        json!({
            "withdrawnOn": named("time"),
            "reason": {"enum": WithdrawalReason::ALL},
            "note": named("text"),
            "withdraws": withdraws,
            "rebuilder": named("rebuilder"),
            "published": named("published"),
        }),
        &[
            "withdrawnOn",
            "reason",
            "withdraws",
            "rebuilder",
            "published",
        ],
    )
}

fn build_predicate() -> Value {
    let source = object(
        json!({"uri": named("sourceUri"), "ref": named("tagRef")}),
        &["uri", "ref"],
    );
    let dependency = json!({"anyOf": [
        object(json!({"uri": named("uri"), "digest": named("gitDigests")}), &["uri", "digest"]),
        named("file"),
    ]});
    let definition = object(
        json!({
            "buildType": {"const": types::BUILD_TYPE},
            "externalParameters": object(
                json!({"source": source, "plan": named("file")}), &["source", "plan"],
            ),
            "internalParameters": object(
                json!({
                    "network": named("network"), "environment": named("environment"),
                    "treeSha256": named("sha256"),
                }),
                &["network", "environment", "treeSha256"],
            ),
            "resolvedDependencies": {"type": "array", "items": dependency, "minItems": 1},
        }),
        &[
            "buildType",
            "externalParameters",
            "internalParameters",
            "resolvedDependencies",
        ],
    );
    let details = object(
        json!({
            "builder": object(
                json!({"id": named("uri"), "version": named("version")}), &["id", "version"],
            ),
            "metadata": object(
                json!({"startedOn": named("time"), "finishedOn": named("time")}),
                &["startedOn", "finishedOn"],
            ),
            "byproducts": list(named("log")),
        }),
        &["builder", "metadata", "byproducts"],
    );
    object(
        json!({"buildDefinition": definition, "runDetails": details}),
        &["buildDefinition", "runDetails"],
    )
}

fn statement(title: &str, predicate_type: &str, subjects: Value, predicate: Value) -> Value {
    let mut schema = object(
        json!({
            "_type": {"const": types::STATEMENT},
            "subject": subjects,
            "predicateType": {"const": predicate_type},
            "predicate": predicate,
        }),
        &["_type", "subject", "predicateType", "predicate"],
    );
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = title.into();
    schema["$defs"] = used(&schema, &definitions());
    schema
}

/// The definitions that a schema reaches.
fn used(schema: &Value, all: &Value) -> Value {
    let mut found = Map::new();
    let mut open = vec![schema.clone()];
    while let Some(next) = open.pop() {
        match next {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                let name = fields.get("$ref").and_then(Value::as_str);
                if let Some(name) = name.and_then(|name| name.strip_prefix("#/$defs/"))
                    && !found.contains_key(name)
                {
                    found.insert(name.to_owned(), all[name].clone());
                    open.push(all[name].clone());
                }
                open.extend(fields.into_iter().map(|(_, value)| value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Value::Object(found)
}

/// Every schema, by the name of its file.
fn schemas() -> Vec<(&'static str, Value)> {
    let one = || json!({"type": "array", "items": named("subject"), "minItems": 1, "maxItems": 1});
    let some = || json!({"type": "array", "items": named("subject"), "minItems": 1});
    let verdict = |name: &'static str, predicate_type, verdicts: &[Verdict]| {
        let cases: Vec<Value> = verdicts.iter().copied().map(case).collect();
        let predicate = json!({"allOf": [verdict_predicate(), {"oneOf": cases}]});
        (name, statement(name, predicate_type, one(), predicate))
    };
    let rest = [
        Verdict::Unstable,
        Verdict::BuildFailed,
        Verdict::Indeterminate,
    ];
    vec![
        verdict("reproduced", types::REPRODUCED, &[Verdict::Reproduced]),
        verdict("assisted", types::ASSISTED, &[Verdict::Assisted]),
        verdict("equivalent", types::EQUIVALENT, &[Verdict::Equivalent]),
        verdict("differs", types::DIFFERS, &[Verdict::Differs]),
        verdict("not-rebuilt", types::NOT_REBUILT, &rest),
        (
            "withdrawn",
            statement("withdrawn", types::WITHDRAWN, one(), withdrawn_predicate()),
        ),
        (
            "provenance",
            statement("provenance", types::PROVENANCE, some(), build_predicate()),
        ),
        (
            "build-record",
            statement(
                "build-record",
                types::BUILD_RECORD,
                some(),
                build_predicate(),
            ),
        ),
    ]
}

#[test]
fn the_schemas_in_the_repository_are_those_of_the_types() {
    for (name, schema) in schemas() {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        golden(&format!("../schema/{name}.schema.json"), text.as_bytes());
    }
}

/// Collects `(the object's place, the field)` of every field that a schema describes and the document has,
/// and fails on a field that the schema does not describe.
fn described(document: &Value, schema: &Value, root: &Value, fields: &mut Vec<String>) {
    let mut properties = Map::new();
    let mut open_map = false;
    let mut parts = vec![schema];
    let mut items = Vec::new();
    while let Some(part) = parts.pop() {
        if let Some(name) = part["$ref"].as_str() {
            parts.push(
                root.pointer(name.trim_start_matches('#'))
                    .expect("a definition"),
            );
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            parts.extend(part[key].as_array().into_iter().flatten());
        }
        open_map |= part["additionalProperties"].is_object();
        items.extend(part.get("items"));
        for (name, inner) in part["properties"].as_object().into_iter().flatten() {
            let known = properties
                .entry(name)
                .or_insert_with(|| json!({"allOf": []}));
            known["allOf"].as_array_mut().unwrap().push(inner.clone());
        }
    }
    match document {
        Value::Object(object) if !open_map => {
            for (name, value) in object {
                let inner = properties
                    .get(name)
                    .unwrap_or_else(|| panic!("{name} in {document}"));
                fields.push(name.clone());
                described(value, inner, root, fields);
            }
        }
        Value::Array(values) => {
            let inner = json!({"allOf": items});
            values
                .iter()
                .for_each(|value| described(value, &inner, root, fields));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {}
    }
}

/// The names of all fields in a schema's `properties`.
fn fields_of(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                found.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| fields_of(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| fields_of(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A field that the types write and the schemas forget, or the other way round.
#[test]
fn schemas_and_golden_statements_have_the_same_fields() {
    let schemas = schemas();
    let (mut written, mut named) = (Vec::new(), Vec::new());
    for (_, schema) in &schemas {
        fields_of(schema, &mut named);
    }
    let folder = format!("{}/golden/statements", env!("CARGO_MANIFEST_DIR"));
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        let (_, schema) = schemas
            .iter()
            .find(|(_, s)| s["properties"]["predicateType"]["const"] == document["predicateType"])
            .expect("a schema for each type");
        described(&document, schema, schema, &mut written);
    }
    for fields in [&mut written, &mut named] {
        fields.sort_unstable();
        fields.dedup();
    }
    // these say how a build ended otherwise than the golden ones do
    named.retain(|name| !["signal", "limit"].contains(&name.as_str()));
    assert_eq!(written, named);
}
