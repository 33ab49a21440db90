//! Every row of the verdict table, and the promise that holds for all of them.

use countersign_attest::digest::{GitOid, Sha256};
use countersign_attest::time::Timestamp;

use super::*;
use crate::compare::Applied;
use crate::outcome::{Enforcement, EnvironmentFound, IdMode, LogRecord, Misses};
use crate::plan::{
    Candidate, EnvironmentSpec, Limits, Network, PlanSource, SCHEMA, Settings, SourceForm, Step,
    Valued,
};
use crate::release::{Claims, Stage};

/// The facts of a case, owned, so that a row can change one of them.
#[derive(Clone)]
struct Facts {
    published: Published,
    plan: Plan,
    outcomes: Vec<Outcome>,
    rebuilt: Vec<Digests>,
    comparison: Option<Comparison>,
    prebuilt: bool,
    assisted_by: Vec<AssistKind>,
}

impl Facts {
    fn judge(&self) -> Result<Judgement, Undecided> {
        judge(&Case {
            published: &self.published,
            plan: &self.plan,
            outcomes: &self.outcomes,
            rebuilt: &self.rebuilt,
            comparison: self.comparison.as_ref(),
            prebuilt: self.prebuilt,
            assisted_by: &self.assisted_by,
        })
    }
}

/// A run that ended so and left nothing.
pub(crate) fn outcome(ended: Ended) -> Outcome {
    Outcome {
        misses: Misses::default(),
        plan: Sha256::of(b"plan"),
        started_on: Timestamp::EPOCH,
        finished_on: Timestamp::EPOCH,
        duration_ms: 1,
        ended,
        log: LogRecord {
            sha256: Sha256::of(b""),
            size_bytes: 0,
            dropped_bytes: 0,
        },
        outputs: Vec::new(),
        environment: EnvironmentFound {
            root: None,
            architecture: "x86_64".into(),
            tools: Vec::new(),
            profile: "test/v0".into(),
            id_mode: IdMode::SingleId,
            limits: Limits::default(),
            enforcement: Enforcement::default(),
        },
    }
}

fn plan(origin: Origin) -> Plan {
    Plan {
        schema: SCHEMA.into(),
        source: PlanSource {
            uri: "git+https://example.org/a".into(),
            reference: "refs/tags/v1".into(),
            commit: GitOid::from_bytes([1; 20]),
            tree_sha256: Sha256::of(b"tree"),
            epoch: Timestamp::EPOCH,
        },
        candidate: Candidate {
            recipe: "generic".into(),
            environment: EnvironmentSpec::Host { tools: Vec::new() },
            source_form: SourceForm::Tree,
            subdir: String::new(),
            steps: vec![Step {
                argv: vec![Valued::new("make".into(), origin)],
            }],
            variables: std::collections::BTreeMap::new(),
            outputs: vec![Valued::new("out".into(), Origin::Operator)],
            limits: Limits::default(),
            network: Network::None,
            as_of: None,
            own_releases: false,
            incomplete: None,
            missing: None,
            assists: Vec::new(),
            encoding: None,
            settings: Settings::default(),
        },
        inputs: Vec::new(),
    }
}

/// Reproduced: two builds of the published bytes.
fn reproduced() -> Facts {
    let digests = Digests::of(b"bytes");
    Facts {
        published: Published {
            file_name: "a.tgz".into(),
            purl: None,
            download_location: None,
            retrieved_on: Timestamp::EPOCH,
            sha256: digests.sha256,
            sha512: Some(digests.sha512),
            size_bytes: Some(digests.size_bytes),
            declared: None,
            published_on: None,
            stage: Stage::Released,
            yanked: false,
            claims: Claims::default(),
        },
        plan: plan(Origin::Operator),
        outcomes: vec![outcome(Ended::Completed), outcome(Ended::Completed)],
        rebuilt: vec![digests, digests],
        comparison: None,
        prebuilt: false,
        assisted_by: Vec::new(),
    }
}

/// Two builds that agree on other bytes, compared with this result.
fn compared(comparison: Comparison) -> Facts {
    let other = Digests::of(b"other");
    Facts {
        rebuilt: vec![other, other],
        comparison: Some(comparison),
        ..reproduced()
    }
}

fn equivalent() -> Comparison {
    Comparison::Equivalent {
        normalizations: vec![Applied {
            id: "gzip-deflate/v1".into(),
            changed_published: 1,
            changed_rebuilt: 1,
            members: Vec::new(),
            members_unlisted: 0,
        }],
        normalized_digest: Sha256::of(b"form"),
        encoding: None,
    }
}

