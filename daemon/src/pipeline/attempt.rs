//! One candidate, from a plan to a verdict: its source and inputs pinned, built twice, compared, judged.
//! Which candidate comes next is not known here.

use std::collections::btree_map::Entry;
use std::fs::File;

use anyhow::{Context as _, anyhow};
use countersign_attest::digest::{Digests, Sha256};
use countersign_attest::origin::AssistKind;
use countersign_attest::verdict::{Reason, Verdict};
use countersign_builder::archive::ReadLimits;
use countersign_builder::child;
use countersign_builder::compare::causes::{self, Cause};
use countersign_builder::compare::{Compared, Comparison, Tree};
use countersign_builder::environment::Capabilities;
use countersign_builder::judge::{self, Case, Judgement};
use countersign_builder::outcome::{Ended, Outcome};
use countersign_builder::plan::{Assist, Candidate, Network, Plan, PlanSource, SCHEMA};
use countersign_builder::release::Published;
use countersign_builder::sandbox::Profile;

use super::replay::{self, RebuiltFile, Replay};
use super::{
    Bench, PARSE_TIME, Resolved, Task, blocking, child_fault, environment, record, source,
};
use crate::trouble::Trouble;
use crate::workshop::{Step, Workshop};

/// `Candidate -> Plan`: pins the source. Inputs come with [`pin_inputs`].
pub(super) fn plan(
    task: &Task,
    resolved: &Resolved,
    candidate: Candidate,
) -> Result<Plan, Trouble> {
    let release = &resolved.release;
    let mut candidate = candidate;
    if let Some(claimed) = resolved.claimed {
        candidate.assists.push(Assist {
            kind: AssistKind::Commit,
            sha256: Sha256::of(claimed.to_string().as_bytes()),
        });
    }
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

/// Pins what the build may fetch: by a record run, or from a given plan. With `network: none` there
/// is nothing.
pub(super) async fn pin_inputs(
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

/// `Plan -> Outcome`, twice: the second time only where the first came to an end that it can confirm.
/// Where another artifact's candidate came to the same plan, its replays stand.
pub(super) async fn replay_twice<'a>(
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
pub(super) struct Tried {
    pub(super) judgement: Judgement,
    pub(super) rebuilt: Vec<RebuiltFile>,
    pub(super) comparison: Option<Comparison>,
    pub(super) causes: Vec<Cause>,
    pub(super) differences: Option<Tree>,
    pub(super) outcomes: Vec<Outcome>,
}

/// `Outcome -> Comparison -> Verdict` for one artifact.
pub(super) async fn judge_replays(
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
    let mut judgement = judge::judge(&Case {
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
    if judgement.verdict == Verdict::Differs {
        let (younger, of) = environment::younger(workshop, plan, published)?;
        let names: Vec<&str> = younger.iter().map(String::as_str).collect();
        let others = differences.as_ref();
        let others = others.and_then(|tree| judge::other_compilers(tree, &names));
        let why = others
            .clone()
            .or_else(|| environment::explanation(&younger, of));
        let parts: Vec<String> = judgement.detail.take().into_iter().chain(why).collect();
        judgement.detail = (!parts.is_empty()).then(|| parts.join("; "));
        if others.is_some() {
            judgement = judge::because(Reason::ToolchainUnavailable, judgement.detail);
        }
    }
    Ok(Tried {
        judgement,
        rebuilt,
        causes: comparison.as_ref().map_or_else(Vec::new, |comparison| {
            causes::causes(comparison, &resolved.digest.files)
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
