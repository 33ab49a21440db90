//! Tests of fetching against a registry on loopback.

use std::time::Duration;

use countersign_attest::digest::Sha256;
use countersign_fixtures::registries::{Answer, Registry};
use serde_json::json;
use tempfile::TempDir;

use super::error::Kind;
use super::front::FRONTS;
use super::*;
use crate::http::HttpOptions;

mod gem;
mod pypi;

/// When the crates of these tests were published.
const PUBLISHED: &str = "2025-04-19T16:52:25Z";

struct Bench {
    registry: Registry,
    http: Http,
    endpoints: Endpoints,
    blobs: Blobs,
    limits: Limits,
    dir: TempDir,
}

/// Every registry that has one address at a registry of ours; cargo's index in a folder of it.
fn endpoints(url: &str) -> Endpoints {
    let mut endpoints = Endpoints::default();
    for front in FRONTS.iter().filter(|front| front.kind != "deb") {
        let address = if front.kind == "cargo" {
            format!("{url}index")
        } else {
            url.to_owned()
        };
        endpoints.set(front, &address).unwrap();
    }
    endpoints
}

impl Bench {
    fn new() -> Self {
        let registry = Registry::start().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let read_timeout = Duration::from_millis(500);
        Self {
            http: Http::new(HttpOptions {
                read_timeout,
                ..HttpOptions::default()
            })
            .unwrap(),
            endpoints: endpoints(&registry.url()),
            blobs: Blobs::open(dir.path().join("blobs")).unwrap(),
            limits: Limits {
                artifact_bytes: 1000,
                metadata_bytes: 2000,
                digest_lines: 10,
            },
            registry,
            dir,
        }
    }

    async fn fetch(&self, source: &str, versions: &[&str]) -> Result<Found, PublishError> {
        let source = PublishedSource::parse(source, Some(self.dir.path())).unwrap();
        let versions: Vec<String> = versions.iter().map(|&v| v.to_owned()).collect();
        let Self {
            http,
            endpoints,
            blobs,
            limits,
            dir,
            ..
        } = self;
        let fetcher = Fetcher {
            http,
            endpoints,
            blobs,
            limits: *limits,
            clients: dir.path(),
        };
        fetch(&fetcher, &source, "v1.2.3", &versions, Timestamp::EPOCH).await
    }

    /// Fetches `pkg:npm/left` at 1.2.3 and expects an error of this code and kind, and an empty store.
    async fn refused(&self, code: &str, kind: Kind) -> String {
        self.refuses("pkg:npm/left", code, kind).await
    }

    async fn refuses(&self, source: &str, code: &str, kind: Kind) -> String {
        let error = self.fetch(source, &["1.2.3"]).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), (code, kind), "{error}");
        assert_eq!(self.stored(), 0, "something was stored");
        error.to_string()
    }

    /// Files in the store, finished or not.
    fn stored(&self) -> usize {
        let count = |name: &str| {
            std::fs::read_dir(self.dir.path().join("blobs").join(name))
                .unwrap()
                .count()
        };
        count("sha256") + count("tmp")
    }
}

#[tokio::test]
async fn fetching_may_move_between_threads() {
    fn sendable<T: Send>(value: T) -> T {
        value
    }
    let bench = Bench::new();
    assert!(sendable(bench.fetch("pkg:npm/left", &[])).await.is_err());
}