fn different() -> Comparison {
    Comparison::Different {
        members: Vec::new(),
        unlisted: 3,
    }
}

fn with(mut facts: Facts, change: impl FnOnce(&mut Facts)) -> Facts {
    change(&mut facts);
    facts
}

#[track_caller]
fn check(facts: &Facts, verdict: Verdict, reason: Option<Reason>) {
    let judgement = facts.judge().expect("a verdict");
    assert_eq!((judgement.verdict, judgement.reason), (verdict, reason));
    assert_eq!(
        judgement.assisted_by.is_empty(),
        verdict != Verdict::Assisted
    );
}

#[track_caller]
fn check_reason(facts: &Facts, reason: Reason) {
    check(facts, reason.verdict(), Some(reason));
}

#[test]
fn the_same_bytes_twice_are_reproduced() {
    check(&reproduced(), Verdict::Reproduced, None);
    let digest_only = with(reproduced(), |f| {
        f.published.sha512 = None;
        f.published.size_bytes = None;
    });
    check(&digest_only, Verdict::Reproduced, None);
}

#[test]
fn one_build_is_too_little_unless_it_failed() {
    let one = with(reproduced(), |f| {
        f.outcomes.pop();
        f.rebuilt.pop();
    });
    assert_eq!(one.judge(), Err(Undecided::NeedsSecondBuild));
    assert!(needs_second(&one.outcomes));
    let none = with(one.clone(), |f| {
        f.outcomes.clear();
        f.rebuilt.clear();
    });
    assert_eq!(none.judge(), Err(Undecided::NeedsBuild));
    let failed = with(one, |f| {
        f.outcomes = vec![outcome(Ended::TimedOut { step: 0 })];
        f.rebuilt.clear();
    });
    assert!(!needs_second(&failed.outcomes));
    check_reason(&failed, Reason::TimedOut);
}

#[test]
fn a_failed_build_says_how_it_failed() {
    for (ended, reason) in failures() {
        let facts = with(reproduced(), |f| {
            f.outcomes = vec![outcome(ended.clone())];
            f.rebuilt.clear();
        });
        check_reason(&facts, reason);
        let twice = with(facts, |f| {
            f.outcomes.push(outcome(Ended::Exited { step: 9, code: 9 }));
        });
        check_reason(&twice, reason);
        let once_of_two = with(reproduced(), |f| {
            f.outcomes = vec![outcome(Ended::Completed), outcome(ended)];
            f.rebuilt.pop();
        });
        check_reason(&once_of_two, Reason::RebuildsDisagree);
    }
}

fn failures() -> [(Ended, Reason); 10] {
    let message = String::from("no such file");
    let reached = |limit| Ended::LimitReached { step: 0, limit };
    [
        (reached(LimitKind::Silence), Reason::Silent),
        (reached(LimitKind::Memory), Reason::OutOfMemory),
        (reached(LimitKind::Processes), Reason::OutOfProcesses),
        (reached(LimitKind::Disk), Reason::OutOfDisk),
        (Ended::Exited { step: 0, code: 2 }, Reason::StepFailed),
        (Ended::Signalled { step: 0, signal: 9 }, Reason::StepFailed),
        (
            Ended::NotStarted {
                step: 0,
                message: message.clone(),
            },
            Reason::StepFailed,
        ),
        (Ended::TimedOut { step: 0 }, Reason::TimedOut),
        (
            Ended::OutputMissing {
                pattern: "*.tgz".into(),
            },
            Reason::OutputMissing,
        ),
        (Ended::OutputRejected { message }, Reason::OutputRejected),
    ]
}

#[test]
fn builds_that_end_well_without_the_artifact_do_not_yield_it() {
    let nothing = with(reproduced(), |f| f.rebuilt.clear());
    check_reason(&nothing, Reason::OutputMissing);
    let once = with(reproduced(), |f| f.rebuilt.truncate(1));
    check_reason(&once, Reason::RebuildsDisagree);
}

#[test]
fn builds_that_disagree_are_unstable_even_if_one_is_right() {
    for wrong in [0, 1] {
        let facts = with(reproduced(), |f| f.rebuilt[wrong] = Digests::of(b"other"));
        check_reason(&facts, Reason::RebuildsDisagree);
    }
}

