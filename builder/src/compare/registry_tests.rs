//! Four cases for every normalization: what it names is equal, other content is different, what lies
//! near it and is not named is caught, and taking it out twice is taking it out once.

use countersign_fixtures::archives::{
    ArEntry, Elf, TarEntry, ZipEntry, ar, gzip, gzip_with, signed_zip, tar, zip,
};
use flate2::{Compression, GzBuilder};

use super::normalization::{REGISTRY, RETIRED, Rule, described, hides, named};
use super::tests::{concluded, package, run, walked};
use super::*;
use crate::archive::Field;

/// What the four cases of one normalization are made of.
struct Cases {
    id: &'static str,
    /// Two sides that differ by what it names alone.
    equal: [Vec<u8>; 2],
    /// The second side with other content.
    different: Vec<u8>,
    /// Second sides that differ by something near it.
    hostile: Vec<Vec<u8>>,
}

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("../../golden/compressed/", $name)).to_vec()
    };
}

fn files(change: impl Fn(&mut TarEntry)) -> Vec<u8> {
    let mut entries = package();
    entries.iter_mut().for_each(change);
    tar(&entries)
}

fn zipped(change: impl FnOnce(&mut ZipEntry)) -> Vec<u8> {
    let mut entry = ZipEntry::file("a", &b"the same over and over ".repeat(9));
    change(&mut entry);
    zip(&[entry, ZipEntry::file("b", b"b")], b"")
}

fn record(lines: &str) -> Vec<u8> {
    zip(
        &[
            ZipEntry::file("a.py", b"print(1)\n"),
            ZipEntry::file("b.py", b""),
            ZipEntry::file("a-1.dist-info/RECORD", lines.as_bytes()),
        ],
        b"",
    )
}

fn jar(manifest: &str) -> Vec<u8> {
    zip(
        &[ZipEntry::file("META-INF/MANIFEST.MF", manifest.as_bytes())],
        b"",
    )
}

fn elf(change: impl FnOnce(&mut Elf)) -> Vec<u8> {
    let mut elf = Elf::new([1; 20], "0123456789.debu", [1, 2, 3, 4]);
    change(&mut elf);
    elf.bytes()
}

#[rustfmt::skip] // compact
fn compressed_cases() -> Vec<Cases> {
    let payload = golden!("payload");
    let named = |name: &str| gzip_with(GzBuilder::new().filename(name).mtime(7), Compression::best(), &payload);
    let after = |bytes: Vec<u8>, more: &[u8]| [bytes, more.to_vec()].concat();
    vec![
        Cases {
            id: "gzip-header/v1",
            equal: [named("a"), named("b")],
            different: gzip(b"x"),
            hostile: vec![after(named("b"), b"\0"), after(named("b"), &gzip(b""))],
        },
        Cases {
            id: "gzip-deflate/v1",
            equal: [gzip(&payload), gzip_with(GzBuilder::new(), Compression::none(), &payload)],
            different: gzip(b"x"),
            hostile: vec![after(gzip(&payload), b"x")],
        },
        Cases {
            id: "xz-encoding/v1",
            equal: [golden!("one.xz"), golden!("other.xz")],
            different: golden!("longer.xz"),
            hostile: vec![after(golden!("other.xz"), &[0; 4]), after(golden!("other.xz"), &golden!("one.xz"))],
        },
        Cases {
            id: "zstd-encoding/v1",
            equal: [golden!("one.zst"), golden!("other.zst")],
            different: golden!("longer.zst"),
            // a skippable frame, which readers pass over
            hostile: vec![after(golden!("other.zst"), b"\x50\x2a\x4d\x18\x01\0\0\0x")],
        },
        Cases {
            id: "bzip2-encoding/v1",
            equal: [golden!("one.bz2"), golden!("other.bz2")],
            different: golden!("longer.bz2"),
            hostile: vec![after(golden!("other.bz2"), b"x"), after(golden!("other.bz2"), &golden!("one.bz2"))],
        },
    ]
}

