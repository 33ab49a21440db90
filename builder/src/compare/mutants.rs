//! Tampered copies: none is ever equivalent, unless the mutation is what a normalization names.

use countersign_fixtures::archives::{
    TarEntry, ZipEntry, gzip, gzip_with, pax_record, sign_header, tar, zip,
};
use flate2::{Compression, GzBuilder};

use super::tests::{package, run};
use super::*;

mod bits;

use Caught::{As, Failed, Hidden};
use DifferenceKind::{Container, Content, Mode, OnlyPublished, OnlyRebuilt, Order, Type};

/// How a mutant is caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caught {
    /// As a difference of this kind, when the mutant is the published file.
    As(DifferenceKind),
    /// As an archive that cannot be trusted to mean one thing.
    Failed,
    /// Not at all: it is what these normalizations name, and nothing else.
    Hidden(&'static [&'static str]),
}

const ORDER: &[&str] = &["member-order/v1"];
const DIALECT: &[&str] = &["tar-dialect/v1"];
const PAX: &[&str] = &["pax-bookkeeping/v1"];
const ZIP: &[&str] = &["zip-compression/v1"];

type Mutant = (&'static str, Caught, Vec<u8>);

/// Compares in both directions.
#[track_caller]
fn check(mutant: &[u8], original: &[u8], expect: Caught, what: &str) {
    for (published, rebuilt) in [(mutant, original), (original, mutant)] {
        let result = run(published, rebuilt);
        match (&result, expect) {
            (Comparison::Different { members, .. }, As(kind)) => {
                let kind = match kind {
                    OnlyPublished if published == original => OnlyRebuilt,
                    OnlyRebuilt if published == original => OnlyPublished,
                    kind => kind,
                };
                let found = members.iter().any(|member| member.what == kind);
                assert!(found, "{what}: {members:?}");
            }
            (Comparison::Failed { side, .. }, Failed) => {
                let expect = if published == mutant {
                    "published"
                } else {
                    "rebuilt"
                };
                assert_eq!(side, expect, "{what}");
            }
            (Comparison::Equivalent { normalizations, .. }, Hidden(names)) => {
                let ids: Vec<&str> = normalizations.iter().map(|n| &*n.id).collect();
                let packed = |id: &&&str| !id.starts_with("gzip-");
                let ids: Vec<&str> = ids.iter().filter(packed).copied().collect();
                assert_eq!(ids, names, "{what}");
            }
            _ => panic!("{what}: {result:?}"),
        }
    }
}

fn tar_mutant(change: impl FnOnce(&mut Vec<TarEntry>)) -> Vec<u8> {
    let mut entries = package();
    change(&mut entries);
    tar(&entries)
}

/// A mutation of the first entry's raw header.
pub(super) fn header(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = tar(&package());
    change(&mut bytes[..512]);
    sign_header(&mut bytes);
    bytes
}

/// A mutation of the whole tar.
fn bytes(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = tar(&package());
    change(&mut bytes);
    bytes
}

/// Puts extended headers before the first member.
fn extended(entries: &[TarEntry]) -> Vec<u8> {
    tar_mutant(|e| drop(e.splice(0..0, entries.iter().cloned())))
}

fn pax(records: &[(&str, &str)]) -> TarEntry {
    TarEntry::pax(b'x', records)
}

fn global(records: &[(&str, &str)]) -> TarEntry {
    TarEntry::pax(b'g', records)
}

fn raw_pax(content: &[u8]) -> TarEntry {
    TarEntry {
        flag: b'x',
        ..TarEntry::file("x", content)
    }
}

fn long(flag: u8, name: &[u8]) -> TarEntry {
    TarEntry {
        flag,
        ..TarEntry::file("././@LongLink", name)
    }
}

#[rustfmt::skip] // one row a line
fn members_of_a_tar() -> Vec<Mutant> {
    vec![
        ("byte of content", As(Content), tar_mutant(|e| e[0].content[0] ^= 1)),
        ("longer content", As(Content), tar_mutant(|e| e[0].content.push(b'x'))),
        ("content of an empty member", As(Content), tar_mutant(|e| e[1].content.push(0))),
        ("emptied member", As(Content), tar_mutant(|e| e[0].content.clear())),
        ("executable bit", As(Mode), tar_mutant(|e| e[0].mode = 0o755)),
        ("set-uid bit", As(Mode), tar_mutant(|e| e[2].mode |= 0o4000)),
        ("world-writable", As(Mode), tar_mutant(|e| e[0].mode |= 0o002)),
        ("file type bits in the mode", As(Mode), tar_mutant(|e| e[0].mode |= 0o100_000)),
        ("symlink for a file", As(Type), tar_mutant(|e| e[1] = TarEntry::symlink("package/empty", "x"))),
        ("hard link for a file", As(Type), tar_mutant(|e| (e[1].flag, e[1].link) = (b'1', b"package/index.js".to_vec()))),
        ("hard link for a symlink", As(Type), tar_mutant(|e| e[3].flag = b'1')),
        ("link target", As(Type), tar_mutant(|e| e[3].link = b"../index.js".to_vec())),
        ("folder for a file", As(Type), tar_mutant(|e| e[1].flag = b'5')),
        ("device for a file", As(Type), tar_mutant(|e| e[1].flag = b'3')),
        ("block device for a file", As(Type), tar_mutant(|e| e[1].flag = b'4')),
        ("pipe for a file", As(Type), tar_mutant(|e| e[1].flag = b'6')),
        ("rare type", Failed, tar_mutant(|e| e[1].flag = b'7')),
        ("sparse file", As(Container), tar_mutant(|e| e[0].flag = b'S')),
        ("extra member", As(OnlyPublished), tar_mutant(|e| e.push(TarEntry::file("x", b"x")))),
        ("extra empty member", As(OnlyPublished), tar_mutant(|e| e.insert(1, TarEntry::file("x", b"")))),
        ("missing member", As(OnlyRebuilt), tar_mutant(|e| drop(e.remove(0)))),
        ("missing empty member", As(OnlyRebuilt), tar_mutant(|e| drop(e.remove(1)))),
        ("duplicate member", As(Order), tar_mutant(|e| e.push(e[0].clone()))),
        ("duplicate of other content", As(Order), tar_mutant(|e| e.push(TarEntry::file("package/index.js", b"evil")))),
        ("renamed member", As(OnlyPublished), tar_mutant(|e| e[0].name = b"package/index.mjs".to_vec())),
        ("other case", As(OnlyPublished), tar_mutant(|e| e[0].name = b"package/Index.js".to_vec())),
        ("look-alike name", As(OnlyPublished), tar_mutant(|e| e[0].name = "package/ind\u{435}x.js".into())),
        ("bidirectional name", As(OnlyPublished), tar_mutant(|e| e[0].name = "package/\u{202e}xedni.js".into())),
        ("name that escapes", As(OnlyPublished), tar_mutant(|e| e[0].name = b"../index.js".to_vec())),
        ("dot in a name", As(OnlyPublished), tar_mutant(|e| e[0].name = b"./package/index.js".to_vec())),
        ("trailing slash", As(OnlyPublished), tar_mutant(|e| e[1].name = b"package/empty/".to_vec())),
        ("reordered members", Hidden(ORDER), tar_mutant(|e| e.swap(0, 2))),
        ("swapped contents", As(Content), tar_mutant(|e| {
            let content = e[0].content.clone();
            e[0].content = std::mem::replace(&mut e[2].content, content);
        })),
        ("folder with content", Failed, tar_mutant(|e| e[0].flag = b'5')),
        ("hard link with content", Failed, tar_mutant(|e| e[0].flag = b'1')),
        ("size beyond the end", Failed, tar_mutant(|e| e[4].size = Some(1 << 20))),
        ("padding", As(Container), tar_mutant(|e| e[0].padding = b'x')),
    ]
}

#[rustfmt::skip] // one row a line
fn bytes_of_a_tar() -> Vec<Mutant> {
    let hidden = tar(&[TarEntry::file("hidden", b"x")]);
    vec![
        ("bytes after the end", As(Container), bytes(|b| b.extend_from_slice(b"hidden"))),
        ("archive after the end", As(Container), bytes(|b| b.extend_from_slice(&hidden))),
        ("more zeros at the end", As(Container), bytes(|b| b.resize(b.len() + 512, 0))),
        ("no end", As(Container), bytes(|b| b.truncate(b.len() - 1024))),
        ("half an end", As(Container), bytes(|b| b.truncate(b.len() - 512))),
        ("junk in the end", As(Container), bytes(|b| *b.last_mut().unwrap() = 1)),
        ("wrong sum", Failed, bytes(|b| b[1024] ^= 1)),
        ("bytes after the name", As(Container), header(|h| h[50] = b'x')),
        ("bytes after the link", As(Container), header(|h| h[200] = b'x')),
        ("bytes after the owner name", As(Container), header(|h| h[280] = b'x')),
        ("junk for a time", As(Container), header(|h| h[136..148].copy_from_slice(b"hidden text!"))),
        ("junk for an owner", As(Container), header(|h| h[108..116].copy_from_slice(b"hidden!!"))),
        ("GNU magic with a version of ustar's", As(Container), header(|h| h[262] = b' ')),
        ("GNU magic and an access time", As(Container), header(|h| {
            h[257..265].copy_from_slice(b"ustar  \0");
            h[345..357].copy_from_slice(b"00000000001\0");
        })),
        ("GNU magic and a real size", As(Container), header(|h| {
            h[257..265].copy_from_slice(b"ustar  \0");
            h[483..495].copy_from_slice(b"00000000019\0");
        })),
        ("device number", As(Container), header(|h| h[330] = b'7')),
        ("bytes after the prefix", As(Container), header(|h| h[505] = b'x')),
        ("prefix", As(OnlyPublished), header(|h| h[345] = b'x')),
        ("GNU magic", Hidden(DIALECT), header(|h| h[257..265].copy_from_slice(b"ustar  \0"))),
        ("v7 type flag", As(Container), header(|h| h[156] = 0)),
        ("other octal padding", As(Container), header(|h| h[100..108].copy_from_slice(b"000644 \0"))),
        ("negative size", Failed, header(|h| h[124..136].fill(0xff))),
        ("no mode", Failed, header(|h| h[100..108].fill(b'x'))),
    ]
}

#[rustfmt::skip] // one row a line
fn extended_headers_of_a_tar() -> Vec<Mutant> {
    let mtime = || pax(&[("mtime", "1")]);
    vec![
        ("pax path", As(OnlyPublished), extended(&[pax(&[("path", "evil.js")])])),
        ("pax path that says nothing new", Hidden(PAX), extended(&[pax(&[("path", "package/index.js")])])),
        ("pax path twice", Failed, extended(&[pax(&[("path", "a"), ("path", "package/index.js")])])),
        ("pax link path", As(Container), extended(&[pax(&[("linkpath", "x")])])),
        ("pax size", Failed, extended(&[pax(&[("size", "1")])])),
        ("pax size that says nothing new", Hidden(PAX), extended(&[pax(&[("size", "19")])])),
        ("pax comment", As(Container), extended(&[pax(&[("comment", "hidden")])])),
        ("pax attribute", As(Container), extended(&[pax(&[("SCHILY.xattr.security.capability", "x")])])),
        ("pax sparse", As(Container), extended(&[pax(&[("GNU.sparse.major", "1")])])),
        ("pax time that is none", As(Container), extended(&[pax(&[("mtime", "hidden")])])),
        ("pax owner that is none", As(Container), extended(&[pax(&[("uid", "-1")])])),
        ("pax time and a link", As(Container), extended(&[TarEntry { link: b"x".to_vec(), ..mtime() }])),
        ("pax padding", As(Container), extended(&[TarEntry { padding: 1, ..mtime() }])),
        ("two pax headers", Failed, extended(&[mtime(), mtime()])),
        ("pax record with a wrong length", Failed, extended(&[raw_pax(b"9 mtime=1\n")])),
        ("pax record with a NUL", Failed, extended(&[raw_pax(&pax_record("path", "a\0b"))])),
        ("pax record with a signed length", Failed, extended(&[raw_pax(b"+11 mtime=1\n")])),
        ("pax record with a long length", Failed, extended(&[raw_pax(b"012 mtime=1\n")])),
        ("pax without a member", Failed, tar_mutant(|e| e.push(mtime()))),
        ("global pax time", As(Container), extended(&[global(&[("mtime", "1")])])),
        ("global pax comment", As(Container), extended(&[global(&[("comment", "x")])])),
        ("global pax path", Failed, extended(&[global(&[("path", "x")])])),
        ("GNU long name", As(OnlyPublished), extended(&[long(b'L', b"evil.js\0")])),
        ("GNU long name that says nothing new", Hidden(PAX), extended(&[long(b'L', b"package/index.js\0")])),
        ("GNU long name with a NUL inside", Failed, extended(&[long(b'L', b"a\0b\0")])),
        ("two GNU long names", Failed, extended(&[long(b'L', b"a\0"), long(b'L', b"b\0")])),
        ("GNU long link", As(Container), extended(&[long(b'K', b"x\0")])),
        ("GNU and pax names", Failed, extended(&[long(b'L', b"a\0"), pax(&[("path", "b")])])),
    ]
}

#[test]
fn tampered_tars_are_caught_plain_and_compressed() {
    let original = tar(&package());
    let compressed = gzip(&original);
    let mutants = [
        members_of_a_tar(),
        bytes_of_a_tar(),
        extended_headers_of_a_tar(),
    ];
    for (what, caught, mutant) in mutants.concat() {
        check(&mutant, &original, caught, what);
        check(&gzip(&mutant), &compressed, caught, what);
    }
}

#[test]
fn bytes_around_gzip_streams_are_caught() {
    let payload = tar(&package());
    let original = gzip(&payload);
    let faster = gzip_with(GzBuilder::new(), Compression::fast(), &payload);
    for stream in [&original, &faster] {
        let with = |more: &[u8]| [stream.as_slice(), more].concat();
        check(
            &with(b"x"),
            &original,
            As(Container),
            "a byte after the stream",
        );
        check(
            &with(&[0; 512]),
            &original,
            As(Container),
            "zeros after the stream",
        );
        check(&with(&[0x1f]), &original, As(Container), "half a magic");
        check(
            &with(&gzip(b"")),
            &original,
            As(Container),
            "a second, empty stream",
        );
        check(
            &with(&gzip(&payload)),
            &original,
            As(Container),
            "a second stream",
        );
        check(
            &with(&[0x1f, 0x8b, 8]),
            &original,
            Failed,
            "a second stream, cut off",
        );
    }
    let (head, tail) = payload.split_at(700);
    let split = [gzip(head), gzip(tail)].concat();
    check(
        &split,
        &original,
        As(Container),
        "one payload in two streams",
    );
    for at in [3, original.len() - 1, original.len() - 8] {
        let mut broken = original.clone();
        broken[at] ^= 0x80;
        check(&broken, &original, Failed, "reserved flag, length or sum");
    }
}

#[test]
fn payloads_that_are_no_tar_are_compared_by_digest() {
    check(&gzip(b"one"), &gzip(b"two"), As(Content), "other text");
    check(
        &gzip(&tar(&package())),
        &gzip(b"two"),
        As(Content),
        "a tar for a text",
    );
}

fn zip_entries() -> Vec<ZipEntry> {
    let stored = |entry| ZipEntry {
        level: None,
        ..entry
    };
    vec![
        ZipEntry::file("a.py", b"print(1)\n"),
        ZipEntry::file("empty", b""),
        stored(ZipEntry::file("stored", b"stored")),
        ZipEntry {
            mode: 0o120_777,
            ..stored(ZipEntry::file("link", b"a.py"))
        },
    ]
}

fn zip_mutant(change: impl FnOnce(&mut Vec<ZipEntry>)) -> Vec<u8> {
    let mut entries = zip_entries();
    change(&mut entries);
    zip(&entries, b"")
}

fn extra(bytes: &[u8]) -> Vec<u8> {
    zip_mutant(|e| e[0].extra = bytes.to_vec())
}

#[rustfmt::skip] // one row a line
fn zip_mutants() -> Vec<Mutant> {
    let original = zip(&zip_entries(), b"");
    let fake_end = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    let local = zip(&[ZipEntry::file("evil", b"x")], b"")[..37].to_vec();
    vec![
        ("byte of content", As(Content), zip_mutant(|e| e[0].content[0] ^= 1)),
        ("content of an empty member", As(Content), zip_mutant(|e| e[1].content.push(b'x'))),
        ("executable bit", As(Mode), zip_mutant(|e| e[0].mode = 0o100_755)),
        ("set-uid bit", As(Mode), zip_mutant(|e| e[0].mode |= 0o4000)),
        ("symlink for a file", As(Type), zip_mutant(|e| e[2].mode = 0o120_644)),
        ("link target", As(Type), zip_mutant(|e| e[3].content = b"/etc".to_vec())),
        ("device for a file", As(Type), zip_mutant(|e| e[1].mode = 0o020_644)),
        ("no type", As(Container), zip_mutant(|e| e[0].mode = 0o644)),
        ("rare type", Failed, zip_mutant(|e| e[0].mode = 0o150_644)),
        ("extra member", As(OnlyPublished), zip_mutant(|e| e.push(ZipEntry::file("x", b"")))),
        ("missing member", As(OnlyRebuilt), zip_mutant(|e| drop(e.remove(1)))),
        ("duplicate member", As(Order), zip_mutant(|e| e.push(e[0].clone()))),
        ("renamed member", As(OnlyPublished), zip_mutant(|e| e[0].name = b"b.py".to_vec())),
        ("look-alike name", As(OnlyPublished), zip_mutant(|e| e[0].name = "\u{430}.py".into())),
        ("reordered members", Hidden(ORDER), zip_mutant(|e| e.swap(0, 1))),
        ("stored for deflated", Hidden(ZIP), zip_mutant(|e| e[0].level = None)),
        ("descriptor", Hidden(ZIP), zip_mutant(|e| e[0].descriptor = true)),
        ("unknown extra field", As(Container), extra(b"zz\x01\0x")),
        ("unicode path field", As(Container), extra(b"up\x06\0\x01\0\0\0\0x")),
        ("timestamp of a wrong shape", As(Container), extra(b"UT\x06\0\x01\0\0\0\0x")),
        ("timestamp with unknown flags", As(Container), extra(b"UT\x05\0\x09\0\0\0\0")),
        ("owner of a wrong shape", As(Container), extra(b"ux\x04\0\x01\x01\x01x")),
        ("junk for extra fields", As(Container), extra(b"UT\xff\xffx")),
        ("zip64 field", Failed, extra(b"\x01\0\0\0")),
        ("local name", Failed, zip_mutant(|e| e[0].local_name = Some(b"b.py".to_vec()))),
        ("local sum and length", Failed, zip_mutant(|e| e[0].local_content = Some(b"print(2)\n".to_vec()))),
        ("bytes after a deflate stream", Failed, zip_mutant(|e| e[0].slack = b"hidden".to_vec())),
        ("bytes after the last deflate stream", Failed, zip_mutant(|e| (e[3].level, e[3].slack) = (Some(6), b"hidden".to_vec()))),
        ("bytes after compressed content", Failed, zip_mutant(|e| e[0].gap = b"x".to_vec())),
        ("bytes between members", Failed, zip_mutant(|e| e[2].gap = b"hidden".to_vec())),
        ("a member outside the directory", Failed, zip_mutant(|e| e[2].gap = local)),
        ("bytes before the directory", Failed, zip_mutant(|e| e[3].gap = b"hidden".to_vec())),
        ("trailing bytes", Failed, [original.clone(), b"x".to_vec()].concat()),
        ("a second archive behind", Failed, [original.clone(), original].concat()),
        ("comment", As(Container), zip(&zip_entries(), b"x")),
        ("an end record in the comment", Failed, zip(&zip_entries(), &fake_end)),
        ("folder with content", Failed, zip_mutant(|e| e[0].name = b"a.py/".to_vec())),
        ("NUL in a name", Failed, zip_mutant(|e| e[0].name = b"a.py\0.txt".to_vec())),
    ]
}

#[test]
fn tampered_zips_are_caught() {
    let original = zip(&zip_entries(), b"");
    for (what, caught, mutant) in zip_mutants() {
        check(&mutant, &original, caught, what);
    }
}

#[test]
fn what_is_not_read_of_a_zip_is_refused() {
    let original = zip(&zip_entries(), b"");
    let directory = original
        .windows(4)
        .position(|w| w == b"PK\x01\x02")
        .unwrap();
    // flags and method of the first local header and of its central one
    for (local, central, value) in [(6, 8, 1u8), (6, 8, 64), (8, 10, 12)] {
        let mut mutant = original.clone();
        mutant[local] = value;
        check(&mutant, &original, Failed, "one header");
        mutant[directory + central] = value;
        check(&mutant, &original, Failed, "both headers");
    }
}
