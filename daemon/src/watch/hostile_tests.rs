//! What a repository may try (SANDBOX C6, case 61): each case has a clear outcome, and no code of
//! the repository runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use countersign_fixtures::repositories::Repository;

use countersign_attest::escape::is_printable;

use super::error::{Refusal, WatchError};
use super::server::{Server, Speaks, answer};
use super::tests::{Place, at, local, refusal};
use super::{mirror, pkt};

/// A command that leaves a trace.
fn trace(place: &Place) -> (String, std::path::PathBuf) {
    let witness = place.path("witness");
    (format!("touch {}", witness.display()), witness)
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_hooks_and_filters_of_a_local_source_never_run() {
    let place = Place::new();
    let (touch, witness) = trace(&place);
    let source = place.repository("project");
    source.write(
        ".gitattributes",
        "* filter=evil text eol=crlf ident export-subst\nhidden export-ignore\n",
    );
    source.write("file", "one\ntwo $Id$ $Format:%H$\n");
    source.write("hidden", "still here\n");
    source.commit("first");
    source.annotated_tag("v1");
    let hook = format!("#!/bin/sh\n{touch}\n");
    for name in [
        "post-checkout",
        "post-index-change",
        "reference-transaction",
        "pre-commit",
    ] {
        source.write(&format!(".git/hooks/{name}"), &hook);
        source.write(&format!("hooks/{name}"), &hook);
    }
    let config = format!(
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tfsmonitor = {touch}; false\n\tsshCommand = {touch}\n\
         \thooksPath = {}\n\tpager = {touch}\n\teditor = {touch}\n\tworktree = /\n\
         [alias]\n\tstatus = !{touch}\n[filter \"evil\"]\n\tsmudge = {touch}; cat\n\tclean = {touch}; cat\n\tprocess = {touch}\n\
         [uploadpack]\n\tpackObjectsHook = {touch}\n[include]\n\tpath = /etc/passwd\n[diff]\n\texternal = {touch}\n\
         [url \"ext::{touch}\"]\n\tinsteadOf = /\n",
        source.path.join("hooks").display()
    );
    let good = fs::read_to_string(source.path.join(".git/config")).expect("config");
    fs::write(source.path.join(".git/config"), &config).expect("config");

    let location = local(&source.path);
    place.list(&location).await.expect("list");
    let exported = place.checkout(&location, "v1").await.expect("checkout");
    assert_eq!(exported.files, 3);
    let out = place.path("out");
    assert_eq!(
        fs::read(out.join("file")).expect("file"),
        b"one\ntwo $Id$ $Format:%H$\n"
    );
    assert!(out.join("hidden").exists());
    assert!(!witness.exists(), "code of the repository ran");

    // the trap is real: git itself falls into it
    let trap = format!("{good}[core]\n\tfsmonitor = {touch}; false\n");
    fs::write(source.path.join(".git/config"), trap).expect("config");
    source.git(&["status"]);
    assert!(witness.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_source_whose_parts_lie_elsewhere_is_refused() {
    let place = Place::new();
    let real = place.repository("real");
    real.commit("first");
    real.tag("v1");
    let make = |name: &str| {
        let copy = place.repository(name);
        copy.commit("first");
        copy.tag("v1");
        copy
    };
    let replace = |copy: &Repository, part: &str| {
        let path = copy.path.join(".git").join(part);
        if path.is_dir() {
            fs::remove_dir_all(&path).expect("remove");
        }
        symlink(real.path.join(".git").join(part), path).expect("symlink");
    };
    for (name, words) in [
        ("linked", "a link or a file"),
        ("gitfile", "a link or a file"),
        ("worktree", "a link or a file"),
        ("alternates", "borrows objects"),
        ("objects", "objects is not a folder"),
        ("pack", "objects/pack is not a folder"),
        ("tags", "refs/tags is not a folder"),
        ("packed-refs", "packed-refs is not a file"),
        ("reftable", "reftable"),
        ("commondir", "work tree of another"),
        ("itself", "no such folder"),
        ("plain", "not a git repository"),
    ] {
        let path = place.path(name);
        match name {
            "linked" => {
                fs::create_dir(&path).expect("folder");
                symlink(real.path.join(".git"), path.join(".git")).expect("symlink");
            }
            "gitfile" => {
                fs::create_dir(&path).expect("folder");
                let text = format!("gitdir: {}\n", real.path.join(".git").display());
                fs::write(path.join(".git"), text).expect("gitfile");
            }
            "worktree" => {
                real.git(&[
                    "worktree",
                    "add",
                    "--quiet",
                    path.to_str().expect("text"),
                    "v1",
                ]);
            }
            "alternates" => {
                let copy = make(name);
                let objects = format!("{}\n", real.path.join(".git/objects").display());
                copy.write(".git/objects/info/alternates", objects);
            }
            "objects" => replace(&make(name), "objects"),
            "pack" => replace(&make(name), "objects/pack"),
            "tags" => replace(&make(name), "refs/tags"),
            "packed-refs" => replace(&make(name), "packed-refs"),
            "reftable" => fs::create_dir(make(name).path.join(".git/reftable")).expect("folder"),
            "commondir" => make(name).write(".git/commondir", "../../real/.git\n"),
            "itself" => symlink(&real.path, &path).expect("symlink"),
            _ => fs::create_dir(&path).expect("folder"),
        }
        let found = refusal(place.list(&local(&path)).await).to_string();
        assert!(found.contains(words), "{name}: {found}");
        assert!(
            place.fetch(&local(&path), "v1", None).await.is_err(),
            "{name}"
        );
    }
    place
        .checkout(&local(&real.path), "v1")
        .await
        .expect("the real one is good");
}

#[tokio::test(flavor = "multi_thread")]
async fn evil_names_of_tags_are_skipped_and_html_is_only_data() {
    let place = Place::new();
    let source = place.repository("project");
    let commit = source.commit("first");
    let html = "<img src=x onerror=alert(1)>\"'&".replace(' ', "/");
    for name in ["../../../../tmp/x", "a\x1b[2Jb", &html, "ok", "x\u{202e}y"] {
        source.raw_reference(name, &commit);
    }
    fs::create_dir_all(source.path.join(".git/refs/tags/deep")).expect("folder");
    symlink("/etc/passwd", source.path.join(".git/refs/tags/passwd")).expect("symlink");
    source.write(".git/refs/tags/symbolic", "ref: refs/heads/main\n");
    source.write(".git/refs/tags/garbage", "0000\n");
    let location = local(&source.path);
    let listing = place.list(&location).await.expect("list");
    let names: Vec<_> = listing.tags.iter().map(|tag| tag.name.as_str()).collect();
    assert_eq!(names, [html.as_str(), "ok"]);
    assert_eq!(listing.skipped, 6);
    assert!(
        listing
            .skipped_examples
            .iter()
            .all(|s| is_printable(&s.name))
    );
    place
        .checkout(&location, &html)
        .await
        .expect("a name is only a name");

    // and over the network, from a server that says whatever it likes
    let lines: Vec<String> = ["../../../../tmp/x", "a\x1b[2Jb", &html, "ok", "", "a b"]
        .iter()
        .map(|name| format!("{commit} refs/tags/{name}\n"))
        .collect();
    let server = Server::answering(move |method, _, _| {
        let mut body = Vec::new();
        let kind = if method == "GET" {
            "advertisement"
        } else {
            "result"
        };
        if method == "GET" {
            for line in ["version 2\n", "ls-refs\n", "fetch=shallow\n"] {
                pkt::line(&mut body, line);
            }
        } else {
            lines.iter().for_each(|line| pkt::line(&mut body, line));
        }
        pkt::flush(&mut body);
        let kind = format!("application/x-git-upload-pack-{kind}");
        async move { answer(200, ("content-type", &kind), body) }
    })
    .await;
    let listing = place.list(&at(&server, "x")).await.expect("list");
    let names: Vec<_> = listing.tags.iter().map(|tag| tag.name.as_str()).collect();
    // `a b` is what stands before the next attribute of the line
    assert_eq!(names, [html.as_str(), "a", "ok"]);
    assert_eq!(listing.skipped, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tags_are_listed_and_one_is_fetched() {
    let place = Place::new();
    let source = place.repository("project");
    let commit = source.commit("first");
    let lines: String = (0..10_000)
        .map(|n| format!("{commit} refs/tags/v{n:05}\n"))
        .collect();
    source.append_packed(&lines);
    let (v2, v0) = (
        place.server(Speaks::V2).await,
        place.server(Speaks::V0).await,
    );
    for location in [at(&v2, "project"), at(&v0, "project"), local(&source.path)] {
        assert_eq!(
            place.list(&location).await.expect("list").tags.len(),
            10_000
        );
        place.checkout(&location, "v09999").await.expect("checkout");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submodule_is_named_and_not_fetched() {
    let place = Place::new();
    let (touch, witness) = trace(&place);
    let source = place.repository("project");
    source.write(
        ".gitmodules",
        format!(
            "[submodule \"sub\"]\n\tpath = sub\n\turl = ext::sh -c {touch}\n\tupdate = !{touch}\n"
        ),
    );
    source.write(
        "asset",
        "version https://git-lfs.example/spec/v1\noid sha256:00\nsize 1\n",
    );
    let gitlink = format!("160000,{},sub", "1".repeat(40));
    source.git(&["add", "--all"]);
    source.git(&["update-index", "--add", "--cacheinfo", &gitlink]);
    source.git(&["commit", "--quiet", "-m", "first"]);
    source.tag("v1");
    let server = place.server(Speaks::V2).await;
    for location in [at(&server, "project"), local(&source.path)] {
        let exported = place.checkout(&location, "v1").await.expect("checkout");
        assert_eq!(exported.submodules, ["sub"]);
        assert_eq!(exported.lfs_pointers, ["asset"]);
        assert_eq!(
            fs::read_dir(place.path("out/sub"))
                .expect("an empty folder")
                .count(),
            0
        );
        assert!(!witness.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn evil_trees_are_refused_and_nothing_is_left() {
    let place = Place::new();
    let source = place.repository("project");
    let blob = source.raw_object("blob", b"evil\n");
    let inner = source.raw_tree(&[("100644", b"hooks", &blob)]);
    let cases: [(&str, String); 10] = [
        ("dot-git", source.raw_tree(&[("40000", b".GIT", &inner)])),
        ("ntfs", source.raw_tree(&[("40000", b"git~1", &inner)])),
        (
            "hfs",
            source.raw_tree(&[("40000", ".g\u{200c}it".as_bytes(), &inner)]),
        ),
        ("up", source.raw_tree(&[("40000", b"..", &inner)])),
        ("slash", source.raw_tree(&[("100644", b"../../x", &blob)])),
        (
            "twice",
            source.raw_tree(&[("120000", b"a", &blob), ("40000", b"a", &inner)]),
        ),
        (
            "deep",
            source.raw_tree(&[(
                "40000",
                b"ok",
                &source.raw_tree(&[("100644", b".git", &blob)]),
            )]),
        ),
        ("blob-as-folder", source.raw_tree(&[("40000", b"a", &blob)])),
        ("tree-as-file", source.raw_tree(&[("100644", b"a", &inner)])),
        ("cut-off", source.raw_object("tree", b"100644 a\0short")),
    ];
    let mut names: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
    for (name, tree) in &cases {
        let commit = source.raw_commit(tree);
        source.write(&format!(".git/refs/tags/{name}"), format!("{commit}\n"));
    }
    let missing = source.raw_tree(&[("100644", b"a", &"1".repeat(40))]);
    let commit = source.raw_commit(&missing);
    source.write(".git/refs/tags/missing", format!("{commit}\n"));
    for name in names.drain(..) {
        let found = refusal(place.checkout(&local(&source.path), name).await);
        assert!(
            matches!(found, Refusal::BadObject { .. }),
            "{name}: {found}"
        );
        assert!(!place.path("out").exists(), "{name}");
    }
    let found = refusal(place.checkout(&local(&source.path), "missing").await);
    assert!(matches!(found, Refusal::Incomplete { .. }), "{found}");
    // the same through a server and a mirror
    let server = place.server(Speaks::V2).await;
    let found = refusal(place.checkout(&at(&server, "project"), "dot-git").await);
    assert!(matches!(found, Refusal::BadObject { .. }), "{found}");
    assert!(mirror::complete_commits(&place.path("mirror")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_repeats_itself_meets_its_limit() {
    let place = Place::new();
    let source = place.repository("project");
    let blob = source.raw_object("blob", b"");
    let mut tree = source.raw_tree(&[("100644", b"a", &blob)]);
    for _ in 0..10 {
        let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        let entries: Vec<_> = names
            .iter()
            .map(|name| ("40000", name.as_bytes(), tree.as_str()))
            .collect();
        tree = source.raw_tree(&entries);
    }
    let commit = source.raw_commit(&tree);
    source.write(".git/refs/tags/bomb", format!("{commit}\n"));
    let mut place = place;
    place.limits.tree.entries = 20_000;
    let found = refusal(place.checkout(&local(&source.path), "bomb").await);
    assert!(
        matches!(found, Refusal::Limit { limit: 20_000, .. }),
        "{found}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_of_anything_but_a_commit_is_refused() {
    let place = Place::new();
    let source = place.repository("project");
    source.write("file", "text\n");
    let commit = source.commit("first");
    let tree = source.output(&["rev-parse", "HEAD^{tree}"], b"");
    let blob = source.output(&["rev-parse", "HEAD:file"], b"");
    let tag = |name: &str, oid: &str| {
        source.write(&format!(".git/refs/tags/{name}"), format!("{oid}\n"));
    };
    tag("blob", &source.raw_tag(&blob, "blob"));
    tag("tree", &source.raw_tag(&tree, "tree"));
    tag("light-blob", &blob);
    tag("liar", &source.raw_tag(&commit, "blob"));
    tag("liar2", &source.raw_tag(&blob, "commit"));
    tag("garbage", &source.raw_object("tag", b"object none\n"));
    let mut nested = commit.clone();
    for depth in 1..=6 {
        nested = source.raw_tag(&nested, if depth == 1 { "commit" } else { "tag" });
        tag(&format!("nested{depth}"), &nested);
    }
    let location = local(&source.path);
    for name in ["blob", "tree", "light-blob"] {
        let found = refusal(place.checkout(&location, name).await);
        assert!(
            matches!(found, Refusal::NotACommit { .. }),
            "{name}: {found}"
        );
    }
    for name in ["liar", "liar2", "garbage"] {
        let found = refusal(place.checkout(&location, name).await);
        assert!(
            matches!(found, Refusal::BadObject { .. }),
            "{name}: {found}"
        );
    }
    let exported = place
        .checkout(&location, "nested5")
        .await
        .expect("five are allowed");
    assert_eq!(exported.commit.to_string(), commit);
    let found = refusal(place.checkout(&location, "nested6").await);
    assert!(matches!(found, Refusal::Limit { limit: 5, .. }), "{found}");
    let server = place.server(Speaks::V2).await;
    let found = refusal(place.checkout(&at(&server, "project"), "blob").await);
    assert!(matches!(found, Refusal::NotACommit { .. }), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_with_another_content_than_its_name_is_refused() {
    let place = Place::new();
    let source = place.repository("project");
    source.write("file", "good\n");
    source.commit("first");
    source.tag("v1");
    let loose = |oid: &str| {
        source
            .path
            .join(".git/objects")
            .join(&oid[..2])
            .join(&oid[2..])
    };
    let good = source.output(&["rev-parse", "HEAD:file"], b"");
    let evil = source.raw_object("blob", b"evil\n");
    fs::remove_file(loose(&good)).expect("remove");
    fs::copy(loose(&evil), loose(&good)).expect("copy");
    let found = refusal(place.checkout(&local(&source.path), "v1").await);
    assert!(matches!(found, Refusal::BadObject { .. }), "{found}");
    assert!(!place.path("out").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lies_is_refused() {
    let place = Place::new();
    let source = place.repository("project");
    source.write("file", "text\n");
    let commit = source.commit("first");
    source.commit("other");
    let pack_of = |arguments: &[&str], input: &str| {
        let path = place.path("made.pack");
        let _ = fs::remove_file(&path);
        let command = [&["pack-objects", "--quiet"][..], arguments, &["made"]].concat();
        let name = source.output(&command, input.as_bytes());
        fs::read(source.path.join(format!("made-{name}.pack"))).expect("a pack")
    };
    let whole = pack_of(&["--revs"], &format!("{commit}\n"));
    let only_commit = pack_of(&[], &format!("{commit}\n"));
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("not a pack", b"hello, this is no pack".to_vec(), "bad pack"),
        ("nothing", Vec::new(), "bad pack"),
        ("cut off", whole[..whole.len() - 9].to_vec(), "bad pack"),
        ("damaged", damaged, "bad pack"),
        ("without the tree", only_commit, "incomplete"),
        ("empty", b"PACK\0\0\0\x02\0\0\0\0".to_vec(), "incomplete"),
        ("whole", whole, "good"),
    ];
    for (name, pack, expect) in cases {
        let advertised = commit.clone();
        let server = Server::answering(move |method, _, body| {
            let mut out = Vec::new();
            let kind = if method == "GET" {
                "advertisement"
            } else {
                "result"
            };
            if method == "GET" {
                for line in ["version 2\n", "ls-refs\n", "fetch=shallow\n"] {
                    pkt::line(&mut out, line);
                }
            } else if body.windows(7).any(|w| w == b"ls-refs") {
                pkt::line(&mut out, &format!("{advertised} refs/tags/v1\n"));
            } else {
                pkt::line(&mut out, "packfile\n");
                for piece in pack.chunks(1000) {
                    out.extend_from_slice(format!("{:04x}\x01", piece.len() + 5).as_bytes());
                    out.extend_from_slice(piece);
                }
            }
            pkt::flush(&mut out);
            let kind = format!("application/x-git-upload-pack-{kind}");
            async move { answer(200, ("content-type", &kind), out) }
        })
        .await;
        let _ = fs::remove_dir_all(place.path("mirror"));
        let result = place.checkout(&at(&server, "x"), "v1").await;
        let found = match &result {
            Ok(_) => "good",
            Err(WatchError::Refusal(Refusal::BadPack { .. })) => "bad pack",
            Err(WatchError::Refusal(Refusal::Incomplete { .. })) => "incomplete",
            Err(_) => "another error",
        };
        assert_eq!(found, expect, "{name}: {result:?}");
        let kept = matches!(name, "whole" | "without the tree");
        assert_eq!(no_packs(&place.path("mirror")), !kept, "{name}");
    }
    // a page for people is not a git server
    let page = Server::answering(|_, _, _| async {
        answer(
            200,
            ("content-type", "text/html"),
            b"<h1>log in</h1>".to_vec(),
        )
    })
    .await;
    let found = refusal(place.list(&at(&page, "x")).await);
    assert!(matches!(found, Refusal::NotGit { .. }), "{found}");
}

fn no_packs(mirror: &Path) -> bool {
    fs::read_dir(mirror.join("objects/pack")).is_ok_and(|mut entries| entries.next().is_none())
}
