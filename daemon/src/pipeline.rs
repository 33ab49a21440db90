//! The flow (DESIGN section 2), one function per arrow, readable top to bottom.
//!
//! [`run`] is the only loop over candidates and second builds; `daemon` and `rebuild` share it. What
//! is about the release comes back in the findings; what is about us or the caller is a [`Trouble`] and
//! is never signed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::anyhow;
use countersign_attest::digest::Sha256;
use countersign_attest::verdict::{Reason, Verdict};
use countersign_builder::compare::Comparison;
use countersign_builder::compare::causes::{Cause, CauseKind};
use countersign_builder::judge::{self, Judgement};
use countersign_builder::outcome::Ended;
use countersign_builder::plan::Plan;
use countersign_builder::profile::variation::Explored;
use countersign_builder::recipe::encoding;
use countersign_builder::recipe::{self, Attempt, Evidence, Next, Proposal, Situation};
use countersign_builder::release::Published;
use tokio::sync::OnceCell;

use crate::trouble::Trouble;
use crate::workshop::Workshop;

mod attempt;
mod environment;
pub(crate) mod facts;
pub(crate) mod issue;
mod project;
mod record;
pub(crate) mod replay;
mod resolve;
mod source;
pub(crate) mod source_evidence;
mod values;
mod vary;
pub(crate) mod words;

use attempt::Tried;
use replay::Replay;
pub(crate) use values::{ArtifactResult, Findings, Resolved, Task};

/// Longest time for a parsing child.
const PARSE_TIME: Duration = Duration::from_secs(600);
/// How many times the limit of one build all builds of an artifact may take; the one that passes it ends.
const TIMES_THE_LIMIT: u32 = 4;
/// Most candidates that are tried for one artifact: what was built before takes no time.
const MAX_ATTEMPTS: usize = 24;
/// The folder of the tree in its scratch folder.
const TREE: &str = "tree";

/// Takes a task all the way to its findings.
///
/// # Errors
/// A fault or a refusal, never something about the release.
pub(crate) async fn run(workshop: &Workshop, task: &Task) -> Result<Findings, Trouble> {
    let mut resolved = resolve::resolve(workshop, task).await?;
    let task = &project::complete(task, resolved.project.as_ref())?;
    let found = resolve::publish(workshop, task, &mut resolved).await?;
    let published = found.artifacts;
    let known_published: Vec<Sha256> = published.iter().map(|p| p.sha256).collect();
    let mut bench = Bench {
        published: published.clone(),
        ..Bench::default()
    };
    for companion in found.companions {
        let recipe = recipe_name(task, &resolved, &companion)?;
        let evidence = resolve::inspect(workshop, task, &recipe, &resolved, &companion).await?;
        bench.inspected.push(evidence);
    }
    let mut artifacts = Vec::new();
    for artifact in published {
        let alone = known_published.len() == 1;
        artifacts.push(one_artifact(workshop, task, &resolved, artifact, alone, &mut bench).await?);
    }
    if task.vary {
        for result in &mut artifacts {
            vary_plan(workshop, task, &resolved, result, &mut bench).await?;
        }
    }
    Ok(Findings {
        release: resolved.release,
        artifacts,
        plans: bench.plans,
        explored: bench.explored,
        known_published,
        _replays: bench.replays,
    })
}

/// Replays of this task by plan, so that artifacts that share a plan share its builds.
#[derive(Debug, Default)]
struct Bench {
    /// What inspection found in companions, then in the order of the artifacts.
    inspected: Vec<Evidence>,
    /// Everything that was published for the release.
    published: Vec<Published>,
    /// Digests of what is in that; taken when a build first wants the mirror.
    insides: OnceCell<Vec<Sha256>>,
    /// What record runs were served, by the package under test and the digest of the plan without inputs.
    records: BTreeMap<(Option<String>, Sha256), record::Record>,
    plans: BTreeMap<Sha256, Plan>,
    replays: BTreeMap<Sha256, Vec<Replay>>,
    /// What varying has shown, by plan.
    explored: BTreeMap<Sha256, Explored>,
}

