//! The flow (DESIGN section 2), one function per arrow, readable top to bottom.
//!
//! [`run`] is the only loop over candidates and second builds; `daemon` and `rebuild` share it. What
//! is about the release comes back in the findings; what is about us or the caller is a [`Trouble`] and
//! is never signed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use countersign_attest::digest::{Digests, Sha256};
use countersign_attest::origin::AssistKind;
use countersign_attest::verdict::Reason;
use countersign_builder::archive::ReadLimits;
use countersign_builder::child;
use countersign_builder::compare::{Compared, Comparison, Tree, causes};
use countersign_builder::environment::Capabilities;
use countersign_builder::judge::{self, Case, Judgement};
use countersign_builder::outcome::{Ended, Outcome};
use countersign_builder::plan::{Candidate, Network, Plan, PlanSource, SCHEMA, SourceForm};
use countersign_builder::recipe::encoding::{self, Trial, TrialResult};
use countersign_builder::recipe::{self, Attempt, Evidence, InspectRequest, Next, Situation};
use countersign_builder::release::{Published, Release};
use countersign_builder::sandbox::Profile;
use countersign_builder::sandbox::variation::Explored;
use countersign_builder::tree;
use tokio::sync::OnceCell;

use crate::crash;
use crate::trouble::Trouble;
use crate::watch::{WatchError, signature, tags};
use crate::workshop::{Step, Workshop};

mod environment;
pub(crate) mod facts;
pub(crate) mod issue;
mod record;
pub(crate) mod replay;
mod source;
pub(crate) mod source_evidence;
mod values;
mod vary;

use replay::{RebuiltFile, Replay};
pub(crate) use values::{ArtifactResult, Findings, Resolved, Task};

/// Longest time for a parsing child.
const PARSE_TIME: Duration = Duration::from_secs(600);
/// The folder of the tree in its scratch folder.
const TREE: &str = "tree";

/// Takes a task all the way to its findings.
///
/// # Errors
/// A fault or a refusal, never something about the release.
pub(crate) async fn run(workshop: &Workshop, task: &Task) -> Result<Findings, Trouble> {
    let mut resolved = resolve(workshop, task).await?;
    let published = publish(workshop, task, &mut resolved).await?;
    let known_published: Vec<Sha256> = published.iter().map(|p| p.sha256).collect();
    let mut bench = Bench {
        published: published.clone(),
        ..Bench::default()
    };
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
    /// What inspection found, in the order of the artifacts.
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
    let recipe = recipe_name(task, &result.published)?;
    let evidence = inspect(workshop, task, &recipe, resolved, &result.published).await?;
    loop {
        let tools = wanted_tools(task, &recipe, &result.attempts);
        let capabilities = workshop.capabilities(&tools).await?;
        let situation = Situation {
            release: &resolved.release,
            published: &result.published,
            evidence: &evidence,
            siblings: &bench.inspected,
            source_incomplete: !resolved.missing.is_empty(),
            capabilities: &capabilities,
            hints: &task.hints,
            attempts: &result.attempts,
        };
        let mut candidate = match next(task, &recipe, &situation) {
            Next::Try(candidate) => *candidate,
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
        candidate.environment = match environment::settle(workshop, candidate.environment).await? {
            Ok(settled) => settled,
            Err(why) => {
                if result.attempts.is_empty() {
                    let reason = Reason::ToolchainUnavailable;
                    result.judgement = judge::because(reason, Some(why));
                }
                break;
            }
        };
        source::prepare(workshop, resolved, candidate.source_form).await?;
        let draft = plan(task, resolved, candidate)?;
        let plan = pin_inputs(
            workshop,
            task,
            resolved,
            draft,
            &result.published,
            &capabilities,
            bench,
        )
        .await?;
        let replays = replay_twice(workshop, resolved, &plan, &capabilities, bench).await?;
        let tried =
            judge_replays(workshop, resolved, &plan, replays, &result.published, alone).await?;
        keep(&mut result, &plan, tried);
    }
    result.findings = source_evidence::findings(
        resolved,
        &resolved.signature,
        &result.published,
        &evidence,
        result.comparison.as_ref(),
    );
    result.decided_on = workshop.now();
    bench.inspected.push(evidence);
    Ok(result)
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
        differences: None,
        attempts: Vec::new(),
        encoders: Vec::new(),
        variations: Vec::new(),
    }
}