#[tokio::test]
async fn a_version_is_found_checked_and_stored() {
    let bench = Bench::new();
    bench.registry.publish_npm("left", "1.2.2", b"older");
    let path = bench.registry.publish_npm("left", "1.2.3", b"tarball");
    let found = bench
        .fetch("pkg:npm/left", &["v1.2.3", "1.2.3"])
        .await
        .unwrap();
    assert_eq!(found.version, "1.2.3");
    let [artifact] = &found.artifacts[..] else {
        panic!("{found:?}")
    };
    assert_eq!(artifact.file_name, "left-1.2.3.tgz");
    assert_eq!(artifact.purl.as_deref(), Some("pkg:npm/left@1.2.3"));
    assert_eq!(artifact.stored(), Some(Digests::of(b"tarball")));
    assert_eq!(artifact.stage, Stage::Released);
    let location = artifact.download_location.as_deref().unwrap();
    assert!(location.ends_with(&path), "{location}");
    assert!(artifact.declared.as_deref().unwrap().starts_with("sha512-"));
    assert_eq!(
        std::fs::read(bench.blobs.path(&artifact.sha256)).unwrap(),
        b"tarball"
    );
}

#[tokio::test]
async fn a_crate_is_found_checked_and_stored() {
    let bench = Bench::new();
    bench
        .registry
        .publish_crate("left", "1.2.2", b"older", Some(PUBLISHED));
    let path = bench
        .registry
        .publish_crate("left", "1.2.3+b", b"crate", Some(PUBLISHED));
    let yank = |lines: &mut Vec<serde_json::Value>| lines[1]["yanked"] = true.into();
    bench.registry.edit_crate("left", yank);
    let found = bench
        .fetch("pkg:cargo/left", &["v1.2.3", "1.2.3"])
        .await
        .unwrap();
    assert_eq!(found.version, "1.2.3+b");
    let [artifact] = &found.artifacts[..] else {
        panic!("{found:?}")
    };
    assert_eq!(artifact.file_name, "left-1.2.3+b.crate");
    assert_eq!(artifact.purl.as_deref(), Some("pkg:cargo/left@1.2.3%2Bb"));
    assert_eq!(artifact.stored(), Some(Digests::of(b"crate")));
    assert_eq!(artifact.published_on, PUBLISHED.parse().ok());
    assert!(artifact.yanked);
    let location = artifact.download_location.as_deref().unwrap();
    assert!(location.ends_with(&path), "{location}");
    assert!(artifact.declared.as_deref().unwrap().starts_with("sha256:"));
    let older = bench.fetch("pkg:cargo/left@1.2.2", &[]).await.unwrap();
    assert!(!older.artifacts[0].yanked);
}

#[tokio::test]
async fn a_crate_is_refused_unless_it_is_what_the_index_says() {
    let bench = Bench::new();
    let refused = async |code, kind| bench.refuses("pkg:cargo/left", code, kind).await;
    refused("package-unknown", Kind::Refusal).await;
    bench
        .registry
        .publish_crate("left", "1.2.4", b"crate", Some(PUBLISHED));
    refused("published-missing", Kind::Refusal).await;
    let path = bench
        .registry
        .publish_crate("left", "1.2.3", b"crate", Some(PUBLISHED));
    bench.registry.put(&path, Answer::Bytes(b"krate".to_vec()));
    refused("not-as-declared", Kind::Fault).await;
    bench.registry.put(&path, Answer::Status(404));
    refused("published-missing", Kind::Fault).await;
    let elsewhere = Answer::Redirect("http://127.0.0.2:1/".into());
    bench.registry.put(&path, elsewhere);
    refused("host-not-allowed", Kind::Fault).await;
    let rename = |lines: &mut Vec<serde_json::Value>| lines[1]["name"] = "right".into();
    bench.registry.edit_crate("left", rename);
    refused("bad-metadata", Kind::Fault).await;
    bench
        .registry
        .publish_crate("port", "1.2.3", b"crate", Some(PUBLISHED));
    let local = json!({ "dl": "file:///etc" }).to_string().into_bytes();
    bench
        .registry
        .put("/index/config.json", Answer::Bytes(local));
    bench
        .refuses("pkg:cargo/port", "bad-metadata", Kind::Fault)
        .await;
    let broken = Answer::Bytes(b"{\n".to_vec());
    bench.registry.put("/index/le/ft/left", broken);
    refused("bad-metadata", Kind::Fault).await;
}

