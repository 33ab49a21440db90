//! Tests of the routes over a real socket, with a store in memory.

use countersign_attest::digest::{Digests, GitOid, Sha512};
use countersign_attest::key::PublicKey;
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::{Reason, Verdict};
use countersign_builder::compare::DifferenceKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::rebuilderd::{Deb, DebName, Found};
use super::statements::Sought;
use super::view::*;
use super::*;
use crate::difference::tests::document;
use crate::web::{Retired, SigningKey};

/// A store in memory.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) releases: Vec<ReleaseView>,
    pub(crate) plans: Vec<(Sha256, Vec<u8>)>,
    pub(crate) statements: Vec<(Sha256, Vec<u8>)>,
    pub(crate) difference: Option<Difference>,
    pub(crate) debs: Vec<Deb>,
    pub(crate) broken: bool,
}

impl Memory {
    fn answer<T: Send + 'static>(&self, value: T) -> Answer<'_, T> {
        let broken = self.broken;
        Box::pin(async move {
            if broken {
                Err(ViewError("secret: the disk is on fire".into()))
            } else {
                Ok(value)
            }
        })
    }
}

fn summary(release: &ReleaseView) -> ReleaseSummary {
    let brief = |a: &ArtifactView| ArtifactSummary {
        name: a.name.clone(),
        sha256: a.sha256,
        verdict: a.verdict,
    };
    ReleaseSummary {
        id: release.id,
        source: release.source.clone(),
        tag: release.tag.clone(),
        version: release.version.clone(),
        commit: release.commit,
        state: release.state.clone(),
        first_seen: release.first_seen,
        artifacts: release.artifacts.iter().map(brief).collect(),
    }
}

fn has(release: &ReleaseView, find: &Find) -> bool {
    match find {
        Find::Name(name) => release.tag.to_ascii_lowercase().contains(name),
        Find::Digest(digest) => release.artifacts.iter().any(|artifact| match digest {
            AnyDigest::Sha256(sha256) => artifact.sha256 == *sha256,
            AnyDigest::Sha512(sha512) => artifact.sha512 == Some(*sha512),
        }),
    }
}

/// A desk that knows one candidate and takes one body.
struct Takes;

/// The one candidate.
pub(super) fn candidate() -> Sha256 {
    Sha256::of(b"candidate")
}

impl Desk for Takes {
    fn submit(&self, body: Vec<u8>) -> Answer<'_, candidates::Submission> {
        use candidates::Submission;
        let answer = match &body[..] {
            b"new" => Submission::Taken(candidate()),
            b"again" => Submission::Known(candidate()),
            b"late" => Submission::Refused("expired"),
            b"often" => Submission::TooMany,
            _ => Submission::Forbidden,
        };
        Box::pin(async move { Ok(answer) })
    }

    fn state(&self, id: Sha256) -> Answer<'_, Option<String>> {
        let state = (id == candidate()).then(|| "queued".to_owned());
        Box::pin(async move { Ok(state) })
    }
}