/// Records an attempt. The best verdict stands, the first among equals.
fn keep(result: &mut ArtifactResult, plan: &Plan, tried: Tried) {
    let bytes = plan.to_bytes();
    let digest = Sha256::of(&bytes);
    let verdict = tried.judgement.verdict;
    result.attempts.push(Attempt {
        candidate: plan.candidate.clone(),
        plan: digest,
        outcomes: tried.outcomes,
        verdict,
        encoding: tried
            .comparison
            .as_ref()
            .and_then(Comparison::encoding)
            .cloned(),
    });
    // a build that failed for want of its own package says nothing once it has been tried with that
    let had_to_do_without = plan.candidate.own_releases
        && result.judgement.verdict == countersign_attest::verdict::Verdict::BuildFailed;
    if result.plan.is_none() || verdict < result.judgement.verdict || had_to_do_without {
        result.judgement = tried.judgement;
        result.rebuilt = tried.rebuilt;
        result.comparison = tried.comparison;
        result.causes = tried.causes;
        result.differences = tried.differences;
        result.plan = Some(digest);
        result.tree_sha256 = plan.source.tree_sha256;
        result.plan_bytes = bytes.len() as u64;
    }
}

/// `SeenTag -> Release`: fetches the tag in a child and exports its tree.
async fn resolve(workshop: &Workshop, task: &Task) -> Result<Resolved, Trouble> {
    workshop.progress(Step::Fetching { tag: &task.tag });
    let mirror = workshop.mirror(task.location.source_uri());
    let fetched = workshop
        .repositories()
        .fetch(&task.location, &task.tag, task.expected, &mirror)
        .await
        .map_err(WatchError::into_trouble)?;
    let tree = workshop.scratch("source-")?;
    let folder = tree.path().join(TREE);
    let exported = workshop
        .repositories()
        .export(&fetched, &folder, false)
        .await
        .map_err(WatchError::into_trouble)?;
    let opened = open_folder(&folder)?;
    let digest = blocking(move || tree::digest(opened.as_fd()))
        .await?
        .map_err(|error| Trouble::fault("source-tree", anyhow::Error::new(error)))?;
    let signature = signature::verify(exported.signature.as_ref(), &task.tag_keys).await?;
    crash::point("resolved");
    let mut missing = exported.submodules;
    missing.extend(exported.lfs_pointers);
    let release = Release {
        source_uri: task.location.source_uri().to_owned(),
        tag: task.tag.clone(),
        version: String::new(), // known once a published version matches
        tag_object: exported.tag_object,
        commit: exported.commit,
        tree: exported.tree,
        commit_time: exported.commit_time,
    };
    Ok(Resolved {
        release,
        tree,
        digest,
        signature,
        missing,
        fetched,
        live: task.live.clone(),
        with_git: OnceCell::new(),
    })
}

/// `Release -> [Published]`: what was published under the version that the tag spells.
async fn publish(
    workshop: &Workshop,
    task: &Task,
    resolved: &mut Resolved,
) -> Result<Vec<Published>, Trouble> {
    workshop.progress(Step::Downloading);
    let versions = tags::versions_of(&task.tag, task.package.as_deref());
    let mut all: Vec<Published> = Vec::new();
    for source in &task.published {
        let found = workshop.published(source, &task.tag, &versions).await?;
        resolved.release.version = found.version;
        all.extend(found.artifacts);
    }
    if all.is_empty() {
        return Err(Trouble::refused(
            "nothing-published",
            anyhow!("nothing was published for {}", task.tag),
        ));
    }
    Ok(all)
}

/// `[Published] -> Evidence`: reads tree and artifact in a parsing child. Nothing is read where a plan
/// was given: it is replayed as it is.
async fn inspect(
    workshop: &Workshop,
    task: &Task,
    recipe: &str,
    resolved: &Resolved,
    published: &Published,
) -> Result<Evidence, Trouble> {
    if task.plan.is_some() {
        return Ok(Evidence::Generic);
    }
    let request = InspectRequest {
        recipe: recipe.to_owned(),
        subdir: task.hints.subdir.clone(),
        limits: ReadLimits::default(),
    };
    let artifact = workshop.stored(published)?;
    let tree = source::open(resolved, SourceForm::Tree)?;
    let binary = workshop.binary().to_owned();
    blocking(move || {
        child::inspect(
            &binary,
            &request,
            tree.as_fd(),
            artifact.as_ref(),
            PARSE_TIME,
        )
    })
    .await?
    .map_err(child_fault)
}

/// `Evidence -> Candidate`: pure, but for a plan that was given.
fn next(task: &Task, recipe: &str, situation: &Situation<'_>) -> Next {
    match &task.plan {
        None => recipe::next(situation, recipe),
        Some(plan) if situation.attempts.is_empty() => Next::Try(Box::new(plan.candidate.clone())),
        Some(_) => Next::Enough,
    }
}

