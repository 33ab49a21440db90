//! Repositories looked at as the daemon does it: a real server, a real git child, real objects.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_attest::digest::GitOid;
use countersign_builder::channel::Channel;
use countersign_fixtures::repositories::Repository;

use super::children::Children;
use super::error::{Fault, Refusal, WatchError};
use super::export::{Exported, TreeLimits};
use super::git::{Fetched, Repositories, WatchLimits};
use super::git_child::{Grants, Request, Store};
use super::location::{Location, LocationRules};
use super::refs::Listing;
use super::server::{Server, Speaks, answer};
use super::upstream::UpstreamLimits;
use super::{git_child, upstream};

/// The other end of every child in these tests: the test binary itself, asked for this one function.
/// It tests nothing by itself: without a channel on its standard input there is nobody to serve.
#[test]
fn child() {
    let Ok(channel) = Channel::from_stdin() else {
        return;
    };
    git_child::serve(channel, |_| Ok(())).expect("the parent listens");
}

/// As [`child`], on a machine where it cannot lock itself in.
#[test]
fn child_without_walls() {
    let Ok(channel) = Channel::from_stdin() else {
        return;
    };
    git_child::serve(channel, |_| Err("no walls here".into())).expect("the parent listens");
}

pub(crate) fn children() -> Children {
    child_named("watch::tests::child")
}

fn child_named(test: &str) -> Children {
    let arguments = [test, "--exact", "--test-threads=1"];
    Children {
        program: std::env::current_exe().expect("the test binary"),
        arguments: arguments.map(str::to_owned).to_vec(),
        time: Duration::from_secs(60),
    }
}

/// A place for repositories, mirrors and exports.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    pub(crate) limits: WatchLimits,
    pub(crate) children: Children,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self {
            folder,
            limits: WatchLimits::default(),
            children: children(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn repository(&self, name: &str) -> Repository {
        Repository::init(&self.path(name))
    }

    pub(crate) async fn server(&self, speaks: Speaks) -> Server {
        Server::start(self.folder.path(), speaks).await
    }

    pub(crate) fn repositories(&self) -> Repositories {
        let client = upstream::client().no_proxy().build().expect("a client");
        Repositories::new(client, self.children.clone(), self.limits)
    }

    pub(crate) async fn list(&self, location: &Location) -> Result<Listing, WatchError> {
        self.repositories()
            .list(location, None)
            .await
            .map(|(listing, _)| listing)
    }

    pub(crate) async fn fetch(
        &self,
        location: &Location,
        tag: &str,
        expected: Option<&str>,
    ) -> Result<Fetched, WatchError> {
        let expected = expected.map(|oid| oid.parse().expect("an oid"));
        self.repositories()
            .fetch(location, tag, expected, &self.path("mirror"))
            .await
    }

    /// Fetches a tag and exports it to the folder `out`, which is made anew.
    pub(crate) async fn checkout(
        &self,
        location: &Location,
        tag: &str,
    ) -> Result<Exported, WatchError> {
        let fetched = self.fetch(location, tag, None).await?;
        let out = self.path("out");
        if out.exists() {
            fs::remove_dir_all(&out).expect("the last export");
        }
        self.repositories().export(&fetched, &out, false).await
    }
}

pub(crate) fn local(path: &Path) -> Location {
    let rules = LocationRules {
        allow_local: true,
        allow_http: false,
    };
    Location::parse(path.to_str().expect("a text"), rules).expect("a location")
}

pub(crate) fn at(server: &Server, name: &str) -> Location {
    Location::parse(server.url(name).as_str(), LocationRules::default()).expect("a location")
}

pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, WatchError>) -> Refusal {
    match result {
        Err(WatchError::Refusal(refusal)) => refusal,
        other => panic!("a refusal was due, not {other:?}"),
    }
}

fn fault<T: std::fmt::Debug>(result: Result<T, WatchError>) -> Fault {
    match result {
        Err(WatchError::Fault(fault)) => fault,
        other => panic!("a fault was due, not {other:?}"),
    }
}

