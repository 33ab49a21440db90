//! The recipe for Debian packages: `dpkg-buildpackage` in a root of the release that published it.
//!
//! Everything of the package runs in the sandbox, in a root made of the packages that its own control
//! file asks for, as the archive has them today. One build makes every binary package of the source;
//! the published one is picked by its name. The changelog says when, as on the distribution's builders.
//! Where that is not the published file, files of the source get the times that they have in it, which
//! git has lost; that is copied from the file and taints the plan.

use std::collections::BTreeMap;

use countersign_attest::digest::Sha256;
use countersign_attest::origin::{AssistKind, Origin};
use countersign_attest::purl::Purl;
use countersign_attest::verdict::{Reason, Verdict};
use serde::{Deserialize, Serialize};

use super::{Evidence, Next, Recipe, Situation};
use crate::plan::{
    Assist, Candidate, DebianSpec, Dependency, EnvironmentSpec, Network, Settings, SourceForm,
    Step, Valued, is_dependency,
};

mod control;
#[cfg(test)]
mod tests;
mod times;

pub use times::FileTime;

/// See the module.
pub(super) const RECIPE: Recipe = Recipe {
    name: "deb",
    tools: &[],
    takes: |purl| purl.starts_with(PURL_PREFIX),
    inspect: control::inspect,
    next,
};

/// How the package URLs of this recipe begin.
const PURL_PREFIX: &str = "pkg:deb/";
/// Where the distribution's builders build, which shows in what they build.
const PLACE: &str = "/build/reproducible-path";
/// Where the results are put, in the source tree.
const RESULTS: &str = "countersign-debs";
/// What a builder has beside essential packages and what the source asks for.
const ALWAYS: [&str; 2] = ["build-essential", "fakeroot"];

/// What a source tree says of itself. Written by strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebEvidence {
    /// The source package's name.
    pub source: String,
    /// Its version, from the newest entry of the changelog.
    pub version: String,
    /// The release that the entry is for: `bookworm-security`, or `unstable`.
    pub distribution: String,
    /// The binary packages that it makes.
    pub packages: Vec<String>,
    /// What building needs, without what is for other architectures or build profiles.
    pub dependencies: Vec<String>,
    /// Files of the tree that the published package has with a time before its build.
    #[serde(default)]
    pub times: Vec<FileTime>,
}

/// Name, version and architecture of a binary package's file.
#[derive(Debug, PartialEq, Eq)]
struct FileName<'a> {
    name: &'a str,
    /// Without an epoch.
    version: &'a str,
}

impl<'a> FileName<'a> {
    fn parse(file_name: &'a str) -> Option<Self> {
        let mut parts = file_name.strip_suffix(".deb")?.split('_');
        let (name, version, _) = (parts.next()?, parts.next()?, parts.next()?);
        parts.next().is_none().then_some(Self { name, version })
    }
}

fn next(situation: &Situation<'_>) -> Next {
    let Evidence::Deb(evidence) = situation.evidence else {
        return cannot(
            Reason::NoRecipe,
            "the evidence was taken for another recipe",
        );
    };
    let Some(file) = FileName::parse(&situation.published.file_name) else {
        let detail = "of a distribution's files, binary packages (.deb) are rebuilt";
        return cannot(Reason::NoRecipe, detail);
    };
    if let Some(detail) = contradiction(situation, evidence, &file) {
        return cannot(Reason::EvidenceContradicts, &detail);
    }
    if let Some((_, number)) = file.version.rsplit_once("+b")
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
        && !evidence.version.ends_with(file.version)
    {
        let detail = "it was rebuilt by the distribution without a change of its source (binNMU), \
                      and what that put into its changelog stands nowhere else";
        return cannot(Reason::NoRecipe, detail);
    }
    let Some(suite) = suite(situation, evidence) else {
        let detail = "no release of the distribution is known for it: give the package URL with \
                      distro=, or --suite";
        return cannot(Reason::ToolchainUnavailable, detail);
    };
    let times: &[FileTime] = match situation.attempts {
        [] => &[],
        // what is not the published package by more than its bytes will not become it by times
        [first] if matches!(first.verdict, Verdict::Reproduced | Verdict::BuildFailed) => {
            return Next::Enough;
        }
        // their paths are those of the whole tree
        [_] if !evidence.times.is_empty() && situation.hints.subdir.is_empty() => &evidence.times,
        [_, ..] => return Next::Enough,
    };
    match candidate(situation, evidence, suite, times) {
        Ok(candidate) => Next::Try(Box::new(candidate)),
        Err(cannot) => cannot,
    }
}

