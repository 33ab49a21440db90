//! The steps: fetch tools, install what is locked, build, pack.
//!
//! Nothing of a dependency runs when it is installed, unless nothing else came to a package. What
//! runs of the package itself are the scripts that its author runs to publish.

use std::collections::BTreeMap;

use countersign_attest::origin::Origin;
use countersign_attest::verdict::Reason;

use super::super::{Next, Situation, pin_tools};
use super::lock::Manager;
use super::published::{Packer, PublishedManifest};
use super::tools::{self, Toolchain};
use super::{NpmEvidence, RECIPE, identity, no_recipe};
use crate::mirror;
use crate::plan::{Candidate, EnvironmentSpec, Network, Settings, SourceForm, Step, Valued};

/// Runs one command of a build.
const RUN: &str = include_str!("run.js");

/// Settings of npm that keep it from the home folder and from chatting. They stand above a checkout's
/// own `.npmrc`, which could also make npm pack elsewhere or not at all.
const VARIABLES: [(&str, &str); 8] = [
    ("npm_config_audit", "false"),
    ("npm_config_cache", "/tmp/npm-cache"),
    ("npm_config_dry_run", "false"),
    ("npm_config_fund", "false"),
    ("npm_config_global", "false"),
    ("npm_config_loglevel", "warn"),
    ("npm_config_pack_destination", "."),
    ("npm_config_update_notifier", "false"),
];
/// Where nothing of the package runs and nothing is fetched.
const ALONE: [(&str, &str); 2] = [
    ("npm_config_ignore_scripts", "true"),
    ("npm_config_offline", "true"),
];
/// Where package managers fetch from the mirror, and scripts are told that nobody is there.
const BUILDING: [(&str, &str); 3] = [
    ("CI", "true"),
    ("HUSKY", "0"),
    ("npm_config_registry", mirror::NPM_REGISTRY),
];
/// What pnpm needs beside that.
const PNPM: [(&str, &str); 2] = [
    ("npm_config_manage_package_manager_versions", "false"),
    ("npm_config_store_dir", "/build/home/pnpm-store"),
];
/// What yarn needs beside that, from version 2 on.
const YARN: [(&str, &str); 5] = [
    ("YARN_ENABLE_SCRIPTS", "false"),
    ("YARN_ENABLE_TELEMETRY", "0"),
    ("YARN_GLOBAL_FOLDER", "/tmp/yarn"),
    ("YARN_NPM_REGISTRY_SERVER", mirror::NPM_REGISTRY),
    ("YARN_UNSAFE_HTTP_WHITELIST", mirror::HOST),
];

/// What yarn needs from version 4 on, whose lock files have format 8; older ones refuse to know it.
const YARN_4: [(&str, &str); 1] = [("YARN_ENABLE_HARDENED_MODE", "0")];

/// One way to come to the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) toolchain: Toolchain,
    pub(super) build: Build,
    /// Whether the lock file is obeyed to the letter.
    pub(super) frozen: bool,
    /// Whether scripts of dependencies run when they are installed.
    pub(super) install_scripts: bool,
    /// Whether the lock's own package manager packs.
    pub(super) packs_itself: bool,
}

/// What is run of the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Build {
    /// Nothing.
    Nothing,
    /// Its build, then what packing runs.
    Pack,
    /// What publishing runs.
    Publish,
}

pub(super) fn make(
    situation: &Situation<'_>,
    evidence: &NpmEvidence,
    way: Way,
) -> Result<Candidate, Next> {
    let version = identity::version_to_set(situation, evidence).unwrap_or(&evidence.version);
    let output = identity::packed_name(&evidence.name, version)
        .ok_or_else(|| no_recipe(format!("npm does not pack a package {:?}", evidence.name)))?;
    let steps = steps(situation, evidence, way, &output)?;
    let alone = !steps.iter().any(fetches);
    let of_manager = match evidence.lock.as_ref().map(|lock| lock.manager) {
        Some(Manager::Pnpm) => PNPM.as_slice(),
        Some(Manager::YarnBerry) => YARN.as_slice(),
        Some(Manager::Npm | Manager::YarnClassic) | None => &[],
    };
    let format = evidence
        .lock
        .as_ref()
        .and_then(|lock| lock.format.parse().ok());
    let is_berry = evidence
        .lock
        .as_ref()
        .is_some_and(|l| l.manager == Manager::YarnBerry);
    let of_version = match format {
        Some(8_u32..) if is_berry => YARN_4.as_slice(),
        Some(_) | None => &[],
    };
    let more = match way.build {
        Build::Nothing if alone => [ALONE.as_slice(), &[], &[]],
        Build::Nothing | Build::Pack | Build::Publish => {
            [BUILDING.as_slice(), of_manager, of_version]
        }
    };
    let settings = VARIABLES.iter().chain(more.into_iter().flatten());
    let variables: BTreeMap<String, Valued<String>> = settings
        .map(|(name, value)| ((*name).to_owned(), ours(value)))
        .collect();
    let release = situation.release;
    let candidate = Candidate {
        recipe: RECIPE.name.to_owned(),
        environment: EnvironmentSpec::Host {
            tools: pin_tools(["node", "npm"], situation.capabilities)?,
        },
        source_form: SourceForm::Tree,
        subdir: evidence.folder.clone(),
        steps,
        variables,
        outputs: vec![ours(&output)],
        limits: situation.hints.limits,
        network: if alone {
            Network::None
        } else {
            Network::Mirror
        },
        as_of: (!alone).then(|| {
            situation
                .published
                .published_on
                .unwrap_or(release.commit_time)
        }),
        incomplete: incomplete(situation, evidence, way),
        missing: unknown_manager(evidence, way).map(|named| {
            format!("the tree is built with {named}, which this recipe does not run: it was built without")
        }),
        own_releases: false, // the caller says it where it has to
        assists: Vec::new(),
        encoding: None,
        settings: Settings {
            any_path: way.build == Build::Nothing, // a build may write down where it was
            ..Settings::default()
        },
    };
    match candidate.check() {
        Ok(()) => Ok(candidate),
        Err(error) => Err(no_recipe(format!("the package makes {error}"))),
    }
}

