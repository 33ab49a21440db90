//! `countersign doctor`: what this machine can do, found by doing it, with the remedy for what is
//! missing.

use std::collections::BTreeMap;
use std::path::Path;

use countersign_builder::recipe;

use super::{Exit, Format, output, wait_for};
use crate::config::{Config, HostLimits};
use crate::http::{Http, HttpOptions};
use crate::publish::Endpoints;
use crate::trouble::Trouble;
use crate::workshop::Workshop;

pub(super) fn run(path: &Path, format: Format) -> Result<Exit, Trouble> {
    let toolchains = if path.exists() {
        Config::load(path).map_err(Trouble::refusal)?.toolchains
    } else {
        Vec::new()
    };
    let folder = tempfile::tempdir().map_err(|error| Trouble::fault("disk", error))?;
    let workshop = Workshop::open(
        folder.path(),
        Http::new(HttpOptions::default()).map_err(|e| Trouble::fault("http", e))?,
        Endpoints::default(),
        &HostLimits::default(),
        &toolchains,
        None,
        Box::new(|_| {}),
    )?;
    let tools = tools();
    let names: Vec<String> = tools.keys().map(|tool| (*tool).to_owned()).collect();
    let mut found = wait_for(workshop.probe(&names))?;
    if found.can_build() {
        found.alternatives = wait_for(workshop.alternatives(&names))?;
    }
    match format {
        Format::Json => output::json(&found)?,
        Format::Text => {
            let mut text = format!("machine  {}\n", found.architecture);
            let profile = countersign_builder::sandbox::PROFILE;
            let ids = serde_json::to_value(found.id_mode).unwrap_or_default();
            let ids = ids.as_str().unwrap_or("no sandbox works here");
            text.push_str(&format!("sandbox  {profile}, ids: {ids}\n"));
            for check in &found.checks {
                match &check.problem {
                    None => text.push_str(&format!("ok       {}\n", check.name)),
                    Some(problem) => {
                        let word = if check.required { "MISSING" } else { "absent " };
                        text.push_str(&format!("{word}  {}: {problem}\n", check.name));
                        if let Some(remedy) = &check.remedy {
                            text.push_str(&format!("         remedy: {remedy}\n"));
                        }
                    }
                }
            }
            for tool in &found.tools {
                text.push_str(&format!("tool     {} {}\n", tool.name, tool.version));
            }
            for rung in &found.alternatives {
                let tools: Vec<String> = rung
                    .iter()
                    .map(|tool| format!("{} {}", tool.name, tool.version))
                    .collect();
                text.push_str(&format!("instead  {}\n", tools.join(", ")));
            }
            let here = |name: &str| {
                let rungs = found.alternatives.iter().flatten();
                found
                    .tools
                    .iter()
                    .chain(rungs)
                    .any(|tool| tool.name == name)
            };
            for (tool, recipes) in tools.iter().filter(|(name, _)| !here(name)) {
                let whose = recipes.join(", ");
                text.push_str(&format!(
                    "absent   {tool} in the sandbox's PATH, for {whose}\n"
                ));
            }
            output::text(&text)?;
        }
    }
    Ok(if found.can_build() {
        Exit::Good
    } else {
        Exit::Fault
    })
}

/// Programs that builds run, and for which recipe each is.
fn tools() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut tools: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for recipe in recipe::RECIPES {
        for tool in recipe::tools(recipe.name) {
            tools.entry(tool).or_default().push(recipe.name);
        }
    }
    for tool in ["cc", "make"] {
        tools.entry(tool).or_default().push("what compiles");
    }
    tools
}
