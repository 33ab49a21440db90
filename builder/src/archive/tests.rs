//! The walkers against archives that other writers made, and the words that they put out.

use countersign_attest::digest::Sha256;
use countersign_fixtures::archives::{TarEntry, gzip, tar as raw_tar};

use super::*;

fn limits() -> ReadLimits {
    ReadLimits::default()
}

fn names(members: &[Member]) -> Vec<String> {
    members.iter().map(|member| escape(&member.name)).collect()
}

fn long_name() -> String {
    format!("{}/{}", "folder".repeat(20), "file".repeat(30))
}

/// What the `tar` crate writes: GNU long names, links, folders.
fn foreign_tar() -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_gnu();
    header.set_mode(0o640);
    header.set_mtime(1_700_000_000);
    header.set_uid(1000);
    header.set_username("alice").unwrap();
    header.set_size(5);
    let path = long_name();
    builder
        .append_data(&mut header.clone(), &path, &b"hello"[..])
        .unwrap();
    header.set_size(0);
    header.set_entry_type(::tar::EntryType::Directory);
    builder
        .append_data(&mut header.clone(), "folder/", &b""[..])
        .unwrap();
    for (kind, name) in [
        (::tar::EntryType::Symlink, "soft"),
        (::tar::EntryType::Link, "hard"),
    ] {
        header.set_entry_type(kind);
        builder
            .append_link(&mut header.clone(), name, &path)
            .unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_tar_of_another_writer_is_read_as_it_was_meant() {
    let tar = foreign_tar();
    assert_eq!(sniff(&tar), Format::Tar);
    let container = tar::walk(&tar[..], &limits(), None).unwrap();
    let path = long_name();
    assert_eq!(
        names(&container.members),
        [&*path, "folder/", "soft", "hard"]
    );
    let kinds: Vec<&Kind> = container.members.iter().map(|m| &m.kind).collect();
    let target = || path.as_bytes().into();
    let expect = [
        &Kind::File,
        &Kind::Folder,
        &Kind::Symlink(target()),
        &Kind::Hardlink(target()),
    ];
    assert_eq!(kinds, expect);
    let first = &container.members[0];
    assert_eq!((first.mode, first.content.size_bytes), (Some(0o640), 5));
    assert_eq!(first.content.sha256, Sha256::of(b"hello"));
    let owners = first
        .details
        .iter()
        .filter(|d| d.field == Field::TarOwnerName);
    assert!(owners.into_iter().any(|owner| &*owner.value == b"alice"));
}

#[test]
fn a_zip_of_another_writer_is_read_as_it_was_meant() {
    // Python's zipfile made it, which writes most wheels
    let bytes = include_bytes!("../../golden/python-zipfile.zip");
    assert_eq!(sniff(bytes), Format::Zip);
    let container = zip::walk(&bytes[..], &limits(), None).unwrap();
    assert_eq!(
        names(&container.members),
        ["bin/run", "stored", "folder/", "link"]
    );
    let [run, stored, folder, link] = &container.members[..] else {
        panic!("four members");
    };
    assert_eq!((run.mode, &run.kind), (Some(0o755), &Kind::File));
    assert_eq!(run.content.sha256, Sha256::of(b"run run run run run run"));
    assert_eq!(
        (stored.content.size_bytes, &folder.kind),
        (6, &Kind::Folder)
    );
    assert_eq!(link.kind, Kind::Symlink(b"stored".as_slice().into()));
}

#[test]
fn a_gzip_of_two_streams_and_more_shows_all_of_it() {
    let bytes = [gzip(b"one"), gzip(b"two"), b"three".to_vec()].concat();
    let walked = gzip::walk(&bytes[..], &limits(), None).unwrap();
    let streams = &walked.container.members;
    let payloads: Vec<Sha256> = streams.iter().map(|s| s.content.sha256).collect();
    assert_eq!(payloads, [Sha256::of(b"one"), Sha256::of(b"two")]);
    let text = format!("bytes 5 {}", Sha256::of(b"three"));
    let end = Detail::new(Field::End, text.as_bytes());
    assert_eq!(walked.container.details, [end]);
    assert!(walked.tar.is_none());
    let walked = gzip::walk(&gzip(&foreign_tar())[..], &limits(), None).unwrap();
    assert_eq!(walked.container.details, []);
    assert_eq!(walked.tar.unwrap().unwrap().members.len(), 4);
}

/// A tar walker that meets a damaged stream below it must not turn that into a finding of its own.
#[test]
fn trouble_of_the_layer_below_is_told_as_that() {
    let bomb = gzip(&raw_tar(&[TarEntry::file("a", &[0; 100_000])]));
    let small = ReadLimits {
        total_bytes: 50_000,
        ..limits()
    };
    let error = gzip::walk(&bomb[..], &small, None).unwrap_err();
    assert!(
        matches!(error, ArchiveError::Limit { limit: 50_000, .. }),
        "{error}"
    );
    let cut = &bomb[..bomb.len() / 2];
    let error = gzip::walk(cut, &limits(), None).unwrap_err();
    assert!(
        matches!(error, ArchiveError::Truncated("deflate stream")),
        "{error}"
    );
}

#[test]
fn millions_of_tiny_records_end_at_a_limit() {
    let records = TarEntry {
        flag: b'x',
        ..TarEntry::file("x", &b"5 a=\n".repeat(1000))
    };
    let tar = raw_tar(&[records, TarEntry::file("a", b"")]);
    let small = ReadLimits {
        metadata_bytes: 64 * 1000,
        ..limits()
    };
    let error = tar::walk(&tar[..], &small, None).unwrap_err();
    assert!(matches!(error, ArchiveError::Limit { .. }), "{error}");
    assert!(tar::walk(&tar[..], &limits(), None).is_ok());
}

#[test]
fn a_wanted_file_is_kept_on_the_way() {
    let tar = raw_tar(&[
        TarEntry::file("a", b"one"),
        TarEntry::file("b", b"other"),
        TarEntry::symlink("a", "b"),
        TarEntry::file("a", b"two"),
        TarEntry::file("a", b"three"),
    ]);
    let mut wanted = Wanted::new(|name| name == b"a", 3);
    tar::walk(&tar[..], &limits(), Some(&mut wanted)).unwrap();
    assert_eq!(wanted.found, [b"one", b"two"]); // the third is not read, however long it is
    let mut wanted = Wanted::new(|name| name == b"b", 3);
    let error = tar::walk(&tar[..], &limits(), Some(&mut wanted)).unwrap_err();
    assert!(matches!(error, ArchiveError::Limit { limit: 3, .. }));
}

#[test]
fn what_begins_like_nothing_is_other() {
    for head in [
        &b""[..],
        b"PK",
        b"PK\x01\x02",
        b"\x1f",
        b"#!/bin/sh",
        &[0; 512],
        &raw_tar(&[TarEntry::file("a", b"")])[..511],
    ] {
        assert_eq!(sniff(head), Format::Other);
    }
    assert_eq!(sniff(&[0x1f, 0x8b]), Format::Gzip);
    assert_eq!(sniff(b"PK\x05\x06"), Format::Zip);
}

#[test]
fn names_are_shown_so_that_no_two_look_the_same() {
    for (name, expect) in [
        (&b"a b/c-d.js"[..], "a b/c-d.js"),
        (b"100%", "100%25"),
        (b"(x)", "%28x)"),
        (b"x(y)", "x(y)"),
        (b"\x1b[31m\n", "%1B[31m%0A"),
        ("ä\u{202e}".as_bytes(), "%C3%A4%E2%80%AE"),
        (b"\xff", "%FF"),
    ] {
        assert_eq!(escape(name), expect);
    }
}
