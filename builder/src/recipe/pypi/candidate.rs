//! The steps: install what builds, ask it what else it needs, install that, call it (PEP 517).
//!
//! Installed tools lie in two folders of the build's own home, and python starts without its site
//! packages: nothing that happens to be installed on this machine takes part.

use std::collections::BTreeMap;

use countersign_attest::origin::Origin;
use countersign_attest::verdict::Reason;

use super::super::{Next, Situation, pin_tools};
use super::moment::{self, Moment};
use super::script::{self, Call};
use super::{PublishedFile, PypiEvidence, RECIPE, Recorded, cannot, ours, platform, tools};
use crate::mirror;
use crate::plan::{Candidate, EnvironmentSpec, Network, Settings, SourceForm, Step, Valued};

/// Where the tree's own requirements are installed; the hook knows the names of both folders.
const TOOLS: &str = "/build/home/tools";
/// Where is installed what the backend asks for beyond them.
const MORE_TOOLS: &str = "/build/home/more";
/// Where an sdist is put that a wheel is made from.
const SDIST: &str = "/tmp/sdist";
/// Where the result is put, in the source tree.
const DIST: &str = "dist";
/// Puts the contents of the tree's files where git looks for them: a tool that asks git for its list of
/// files may get it as an archive of them.
const OBJECTS: &str = "git ls-files -s | sed -n 's/^100[0-7]* [0-9a-f]* 0\t//p' | \
                       git hash-object -w --no-filters --stdin-paths > /dev/null";
/// Installs into a folder; only from the mirror, by [`VARIABLES`].
const PIP: [&str; 7] = [
    "python3",
    "-m",
    "pip",
    "install",
    "--quiet",
    "--no-compile",
    "--target",
];

/// Settings of pip that keep it to the mirror and from files of this machine.
const VARIABLES: [(&str, &str); 6] = [
    ("PIP_CONFIG_FILE", "/dev/null"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("PIP_INDEX_URL", mirror::PYPI_SIMPLE),
    ("PIP_NO_INPUT", "1"),
    ("PIP_ROOT_USER_ACTION", "ignore"),
    ("PIP_TRUSTED_HOST", mirror::HOST),
];

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sdist,
    /// Without compiled code.
    Wheel,
    /// For the platform of this machine.
    PlatformWheel,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Sdist => "sdist",
            Self::Wheel | Self::PlatformWheel => "wheel",
        }
    }

    /// An sdist and a wheel without compiled code hold files of the source and nothing that was made
    /// of their paths.
    const fn keeps_no_path(self) -> bool {
        match self {
            Self::Sdist | Self::Wheel => true,
            Self::PlatformWheel => false,
        }
    }

    const fn output(self) -> &'static str {
        match self {
            Self::Sdist => "dist/*.tar.gz",
            Self::Wheel | Self::PlatformWheel => "dist/*.whl",
        }
    }
}

/// By which tools and from what it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the tree, by the version that a published wheel names, where one does.
    AsNamed,
    /// From the tree, by the version that pip chooses for the tree.
    AsPipChooses,
    /// As named, but a wheel from an sdist that is made first.
    BySdist,
    /// An sdist by the command of the tool that the backend belongs to, which takes what git lists.
    ByFrontEnd,
}

pub(super) fn make(
    situation: &Situation<'_>,
    evidence: &PypiEvidence,
    kind: Kind,
    way: Way,
    recorded: Option<&Recorded>,
) -> Result<Candidate, Next> {
    let release = situation.release;
    let requires = &evidence.project.system.requires;
    let mut variables: BTreeMap<String, Valued<String>> = VARIABLES
        .map(|(name, value)| (name.to_owned(), ours(value)))
        .into();
    for name in tools::version_variables(requires) {
        variables.insert(name.to_owned(), ours(&release.version));
    }
    let of_sdist = kind == Kind::Sdist || way == Way::BySdist;
    let by_git = (tools::lists_files_by_git(requires) && of_sdist) || way == Way::ByFrontEnd;
    let mut programs = vec!["python3", "pip"];
    programs.extend(by_git.then_some("git"));
    let foreign = match kind {
        Kind::Sdist | Kind::Wheel => None,
        Kind::PlatformWheel => {
            programs.push("cc");
            platform::foreign_compiler(&situation.published.file_name)
        }
    };
    let umask = umask(&evidence.published);
    let candidate = Candidate {
        recipe: RECIPE.name.to_owned(),
        environment: EnvironmentSpec::Host {
            tools: pin_tools(programs, situation.capabilities).map_err(remedy)?,
        },
        source_form: if by_git {
            SourceForm::Git
        } else {
            SourceForm::Tree
        },
        subdir: situation.hints.subdir.clone(),
        steps: steps(situation, evidence, kind, way, recorded),
        variables,
        outputs: vec![ours(kind.output())],
        limits: situation.hints.limits,
        network: Network::Mirror,
        as_of: Some(
            situation
                .published
                .published_on
                .unwrap_or(release.commit_time),
        ),
        assists: recorded.map(Recorded::assists).unwrap_or_default(),
        encoding: None,
        settings: Settings {
            any_path: kind.keeps_no_path(),
            umask: umask.map(|umask| Valued::new(umask, Origin::Source)),
            ..Settings::default()
        },
        own_releases: false,
        incomplete: match (situation.source_incomplete, &foreign) {
            (true, _) => Some(Reason::SourceIncomplete),
            (false, Some(_)) => Some(Reason::ToolchainUnavailable),
            (false, None) => None,
        },
        missing: foreign,
    };
    match candidate.check() {
        Ok(()) => Ok(candidate),
        Err(error) => Err(cannot(
            Reason::NoRecipe,
            format!("the project makes {error}"),
        )),
    }
}

