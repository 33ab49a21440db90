//! `Verdict -> Facts`: says to the signer what was found. A translation; it decides nothing.

use std::collections::BTreeMap;

use countersign_attest::digest::Sha256;
use countersign_attest::statement::{
    self as attest, Build, Enforcement, Exit, Facts, Kind, Log, Normalization, PlanRef, Rebuilder,
    Rebuilt, Run, Source, Tool,
};
use countersign_attest::verdict::Verdict;
use countersign_builder::compare::{Applied, Comparison, DifferenceKind};
use countersign_builder::outcome::{Ended, IdMode, Outcome};
use countersign_builder::plan::{Limits, Plan, PlanInput};
use countersign_builder::recipe::Attempt;
use countersign_builder::release::Stage;

use super::ArtifactResult;

/// The facts of every statement that one artifact's result calls for, the verdict first.
#[must_use]
pub(crate) fn of(
    result: &ArtifactResult,
    plan: Option<&Plan>,
    rebuilder: &Rebuilder,
    known_published: &[Sha256],
) -> Vec<Facts> {
    let attempted = result.plan.and_then(|digest| {
        let attempt = result
            .attempts
            .iter()
            .find(|attempt| attempt.plan == digest)?;
        Some((attempt, plan?))
    });
    let verdict = Facts {
        kind: Kind::Verdict,
        verdict: result.judgement.verdict,
        reason: result.judgement.reason,
        decided_on: result.decided_on,
        rebuilder: rebuilder.clone(),
        source: source(result),
        published: published(result),
        rebuilt: rebuilt(result),
        assisted_by: match result.judgement.verdict {
            Verdict::Assisted => attempted.map_or_else(Vec::new, |(_, plan)| assists(plan)),
            Verdict::Reproduced
            | Verdict::Equivalent
            | Verdict::Differs
            | Verdict::Unstable
            | Verdict::BuildFailed
            | Verdict::Indeterminate => Vec::new(),
        },
        comparison: result
            .comparison
            .as_ref()
            .and_then(|c| comparison(c, result)),
        build: attempted.map(|(attempt, plan)| build(result, attempt, plan)),
        origins: attempted.map_or_else(Vec::new, |(_, plan)| plan.origins()),
        withdrawal: None,
        known_published: known_published.to_vec(),
        variations: result.variations.clone(),
    };
    let mut all = vec![verdict.clone()];
    if let Some(kind) = attest::companion(&verdict) {
        all.push(Facts { kind, ..verdict });
    }
    all
}

fn assists(plan: &Plan) -> Vec<attest::Assist> {
    let copied = plan.assists().into_iter();
    copied
        .map(|assist| attest::Assist {
            kind: assist.kind,
            sha256: assist.sha256,
        })
        .collect()
}

fn source(result: &ArtifactResult) -> Source {
    let release = &result.release;
    Source {
        uri: release.source_uri.clone(),
        reference: format!("refs/tags/{}", release.tag),
        commit: release.commit,
        tree: release.tree,
        tag_object: release.tag_object,
        tree_sha256: Some(result.tree_sha256),
        signature: result.signature.state,
        signed: result.signature.signed.clone(),
        moved_from: result.moved_from,
    }
}

fn published(result: &ArtifactResult) -> attest::Published {
    let published = &result.published;
    let is_web = |url: &&String| url.starts_with("https://") || url.starts_with("http://");
    attest::Published {
        file_name: published.file_name.clone(),
        purl: published.purl.clone(),
        stage: match published.stage {
            Stage::Candidate => attest::Stage::Candidate,
            Stage::Released => attest::Stage::Released,
        },
        sha256: published.sha256,
        sha512: published.sha512,
        size_bytes: published.size_bytes,
        download_location: published.download_location.as_ref().filter(is_web).cloned(),
        retrieved_on: match published.stage {
            Stage::Candidate => None,
            Stage::Released => Some(published.retrieved_on),
        },
        declared: published.declared.clone(),
    }
}

fn rebuilt(result: &ArtifactResult) -> Vec<Rebuilt> {
    result
        .rebuilt
        .iter()
        .map(|file| Rebuilt {
            run: u32::try_from(file.run).unwrap_or(u32::MAX), // there are two runs
            file_name: file.file_name.clone(),
            digests: file.digests,
        })
        .collect()
}

/// What explains a difference: first what is odd about the source, then what the comparison found.
fn causes(result: &ArtifactResult) -> Vec<String> {
    let findings = result.findings.iter().map(ToString::to_string);
    findings.chain(result.causes.iter().cloned()).collect()
}

