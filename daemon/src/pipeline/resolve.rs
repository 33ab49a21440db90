//! What a task starts from: the tag's tree, what was published for it, and what a recipe reads off the two.
//! Nothing is built here, and nothing decided.

use std::os::fd::AsFd as _;

use anyhow::anyhow;
use countersign_attest::digest::GitOid;
use countersign_builder::archive::ReadLimits;
use countersign_builder::child;
use countersign_builder::plan::SourceForm;
use countersign_builder::recipe::{Evidence, InspectRequest};
use countersign_builder::release::{Published, Release};
use tokio::sync::OnceCell;

use super::{PARSE_TIME, Resolved, TREE, Task, blocking, child_fault, source};
use crate::crash;
use crate::publish::Found;
use crate::trouble::Trouble;
use crate::watch::git::Fetched;
use crate::watch::{WatchError, signature, tags};
use crate::workshop::{Step, Workshop};

/// `SeenTag -> Release`: fetches the tag in a child and exports its tree.
pub(super) async fn resolve(workshop: &Workshop, task: &Task) -> Result<Resolved, Trouble> {
    workshop.progress(Step::Fetching { tag: &task.tag });
    let mirror = workshop.mirror(task.location.source_uri());
    let fetched = workshop
        .repositories()
        .fetch(&task.location, &task.tag, task.expected, &mirror)
        .await
        .map_err(WatchError::into_trouble)?;
    let resolved = exported(workshop, task, fetched).await?;
    crash::point("resolved");
    Ok(resolved)
}

/// The same for the commit that an artifact claims, where it is another than the tag's, and one of the same
/// repository's own history (ATTESTATION section 2). Whatever is built of it is `assisted` at best.
pub(super) async fn claimed(
    workshop: &Workshop,
    task: &Task,
    resolved: &Resolved,
    evidence: &Evidence,
) -> Result<Option<Resolved>, Trouble> {
    let (Some(claimed), _) = evidence.says_of_source() else {
        return Ok(None);
    };
    let Ok(commit) = claimed.parse::<GitOid>() else {
        return Ok(None); // a finding, and no commit
    };
    if commit == resolved.release.commit || task.plan.is_some() {
        return Ok(None);
    }
    let repositories = workshop.repositories();
    let fetched = repositories.claimed(&resolved.fetched, commit).await;
    let Some(fetched) = fetched.map_err(WatchError::into_trouble)? else {
        return Ok(None);
    };
    let mut other = exported(workshop, task, fetched).await?;
    other.release.version.clone_from(&resolved.release.version);
    other.release.tag_object = resolved.release.tag_object;
    other.claimed = Some(commit);
    Ok(Some(other))
}

/// Exports the tree of what was fetched.
async fn exported(workshop: &Workshop, task: &Task, fetched: Fetched) -> Result<Resolved, Trouble> {
    let tree = workshop.scratch("source-")?;
    let folder = tree.path().join(TREE);
    let exported = workshop
        .repositories()
        .export(&fetched, &folder, false)
        .await
        .map_err(WatchError::into_trouble)?;
    let digest = source::digested(&folder).await?;
    let signature = signature::verify(exported.signature.as_ref(), &task.tag_keys).await?;
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
        project: exported.project,
        claimed: None,
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

/// `Release -> [Published]`: what was published under the version that the tag spells, and what
/// registries have beside it, each file once.
pub(super) async fn publish(
    workshop: &Workshop,
    task: &Task,
    resolved: &mut Resolved,
) -> Result<Found, Trouble> {
    workshop.progress(Step::Downloading);
    let versions = tags::versions_of(&task.tag, task.package.as_deref());
    let mut all = Found {
        version: String::new(),
        artifacts: Vec::new(),
        companions: Vec::new(),
    };
    for source in &task.published {
        let found = workshop.published(source, &task.tag, &versions).await?;
        resolved.release.version.clone_from(&found.version);
        all.version = found.version;
        all.artifacts.extend(found.artifacts);
        for companion in found.companions {
            if all
                .companions
                .iter()
                .all(|known| known.sha256 != companion.sha256)
            {
                all.companions.push(companion);
            }
        }
    }
    if all.artifacts.is_empty() {
        return Err(Trouble::refused(
            "nothing-published",
            anyhow!("nothing was published for {}", task.tag),
        ));
    }
    Ok(all)
}

/// `[Published] -> Evidence`: reads tree and artifact in a parsing child. Nothing is read where a plan
/// was given, which is replayed as it is, or steps, which say all that there is to say.
pub(super) async fn inspect(
    workshop: &Workshop,
    task: &Task,
    recipe: &str,
    resolved: &Resolved,
    published: &Published,
) -> Result<Evidence, Trouble> {
    if task.plan.is_some() || !task.hints.steps.is_empty() {
        return Ok(Evidence::Generic);
    }
    let request = InspectRequest {
        recipe: recipe.to_owned(),
        subdir: task.hints.subdir.clone(),
        file_name: published.file_name.clone(),
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
