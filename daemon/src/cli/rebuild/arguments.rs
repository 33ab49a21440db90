//! What `rebuild` is told on its command line, and the task that it makes of that. What stands there was
//! typed by the user: paths and plain http are allowed, which no configuration may say.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use countersign_attest::verdict::Verdict;
use countersign_builder::plan::Plan;
use countersign_builder::recipe::{self, Hints};

use crate::config;
use crate::pipeline::Task;
use crate::publish::front::{FRONTS, Front};
use crate::publish::{Endpoints, PublishedSource};
use crate::trouble::Trouble;
use crate::watch::location::{Location, LocationRules};
use crate::watch::signature::TagKeys;

/// Arguments of `rebuild`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RebuildArguments {
    /// The source repository, as it is signed: an https URL, or a path of this machine.
    #[arg(long, value_name = "URL")]
    pub(super) source: String,
    /// Where to fetch it from instead; never signed.
    #[arg(long, value_name = "URL")]
    pub(super) fetch_from: Option<String>,
    /// The release's tag.
    #[arg(long)]
    pub(super) tag: String,
    /// What was published: a purl, a URL with {tag} and {version}, a path, sha256:…, or digests:URL. Without
    /// it, what the project's own countersign.yaml says.
    #[arg(long, value_name = "PURL|URL|PATH|DIGEST")]
    pub(super) published: Vec<String>,
    /// A recipe's name, or a file with build steps, outputs and tools for the generic one.
    #[arg(long, value_name = "NAME|FILE")]
    pub(super) recipe: Option<String>,
    /// The folder of the source tree where the package is.
    #[arg(long, default_value = "", value_name = "DIR")]
    pub(super) subdir: String,
    /// The release of the distribution whose packages a build runs in: bookworm.
    #[arg(long, value_name = "NAME")]
    pub(super) suite: Option<String>,
    /// A .buildinfo file, whose packages a build of a distribution's package runs in.
    #[arg(long, value_name = "FILE")]
    pub(super) buildinfo: Option<PathBuf>,
    /// A plan to replay as it is, instead of asking a recipe.
    #[arg(long, value_name = "FILE")]
    pub(super) plan: Option<PathBuf>,
    /// Shows what was tried and why.
    #[arg(long)]
    pub(super) explain: bool,
    /// Builds again with other values of what must not matter (path, time zone, locale, file order, …), and
    /// names those that the build notices.
    #[arg(long)]
    pub(super) vary: bool,
    /// Where attestations, plans and, unless reproduced, the rebuilt files go.
    #[arg(long, default_value = "countersign-out", value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Signs with this key instead of one that is forgotten at the end. Not together with --plan: who chose
    /// the values of a plan from elsewhere is that file's word alone.
    #[arg(long, value_name = "FILE", conflicts_with = "plan")]
    pub(super) key: Option<PathBuf>,
    /// Verdicts beside `reproduced` that count as good: assisted, equivalent.
    #[arg(long, value_delimiter = ',', value_parser = parse_accept)]
    pub(super) accept: Vec<Verdict>,
    /// The npm registry; by default npm's own configuration says.
    #[arg(long, value_name = "URL")]
    pub(super) npm_registry: Option<String>,
    /// The sparse index for cargo.
    #[arg(long, value_name = "URL")]
    pub(super) cargo_index: Option<String>,
    /// The simple index for Python packages.
    #[arg(long, value_name = "URL")]
    pub(super) pypi_index: Option<String>,
    /// The endpoint of a registry by the type of its package URLs.
    #[arg(long, value_name = "TYPE=ENDPOINT")]
    pub(super) registry: Vec<String>,
    /// OpenPGP keys, binary or armored, whose signatures of the tag count.
    #[arg(long, value_name = "FILE")]
    pub(super) openpgp_keys: Option<PathBuf>,
    /// Allowed signers of the tag, as ssh-keygen reads them.
    #[arg(long, value_name = "FILE")]
    pub(super) allowed_signers: Option<PathBuf>,
    /// A host (`host` or `host:port`) beside the registries' own that may serve their files.
    #[arg(long, value_name = "HOST")]
    pub(super) allow_host: Vec<String>,
    /// Where environments that were made, and what registries' clients know, are kept for the next time.
    #[arg(long, value_name = "DIR")]
    pub(super) cache: Option<PathBuf>,
    /// A folder with a toolchain beside /usr; its bin comes first in the build's PATH.
    #[arg(long, value_name = "DIR")]
    pub(super) toolchain: Vec<PathBuf>,
    /// A folder or tar of a root file system, for a plan or a recipe that names it by its digest.
    #[arg(long, value_name = "DIR")]
    pub(super) root: Vec<PathBuf>,
}

