//! The generic recipe: commands, variables and outputs from the configuration; where there are none, what the
//! tree's build system makes ([`conventions`]).
//!
//! `{version}` and `{tag}` are replaced inside one argument, one value or one output, which is never
//! split or handed to a shell: a tag cannot become a second argument.

use countersign_attest::origin::Origin;
use countersign_attest::verdict::Reason;

use super::{AsOf, Evidence, Next, Proposal, Recipe, Situation, pin_tools};
use crate::plan::{Candidate, EnvironmentSpec, Network, SourceForm, Step, Valued};
use crate::release::Release;

mod archive;
mod conventions;
mod evidence;
mod go;
mod names;
#[cfg(test)]
mod tests;

pub use evidence::{Conventions, Packing, PublishedKind, System};
pub use go::GoModule;

/// See the module.
pub(super) const RECIPE: Recipe = Recipe {
    name: "generic",
    tools: &["cc", "cmake", "autoreconf", "git", "go", "make"],
    takes: |_| false,
    manifest: None,
    inspect: evidence::inspect,
    next,
};

fn next(situation: &Situation<'_>) -> Next {
    if let Evidence::Conventional(found) = situation.evidence
        && situation.hints.steps.is_empty()
    {
        return conventions::next(situation, found);
    }
    if !situation.attempts.is_empty() {
        return Next::Enough;
    }
    let why = "the configuration says how it is built";
    candidate(situation).map_or_else(
        |cannot| cannot,
        |candidate| Next::Try(Proposal::new(candidate, "as configured", why)),
    )
}

fn candidate(situation: &Situation<'_>) -> Result<Candidate, Next> {
    let Situation { release, hints, .. } = situation;
    for (empty, key) in [
        (hints.steps.is_empty(), "steps"),
        (hints.outputs.is_empty(), "outputs"),
    ] {
        if empty {
            return Err(no_recipe(format!(
                "the generic recipe needs `{key}` in the project's configuration"
            )));
        }
    }
    if hints.root.is_some() && !hints.tools.is_empty() {
        let detail = "`tools` are this machine's and `root` has its own: name one of them";
        return Err(no_recipe(detail.to_owned()));
    }
    let tools = pin_tools(
        hints.tools.iter().map(String::as_str),
        situation.capabilities,
    )?;
    let origin = match hints.from_source {
        true => Origin::Source,
        false => Origin::Operator,
    };
    let fill = |text: &String| Valued::new(fill(text, release), origin);
    let outputs: Vec<Valued<String>> = hints.outputs.iter().map(fill).collect();
    for (template, output) in hints.outputs.iter().zip(&outputs) {
        let stars = |text: &str| text.matches('*').count();
        if stars(template) != stars(&output.value) {
            return Err(no_recipe(format!(
                "the tag would put a `*` into the output {template:?}"
            )));
        }
    }
    let candidate = Candidate {
        recipe: RECIPE.name.to_owned(),
        environment: match hints.root {
            Some(sha256) => EnvironmentSpec::Rootfs { sha256 },
            None => EnvironmentSpec::Host { tools },
        },
        source_form: SourceForm::Tree,
        subdir: hints.subdir.clone(),
        steps: hints
            .steps
            .iter()
            .map(|argv| Step {
                argv: argv.iter().map(fill).collect(),
            })
            .collect(),
        variables: hints
            .variables
            .iter()
            .map(|(name, value)| (name.clone(), fill(value)))
            .collect(),
        outputs,
        limits: hints.limits,
        network: hints.network,
        as_of: match (hints.network, hints.as_of) {
            (Network::None, _) => None,
            (Network::Mirror, AsOf::Commit) => Some(release.commit_time),
            (Network::Mirror, AsOf::At(moment)) => Some(moment),
        },
        own_releases: false,
        incomplete: situation
            .source_incomplete
            .then_some(Reason::SourceIncomplete),
        missing: None,
        assists: Vec::new(),
        encoding: None,
        settings: hints.settings.settings(fill),
    };
    match candidate.check() {
        Ok(()) => Ok(candidate),
        Err(error) => Err(no_recipe(format!("the configuration makes {error}"))),
    }
}

const fn no_recipe(detail: String) -> Next {
    Next::Cannot {
        reason: Reason::NoRecipe,
        detail,
    }
}

/// Replaces `{version}` and `{tag}` in one pass: what a tag spells is never replaced again.
fn fill(template: &str, release: &Release) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix("version}") {
            text.push_str(&release.version);
            rest = after;
        } else if let Some(after) = after.strip_prefix("tag}") {
            text.push_str(&release.tag);
            rest = after;
        } else {
            text.push('{');
            rest = after;
        }
    }
    text.push_str(rest);
    text
}