impl Views for Memory {
    fn releases(
        &self,
        find: Option<Find>,
        after: Option<i64>,
        limit: u32,
    ) -> Answer<'_, Vec<ReleaseSummary>> {
        let follows = |r: &&ReleaseView| {
            after.is_none_or(|after| r.id < after) && find.as_ref().is_none_or(|find| has(r, find))
        };
        let mut list: Vec<_> = self.releases.iter().filter(follows).map(summary).collect();
        list.sort_by_key(|release| -release.id);
        list.truncate(limit as usize);
        self.answer(list)
    }

    fn release(&self, id: i64) -> Answer<'_, Option<ReleaseView>> {
        self.answer(self.releases.iter().find(|r| r.id == id).cloned())
    }

    fn by_digest(&self, digest: AnyDigest) -> Answer<'_, Vec<Match>> {
        let mut matches = Vec::new();
        for release in &self.releases {
            for artifact in &release.artifacts {
                let equal = match digest {
                    AnyDigest::Sha256(sha256) => artifact.sha256 == sha256,
                    AnyDigest::Sha512(sha512) => artifact.sha512 == Some(sha512),
                };
                if equal {
                    matches.push(Match {
                        release: release.id,
                        source: release.source.clone(),
                        tag: release.tag.clone(),
                        artifact: artifact.clone(),
                    });
                }
            }
        }
        self.answer(matches)
    }

    fn difference(&self, release: i64, published: Sha256) -> Answer<'_, Option<Difference>> {
        let artifacts = self.releases.iter().filter(|r| r.id == release);
        let mut artifacts = artifacts.flat_map(|r| &r.artifacts);
        let is_known = artifacts.any(|artifact| artifact.sha256 == published);
        self.answer(self.difference.clone().filter(|_| is_known))
    }

    fn plan(&self, sha256: Sha256) -> Answer<'_, Option<Vec<u8>>> {
        self.answer(
            self.plans
                .iter()
                .find(|p| p.0 == sha256)
                .map(|p| p.1.clone()),
        )
    }

    fn statement(&self, sha256: Sha256) -> Answer<'_, Option<Vec<u8>>> {
        let found = self.statements.iter().find(|s| s.0 == sha256);
        self.answer(found.map(|s| s.1.clone()))
    }

    fn statements(&self, about: Vec<Sought>, limit: u32) -> Answer<'_, Vec<Vec<u8>>> {
        let known = Sought::Digest(AnyDigest::Sha256(Sha256::of(b"published")));
        let found = self.statements.iter().filter(|_| about.contains(&known));
        let found = found.take(limit as usize).map(|s| s.1.clone());
        self.answer(found.collect())
    }

    fn debs(&self, wanted: Option<DebName>) -> Answer<'_, Vec<Deb>> {
        let all = self.debs.iter();
        let found = all.filter(|deb| wanted.as_ref().is_none_or(|wanted| deb.name == *wanted));
        self.answer(found.cloned().collect())
    }

    fn link(&self, rebuild: i64, artifact: i64) -> Answer<'_, Option<Vec<u8>>> {
        let is_known = (rebuild, artifact) == (2, 7);
        self.answer(is_known.then(|| b"{\"link\":1}".to_vec()))
    }

    fn export(&self, sha256: Sha256, form: Export) -> Answer<'_, Option<Vec<u8>>> {
        let found = self.statements.iter().find(|s| s.0 == sha256);
        self.answer(found.map(|_| match form {
            Export::Bundle => b"{\"bundle\":1}".to_vec(),
            Export::Link => b"{\"link\":1}".to_vec(),
        }))
    }
}

/// A release whose rebuild differs, with every field set.
pub(crate) fn release(id: i64) -> ReleaseView {
    let on = |seconds: i64| Timestamp::from_unix_seconds(1_700_000_000 + seconds).unwrap();
    let published = Digests::of(b"published");
    let statement = |kind, bytes: &[u8]| {
        StatementView::new(kind, Sha256::of(bytes), 0, on(61), operators_key().id)
    };
    ReleaseView {
        id,
        source: "git+https://forge.example/left".to_owned(),
        tag: "v1.2.3".to_owned(),
        version: Some("1.2.3".to_owned()),
        commit: Some(GitOid::from_bytes([0xab; 20])),
        state: "decided".to_owned(),
        first_seen: on(0),
        artifacts: vec![ArtifactView {
            name: "left-1.2.3.tgz".to_owned(),
            purl: Some("pkg:npm/left@1.2.3".to_owned()),
            download_location: Some("https://registry.example/left-1.2.3.tgz".to_owned()),
            sha256: published.sha256,
            sha512: Some(published.sha512),
            size_bytes: Some(9),
            verdict: Some(Verdict::Differs),
            reason: Some(Reason::ContentDiffers),
            detail: Some("1 member differs".to_owned()),
            assisted_by: Vec::new(),
            normalizations: vec![NormalizationView {
                id: "gzip-deflate/v1".to_owned(),
                changed_published: 1,
                changed_rebuilt: 2,
            }],
            members: vec![MemberView {
                name: "package/index.js".to_owned(),
                what: DifferenceKind::Content,
                published: Some(Sha256::of(b"a")),
                rebuilt: Some(Sha256::of(b"b")),
            }],
            members_unlisted: 3,
            difference_url: Some(format!(
                "/api/v1/releases/{id}/differences/sha256:{}",
                published.sha256
            )),
            encoders: vec!["encoder zlib-ng: not tried: no program".into()],
            missed: vec!["npm:index/right".into()],
            missed_unlisted: 2,
            rebuilt: vec![Sha256::of(b"rebuilt"), Sha256::of(b"rebuilt")],
            plan: Some(Sha256::of(b"{}\n")),
            decided_on: Some(on(60)),
            commit: Some(GitOid::from_bytes([0xab; 20])),
            statements: vec![
                statement(StatementKind::Verdict, b"envelope"),
                statement(StatementKind::BuildRecord, b"record"),
            ],
        }],
        rebuilds: vec![RebuildView {
            id: 5,
            state: "done".to_owned(),
            attempt: 1,
            recipe: Some("npm".to_owned()),
            plan: Some(Sha256::of(b"{}\n")),
            started_on: Some(on(1)),
            finished_on: None,
            ended: Some("completed".to_owned()),
        }],
        events: vec![EventView {
            on: on(0),
            kind: "tag-seen".to_owned(),
            detail: "v1.2.3".to_owned(),
        }],
    }
}

