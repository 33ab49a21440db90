//! What the four cases of each normalization are made of.

use countersign_fixtures::archives::{
    ArEntry, Elf, TarEntry, ZipEntry, ar, gzip, gzip_with, signed_zip, tar, zip,
};
use countersign_fixtures::signed::{
    BINARY, CMS, ENTITLEMENTS, MachO, Pe, Rpm, blob, code_directory, signed_data,
};
use flate2::{Compression, GzBuilder};

use super::super::mutants::header;
use super::super::tests::package;

/// What the four cases of one normalization are made of.
pub(super) struct Cases {
    pub(super) id: &'static str,
    /// Two sides that differ by what it names alone.
    pub(super) equal: [Vec<u8>; 2],
    /// The second side with other content.
    pub(super) different: Vec<u8>,
    /// Second sides that differ by something near it.
    pub(super) hostile: Vec<Vec<u8>>,
}

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("../../../golden/compressed/", $name)).to_vec()
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

pub(super) fn elf(change: impl FnOnce(&mut Elf)) -> Vec<u8> {
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
            id: "tar-dialect/v1",
            equal: [tar(&package()), header(|h| {
                h[257..265].copy_from_slice(b"ustar  \0");
                h[329..345].copy_from_slice(b"0000000\x000000000\0");
            })],
            different: files(|e| e.mode = 0o600),
            hostile: vec![
                header(|h| h[329..337].fill(b' ')),
                // a prefix is a part of the name for one of them alone
                header(|h| (h[262], h[345]) = (b' ', b'x')),
                header(|h| h[257..265].fill(0)),
                header(|h| h[263] = b'1'),
                header(|h| h[330] = b'7'),
                header(|h| h[329] = 0x80),
                header(|h| h[511] = 1),
            ],
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
    ]
}

const SCHEME: u32 = 0x7109_871a;
const PADDING: u32 = 0x4272_6577;
/// A length, then signers.
const SIGNERS: &[u8] = b"\x06\0\0\0theirs";

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

#[rustfmt::skip] // compact
fn publisher_cases() -> Vec<Cases> {
    let (theirs, others) = (signed_data(b"theirs"), signed_data(b"with another key"));
    let pe = |change: fn(&mut Pe)| {
        let mut pe = Pe::signed(&[&signed_data(b"theirs")]);
        change(&mut pe);
        pe.bytes()
    };
    let macho = |change: fn(&mut MachO)| {
        let mut macho = MachO::signed("org.example", &signed_data(b"theirs"));
        change(&mut macho);
        macho.bytes()
    };
    let rpm = |change: fn(&mut Rpm)| {
        let mut rpm = Rpm::new(&[(268, b"theirs"), (1008, &[0; 9])]);
        change(&mut rpm);
        rpm.bytes()
    };
    vec![
        Cases {
            id: "apk-signature/v2",
            equal: [signed(&[(SCHEME, SIGNERS)]), signed(&[(SCHEME, b"\x09\0\0\0other key"), (PADDING, &[0; 9])])],
            different: zipped(|e| e.content.push(b'x')),
            hostile: vec![
                signed(&[(SCHEME, SIGNERS), (0x1234, b"a channel, read by the program")]),
                signed(&[(SCHEME, SIGNERS), (PADDING, b"not zeros")]),
                signed(&[(SCHEME, SIGNERS), (SCHEME, b"\x06\0\0\0second")]),
                signed(&[(SCHEME, b"\x06\0\0\0theirs and behind it")]),
            ],
        },
        Cases {
            id: "rpm-signature/v1",
            equal: [Rpm::new(&[(1008, &[0; 30])]).bytes(), Rpm::new(&[(268, &theirs), (1005, &others), (1008, &[0; 5])]).bytes()],
            different: rpm(|r| r.payload[0] ^= 1),
            hostile: vec![
                rpm(|r| r.header[0] ^= 1),
                rpm(|r| r.signatures[0].3[0] ^= 1),
                rpm(|r| r.signatures.push((1500, BINARY, 6, b"hidden".to_vec()))),
                rpm(|r| r.signatures.push((268, BINARY, 6, b"hidden".to_vec()))),
                rpm(|r| r.signatures[3].3 = b"not zeros".to_vec()),
                rpm(|r| r.signatures[2].3.extend(b"behind the last")),
                rpm(|r| r.hidden = b"hidden".to_vec()),
                rpm(|r| r.fill = b'x'),
                // where a signature should be, but another type
                rpm(|r| r.signatures[2].1 = 6),
            ],
        },
        Cases {
            id: "pe-signature/v1",
            equal: [Pe::new().bytes(), Pe::signed(&[&theirs, &others]).bytes()],
            different: pe(|p| p.code[0] ^= 1),
            hostile: vec![
                pe(|p| p.after = b"appended".to_vec()),
                pe(|p| p.after = vec![0; 8]),
                pe(|p| p.table.extend(b"no entry")),
                pe(|p| p.table.extend([0; 8])),
                pe(|p| p.table = Pe::signed(&[b"no signature, but something else"]).table),
                pe(|p| p.table = Pe::signed(&[&[&signed_data(b"theirs")[..], b"and behind it"].concat()]).table),
                pe(|p| *p.table.last_mut().unwrap() = 1),
                pe(|p| p.table[6] = 1),
                pe(|p| p.table_bytes = Some(8)),
                pe(|p| p.table_bytes = Some(4096)),
                pe(|p| (p.earlier, p.table_bytes) = (8, Some(u32::try_from(p.table.len()).unwrap() + 8))),
                pe(|p| p.sum = Some(1)),
            ],
        },
        Cases {
            id: "macho-signature/v1",
            equal: [MachO::new().bytes(), MachO::signed("org.example", &theirs).bytes()],
            different: macho(|m| m.code[0] ^= 1),
            hostile: vec![
                macho(|m| m.after = b"appended".to_vec()),
                macho(|m| m.fill = b"hidden".to_vec()),
                macho(|m| m.late_command = true),
                macho(|m| m.parts.insert(1, (ENTITLEMENTS, blob(0xfade_7171, b"allowed")))),
                macho(|m| m.parts.push((CMS + 1, blob(0xfade_0b01, b"")))),
                macho(|m| m.parts[1].1 = blob(0xfade_0b01, &[&signed_data(b"theirs")[..], b"hidden"].concat())),
                macho(|m| m.parts[0].1 = blob(0xfade_0c02, &[&m.parts[0].1[8..], b"hidden"].concat())),
                macho(|m| m.parts[0].1 = code_directory("org.example", 4096)),
                macho(|m| m.strings.push(b'x')),
            ],
        },
    ]
}

pub(super) fn all() -> Vec<Cases> {
    let mut all = compressed_cases();
    all.extend(archive_cases());
    all.extend(content_cases());
    all.extend(publisher_cases());
    all
}
