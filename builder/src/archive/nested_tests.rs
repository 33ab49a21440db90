//! Containers inside containers, compressed streams of other programs, and bombs at every depth.

use countersign_attest::digest::Sha256;
use countersign_fixtures::archives::{ArEntry, TarEntry, ZipEntry, ar, gzip, tar, zip};

use super::*;

macro_rules! golden {
    ($name:literal) => {
        &include_bytes!(concat!("../../golden/compressed/", $name))[..]
    };
}

fn look(bytes: &[u8], limits: &ReadLimits) -> Result<Content, ArchiveError> {
    look_inside(bytes, limits, &BlockKey::default(), |_| false)
}

fn walked(bytes: &[u8]) -> Container {
    match look(bytes, &ReadLimits::default()).unwrap().inner {
        Inner::Container(container) => *container,
        other => panic!("{other:?}"),
    }
}

#[test]
fn streams_of_the_formats_own_programs_are_read() {
    let payload = Sha256::of(golden!("payload"));
    for (bytes, format) in [
        (golden!("one.xz"), Format::Xz),
        (golden!("other.xz"), Format::Xz),
        (golden!("one.zst"), Format::Zstd),
        (golden!("other.zst"), Format::Zstd),
        (golden!("one.bz2"), Format::Bzip2),
        (golden!("other.bz2"), Format::Bzip2),
        (&gzip(golden!("payload")), Format::Gzip),
    ] {
        let container = walked(bytes);
        assert_eq!(container.format, format);
        assert_eq!(container.members[0].content.sha256, payload, "{format:?}");
        assert!(container.details.is_empty() && container.findings.is_empty());
        // cut anywhere: never a stream, and what is no longer told by its magic is opaque
        for end in 0..bytes.len() {
            let cut = look(&bytes[..end], &ReadLimits::default());
            let read = cut.is_ok_and(|content| content.container().is_some());
            assert!(!read, "{format:?} cut at {end}");
        }
        // one more byte, and one more stream
        let more = walked(&[bytes, b"x"].concat());
        assert_eq!(more.findings[0].what, FindingKind::StrayBytes);
        assert_eq!(more.details[0].field, Field::End);
        let twice = walked(&[bytes, bytes].concat());
        assert_eq!(twice.members.len(), 2);
        assert_eq!(twice.findings[0].what, FindingKind::SeveralStreams);
    }
}

#[test]
fn every_bit_of_a_compressed_stream_counts() {
    for bytes in [golden!("one.xz"), golden!("other.zst"), golden!("one.bz2")] {
        let payload = Sha256::of(golden!("payload"));
        for bit in 0..bytes.len() * 8 {
            let mut mutant = bytes.to_vec();
            mutant[bit / 8] ^= 1 << (bit % 8);
            let Ok(content) = look(&mutant, &ReadLimits::default()) else {
                continue;
            };
            let Some(container) = content.container() else {
                continue;
            };
            // whoever reads it at all reads what was packed: each has a sum
            assert_eq!(container.members[0].content.sha256, payload, "bit {bit}");
        }
    }
}

/// The window that a stream asks for is a claim of a few bits.
#[test]
fn a_window_ends_at_its_limit_before_it_is_allocated() {
    let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 20 << 3]; // a window of one gigabyte
    zstd.extend_from_slice(&[9, 0, 0, b'x']); // the last block, raw, one byte
    for bytes in [golden!("large-dictionary.xz"), &zstd] {
        let error = look(bytes, &ReadLimits::default()).unwrap_err();
        assert!(matches!(error, ArchiveError::Limit { .. }), "{error:?}");
        let wider = ReadLimits {
            dictionary_bytes: 2 << 30,
            ..ReadLimits::default()
        };
        assert!(look(bytes, &wider).is_ok());
    }
}

#[test]
fn an_ar_archive_is_read_and_its_oddities_are_kept_or_refused() {
    let entry = |name: &str, content: &[u8]| ArEntry::file(name, content);
    let members = [entry("debian-binary", b"2.0\n"), entry("odd/", b"123")];
    let container = walked(&ar(&members));
    let names: Vec<_> = container.members.iter().map(|m| escape(&m.name)).collect();
    assert_eq!(names, ["debian-binary", "odd"]);
    assert_eq!(container.members[1].content.sha256, Sha256::of(b"123"));
    assert_eq!(container.members[0].mode, Some(0o644));
    let remainder = |change: fn(&mut ArEntry)| {
        let mut one = entry("odd", b"123");
        change(&mut one);
        let details = walked(&ar(&[one])).members.remove(0).details;
        details
            .into_iter()
            .filter(|d| d.field == Field::Remainder)
            .collect::<Vec<_>>()
    };
    let plain = remainder(|_| ());
    assert_ne!(remainder(|e| e.padding = b'x'), plain);
    assert_ne!(remainder(|e| e.date = "-1".into()), plain);
    assert_eq!(remainder(|e| e.date = "1".into()), plain);
    let long = ArEntry {
        size: Some(1000),
        ..entry("a", b"x")
    };
    let bare = ar(&[entry("a", b"xx")]);
    for bytes in [
        ar(&[long]),
        bare[..bare.len() - 1].to_vec(),
        [bare, b"x".to_vec()].concat(),
    ] {
        let error = look(&bytes, &ReadLimits::default()).unwrap_err();
        assert!(error.is_malformed(), "{error:?}");
    }
}