#[tokio::test]
async fn a_scoped_name_is_one_segment() {
    let bench = Bench::new();
    bench.registry.publish_npm("@s/left", "1.2.3", b"tarball");
    let found = bench.fetch("pkg:npm/%40s/left", &["1.2.3"]).await.unwrap();
    assert_eq!(
        found.artifacts[0].purl.as_deref(),
        Some("pkg:npm/%40s/left@1.2.3")
    );
    assert_eq!(bench.registry.requests()[0], "/@s%2fleft");
}

#[tokio::test]
async fn a_version_that_the_user_names_beats_the_tag() {
    let bench = Bench::new();
    bench.registry.publish_npm("left", "2.0.0", b"tarball");
    let found = bench.fetch("pkg:npm/left@2.0.0", &["1.2.3"]).await.unwrap();
    assert_eq!(found.version, "2.0.0");
}

#[tokio::test]
async fn what_is_not_published_is_told_apart() {
    let bench = Bench::new();
    let text = bench.refused("package-unknown", Kind::Refusal).await;
    assert!(text.contains("left"), "{text}");
    bench.registry.publish_npm("left", "1.2.30", b"tarball");
    let text = bench.refused("published-missing", Kind::Refusal).await;
    assert!(text.contains("1.2.3"), "{text}");
    // all versions withdrawn: registries leave a document without the member
    bench
        .registry
        .edit_npm("left", |d| *d = json!({ "name": "left" }));
    bench.refused("published-missing", Kind::Refusal).await;
    // the document promises a tarball that is not there
    let path = bench.registry.publish_npm("left", "1.2.3", b"tarball");
    bench.registry.put(&path, Answer::Status(404));
    bench.refused("published-missing", Kind::Fault).await;
}

#[tokio::test]
async fn other_bytes_than_declared_are_never_stored() {
    let bench = Bench::new();
    let path = bench.registry.publish_npm("left", "1.2.3", b"tarball");
    bench
        .registry
        .put(&path, Answer::Bytes(b"tarbell".to_vec()));
    let text = bench.refused("not-as-declared", Kind::Fault).await;
    assert!(text.matches("sha512-").count() == 2, "{text}");
    bench.registry.edit_npm("left", |d| {
        d["versions"]["1.2.3"]["dist"]
            .as_object_mut()
            .unwrap()
            .remove("integrity");
    });
    let found = bench.fetch("pkg:npm/left", &["1.2.3"]).await.unwrap();
    assert_eq!(
        found.artifacts[0].declared, None,
        "SHA-1 alone declares nothing"
    );
}

#[tokio::test]
async fn limits_hold_and_name_their_keys() {
    let mut bench = Bench::new();
    bench.registry.publish_npm("left", "1.2.3", &[7; 1001]);
    let text = bench.refused("over-limit", Kind::Refusal).await;
    assert!(text.contains("limits.artifact_bytes"), "{text}");
    bench.registry.publish_npm("left", "1.2.3", &[7; 1000]);
    bench.limits.metadata_bytes = 100;
    let text = bench.refused("over-limit", Kind::Refusal).await;
    assert!(text.contains("limits.metadata_bytes"), "{text}");
    bench.limits.metadata_bytes = 2000;
    assert!(bench.fetch("pkg:npm/left", &["1.2.3"]).await.is_ok());
}

#[tokio::test]
async fn files_of_other_hosts_need_permission() {
    let mut bench = Bench::new();
    let other = Registry::start().unwrap();
    other.put("/x.tgz", Answer::Bytes(b"tarball".to_vec()));
    let there = format!("{}x.tgz", other.url());
    let path = bench.registry.publish_npm("left", "1.2.3", b"tarball");

    bench.registry.put(&path, Answer::Redirect(there.clone()));
    let text = bench.refused("host-not-allowed", Kind::Fault).await;
    assert!(text.contains("registries.allowed_hosts"), "{text}");
    bench.registry.edit_npm("left", |d| {
        d["versions"]["1.2.3"]["dist"]["tarball"] = json!(there);
    });
    let text = bench.refused("host-not-allowed", Kind::Fault).await;
    assert!(text.contains("registries.allowed_hosts"), "{text}");
    assert!(other.requests().is_empty(), "the other host was spoken to");

    let host = there
        .trim_start_matches("http://")
        .trim_end_matches("/x.tgz");
    bench.endpoints.allowed_hosts.push(host.to_owned());
    assert!(bench.fetch("pkg:npm/left", &["1.2.3"]).await.is_ok());
}

