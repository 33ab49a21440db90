//! What a project says of itself in its tree, under what the operator says of it: the operator's entry
//! wins, field by field, and what it does not leave open is not looked at.

use anyhow::anyhow;

use super::Task;
use crate::config::project::Project;
use crate::trouble::Trouble;

/// The task with what its operator left open filled in from the project's own file.
///
/// # Errors
/// When the operator left open what was published, and the project does not say it either.
pub(super) fn complete(
    task: &Task,
    project: Option<&Result<Project, String>>,
) -> Result<Task, Trouble> {
    let mut task = task.clone();
    let open = task.published.is_empty();
    let project = match project {
        Some(Ok(project)) => project,
        _ if !open => return Ok(task),
        Some(Err(problem)) => {
            let error = anyhow!("the project's countersign.yaml: {problem}");
            return Err(Trouble::refused("project-file", error));
        }
        None => {
            let message = "nobody says what was published: name it in the entry for the project, or have \
                           the project commit a countersign.yaml (countersign init --project)";
            return Err(Trouble::refused("project-file", anyhow!(message)));
        }
    };
    if open {
        let source = task.location.source_uri();
        task.published = project.published(source).map_err(|error| {
            let error = anyhow!(error).context("the project's countersign.yaml");
            Trouble::refused("project-file", error)
        })?;
    }
    if task.package.is_none() {
        task.package.clone_from(&project.package);
    }
    let said = task.recipe.is_some()
        || task.plan.is_some()
        || !task.hints.steps.is_empty()
        || !task.hints.outputs.is_empty();
    if !said {
        let build = project.build.clone();
        task.recipe.clone_from(&project.recipe);
        if task.hints.subdir.is_empty() {
            task.hints.subdir = build.subdir;
        }
        task.hints.steps = build.steps;
        task.hints.variables = build.variables;
        task.hints.outputs = build.outputs;
        task.hints.tools = build.tools;
        task.hints.from_source = true;
    }
    Ok(task)
}
