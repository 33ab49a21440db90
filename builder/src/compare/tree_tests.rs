//! The tree: what it shows, in what order, and that it stays small.

use countersign_fixtures::archives::{ArEntry, TarEntry, ZipEntry, ar, gzip, tar, zip};

use super::tests::{file, package};
use super::tree::{FindingSide, FirstDifference, Node, State};
use super::*;
use crate::archive::FindingKind;

fn tree(published: &[u8], rebuilt: &[u8], limits: &ReadLimits) -> Tree {
    let compared = compare(file(published), file(rebuilt), limits);
    compared.tree.expect("a tree")
}

fn child<'a>(node: &'a Node, names: &[&str]) -> &'a Node {
    names.iter().fold(node, |node, name| {
        let found = node.children.iter().find(|child| child.name == *name);
        found.unwrap_or_else(|| panic!("{name} among {:?}", node.children))
    })
}

/// A package in a package: only what differs is gone into, and each level says its own.
#[test]
fn a_difference_is_shown_where_it_is() {
    let deb = |text: &[u8], time: u64| {
        let jar = zip(
            &[ZipEntry::file("same", b""), ZipEntry::file("a.class", text)],
            b"",
        );
        let data = TarEntry {
            mtime: time,
            ..TarEntry::file("usr/x.jar", &jar)
        };
        ar(&[
            ArEntry::file("debian-binary", b"2.0\n"),
            ArEntry::file("data.tar.gz", &gzip(&tar(&[data]))),
        ])
    };
    let mut long = vec![b'a'; 100_000];
    let published = deb(&long, 1);
    long[70_001] = b'b';
    let tree = tree(&published, &deb(&long, 2), &ReadLimits::default());
    let root = &tree.root;
    assert_eq!(
        (root.state, root.format.as_deref()),
        (State::Content, Some("ar"))
    );
    assert_eq!(child(root, &["debian-binary"]).state, State::Equal);
    assert_eq!(root.findings[0].what, FindingKind::Layout);
    assert_eq!(root.findings[0].side, FindingSide::Both);
    let jar = child(root, &["data.tar.gz", "", "usr/x.jar"]);
    assert_eq!(
        (jar.state, jar.format.as_deref()),
        (State::Content, Some("zip"))
    );
    assert_eq!(jar.normalizations, ["archive-times/v1"]);
    let class = child(jar, &["a.class"]);
    assert_eq!(class.differs, [DifferenceKind::Content]);
    let first = class.first_difference.as_ref().expect("an offset");
    assert_eq!(first.offset, 70_001);
    assert!(first.published.starts_with("6161") && first.rebuilt.starts_with("6261"));
    assert_eq!(first.published.len(), 2 * FirstDifference::SHOWN);
    assert_eq!(child(jar, &["same"]).state, State::Equal);
    // what differs comes first
    assert_eq!(jar.children[0].name, "a.class");
}

#[test]
fn the_place_is_found_wherever_it_lies() {
    let block = archive::BLOCK_BYTES;
    let text = vec![b'a'; 3 * block];
    for at in [0, 1, block - 1, block, 2 * block + 5, 3 * block - 1] {
        let mut other = text.clone();
        other[at] = b'b';
        let pack = |text: &[u8]| gzip(&tar(&[TarEntry::file("a", text)]));
        let tree = tree(&pack(&text), &pack(&other), &ReadLimits::default());
        let node = child(&tree.root, &["", "a"]);
        assert_eq!(node.first_difference.as_ref().unwrap().offset, at as u64);
    }
    for length in [0, 1, block, block + 1, 3 * block - 1] {
        let pack = |text: &[u8]| tar(&[TarEntry::file("a", text)]);
        let short = pack(&text[..length]);
        let tree = tree(&pack(&text), &short, &ReadLimits::default());
        let first = child(&tree.root, &["a"]).first_difference.as_ref().unwrap();
        assert_eq!((first.offset, &*first.rebuilt), (length as u64, ""));
    }
}