#[tokio::test]
async fn trouble_of_the_registry_is_a_fault() {
    let mut bench = Bench::new();
    for (answer, code) in [
        (Answer::Status(500), "unreachable"),
        (Answer::Status(429), "unreachable"),
        (Answer::Hang, "timed-out"),
        (Answer::Bytes(b"<html>".to_vec()), "bad-metadata"),
        (Answer::Bytes(b"[]".to_vec()), "bad-metadata"),
        (Answer::Bytes(b"{\"versions\":[]}".to_vec()), "bad-metadata"),
        (
            Answer::Bytes(b"{\"name\":\"right\"}".to_vec()),
            "bad-metadata",
        ),
        (Answer::Bytes(vec![b'['; 1999]), "bad-metadata"),
        (Answer::Redirect("/left".to_owned()), "unreachable"),
    ] {
        bench.registry.put("/left", answer);
        bench.refused(code, Kind::Fault).await;
    }
    bench.endpoints = Endpoints::default();
    let text = bench.refused("registry-unknown", Kind::Fault).await;
    assert!(text.contains("registries.npm"), "{text}");
}

#[tokio::test]
async fn a_hostile_document_is_refused() {
    let bench = Bench::new();
    for (member, value, code, kind) in [
        ("tarball", json!(null), "bad-metadata", Kind::Fault),
        ("tarball", json!("no url"), "bad-metadata", Kind::Fault),
        (
            "tarball",
            json!("file:///etc/passwd"),
            "host-not-allowed",
            Kind::Fault,
        ),
        (
            "tarball",
            json!(format!("{}a%2Fb", bench.registry.url())),
            "bad-file-name",
            Kind::Refusal,
        ),
        (
            "tarball",
            json!(bench.registry.url()),
            "bad-file-name",
            Kind::Refusal,
        ),
        (
            "integrity",
            json!("sha512-short"),
            "bad-metadata",
            Kind::Fault,
        ),
    ] {
        bench.registry.publish_npm("left", "1.2.3", b"tarball");
        bench
            .registry
            .edit_npm("left", |d| d["versions"]["1.2.3"]["dist"][member] = value);
        bench.refused(code, kind).await;
    }
    bench.registry.edit_npm("left", |d| {
        d["versions"]["1.2.3"]["version"] = json!("9.9.9");
    });
    bench.refused("bad-metadata", Kind::Fault).await;
}

#[tokio::test]
async fn a_template_tries_each_spelling() {
    let bench = Bench::new();
    let template = format!("{}dl/{{tag}}/x-{{version}}.zip", bench.registry.url());
    bench
        .refuses(&template, "published-missing", Kind::Refusal)
        .await;
    bench
        .registry
        .put("/dl/v1.2.3/x-1.2.3.zip", Answer::Bytes(b"zip".to_vec()));
    let found = bench.fetch(&template, &["1.2.3.0", "1.2.3"]).await.unwrap();
    assert_eq!(
        (&*found.version, &*found.artifacts[0].file_name),
        ("1.2.3", "x-1.2.3.zip")
    );
    assert_eq!(found.artifacts[0].stored(), Some(Digests::of(b"zip")));
    // a server in trouble must not turn into "try the next"
    bench
        .registry
        .put("/dl/v1.2.3/x-1.2.3.0.zip", Answer::Status(500));
    let error = bench
        .fetch(&template, &["1.2.3.0", "1.2.3"])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Fault);
}

