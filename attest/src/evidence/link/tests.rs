//! Links as rebuilderd writes them, and everything else that could be taken for one. The bytes are ours,
//! under keys of ours; links of public rebuilders are tried end to end (`tests/e2e/evidence.rs`).

use serde_json::json;
use zeroize::Zeroizing;

use super::*;
use crate::digest::{Digests, hex};
use crate::key::PrivateKey;

const FILE: &str = "lib_1.0-1_amd64.deb";

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(Zeroizing::new([seed; 32])).unwrap()
}

fn signed() -> Value {
    let digests = Digests::of(b"package");
    let both = json!({"sha256": digests.sha256, "sha512": digests.sha512});
    json!({
        "_type": "link",
        "name": format!("rebuild {FILE}"),
        "materials": {"lib_1.0-1_amd64.buildinfo": both.clone()},
        "products": {FILE: both},
        "environment": null,
        "byproducts": {},
        "command": [],
    })
}

/// Signed by the worker and by the service, as on public instances.
fn link(signed: &Value) -> Value {
    let bytes = canonical_json(signed).unwrap();
    let signature = |key: &PrivateKey| {
        let value = key.sign(&bytes).unwrap();
        json!({"keyid": key.public().legacy_key_id(), "sig": hex(value.as_bytes())})
    };
    json!({"signatures": [signature(&key(1)), signature(&key(2))], "signed": signed})
}

fn opened(link: &Value) -> Result<Testimony, LinkReadError> {
    open(link.to_string().as_bytes(), &[key(2).public()])
}

#[test]
fn a_link_says_which_file_was_built_again_and_no_more() {
    let testimony = opened(&link(&signed())).unwrap();
    assert_eq!(testimony.signers, [key(2).public()]);
    let Said::Verdict(said) = testimony.said else {
        panic!("{testimony:?}");
    };
    let digests = Digests::of(b"package");
    assert_eq!(said.verdict, Verdict::Reproduced);
    assert_eq!((said.form, &*said.file_name), (Form::Link, FILE));
    assert_eq!(
        (said.sha256, said.sha512),
        (digests.sha256, Some(digests.sha512))
    );
    assert_eq!(
        (said.decided_on, said.source, said.commit),
        (None, None, None)
    );
    assert_eq!((said.purl, said.plan), (None, None));
    // who else signed changes nothing, and neither does how it is written down
    let one = opened(&link(&signed())).unwrap().statement;
    let mut other = link(&signed());
    other["signatures"].as_array_mut().unwrap().remove(0);
    let pretty = serde_json::to_string_pretty(&other).unwrap();
    let again = open(pretty.as_bytes(), &[key(2).public()]).unwrap();
    assert_eq!(again.statement, one);
    let both = [key(2).public(), key(1).public(), key(2).public()];
    let twice = open(link(&signed()).to_string().as_bytes(), &both).unwrap();
    assert_eq!(twice.signers.len(), 2);
}

#[test]
fn no_link_with_a_byte_changed_is_believed() {
    let bytes = link(&signed()).to_string().into_bytes();
    let believed = open(&bytes, &[key(2).public()]).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        // what was signed by others, and the names of keys, are not looked at
        match open(&changed, &[key(2).public()]) {
            Err(_) => {}
            Ok(testimony) => assert_eq!(testimony, believed, "{at}"),
        }
        let mut cut = bytes.clone();
        cut.truncate(at);
        assert!(open(&cut, &[key(2).public()]).is_err());
    }
    assert!(matches!(
        open(&bytes, &[key(3).public()]),
        Err(LinkReadError::Signature)
    ));
    assert!(matches!(open(&bytes, &[]), Err(LinkReadError::Signature)));
}

/// Each of these is signed well and says something else.
#[test]
fn what_is_not_the_rebuild_of_one_file_is_no_evidence() {
    let sum = json!({"sha256": "0".repeat(64)});
    for (what, change) in [
        (
            "a layout",
            (|s| s["_type"] = json!("layout")) as fn(&mut Value),
        ),
        ("another step", |s| s["name"] = json!("build")),
        ("the step of another file", |s| {
            s["name"] = json!("rebuild x.deb");
        }),
        ("no product", |s| s["products"] = json!({})),
        ("no products", |s| {
            s.as_object_mut().unwrap().remove("products");
        }),
        ("several products", |s| {
            let product = s["products"][FILE].clone();
            s["products"]["x.deb"] = product;
        }),
        ("no sha256", |s| {
            let product = s["products"][FILE].as_object_mut().unwrap();
            product.remove("sha256");
        }),
        ("a short digest", |s| {
            s["products"][FILE]["sha256"] = json!("00");
        }),
        ("an upper-case digest", |s| {
            s["products"][FILE]["sha256"] = json!("A".repeat(64));
        }),
        ("a digest of another kind", |s| {
            s["products"][FILE]["sha512"] = json!(1);
        }),
        ("products in a list", |s| s["products"] = json!([1])),
    ] {
        let mut signed = signed();
        change(&mut signed);
        let result = opened(&link(&signed));
        assert!(
            matches!(result, Err(LinkReadError::Claim(_))),
            "{what}: {result:?}"
        );
    }
    for name in ["", "a/b.deb", "a\\b.deb", "a\u{1b}.deb", "a\n.deb", "../x"] {
        let mut signed = signed();
        signed["name"] = json!("rebuild");
        signed["products"] = json!({name: sum.clone()});
        let result = opened(&link(&signed));
        assert!(matches!(result, Err(LinkReadError::Claim(_))), "{name:?}");
    }
    let mut ours = signed();
    ours["name"] = json!("rebuild");
    assert!(opened(&link(&ours)).is_ok(), "as we name the step");
}

#[test]
fn what_software_reads_differently_is_read_by_none() {
    let good = link(&signed()).to_string();
    for bad in [
        good.replacen("\"signed\":{", "\"signed\":{\"_type\":\"link\",", 1),
        good.replacen('{', "{\"signed\":{},", 1),
        good.replacen("\"environment\":null", "\"environment\":1.5", 1),
        format!("{good}{good}"),
        good.replacen(
            "\"command\":[]",
            &format!("\"command\":{}{}", "[".repeat(40), "]".repeat(40)),
            1,
        ),
        String::new(),
        "{}".to_owned(),
        "null".to_owned(),
    ] {
        assert_ne!(bad, good);
        assert!(open(bad.as_bytes(), &[key(2).public()]).is_err(), "{bad}");
    }
    let long = good.replacen(
        "\"byproducts\":{}",
        &format!("\"byproducts\":{{\"x\":\"{}\"}}", "x".repeat(MAX_BYTES)),
        1,
    );
    assert!(matches!(
        open(long.as_bytes(), &[key(2).public()]),
        Err(LinkReadError::Json(_))
    ));
    // of very many signatures the last are not tried
    let mut many = link(&signed());
    let last = many["signatures"][1].clone();
    let none = json!({"keyid": "", "sig": "00"});
    let mut signatures = vec![none; SIGNATURES];
    signatures.push(last.clone());
    many["signatures"] = signatures.clone().into();
    assert!(matches!(opened(&many), Err(LinkReadError::Signature)));
    signatures.swap(0, SIGNATURES);
    many["signatures"] = signatures.into();
    assert!(opened(&many).is_ok());
}

#[test]
fn links_are_told_from_envelopes() {
    assert!(is_link(link(&signed()).to_string().as_bytes()));
    for other in [
        "{}",
        "{\"payloadType\":\"x\"}",
        "{\"signed\":{\"_type\":\"layout\"}}",
        "",
    ] {
        assert!(!is_link(other.as_bytes()), "{other}");
    }
}