#[test]
fn a_tree_is_no_larger_than_its_limit_and_says_what_it_left_out() {
    let many = |time: u64| -> Vec<u8> {
        let entry = |n: u32| TarEntry {
            mtime: time + u64::from(n == 50),
            ..TarEntry::file(&n.to_string(), b"")
        };
        tar(&(0..100).map(entry).collect::<Vec<_>>())
    };
    let limits = ReadLimits {
        nodes: 10,
        ..ReadLimits::default()
    };
    let all = tree(&many(1), &many(10), &limits);
    assert_eq!(all.root.children.len(), 5);
    assert_eq!((all.left_out, all.root.left_out), (95, 95));
    // half of the room is for content, whatever comes before it
    let mut entries: Vec<TarEntry> = (0..100)
        .map(|n| TarEntry::file(&n.to_string(), b""))
        .collect();
    let before = tar(&entries);
    entries.iter_mut().for_each(|entry| entry.mtime += 1);
    entries[99].content = b"evil".to_vec();
    let loud = tree(&before, &tar(&entries), &limits);
    assert_eq!(loud.root.children.len(), 6);
    assert_eq!(child(&loud.root, &["99"]).state, State::Content);
    // and a node that was left out is still told by its parent's state
    let none = ReadLimits { nodes: 0, ..limits };
    assert_eq!(
        tree(&before, &tar(&entries), &none).root.state,
        State::Content
    );
    // one that differs is shown before any that does not
    let mut one = package();
    one[4].mtime += 1;
    let few = ReadLimits { nodes: 1, ..limits };
    let one = tree(&tar(&package()), &tar(&one), &few);
    assert_eq!(one.root.children[0].name, "package/package.json");
    assert_eq!(one.left_out, 4);
}

#[test]
fn metadata_says_what_each_side_has_and_what_covers_it() {
    let mut other = package();
    other[0].mtime = 0;
    let tree = tree(&tar(&package()), &tar(&other), &ReadLimits::default());
    let node = child(&tree.root, &["package/index.js"]);
    assert_eq!(
        (tree.root.state, node.state),
        (State::Metadata, State::Metadata)
    );
    let [time] = &node.metadata[..] else {
        panic!("{:?}", node.metadata);
    };
    assert_eq!(time.field, "tar-time");
    assert_eq!(time.rebuilt.as_deref(), Some("00000000000"));
    assert_eq!(time.normalization.as_deref(), Some("archive-times/v1"));
}

/// A member that begins like a container and could not be walked is compared by its bytes; where that
/// leaves open whether the content is the same, there is no verdict about it.
#[test]
fn what_could_not_be_looked_into_is_never_equal() {
    let pack = |jar: &[u8], time: u64| {
        let entry = TarEntry {
            mtime: time,
            ..TarEntry::file("x.jar", jar)
        };
        tar(&[entry])
    };
    let jar = |time: u8| {
        let mut entry = ZipEntry::file("a", &[7; 1000]);
        entry.time = [time, 0, 0x21, 0x50];
        zip(&[entry], b"")
    };
    let shallow = ReadLimits {
        depth: 1,
        ..ReadLimits::default()
    };
    let (a, b) = (pack(&jar(1), 1), pack(&jar(2), 2));
    let plenty = compare(file(&a), file(&b), &ReadLimits::default()).comparison;
    assert!(
        matches!(plenty, Comparison::Equivalent { .. }),
        "{plenty:?}"
    );
    let open = compare(file(&a), file(&b), &shallow).comparison;
    let Comparison::Failed { message, .. } = &open else {
        panic!("{open:?}");
    };
    assert!(message.starts_with("x.jar: "), "{message}");
    // the same bytes need no looking into
    let same = compare(file(&a), file(&pack(&jar(1), 2)), &shallow).comparison;
    assert!(matches!(same, Comparison::Equivalent { .. }), "{same:?}");
    // damaged on one side: that is other content, and not a way to be undecided
    let broken = pack(&jar(1)[..50], 1);
    let result = compare(file(&broken), file(&a), &ReadLimits::default()).comparison;
    assert!(matches!(result, Comparison::Different { .. }), "{result:?}");
}