/// The first disagreement between tree, tag, package URL and published file, for people.
fn contradiction(
    situation: &Situation<'_>,
    evidence: &DebEvidence,
    file: &FileName<'_>,
) -> Option<String> {
    if !evidence.packages.iter().any(|name| name == file.name) {
        return Some(format!(
            "the source {:?} has no package {:?}; it has {:?}",
            evidence.source, file.name, evidence.packages
        ));
    }
    let tag = &situation.release.version;
    if without_epoch(tag) != without_epoch(&evidence.version) {
        return Some(format!(
            "debian/changelog of the tree says version {:?}, the tag says {tag:?}",
            evidence.version
        ));
    }
    let own = without_epoch(&evidence.version);
    let of_source = file.version.rsplit_once("+b").map_or("", |(own, _)| own);
    (file.version != own && of_source != own).then(|| {
        format!(
            "debian/changelog of the tree says version {own:?}, the published file {:?}",
            file.version
        )
    })
}

fn without_epoch(version: &str) -> &str {
    version.split_once(':').map_or(version, |(_, rest)| rest)
}

/// The release whose packages it is built with: what the operator says, else where it was published,
/// else what the changelog says, where that is a release and not one that is always another.
fn suite(situation: &Situation<'_>, evidence: &DebEvidence) -> Option<Valued<String>> {
    if let Some(suite) = &situation.hints.suite {
        return Some(Valued::new(suite.clone(), Origin::Operator));
    }
    let purl = situation.published.purl.as_deref();
    let purl = purl.and_then(|text| text.parse::<Purl>().ok());
    if let Some(distro) = purl.and_then(|purl| purl.qualifier("distro").map(str::to_owned)) {
        return Some(Valued::new(distro, Origin::Registry));
    }
    let release = evidence.distribution.split('-').next().unwrap_or_default();
    let moving = [
        "",
        "unstable",
        "experimental",
        "stable",
        "oldstable",
        "testing",
        "UNRELEASED",
    ];
    let known = !moving.contains(&release);
    known.then(|| Valued::new(release.to_owned(), Origin::Source))
}

fn candidate(
    situation: &Situation<'_>,
    evidence: &DebEvidence,
    suite: Valued<String>,
    times: &[FileTime],
) -> Result<Candidate, Next> {
    let steps: [&[&str]; 2] = [
        &["dpkg-buildpackage", "-b", "--no-sign"],
        &[
            "find",
            "..",
            "-maxdepth",
            "1",
            "-name",
            "*.deb",
            "-exec",
            "install",
            "-D",
            "-m",
            "644",
            "-t",
            RESULTS,
            "{}",
            "+",
        ],
    ];
    let variables = [("DEB_BUILD_OPTIONS", "nocheck parallel=2")];
    let candidate = Candidate {
        recipe: RECIPE.name.to_owned(),
        environment: EnvironmentSpec::Debian(DebianSpec {
            suite: suite.value,
            dependencies: dependencies(situation, evidence),
            packages: Vec::new(),
            root: None,
        }),
        source_form: SourceForm::Tree,
        subdir: situation.hints.subdir.clone(),
        steps: set_times(times)
            .into_iter()
            .chain(steps.into_iter().map(|argv| Step {
                argv: argv.iter().map(|argument| ours(argument)).collect(),
            }))
            .collect(),
        variables: BTreeMap::from(variables.map(|(name, value)| (name.to_owned(), ours(value)))),
        outputs: vec![ours(&format!("{RESULTS}/*.deb"))],
        limits: situation.hints.limits,
        network: Network::None,
        as_of: None,
        incomplete: situation
            .source_incomplete
            .then_some(Reason::SourceIncomplete),
        missing: None,
        assists: assist(times),
        encoding: None,
        settings: settings(evidence),
        own_releases: false,
    };
    match candidate.check() {
        Ok(()) => Ok(candidate),
        Err(error) => Err(cannot(
            Reason::NoRecipe,
            &format!("the package makes {error}"),
        )),
    }
}