fn oid(text: &str) -> GitOid {
    text.parse().expect("an oid")
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let step = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..length).map(step).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_listed_fetched_and_exported_the_same_from_everywhere() {
    let place = Place::new();
    let source = place.repository("project");
    source.write("old", "gone later\n");
    source.commit("first");
    fs::remove_file(source.path.join("old")).expect("remove");
    source.write("a/b/file", "text\r\n");
    source.write("run.sh", "#!/bin/sh\n");
    fs::set_permissions(
        source.path.join("run.sh"),
        fs::Permissions::from_mode(0o700),
    )
    .expect("chmod");
    std::os::unix::fs::symlink("/etc/passwd", source.path.join("link")).expect("symlink");
    let commit = source.commit("second");
    let tag_object = source.annotated_tag("v2");
    source.tag("light");
    let tree = source.output(&["rev-parse", "HEAD^{tree}"], b"");
    let (v2, v0) = (
        place.server(Speaks::V2).await,
        place.server(Speaks::V0).await,
    );

    for location in [at(&v2, "project"), at(&v0, "project"), local(&source.path)] {
        let what = location.asked();
        let listing = place.list(&location).await.expect(&what);
        let found: Vec<_> = listing
            .tags
            .iter()
            .map(|t| (t.name.as_str(), t.oid, t.peeled))
            .collect();
        let expect = [
            ("light", oid(&commit), None),
            ("v2", oid(&tag_object), Some(oid(&commit))),
        ];
        assert_eq!(found, expect, "{what}");
        assert_eq!(listing.skipped, 0);

        let exported = place.checkout(&location, "v2").await.expect(&what);
        assert_eq!(exported.tag_object, Some(oid(&tag_object)));
        assert_eq!((exported.commit, exported.tree), (oid(&commit), oid(&tree)));
        assert_eq!(exported.commit_time.unix_seconds(), 1_700_000_000);
        assert_eq!((exported.files, exported.bytes), (3, 27));
        assert!(exported.submodules.is_empty() && exported.lfs_pointers.is_empty());
        let out = place.path("out");
        assert_eq!(fs::read(out.join("a/b/file")).expect("file"), b"text\r\n");
        assert_eq!(
            fs::read_link(out.join("link")).expect("link"),
            Path::new("/etc/passwd")
        );
        let mode = |name: &str| {
            fs::metadata(out.join(name))
                .expect(name)
                .permissions()
                .mode()
                & 0o7777
        };
        assert_eq!(
            (mode("a/b/file"), mode("run.sh"), mode("a")),
            (0o644, 0o755, 0o755)
        );
        assert!(!out.join(".git").exists() && !out.join("old").exists());

        let light = place.checkout(&location, "light").await.expect(&what);
        assert_eq!((light.tag_object, light.commit), (None, oid(&commit)));
    }
    // the mirror is shallow, and git itself finds nothing wrong with it
    let mirror = Repository {
        path: place.path("mirror"),
    };
    assert_eq!(
        mirror.output(&["--git-dir=.", "rev-list", "--count", &commit], b""),
        "1"
    );
    mirror.git(&["--git-dir=.", "fsck", "--full", "--strict", &commit]);
}