/// Pins what the build may fetch: by a record run, or from a given plan. With `network: none` there
/// is nothing.
async fn pin_inputs(
    workshop: &Workshop,
    task: &Task,
    resolved: &Resolved,
    mut plan: Plan,
    artifact: &Published,
    capabilities: &Capabilities,
    bench: &mut Bench,
) -> Result<Plan, Trouble> {
    match plan.candidate.network {
        Network::None => return Ok(plan),
        Network::Mirror => {}
    }
    let insides = || record::insides(workshop, &bench.published);
    let insides = bench.insides.get_or_try_init(insides).await?;
    let own = plan.candidate.own_releases;
    let under_test = record::under_test(&bench.published, insides, artifact, own);
    if task.plan.is_some() {
        record::check_origins(&plan, artifact)?;
        record::gather(workshop, &plan, under_test).await?;
        return Ok(plan);
    }
    let draft = Sha256::of(&plan.to_bytes());
    let key = (record::package(artifact), draft);
    if let Some(record) = bench.records.get(&key) {
        record.pin(&mut plan);
        return Ok(plan);
    }
    workshop.progress(Step::Recording);
    let record = record::record(
        workshop,
        resolved,
        &plan,
        draft,
        artifact,
        under_test,
        capabilities,
    )
    .await?;
    record.pin(&mut plan);
    bench.records.insert(key, record);
    Ok(plan)
}

/// `Candidate -> Plan`: pins the source. Inputs come with [`pin_inputs`].
fn plan(task: &Task, resolved: &Resolved, candidate: Candidate) -> Result<Plan, Trouble> {
    let release = &resolved.release;
    let plan = Plan {
        schema: SCHEMA.to_owned(),
        source: PlanSource {
            uri: release.source_uri.clone(),
            reference: format!("refs/tags/{}", release.tag),
            commit: release.commit,
            tree_sha256: source::digest(resolved, candidate.source_form)?,
            epoch: release.commit_time,
        },
        candidate,
        inputs: Vec::new(),
    };
    plan.candidate
        .check()
        .map_err(|error| Trouble::refused("plan", anyhow::Error::new(error)))?;
    match &task.plan {
        Some(given) if given.source != plan.source => Err(Trouble::refused(
            "plan-source",
            anyhow!(
                "the plan is for commit {} of {}, while {} of {} is commit {}",
                given.source.commit,
                given.source.uri,
                release.tag,
                release.source_uri,
                release.commit
            ),
        )),
        Some(given) => Ok(given.clone()),
        None => Ok(plan),
    }
}

/// `Plan -> Outcome`, twice: the second time only where the first came to an end that it can confirm.
/// Where another artifact's candidate came to the same plan, its replays stand.
async fn replay_twice<'a>(
    workshop: &Workshop,
    resolved: &Resolved,
    plan: &Plan,
    capabilities: &Capabilities,
    bench: &'a mut Bench,
) -> Result<&'a [Replay], Trouble> {
    let digest = Sha256::of(&plan.to_bytes());
    let vacant = match bench.replays.entry(digest) {
        Entry::Occupied(known) => return Ok(known.into_mut()),
        Entry::Vacant(vacant) => vacant,
    };
    let mut replays = Vec::new();
    let settings = &plan.candidate.settings;
    let profiles = [Profile::first().with(settings), Profile::second(settings)];
    for (run, profile) in profiles.into_iter().enumerate() {
        workshop.progress(Step::Building { run });
        let replay =
            replay::replay(workshop, resolved, plan, digest, profile, capabilities).await?;
        let completed = replay.outcome.ended == Ended::Completed;
        replays.push(replay);
        if !completed {
            break;
        }
    }
    bench.plans.insert(digest, plan.clone());
    Ok(vacant.insert(replays))
}

/// What one plan came to for one artifact.
struct Tried {
    judgement: Judgement,
    rebuilt: Vec<RebuiltFile>,
    comparison: Option<Comparison>,
    causes: Vec<String>,
    differences: Option<Tree>,
    outcomes: Vec<Outcome>,
}

