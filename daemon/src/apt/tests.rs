//! Tests of reading what apt prints and what it is configured for.

use super::said::{complaint, essential, paragraphs};
use super::*;

const STANZA: &str = "Package: libb1\nSource: b (1:1.0-2)\nVersion: 1:1.0-2+b1\nDescription: two\n lines\n\nPackage: a\nVersion: 1.0\nEssential: yes\n";

#[test]
fn paragraphs_have_fields_and_a_source() {
    let all = paragraphs(STANZA);
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].source(), Some(("b", "1:1.0-2")));
    assert_eq!(all[0].field("description"), Some("two\nlines"));
    assert_eq!(all[1].source(), Some(("a", "1.0")));
    assert_eq!(paragraphs("Source: b (1\n")[0].source(), None);
    assert!(paragraphs(" lost\n\n\n").is_empty());
    assert_eq!(essential(STANZA), ["a"]);
}

#[test]
fn files_need_an_address_and_a_strong_digest() {
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let good = format!("'http://h.example/p/b_1%253a1_all.deb' b_1%3a1_all.deb 7 SHA256:{digest}");
    let uri = Uri::parse(&good).unwrap();
    assert_eq!(uri.file_name, "b_1%3a1_all.deb");
    assert_eq!(uri.sha256.to_string(), digest);
    for bad in [
        "",
        "'http://h.example/x' x 7 MD5Sum:00",
        "'http://h.example/x' x 7 ",
        "'nowhere' x 7 SHA256:00",
        "http://h.example/x x 7",
    ] {
        assert_eq!(Uri::parse(bad), None, "{bad}");
    }
}

#[test]
fn lists_say_suite_and_kind() {
    let line = "        b | 1:1.0 | http://h.example/d s-security/main amd64 Packages";
    let listed = Listed::parse(line).unwrap();
    assert_eq!(
        (listed.version.as_str(), listed.suite.as_str()),
        ("1:1.0", "s-security")
    );
    assert!(!listed.is_source);
    let line = "b | 1.0 | http://h.example/d s/main Sources";
    assert!(Listed::parse(line).unwrap().is_source);
    assert_eq!(Listed::parse("b | 1.0"), None);
    assert_eq!(complaint("x\nW: a\nE: b\nE: c\n", ""), "E: b; E: c");
    let unmet = "Some:\n x : Depends: y but it is not installable\n";
    let all = "E: b; x : Depends: y but it is not installable";
    assert_eq!(complaint("E: b\n", unmet), all);
}

#[test]
fn sources_in_both_formats_come_to_one() {
    let line = "# x\ndeb [arch=amd64 signed-by=/k.gpg] https://h.example/d s main more\ndeb-src https://h.example/d s main\n";
    let stanza = "Types: deb\nURIs: https://h.example/d\nSuites: s\nComponents: main more\nSigned-By: /k.gpg\nTrusted: yes\n";
    let sources = Sources::parse(line).unwrap();
    assert_eq!(Sources::parse(stanza).unwrap(), sources);
    let text = sources.to_string();
    assert_eq!(Sources::parse(&text).unwrap(), sources);
    assert!(text.starts_with("Types: deb deb-src\n"), "{text}");
    assert!(!text.contains("Trusted"), "nothing is trusted unsigned");
    let two = "URIs: https://h.example/d\nSuites: s s-security\nComponents: main\nSigned-By:\n -----BEGIN-----\n .\n x\n";
    let other = Sources::parse(two).unwrap().of_release("t").to_string();
    assert!(other.contains("Suites: t t-security\n"), "{other}");
    assert!(other.contains("\n -----BEGIN-----\n .\n x\n"), "{other}");
}

#[test]
fn sources_that_cannot_be_taken_are_refused() {
    for bad in [
        "",
        "deb",
        "deb https://h.example/d",
        "deb https://h.example/d s",
        "deb file:///d s main",
        "deb https://u:p@h.example/d s main",
        "deb [signed-by=/k https://h.example/d s main",
        "deb https://h.example/d s;x main",
        "URIs: https://h.example/d\nSuites: s\n",
        "Enabled: no\nURIs: https://h.example/d\nSuites: s\nComponents: main\n",
    ] {
        assert!(Sources::parse(bad).is_err(), "{bad}");
    }
}