#[rustfmt::skip] // compact
fn archive_cases() -> Vec<Cases> {
    let moved = |also: Option<TarEntry>| {
        let mut entries = package();
        entries.extend(also);
        let moved = entries.remove(0);
        entries.insert(2, moved);
        tar(&entries)
    };
    let mut twice = package();
    twice.push(TarEntry::file("package/index.js", b"again"));
    let through = [TarEntry::symlink("dir", "/etc"), TarEntry::file("dir/passwd", b"")];
    let old = |change: fn(&mut ArEntry)| {
        let mut entry = ArEntry::file("debian-binary", b"2.0\n");
        change(&mut entry);
        ar(&[entry])
    };
    let filled = |mut bytes: Vec<u8>, more: usize| {
        bytes.resize(bytes.len().next_multiple_of(10_240) + more, 0);
        bytes
    };
    let pid = |name: &str, records: &[(&str, &str)]| {
        let mut entries = package();
        let header = TarEntry { name: name.into(), ..TarEntry::pax(b'x', records) };
        entries.insert(0, header);
        tar(&entries)
    };
    let path: &[_] = &[("path", "package/index.js")];
    vec![
        Cases {
            id: "member-order/v1",
            equal: [tar(&package()), moved(None)],
            different: files(|e| e.mode = 0o600),
            hostile: vec![tar(&twice), tar(&[&through[..], &package()].concat())],
        },
        Cases {
            id: "archive-times/v1",
            equal: [files(|e| e.mtime = 1), files(|e| e.mtime = 2)],
            different: files(|e| if e.flag == b'0' { e.content.push(b'x') }),
            hostile: vec![pid("x", &[("mtime", "hidden")]), old(|e| e.date = "1".into())],
        },
        Cases {
            id: "archive-owners/v1",
            equal: [files(|e| e.uid = 1), files(|e| e.uname = b"alice".to_vec())],
            different: files(|e| e.mode = 0o4755),
            hostile: vec![pid("x", &[("uid", "-1")]), files(|e| e.link = b"hidden".to_vec())],
        },
        Cases {
            id: "pax-bookkeeping/v1",
            equal: [pid("./PaxHeaders.1/a", path), pid("./PaxHeaders.22/a", path)],
            different: pid("./PaxHeaders.1/a", &[("path", "package/other.js")]),
            hostile: vec![pid("./PaxHeaders.1/a", &[("path", "package/index.js"), ("comment", "hidden")])],
        },
        Cases {
            id: "tar-padding/v1",
            equal: [filled(tar(&package()), 0), filled(pid("x", &[("mtime", "1")]), 0)],
            different: filled(tar(&package()), 512),
            hostile: vec![filled(tar(&package()), 10_240)],
        },
        Cases {
            id: "zip-compression/v1",
            equal: [zipped(|_| ()), zipped(|e| (e.level, e.descriptor) = (Some(1), true))],
            different: zipped(|e| e.content.push(b'x')),
            hostile: vec![zipped(|e| e.gap = b"x".to_vec()), zipped(|e| e.slack = b"x".to_vec())],
        },
        Cases {
            id: "zip-maker/v1",
            equal: [zipped(|_| ()), made_by(63, 3)],
            different: zipped(|e| e.mode = 0o100_755),
            hostile: vec![made_by(20, 0), made_by(20, 11)],
        },
        Cases {
            id: "apk-signature/v1",
            equal: [signed(&[(SCHEME, b"theirs")]), signed(&[(SCHEME, b"other key"), (PADDING, &[0; 9])])],
            different: zipped(|e| e.content.push(b'x')),
            hostile: vec![
                signed(&[(SCHEME, b"theirs"), (0x1234, b"a channel, read by the program")]),
                signed(&[(SCHEME, b"theirs"), (PADDING, b"not zeros")]),
            ],
        },
    ]
}

const SCHEME: u32 = 0x7109_871a;
const PADDING: u32 = 0x4272_6577;

fn signed(pairs: &[(u32, &[u8])]) -> Vec<u8> {
    signed_zip(&zipped(|_| ()), pairs)
}

