//! What is equivalent, and by which normalizations; and how a comparison ends early.

use std::fs::File;
use std::io::Write;

use countersign_fixtures::archives::{TarEntry, ZipEntry, gzip, gzip_with, tar, zip};
use flate2::{Compression, GzBuilder};

use super::*;

/// Puts bytes into a nameless file.
pub(super) fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("room");
    file
}

/// Compares with the default limits.
pub(super) fn run(published: &[u8], rebuilt: &[u8]) -> Comparison {
    compare(file(published), file(rebuilt), &ReadLimits::default()).comparison
}

/// Looks inside, with one key for all.
pub(super) fn walked(bytes: &[u8]) -> Result<Content, ArchiveError> {
    static KEY: std::sync::OnceLock<BlockKey> = std::sync::OnceLock::new();
    let key = KEY.get_or_init(BlockKey::default);
    archive::look_inside(
        bytes,
        &ReadLimits::default(),
        key,
        normalization::wants_text,
    )
}

/// Compares what was walked.
pub(super) fn concluded(published: &Content, rebuilt: &Content) -> Comparison {
    compare_walked(published, rebuilt, &ReadLimits::default()).comparison
}

/// A small package.
pub(super) fn package() -> Vec<TarEntry> {
    vec![
        TarEntry::file("package/index.js", b"module.exports = 1\n"),
        TarEntry::file("package/empty", b""),
        TarEntry {
            mode: 0o755,
            ..TarEntry::file("package/cli.js", b"#!/usr/bin/env node\n")
        },
        TarEntry::symlink("package/link", "index.js"),
        TarEntry::file("package/package.json", br#"{"name":"a"}"#),
    ]
}

/// The same package at another time, by another owner, in pax where npm would not need it.
fn repacked() -> Vec<TarEntry> {
    let owned = |entry: TarEntry| TarEntry {
        uid: 1000,
        uname: b"alice".to_vec(),
        mtime: 1_700_000_000,
        ..entry
    };
    let mut entries: Vec<TarEntry> = package().into_iter().map(owned).collect();
    let records = [
        ("mtime", "1700000000.25"),
        ("uid", "1000"),
        ("uname", "alice"),
    ];
    entries.insert(0, TarEntry::pax(b'x', &records));
    entries
}

#[track_caller]
fn equivalent(published: &[u8], rebuilt: &[u8]) -> (Vec<(String, u64, u64)>, Sha256) {
    match run(published, rebuilt) {
        Comparison::Equivalent {
            normalizations,
            normalized_digest,
            ..
        } => {
            let applied = normalizations.into_iter();
            let applied = applied.map(|a| (a.id, a.changed_published, a.changed_rebuilt));
            (applied.collect(), normalized_digest)
        }
        other => panic!("expected equivalent: {other:?}"),
    }
}

/// Equivalent in both directions by the same normalizations and to the same digest.
#[track_caller]
fn check_equivalent(published: &[u8], rebuilt: &[u8], expect: &[(&str, u64, u64)]) -> Sha256 {
    let (applied, digest) = equivalent(published, rebuilt);
    let plain: Vec<_> = applied.iter().map(|(id, a, b)| (&**id, *a, *b)).collect();
    assert_eq!(plain, expect);
    let (mirrored, other) = equivalent(rebuilt, published);
    let swapped: Vec<_> = applied.into_iter().map(|(id, a, b)| (id, b, a)).collect();
    assert_eq!(mirrored, swapped);
    assert_eq!(other, digest);
    digest
}

const HEADER: &str = "gzip-header/v1";
const DEFLATE: &str = "gzip-deflate/v1";
const ORDER: &str = "member-order/v1";
const TIMES: &str = "archive-times/v1";
const OWNERS: &str = "archive-owners/v1";
const PAX: &str = "pax-bookkeeping/v1";
const ZIP: &str = "zip-compression/v1";

#[test]
fn another_gzip_encoding_of_the_same_payload_is_equivalent() {
    for payload in [tar(&package()), b"no tar at all\n".repeat(100), Vec::new()] {
        let best = gzip(&payload);
        let named = gzip_with(
            GzBuilder::new()
                .mtime(1)
                .filename("a.tar")
                .operating_system(7),
            Compression::best(),
            &payload,
        );
        // flags, time and system in the header; the name, which has no other side
        let digest = check_equivalent(&best, &named, &[(HEADER, 3, 4)]);
        let stored = gzip_with(GzBuilder::new(), Compression::none(), &payload);
        if payload.is_empty() {
            continue; // an empty stream is written in one way only
        }
        // the form depends on what is taken out, and not on the other side
        let both = equivalent(&stored, &named).1;
        assert_ne!(both, digest);
        let faster = gzip_with(GzBuilder::new().mtime(3), Compression::fast(), &payload);
        assert_eq!(equivalent(&faster, &named).1, both);
    }
}

#[test]
fn other_times_and_owners_of_the_same_members_are_equivalent() {
    let (a, b) = (tar(&package()), tar(&repacked()));
    // time, two ids and two names of five members; the pax header and its three records
    let all = [(TIMES, 5, 6), (OWNERS, 20, 22), (PAX, 0, 1)];
    let digest = check_equivalent(&a, &b, &all);
    let mut later = repacked();
    later.iter_mut().for_each(|entry| entry.mtime += 1);
    assert_eq!(equivalent(&tar(&later), &a).1, digest);
    let [times, owners, pax] = all;
    let gzipped = [(DEFLATE, 1, 1), times, owners, pax];
    check_equivalent(&gzip(&a), &gzip(&b), &gzipped);
}

/// Times in pax records make a tar longer, and then other zeros fill its last record.
/// A header says how long a member is, which another encoding changes.
#[test]
fn a_member_that_is_encoded_anew_is_not_another_header() {
    let inner = tar(&package());
    let level = |level| gzip_with(GzBuilder::new(), level, &inner);
    let pack = |data: &[u8]| tar(&[TarEntry::file("data.tar.gz", data)]);
    let (one, other) = (level(Compression::fast()), level(Compression::none()));
    assert_ne!(one.len(), other.len());
    check_equivalent(&pack(&one), &pack(&other), &[(DEFLATE, 1, 1)]);
}

#[test]
fn zeros_that_fill_the_last_record_of_a_tar_follow_from_its_length() {
    let record = |mut bytes: Vec<u8>, more: usize| {
        bytes.resize(bytes.len().next_multiple_of(10_240) + more, 0);
        bytes
    };
    let (a, b) = (tar(&package()), tar(&repacked()));
    let padding = ("tar-padding/v1", 1, 1);
    check_equivalent(
        &record(a.clone(), 0),
        &record(b.clone(), 0),
        &[(TIMES, 5, 6), (OWNERS, 20, 22), (PAX, 0, 1), padding],
    );
    for more in [512, 10_240] {
        let verdict = run(&record(a.clone(), 0), &record(a.clone(), more));
        assert!(matches!(verdict, Comparison::Different { .. }), "{more}");
    }
}

#[test]
fn other_times_owners_and_deflate_streams_in_a_zip_are_equivalent() {
    let content = b"the same thing over and over, over and over\n".repeat(50);
    let a = [ZipEntry::file("a", &content), ZipEntry::file("b", b"")];
    let mut b = a.clone();
    b[0].time = [1, 2, 3, 4];
    b[0].extra = [
        &b"UT\x05\0\x01\0\0\0\0"[..],
        b"ux\x0b\0\x01\x04\0\0\0\0\x04\0\0\0\0",
    ]
    .concat();
    // both headers carry time, timestamp and owner
    let all = [(TIMES, 2, 4), (OWNERS, 0, 2)];
    let digest = check_equivalent(&zip(&a, b"c"), &zip(&b, b"c"), &all);
    assert_ne!(digest, check_equivalent(&zip(&a, b""), &zip(&b, b""), &all));
    let mut c = a.clone();
    c[0].level = Some(1);
    check_equivalent(&zip(&a, b""), &zip(&c, b""), &[(ZIP, 1, 1)]);
    let late = |time: u8| {
        let mut entry = ZipEntry::file("a", &content);
        (entry.descriptor, entry.time) = (true, [time; 4]);
        zip(&[entry], b"")
    };
    check_equivalent(&late(1), &late(2), &[(TIMES, 2, 2)]);
}

#[test]
fn the_same_bytes_are_a_mistake_of_the_caller() {
    for bytes in [gzip(&tar(&package())), b"text".to_vec(), Vec::new()] {
        let Comparison::Failed { side, message } = run(&bytes, &bytes) else {
            panic!("expected a failure");
        };
        assert_eq!(side, "published");
        assert!(message.contains("same bytes"), "{message}");
    }
    // one descriptor, twice: the offsets are shared
    let one = file(&gzip(b"x"));
    let twin = one.try_clone().expect("a descriptor");
    let result = compare(one, twin, &ReadLimits::default()).comparison;
    assert!(matches!(result, Comparison::Failed { .. }));
}

#[test]
fn formats_that_we_do_not_know_or_that_differ_are_not_comparable() {
    let (tar, zip) = (tar(&package()), zip(&[ZipEntry::file("a", b"")], b""));
    for (published, rebuilt, a, b) in [
        (&b"one"[..], &b"two"[..], "unknown", "unknown"),
        (&[], b"two", "unknown", "unknown"),
        (&tar, &gzip(&tar), "tar", "gzip"),
        (&zip, &tar, "zip", "tar"),
        (&[b"#!", &*zip].concat(), &zip, "unknown", "zip"),
    ] {
        let expect = Comparison::NotComparable {
            published_format: a.into(),
            rebuilt_format: b.into(),
        };
        assert_eq!(run(published, rebuilt), expect);
    }
}

#[test]
fn differences_are_named_sorted_and_counted() {
    let mut other = package();
    other[0].content = b"module.exports = 2\n".to_vec();
    other[2].mode = 0o4755;
    other[3].link = b"/etc/passwd".to_vec();
    other[4].name = b"package/p\xc3\xa4ckage.json".to_vec();
    let (a, b) = (gzip(&tar(&package())), gzip(&tar(&other)));
    let Comparison::Different { members, unlisted } = run(&a, &b) else {
        panic!("expected different");
    };
    let found: Vec<_> = members.iter().map(|m| (&*m.name, m.what)).collect();
    let expect = [
        ("package/cli.js", DifferenceKind::Mode),
        ("package/index.js", DifferenceKind::Content),
        ("package/link", DifferenceKind::Type),
        ("package/p%C3%A4ckage.json", DifferenceKind::OnlyRebuilt),
        ("package/package.json", DifferenceKind::OnlyPublished),
    ];
    assert_eq!((found.as_slice(), unlisted), (&expect[..], 0));
    assert_eq!(
        members[1].published,
        Some(Sha256::of(b"module.exports = 1\n"))
    );
    assert_eq!(
        members[1].rebuilt,
        Some(Sha256::of(b"module.exports = 2\n"))
    );
    let limits = ReadLimits {
        listed: 2,
        ..ReadLimits::default()
    };
    let Comparison::Different { members, unlisted } =
        compare(file(&a), file(&b), &limits).comparison
    else {
        panic!("expected different");
    };
    assert_eq!((members.len(), unlisted), (2, 3));
}

#[test]
fn a_moved_member_is_one_difference() {
    let mut moved = package();
    let first = moved.remove(0);
    moved.push(first);
    check_equivalent(&tar(&package()), &tar(&moved), &[(ORDER, 1, 1)]);
    // where a hard link needs what is before it, the order counts
    let link = TarEntry {
        flag: b'1',
        ..TarEntry::symlink("package/hard", "package/index.js")
    };
    let (mut there, mut moved_link) = (package(), moved);
    there.push(link.clone());
    moved_link.push(link);
    let Comparison::Different { members, .. } = run(&tar(&there), &tar(&moved_link)) else {
        panic!("expected different");
    };
    let found: Vec<_> = members.iter().map(|m| (&*m.name, m.what)).collect();
    assert_eq!(found, [("package/index.js", DifferenceKind::Order)]);
}

#[test]
fn a_member_cannot_pose_as_a_word_about_the_container() {
    let posing = tar(&[TarEntry::file("(bytes after the gzip stream)", b"")]);
    let Comparison::Different { members, .. } = run(&gzip(&posing), &gzip(&tar(&[]))) else {
        panic!("expected different");
    };
    // an archive without members is nothing but zeros: it is not taken for a tar
    assert_eq!(members[0].name, "(content)");
    let Comparison::Different { members, .. } = run(&posing, &tar(&package())) else {
        panic!("expected different");
    };
    assert_eq!(members[0].name, "%28bytes after the gzip stream)");
}

/// Bombs, each with a limit that it passes and the same limit raised just enough.
#[test]
fn bombs_end_at_their_limit() {
    let zeros = vec![0; 1 << 20];
    let many: Vec<TarEntry> = (0..20)
        .map(|n| TarEntry::file(&n.to_string(), b""))
        .collect();
    let long = "n".repeat(90);
    let pax = TarEntry::pax(
        b'x',
        &[("comment", &"c".repeat(5000)), ("path", &"p".repeat(90))],
    );
    let limits = ReadLimits {
        members: 20,
        total_bytes: 1 << 18,
        name_bytes: 80,
        metadata_bytes: 1 << 14,
        listed: 1,
        ..ReadLimits::default()
    };
    let zips: Vec<ZipEntry> = (0..21)
        .map(|n| ZipEntry::file(&n.to_string(), b""))
        .collect();
    for (bomb, what, raised) in [
        (
            gzip(&zeros),
            "bytes of content",
            raise(limits, |l| l.total_bytes <<= 3),
        ),
        (
            [gzip(b"a"), zeros.clone()].concat(),
            "bytes of content",
            raise(limits, |l| l.total_bytes <<= 3),
        ),
        (
            gzip(b"a").repeat(22),
            "members",
            raise(limits, |l| l.members = 22),
        ),
        (
            tar(&[many.clone(), many].concat()),
            "members",
            raise(limits, |l| (l.members, l.metadata_bytes) = (40, 1 << 20)),
        ),
        (
            tar(&[TarEntry::file(&long, b"")]),
            "bytes in a name",
            raise(limits, |l| l.name_bytes = 90),
        ),
        (
            tar(&[pax.clone(), pax, TarEntry::file("a", b"")]),
            "two pax headers",
            limits,
        ),
        (
            tar(&[
                TarEntry::pax(b'g', &[("comment", &"c".repeat(20_000))]),
                TarEntry::file("a", b""),
            ]),
            "bytes of headers",
            raise(limits, |l| l.metadata_bytes = 1 << 16),
        ),
        (
            tar(&[TarEntry::file("a", &zeros)]),
            "bytes of content",
            raise(limits, |l| l.total_bytes <<= 3),
        ),
        (
            zip(&[ZipEntry::file("a", &zeros)], b""),
            "bytes of content",
            raise(limits, |l| l.total_bytes <<= 3),
        ),
        (
            zip(&zips, b""),
            "members",
            raise(limits, |l| l.members = 21),
        ),
        (
            zip(&[ZipEntry::file(&long, b"")], b""),
            "bytes in a name",
            raise(limits, |l| l.name_bytes = 90),
        ),
    ] {
        let small = match archive::sniff(&bomb) {
            Format::Gzip => gzip(b"small"),
            Format::Tar => tar(&[TarEntry::file("small", b"")]),
            _ => zip(&[ZipEntry::file("small", b"")], b""),
        };
        let Comparison::Failed { side, message } =
            compare(file(&small), file(&bomb), &limits).comparison
        else {
            panic!("expected {what}");
        };
        assert_eq!(side, "rebuilt");
        assert!(message.contains(what), "{message:?} instead of {what:?}");
        if what.starts_with("two") {
            continue;
        }
        let result = compare(file(&bomb), file(&small), &raised).comparison;
        assert!(
            matches!(result, Comparison::Different { .. }),
            "{what}: {result:?}"
        );
    }
}

fn raise(mut limits: ReadLimits, change: impl FnOnce(&mut ReadLimits)) -> ReadLimits {
    change(&mut limits);
    limits
}

#[test]
fn an_order_is_free_where_no_reader_can_tell() {
    let free = |entries: &[TarEntry]| {
        let walked = walked(&tar(entries)).unwrap();
        order::is_free(walked.container().unwrap())
    };
    let file = |name: &str| TarEntry::file(name, b"");
    let folder = |name: &str| TarEntry {
        flag: b'5',
        ..file(name)
    };
    let hard = TarEntry {
        flag: b'1',
        ..TarEntry::symlink("hard", "a")
    };
    for (entries, expect) in [
        (vec![file("a"), file("b")], true),
        (vec![folder("a/"), file("a/b")], true),
        (vec![file("./a"), folder("./")], true),
        (vec![file("a"), file("a")], false),
        (vec![file("a"), file("./a")], false),
        (vec![file("a"), folder("a/")], false),
        (vec![file("a"), file("A")], false),
        (vec![TarEntry::symlink("a", "/etc"), file("a/b")], false),
        (vec![file("a"), file("a/b/c")], false),
        (vec![file("a"), hard], false),
        (vec![file("a"), file("b/../c")], false),
        (vec![file("a"), file("META-INF/MANIFEST.MF")], false),
        (vec![file("mimetype"), file("a")], false),
    ] {
        let names: Vec<_> = entries.iter().map(|e| archive::escape(&e.name)).collect();
        assert_eq!(free(&entries), expect, "{names:?}");
    }
    let static_library = archive::look_inside(
        &countersign_fixtures::archives::ar(&[])[..],
        &ReadLimits::default(),
        &BlockKey::default(),
        |_| false,
    );
    let static_library = static_library.unwrap();
    assert!(!order::is_free(static_library.container().unwrap()));
}