/// The loop over candidates for one artifact.
async fn one_artifact(
    workshop: &Workshop,
    task: &Task,
    resolved: &Resolved,
    published: Published,
    alone: bool,
    bench: &mut Bench,
) -> Result<ArtifactResult, Trouble> {
    let mut result = untried(workshop, task, resolved, published);
    if task.moved_from.is_some() {
        return Ok(result);
    }
    let mut recipe = recipe_name(task, resolved, &result.published)?;
    let tagged = resolved;
    let mut evidence = resolve::inspect(workshop, task, &recipe, tagged, &result.published).await?;
    if task.recipe.is_none()
        && let Some(instead) = evidence.recipe_instead()
    {
        instead.clone_into(&mut recipe);
        evidence = resolve::inspect(workshop, task, &recipe, tagged, &result.published).await?;
    }
    let claimed = resolve::claimed(workshop, task, tagged, &evidence).await?;
    let (resolved, evidence) = match &claimed {
        None => (tagged, evidence),
        Some(other) => {
            let evidence = resolve::inspect(workshop, task, &recipe, other, &result.published);
            (other, evidence.await?)
        }
    };
    while !is_spent(&result.attempts) {
        let tools = wanted_tools(task, &recipe, &result.attempts);
        let capabilities = workshop.capabilities(&tools).await?;
        let situation = Situation {
            release: &resolved.release,
            published: &result.published,
            all_published: &bench.published,
            evidence: &evidence,
            siblings: &bench.inspected,
            source_incomplete: !resolved.missing.is_empty(),
            capabilities: &capabilities,
            hints: &task.hints,
            attempts: &result.attempts,
            worked_before: &task.worked_before,
        };
        let mut proposal = match next(task, &recipe, &situation) {
            Next::Try(proposal) => *proposal,
            Next::Enough => {
                let trials = encoding::trials(&situation);
                result.encoders = trials;
                break;
            }
            Next::Cannot { reason, detail } => {
                if result.attempts.is_empty() {
                    result.judgement = judge::because(reason, Some(detail));
                }
                break;
            }
        };
        let wanted = proposal.candidate.environment;
        proposal.candidate.environment = match environment::settle(workshop, wanted).await? {
            Ok(settled) => settled,
            Err(why) => {
                if result.attempts.is_empty() {
                    let reason = Reason::ToolchainUnavailable;
                    result.judgement = judge::because(reason, Some(why));
                }
                break;
            }
        };
        source::prepare(workshop, resolved, proposal.candidate.source_form).await?;
        let draft = attempt::plan(task, resolved, proposal.candidate.clone())?;
        let plan = attempt::pin_inputs(
            workshop,
            task,
            resolved,
            draft,
            &result.published,
            &capabilities,
            bench,
        )
        .await?;
        let replays =
            attempt::replay_twice(workshop, resolved, &plan, &capabilities, bench).await?;
        let tried =
            attempt::judge_replays(workshop, resolved, &plan, replays, &result.published, alone)
                .await?;
        keep(&mut result, proposal, &plan, tried);
    }
    // what the artifact claims is held against the tag, whatever was built
    result.findings = source_evidence::findings(
        tagged,
        &tagged.signature,
        &result.published,
        &evidence,
        &result.not_in_source,
    );
    result.evidence = evidence.said();
    result.decided_on = workshop.now();
    bench.inspected.push(evidence);
    Ok(result)
}

/// Whether the builds of one artifact were as many, or have taken all the time, as they may together.
fn is_spent(attempts: &[Attempt]) -> bool {
    let Some(first) = attempts.first() else {
        return false;
    };
    let builds = attempts.iter().flat_map(|attempt| &attempt.outcomes);
    let spent: u64 = builds.map(|outcome| outcome.duration_ms).sum();
    let limit = Duration::from_secs(first.candidate.limits.time_seconds);
    attempts.len() >= MAX_ATTEMPTS || Duration::from_millis(spent) >= limit * TIMES_THE_LIMIT
}

