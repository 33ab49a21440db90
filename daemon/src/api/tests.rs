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

mod bytes;
mod lists;
mod rebuilderd;
mod refusals;

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