fn steps(
    situation: &Situation<'_>,
    evidence: &NpmEvidence,
    way: Way,
    output: &str,
) -> Result<Vec<Step>, Next> {
    let packer = match &evidence.published {
        PublishedManifest::Found { packer, .. } => *packer,
        PublishedManifest::NotGiven | PublishedManifest::Unreadable { .. } => Packer::Other,
    };
    let needed = way.build != Build::Nothing || way.packs_itself;
    let lock = evidence.lock.as_ref().filter(|_| needed);
    let release = situation.release;
    let time = situation
        .published
        .published_on
        .unwrap_or(release.commit_time);
    let capabilities = situation.capabilities;
    let declared = super::declared(situation, evidence);
    let pins = tools::pins(way.toolchain, &declared, time, capabilities, lock, packer)?;
    let manager = lock.map_or(Manager::Npm, |lock| lock.manager);
    let mut steps = Vec::new();
    if !pins.is_empty() {
        let mut argv = run("fetch", &[]);
        argv.extend(pins.iter().map(|pin| ours(&pin.url())));
        steps.push(Step { argv });
    }
    if way.build != Build::Nothing && evidence.installs {
        steps.push(install(evidence, manager, way));
    }
    let word = super::lock::word(manager);
    match way.build {
        Build::Nothing => {}
        Build::Pack => steps.extend(build(evidence, manager).map(|(cwd, command)| {
            let mut argv = run("run", &[&cwd]);
            argv.extend(command.iter().map(|argument| ours(argument)));
            Step { argv }
        })),
        Build::Publish => {
            for script in ["prepublish", "prepublishOnly"] {
                if evidence.scripts.contains_key(script) {
                    steps.push(Step {
                        argv: run("run", &[".", word, "run", script]),
                    });
                }
            }
        }
    }
    if let Some(version) = identity::version_to_set(situation, evidence) {
        let command = [
            "npm",
            "version",
            "--no-git-tag-version",
            "--ignore-scripts",
            version,
        ];
        steps.push(Step {
            argv: run("run", &[&["."], command.as_slice()].concat()),
        });
    }
    let scripts = way.build != Build::Nothing;
    let pack = pack(
        if way.packs_itself {
            manager
        } else {
            Manager::Npm
        },
        scripts,
        output,
    );
    if steps.is_empty() {
        let argv = pack.iter().map(|argument| ours(argument)).collect();
        return Ok(vec![Step { argv }]);
    }
    let mut argv = run("run", &["."]);
    argv.extend(pack.iter().map(|argument| ours(argument)));
    steps.push(Step { argv });
    Ok(steps)
}

/// Whether a step asks the mirror.
fn fetches(step: &Step) -> bool {
    let action = step.argv.get(4).map(|action| action.value.as_str());
    matches!(action, Some("fetch" | "install")) || step.argv.iter().any(|a| a.value == "install")
}

/// From the package's folder to the root of the tree.
fn root(evidence: &NpmEvidence) -> String {
    match evidence.folder.as_str() {
        "" => ".".to_owned(),
        folder => vec![".."; folder.split('/').count()].join("/"),
    }
}