/// The key that signed what is in [`release`].
pub(crate) fn operators_key() -> SigningKey {
    PublicKey::from_bytes([1; 32]).into()
}

pub(crate) fn local_key() -> SigningKey {
    PublicKey::from_bytes([2; 32]).into()
}

/// A key that signed before.
fn retired_key() -> SigningKey {
    PublicKey::from_bytes([3; 32]).into()
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends one request to a router over loopback.
pub(crate) async fn ask(memory: Memory, method: &str, path: &str) -> Reply {
    ask_with(memory, method, path, "").await
}

/// The same with further header lines.
async fn ask_with(memory: Memory, method: &str, path: &str, headers: &str) -> Reply {
    let about = About {
        rebuilder_id: "https://rebuilder.example/".to_owned(),
        key: operators_key(),
        local_key: Some(local_key()),
        address: Some("https://rebuilder.example/".to_owned()),
        card: b"{\"identity\":{},\"rotations\":[]}\n".to_vec(),
        retired: vec![Retired {
            key: retired_key(),
            from: None,
            until: Timestamp::EPOCH,
        }],
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let app = router(Arc::new(memory), about, Arc::new(Takes));
    let server = tokio::spawn(axum::serve(listener, app).into_future());
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    server.abort();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    for header in [
        "content-security-policy: default-src 'none'; ",
        "nosniff",
        "no-referrer",
    ] {
        assert!(head.contains(header), "{path}: {header}");
    }
    Reply {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

fn memory() -> Memory {
    Memory {
        releases: (1..=3).map(release).collect(),
        plans: vec![(Sha256::of(b"{}\n"), b"{}\n".to_vec())],
        statements: vec![(Sha256::of(b"{1}\n"), b"{1}\n".to_vec())],
        difference: Some(document("lib.js")),
        debs: vec![
            deb("lib", Some(Verdict::Reproduced)),
            deb("other", Some(Verdict::Differs)),
            deb("taken-back", None),
        ],
        broken: false,
    }
}

/// A Debian package with a published verdict, or one that was taken back.
fn deb(name: &str, verdict: Option<Verdict>) -> Deb {
    let on = Timestamp::from_unix_seconds(1_700_000_000).unwrap();
    Deb {
        artifact: 7,
        name: DebName {
            name: name.to_owned(),
            version: "1:2.0-1".to_owned(),
            architecture: "amd64".to_owned(),
        },
        distribution: Some("debian".to_owned()),
        release: Some("bookworm".to_owned()),
        url: Some(format!("https://files.example/{name}_2.0-1_amd64.deb")),
        seen_on: on,
        found: Some(Found {
            rebuild: 2,
            verdict,
            on,
        }),
    }
}

/// A GET where there are three releases, a plan and an envelope.
pub(super) async fn get(path: &str) -> Reply {
    ask(memory(), "GET", path).await
}

#[tokio::test]
async fn a_release_is_the_golden_document() {
    let reply = get("/api/v1/releases/2").await;
    assert_eq!(reply.status, 200);
    assert!(
        reply.head.contains("content-type: application/json"),
        "{}",
        reply.head
    );
    let document: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../golden/release.json")).unwrap();
    assert_eq!(document, golden, "{document:#}");
}

#[tokio::test]
async fn a_list_goes_on_by_its_cursor() {
    let page = async |path| -> (Vec<i64>, Option<i64>) {
        let list: serde_json::Value = serde_json::from_str(&get(path).await.body).unwrap();
        let ids = list["releases"].as_array().unwrap().iter();
        (
            ids.map(|r| r["id"].as_i64().unwrap()).collect(),
            list["next"].as_i64(),
        )
    };
    assert_eq!(page("/api/v1/releases").await, (vec![3, 2, 1], None));
    assert_eq!(
        page("/api/v1/releases?limit=2").await,
        (vec![3, 2], Some(2))
    );
    assert_eq!(
        page("/api/v1/releases?limit=2&after=2").await,
        (vec![1], None)
    );
    for bad in [
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=x",
        "after=x",
        "after=",
    ] {
        assert_eq!(
            get(&format!("/api/v1/releases?{bad}")).await.status,
            400,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn an_artifact_is_found_by_either_digest() {
    let digests = Digests::of(b"published");
    for digest in [
        format!("sha256:{}", digests.sha256),
        format!("sha512:{}", digests.sha512),
    ] {
        let reply = get(&format!("/by-digest/{digest}")).await;
        let document: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(document["digest"], digest);
        assert_eq!(document["matches"].as_array().unwrap().len(), 3);
        assert_eq!(document["matches"][0]["artifact"]["verdict"], "differs");
    }
}

#[tokio::test]
async fn what_is_unknown_or_malformed_is_a_problem() {
    let unknown = Sha256::of(b"unknown");
    let unknown512 = Sha512::from_bytes([1; 64]);
    for (path, status) in [
        (format!("/by-digest/sha256:{unknown}"), 404),
        (format!("/by-digest/sha512:{unknown512}"), 404),
        (format!("/plans/sha256:{unknown}"), 404),
        (format!("/attestations/sha256:{unknown}"), 404),
        (format!("/attestations/sha256:{unknown}/bundle"), 404),
        (format!("/attestations/sha256:{unknown}/link"), 404),
        (format!("/attestations/sha256:{unknown}/other"), 404),
        ("/attestations/..%2f..%2fetc/link".to_owned(), 400),
        ("/api/v1/releases/9".to_owned(), 404),
        ("/api/v1/nothing".to_owned(), 404),
        ("/keys/0123.pem".to_owned(), 404),
        (format!("/keys/{}", operators_key().id), 404),
        ("/keys/..%2fstatement.pem".to_owned(), 404),
        (format!("/by-digest/{unknown}"), 400),
        (format!("/by-digest/SHA256:{unknown}"), 400),
        (format!("/by-digest/sha256:{unknown}0"), 400),
        ("/by-digest/md5:00".to_owned(), 400),
        ("/by-digest/%ff".to_owned(), 400),
        (format!("/plans/sha512:{unknown512}"), 400),
        ("/attestations/..%2f..%2fetc".to_owned(), 400),
        ("/api/v1/releases/1.5".to_owned(), 400),
        ("/api/v1/statements".to_owned(), 400),
        ("/api/v1/statements?about=".to_owned(), 400),
        ("/api/v1/statements?about=pkg:npm/a".to_owned(), 400),
        (format!("/api/v1/statements?about={unknown}"), 400),
        (
            format!("/api/v1/statements?{}", "about=pkg:npm/a@1&".repeat(101)),
            400,
        ),
    ] {
        let reply = get(&path).await;
        assert_eq!(reply.status, status, "{path}");
        assert!(
            reply.head.contains("application/problem+json"),
            "{path}: {}",
            reply.head
        );
        let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(problem["status"], status, "{path}");
    }
}

/// What clients of rebuilderd read, field by field.
#[tokio::test]
async fn clients_of_rebuilderd_are_answered_in_its_words() {
    let value = async |path: &str| -> serde_json::Value {
        let reply = get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        serde_json::from_str(&reply.body).unwrap()
    };
    let query = "name=lib&version=1%3A2.0-1&architecture=amd64";
    let found = value(&format!("/api/v1/packages/binary?{query}")).await;
    let expect = serde_json::json!({"total": 1, "records": [{
        "id": 7, "name": "lib", "version": "1:2.0-1", "distribution": "debian", "release": "bookworm",
        "component": null, "architecture": "amd64", "url": "https://files.example/lib_2.0-1_amd64.deb",
        "status": "GOOD", "build_id": 2, "artifact_id": 7, "diffoscope_log_id": null,
        "attestation_log_id": 7, "last_seen": "2023-11-14T22:13:20", "seen_in_last_sync": true,
    }]});
    assert_eq!(found, expect);
    let link = get("/api/v1/builds/2/artifacts/7/attestation").await;
    assert_eq!((link.status, &*link.body), (200, "{\"link\":1}"));
    let missing = get("/api/v1/builds/2/artifacts/8/attestation").await;
    assert_eq!(missing.status, 404);
    // a client that gets ids takes a missing link for a failure
    for name in ["other", "taken-back"] {
        let query = format!("name={name}&version=1:2.0-1&architecture=amd64");
        let found = value(&format!("/api/v1/packages/binary?{query}")).await;
        let record = &found["records"][0];
        assert_eq!(
            (&record["build_id"], &record["artifact_id"]),
            (&().into(), &().into())
        );
        assert_ne!(record["status"], "GOOD");
    }
    let list = value("/api/v0/pkgs/list").await;
    let states: Vec<&serde_json::Value> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["status"])
        .collect();
    assert_eq!(states, ["GOOD", "BAD", "UNKWN"]);
    let expect = serde_json::json!([{
        "name": "lib", "version": "1:2.0-1", "status": "GOOD", "distro": "debian", "suite": "bookworm",
        "architecture": "amd64", "artifact_url": "https://files.example/lib_2.0-1_amd64.deb",
        "build_id": 2, "built_at": "2023-11-14T22:13:20", "has_diffoscope": false, "has_attestation": true,
    }]);
    let filtered =
        "/api/v0/pkgs/list?status=GOOD&distro=debian&suite=bookworm&architecture=amd64&name=lib";
    assert_eq!(value(filtered).await, expect);
    assert_eq!(
        value("/api/v0/pkgs/list?status=GOOD&name=other").await,
        serde_json::json!([])
    );
    let keys = value("/api/v1/meta/public-keys").await;
    let first = keys["current"][0].as_str().unwrap();
    assert_eq!(first, operators_key().pem_with_null);
    assert_eq!(
        PublicKey::from_pem(first.as_bytes()).unwrap(),
        PublicKey::from_bytes([1; 32])
    );
    assert_eq!(keys["current"].as_array().map(Vec::len), Some(2));
    for bad in ["", "?name=lib", "?name=lib&version=1"] {
        let reply = get(&format!("/api/v1/packages/binary{bad}")).await;
        assert_eq!(reply.status, 400, "{bad}");
    }
    assert_eq!(
        get("/api/v1/builds/x/artifacts/1/attestation").await.status,
        400
    );
}

/// Who asks about a long list gets every line whole, or is told to ask about less.
#[tokio::test]
async fn statements_come_one_a_line_or_not_at_all() {
    let path = format!(
        "/api/v1/statements?about=sha256:{}",
        Sha256::of(b"published")
    );
    let reply = get(&path).await;
    assert_eq!((reply.status, &*reply.body), (200, "{1}\n"));
    let nothing = get("/api/v1/statements?about=pkg:npm/a@1").await;
    assert_eq!((nothing.status, &*nothing.body), (200, ""));
    let mut many = memory();
    let one = (Sha256::of(b"{1}\n"), b"{1}\n".to_vec());
    many.statements = vec![one.clone(); 2000];
    assert_eq!(ask(many, "GET", &path).await.status, 200);
    let mut more = memory();
    more.statements = vec![one; 2001];
    assert_eq!(ask(more, "GET", &path).await.status, 413);
}

#[tokio::test]
async fn bytes_are_served_as_they_are_and_only_under_their_digest() {
    let plan = get(&format!("/plans/sha256:{}", Sha256::of(b"{}\n"))).await;
    assert_eq!((plan.status, &*plan.body), (200, "{}\n"));
    let envelope = get(&format!("/attestations/sha256:{}", Sha256::of(b"{1}\n"))).await;
    assert_eq!((envelope.status, &*envelope.body), (200, "{1}\n"));
    assert!(
        envelope
            .head
            .contains("application/vnd.dsse.envelope.v1+json")
    );

    let name = Sha256::of(b"other");
    let damaged = Memory {
        plans: vec![(name, b"{}\n".to_vec())],
        ..Memory::default()
    };
    let reply = ask(damaged, "GET", &format!("/plans/sha256:{name}")).await;
    assert_eq!(reply.status, 500);
}

#[tokio::test]
async fn the_keys_in_use_are_served_under_their_ids() {
    for key in [operators_key(), local_key(), retired_key()] {
        let reply = get(&format!("/keys/{}.pem", key.id)).await;
        assert_eq!((reply.status, &*reply.body), (200, &*key.pem));
        assert_eq!(key.id, key.fingerprint.replace(' ', ""));
        assert_eq!(
            PublicKey::from_pem(reply.body.as_bytes()).unwrap().key_id(),
            key.id
        );
    }
}

#[tokio::test]
async fn our_own_trouble_tells_nothing_of_the_inside() {
    for path in ["/api/v1/releases", "/releases/1", "/"] {
        let reply = ask(
            Memory {
                broken: true,
                ..Memory::default()
            },
            "GET",
            path,
        )
        .await;
        assert_eq!(reply.status, 500, "{path}");
        assert!(!reply.body.contains("secret"), "{}", reply.body);
    }
}

#[tokio::test]
async fn nothing_but_reading_is_answered() {
    for method in ["POST", "DELETE", "PUT"] {
        assert_eq!(ask(memory(), method, "/api/v1/releases").await.status, 405);
    }
    assert_eq!(ask(memory(), "HEAD", "/").await.body, "");
}

/// The value of a header.
fn header_of<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let mut lines = reply.head.lines().filter_map(|line| line.split_once(": "));
    lines.find_map(|(n, value)| (n == name).then_some(value))
}

#[tokio::test]
async fn who_has_the_bytes_is_told_so() {
    let plan = format!("/plans/sha256:{}", Sha256::of(b"{}\n"));
    let envelope = format!("/attestations/sha256:{}", Sha256::of(b"{1}\n"));
    let key = format!("/keys/{}.pem", operators_key().id);
    let forever = "public, max-age=31536000, immutable";
    for (path, caching) in [
        ("/api/v1/releases", "no-cache"),
        ("/api/v1/releases/2", "no-cache"),
        ("/api/v1/openapi.json", "no-cache"),
        ("/", "no-cache"),
        ("/releases/2", "no-cache"),
        ("/by-digest", "no-cache"),
        ("/style.css", "no-cache"),
        ("/search.js", "no-cache"),
        (&key, "no-cache"),
        (&plan, forever),
        (&envelope, forever),
    ] {
        let reply = get(path).await;
        let tag = format!("\"{}\"", Sha256::of(reply.body.as_bytes()));
        assert_eq!(header_of(&reply, "etag"), Some(&*tag), "{path}");
        assert_eq!(header_of(&reply, "cache-control"), Some(caching), "{path}");
        let head = ask(memory(), "HEAD", path).await;
        assert_eq!((head.status, &*head.body), (200, ""), "{path}");
        for name in ["etag", "content-type", "content-length", "cache-control"] {
            let value = header_of(&reply, name);
            assert_eq!(header_of(&head, name), value, "{path}: {name}");
        }
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            format!("\"x\"\r\nIf-None-Match: {tag}"),
            "*".to_owned(),
        ] {
            for method in ["GET", "HEAD"] {
                let header = format!("If-None-Match: {known}\r\n");
                let reply = ask_with(memory(), method, path, &header).await;
                assert_eq!((reply.status, &*reply.body), (304, ""), "{path} {known}");
                assert_eq!(header_of(&reply, "etag"), Some(&*tag), "{path}");
                assert_eq!(header_of(&reply, "cache-control"), Some(caching), "{path}");
                assert_eq!(header_of(&reply, "content-type"), None, "{path}");
            }
        }
        let unquoted = tag.trim_matches('"');
        for other in ["\"\"", "", unquoted, "\"x\", W/\"y\""] {
            let header = format!("If-None-Match: {other}\r\n");
            let again = ask_with(memory(), "GET", path, &header).await;
            assert_eq!((again.status, &again.body), (200, &reply.body), "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_has_no_tag_and_is_asked_for_again() {
    let zeros = "0".repeat(64);
    for path in ["/nothing", &format!("/plans/sha256:{zeros}"), "/?limit=0"] {
        let reply = ask_with(memory(), "GET", path, "If-None-Match: *\r\n").await;
        assert!([400, 404].contains(&reply.status), "{path}");
        assert_eq!(header_of(&reply, "etag"), None, "{path}");
        assert_eq!(header_of(&reply, "cache-control"), Some("no-cache"));
    }
}

#[tokio::test]
async fn a_list_is_searched() {
    let digests = Digests::of(b"published");
    let count = async |query: String| {
        let reply = get(&format!("/api/v1/releases?q={query}")).await;
        assert_eq!(reply.status, 200, "{query}");
        let list: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        list["releases"].as_array().unwrap().len()
    };
    assert_eq!(count("V1.2".to_owned()).await, 3);
    assert_eq!(count("v9".to_owned()).await, 0);
    assert_eq!(count(String::new()).await, 3);
    assert_eq!(count(digests.sha256.to_string()).await, 3);
    assert_eq!(count(format!("sha512:{}", digests.sha512)).await, 3);
    assert_eq!(count(Sha256::of(b"other").to_string()).await, 0);
    assert_eq!(count("x".repeat(200)).await, 0);
    let long = format!("/api/v1/releases?q={}", "x".repeat(201));
    assert_eq!(get(&long).await.status, 400);
}

#[tokio::test]
async fn a_difference_is_served_as_its_document_and_its_absence_is_said() {
    let published = Sha256::of(b"published");
    let path = format!("/api/v1/releases/2/differences/sha256:{published}");
    let reply = get(&path).await;
    assert_eq!(reply.status, 200);
    let served: Difference = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(served, document("lib.js"));
    let schema = get("/api/v1/difference.schema.json").await;
    assert_eq!(schema.body, crate::difference::SCHEMA);
    for (path, status) in [
        (path.replace("/2/", "/9/"), 404),
        (path.replace("/2/", "/x/"), 400),
        (path.replace("sha256:", ""), 400),
        (path.replace(&published.to_string(), &"0".repeat(64)), 404),
    ] {
        assert_eq!(get(&path).await.status, status, "{path}");
        let page = get(path.strip_prefix("/api/v1").unwrap()).await;
        assert_eq!(page.status, status, "{path}");
        assert!(page.body.starts_with("<!doctype html>"), "{}", page.body);
    }
}

#[tokio::test]
async fn a_candidate_is_taken_or_refused_by_its_signature_alone() {
    let id = format!("sha256:{}", candidate());
    for (body, status) in [
        ("new", 202),
        ("again", 200),
        ("late", 400),
        ("often", 429),
        ("forged", 403),
        ("", 403),
    ] {
        let headers = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let reply = ask_with(Memory::default(), "POST", "/api/v1/candidates", &headers).await;
        assert_eq!(reply.status, status, "{body}");
        assert_eq!(
            reply.body.contains(&id),
            status <= 202,
            "{body}: {}",
            reply.body
        );
    }
    let length = candidates::MAX_BYTES + 1;
    let long = format!("Content-Length: {length}\r\n\r\n{}", "x".repeat(length));
    let reply = ask_with(Memory::default(), "POST", "/api/v1/candidates", &long).await;
    assert_eq!(reply.status, 413);
    let path = format!("/api/v1/candidates/{id}");
    assert!(get(&path).await.body.contains("queued"));
    let other = format!("/api/v1/candidates/sha256:{}", Sha256::of(b"other"));
    assert_eq!(get(&other).await.status, 404);
    assert_eq!(get("/api/v1/candidates").await.status, 405);
}
