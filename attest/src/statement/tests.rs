//! Golden bytes of each kind, and each contradiction refused by the signer and by a reader.

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
            profile: "countersign-sandbox/v0".into(),
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
                    id: "gzip-encoding/v0".into(),
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

#[test]
fn the_bytes_of_each_kind_are_golden_and_read_back() {
    for verdict in Verdict::ALL {
        let facts = facts(verdict);
        let bytes = composed(&facts);
        golden(&format!("statements/{verdict}.json"), &bytes);
        golden(
            &format!("facts/{verdict}.json"),
            &serde_json::to_vec(&facts).unwrap(),
        );
        let Statement::Verdict(read) = parse(&bytes).unwrap() else {
            panic!("{verdict} read as something else");
        };
        assert_eq!(read.predicate.verdict, verdict);
        assert_eq!(read.subject.digest.sha256, facts.published.sha256);
        let again: Facts = serde_json::from_slice(&serde_json::to_vec(&facts).unwrap()).unwrap();
        assert_eq!(composed(&again), bytes);
    }
}

#[test]
fn a_withdrawal_names_the_verdict_that_it_takes_back() {
    for verdict in Verdict::ALL {
        let mut facts = facts(verdict);
        let statement = Sha256::of(&crate::dsse::pae(
            crate::dsse::PAYLOAD_TYPE,
            &composed(&facts),
        ));
        let withdrawal = Withdrawal {
            statement,
            withdrawn_on: facts.decided_on.plus_seconds(60),
            reason: WithdrawalReason::RebuilderFault,
            note: Some("the tool was another one than the plan says".into()),
        };
        facts.withdrawal = Some(withdrawal.clone());
        // neither a verdict with one, nor one without
        let wrong = compose(&facts, Custody::Operator);
        assert!(matches!(wrong, Err(Contradiction::Withdrawal(_))));
        facts.kind = Kind::Withdrawn;
        let bytes = composed(&facts);
        if verdict == Verdict::Reproduced {
            golden("statements/withdrawn.json", &bytes);
        }
        let Statement::Withdrawn(read) = parse(&bytes).unwrap() else {
            panic!("{verdict} read as something else");
        };
        assert_eq!(read.predicate.withdraws.statement, statement);
        assert_eq!(read.predicate.withdraws.verdict, verdict);
        assert_eq!(read.subject.digest.sha256, facts.published.sha256);

        facts.withdrawal = None;
        assert!(compose(&facts, Custody::Operator).is_err());
        for (note, seconds) in [(Some("a\u{7}b"), 60), (Some(""), 60), (None, -1)] {
            facts.withdrawal = Some(Withdrawal {
                note: note.map(str::to_owned),
                withdrawn_on: facts.decided_on.plus_seconds(seconds),
                ..withdrawal.clone()
            });
            assert!(compose(&facts, Custody::Operator).is_err(), "{note:?}");
        }
        // a reader refuses what the signer would not have signed
        let text = String::from_utf8(bytes).unwrap();
        for (from, to) in [
            ("withdrawn/v0", "reproduced/v0"),
            ("\"fileName\":\"lib", "\"fileName\":\"fib"),
            ("\"reason\":\"rebuilder-fault\"", "\"reason\":\"whim\""),
            ("\"withdrawnOn\":\"2023", "\"withdrawnOn\":\"2022"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            assert!(parse(changed.as_bytes()).is_err(), "{from}");
        }
    }
}

#[test]
fn provenance_is_for_bytes_we_vouch_for_and_a_build_record_for_the_rest() {
    for (verdict, due) in [
        (Verdict::Reproduced, Some(Kind::Provenance)),
        (Verdict::Assisted, Some(Kind::BuildRecord)),
        (Verdict::Equivalent, Some(Kind::Provenance)),
        (Verdict::Differs, Some(Kind::Provenance)),
        (Verdict::Unstable, Some(Kind::Provenance)),
        (Verdict::BuildFailed, None),
        (Verdict::Indeterminate, None),
    ] {
        let mut facts = facts(verdict);
        assert_eq!(companion(&facts), due, "{verdict}");
        for kind in [Kind::Provenance, Kind::BuildRecord] {
            facts.kind = kind;
            match compose(&facts, Custody::Operator) {
                Ok(bytes) => {
                    assert_eq!(due, Some(kind), "{verdict}");
                    let word = if kind == Kind::Provenance {
                        "provenance"
                    } else {
                        "build-record"
                    };
                    golden(&format!("statements/{verdict}.{word}.json"), &bytes);
                    let Statement::Build(read) = parse(&bytes).unwrap() else {
                        panic!("{verdict} read as a verdict");
                    };
                    assert_eq!(read.is_provenance, kind == Kind::Provenance);
                }
                Err(error) => {
                    assert_ne!(due, Some(kind), "{verdict}: {error}");
                    let expected = match due {
                        None => matches!(error, Contradiction::NothingBuilt),
                        Some(Kind::Provenance) => matches!(error, Contradiction::ProvenanceDue),
                        Some(_) => matches!(error, Contradiction::ProvenanceOfUnvouched(_)),
                    };
                    assert!(expected, "{verdict}: {error}");
                }
            }
        }
    }
    // what we built differs from the artifact and equals another published file of the release
    let mut other = facts(Verdict::Differs);
    other.known_published.push(Sha256::of(OTHER));
    assert_eq!(companion(&other), Some(Kind::BuildRecord));
}

/// Facts of a build that was served three responses.
fn with_inputs(verdict: Verdict) -> Facts {
    let mut facts = facts(verdict);
    let build = facts.build.as_mut().unwrap();
    build.network = Network::Replay;
    build.inputs = ["cargo:config", "cargo:file/dep/1.0.0", "cargo:index/dep"]
        .map(|request| Input {
            request: request.into(),
            sha256: Sha256::of(request.as_bytes()),
            size_bytes: request.len() as u64,
        })
        .into();
    facts
}

#[test]
fn what_replays_were_served_is_golden_and_among_the_dependencies() {
    let mut facts = with_inputs(Verdict::Reproduced);
    let verdict = composed(&facts);
    golden("statements/replay.json", &verdict);
    golden("facts/replay.json", &serde_json::to_vec(&facts).unwrap());
    assert!(String::from_utf8_lossy(&verdict).contains("\"network\":\"replay\""));
    facts.kind = Kind::Provenance;
    let bytes = composed(&facts);
    golden("statements/replay.provenance.json", &bytes);
    let Statement::Build(read) = parse(&bytes).unwrap() else {
        panic!("provenance read as a verdict");
    };
    let inputs = facts.build.unwrap().inputs;
    let [predicate::Dependency::Source(_), served @ ..] =
        &read.predicate.build_definition.resolved_dependencies[..]
    else {
        panic!("the source does not come first");
    };
    let served: Vec<_> = served
        .iter()
        .map(|dependency| match dependency {
            predicate::Dependency::Input(input) => (
                input.name.clone(),
                input.digest.sha256,
                input.annotations.size_bytes,
            ),
            predicate::Dependency::Source(other) => panic!("a second source: {other:?}"),
        })
        .collect();
    let expected: Vec<_> = inputs
        .into_iter()
        .map(|input| (input.request, input.sha256, input.size_bytes))
        .collect();
    assert_eq!(served, expected);
    let control = String::from_utf8(bytes)
        .unwrap()
        .replacen("cargo:config", "cargo:\\u0007", 1);
    assert!(matches!(
        parse(control.as_bytes()),
        Err(StatementError::Contradiction(_))
    ));
}

#[test]
fn variations_stand_in_the_verdict_and_only_where_something_was_built() {
    let mut facts = facts(Verdict::Reproduced);
    let none = String::from_utf8(composed(&facts)).unwrap();
    assert!(!none.contains("variations"));
    for (name, outcome) in [
        ("umask", Effect::Stable),
        ("locale", Effect::Void),
        ("file-order", Effect::Unstable),
    ] {
        facts.variations.push(Variation {
            name: name.into(),
            values: ["one".into(), "other".into()],
            outcome,
        });
    }
    let bytes = composed(&facts);
    golden("statements/variations.json", &bytes);
    let Statement::Verdict(read) = parse(&bytes).unwrap() else {
        panic!("a verdict read as something else");
    };
    assert_eq!(read.predicate.variations, facts.variations);
    facts.variations[0].values[1] = "\u{1b}[31m".into();
    assert!(compose(&facts, Custody::Operator).is_err());
    facts.variations[0].values[1] = "other".into();
    facts.build = None;
    assert!(compose(&facts, Custody::Operator).is_err());
}

#[test]
fn inputs_that_contradict_the_rest_are_refused() {
    let cases: [(Change, &str); 5] = [
        (
            |f| f.build.as_mut().unwrap().network = Network::None,
            "without a network",
        ),
        (
            |f| f.build.as_mut().unwrap().inputs.swap(0, 1),
            "not sorted",
        ),
        (
            |f| {
                let inputs = &mut f.build.as_mut().unwrap().inputs;
                inputs.insert(0, inputs[0].clone());
            },
            "not sorted",
        ),
        (
            |f| f.build.as_mut().unwrap().inputs[1].sha256 = Sha256::of(PUBLISHED),
            "that the build was served",
        ),
        (
            |f| f.build.as_mut().unwrap().inputs[0].request = "cargo:\n".into(),
            "control character",
        ),
    ];
    for (change, expected) in cases {
        let mut facts = with_inputs(Verdict::Reproduced);
        change(&mut facts);
        let error = compose(&facts, Custody::Operator).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_was_served_of_the_package_itself_is_said_or_refused() {
    let own = |verdict: Verdict, said: bool| {
        let mut facts = with_inputs(verdict);
        facts.published.purl = Some("pkg:cargo/Dep_A@2.0.0".into());
        let input = Input {
            request: "cargo:index/dep-a".into(),
            sha256: Sha256::of(b"own"),
            size_bytes: 3,
        };
        let build = facts.build.as_mut().unwrap();
        build.inputs.push(input.clone());
        build.inputs.sort_by(|a, b| a.request.cmp(&b.request));
        if said {
            facts.assisted_by.push(Assist {
                kind: AssistKind::OwnRelease,
                sha256: input.sha256,
            });
        }
        compose(&facts, Custody::Operator)
    };
    for verdict in [Verdict::Reproduced, Verdict::Equivalent, Verdict::Assisted] {
        let error = own(verdict, false).unwrap_err().to_string();
        assert!(error.contains("cargo:index/dep-a"), "{error}");
    }
    assert!(own(Verdict::Assisted, true).is_ok());
    assert!(own(Verdict::Reproduced, true).is_err());
    assert!(own(Verdict::BuildFailed, false).is_ok());
    // nothing of the kind was served
    let mut facts = facts(Verdict::Assisted);
    facts.assisted_by[0].kind = AssistKind::OwnRelease;
    let error = compose(&facts, Custody::Operator).unwrap_err().to_string();
    assert!(error.contains("was not served"), "{error}");
}

type Change = fn(&mut Facts);

fn refusal(verdict: Verdict, change: Change) -> String {
    let mut facts = facts(verdict);
    change(&mut facts);
    match compose(&facts, Custody::Operator) {
        Err(error) => error.to_string(),
        Ok(bytes) => panic!(
            "{verdict} was composed: {}",
            String::from_utf8_lossy(&bytes)
        ),
    }
}

#[test]
fn contradictions_are_refused() {
    use Verdict::{
        Assisted, BuildFailed, Differs, Equivalent, Indeterminate, Reproduced, Unstable,
    };
    let cases: &[(Verdict, Change, &str)] = &[
        (
            Reproduced,
            |f| f.rebuilt[1] = rebuilt(1, OTHER),
            "not the published one",
        ),
        (
            Reproduced,
            |f| f.rebuilt[0] = rebuilt(0, OTHER),
            "not the published one",
        ),
        (Reproduced, |f| f.rebuilt.truncate(1), "on 1 rebuilt files"),
        (Reproduced, |f| f.rebuilt.clear(), "on 0 rebuilt files"),
        (
            Reproduced,
            |f| f.published.sha256 = Sha256::of(OTHER),
            "not the published one",
        ),
        (
            Reproduced,
            |f| f.published.sha512 = Some(Digests::of(OTHER).sha512),
            "not the published one",
        ),
        (
            Reproduced,
            |f| f.origins.push(Origin::Artifact),
            "copies from the artifact",
        ),
        (Reproduced, |f| f.origins.clear(), "without the origins"),
        (
            Reproduced,
            |f| f.reason = Some(Reason::Prebuilt),
            "with the reason prebuilt",
        ),
        (
            Reproduced,
            |f| f.assisted_by = facts(Assisted).assisted_by,
            "copied from the artifact",
        ),
        (
            Reproduced,
            |f| f.comparison = Some(comparison()),
            "with a comparison",
        ),
        (Reproduced, |f| f.build = None, "of run 0"),
        (
            Reproduced,
            |f| f.source.tree_sha256 = None,
            "without source.treeSha256",
        ),
        (Reproduced, |f| f.rebuilt[1].run = 0, "of run 0"),
        (Reproduced, |f| f.rebuilt[1].run = 2, "of run 2"),
        (
            Reproduced,
            |f| f.build.as_mut().unwrap().runs[1].exit = Exit::TimedOut { step: 0 },
            "of run 1",
        ),
        (
            Assisted,
            |f| f.assisted_by.clear(),
            "without saying what was copied",
        ),
        (Assisted, |f| f.rebuilt.truncate(1), "on 1 rebuilt files"),
        (
            Assisted,
            |f| f.rebuilt[0] = rebuilt(0, OTHER),
            "not the published one",
        ),
        (Equivalent, |f| f.comparison = None, "without a comparison"),
        (
            Equivalent,
            |f| f.comparison = Some(comparison()),
            "without a normalization",
        ),
        (
            Equivalent,
            |f| f.comparison.as_mut().unwrap().normalized_digest = None,
            "the digest of what is the same",
        ),
        (
            Equivalent,
            |f| f.comparison.as_mut().unwrap().unlisted_members = 1,
            "with members that differ",
        ),
        (
            Equivalent,
            |f| f.origins.push(Origin::Artifact),
            "copies from the artifact",
        ),
        (
            Equivalent,
            |f| f.rebuilt[1] = rebuilt(1, THIRD),
            "that disagree",
        ),
        (
            Equivalent,
            |f| f.rebuilt[0] = rebuilt(0, PUBLISHED),
            "byte for byte",
        ),
        (Differs, |f| f.rebuilt.truncate(1), "on 1 rebuilt files"),
        (
            Differs,
            |f| f.rebuilt[1] = rebuilt(1, THIRD),
            "that disagree",
        ),
        (
            Differs,
            |f| f.rebuilt[1] = rebuilt(1, PUBLISHED),
            "byte for byte",
        ),
        (Differs, |f| f.reason = None, "without a reason"),
        (
            Differs,
            |f| f.reason = Some(Reason::StepFailed),
            "with the reason step-failed",
        ),
        (
            Differs,
            |f| f.comparison = Some(comparison()),
            "without a member that differs",
        ),
        (
            Differs,
            |f| f.comparison.as_mut().unwrap().normalized_digest = Some(Sha256::of(b"x")),
            "that make both sides equal",
        ),
        (Unstable, |f| f.rebuilt[1] = rebuilt(1, OTHER), "that agree"),
        (Unstable, |f| f.rebuilt.clear(), "on builds that agree"),
        (
            Unstable,
            |f| {
                f.rebuilt.truncate(1);
                f.build.as_mut().unwrap().runs.truncate(1);
            },
            "on builds that agree",
        ),
        (Unstable, |f| f.reason = None, "without a reason"),
        (
            BuildFailed,
            |f| f.build = None,
            "step-failed, which the facts deny",
        ),
        (
            BuildFailed,
            |f| f.reason = Some(Reason::TimedOut),
            "timed-out, which the facts deny",
        ),
        (
            BuildFailed,
            |f| f.reason = Some(Reason::OutOfMemory),
            "out-of-memory, which the facts deny",
        ),
        (
            BuildFailed,
            |f| {
                f.reason = Some(Reason::OutOfDisk);
                f.build.as_mut().unwrap().runs[0].exit = Exit::LimitReached {
                    step: 0,
                    limit: LimitKind::Memory,
                };
            },
            "out-of-disk, which the facts deny",
        ),
        (
            BuildFailed,
            |f| f.reason = Some(Reason::OutputRejected),
            "which the facts deny",
        ),
        (
            BuildFailed,
            |f| f.reason = Some(Reason::OutputMissing),
            "which the facts deny",
        ),
        (
            Indeterminate,
            |f| f.source.moved_from = None,
            "tag-moved, which the facts deny",
        ),
        (Indeterminate, |f| f.reason = None, "without a reason"),
    ];
    for (verdict, change, expected) in cases {
        let found = refusal(*verdict, *change);
        assert!(
            found.contains(expected),
            "{verdict}: {found:?} instead of {expected:?}"
        );
    }
}

#[test]
fn the_limit_that_was_reached_is_the_reason() {
    for (reason, limit) in [
        (Reason::Silent, LimitKind::Silence),
        (Reason::OutOfMemory, LimitKind::Memory),
        (Reason::OutOfProcesses, LimitKind::Processes),
        (Reason::OutOfDisk, LimitKind::Disk),
    ] {
        let mut failed = facts(Verdict::BuildFailed);
        failed.reason = Some(reason);
        failed.build.as_mut().unwrap().runs[0].exit = Exit::LimitReached { step: 0, limit };
        assert!(parse(&composed(&failed)).is_ok(), "{reason}");
    }
}

#[test]
fn builds_disagree_too_when_only_one_yields_the_artifact() {
    let mut one = facts(Verdict::Unstable);
    one.rebuilt = vec![rebuilt(1, PUBLISHED)];
    assert!(parse(&composed(&one)).is_ok());
    one.build.as_mut().unwrap().runs[0].exit = Exit::Exited { step: 0, code: 1 };
    assert!(parse(&composed(&one)).is_ok());
    one.rebuilt.clear();
    assert!(parse(&composed(&one)).is_ok());
    one.build.as_mut().unwrap().runs[1].exit = Exit::TimedOut { step: 0 };
    assert!(matches!(
        compose(&one, Custody::Operator),
        Err(Contradiction::RebuiltAgree)
    ));
}

#[test]
fn texts_that_no_statement_may_carry_are_refused() {
    let cases: &[(Change, &str)] = &[
        (
            |f| f.published.file_name = "../lib.tgz".into(),
            "not one path component",
        ),
        (
            |f| f.published.file_name = "a\\b".into(),
            "not one path component",
        ),
        (
            |f| f.published.file_name = "..".into(),
            "not one path component",
        ),
        (
            |f| f.published.file_name = "a\nb".into(),
            "control character",
        ),
        (|f| f.published.file_name = String::new(), "is empty"),
        (|f| f.published.file_name = "a".repeat(256), "is too long"),
        (
            |f| f.rebuilt[0].file_name = "x/y".into(),
            "not one path component",
        ),
        (
            |f| f.published.purl = Some("pkg:npm/lib".into()),
            "published.purl",
        ),
        (|f| f.published.purl = Some("lib".into()), "published.purl"),
        (
            |f| f.published.download_location = Some("file:///srv/x".into()),
            "neither https://",
        ),
        (
            |f| f.published.download_location = Some("https://me:secret@files.example/".into()),
            "a user's name or password",
        ),
        (
            |f| f.published.declared = Some("\u{1b}[2J".into()),
            "control character",
        ),
        (
            |f| f.source.uri = "git+https://token@forge.example/".into(),
            "a user's name",
        ),
        (
            |f| f.source.uri = "git+ssh://forge.example/".into(),
            "neither https://",
        ),
        (
            |f| f.source.uri = "https://forge.example/".into(),
            "does not start with git+",
        ),
        (
            |f| f.source.reference = "v1.2.3".into(),
            "not the full name of a tag",
        ),
        (
            |f| f.source.reference = "refs/tags/v\u{7f}".into(),
            "control character",
        ),
        (|f| f.rebuilder.id = "nobody".into(), "is not a URI"),
        (
            |f| f.build.as_mut().unwrap().toolchain[0].version = "1\n".into(),
            "a tool in build.toolchain",
        ),
        (
            |f| f.build.as_mut().unwrap().profile = "sandbox".into(),
            "of the form name/vN",
        ),
    ];
    for (change, expected) in cases {
        let found = refusal(Verdict::Reproduced, *change);
        assert!(
            found.contains(expected),
            "{found:?} instead of {expected:?}"
        );
    }
}

#[test]
fn a_local_source_is_signed_by_nobodys_key_only() {
    let mut facts = facts(Verdict::Reproduced);
    facts.source.uri = "git+file:lib".into();
    assert!(matches!(
        compose(&facts, Custody::Operator),
        Err(Contradiction::LocalSource)
    ));
    assert!(compose(&facts, Custody::Ephemeral).is_ok());
    facts.source.uri = "git+file:/srv/lib".into();
    assert!(matches!(
        compose(&facts, Custody::Ephemeral),
        Err(Contradiction::Text { .. })
    ));
}

#[test]
fn a_statement_over_the_readers_limit_is_not_composed() {
    let mut facts = facts(Verdict::Differs);
    let comparison = facts.comparison.as_mut().unwrap();
    let mut member = comparison.differing_members[0].clone();
    member.name = "m".repeat(4000);
    comparison.differing_members = vec![member; 1200];
    assert!(matches!(
        compose(&facts, Custody::Operator),
        Err(Contradiction::TooLong(_))
    ));
}

/// Replaces in a composed statement, as somebody with a trusted key could.
fn tampered(verdict: Verdict, from: &str, to: &str) -> Result<Statement, StatementError> {
    let text = String::from_utf8(composed(&facts(verdict))).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    parse(text.replacen(from, to, 1).as_bytes())
}

#[test]
fn readers_refuse_what_the_signer_would() {
    let published = Sha256::of(PUBLISHED).to_string();
    let other = Sha256::of(OTHER).to_string();
    use Verdict::{Differs, Equivalent, Reproduced};
    assert!(tampered(Reproduced, "\"reproduced\"", "\"reproduced\"").is_ok());
    let contradiction = |verdict, from: &str, to: &str| {
        let result = tampered(verdict, from, to);
        assert!(
            matches!(result, Err(StatementError::Contradiction(_))),
            "{to}: {result:?}"
        );
    };
    contradiction(Reproduced, "/reproduced/v0", "/equivalent/v0");
    contradiction(Equivalent, "/equivalent/v0", "/reproduced/v0");
    contradiction(
        Reproduced,
        "\"verdict\":\"reproduced\"",
        "\"verdict\":\"assisted\"",
    );
    contradiction(
        Reproduced,
        "\"verdict\":",
        "\"reason\":\"tag-moved\",\"verdict\":",
    );
    contradiction(Differs, "\"reason\":\"content-differs\",", "");
    contradiction(Reproduced, &published, &other);
    contradiction(
        Reproduced,
        "\"name\":\"lib-1.2.3.tgz\"",
        "\"name\":\"other.tgz\"",
    );
    contradiction(Reproduced, "\"annotated\"", "\"lightweight\"");
    contradiction(Reproduced, "\"run\":1", "\"run\":0");

    let result = tampered(Reproduced, "/reproduced/v0", "/reproduced/v1");
    assert!(matches!(result, Err(StatementError::UnknownType(_))));
    let result = tampered(Reproduced, "countersign.dev", "countersign.example");
    assert!(matches!(result, Err(StatementError::UnknownType(_))));
    let result = tampered(Reproduced, "/Statement/v1", "/Statement/v0.1");
    assert!(matches!(result, Err(StatementError::NotAStatement)));
    let result = tampered(
        Reproduced,
        "\"sha256\":",
        "\"gitCommit\":\"aa\",\"sha256\":",
    );
    assert!(matches!(result, Err(StatementError::Predicate(_))));
    let result = tampered(Reproduced, "{\"sha256\":", "{\"sha999\":");
    assert!(matches!(result, Err(StatementError::Predicate(_))));
    let result = tampered(Reproduced, "{\"_type\":", "{\"_type\":\"x\",\"_type\":");
    assert!(matches!(result, Err(StatementError::Json(_))));
    let result = tampered(
        Reproduced,
        "\"verdict\":",
        "\"verdict\":\"differs\",\"verdict\":",
    );
    assert!(matches!(result, Err(StatementError::Json(_))));
    // a field that this version does not know takes nothing away
    assert!(tampered(Reproduced, "\"verdict\":", "\"note\":1,\"verdict\":").is_ok());
}

#[test]
fn a_verdict_has_exactly_one_subject() {
    let text = String::from_utf8(composed(&facts(Verdict::Reproduced))).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let subject = value["subject"][0].clone();
    for subjects in [vec![], vec![subject.clone(), subject]] {
        let count = subjects.len();
        value["subject"] = subjects.into();
        let result = parse(value.to_string().as_bytes());
        assert!(matches!(result, Err(StatementError::Subjects(n)) if n == count));
    }
}

#[test]
fn what_is_said_of_a_tags_signature_fits_its_state() {
    let signed = |key: Option<&str>| {
        Some(Signed {
            format: SignatureFormat::Ssh,
            key_fingerprint: key.map(str::to_owned),
        })
    };
    let key = || signed(Some("SHA256:abc"));
    for (state, signed, good) in [
        (SignatureState::Valid, key(), true),
        (SignatureState::Valid, signed(None), false),
        (SignatureState::Valid, None, false),
        (SignatureState::ExpiredKey, key(), true),
        (SignatureState::ExpiredKey, signed(None), false),
        (SignatureState::UnknownKey, signed(None), true),
        (SignatureState::UnknownKey, key(), true),
        (SignatureState::UnknownKey, None, false),
        (SignatureState::Invalid, signed(None), true),
        (SignatureState::Invalid, key(), false),
        (SignatureState::Unsigned, None, true),
        (SignatureState::Unsigned, signed(None), false),
        (SignatureState::Unchecked, None, true),
        (SignatureState::Unchecked, signed(None), true),
        (SignatureState::Unchecked, key(), false),
        (SignatureState::Valid, signed(Some("a\nb")), false),
    ] {
        let mut facts = base();
        facts.source.signature = state;
        facts.source.signed.clone_from(&signed);
        assert_eq!(
            compose(&facts, Custody::Operator).is_ok(),
            good,
            "{state:?} {signed:?}"
        );
        // a name for a commit bears nothing
        facts.source.tag_object = None;
        let unsigned = good && signed.is_none();
        assert_eq!(
            compose(&facts, Custody::Operator).is_ok(),
            unsigned,
            "{state:?} {signed:?}"
        );
    }
    let mut facts = base();
    (facts.source.signature, facts.source.signed) = (SignatureState::Valid, key());
    let text = String::from_utf8(composed(&facts)).unwrap();
    let field = r#""signature":{"state":"VALID","format":"ssh","keyFingerprint":"SHA256:abc"}"#;
    assert!(text.contains(field), "{text}");
}