fn install(evidence: &NpmEvidence, manager: Manager, way: Way) -> Step {
    let root = root(evidence);
    let mut command: Vec<&str> = match (manager, &evidence.lock) {
        (Manager::Npm, Some(_)) if way.frozen => vec!["npm", "ci"],
        (Manager::Npm, Some(_)) => vec!["npm", "install"],
        (Manager::Npm, None) => vec!["npm", "install", "--no-package-lock"],
        (Manager::Pnpm, _) => vec!["pnpm", "install"],
        (Manager::YarnClassic, _) => vec![
            "yarn",
            "install",
            "--non-interactive",
            "--ignore-engines",
            "--registry",
            mirror::NPM_REGISTRY,
        ],
        (Manager::YarnBerry, _) => vec!["yarn", "install"],
    };
    match (manager, way.frozen) {
        (Manager::Npm, _) => {}
        (Manager::Pnpm, true) | (Manager::YarnClassic, true) => command.push("--frozen-lockfile"),
        (Manager::Pnpm, false) => command.push("--no-frozen-lockfile"),
        (Manager::YarnClassic, false) => command.push("--pure-lockfile"),
        (Manager::YarnBerry, true) => command.push("--immutable"),
        (Manager::YarnBerry, false) => command.push("--no-immutable"),
    }
    match (manager, way.install_scripts) {
        (Manager::YarnBerry, true) => command
            .splice(0..0, ["env", "YARN_ENABLE_SCRIPTS=true"])
            .for_each(drop),
        (Manager::YarnBerry, false) | (_, true) => {}
        (_, false) => command.push("--ignore-scripts"),
    }
    let lock = evidence
        .lock
        .as_ref()
        .map(|lock| format!("{root}/{}", lock.file));
    let mut argv = match &lock {
        Some(lock) => run("install", &[lock, &root]),
        None => run("run", &[&root]),
    };
    argv.extend(command.into_iter().map(ours));
    Step { argv }
}

/// The build and the folder in which it runs; none where packing runs it, or there is none.
fn build(evidence: &NpmEvidence, manager: Manager) -> Option<(String, Vec<String>)> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let own = evidence.scripts.contains_key("build");
    let packing = ["preprepare", "prepare", "postprepare", "prepack"];
    let built_by_packing = packing
        .iter()
        .filter_map(|name| evidence.scripts.get(*name))
        .any(|script| script.contains("build"));
    if built_by_packing {
        return None;
    }
    let root = root(evidence);
    match (evidence.folder.as_str(), manager) {
        ("", _) if own => Some((root, words(&[super::lock::word(manager), "run", "build"]))),
        ("", _) => None,
        // first what the package needs of its own workspace
        (_, Manager::Pnpm) if own => {
            let filter = format!("{}...", evidence.name);
            let mut command: Vec<String> = words(&["pnpm", "--filter"]);
            command.push(filter);
            command.extend(words(&["run", "build"]));
            Some((root, command))
        }
        (_, _) if evidence.builds_at_root => {
            Some((root, words(&[super::lock::word(manager), "run", "build"])))
        }
        (_, _) if own => Some((
            ".".to_owned(),
            words(&[super::lock::word(manager), "run", "build"]),
        )),
        (_, _) => None,
    }
}

fn pack(manager: Manager, scripts: bool, output: &str) -> Vec<String> {
    let words: &[&str] = match (manager, scripts) {
        (Manager::Npm, true) => &["npm", "pack"],
        (Manager::Npm, false) => &["npm", "pack", "--ignore-scripts"],
        (Manager::Pnpm, true) => &["pnpm", "pack"],
        (Manager::Pnpm, false) => &["pnpm", "pack", "--config.ignore-scripts=true"],
        (Manager::YarnClassic, _) => &["yarn", "pack", "--filename", output],
        (Manager::YarnBerry, _) => &["yarn", "pack", "--out", output],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn run(action: &str, arguments: &[&str]) -> Vec<Valued<String>> {
    let start = ["node", "-e", RUN, "--", action];
    start
        .iter()
        .chain(arguments)
        .map(|argument| ours(argument))
        .collect()
}

fn incomplete(situation: &Situation<'_>, evidence: &NpmEvidence, way: Way) -> Option<Reason> {
    if situation.source_incomplete {
        return Some(Reason::SourceIncomplete);
    }
    match way.build {
        Build::Nothing if evidence.needs_more() => Some(Reason::BuildStepUnsupported),
        Build::Nothing => None,
        Build::Pack | Build::Publish => {
            unknown_manager(evidence, way).map(|_| Reason::BuildStepUnsupported)
        }
    }
}

/// The package manager that a build of this way does without.
fn unknown_manager(evidence: &NpmEvidence, way: Way) -> Option<&str> {
    let named = evidence.unknown_manager.as_deref();
    named.filter(|_| way.build != Build::Nothing)
}

fn ours(value: &str) -> Valued<String> {
    Valued::new(value.to_owned(), Origin::Source)
}