fn comparison(comparison: &Comparison, result: &ArtifactResult) -> Option<attest::Comparison> {
    let empty = attest::Comparison {
        normalizations: Vec::new(),
        normalized_digest: None,
        differing_members: Vec::new(),
        unlisted_members: 0,
        causes: Vec::new(),
    };
    match (comparison, result.judgement.verdict) {
        (
            Comparison::Equivalent {
                normalizations,
                normalized_digest,
                ..
            },
            Verdict::Equivalent,
        ) => {
            let file = &result.published.file_name;
            let normalizations = normalizations
                .iter()
                .map(|applied| Normalization {
                    id: applied.id.clone(),
                    scope: scope(applied, file),
                    changed_published: applied.changed_published,
                    changed_rebuilt: applied.changed_rebuilt,
                })
                .collect();
            Some(attest::Comparison {
                normalizations,
                normalized_digest: Some(*normalized_digest),
                ..empty
            })
        }
        (Comparison::Different { members, unlisted }, Verdict::Differs) => {
            let differing_members = members
                .iter()
                .map(|member| attest::MemberDifference {
                    name: member.name.clone(),
                    what: change(member.what),
                    published: member.published,
                    rebuilt: member.rebuilt,
                })
                .collect();
            Some(attest::Comparison {
                differing_members,
                unlisted_members: *unlisted,
                causes: causes(result),
                ..empty
            })
        }
        // what a comparison found says nothing under another verdict
        (
            Comparison::Equivalent { .. }
            | Comparison::Different { .. }
            | Comparison::NotComparable { .. }
            | Comparison::Failed { .. },
            _,
        ) => None,
    }
}

/// What a normalization was applied to: the member, where it is one alone, or the whole file.
fn scope(applied: &Applied, file: &str) -> String {
    match (&applied.members[..], applied.members_unlisted) {
        ([member], 0) if !member.starts_with('(') => member.clone(),
        _ => file.to_owned(),
    }
}

const fn change(what: DifferenceKind) -> attest::MemberChange {
    match what {
        DifferenceKind::OnlyPublished => attest::MemberChange::OnlyPublished,
        DifferenceKind::OnlyRebuilt => attest::MemberChange::OnlyRebuilt,
        DifferenceKind::Content => attest::MemberChange::Content,
        DifferenceKind::Type => attest::MemberChange::Type,
        DifferenceKind::Mode => attest::MemberChange::Mode,
        DifferenceKind::Order => attest::MemberChange::Order,
        DifferenceKind::Container => attest::MemberChange::Container,
    }
}

fn build(result: &ArtifactResult, attempt: &Attempt, plan: &Plan) -> Build {
    let found = attempt.outcomes.first().map(|outcome| &outcome.environment);
    let limits = attempt.candidate.limits;
    Build {
        plan: PlanRef {
            sha256: attempt.plan,
            size_bytes: result.plan_bytes,
        },
        runs: attempt.outcomes.iter().map(run).collect(),
        network: match attempt.candidate.network {
            countersign_builder::plan::Network::None => attest::Network::None,
            countersign_builder::plan::Network::Mirror => attest::Network::Replay,
        },
        inputs: plan.inputs.iter().map(input).collect(),
        architecture: found.map_or_else(String::new, |found| found.architecture.clone()),
        toolchain: found.map_or_else(Vec::new, |found| {
            let tool = |t: &countersign_builder::plan::ToolVersion| Tool {
                name: t.name.clone(),
                version: t.version.clone(),
            };
            found.tools.iter().map(tool).collect()
        }),
        root: found.and_then(|found| found.root),
        profile: found.map_or_else(String::new, |found| found.profile.clone()),
        id_mode: match found.map(|found| found.id_mode) {
            Some(IdMode::RootRange) => attest::IdMode::RootRange,
            Some(IdMode::UserRange) => attest::IdMode::UserRange,
            Some(IdMode::SingleId) | None => attest::IdMode::SingleId,
        },
        limits: limit_values(&limits),
        enforcement: found.map_or_else(Enforcement::default, |found| found.enforcement),
        worker: None,
    }
}

fn limit_values(limits: &Limits) -> BTreeMap<String, u64> {
    let cpus = limits.cpus.map(|cpus| ("cpus", u64::from(cpus)));
    [
        ("timeSeconds", limits.time_seconds),
        ("silenceSeconds", limits.silence_seconds),
        ("memoryBytes", limits.memory_bytes),
        ("logBytes", limits.log_bytes),
        ("diskBytes", limits.disk_bytes),
        ("diskInodes", limits.disk_inodes),
        ("fileBytes", limits.file_bytes),
        ("processes", limits.processes),
        ("outputBytes", limits.output_bytes),
        ("outputFiles", limits.output_files),
    ]
    .into_iter()
    .chain(cpus)
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn input(input: &PlanInput) -> attest::Input {
    attest::Input {
        request: input.request.clone(),
        sha256: input.sha256,
        size_bytes: input.size_bytes,
    }
}

fn run(outcome: &Outcome) -> Run {
    let index = |step: &usize| *step as u64;
    Run {
        started_on: outcome.started_on,
        finished_on: outcome.finished_on,
        exit: match &outcome.ended {
            Ended::Completed => Exit::Completed,
            Ended::Exited { step, code } => Exit::Exited {
                step: index(step),
                code: *code,
            },
            Ended::Signalled { step, signal } => Exit::Signalled {
                step: index(step),
                signal: *signal,
            },
            Ended::NotStarted { step, .. } => Exit::NotStarted { step: index(step) },
            Ended::LimitReached { step, limit } => Exit::LimitReached {
                step: index(step),
                limit: *limit,
            },
            Ended::TimedOut { step } => Exit::TimedOut { step: index(step) },
            Ended::OutputMissing { .. } => Exit::OutputMissing,
            Ended::OutputRejected { .. } => Exit::OutputRejected,
        },
        log: Log {
            sha256: outcome.log.sha256,
            size_bytes: outcome.log.size_bytes,
            dropped_bytes: outcome.log.dropped_bytes,
        },
    }
}
