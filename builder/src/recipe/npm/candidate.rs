//! The steps: fetch tools, install what is locked, build, pack.
//!
//! Nothing of a dependency runs when it is installed, unless nothing else came to a package. What
//! runs of the package itself are the scripts that its author runs to publish.

use std::collections::BTreeMap;

use countersign_attest::verdict::Reason;

use super::super::{Next, Situation, pin_tools};
use super::commands::{self, ours, run};
use super::lock::Manager;
use super::published::{Packer, PublishedManifest};
use super::publishing::PackFolder;
use super::tools::{self, Toolchain};
use super::{NpmEvidence, RECIPE, identity, no_recipe};
use crate::mirror;
use crate::plan::{Candidate, EnvironmentSpec, Network, Settings, SourceForm, Step, Valued};

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
    pub(super) place: Place,
}

impl Way {
    /// The folder of the package that is packed instead of it.
    pub(super) fn folder(self, evidence: &NpmEvidence) -> Option<&PackFolder> {
        match self.place {
            Place::Package => None,
            Place::Folder => evidence.publishing.folder.as_ref(),
        }
    }
}

/// What is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The package's own folder.
    Package,
    /// The one that it says its build makes.
    Folder,
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
    // who builds has a repository, and some builds ask it
    let with_git = way.build != Build::Nothing && situation.capabilities.tool("git").is_some();
    let (source_form, programs): (_, &[&str]) = if with_git {
        (SourceForm::Git, &["node", "npm", "git"])
    } else {
        (SourceForm::Tree, &["node", "npm"])
    };
    let candidate = Candidate {
        recipe: RECIPE.name.to_owned(),
        environment: EnvironmentSpec::Host {
            tools: pin_tools(programs.iter().copied(), situation.capabilities)?,
        },
        source_form,
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
        // what the lock names is installed or nothing is; elsewhere the caller says it where it has to
        own_releases: way.build != Build::Nothing
            && evidence.lock.as_ref().is_some_and(|lock| lock.names_itself),
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
        steps.push(commands::install(evidence, manager, way));
    }
    let word = super::lock::word(manager);
    match way.build {
        Build::Nothing => {}
        Build::Pack => steps.extend(commands::build(evidence, manager, way)),
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
    steps.extend(commands::fill(evidence, manager, way));
    if let Some(version) = identity::version_to_set(situation, evidence) {
        let place = way.folder(evidence).map_or(".", |folder| &folder.path);
        let argv = if evidence.version_in_place && place == "." {
            run("version", &[place, version])
        } else {
            let command = ["npm", "version", "--no-git-tag-version", "--ignore-scripts"];
            run("run", &[&[place], command.as_slice(), &[version]].concat())
        };
        steps.push(Step { argv });
    }
    let mut pack = commands::pack(evidence, manager, way, output);
    if let ([], [only]) = (steps.as_slice(), pack.as_mut_slice()) {
        only.argv.drain(..commands::RUN_WORDS); // nothing was fetched that would have to be found
    }
    steps.extend(pack);
    Ok(steps)
}

/// Whether a step asks the mirror.
fn fetches(step: &Step) -> bool {
    let action = step.argv.get(4).map(|action| action.value.as_str());
    matches!(action, Some("fetch" | "install")) || step.argv.iter().any(|a| a.value == "install")
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