/// The version and the system of the first central header.
fn made_by(version: u8, system: u8) -> Vec<u8> {
    let mut bytes = zipped(|_| ());
    let at = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    (bytes[at + 4], bytes[at + 5]) = (version, system);
    bytes
}

#[rustfmt::skip] // compact
fn content_cases() -> Vec<Cases> {
    // of `print(1)\n` and of nothing, by Python's hashlib and base64
    let (a, b) = ("a.py,sha256=zEIVUIj8pXMHWNtysqW8ozESqUHfqi1DCY7EIs5OohM,9", "b.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0");
    let own = "a-1.dist-info/RECORD,,";
    vec![
        Cases {
            id: "elf-build-id/v1",
            equal: [elf(|_| ()), elf(|e| e.id = vec![9; 20])],
            different: elf(|e| e.code[0] ^= 1),
            hostile: vec![elf(|e| e.id = vec![9; 40]), [elf(|e| e.id = vec![9; 20]), b"x".to_vec()].concat()],
        },
        Cases {
            id: "elf-debug-link/v1",
            equal: [elf(|_| ()), Elf::new([1; 20], "9876543210.debu", [9; 4]).bytes()],
            different: elf(|e| e.code[0] ^= 1),
            hostile: vec![
                elf(|e| e.link[2] = b'/'),
                elf(|e| (e.link[0], e.link_flags) = (b'x', 2)),
                Elf { link: b"hidden code, no sum!".to_vec(), ..Elf::new([1; 20], "0123456789.debu", [1; 4]) }.bytes(),
            ],
        },
        Cases {
            id: "wheel-record/v1",
            equal: [record(&format!("{a}\n{b}\n{own}\n")), record(&format!("{own}\n{b}\n{a}\n"))],
            different: record(&format!("{a}\n{own}\n")),
            hostile: vec![
                record(&format!("{a}\n{}\n{own}\n", b.replace('4', "5"))),
                record(&format!("{a}\n{b}\n{own}\nevil.py,,\n")),
                record(&format!("{a}\n{b}\n{own}\n{a}\n")),
            ],
        },
        Cases {
            id: "jar-manifest/v1",
            equal: [
                jar("Manifest-Version: 1.0\r\nCreated-By: 17 (one)\r\nMain-Class: a.B\r\n\r\n"),
                jar("Manifest-Version: 1.0\nBuilt-By: bob\nMain-Class: a\n .B\n\n"),
            ],
            different: jar("Manifest-Version: 1.0\nMain-Class: a.Evil\n\n"),
            hostile: vec![
                jar("Manifest-Version: 1.0\nMain-Class: a.B\nClass-Path: evil.jar\n\n"),
                jar("Manifest-Version: 1.0\nMain-Class: a.B\n\nName: a/\nCreated-By: hidden\n\n"),
                jar("Manifest-Version: 1.0\nMain-Class: a.B\nCreated-By: x\n\0\n"),
            ],
        },
    ]
}

fn all() -> Vec<Cases> {
    let mut all = compressed_cases();
    all.extend(archive_cases());
    all.extend(content_cases());
    all
}

#[test]
fn every_normalization_has_its_four_cases() {
    let all = all();
    let missing: Vec<&str> = REGISTRY
        .iter()
        .map(|normalization| normalization.id)
        .filter(|id| !all.iter().any(|cases| cases.id == *id))
        .collect();
    assert!(missing.is_empty(), "no cases for {missing:?}");
    assert_eq!(all.len(), REGISTRY.len());
}

#[test]
fn what_a_normalization_names_is_equal_and_it_is_the_smallest_set() {
    for cases in all() {
        let [a, b] = cases.equal.each_ref().map(|bytes| walked(bytes).unwrap());
        let Comparison::Equivalent { normalizations, .. } = concluded(&a, &b) else {
            panic!("{}: {:?}", cases.id, concluded(&a, &b));
        };
        let ids: Vec<&str> = normalizations.iter().map(|n| &*n.id).collect();
        assert!(ids.contains(&cases.id), "{}: {ids:?}", cases.id);
        let set: Vec<_> = ids.iter().map(|id| named(id).unwrap()).collect();
        assert_eq!(normalized_digest(&a, &set), normalized_digest(&b, &set));
        for (without, id) in ids.iter().enumerate() {
            let mut fewer = set.clone();
            fewer.remove(without);
            let digests = [&a, &b].map(|side| normalized_digest(side, &fewer));
            assert_ne!(digests[0], digests[1], "{}: {} is not needed", cases.id, id);
        }
    }
}