/// `Outcome -> Comparison -> Verdict` for one artifact.
async fn judge_replays(
    workshop: &Workshop,
    resolved: &Resolved,
    plan: &Plan,
    replays: &[Replay],
    published: &Published,
    alone: bool,
) -> Result<Tried, Trouble> {
    let rebuilt: Vec<RebuiltFile> = replays
        .iter()
        .enumerate()
        .filter_map(|(run, replay)| replay.output_for(run, &published.file_name, alone))
        .collect();
    let compared = match rebuilt.first() {
        Some(first) if first.digests.sha256 != published.sha256 => {
            compare(workshop, published, first).await?
        }
        _ => None,
    };
    let (comparison, differences) = compared.map_or((None, None), |compared| {
        (Some(compared.comparison), compared.tree)
    });
    let outcomes: Vec<Outcome> = replays.iter().map(|r| r.outcome.clone()).collect();
    let digests: Vec<Digests> = rebuilt.iter().map(|file| file.digests).collect();
    let kinds: Vec<AssistKind> = plan.assists().iter().map(|assist| assist.kind).collect();
    let judgement = judge::judge(&Case {
        published,
        plan,
        outcomes: &outcomes,
        rebuilt: &digests,
        comparison: comparison.as_ref(),
        prebuilt: digests.iter().any(|d| {
            let fetched = plan.inputs.iter().any(|input| input.sha256 == d.sha256);
            fetched || resolved.digest.files.binary_search(&d.sha256).is_ok()
        }),
        assisted_by: &kinds,
    })
    .map_err(|error| Trouble::fault("bug", error))?;
    Ok(Tried {
        judgement,
        rebuilt,
        causes: comparison.as_ref().map_or_else(Vec::new, |comparison| {
            let list = causes::causes(comparison, &resolved.digest.files);
            list.iter().map(ToString::to_string).collect()
        }),
        comparison,
        differences,
        outcomes,
    })
}

/// `Outcome -> Comparison`: looks inside both files, in a parsing child, where we have both.
async fn compare(
    workshop: &Workshop,
    published: &Published,
    rebuilt: &RebuiltFile,
) -> Result<Option<Compared>, Trouble> {
    let Some(theirs) = workshop.stored(published)? else {
        return Ok(None); // only a digest is known
    };
    workshop.progress(Step::Comparing);
    let ours = File::open(&rebuilt.path)
        .with_context(|| format!("opening the rebuilt {}", rebuilt.path.display()))
        .map_err(|error| Trouble::fault("scratch", error))?;
    let binary = workshop.binary().to_owned();
    let name = published.file_name.clone();
    blocking(move || {
        child::compare(
            &binary,
            &name,
            &theirs,
            &ours,
            ReadLimits::default(),
            PARSE_TIME,
        )
    })
    .await?
    .map(Some)
    .map_err(child_fault)
}

/// What a comparison found, a line each, for people and for the contract's `causes`: as `weighed`
/// against the source, where that was done.
#[must_use]
pub(crate) fn causes(comparison: &Comparison, weighed: &[String]) -> Vec<String> {
    match comparison {
        Comparison::Equivalent { .. } => Vec::new(),
        Comparison::Different { members, unlisted } => {
            let plain = || {
                let lines = members.iter();
                lines
                    .map(|m| format!("{}: {}", m.what.word(), m.name))
                    .collect()
            };
            let mut lines: Vec<String> = match weighed {
                [] => plain(),
                weighed => weighed.to_vec(),
            };
            if *unlisted > 0 {
                lines.push(format!("and {unlisted} more"));
            }
            lines
        }
        Comparison::NotComparable {
            published_format,
            rebuilt_format,
        } => {
            vec![format!(
                "published is {published_format}, rebuilt is {rebuilt_format}"
            )]
        }
        Comparison::Failed { side, message } => vec![format!("the {side} file: {message}")],
    }
}

/// What the second step came to, a line for each encoder, as [`causes`].
#[must_use]
pub(crate) fn encoders(trials: &[Trial]) -> Vec<String> {
    let line = |trial: &Trial| {
        let levels: Vec<String> = trial.levels.iter().map(u8::to_string).collect();
        let came_to = match &trial.result {
            TrialResult::SameBytes { level } => format!("the published bytes at level {level}"),
            TrialResult::OtherBytes => format!("other bytes at levels {}", levels.join(" ")),
            TrialResult::Failed => "failed".to_owned(),
            TrialResult::NotTried { why } => format!("not tried: {why}"),
        };
        format!("encoder {}: {came_to}", trial.encoder)
    };
    trials.iter().map(line).collect()
}

fn recipe_name(task: &Task, published: &Published) -> Result<String, Trouble> {
    if let Some(plan) = &task.plan {
        return Ok(plan.candidate.recipe.clone());
    }
    if let Some(recipe) = &task.recipe {
        return Ok(recipe.clone());
    }
    recipe::pick(published.purl.as_deref(), &task.hints)
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
    let mut tools: Vec<String> = recipe::tools(recipe)
        .iter()
        .map(|&t| t.to_owned())
        .collect();
    tools.extend(task.hints.tools.iter().cloned());
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

fn open_folder(path: &Path) -> Result<File, Trouble> {
    File::open(path)
        .context("opening the exported source tree")
        .map_err(|error| Trouble::fault("scratch", error))
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