/// Reads a value of `--accept`.
pub(in crate::cli) fn parse_accept(text: &str) -> Result<Verdict, String> {
    match text {
        "assisted" => Ok(Verdict::Assisted),
        "equivalent" => Ok(Verdict::Equivalent),
        _ => Err("assisted and equivalent can be accepted".to_owned()),
    }
}

/// The registries that the command line names.
pub(super) fn registries(arguments: &RebuildArguments) -> Result<Endpoints, Trouble> {
    let mut registries = Endpoints::allowing(&arguments.allow_host);
    let mut set = |option: &'static str, kind: &str, text: &str| {
        let known: Vec<&str> = FRONTS.iter().map(|front| front.kind).collect();
        let set = match Front::of(kind) {
            Some(front) => registries.set(front, text).map_err(anyhow::Error::new),
            None => Err(anyhow!(
                "no registry {kind:?}; there are: {}",
                known.join(", ")
            )),
        };
        set.map_err(|error| Trouble::refusal(error.context(option)))
    };
    for (option, kind, text) in [
        ("--npm-registry", "npm", &arguments.npm_registry),
        ("--cargo-index", "cargo", &arguments.cargo_index),
        ("--pypi-index", "pypi", &arguments.pypi_index),
    ] {
        if let Some(text) = text {
            set(option, kind, text)?;
        }
    }
    for text in &arguments.registry {
        let (kind, text) = text.split_once('=').unwrap_or((text, ""));
        set("--registry", kind, text)?;
    }
    Ok(registries)
}

/// The task that the command line names.
pub(super) fn task(arguments: &RebuildArguments) -> Result<Task, Trouble> {
    // what stands on the command line was typed by the user: paths and http are allowed
    let rules = LocationRules {
        allow_local: true,
        allow_http: true,
    };
    let here = Path::new(".");
    let parse = |text: &str, option: &'static str| {
        Location::parse(text, rules)
            .map_err(|error| Trouble::refusal(anyhow::Error::new(error).context(option)))
    };
    let mut location = parse(&arguments.source, "--source")?;
    if let Some(other) = &arguments.fetch_from {
        location = location.fetched_from(parse(other, "--fetch-from")?);
    }
    let mut published = Vec::new();
    for text in &arguments.published {
        published.push(
            PublishedSource::parse(text, Some(here)).map_err(|error| {
                Trouble::refusal(anyhow::Error::new(error).context("--published"))
            })?,
        );
    }
    let (recipe, mut hints) = match &arguments.recipe {
        None => (None, Hints::default()),
        Some(name) if recipe::names().contains(&name.as_str()) => {
            (Some(name.clone()), Hints::default())
        }
        Some(file) if Path::new(file).is_file() => {
            let hints = config::load_hints(Path::new(file)).map_err(Trouble::refusal)?;
            (Some("generic".to_owned()), hints)
        }
        Some(other) => {
            let names = recipe::names().join(", ");
            let message = format!("--recipe: {other:?} is neither a recipe ({names}) nor a file");
            return Err(Trouble::refusal(anyhow!(message)));
        }
    };
    if !arguments.subdir.is_empty() {
        hints.subdir.clone_from(&arguments.subdir);
    }
    if arguments.suite.is_some() {
        hints.suite.clone_from(&arguments.suite);
    }
    if let Some(file) = &arguments.buildinfo {
        hints.packages = installed(file)?;
    }
    Ok(Task {
        location,
        tag: arguments.tag.clone(),
        expected: None,
        published,
        package: None,
        recipe,
        hints,
        plan: arguments.plan.as_deref().map(load_plan).transpose()?,
        worked_before: Vec::new(),
        moved_from: None,
        tag_keys: TagKeys {
            openpgp: arguments.openpgp_keys.clone(),
            ssh: arguments.allowed_signers.clone(),
        },
        vary: arguments.vary,
        live: None,
    })
}

/// The packages that a `.buildinfo` says were installed.
fn installed(path: &Path) -> Result<Vec<String>, Trouble> {
    let context = || format!("--buildinfo {}", path.display());
    let text = std::fs::read_to_string(path)
        .with_context(context)
        .map_err(Trouble::refusal)?;
    recipe::deb::installed(&text).ok_or_else(|| {
        let message = "it has no Installed-Build-Depends of packages at versions";
        Trouble::refusal(anyhow!(message).context(context()))
    })
}

fn load_plan(path: &Path) -> Result<Plan, Trouble> {
    let context = || format!("--plan {}", path.display());
    let bytes = std::fs::read(path)
        .with_context(context)
        .map_err(Trouble::refusal)?;
    let plan = Plan::from_bytes(&bytes)
        .with_context(context)
        .map_err(Trouble::refusal)?;
    if plan.to_bytes() != bytes {
        let message = "the file is not byte for byte as countersign wrote it, so its digest names another plan";
        return Err(Trouble::refusal(anyhow!(message).context(context())));
    }
    Ok(plan)
}