/// Varies the plan that decided about an artifact, where its first build ended well.
async fn vary_plan(
    workshop: &Workshop,
    task: &Task,
    resolved: &Resolved,
    result: &mut ArtifactResult,
    bench: &mut Bench,
) -> Result<(), Trouble> {
    let Some(digest) = result.plan else {
        return Ok(()); // nothing was built
    };
    let (plan, replays) = (bench.plans.get(&digest), bench.replays.get(&digest));
    let first = replays.and_then(|replays| replays.first());
    let (Some(plan), Some(first)) = (plan, first) else {
        return Ok(());
    };
    if plan.source.commit != resolved.release.commit {
        return Ok(()); // a claimed commit's tree is gone
    }
    let explored = match bench.explored.get(&digest) {
        Some(known) => known.clone(),
        None if first.outcome.ended != Ended::Completed => return Ok(()),
        None => {
            let tools = wanted_tools(task, &plan.candidate.recipe, &result.attempts);
            let capabilities = workshop.capabilities(&tools).await?;
            let first = &first.outcome;
            vary::vary(workshop, resolved, plan, digest, first, &capabilities).await?
        }
    };
    result.variations.clone_from(&explored.variations);
    bench.explored.insert(digest, explored);
    Ok(())
}

/// The result of an artifact before anything is tried, which is the whole of it where the tag moved.
fn untried(
    workshop: &Workshop,
    task: &Task,
    resolved: &Resolved,
    published: Published,
) -> ArtifactResult {
    let judgement = match task.moved_from {
        None => judge::because(Reason::NoRecipe, None),
        Some(before) => {
            let detail = format!(
                "the tag named {before} before; `countersign release ack` accepts the change"
            );
            judge::because(Reason::TagMoved, Some(detail))
        }
    };
    ArtifactResult {
        release: resolved.release.clone(),
        tree_sha256: resolved.digest.sha256,
        moved_from: task.moved_from,
        signature: resolved.signature.clone(),
        findings: Vec::new(),
        published,
        judgement,
        decided_on: workshop.now(),
        plan: None,
        plan_bytes: 0,
        rebuilt: Vec::new(),
        comparison: None,
        causes: Vec::new(),
        not_in_source: Vec::new(),
        evidence: Vec::new(),
        differences: None,
        attempts: Vec::new(),
        encoders: Vec::new(),
        variations: Vec::new(),
    }
}

/// Records an attempt. The one that says most stands ([`judge::rank`]), the first among equals.
fn keep(result: &mut ArtifactResult, proposal: Proposal, plan: &Plan, tried: Tried) {
    let bytes = plan.to_bytes();
    let digest = Sha256::of(&bytes);
    let verdict = tried.judgement.verdict;
    let comparison = tried.comparison.as_ref();
    let copied = |cause: &Cause| cause.kind == CauseKind::NotAsInSource;
    let all_listed = matches!(comparison, Some(Comparison::Different { unlisted: 0, .. }));
    result.attempts.push(Attempt {
        outcomes: tried.outcomes,
        reason: tried.judgement.reason,
        encoding: lacks_only_encoding(&tried.judgement)
            .then(|| comparison.and_then(Comparison::encoding).cloned())
            .flatten(),
        copies_differ: all_listed && tried.causes.iter().all(copied),
        ..Attempt::new(proposal, digest, verdict)
    });
    // a build that failed for want of its own package says nothing once it has been tried with that
    let had_to_do_without = plan.candidate.own_releases && result.rebuilt.is_empty();
    let rank = judge::rank(verdict, !tried.rebuilt.is_empty());
    let before = judge::rank(result.judgement.verdict, !result.rebuilt.is_empty());
    if result.plan.is_none() || rank < before || had_to_do_without {
        result.judgement = tried.judgement;
        result.rebuilt = tried.rebuilt;
        result.comparison = tried.comparison;
        result.causes = tried.causes.iter().map(ToString::to_string).collect();
        result.not_in_source = not_in_source(&tried.causes);
        result.differences = tried.differences;
        result.plan = Some(digest);
        result.tree_sha256 = plan.source.tree_sha256;
        result.plan_bytes = bytes.len() as u64;
    }
}

