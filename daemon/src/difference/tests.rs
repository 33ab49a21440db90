//! The document against its schema, and its words with hostile names in every place.

use countersign_builder::compare::tree::FindingSide::Published;
use serde_json::{Value, json};

use super::*;

/// A document with everything that a tree can hold; `text` stands in every place that a stranger can
/// write to.
pub(crate) fn document(text: &str) -> Difference {
    let sha256 = Sha256::of(b"x").to_string();
    let facts =
        |kind: &str| json!({ "kind": kind, "sizeBytes": 7, "sha256": sha256, "mode": 0o755 });
    let link = json!({ "kind": "symlink", "sizeBytes": 0, "sha256": sha256, "target": text });
    let equal = json!({ "name": "same", "state": "equal", "published": facts("file"), "rebuilt": facts("file") });
    let changed = json!({
        "name": text, "occurrence": 1, "state": "content", "format": text,
        "published": facts("file"), "rebuilt": link, "differs": ["type", "content"],
        "metadata": [
            { "field": "tar-time", "published": text, "normalization": "archive-times/v1" },
            { "field": text, "rebuilt": text },
        ],
        "normalizations": [text],
        "firstDifference": { "offset": 3, "published": "616263", "rebuilt": "" },
        "findings": [{ "side": "both", "what": "duplicate-name", "detail": text }],
    });
    let payload = json!({
        "name": "", "state": "content", "format": "tar", "leftOut": 2,
        "published": facts("payload"), "rebuilt": facts("payload"),
        "children": [changed, { "name": "gone", "state": "only-published", "published": facts("file") }, equal],
    });
    let root = json!({ "name": "", "state": "content", "format": "gzip", "children": [payload] });
    let tree = json!({ "root": root, "leftOut": 2 });
    let value = json!({ "name": text, "published": sha256, "rebuilt": sha256, "tree": tree });
    serde_json::from_value(value).expect("a document")
}

/// Checks the part of JSON Schema that ours uses; says where something does not fit.
fn fits(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let whole: Value = serde_json::from_str(SCHEMA).expect("JSON");
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("a reference inside");
        fits(whole.pointer(pointer).expect(reference), value, at)?;
    }
    let fail = |what: &str| Err(format!("{at}: {what}: {value}"));
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return fail("no word of the list");
    }
    match (schema["type"].as_str(), value) {
        (Some("object"), Value::Object(fields)) => {
            for name in schema["required"].as_array().expect("required") {
                if !fields.contains_key(name.as_str().expect("a name")) {
                    return fail(&format!("{name} is absent"));
                }
            }
            for (name, field) in fields {
                match schema["properties"].get(name) {
                    Some(schema) => fits(schema, field, &format!("{at}/{name}"))?,
                    None => return fail(&format!("{name} is not in the schema")),
                }
            }
            Ok(())
        }
        (Some("array"), Value::Array(items)) => items
            .iter()
            .try_for_each(|item| fits(&schema["items"], item, &format!("{at}[]"))),
        (Some("integer"), Value::Number(number)) if number.is_u64() => Ok(()),
        (Some("string"), Value::String(_)) | (None, _) => Ok(()),
        (Some(kind), _) => fail(&format!("not of type {kind}")),
    }
}

#[test]
fn the_document_is_as_its_schema_says() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let whole: Value = serde_json::from_slice(&document("text").to_json()).expect("JSON");
    assert_eq!(fits(&schema, &whole, ""), Ok(()));
    // every property of the schema is in this one document, so that none of them is a mere word
    let text = whole.to_string();
    for definition in schema["$defs"].as_object().expect("definitions").values() {
        for name in definition["properties"].as_object().into_iter().flatten() {
            assert!(text.contains(&format!("\"{}\"", name.0)), "{}", name.0);
        }
    }
    for change in [
        |v: &mut Value| v["tree"]["root"]["further"] = json!(1),
        |v: &mut Value| v["tree"]["root"]["state"] = json!("fine"),
        |v: &mut Value| v["tree"]["leftOut"] = json!(-1),
        |v: &mut Value| v["tree"]["root"]["children"][0]["published"]["kind"] = json!("socket"),
        |v: &mut Value| drop(v.as_object_mut().expect("an object").remove("rebuilt")),
    ] {
        let mut other = whole.clone();
        change(&mut other);
        assert!(fits(&schema, &other, "").is_err(), "{other}");
    }
}

#[test]
fn the_schema_has_all_our_words() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let node = &schema["$defs"]["node"]["properties"];
    let states = [
        State::Equal,
        State::Metadata,
        State::Content,
        State::OnlyPublished,
        State::OnlyRebuilt,
    ];
    assert_eq!(node["state"]["enum"], json!(states));
    let kinds = [
        DifferenceKind::OnlyPublished,
        DifferenceKind::OnlyRebuilt,
        DifferenceKind::Content,
        DifferenceKind::Type,
        DifferenceKind::Mode,
        DifferenceKind::Order,
        DifferenceKind::Container,
    ];
    assert_eq!(node["differs"]["items"]["enum"], json!(kinds));
    let kinds = [
        NodeKind::File,
        NodeKind::Folder,
        NodeKind::Symlink,
        NodeKind::Hardlink,
        NodeKind::CharacterDevice,
        NodeKind::BlockDevice,
        NodeKind::Fifo,
        NodeKind::Payload,
    ];
    let facts = &schema["$defs"]["facts"]["properties"];
    assert_eq!(facts["kind"]["enum"], json!(kinds));
    let sides = [Published, FindingSide::Rebuilt, FindingSide::Both];
    let finding = &schema["$defs"]["finding"]["properties"];
    assert_eq!(finding["side"]["enum"], json!(sides));
}

#[test]
fn the_text_says_what_differs() {
    let text = document("lib.js").to_text();
    assert_eq!(text, include_str!("../../golden/difference.txt"));
}

#[test]
fn strangers_write_nothing_but_text() {
    for hostile in [
        "\u{1b}[2Jgone",
        "\u{202e}txt.exe",
        "a\nrebuilt: the same",
        "a\rb\u{7}",
    ] {
        let text = document(hostile).to_text();
        for line in text.lines() {
            let plain = line.chars().all(|c| !c.is_control() && c != '\u{202e}');
            assert!(plain, "{line:?}");
        }
        assert!(
            !text
                .lines()
                .any(|line| line.trim_start().starts_with("rebuilt: the same"))
        );
    }
}