/// What the foreign program sees of a `.git` of ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_git_form_is_the_clean_commit_and_nothing_else() {
    let place = Place::new();
    let source = place.repository("project");
    source.write("old", "gone later\n");
    source.commit("first");
    fs::remove_file(source.path.join("old")).expect("remove");
    source.write("a/b/file", "text\r\n");
    source.write("a.b", "sorts between\n");
    source.write("same/b/file", "text\r\n");
    source.write("run.sh", "#!/bin/sh\n");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(source.path.join("run.sh"), executable).expect("chmod");
    std::os::unix::fs::symlink("/etc/passwd", source.path.join("link")).expect("symlink");
    source.git(&["config", "core.hooksPath", "/nowhere"]);
    let commit = source.commit("second");
    source.tag("v2");

    let fetched = place.fetch(&local(&source.path), "v2", None).await;
    let fetched = fetched.expect("a tag");
    let mut digests = Vec::new();
    for name in ["one", "two"] {
        let out = place.path(name);
        let exported = place.repositories().export(&fetched, &out, true).await;
        assert_eq!(exported.expect("an export").commit, oid(&commit));
        let folder = fs::File::open(&out).expect("a folder");
        let digest = countersign_builder::tree::digest(std::os::fd::AsFd::as_fd(&folder));
        digests.push(digest.expect("a tree").sha256);
    }
    assert_eq!(digests[0], digests[1]);

    let repository = Repository {
        path: place.path("one"),
    };
    let said = |arguments: &[&str]| repository.output(arguments, b"");
    assert_eq!(said(&["rev-parse", "HEAD"]), commit);
    assert_eq!(said(&["status", "--porcelain"]), "");
    assert_eq!(said(&["log", "--format=%s"]), "second");
    assert_eq!(said(&["for-each-ref"]), "");
    assert_eq!(
        said(&["ls-files", "-s"]),
        source.output(&["ls-files", "-s"], b"")
    );
    let config = fs::read_to_string(place.path("one/.git/config")).expect("a text");
    assert!(!config.contains("hooksPath"), "{config}");
    // a change is seen
    fs::write(place.path("one/a.b"), "changed\n").expect("a file");
    assert_eq!(said(&["status", "--porcelain"]), " M a.b");
}

