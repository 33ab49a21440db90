//! Answers of servers, good, broken and hostile, and names of tags.

use super::*;

const A: &str = "1111111111111111111111111111111111111111";
const B: &str = "2222222222222222222222222222222222222222";

fn answer(lines: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in lines {
        if text.is_empty() {
            pkt::flush(&mut bytes);
        } else {
            pkt::line(&mut bytes, text);
        }
    }
    bytes
}

fn tag(name: &str, oid: &str, peeled: Option<&str>) -> AdvertisedTag {
    AdvertisedTag {
        name: name.into(),
        oid: oid.parse().expect("an oid"),
        peeled: peeled.map(|oid| oid.parse().expect("an oid")),
    }
}

#[test]
fn both_protocols_yield_the_same_listing() {
    let v2 = answer(&[
        &format!("{A} refs/tags/v2 peeled:{B}\n"),
        &format!("{B} refs/tags/v1\n"),
        "",
    ]);
    let listing = parse_ls_refs(&v2, 10).expect("v2");
    assert_eq!(listing.tags, [tag("v1", B, None), tag("v2", A, Some(B))]);
    for version in [&[][..], &["version 1\n"]] {
        let mut lines = vec!["# service=git-upload-pack\n", ""];
        lines.extend(version);
        let refs = [
            format!("{A} HEAD\0multi_ack side-band-64k shallow symref=HEAD:refs/heads/main\n"),
            format!("{B} refs/tags/v1\n"),
            format!("{A} refs/tags/v2\n"),
            format!("{B} refs/tags/v2^{{}}\n"),
        ];
        lines.extend(refs.iter().map(String::as_str));
        lines.push("");
        let first = parse_first_answer(&answer(&lines), 10);
        assert_eq!(
            first,
            Ok(FirstAnswer::V0(
                Protocol::V0 { shallow: true },
                listing.clone()
            ))
        );
    }
}

#[test]
fn an_empty_repository_has_no_tags() {
    assert_eq!(parse_ls_refs(b"0000", 10), Ok(Listing::default()));
    let zero = "0".repeat(40);
    let v0 = answer(&[&format!("{zero} capabilities^{{}}\0side-band-64k\n"), ""]);
    let expect = FirstAnswer::V0(Protocol::V0 { shallow: false }, Listing::default());
    assert_eq!(parse_first_answer(&v0, 10), Ok(expect));
}

#[test]
fn version_2_is_recognized_with_what_it_can_do() {
    let lines = |fetch| {
        [
            "version 2\n",
            "agent=git/2\n",
            "ls-refs=unborn\n",
            fetch,
            "",
        ]
    };
    let parse = |fetch| parse_first_answer(&answer(&lines(fetch)), 10);
    assert_eq!(
        parse("fetch=shallow wait-for-done\n"),
        Ok(FirstAnswer::V2(Protocol::V2 { shallow: true }))
    );
    assert_eq!(
        parse("fetch\n"),
        Ok(FirstAnswer::V2(Protocol::V2 { shallow: false }))
    );
    assert_eq!(
        parse("object-info\n"),
        Err(AnswerError::Capability("fetch"))
    );
    assert_eq!(
        parse("object-format=sha256\n"),
        Err(AnswerError::ObjectFormat("sha256".into()))
    );
}

#[test]
fn what_is_not_an_answer_is_an_error() {
    let refuses = |lines: &[&str]| parse_first_answer(&answer(lines), 10).expect_err("refused");
    assert!(matches!(
        parse_first_answer(b"<!DOCTYPE html>", 10),
        Err(AnswerError::Packet(_))
    ));
    assert!(matches!(
        parse_first_answer(b"", 10),
        Err(AnswerError::Packet(_))
    ));
    assert!(
        matches!(refuses(&["ERR access denied\x1b[2J\n"]), AnswerError::Server(words) if !words.contains('\x1b'))
    );
    assert!(matches!(refuses(&["nonsense\n", ""]), AnswerError::Line(_)));
    assert!(matches!(
        refuses(&[&format!("{A} HEAD\0side-band-64k\n")]),
        AnswerError::Packet(_)
    ));
    assert!(matches!(
        refuses(&[&format!("{A} HEAD\0shallow\n"), ""]),
        AnswerError::Capability(_)
    ));
    let line = format!("{A} refs/tags/v1\n");
    assert!(matches!(
        parse_ls_refs(&answer(&[&line]), 10),
        Err(AnswerError::Packet(_))
    ));
    let upper = format!("{} refs/tags/v1\n", A.replace('1', "A"));
    assert!(matches!(
        parse_ls_refs(&answer(&[&upper, ""]), 10),
        Err(AnswerError::Line(_))
    ));
    let sha256 = format!("{A}{} refs/tags/v1\n", &A[..24]);
    assert!(matches!(
        parse_ls_refs(&answer(&[&sha256, ""]), 10),
        Err(AnswerError::Line(_))
    ));
}

#[test]
fn the_limit_on_references_holds_exactly() {
    let lines: Vec<String> = (0..5)
        .map(|n| format!("{A} refs/tags/v{n}\n"))
        .chain([String::new()])
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(
        parse_ls_refs(&answer(&lines), 5).map(|l| l.tags.len()),
        Ok(5)
    );
    assert_eq!(
        parse_ls_refs(&answer(&lines), 4),
        Err(AnswerError::TooMany(4))
    );
}

#[test]
fn unusable_names_are_skipped_and_counted() {
    let good = [
        "v1",
        "a/b",
        "<script>alert(1)</script>",
        "it's&\"q\"",
        "naïve",
        "@x/y@1",
        "a@b",
    ];
    let bad: [&[u8]; 21] = [
        b"",
        b"a..b",
        b"../../etc",
        b"a b",
        b"a\x1bb",
        b"a\x7f",
        b"a~1",
        b"a^b",
        b"a:b",
        b"a?b",
        b"a*b",
        b"a[b",
        b"a\\b",
        b"a//b",
        b".a",
        b"a/.b",
        b"a.",
        b"a.lock/b",
        b"a@{1}",
        b"\xff",
        b"-rf",
    ];
    let mut collector = Collector::new(100);
    let oid = A.parse().expect("an oid");
    for name in good.iter().map(|n| n.as_bytes()).chain(bad) {
        let full = [TAGS.as_bytes(), name].concat();
        collector.add(&full, oid, None).expect("below the limit");
    }
    collector
        .add(b"refs/tags/v1", oid, None)
        .expect("below the limit");
    collector
        .add("refs/tags/a\u{202e}b".as_bytes(), oid, None)
        .expect("below the limit");
    collector
        .add(b"refs/heads/main", oid, None)
        .expect("below the limit");
    let listing = collector.finish();
    let mut names: Vec<_> = listing.tags.iter().map(|t| t.name.as_str()).collect();
    let mut expect = good.to_vec();
    expect.sort_unstable();
    names.sort_unstable();
    assert_eq!(names, expect);
    assert_eq!(listing.skipped, 23);
    assert_eq!(listing.skipped_examples.len(), 20);
    assert!(
        listing
            .skipped_examples
            .iter()
            .all(|s| is_printable(&s.name))
    );
    assert!(tag_name(&[b'a'; 250]).is_ok() && tag_name(&[b'a'; 251]).is_err());
}