#[test]
fn containers_inside_members_are_walked_to_a_bounded_depth() {
    let inner = zip(&[ZipEntry::file("deepest", b"x")], b"");
    let tarred = gzip(&tar(&[TarEntry::file("inner.zip", &inner)]));
    let deb = ar(&[ArEntry::file("data.tar.gz", &tarred)]);
    // ar, gzip, tar, zip
    let limits = |depth| ReadLimits {
        depth,
        ..ReadLimits::default()
    };
    let deepest = |content: &Content| -> Option<Content> {
        let gzip = content.container()?.members[0].content.clone();
        let tar = gzip.container()?.members[0].content.clone();
        Some(tar.container()?.members[0].content.clone())
    };
    let found = deepest(&look(&deb, &limits(4)).unwrap()).unwrap();
    assert_eq!(
        escape(&found.container().unwrap().members[0].name),
        "deepest"
    );
    let found = deepest(&look(&deb, &limits(3)).unwrap()).unwrap();
    let Inner::Unread(unread) = &found.inner else {
        panic!("{found:?}");
    };
    assert!(unread.message.contains("inside one another"), "{unread}");
    assert_eq!(found.sha256, Sha256::of(&inner));
    assert!(deepest(&look(&deb, &limits(2)).unwrap()).is_none());
}

/// A bomb among the members costs what the limits say, and its bytes are still compared.
#[test]
fn a_bomb_inside_a_member_is_not_unpacked_and_hides_nothing() {
    let bomb = gzip(&vec![0; 1 << 20]);
    let many: Vec<TarEntry> = (0..50)
        .map(|n| TarEntry::file(&n.to_string(), b""))
        .collect();
    let crowd = gzip(&tar(&many));
    let outer = tar(&[
        TarEntry::file("bomb.gz", &bomb),
        TarEntry::file("crowd.tgz", &crowd),
        TarEntry::file("broken.gz", &bomb[..bomb.len() / 2]),
        TarEntry::file("after", b"after"),
    ]);
    let limits = ReadLimits {
        total_bytes: 1 << 19,
        members: 40,
        ..ReadLimits::default()
    };
    let content = look(&outer, &limits).unwrap();
    let members = &content.container().unwrap().members;
    for (member, expect) in members.iter().zip(["bytes of content", "", "", ""]) {
        if let Inner::Unread(unread) = &member.content.inner {
            assert!(unread.message.contains(expect), "{unread}");
        } else {
            assert_eq!(&*member.name, b"after");
        }
    }
    assert_eq!(members[0].content.sha256, Sha256::of(&bomb));
    assert_eq!(members[3].content.sha256, Sha256::of(b"after"));
    // what is damaged is told apart from what is too large
    let whole = look(&outer, &ReadLimits::default()).unwrap();
    let states: Vec<_> = whole
        .container()
        .unwrap()
        .members
        .iter()
        .map(|m| &m.content.inner)
        .collect();
    assert!(matches!(states[0], Inner::Container(_)));
    assert!(matches!(states[2], Inner::Unread(unread) if unread.malformed));
    assert!(matches!(states[3], Inner::Opaque));
}

#[test]
fn oddities_are_told() {
    let mut twice = vec![TarEntry::file("a", b""), TarEntry::file("a", b"")];
    twice.push(TarEntry::file("A", b""));
    let found: Vec<_> = of_container(&walked(&tar(&twice)))
        .into_iter()
        .map(|o| o.what)
        .collect();
    assert_eq!(
        found,
        [FindingKind::DuplicateName, FindingKind::ClashingName]
    );
    let device = TarEntry {
        flag: b'3',
        ..TarEntry::file("null", b"")
    };
    let set_id = TarEntry {
        mode: 0o4755,
        ..TarEntry::file("su", b"")
    };
    let sparse = TarEntry {
        flag: b'S',
        ..TarEntry::file("holes", b"x")
    };
    for (entry, expect) in [
        (TarEntry::file("../x", b""), Some(FindingKind::EscapingName)),
        (TarEntry::file("/x", b""), Some(FindingKind::EscapingName)),
        (TarEntry::file("C:x", b""), Some(FindingKind::EscapingName)),
        (TarEntry::file("a..b/c", b""), None),
        (TarEntry::symlink("a/b", "../c"), None),
        (
            TarEntry::symlink("a/b", "../../c"),
            Some(FindingKind::EscapingLink),
        ),
        (
            TarEntry::symlink("a", "/etc"),
            Some(FindingKind::EscapingLink),
        ),
        (device, Some(FindingKind::Device)),
        (set_id, Some(FindingKind::SetId)),
        (sparse, Some(FindingKind::Sparse)),
    ] {
        let container = walked(&tar(std::slice::from_ref(&entry)));
        let found = of_member(&container.members[0]);
        assert_eq!(found.first().map(|o| o.what), expect, "{entry:?}");
        assert!(found.len() <= 1);
    }
    let deb = |names: &[&str]| {
        let entries: Vec<ArEntry> = names.iter().map(|n| ArEntry::file(n, b"")).collect();
        of_container(&walked(&ar(&entries)))
    };
    assert_eq!(
        deb(&["debian-binary", "control.tar.xz", "data.tar.zst"]),
        []
    );
    for odd in [
        &["debian-binary", "control.tar.xz", "data.tar.xz", "hidden"][..],
        &["debian-binary", "data.tar.xz", "control.tar.xz"],
        &["debian-binary", "control.tar.xz"],
    ] {
        assert_eq!(deb(odd)[0].what, FindingKind::Layout, "{odd:?}");
    }
}

#[test]
fn a_name_inside_a_name_is_told_from_one_name() {
    assert_eq!(inside(&escape(b"a"), &escape(b"b")), "a!/b");
    assert_eq!(escape(b"a!/b"), "a%21/b");
    assert_eq!(inside("", "b"), "b");
    assert_eq!(inside("a", ""), "a");
}