#[test]
fn a_request_grants_its_own_folders_only() {
    let place = Place::new();
    let (mirror, out) = (place.path("mirror"), place.path("out"));
    let (oid, limits) = (GitOid::from_bytes([1; 20]), TreeLimits::default());
    let export = |from| Request::Export {
        from,
        oid,
        into: out.clone(),
        limits,
        with_git: false,
    };
    let import = Request::Import {
        mirror: mirror.clone(),
        oid,
        pack_bytes: 1,
        limits,
    };
    let list = Request::ListLocal {
        path: mirror.clone(),
        max_refs: 1,
    };
    let check = Request::CheckLocal {
        path: mirror.clone(),
        oid,
        limits,
    };
    assert_eq!(
        list.grants(),
        Grants::default(),
        "what is absent cannot be granted"
    );
    fs::create_dir(&mirror).expect("a folder");
    fs::create_dir(&out).expect("a folder");
    let (mirror_only, out_only) = (vec![mirror.clone()], vec![out.clone()]);
    for (request, read, write) in [
        (&list, &mirror_only, &vec![]),
        (&check, &mirror_only, &vec![]),
        (&import, &vec![], &mirror_only),
        (
            &export(Store::Mirror(mirror.clone())),
            &mirror_only,
            &out_only,
        ),
        (&export(Store::Local(mirror)), &mirror_only, &out_only),
    ] {
        let expect = Grants {
            read: read.clone(),
            write: write.clone(),
        };
        assert_eq!(request.grants(), expect, "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_cannot_be_locked_in_reads_nothing() {
    let mut place = Place::new();
    let source = place.repository("project");
    source.commit("first");
    source.tag("v1");
    let location = local(&source.path);
    place
        .list(&location)
        .await
        .expect("a child that is locked in lists");
    place.children = child_named("watch::tests::child_without_walls");
    let found = fault(place.list(&location).await);
    assert!(found.to_string().contains("no walls here"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_poll_is_one_request() {
    let place = Place::new();
    let source = place.repository("project");
    source.commit("first");
    source.tag("v1");
    for (speaks, first) in [(Speaks::V2, 2), (Speaks::V0, 1)] {
        let server = place.server(speaks).await;
        let repositories = place.repositories();
        let location = at(&server, "project");
        let (before, remembered) = repositories.list(&location, None).await.expect("list");
        assert_eq!(server.take_requests().len(), first, "{speaks:?}");
        let again = repositories
            .list(&location, remembered.as_ref())
            .await
            .expect("list");
        assert_eq!(again.0, before);
        assert_eq!(server.take_requests().len(), 1, "{speaks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_tag_costs_only_what_is_new_and_a_damaged_mirror_heals() {
    let place = Place::new();
    let source = place.repository("project");
    source.write("large", noise(200_000));
    source.commit("first");
    source.tag("v1");
    source.write("small", "new\n");
    source.commit("second");
    source.tag("v2");
    source.write("small", "newer\n");
    source.commit("third");
    source.tag("v3");
    let server = place.server(Speaks::V2).await;
    let location = at(&server, "project");
    let packed = || -> u64 {
        let folder = fs::read_dir(place.path("mirror/objects/pack")).expect("packs");
        folder
            .map(|entry| entry.expect("a pack").metadata().expect("a pack").len())
            .sum()
    };
    place.checkout(&location, "v1").await.expect("v1");
    let first = packed();
    place.checkout(&location, "v2").await.expect("v2");
    assert!(
        first > 200_000 && packed() < first + 20_000,
        "{first} {}",
        packed()
    );
    assert_eq!(
        fs::read(place.path("out/large")).expect("large").len(),
        200_000
    );

    for entry in fs::read_dir(place.path("mirror/objects/pack")).expect("packs") {
        fs::remove_file(entry.expect("a pack").path()).expect("remove");
    }
    place
        .checkout(&location, "v3")
        .await
        .expect("v3 after the loss of the mirror's packs");
    assert_eq!(
        fs::read(place.path("out/small")).expect("small"),
        b"newer\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_with_its_remedy() {
    let place = Place::new();
    place.repository("empty");
    let source = place.repository("project");
    source.commit("first");
    source.tag("v1.2.0");
    let server = place.server(Speaks::V2).await;
    let empty = local(&place.path("empty"));
    for location in [at(&server, "empty"), empty] {
        assert_eq!(
            place.list(&location).await.expect("list"),
            Listing::default()
        );
        let found = refusal(place.fetch(&location, "v1", None).await);
        assert!(
            matches!(found, Refusal::NoSuchTag { advertised: 0, .. }),
            "{found}"
        );
    }
    for location in [at(&server, "project"), local(&source.path)] {
        let found = refusal(place.fetch(&location, "1.2.0", None).await);
        let text = found.to_string();
        assert!(
            text.contains("no tag 1.2.0") && text.contains("similar: v1.2.0"),
            "{text}"
        );
        let found = refusal(place.fetch(&location, "../../etc", None).await);
        assert!(matches!(found, Refusal::TagName { .. }), "{found}");
        // the beginning of a name is not the name
        assert!(matches!(
            refusal(place.fetch(&location, "v1.2", None).await),
            Refusal::NoSuchTag { .. }
        ));
    }
    let found = refusal(place.list(&at(&server, "absent")).await);
    assert!(
        matches!(found, Refusal::NoRepository { status: 404, .. }),
        "{found}"
    );
    let found = refusal(place.list(&local(&place.path("absent"))).await);
    assert!(matches!(found, Refusal::LocalRepository { .. }), "{found}");
    let closed = Location::parse("http://127.0.0.1:1/x", LocationRules::default()).expect("a URL");
    let found = fault(place.list(&closed).await);
    assert!(matches!(found, Fault::Unreachable { .. }), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_tag_is_not_fetched() {
    let place = Place::new();
    let source = place.repository("project");
    let first = source.commit("first");
    source.tag("v1");
    let server = place.server(Speaks::V2).await;
    for location in [at(&server, "project"), local(&source.path)] {
        place
            .fetch(&location, "v1", Some(&first))
            .await
            .expect("not moved yet");
    }
    let second = source.commit("second");
    source.git(&["tag", "--force", "v1"]);
    for location in [at(&server, "project"), local(&source.path)] {
        let found = refusal(place.fetch(&location, "v1", Some(&first)).await);
        match found {
            Refusal::TagMoved { from, to, .. } => {
                assert_eq!((from, to), (first.clone(), second.clone()));
            }
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_holds_exactly() {
    let mut place = Place::new();
    let source = place.repository("project");
    source.write("a/b/c/file", vec![b'x'; 1000]);
    source.write("other", vec![b'y'; 24]);
    source.commit("first");
    source.tag("v1");
    source.tag("v2");
    let location = local(&source.path);
    let exact = TreeLimits {
        entries: 5,
        bytes: 1024,
        file_bytes: 1000,
        depth: 3,
    };
    place.limits.tree = exact;
    place
        .checkout(&location, "v1")
        .await
        .expect("exactly at every limit");
    for limits in [
        TreeLimits {
            entries: 4,
            ..exact
        },
        TreeLimits {
            bytes: 1023,
            ..exact
        },
        TreeLimits {
            file_bytes: 999,
            ..exact
        },
        TreeLimits { depth: 2, ..exact },
    ] {
        place.limits.tree = limits;
        let found = refusal(place.checkout(&location, "v1").await);
        assert!(matches!(found, Refusal::Limit { .. }), "{limits:?} {found}");
    }
    place.limits.tree = exact;
    let server = place.server(Speaks::V2).await;
    let location = at(&server, "project");
    let generous = place.limits.upstream;
    for limits in [
        UpstreamLimits {
            answer_bytes: 100,
            ..generous
        },
        UpstreamLimits {
            pack_bytes: 100,
            ..generous
        },
        UpstreamLimits {
            max_refs: 1,
            ..generous
        },
    ] {
        place.limits.upstream = limits;
        let listed = place.list(&location).await;
        let found = refusal(if listed.is_ok() {
            place
                .checkout(&location, "v1")
                .await
                .map(|_| Listing::default())
        } else {
            listed
        });
        assert!(matches!(found, Refusal::Limit { .. }), "{limits:?} {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_or_fails_is_a_fault_and_tried_again() {
    let mut place = Place::new();
    place.limits.upstream.answer_time = Duration::from_millis(200);
    let hanging = Server::answering(|_, _, _| std::future::pending()).await;
    let found = fault(place.list(&at(&hanging, "x")).await);
    assert!(matches!(found, Fault::TimeOut { .. }), "{found}");
    for status in [429, 500, 503] {
        let failing =
            Server::answering(
                move |_, _, _| async move { answer(status, ("x-test", "1"), Vec::new()) },
            )
            .await;
        let found = fault(place.list(&at(&failing, "x")).await);
        assert!(
            matches!(found, Fault::Status { status: s, .. } if s == status),
            "{found}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_dies_or_hangs_is_a_fault() {
    let mut place = Place::new();
    let source = place.repository("project");
    let shell = |script: &str, millis| Children {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        time: Duration::from_millis(millis),
    };
    place.children = shell("echo 'no memory' >&2", 10_000);
    let found = fault(place.list(&local(&source.path)).await);
    assert!(found.to_string().contains("no memory"), "{found}");
    place.children = shell("exec sleep 60", 200);
    let found = fault(place.list(&local(&source.path)).await);
    assert!(matches!(found, Fault::TimeOut { .. }), "{found}");
    place.children = Children {
        program: "/nonexistent/countersign".into(),
        ..children()
    };
    let found = fault(place.list(&local(&source.path)).await);
    assert!(matches!(found, Fault::Io { .. }), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_followed_on_its_host_only() {
    let place = Place::new();
    let source = place.repository("project");
    source.commit("first");
    source.tag("v1");
    let real = place.server(Speaks::V2).await;
    let elsewhere = format!("{}/info/refs?service=git-upload-pack", real.url("project"));
    let other = Server::answering(move |_, path: String, _| {
        let to = match path.split('/').nth(1) {
            Some("circle") => path.clone(),
            _ => elsewhere.clone(),
        };
        async move { answer(301, ("location", &to), Vec::new()) }
    })
    .await;
    let found = refusal(place.list(&at(&other, "moved")).await);
    assert!(
        matches!(found, Refusal::RedirectedElsewhere { .. }),
        "{found}"
    );
    assert!(real.take_requests().is_empty());
    let found = refusal(place.list(&at(&other, "circle")).await);
    assert!(matches!(found, Refusal::NotGit { .. }), "{found}");
    assert_eq!(
        other.take_requests().len(),
        5,
        "one for the other host, four in the circle"
    );
}