/// Whether a judgement leaves room for another encoding of the same content: where that was built, if with
/// things copied from the published file, which a verdict on the same bytes can name. What was prebuilt
/// has none: encoded anew, it would not be known as such any more.
fn lacks_only_encoding(judgement: &Judgement) -> bool {
    judgement.verdict == Verdict::Equivalent
        || judgement.reason == Some(Reason::InputsChosenByArtifact)
}

/// Members that the published file has and neither the source nor our build, as they are in the archive.
fn not_in_source(causes: &[Cause]) -> Vec<String> {
    let of_kind = |cause: &&Cause| cause.kind == CauseKind::NotInSource;
    let members = causes.iter().filter(of_kind);
    members.map(|cause| cause.member.clone()).collect()
}

/// `Evidence -> Candidate`: pure, but for a plan that was given.
fn next(task: &Task, recipe: &str, situation: &Situation<'_>) -> Next {
    match &task.plan {
        None => recipe::next(situation, recipe),
        Some(plan) if situation.attempts.is_empty() => {
            let why = "the plan that was given";
            Next::Try(Proposal::new(plan.candidate.clone(), "as planned", why))
        }
        Some(_) => Next::Enough,
    }
}

fn recipe_name(task: &Task, resolved: &Resolved, published: &Published) -> Result<String, Trouble> {
    if let Some(plan) = &task.plan {
        return Ok(plan.candidate.recipe.clone());
    }
    if let Some(recipe) = &task.recipe {
        return Ok(recipe.clone());
    }
    let package = resolved.tree.path().join(TREE).join(&task.hints.subdir);
    // only whether it is there: what it says is read in a child
    let in_tree = |name: &str| {
        let found = std::fs::symlink_metadata(package.join(name));
        found.is_ok_and(|found| found.is_file())
    };
    recipe::pick(published.purl.as_deref(), &task.hints, in_tree)
        .map(str::to_owned)
        .ok_or_else(|| {
            Trouble::refused(
                "no-recipe",
                anyhow!(
                    "no recipe fits {}; name one, or give build steps and outputs",
                    published.file_name
                ),
            )
        })
}

/// The programs whose versions a plan of this task may pin.
fn wanted_tools(task: &Task, recipe: &str, attempts: &[Attempt]) -> Vec<String> {
    let mut tools = task.hints.tools.clone();
    if task.hints.steps.is_empty() {
        tools.extend(recipe::tools(recipe).iter().map(|&tool| tool.to_owned()));
    }
    if attempts.iter().any(|attempt| attempt.encoding.is_some()) {
        tools.extend(encoding::TOOLS.map(str::to_owned));
    }
    if let Some(plan) = &task.plan {
        let pinned = plan.candidate.environment.tools();
        tools.extend(pinned.iter().map(|tool| tool.name.clone()));
    }
    tools.sort();
    tools.dedup();
    tools
}

fn child_fault(error: impl std::error::Error + Send + Sync + 'static) -> Trouble {
    Trouble::fault("child", anyhow::Error::new(error))
}

/// Runs blocking work on a thread that lives as long as the work does (a child dies with the thread
/// that started it).
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Trouble::fault(
            "bug",
            anyhow::Error::new(error).context("a worker thread ended"),
        )
    })
}

#[cfg(test)]
mod tests {
    use countersign_attest::origin::AssistKind;

    use super::*;

    #[test]
    fn what_was_prebuilt_is_not_encoded_anew() {
        for (judgement, expect) in [
            (judge::because(Reason::InputsChosenByArtifact, None), true),
            (judge::because(Reason::Prebuilt, None), false),
            (judge::because(Reason::NotComparable, None), false),
            (judge::because(Reason::ContentDiffers, None), false),
            (judge::because(Reason::RebuildsDisagree, None), false),
        ] {
            assert_eq!(lacks_only_encoding(&judgement), expect, "{judgement:?}");
        }
        for (verdict, expect) in [(Verdict::Equivalent, true), (Verdict::Assisted, false)] {
            let judgement = Judgement {
                verdict,
                reason: None,
                assisted_by: vec![AssistKind::OwnRelease],
                detail: None,
            };
            assert_eq!(lacks_only_encoding(&judgement), expect, "{verdict}");
        }
    }
}