#[test]
fn what_is_copied_from_the_artifact_forbids_reproduced() {
    let copied = with(reproduced(), |f| f.plan = plan(Origin::Artifact));
    check_reason(&copied, Reason::InputsChosenByArtifact);
    let listed = with(copied, |f| f.assisted_by = vec![AssistKind::FileTimes]);
    check(&listed, Verdict::Assisted, None);
    let unlabelled = with(listed, |f| f.plan = plan(Origin::Source));
    check(&unlabelled, Verdict::Assisted, None);
    for origin in [Origin::Source, Origin::Registry, Origin::Operator] {
        check(
            &with(reproduced(), |f| f.plan = plan(origin)),
            Verdict::Reproduced,
            None,
        );
    }
    let equivalent = with(compared(equivalent()), |f| f.plan = plan(Origin::Artifact));
    check_reason(&equivalent, Reason::InputsChosenByArtifact);
}

#[test]
fn an_output_from_the_tree_was_not_built() {
    check_reason(&with(reproduced(), |f| f.prebuilt = true), Reason::Prebuilt);
    check_reason(
        &with(compared(different()), |f| f.prebuilt = true),
        Reason::Prebuilt,
    );
}

#[test]
fn known_digests_that_name_two_files_contradict() {
    let other = Digests::of(b"other");
    for facts in [
        with(reproduced(), |f| f.published.sha512 = Some(other.sha512)),
        with(reproduced(), |f| f.published.size_bytes = Some(6)),
        with(reproduced(), |f| f.published.sha256 = other.sha256),
    ] {
        check_reason(&facts, Reason::EvidenceContradicts);
    }
}

#[test]
fn other_bytes_are_judged_by_the_comparison() {
    check(&compared(equivalent()), Verdict::Equivalent, None);
    check_reason(&compared(different()), Reason::ContentDiffers);
    let only = |what, name: &str| {
        compared(Comparison::Different {
            members: vec![MemberDifference {
                name: name.into(),
                what,
                published: None,
                rebuilt: None,
            }],
            unlisted: 0,
        })
    };
    let container = DifferenceKind::Container;
    check_reason(&only(container, "a/file"), Reason::ContainerDiffers);
    // what an archive has beside its members may be a payload
    let beside = only(container, "(bytes after the gzip stream)");
    check_reason(&beside, Reason::ContentDiffers);
    let mode = only(DifferenceKind::Mode, "a/file");
    check_reason(&mode, Reason::ContentDiffers);
    let not_comparable = Comparison::NotComparable {
        published_format: "zip".into(),
        rebuilt_format: "tar".into(),
    };
    check_reason(&compared(not_comparable), Reason::NotComparable);
    let failed = Comparison::Failed {
        side: "published".into(),
        message: "more than 1 members".into(),
    };
    check_reason(&compared(failed), Reason::ComparisonFailed);
    let uncompared = with(compared(different()), |f| f.comparison = None);
    assert_eq!(uncompared.judge(), Err(Undecided::NeedsComparison));
    let digest_only = with(uncompared, |f| {
        f.published.sha512 = None;
        f.published.size_bytes = None;
    });
    check_reason(&digest_only, Reason::DigestOnly);
}

#[test]
fn an_incomplete_candidate_never_differs() {
    for reason in [Reason::BuildStepUnsupported, Reason::SourceIncomplete] {
        let incomplete = |f: &mut Facts| f.plan.candidate.incomplete = Some(reason);
        check_reason(&with(compared(different()), incomplete), reason);
        check(
            &with(compared(equivalent()), incomplete),
            Verdict::Equivalent,
            None,
        );
        check(&with(reproduced(), incomplete), Verdict::Reproduced, None);
    }
    let wrong = with(compared(different()), |f| {
        f.plan.candidate.incomplete = Some(Reason::StepFailed);
    });
    assert!(matches!(wrong.judge(), Err(Undecided::Inconsistent(_))));
}

/// A failure with other tools or dependencies than the release was made with is no statement about it; with
/// any other thing missing it is one, and what is missing may be why.
#[test]
fn a_failure_for_want_of_a_toolchain_or_of_dates_says_nothing_of_the_release() {
    for (ended, reason) in failures() {
        let failed = |incomplete| {
            with(reproduced(), |f| {
                f.rebuilt.clear();
                f.outcomes = vec![outcome(ended.clone())];
                f.plan.candidate.incomplete = incomplete;
                f.plan.candidate.missing = Some("not at hand: 1.2".into());
            })
        };
        for lack in [Reason::ToolchainUnavailable, Reason::DependenciesUndated] {
            let without = failed(Some(lack)).judge().unwrap();
            assert_eq!(without.reason, Some(lack));
            let detail = without.detail.unwrap();
            assert!(detail.starts_with("not at hand: 1.2; "), "{detail}");
        }
        check_reason(&failed(Some(Reason::SourceIncomplete)), reason);
        check_reason(&failed(None), reason);
    }
}

