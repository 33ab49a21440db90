//! The commands of the steps: install what is locked, build, pack; each by the package manager of the lock.

use countersign_attest::origin::Origin;

use super::NpmEvidence;
use super::candidate::{Build, Place, Way};
use super::lock::{self, Manager};
use super::publishing::{CLEANER, NamedBy};
use crate::mirror;
use crate::plan::{Step, Valued};

/// Runs one command of a build.
const RUN: &str = include_str!("run.js");
/// Words of a step before its own command, where [`RUN`] runs it in the package's folder.
pub(super) const RUN_WORDS: usize = 6;

/// From the package's folder to the root of the tree.
fn root(evidence: &NpmEvidence) -> String {
    match evidence.folder.as_str() {
        "" => ".".to_owned(),
        folder => vec![".."; folder.split('/').count()].join("/"),
    }
}

pub(super) fn install(evidence: &NpmEvidence, manager: Manager, way: Way) -> Step {
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

/// Scripts of the package that packing runs, or that ran before its folder was packed.
const fn packing(evidence: &NpmEvidence, way: Way) -> &'static [&'static str] {
    match (way.place, &evidence.publishing.folder) {
        (Place::Package, _) | (Place::Folder, None) => {
            &["preprepare", "prepare", "postprepare", "prepack"]
        }
        (Place::Folder, Some(folder)) => match folder.by {
            NamedBy::Manifest | NamedBy::Lerna | NamedBy::Cleaner => &["prepare", "prepack"],
            NamedBy::Script | NamedBy::Workflow | NamedBy::Copy => &["prepare"],
        },
    }
}

/// The builds, each with the folder in which it runs; none where packing runs it, or there is none.
pub(super) fn build(evidence: &NpmEvidence, manager: Manager, way: Way) -> Vec<Step> {
    let word = lock::word(manager);
    let tasks = evidence.publishing.tasks.iter().map(|task| {
        let mut argv = run("run", &["."]);
        if !task.variables.is_empty() {
            argv.push(ours("env"));
            let variables = task.variables.iter();
            argv.extend(variables.map(|(name, value)| ours(&format!("{name}={value}"))));
        }
        argv.extend([word, "run", &task.script].map(ours));
        Step { argv }
    });
    let tasks: Vec<Step> = tasks.collect();
    if !tasks.is_empty() {
        return tasks;
    }
    let own = evidence.scripts.contains_key("build");
    let built_by_packing = packing(evidence, way)
        .iter()
        .filter_map(|name| evidence.scripts.get(*name))
        .any(|script| script.contains("build"));
    if built_by_packing {
        return Vec::new();
    }
    let root = root(evidence);
    let step = |cwd: &str, command: &[&str]| {
        let argv = run("run", &[&[cwd], command].concat());
        vec![Step { argv }]
    };
    match (evidence.folder.as_str(), manager) {
        ("", _) if own => step(&root, &[word, "run", "build"]),
        ("", _) => Vec::new(),
        // first what the package needs of its own workspace
        (_, Manager::Pnpm) if own => {
            let filter = format!("{}...", evidence.name);
            step(&root, &["pnpm", "--filter", &filter, "run", "build"])
        }
        (_, _) if evidence.builds_at_root => step(&root, &[word, "run", "build"]),
        (_, _) if own => step(".", &[word, "run", "build"]),
        (_, _) => Vec::new(),
    }
}

/// What makes the folder that is packed out of what was built, where packing itself would have.
pub(super) fn fill(evidence: &NpmEvidence, manager: Manager, way: Way) -> Vec<Step> {
    let Some(folder) = way.folder(evidence) else {
        return Vec::new();
    };
    let word = lock::word(manager);
    let scripts = packing(evidence, way).iter();
    let mut steps: Vec<Step> = scripts
        .filter(|script| evidence.scripts.contains_key(**script))
        .map(|script| Step {
            argv: run("run", &[".", word, "run", script]),
        })
        .collect();
    if folder.by == NamedBy::Cleaner {
        let program = format!("./node_modules/.bin/{CLEANER}");
        let arguments = ["--without-publish", "--temp-dir", &folder.path];
        let argv = run("run", &[&[".", &program], arguments.as_slice()].concat());
        steps.push(Step { argv });
    }
    steps
}

/// Packs, and puts the file where it is looked for.
pub(super) fn pack(evidence: &NpmEvidence, manager: Manager, way: Way, output: &str) -> Vec<Step> {
    let packer = if way.packs_itself {
        manager
    } else {
        Manager::Npm
    };
    let step = |cwd: &str, command: &[&str]| Step {
        argv: run("run", &[&[cwd], command].concat()),
    };
    match (way.folder(evidence), packer) {
        (None, _) => {
            let scripts = way.build != Build::Nothing;
            vec![step(".", &pack_here(packer, scripts, output))]
        }
        (Some(folder), Manager::Pnpm) => {
            // it goes by its own manifest, and leaves the file in either place
            let cwd = match folder.by {
                NamedBy::Manifest => ".",
                NamedBy::Lerna
                | NamedBy::Script
                | NamedBy::Workflow
                | NamedBy::Copy
                | NamedBy::Cleaner => &folder.path,
            };
            let moved = [
                "find",
                &folder.path,
                "-maxdepth",
                "1",
                "-name",
                output,
                "-exec",
                "mv",
                "{}",
                ".",
                ";",
            ];
            let argv = moved.map(ours).to_vec();
            vec![step(cwd, &pack_here(packer, false, output)), Step { argv }]
        }
        (Some(folder), Manager::Npm | Manager::YarnClassic | Manager::YarnBerry) => {
            let folder = format!("./{}", folder.path);
            vec![step(".", &["npm", "pack", "--ignore-scripts", &folder])]
        }
    }
}

fn pack_here(manager: Manager, scripts: bool, output: &str) -> Vec<&str> {
    match (manager, scripts) {
        (Manager::Npm, true) => vec!["npm", "pack"],
        (Manager::Npm, false) => vec!["npm", "pack", "--ignore-scripts"],
        (Manager::Pnpm, true) => vec!["pnpm", "pack"],
        (Manager::Pnpm, false) => vec!["pnpm", "pack", "--config.ignore-scripts=true"],
        (Manager::YarnClassic, _) => vec!["yarn", "pack", "--filename", output],
        (Manager::YarnBerry, _) => vec!["yarn", "pack", "--out", output],
    }
}

pub(super) fn run(action: &str, arguments: &[&str]) -> Vec<Valued<String>> {
    let start = ["node", "-e", RUN, "--", action];
    start
        .iter()
        .chain(arguments)
        .map(|argument| ours(argument))
        .collect()
}

pub(super) fn ours(value: &str) -> Valued<String> {
    Valued::new(value.to_owned(), Origin::Source)
}
