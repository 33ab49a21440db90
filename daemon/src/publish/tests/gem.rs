//! Tests of fetching gems from a registry on loopback.

use countersign_attest::digest::Sha256;
use countersign_fixtures::registries::Answer;

use super::super::error::Kind;
use super::Bench;

const SOURCE: &str = "pkg:gem/left";

fn publish(bench: &Bench, digest: &str, file: Answer) {
    let list = format!("---\n1.2.3 dep:>= 1|checksum:{digest},ruby:>= 2.0\n");
    bench.registry.put("/info/left", Answer::Bytes(list.into()));
    bench.registry.put("/gems/left-1.2.3.gem", file);
}

#[tokio::test]
async fn a_gem_is_found_checked_and_stored() {
    let bench = Bench::new();
    let digest = Sha256::of(b"gem");
    publish(&bench, &digest.to_string(), Answer::Bytes(b"gem".to_vec()));
    let found = bench.fetch(SOURCE, &["1.2.3"]).await.unwrap();
    let [artifact] = found.artifacts.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        (&*artifact.file_name, artifact.sha256),
        ("left-1.2.3.gem", digest)
    );
    assert_eq!(artifact.purl.as_deref(), Some("pkg:gem/left@1.2.3"));
    assert_eq!(artifact.declared, Some(format!("sha256:{digest}")));
    assert_eq!(bench.stored(), 1);
}

#[tokio::test]
async fn what_contradicts_the_list_is_refused() {
    let bench = Bench::new();
    bench
        .refuses(SOURCE, "package-unknown", Kind::Refusal)
        .await;
    let digest = Sha256::of(b"gem").to_string();
    publish(&bench, &digest, Answer::Bytes(b"mug".to_vec()));
    bench.refuses(SOURCE, "not-as-declared", Kind::Fault).await;
    publish(&bench, &digest, Answer::Status(404));
    bench
        .refuses(SOURCE, "published-missing", Kind::Fault)
        .await;
    publish(&bench, "00", Answer::Bytes(b"gem".to_vec()));
    bench.refuses(SOURCE, "bad-metadata", Kind::Fault).await;
    for bad in [&b"<html>"[..], b"---\n\xff"] {
        bench
            .registry
            .put("/info/left", Answer::Bytes(bad.to_vec()));
        bench.refuses(SOURCE, "bad-metadata", Kind::Fault).await;
    }
    let empty = Answer::Bytes(b"---\n1.2.4 |checksum:00\n".to_vec());
    bench.registry.put("/info/left", empty);
    bench
        .refuses(SOURCE, "published-missing", Kind::Refusal)
        .await;
}
