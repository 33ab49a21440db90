//! Policies that hold and policies that do not, each with the key that is wrong.

use super::*;
use crate::decide::vectors;

#[test]
fn each_wrong_policy_is_refused_at_the_key_that_is_wrong() {
    let cases = vectors::folder("policy");
    assert!(cases.len() >= 40, "{} cases", cases.len());
    for (name, bytes) in cases {
        let case: vectors::PolicyCase = serde_json::from_slice(&bytes).unwrap();
        let read = serde_json::from_value::<Policy>(case.policy);
        match (case.error, read) {
            (None, Ok(_)) => {}
            (Some(expected), Err(found)) => {
                let found = found.to_string();
                assert!(found.contains(&expected), "{name}: {found}");
            }
            (expected, found) => panic!("{name}: {expected:?}, {found:?}"),
        }
    }
}

#[test]
fn sources_are_compared_without_what_means_nothing() {
    for (a, b) in [
        (
            "git+https://Forge.example/o/r.git",
            "git+https://forge.example/o/r",
        ),
        (
            "git+https://forge.example/o/r/",
            "git+https://forge.example/o/r",
        ),
        ("git+file:lib", "git+file:lib"),
    ] {
        assert_eq!(canonical_source(a), canonical_source(b));
    }
    for (a, b) in [
        (
            "git+https://forge.example/o/R",
            "git+https://forge.example/o/r",
        ),
        (
            "git+http://forge.example/o/r",
            "git+https://forge.example/o/r",
        ),
        (
            "git+https://forge.example/o/r",
            "git+https://forge.example/p/r",
        ),
        (
            "git+https://forge.example:8443/o/r",
            "git+https://forge.example/o/r",
        ),
    ] {
        assert_ne!(canonical_source(a), canonical_source(b));
    }
}