/// Sets the times of files: pairs of seconds and a path.
const SET_TIMES: &str =
    "while (@ARGV) { my ($t, $f) = splice(@ARGV, 0, 2); utime($t, $t, $f) or die qq($f: $!) }";
/// Most files of one step: arguments of a program have a limit.
const FILES_OF_A_STEP: usize = 500;

/// The steps that give files of the source the times that they have in the published package.
fn set_times(times: &[FileTime]) -> Vec<Step> {
    let step = |times: &[FileTime]| {
        let mut argv = ["perl", "-e", SET_TIMES].map(ours).to_vec();
        for time in times {
            let seconds = Valued::new(time.seconds.to_string(), Origin::Artifact);
            argv.extend([seconds, ours(&time.path)]);
        }
        Step { argv }
    };
    times.chunks(FILES_OF_A_STEP).map(step).collect()
}

/// What says that times were copied, where some were.
fn assist(times: &[FileTime]) -> Vec<Assist> {
    let mut text = String::new();
    for time in times {
        text.push_str(&format!("{} {}\n", time.seconds, time.path));
    }
    let assist = Assist {
        kind: AssistKind::FileTimes,
        sha256: Sha256::of(text.as_bytes()),
    };
    if times.is_empty() {
        Vec::new()
    } else {
        vec![assist]
    }
}

/// What the distribution's builders fix: where they build, and that what is written keeps its modes. A
/// package keeps the times of files that are older than its changelog, and dpkg reads the changelog's
/// where no other time is set.
fn settings(evidence: &DebEvidence) -> Settings {
    let folder = format!(
        "{PLACE}/{}-{}",
        evidence.source,
        upstream(&evidence.version)
    );
    Settings {
        path: Some(ours(&folder)),
        umask: Some(Valued::new(0o022, Origin::Source)),
        epoch: Some(Valued::new(false, Origin::Source)),
        file_time_shift_seconds: Some(Valued::new(0, Origin::Source)),
        ..Settings::default()
    }
}

/// What must be installed: exactly what a build of the distribution had, where the operator has its
/// record, else what the source asks for.
fn dependencies(situation: &Situation<'_>, evidence: &DebEvidence) -> Vec<Dependency> {
    let recorded = &situation.hints.packages;
    let asked = |value: &str, origin| Dependency {
        value: value.to_owned(),
        origin,
    };
    let always = ALWAYS.iter().map(|name| asked(name, Origin::Source));
    if recorded.is_empty() {
        let own = evidence.dependencies.iter();
        return always
            .chain(own.map(|value| asked(value, Origin::Source)))
            .collect();
    }
    let recorded = recorded.iter();
    always
        .chain(recorded.map(|value| asked(value, Origin::Operator)))
        .collect()
}

/// A version without epoch and revision.
fn upstream(version: &str) -> &str {
    let version = without_epoch(version);
    version
        .rsplit_once('-')
        .map_or(version, |(upstream, _)| upstream)
}

/// The packages that a build had, at their versions, by its `.buildinfo` (deb-buildinfo(5)), signed or
/// not. `None` where it is none.
#[must_use]
pub fn installed(buildinfo: &str) -> Option<Vec<String>> {
    let paragraphs = control::paragraphs(buildinfo);
    let field = "installed-build-depends";
    let listed = paragraphs.iter().find_map(|fields| fields.get(field))?;
    let listed: Vec<String> = listed
        .split(',')
        .map(|one| one.trim().to_owned())
        .filter(|one| !one.is_empty())
        .collect();
    let good = !listed.is_empty() && listed.iter().all(|one| is_dependency(one));
    good.then_some(listed)
}

fn cannot(reason: Reason, detail: &str) -> Next {
    Next::Cannot {
        reason,
        detail: detail.to_owned(),
    }
}

/// A value that the source tree chose, or a fixed rule of ours.
fn ours(value: &str) -> Valued<String> {
    Valued::new(value.to_owned(), Origin::Source)
}