/// The umask with which the publisher's files were made, where the archive shows another than ours. The
/// file selects among what people set: the modes themselves are not copied.
fn umask(published: &PublishedFile) -> Option<u32> {
    match published {
        PublishedFile::Read(says) => says.umask,
        PublishedFile::NotGiven | PublishedFile::Unreadable { .. } => None,
    }
}

/// Says what to install where python or pip is missing.
fn remedy(next: Next) -> Next {
    match next {
        Next::Cannot { reason, detail } => Next::Cannot {
            reason,
            detail: format!(
                "{detail}; install Python with pip (on Debian python3 and python3-pip), or name a \
                 folder with both as a toolchain"
            ),
        },
        Next::Try(_) | Next::Enough => next,
    }
}

fn steps(
    situation: &Situation<'_>,
    evidence: &PypiEvidence,
    kind: Kind,
    way: Way,
    recorded: Option<&Recorded>,
) -> Vec<Step> {
    let commit = situation.release.commit_time;
    let system = &evidence.project.system;
    let unset = moment::read_off(&evidence.published, commit) == Moment::Unset
        && script::has_constant(system, kind);
    let call = |kind, recorded| Call {
        evidence,
        unset,
        kind,
        way,
        recorded,
    };
    let last = |sdists| call(kind, recorded.is_some()).step("build", DIST, sdists);
    let named = match way {
        Way::AsNamed | Way::BySdist | Way::ByFrontEnd => super::generator(situation),
        Way::AsPipChooses => None,
    };
    let tools::Tools { mut first, second } = tools::choose(evidence, named);
    // the one that goes with the backend's version
    first.extend((way == Way::ByFrontEnd).then(|| ours("flit")));
    let kinds: &[Kind] = match way {
        Way::AsNamed | Way::AsPipChooses | Way::ByFrontEnd => &[kind],
        Way::BySdist => &[Kind::Sdist, kind],
    };
    let mut steps = Vec::new();
    let by_git = tools::lists_files_by_git(&system.requires) && kinds.contains(&Kind::Sdist);
    steps.extend(by_git.then(|| plain(&["sh", "-c", OBJECTS])));
    steps.extend(umask(&evidence.published).map(|umask| {
        // as if the files had been checked out with it
        let bits = |shift: u32| match umask >> shift & 0o7 {
            0o0 => "rwX",
            0o2 => "rX",
            _ => "",
        };
        let modes = format!("u=rwX,g={},o={}", bits(3), bits(0));
        plain(&["chmod", "-R", &modes, "."])
    }));
    if !first.is_empty() {
        steps.push(install(TOOLS, &[], first));
    }
    let mut files = Vec::new();
    for kind in kinds {
        let file = format!("/tmp/{}.txt", kind.word());
        steps.push(call(*kind, false).step("requires", &file, ""));
        files.push(file);
    }
    steps.push(install(MORE_TOOLS, &files, second));
    steps.extend(recorded.map(Recorded::step));
    match way {
        Way::AsNamed | Way::AsPipChooses | Way::ByFrontEnd => steps.push(last("")),
        Way::BySdist => {
            steps.push(call(Kind::Sdist, false).step("build", SDIST, ""));
            steps.push(last(SDIST));
        }
    }
    steps
}

fn plain(argv: &[&str]) -> Step {
    Step {
        argv: argv.iter().map(|argument| ours(*argument)).collect(),
    }
}

fn install(folder: &str, files: &[String], requirements: Vec<Valued<String>>) -> Step {
    let mut argv: Vec<Valued<String>> = PIP.map(ours).to_vec();
    argv.push(ours(folder));
    for file in files {
        argv.extend([ours("-r"), ours(file)]);
    }
    argv.push(ours("--"));
    argv.extend(requirements);
    Step { argv }
}
