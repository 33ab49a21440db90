//! Ways to come to a published file where nobody said how: by the build system of the tree, or by git,
//! which packs what forges offer as a release's sources.
//!
//! Each way is a closed list of commands. Of everything that was published for a release, a build
//! collects what bears its name, so that several files share one build. Which compiler made a file can
//! rarely be told: then other content says nothing against the release.

use std::collections::BTreeMap;

use countersign_attest::origin::Origin;
use countersign_attest::verdict::{Reason, Verdict};

use super::super::{Next, Proposal, Situation, pin_tools};
use super::evidence::{Conventions, Packing, PublishedKind, System};
use super::{RECIPE, archive, go, names, no_recipe};
use crate::plan::{Candidate, EnvironmentSpec, Network, Settings, SourceForm, Step, Valued};
use crate::profile::Profile;

/// Where results are put, in the folder that is built.
const RESULTS: &str = "countersign-out";
/// Where CMake and Go build.
const BUILD_FOLDER: &str = "countersign-build";

/// Copies out what a build made: for each pair of a name and the one that it was published under, the
/// file that is nearest to the top and no script.
const COLLECT: &str = r#"mkdir -p "$0"
while [ $# -gt 1 ]; do
  find . -path "./$0" -prune -o -type f -name "$1" -printf '%d %p\n' | LC_ALL=C sort -n |
    cut -d' ' -f2- | while read -r found; do
      if [ "$(head -c 2 "$found")" != '#!' ]; then cp -p "$found" "$0/$2"; break; fi
    done
  shift 2
done"#;

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As the build system builds it.
    Build(System),
    /// The same with paths left out of what is compiled.
    BuildWithoutPaths(System),
    /// The rule that packs a release.
    Dist(System),
    /// `git archive`, packed by this program, or by git itself.
    Archive(Packing, Option<&'static str>),
}

pub(super) fn next(situation: &Situation<'_>, found: &Conventions) -> Next {
    let good = |verdict| {
        matches!(
            verdict,
            Verdict::Reproduced | Verdict::Assisted | Verdict::Equivalent
        )
    };
    let ways = match ways(situation, found) {
        Ok(ways) => ways,
        Err(detail) => return no_recipe(detail),
    };
    if situation.attempts.iter().any(|a| good(a.verdict)) {
        // what is the same but for its packing may be packed by the other program
        let last = situation.attempts.last().map(|a| a.verdict);
        let archive = matches!(ways.get(situation.attempts.len()), Some(Way::Archive(..)));
        if last != Some(Verdict::Equivalent) || !archive {
            return Next::Enough;
        }
    }
    let Some(way) = ways.get(situation.attempts.len()) else {
        return Next::Enough;
    };
    match candidate(situation, found, *way) {
        Ok(candidate) => {
            let (way, why) = words(*way);
            Next::Try(Proposal::new(candidate, way, why))
        }
        Err(cannot) => cannot,
    }
}

/// All ways, in order; the error says why there is none.
fn ways(situation: &Situation<'_>, found: &Conventions) -> Result<Vec<Way>, String> {
    let dist = found.systems.first().filter(|_| found.dist);
    let dist = dist.map(|system| Way::Dist(*system));
    let mut ways: Vec<Way> = match &found.published {
        PublishedKind::Sources {
            packing, of_tree, ..
        } => {
            let programs: &[Option<&str>] = match packing {
                Packing::Gzip => &[Some("gzip -cn"), Some("git archive gzip")],
                Packing::Xz => &[Some("xz -c")],
                Packing::Bzip2 => &[Some("bzip2 -c")],
                Packing::Tar | Packing::Zip => &[None],
            };
            let archive = programs.iter().map(|p| Way::Archive(*packing, *p));
            match of_tree {
                true => archive.chain(dist).collect(),
                // what is in no tree was made; without a rule that makes it git says what is there too much
                false => dist.into_iter().chain(archive.take(1)).collect(),
            }
        }
        PublishedKind::Compiled { compiler } => {
            let is_go = |system: &System| *system == System::Go;
            let of_go = compiler.as_ref().is_some_and(|c| c.starts_with("go"));
            let mut systems = found.systems.clone();
            systems.sort_by_key(|system| is_go(system) != of_go);
            let both = |system: System| match system {
                System::Go => vec![Way::Build(system)],
                System::Configure | System::Autotools | System::Cmake | System::Make => {
                    vec![Way::Build(system), Way::BuildWithoutPaths(system)]
                }
            };
            let first = systems.first().copied();
            first.map(both).into_iter().flatten().collect()
        }
        PublishedKind::NotGiven => {
            let system = found.systems.first();
            system.map(|s| Way::Build(*s)).into_iter().collect()
        }
        PublishedKind::Other { what } => {
            return Err(format!(
                "the published file is {what}: configure the steps that make it"
            ));
        }
    };
    if ways.is_empty() {
        return Err(
            "the tree has no Makefile, configure, CMakeLists.txt or go.mod: configure the \
                    steps that build it"
                .to_owned(),
        );
    }
    situation.order(&mut ways, |way| words(*way).0.to_owned());
    Ok(ways)
}

/// The way, and why it is tried.
fn words(way: Way) -> (&'static str, &'static str) {
    let why = "nobody said how it is built, and the tree has this";
    match way {
        Way::Build(System::Configure) => ("configure and make", why),
        Way::Build(System::Autotools) => ("autoreconf, configure and make", why),
        Way::Build(System::Cmake) => ("cmake", why),
        Way::Build(System::Make) => ("make", why),
        Way::Build(System::Go) => ("go build", why),
        Way::BuildWithoutPaths(_) => (
            "the same without paths",
            "what is compiled may hold the path where it was compiled",
        ),
        Way::Dist(_) => (
            "make dist",
            "an archive of sources, and the tree has a rule that packs",
        ),
        Way::Archive(_, Some("git archive gzip")) => (
            "git archive, packed by git",
            "an archive of sources whose files are the tree's",
        ),
        Way::Archive(_, _) => (
            "git archive",
            "an archive of sources whose files are the tree's",
        ),
    }
}

fn candidate(situation: &Situation<'_>, found: &Conventions, way: Way) -> Result<Candidate, Next> {
    let Situation { release, hints, .. } = situation;
    let published = &situation.published.file_name;
    if !names::is_plain(published) {
        return Err(no_recipe(format!("{published:?} is no name of a result")));
    }
    let (steps, tools, output) = match way {
        Way::Build(system) | Way::BuildWithoutPaths(system) => {
            let (mut steps, tools) = build(situation, found, system)?;
            steps.push(collect(situation));
            (steps, tools, format!("{RESULTS}/*"))
        }
        Way::Dist(system) => {
            let (mut steps, mut tools) = prepare(system);
            steps.push(ours(&["make", "dist"]));
            tools.push("make");
            (steps, tools, published.clone())
        }
        Way::Archive(packing, program) => {
            let output = format!("{RESULTS}/{published}");
            let step = archive::step(situation, found, packing, program, &output);
            (vec![step], vec!["git"], output)
        }
    };
    let missing = missing(situation, found, way);
    let candidate = Candidate {
        recipe: RECIPE.name.to_owned(),
        environment: EnvironmentSpec::Host {
            tools: pin_tools(tools, situation.capabilities)?,
        },
        source_form: match way {
            Way::Archive(..) => SourceForm::Git,
            Way::Build(_) | Way::BuildWithoutPaths(_) | Way::Dist(_) => SourceForm::Tree,
        },
        subdir: hints.subdir.clone(),
        steps,
        variables: variables(found, way, release.commit_time.unix_seconds()),
        outputs: vec![Valued::new(output, Origin::Source)],
        limits: hints.limits,
        network: Network::None,
        as_of: None,
        own_releases: false,
        incomplete: match (situation.source_incomplete, &missing) {
            (true, _) => Some(Reason::SourceIncomplete),
            (false, Some(_)) => Some(Reason::ToolchainUnavailable),
            (false, None) => None,
        },
        missing,
        assists: Vec::new(),
        encoding: None,
        settings: Settings {
            any_path: matches!(way, Way::Archive(..)), // git keeps no path
            ..Settings::default()
        },
    };
    match candidate.check() {
        Ok(()) => Ok(candidate),
        Err(error) => Err(no_recipe(format!("the tree makes {error}"))),
    }
}

/// What has to be there before a rule of a Makefile runs.
fn prepare(system: System) -> (Vec<Step>, Vec<&'static str>) {
    let configure = ours(&["sh", "./configure"]);
    match system {
        System::Configure => (vec![configure], Vec::new()),
        System::Autotools => (
            vec![ours(&["autoreconf", "-fi"]), configure],
            vec!["autoreconf"],
        ),
        System::Cmake | System::Make | System::Go => (Vec::new(), Vec::new()),
    }
}

fn build(
    situation: &Situation<'_>,
    found: &Conventions,
    system: System,
) -> Result<(Vec<Step>, Vec<&'static str>), Next> {
    let (mut steps, mut tools) = prepare(system);
    match system {
        System::Configure | System::Autotools | System::Make => {
            steps.push(ours(&["make"]));
            tools.extend(["cc", "make"]);
        }
        System::Cmake => {
            let kind = "-DCMAKE_BUILD_TYPE=Release";
            steps.push(ours(&["cmake", "-S", ".", "-B", BUILD_FOLDER, kind]));
            steps.push(ours(&["cmake", "--build", BUILD_FOLDER]));
            tools.extend(["cc", "cmake"]);
        }
        System::Go => {
            let name = names::built(&situation.published.file_name, situation.release);
            let output = format!("{BUILD_FOLDER}/{name}");
            let module = found.go.as_ref();
            let module = module.ok_or_else(|| no_recipe("go.mod is no module's".to_owned()))?;
            let argv = go::build(module, name, &output)?;
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            steps.push(ours(&argv));
            tools.push("go");
        }
    }
    Ok((steps, tools))
}

/// The step that collects everything that was published, by name.
fn collect(situation: &Situation<'_>) -> Step {
    let mut all: Vec<&str> = situation
        .all_published
        .iter()
        .chain([situation.published])
        .map(|published| published.file_name.as_str())
        .filter(|name| names::is_plain(name))
        .collect();
    all.sort_unstable();
    all.dedup();
    let mut argv = ours(&["sh", "-c", COLLECT, RESULTS]).argv;
    for published in all {
        let built = names::built(published, situation.release);
        argv.extend([built, published].map(|n| Valued::new(n.to_owned(), Origin::Registry)));
    }
    Step { argv }
}

/// What a build is told beside the profile's own variables.
fn variables(found: &Conventions, way: Way, seconds: i64) -> BTreeMap<String, Valued<String>> {
    let mut variables: Vec<(&str, String)> = Vec::new();
    match way {
        Way::BuildWithoutPaths(_) => {
            let flags = format!("-g -O2 -ffile-prefix-map={}=.", Profile::first().source);
            variables.extend([("CFLAGS", flags.clone()), ("CXXFLAGS", flags)]);
        }
        // a folder that a rule makes would have the time of the build
        Way::Dist(_) => variables.push((
            "TAR_OPTIONS",
            format!("--mtime=@{seconds} --owner=0 --group=0 --numeric-owner --sort=name"),
        )),
        Way::Build(System::Go) => {
            let vendored = found.go.as_ref().is_some_and(|module| module.vendored);
            let flags = if vendored { "-mod=vendor" } else { "" };
            variables.extend([
                ("CGO_ENABLED", "0".to_owned()),
                ("GOCACHE", "/tmp/go-cache".to_owned()),
                ("GOFLAGS", flags.to_owned()),
                ("GOPATH", "/tmp/go".to_owned()),
                ("GOPROXY", "off".to_owned()),
                ("GOTOOLCHAIN", "local".to_owned()),
            ]);
        }
        Way::Build(_) | Way::Archive(..) => {}
    }
    let named =
        |(name, value): (&str, String)| (name.to_owned(), Valued::new(value, Origin::Source));
    variables.into_iter().map(named).collect()
}

/// What the environment lacks, where that is known or nothing shows that it does not. Git packs alike at
/// every version; so does a rule that packs what the tree has.
fn missing(situation: &Situation<'_>, found: &Conventions, way: Way) -> Option<String> {
    let system = match way {
        Way::Archive(..) => return None,
        Way::Dist(System::Autotools) => {
            return Some("the autotools that made the generated files".to_owned());
        }
        Way::Dist(_) => return None,
        Way::Build(system) | Way::BuildWithoutPaths(system) => system,
    };
    let tool = if system == System::Go { "go" } else { "cc" };
    let here = situation.capabilities.tool(tool);
    let here = here.map_or("", |tool| tool.version.as_str());
    let PublishedKind::Compiled { compiler } = &found.published else {
        return None;
    };
    match compiler {
        Some(words) if is_by(words, here) => None,
        Some(words) => Some(format!(
            "the file was made by {words}; here is {tool} {here}"
        )),
        None => Some(format!(
            "nothing in the file says what compiled it; here is {tool} {here}"
        )),
    }
}

/// Whether a compiler's words are of this version. A tool's version may have the distribution's after it.
fn is_by(words: &str, here: &str) -> bool {
    let version = |text: &str| {
        let text = text.trim_start_matches("go");
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
        text.get(..end.unwrap_or(text.len())).map(str::to_owned)
    };
    let said = words.split([' ', '(', ')']).rev().filter_map(version);
    let mut said = said.filter(|version| version.contains('.'));
    !here.is_empty() && said.next() == version(here)
}

/// A step of words that are rules of ours or the source's.
pub(super) fn ours(argv: &[&str]) -> Step {
    let ours = |argument: &&str| Valued::new((*argument).to_owned(), Origin::Source);
    Step {
        argv: argv.iter().map(ours).collect(),
    }
}
