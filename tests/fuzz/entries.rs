//! What is fuzzed, and what must hold: one function a target. libFuzzer calls it (`fuzz_targets`), and
//! so does a plain test (`tests/e2e/fuzzed.rs`) with the corpus and mutations of it.
//!
//! A target returns or panics; a document that is refused is a good end. What is signed is in [`proof`].

use countersign_builder::archive::{
    ArchiveError, BlockKey, Content, Format, ReadLimits, look_inside, sniff,
};
use countersign_builder::compare::{Comparison, compare_walked, normalization, normalized_digest};
use countersign_fixtures::archives::{
    ArEntry, Elf, TarEntry, ZipEntry, ar, gzip, sign_header, signed_zip, tar, zip,
};
use countersign_fixtures::signed::{MachO, Pe, Rpm, signed_data};

mod proof;

/// All targets.
pub(crate) const TARGETS: [&str; 19] = [
    "gzip",
    "xz",
    "zstd",
    "bzip2",
    "tar",
    "zip",
    "ar",
    "elf",
    "rpm",
    "pe",
    "macho",
    "compare",
    "envelope",
    "statement",
    "bundle",
    "link",
    "oss-rebuild",
    "policy",
    "purl",
];

/// Small enough that a case takes no time, large enough for every kind of member.
const LIMITS: ReadLimits = ReadLimits {
    members: 500,
    total_bytes: 1 << 20,
    name_bytes: 300,
    metadata_bytes: 1 << 18,
    depth: 5,
    dictionary_bytes: 1 << 20,
    kept_bytes: 1 << 9,
    text_bytes: 1 << 12,
    listed: 10,
    nodes: 50,
};

fn walk(bytes: &[u8], key: &BlockKey) -> Result<Content, ArchiveError> {
    look_inside(bytes, &LIMITS, key, normalization::wants_text)
}

/// Runs one case.
///
/// # Panics
/// When a target is unknown, and when what must hold does not.
pub(crate) fn run(target: &str, data: &[u8]) {
    let format = match target {
        "gzip" => Format::Gzip,
        "xz" => Format::Xz,
        "zstd" => Format::Zstd,
        "bzip2" => Format::Bzip2,
        "tar" => return walker(Format::Tar, &signed(data)),
        "zip" => Format::Zip,
        "ar" => Format::Ar,
        "elf" => Format::Elf,
        "rpm" => Format::Rpm,
        "pe" => Format::Pe,
        "macho" => Format::MachO,
        "compare" => return comparison(data),
        other => return proof::run(other, data),
    };
    walker(format, data);
}

/// A walker yields the same for the same bytes, and says how many there were.
fn walker(format: Format, data: &[u8]) {
    if sniff(data) != format {
        return;
    }
    let key = BlockKey::default();
    let (one, two) = (walk(data, &key), walk(data, &key));
    match (one, two) {
        (Ok(one), Ok(two)) => {
            assert_eq!(one, two);
            assert_eq!(one.size_bytes, data.len() as u64);
            assert_eq!(one.container().map(|c| c.format), Some(format));
        }
        (Err(one), Err(two)) => assert_eq!(one.to_string(), two.to_string()),
        (one, two) => panic!("{one:?} and then {two:?}"),
    }
}

/// A comparison is the same from both sides, and never finds other bytes equal without a reason.
fn comparison(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk() else {
        return;
    };
    let at = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (a, b) = rest.split_at(at); // not more than there is
    let (a, b) = (signed(a), signed(b));
    let key = BlockKey::default();
    let (Ok(x), Ok(y)) = (walk(&a, &key), walk(&b, &key)) else {
        return;
    };
    if a == b {
        return;
    }
    let there = compare_walked(&x, &y, &LIMITS).comparison;
    let back = compare_walked(&y, &x, &LIMITS).comparison;
    match (there, back) {
        (
            Comparison::Equivalent {
                normalizations,
                normalized_digest: one,
                ..
            },
            Comparison::Equivalent {
                normalized_digest: two,
                ..
            },
        ) => {
            assert_eq!(one, two);
            assert!(!normalizations.is_empty());
            let ids = normalizations.iter().map(|n| normalization::named(&n.id));
            let set: Vec<_> = ids.map(|known| known.expect("a registered id")).collect();
            assert_eq!(normalized_digest(&x, &set), one);
            assert_ne!(normalized_digest(&x, &[]), normalized_digest(&y, &[]));
        }
        (Comparison::Different { members, unlisted }, Comparison::Different { .. }) => {
            assert!(!members.is_empty() || unlisted > 0);
        }
        (Comparison::NotComparable { .. }, Comparison::NotComparable { .. })
        | (Comparison::Failed { .. }, Comparison::Failed { .. }) => {}
        (there, back) => panic!("{there:?} and the other way round {back:?}"),
    }
}