#[tokio::test]
async fn a_local_file_is_taken_without_its_path() {
    let bench = Bench::new();
    let path = bench.dir.path().join("x-1.2.3.zip");
    bench
        .refuses("x-{version}.zip", "published-missing", Kind::Refusal)
        .await;
    std::fs::write(&path, vec![7; 1001]).unwrap();
    let text = bench
        .refuses("x-{version}.zip", "over-limit", Kind::Refusal)
        .await;
    assert!(text.contains("limits.artifact_bytes"), "{text}");
    std::fs::write(&path, vec![7; 1000]).unwrap();
    let found = bench.fetch("x-{version}.zip", &["1.2.3"]).await.unwrap();
    let artifact = &found.artifacts[0];
    assert_eq!(
        artifact.download_location.as_deref(),
        Some("file:x-1.2.3.zip")
    );
    assert_eq!(artifact.stored(), Some(Digests::of(&[7; 1000])));
}

#[tokio::test]
async fn a_folder_or_a_pipe_is_no_file() {
    let bench = Bench::new();
    std::fs::create_dir(bench.dir.path().join("folder")).unwrap();
    bench.refuses("folder", "unreadable", Kind::Refusal).await;
    bench
        .refuses("/dev/zero", "unreadable", Kind::Refusal)
        .await;
}

#[tokio::test]
async fn digests_alone_make_candidates() {
    let bench = Bench::new();
    let (a, b) = (Sha256::of(b"a"), Sha256::of(b"b"));
    let url = format!("digests:{}SUMS-{{version}}", bench.registry.url());
    bench.registry.put(
        "/SUMS-1.2.3",
        Answer::Bytes(format!("{a}  a\n{b} *b\n").into()),
    );
    let found = bench.fetch(&url, &["v1.2.3", "1.2.3"]).await.unwrap();
    assert_eq!(found.version, "1.2.3");
    let names: Vec<_> = found
        .artifacts
        .iter()
        .map(|p| (&*p.file_name, p.sha256))
        .collect();
    assert_eq!(names, [("a", a), ("b", b)]);
    for artifact in &found.artifacts {
        assert_eq!(
            (artifact.stage, artifact.stored()),
            (Stage::Candidate, None)
        );
    }

    std::fs::write(bench.dir.path().join("SUMS"), format!("{a}  a\n")).unwrap();
    assert_eq!(
        bench
            .fetch("digests:SUMS", &["1.2.3"])
            .await
            .unwrap()
            .artifacts
            .len(),
        1
    );
    let found = bench
        .fetch(&format!("sha256:{a}"), &["1.2.3"])
        .await
        .unwrap();
    assert_eq!(found.artifacts[0].file_name, format!("sha256-{a}"));
    let found = bench
        .fetch(&format!("a.tgz=sha256:{a}"), &["1.2.3"])
        .await
        .unwrap();
    assert_eq!(found.artifacts[0].file_name, "a.tgz");
}

#[tokio::test]
async fn a_bad_digest_list_is_refused_by_its_line() {
    let bench = Bench::new();
    let url = format!("digests:{}SUMS", bench.registry.url());
    bench
        .refuses(&url, "published-missing", Kind::Refusal)
        .await;
    let good = Sha256::of(b"a");
    bench.registry.put(
        "/SUMS",
        Answer::Bytes(format!("{good}  a\n{good}  b/c\n").into()),
    );
    let text = bench.refuses(&url, "bad-digest-list", Kind::Refusal).await;
    assert!(text.contains("line 2"), "{text}");
    bench.registry.put("/SUMS", Answer::Bytes(vec![b'#'; 2001]));
    bench.refuses(&url, "over-limit", Kind::Refusal).await;
    bench.registry.put("/SUMS", Answer::Status(502));
    bench.refuses(&url, "unreachable", Kind::Fault).await;
}
