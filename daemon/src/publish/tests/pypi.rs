//! A Python package index on loopback: what is taken from its list of files, and what is refused.

use serde_json::Value;

use super::*;

const SDIST: &str = "left_right-1.2.3.tar.gz";
const WHEEL: &str = "left_right-1.2.3-py3-none-any.whl";
const SOURCE: &str = "pkg:pypi/Left-Right";

/// One entry of a list; the file is served beside it.
fn file(bench: &Bench, name: &str, bytes: &[u8]) -> Value {
    let path = format!("/files/{name}");
    bench.registry.put(&path, Answer::Bytes(bytes.to_vec()));
    json!({
        "filename": name,
        "url": path,
        "hashes": { "sha256": Sha256::of(bytes).to_string() },
        "upload-time": "2024-05-06T07:08:09.123456Z",
    })
}

fn list(bench: &Bench, files: &[Value]) {
    document(
        bench,
        &json!({ "meta": { "api-version": "1.1" }, "name": "left-right", "files": files }),
    );
}

fn document(bench: &Bench, document: &Value) {
    let bytes = document.to_string().into_bytes();
    bench.registry.put("/left-right/", Answer::Bytes(bytes));
}

#[tokio::test]
async fn sdist_and_wheel_of_a_version_are_found_checked_and_stored() {
    let bench = Bench::new();
    let files = [
        file(&bench, WHEEL, b"wheel"),
        file(&bench, SDIST, b"sdist"),
        file(&bench, "left_right-1.2.30.tar.gz", b"other"),
    ];
    list(&bench, &files);
    let found = bench.fetch(SOURCE, &["v1.2.3", "1.2.3"]).await.unwrap();
    let [wheel, sdist] = &found.artifacts[..] else {
        panic!("{found:?}")
    };
    assert_eq!((&*sdist.file_name, &*wheel.file_name), (SDIST, WHEEL));
    assert_eq!(sdist.stored(), Some(Digests::of(b"sdist")));
    assert_eq!(
        sdist.declared,
        Some(format!("sha256:{}", Sha256::of(b"sdist")))
    );
    assert_eq!(
        sdist.published_on.map(|time| time.to_string()).as_deref(),
        Some("2024-05-06T07:08:09Z")
    );
    let purl = wheel.purl.as_deref().unwrap();
    assert_eq!(purl, format!("pkg:pypi/left-right@1.2.3?file_name={WHEEL}"));
    assert_eq!(bench.stored(), 2);
    // the same purl names that one file again
    let again = bench.fetch(purl, &[]).await.unwrap();
    assert_eq!(again.artifacts.len(), 1);
    assert_eq!(again.artifacts[0].file_name, WHEEL);
}

#[tokio::test]
async fn a_version_is_the_same_in_any_spelling_and_no_other() {
    let bench = Bench::new();
    list(
        &bench,
        &[file(&bench, "left-right-2024.1.tar.gz", b"sdist")],
    );
    let found = bench.fetch(SOURCE, &["2024.01.0"]).await.unwrap();
    assert_eq!((found.artifacts.len(), &*found.version), (1, "2024.1"));
    for other in ["2024.10", "2024.1rc1", "x"] {
        let error = bench.fetch(SOURCE, &[other]).await.unwrap_err();
        assert_eq!(error.code(), "published-missing", "{error}");
    }
}

#[tokio::test]
async fn wheels_for_a_platform_are_known_by_their_digests_and_downloaded_where_asked_for() {
    let bench = Bench::new();
    let platform = "left_right-1.2.3-cp311-cp311-linux_x86_64.whl";
    let mut yanked = file(&bench, SDIST, b"sdist");
    yanked["yanked"] = json!("broken");
    list(&bench, &[file(&bench, platform, b"platform"), yanked]);
    let found = bench.fetch(SOURCE, &["1.2.3"]).await.unwrap();
    let [sdist, wheel] = &found.artifacts[..] else {
        panic!("{found:?}")
    };
    assert!(sdist.yanked && !wheel.yanked);
    assert_eq!(wheel.sha256, Sha256::of(b"platform"));
    assert_eq!((wheel.stage, wheel.stored()), (Stage::Candidate, None));
    let requests = bench.registry.requests();
    assert!(
        !requests.iter().any(|r| r.contains("cp311")),
        "{requests:?}"
    );
    let source = format!("{SOURCE}?file_name={platform}");
    let found = bench.fetch(&source, &["1.2.3"]).await.unwrap();
    let [wheel] = &found.artifacts[..] else {
        panic!("{found:?}")
    };
    assert!(wheel.stored().is_some(), "{wheel:?}");
}

#[tokio::test]
async fn other_bytes_than_declared_are_refused() {
    let bench = Bench::new();
    let mut entry = file(&bench, SDIST, b"sdist");
    entry["hashes"]["sha256"] = json!(Sha256::of(b"other").to_string());
    list(&bench, &[entry.clone()]);
    bench.refuses(SOURCE, "not-as-declared", Kind::Fault).await;
    entry["hashes"]["sha256"] = json!("abc");
    list(&bench, &[entry]);
    bench.refuses(SOURCE, "bad-metadata", Kind::Fault).await;
}

#[tokio::test]
async fn another_host_serves_files_over_https_and_by_digest_only() {
    let bench = Bench::new();
    let other = Registry::start().unwrap();
    other.put("/x", Answer::Bytes(b"sdist".to_vec()));
    let mut entry = file(&bench, SDIST, b"sdist");
    // a service of this machine, as good as any private address
    for url in [
        format!("{}x", other.url()),
        "http://h.invalid/x".to_owned(),
        "https://h.invalid:8443/x".to_owned(),
        "file:///x".to_owned(),
    ] {
        entry["url"] = json!(url);
        list(&bench, &[entry.clone()]);
        bench.refuses(SOURCE, "host-not-allowed", Kind::Fault).await;
    }
    assert!(other.requests().is_empty());
    // allowed: what is missing then is the host itself
    entry["url"] = json!("https://h.invalid/x");
    list(&bench, &[entry.clone()]);
    bench.refuses(SOURCE, "unreachable", Kind::Fault).await;
    entry["hashes"] = json!({ "md5": "0" });
    list(&bench, &[entry]);
    bench.refuses(SOURCE, "host-not-allowed", Kind::Fault).await;
}

#[tokio::test]
async fn a_list_that_is_none_is_refused() {
    let bench = Bench::new();
    bench
        .refuses(SOURCE, "package-unknown", Kind::Refusal)
        .await;
    for bad in [
        json!({ "name": "left-right", "files": [] }),
        json!({ "meta": { "api-version": "2.0" }, "name": "left-right" }),
        json!({ "meta": { "api-version": "1.0" }, "name": "other" }),
        json!("<html>"),
    ] {
        document(&bench, &bad);
        bench.refuses(SOURCE, "bad-metadata", Kind::Fault).await;
    }
    let mut entry = file(&bench, SDIST, b"sdist");
    entry["upload-time"] = json!("yesterday");
    list(&bench, &[entry]);
    bench.refuses(SOURCE, "bad-metadata", Kind::Fault).await;
    let mut bench = bench;
    bench.endpoints = Endpoints::default();
    let text = bench.refuses(SOURCE, "registry-unknown", Kind::Fault).await;
    assert!(text.contains("registries.pypi"), "{text}");
}