#[test]
fn other_content_is_different_whatever_else_is_hidden() {
    for cases in all() {
        let result = run(&cases.equal[0], &cases.different);
        let caught = matches!(result, Comparison::Different { .. });
        assert!(caught, "{}: {result:?}", cases.id);
    }
}

#[test]
fn what_lies_near_is_caught() {
    for cases in all() {
        for (index, hostile) in cases.hostile.iter().enumerate() {
            for (published, rebuilt) in [(&cases.equal[0], hostile), (hostile, &cases.equal[0])] {
                let result = run(published, rebuilt);
                let passed = matches!(result, Comparison::Equivalent { .. });
                assert!(!passed, "{} {index}: {result:?}", cases.id);
            }
        }
    }
}

/// A rule about texts yields a text that it leaves alone. Fields and orders are gone after the first
/// time: the form is a function of the side and the set.
#[test]
fn taking_out_twice_is_taking_out_once() {
    for cases in all() {
        let normalization = named(cases.id).unwrap();
        for side in &cases.equal {
            let walked = walked(side).unwrap();
            let container = walked.container().unwrap();
            let once = normalized_digest(&walked, &[normalization]);
            assert_eq!(once, normalized_digest(&walked, &[normalization]));
            let Rule::Text(rule) = &normalization.rule else {
                continue;
            };
            let mut seen = 0;
            for member in &container.members {
                if !(rule.applies)(&member.name) {
                    continue;
                }
                seen += 1;
                let text = member.content.text.as_deref().unwrap();
                let canonical = (rule.canonical)(container, text).unwrap();
                assert_eq!((rule.canonical)(container, &canonical), Some(canonical));
            }
            assert_eq!(seen, 1, "{}", cases.id);
        }
    }
}

/// Code that lies where the build id or the debug link would be is code.
#[test]
fn nothing_executable_is_hidden_in_an_elf_file() {
    let one = elf(|e| e.segment_flags = 5);
    let other = elf(|e| (e.segment_flags, e.id) = (5, vec![9; 20]));
    let result = run(&one, &other);
    assert!(matches!(result, Comparison::Different { .. }), "{result:?}");
    // the same two where the segment is only read
    let result = run(&elf(|_| ()), &elf(|e| e.id = vec![9; 20]));
    assert!(
        matches!(result, Comparison::Equivalent { .. }),
        "{result:?}"
    );
}

#[test]
fn an_id_is_explained_whenever_it_was_given() {
    for id in [
        "gzip-header/v1",
        "archive-times-owners/v1",
        "gzip-encoding/v1",
    ] {
        assert!(hides(id).is_some() && described(id).starts_with(id), "{id}");
    }
    assert_eq!(described("someone-elses/v7"), "someone-elses/v7");
}

#[test]
fn no_field_is_covered_twice_and_some_never() {
    let mut covered: Vec<Field> = Vec::new();
    for normalization in REGISTRY {
        let (name, version) = normalization.id.split_once("/v").expect("name/vN");
        assert!(!name.is_empty() && version.parse::<u32>().is_ok());
        assert!(!normalization.hides.is_empty() && !normalization.hides.ends_with('.'));
        assert!(RETIRED.iter().all(|(id, _)| *id != normalization.id));
        if let Rule::Fields(fields) = normalization.rule {
            covered.extend(fields);
        }
    }
    let mut unique = covered.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), covered.len());
    let never = [Field::Remainder, Field::End, Field::Comment];
    for field in Field::ALL {
        assert_eq!(unique.contains(field), !never.contains(field), "{field:?}");
    }
}