/// Signs what look like headers of a tar again, so that mutations are not all refused by their sums.
fn signed(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    for block in bytes.chunks_exact_mut(512) {
        if block[257..262] == *b"ustar" {
            sign_header(block);
        }
    }
    bytes
}

/// A stream of the format's own program.
macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("../../builder/golden/compressed/", $name)).to_vec()
    };
}

/// Some honest files of a target, by code.
///
/// # Panics
/// When a target is unknown.
#[must_use]
pub(crate) fn corpus(target: &str) -> Vec<Vec<u8>> {
    let entries = vec![
        TarEntry::pax(
            b'x',
            &[("path", "package/a.js"), ("mtime", "1.5"), ("uid", "7")],
        ),
        TarEntry::file("package/a.js", b"module.exports = 1\n"),
        TarEntry::symlink("package/link", "a.js"),
        TarEntry {
            flag: b'L',
            ..TarEntry::file("././@LongLink", &[b'n'; 120])
        },
        TarEntry::file(&"n".repeat(100), b"long"),
        TarEntry {
            flag: b'S',
            ..TarEntry::file("sparse", b"holes")
        },
    ];
    let plain = tar(&entries);
    let lines =
        "a.py,sha256=zEIVUIj8pXMHWNtysqW8ozESqUHfqi1DCY7EIs5OohM,9\nx-1.dist-info/RECORD,,\n";
    let wheel = zip(
        &[
            ZipEntry::file("a.py", b"print(1)\n"),
            ZipEntry::file("x-1.dist-info/RECORD", lines.as_bytes()),
            ZipEntry {
                descriptor: true,
                ..ZipEntry::file("late", &b"late ".repeat(20))
            },
            ZipEntry {
                level: None,
                ..ZipEntry::file("META-INF/MANIFEST.MF", b"Created-By: x\n\n")
            },
        ],
        b"",
    );
    let elf = Elf::new([7; 20], "0123456789.debu", [1; 4]).bytes();
    let deb = ar(&[
        ArEntry::file("debian-binary", b"2.0\n"),
        ArEntry::file("control.tar.gz", &gzip(&plain)),
        ArEntry::file("data.tar", &tar(&[TarEntry::file("bin/x", &elf)])),
    ]);
    let signature = signed_data(b"a key");
    let rpm = [
        Rpm::new(&[(1008, &[0; 20])]).bytes(),
        Rpm::new(&[(268, &signature)]).bytes(),
    ];
    let pe = [Pe::new().bytes(), Pe::signed(&[&signature]).bytes()];
    let macho = [
        MachO::new().bytes(),
        MachO::signed("org.example", &signature).bytes(),
    ];
    match target {
        "gzip" => vec![
            gzip(b"text"),
            gzip(&plain),
            [gzip(b"a"), gzip(b"b")].concat(),
        ],
        "xz" => vec![golden!("one.xz"), golden!("other.xz")],
        "zstd" => vec![golden!("one.zst"), golden!("other.zst")],
        "bzip2" => vec![golden!("one.bz2"), golden!("other.bz2")],
        "tar" => vec![plain, tar(&[TarEntry::file("inner.zip", &wheel)])],
        "zip" => vec![
            signed_zip(&wheel, &[(0x7109_871a, b"\x01\0\0\0x"), (1, b"y")]),
            wheel,
        ],
        "ar" => vec![deb],
        "elf" => vec![elf],
        "rpm" => rpm.to_vec(),
        "pe" => pe.to_vec(),
        "macho" => macho.to_vec(),
        "compare" => {
            let mut later = entries;
            later.iter_mut().for_each(|entry| entry.mtime += 1);
            let later = tar(&later);
            [
                (&plain, &later),
                (&wheel, &wheel),
                (&deb, &deb),
                (&rpm[0], &rpm[1]),
                (&pe[0], &pe[1]),
                (&macho[0], &macho[1]),
                (&gzip(&plain), &gzip(&later)),
            ]
            .map(|(a, b)| {
                let at = u16::try_from(a.len()).unwrap_or(u16::MAX).to_le_bytes();
                [&at, &a[..], b].concat()
            })
            .to_vec()
        }
        other => proof::corpus(other),
    }
}