/// What was built and compared outranks what failed, whichever came first.
#[test]
fn the_attempt_that_says_most_stands() {
    let order = [
        (Verdict::Reproduced, true),
        (Verdict::Assisted, true),
        (Verdict::Equivalent, true),
        (Verdict::Differs, true),
        (Verdict::Unstable, true),
        (Verdict::Indeterminate, true),
        (Verdict::BuildFailed, false),
        (Verdict::Indeterminate, false),
    ];
    let ranks: Vec<u8> = order.iter().map(|(v, made)| rank(*v, *made)).collect();
    assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]), "{ranks:?}");
}

#[test]
fn facts_that_do_not_fit_together_are_no_verdict() {
    let empty = Comparison::Equivalent {
        normalizations: Vec::new(),
        normalized_digest: Sha256::of(b""),
        encoding: None,
    };
    for facts in [
        compared(empty),
        with(reproduced(), |f| f.outcomes[1].plan = Sha256::of(b"other")),
        with(reproduced(), |f| f.outcomes.push(outcome(Ended::Completed))),
        with(reproduced(), |f| {
            f.outcomes[1].ended = Ended::TimedOut { step: 0 };
        }),
    ] {
        assert!(matches!(facts.judge(), Err(Undecided::Inconsistent(_))));
    }
}

/// All combinations of the facts: the reason always belongs to the verdict, and good verdicts never
/// come from anywhere but equal bytes of two builds.
#[test]
fn reasons_agree_with_verdicts_in_every_combination() {
    let (right, wrong) = (Digests::of(b"bytes"), Digests::of(b"other"));
    let comparisons = [
        None,
        Some(equivalent()),
        Some(different()),
        Some(Comparison::NotComparable {
            published_format: String::new(),
            rebuilt_format: String::new(),
        }),
    ];
    let mut endings: Vec<Ended> = failures().into_iter().map(|(ended, _)| ended).collect();
    endings.push(Ended::Completed);
    let mut decided = 0;
    for (first, second) in endings
        .iter()
        .flat_map(|a| endings.iter().map(move |b| (a, b)))
    {
        for bits in 0..64u8 {
            let bit = |n: u8| bits & 1 << n != 0;
            for comparison in &comparisons {
                let facts = with(reproduced(), |f| {
                    f.outcomes = vec![outcome(first.clone()), outcome(second.clone())];
                    f.rebuilt = vec![
                        if bit(0) { right } else { wrong },
                        if bit(1) { right } else { wrong },
                    ];
                    let completed = f.outcomes.iter().filter(|o| o.ended == Ended::Completed);
                    f.rebuilt.truncate(completed.count());
                    f.comparison.clone_from(comparison);
                    f.prebuilt = bit(2);
                    f.plan = plan(if bit(3) {
                        Origin::Artifact
                    } else {
                        Origin::Source
                    });
                    f.assisted_by = if bit(4) {
                        vec![AssistKind::Epoch]
                    } else {
                        vec![]
                    };
                    f.plan.candidate.incomplete = bit(5).then_some(Reason::SourceIncomplete);
                });
                let Ok(judgement) = facts.judge() else {
                    continue;
                };
                decided += 1;
                let verdict = judgement.verdict;
                let good = [Verdict::Reproduced, Verdict::Assisted, Verdict::Equivalent];
                assert_eq!(judgement.reason.is_none(), good.contains(&verdict));
                assert!(judgement.reason.is_none_or(|r| r.verdict() == verdict));
                let equal = facts.rebuilt == [right, right];
                if matches!(verdict, Verdict::Reproduced | Verdict::Assisted) {
                    assert!(equal && !facts.prebuilt);
                }
                if verdict == Verdict::Reproduced {
                    assert!(!bit(3) && !bit(4));
                }
                if verdict == Verdict::Equivalent {
                    assert!(!equal && matches!(comparison, Some(Comparison::Equivalent { .. })));
                }
            }
        }
    }
    assert!(decided > 1000, "{decided}");
}
