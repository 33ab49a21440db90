//! Facts that hold, one for each verdict, for the tests of statements and of what is built on them.

mod contradictions;
mod kinds;
mod readers;
mod schema;

use std::collections::BTreeMap;

use super::*;
use crate::digest::{Digests, GitOid, Sha256};
use crate::json;
use crate::origin::{AssistKind, Origin};
use crate::time::Timestamp;
use crate::verdict::{Reason, Verdict, WithdrawalReason};

const PUBLISHED: &[u8] = b"published bytes";
const OTHER: &[u8] = b"other bytes";
const THIRD: &[u8] = b"third bytes";

/// Compares with a golden file, or writes it where `COUNTERSIGN_BLESS` is set.
pub(crate) fn golden(name: &str, found: &[u8]) {
    let path = format!("{}/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("COUNTERSIGN_BLESS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read(&path).unwrap();
    let [expected, found] = [&expected[..], found].map(String::from_utf8_lossy);
    assert_eq!(expected, found, "{name}: what others read has changed");
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000 + seconds).unwrap()
}

fn run(seconds: i64, exit: Exit) -> Run {
    Run {
        started_on: time(seconds),
        finished_on: time(seconds + 7),
        exit,
        log: Log {
            sha256: Sha256::of(b"log"),
            size_bytes: 3,
            dropped_bytes: 0,
        },
    }
}

fn rebuilt(run: u32, bytes: &[u8]) -> Rebuilt {
    Rebuilt {
        run,
        file_name: "lib-1.2.3.tgz".into(),
        digests: Digests::of(bytes),
    }
}

fn comparison() -> Comparison {
    Comparison {
        normalizations: Vec::new(),
        normalized_digest: None,
        differing_members: Vec::new(),
        unlisted_members: 0,
        causes: Vec::new(),
    }
}

fn base() -> Facts {
    let digests = Digests::of(PUBLISHED);
    let completed = || Exit::Completed;
    Facts {
        kind: Kind::Verdict,
        verdict: Verdict::Reproduced,
        reason: None,
        decided_on: time(100),
        rebuilder: Rebuilder {
            id: "https://rebuilder.example/".into(),
            version: BTreeMap::from([("countersign".into(), "0.1.0".into())]),
            key_isolation: KeyIsolation::SameUid,
        },
        source: Source {
            uri: "git+https://forge.example/owner/lib".into(),
            reference: "refs/tags/v1.2.3".into(),
            commit: GitOid::from_bytes([0x11; 20]),
            tree: GitOid::from_bytes([0x22; 20]),
            tag_object: Some(GitOid::from_bytes([0x33; 20])),
            tree_sha256: Some(Sha256::of(b"tree")),
            signature: SignatureState::Unchecked,
            signed: None,
            moved_from: None,
        },
        published: Published {
            file_name: "lib-1.2.3.tgz".into(),
            purl: Some("pkg:npm/@scope/lib@1.2.3".into()),
            stage: Stage::Released,
            sha256: digests.sha256,
            sha512: Some(digests.sha512),
            size_bytes: Some(digests.size_bytes),
            download_location: Some("https://files.example/lib-1.2.3.tgz".into()),
            retrieved_on: Some(time(1)),
            declared: Some("sha512-…".into()),
        },
        rebuilt: vec![rebuilt(0, PUBLISHED), rebuilt(1, PUBLISHED)],
        assisted_by: Vec::new(),
        comparison: None,
        build: Some(Build {
            plan: PlanRef {
                sha256: Sha256::of(b"plan"),
                size_bytes: 4,
            },
            runs: vec![run(10, completed()), run(20, completed())],
            network: Network::None,
            inputs: Vec::new(),
            architecture: "x86_64".into(),
            toolchain: vec![Tool {
                name: "npm".into(),
                version: "10.8.2".into(),
            }],
            root: None,
            profile: "countersign-sandbox/v1".into(),
            id_mode: IdMode::SingleId,
            limits: BTreeMap::from([("timeSeconds".into(), 3600)]),
            enforcement: Enforcement {
                memory: Means::Sampled,
                processes: Means::Rlimit,
                cpus: Means::None,
            },
            worker: None,
        }),
        origins: vec![Origin::Source, Origin::Operator],
        withdrawal: None,
        known_published: Vec::new(),
        variations: Vec::new(),
    }
}

/// Facts that hold, for each verdict.
pub(crate) fn facts(verdict: Verdict) -> Facts {
    let mut facts = Facts { verdict, ..base() };
    let build = facts.build.as_mut().unwrap();
    match verdict {
        Verdict::Reproduced => {}
        Verdict::Assisted => {
            facts.origins.push(Origin::Artifact);
            facts.assisted_by = vec![Assist {
                kind: AssistKind::FileTimes,
                sha256: Sha256::of(b"times"),
            }];
        }
        Verdict::Equivalent => {
            facts.rebuilt = vec![rebuilt(0, OTHER), rebuilt(1, OTHER)];
            facts.comparison = Some(Comparison {
                normalizations: vec![Normalization {
                    id: "gzip-header/v1".into(),
                    scope: "lib-1.2.3.tgz".into(),
                    changed_published: 1,
                    changed_rebuilt: 1,
                }],
                normalized_digest: Some(Sha256::of(b"normalized")),
                ..comparison()
            });
        }
        Verdict::Differs => {
            facts.reason = Some(Reason::ContentDiffers);
            facts.rebuilt = vec![rebuilt(0, OTHER), rebuilt(1, OTHER)];
            facts.comparison = Some(Comparison {
                differing_members: vec![MemberDifference {
                    name: "package/index.js".into(),
                    what: MemberChange::Content,
                    published: Some(Sha256::of(b"a")),
                    rebuilt: Some(Sha256::of(b"b")),
                }],
                ..comparison()
            });
        }
        Verdict::Unstable => {
            facts.reason = Some(Reason::RebuildsDisagree);
            facts.rebuilt = vec![rebuilt(0, OTHER), rebuilt(1, THIRD)];
        }
        Verdict::BuildFailed => {
            facts.reason = Some(Reason::StepFailed);
            facts.rebuilt.clear();
            build.runs = vec![run(10, Exit::Exited { step: 1, code: 2 })];
        }
        Verdict::Indeterminate => {
            facts.reason = Some(Reason::TagMoved);
            facts.rebuilt.clear();
            facts.build = None;
            facts.origins.clear();
            facts.source.tree_sha256 = None;
            facts.source.tag_object = None;
            facts.source.moved_from = Some(GitOid::from_bytes([0x44; 20]));
        }
    }
    facts
}

fn parse(bytes: &[u8]) -> Result<Statement, StatementError> {
    Statement::parse(bytes, &json::Limits::default())
}

fn composed(facts: &Facts) -> Vec<u8> {
    compose(facts, Custody::Operator).unwrap()
}
