//! What a build of a Debian package is: its steps, its settings and what must be installed.

use std::collections::BTreeMap;

use countersign_attest::digest::Sha256;
use countersign_attest::origin::{AssistKind, Origin};
use countersign_attest::verdict::Reason;

use super::super::{Next, Situation};
use super::{Attempted, DebEvidence, FileTime, RECIPE, cannot, without_epoch};
use crate::plan::{
    Assist, Candidate, DebianSpec, Dependency, EnvironmentSpec, Network, Settings, SourceForm,
    Step, Valued,
};

/// Where the distribution's builders build, which shows in what they build.
const PLACE: &str = "/build/reproducible-path";
/// Where the results are put, in the source tree.
const RESULTS: &str = "countersign-debs";
/// What a builder has beside essential packages and what the source asks for.
const ALWAYS: [&str; 2] = ["build-essential", "fakeroot"];
/// What shows a build another time than it is: a package and its program. Files keep their real times.
const CLOCK: &str = "faketime";

/// A build of every binary package for the file's architecture.
pub(super) fn candidate(
    situation: &Situation<'_>,
    evidence: &DebEvidence,
    attempted: &Attempted<'_>,
) -> Result<Candidate, Next> {
    let candidate = Candidate {
        recipe: RECIPE.name.to_owned(),
        environment: EnvironmentSpec::Debian(DebianSpec {
            suite: attempted.suite.value.clone(),
            dependencies: dependencies(situation, evidence, attempted),
            packages: Vec::new(),
            root: None,
        }),
        source_form: SourceForm::Tree,
        subdir: situation.hints.subdir.clone(),
        steps: steps(attempted),
        variables: variables(evidence, attempted),
        outputs: vec![ours(&format!("{RESULTS}/*.deb"))],
        limits: situation.hints.limits,
        network: Network::None,
        as_of: None,
        incomplete: situation
            .source_incomplete
            .then_some(Reason::SourceIncomplete),
        missing: None,
        assists: assists(attempted),
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

/// Puts an entry before a changelog's others.
const ADD_ENTRY: &str = "BEGIN { $entry = shift } $_ = qq($entry\\n\\n$_)";

fn steps(attempted: &Attempted<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    let source = attempted.source_times.iter().copied();
    steps.extend(set_times(source, Origin::Registry));
    steps.extend(set_times(attempted.times, Origin::Artifact));
    if let Some(entry) = attempted.binary_only {
        let mut argv = ["perl", "-0777", "-p", "-i", "-e", ADD_ENTRY]
            .map(ours)
            .to_vec();
        argv.push(Valued::new(entry.text.clone(), Origin::Artifact));
        argv.push(ours("debian/changelog"));
        steps.push(Step { argv });
    }
    let mut build = Vec::new();
    if let Some(moment) = attempted.clock {
        let origin = origin_of_date(attempted);
        build.extend([CLOCK, "-m"].map(ours));
        build.push(Valued::new(moment.to_owned(), origin));
    }
    let which = match attempted.file.architecture {
        "all" => "-A",
        _ => "-B",
    };
    build.extend(["dpkg-buildpackage", which, "--no-sign"].map(ours));
    steps.push(Step { argv: build });
    steps.push(Step {
        argv: COLLECT.map(ours).to_vec(),
    });
    steps
}

/// Brings what was built, beside the source tree, into it.
const COLLECT: [&str; 15] = [
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
];

/// The date of a changelog is that of its newest entry.
fn origin_of_date(attempted: &Attempted<'_>) -> Origin {
    match attempted.binary_only {
        Some(_) => Origin::Artifact,
        None => Origin::Source,
    }
}

/// Sets the times of files: pairs of seconds and a path.
const SET_TIMES: &str =
    "while (@ARGV) { my ($t, $f) = splice(@ARGV, 0, 2); utime($t, $t, $f) or die qq($f: $!) }";
/// Most files of one step: arguments of a program have a limit.
const FILES_OF_A_STEP: usize = 500;

/// The steps that give files of the source their times.
fn set_times<'a>(times: impl IntoIterator<Item = &'a FileTime>, origin: Origin) -> Vec<Step> {
    let times: Vec<&FileTime> = times.into_iter().collect();
    let step = |times: &[&FileTime]| {
        let mut argv = ["perl", "-e", SET_TIMES].map(ours).to_vec();
        for time in times {
            argv.push(Valued::new(time.seconds.to_string(), origin));
            argv.push(ours(&time.path));
        }
        Step { argv }
    };
    times.chunks(FILES_OF_A_STEP).map(step).collect()
}

/// Whether old entries of a changelog are left out is a switch of debhelper, which the published
/// package selects (ATTESTATION section 2). The switch also leaves the entry of a rebuild where it is.
fn variables(
    evidence: &DebEvidence,
    attempted: &Attempted<'_>,
) -> BTreeMap<String, Valued<String>> {
    let options = if evidence.whole_changelog && attempted.binary_only.is_none() {
        "nocheck parallel=2 notrimdch"
    } else {
        "nocheck parallel=2"
    };
    let always = [("DEB_BUILD_OPTIONS", options)];
    let clock = attempted.clock.map(|_| ("NO_FAKE_STAT", "1"));
    let all = always.into_iter().chain(clock);
    all.map(|(name, value)| (name.to_owned(), ours(value)))
        .collect()
}

/// What says that something was copied, where something was. The date of an entry of the changelog
/// becomes the build's.
fn assists(attempted: &Attempted<'_>) -> Vec<Assist> {
    let of = |kind, text: &str| Assist {
        kind,
        sha256: Sha256::of(text.as_bytes()),
    };
    let mut assists = Vec::new();
    if !attempted.times.is_empty() {
        let line = |time: &FileTime| format!("{} {}\n", time.seconds, time.path);
        let lines: String = attempted.times.iter().map(line).collect();
        assists.push(of(AssistKind::FileTimes, &lines));
    }
    if let Some(entry) = attempted.binary_only {
        assists.push(of(AssistKind::Epoch, &entry.date));
        assists.push(of(AssistKind::Metadata, &entry.text));
    }
    assists
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
fn dependencies(
    situation: &Situation<'_>,
    evidence: &DebEvidence,
    attempted: &Attempted<'_>,
) -> Vec<Dependency> {
    let asked = |value: &str, origin| Dependency {
        value: value.to_owned(),
        origin,
    };
    let clock = attempted.clock.map(|_| CLOCK);
    let always = ALWAYS.into_iter().chain(clock);
    let mut all: Vec<Dependency> = always.map(|name| asked(name, Origin::Source)).collect();
    let recorded = &situation.hints.packages;
    if !recorded.is_empty() {
        all.extend(recorded.iter().map(|value| asked(value, Origin::Operator)));
        return all;
    }
    let own = &evidence.dependencies;
    let more = match attempted.file.architecture {
        "all" => &own.for_all,
        _ => &own.for_arch,
    };
    let own = own.always.iter().chain(more);
    all.extend(own.map(|value| asked(value, Origin::Source)));
    all
}

/// A version without epoch and revision.
fn upstream(version: &str) -> &str {
    let version = without_epoch(version);
    version
        .rsplit_once('-')
        .map_or(version, |(upstream, _)| upstream)
}

/// A value that the source tree chose, or a fixed rule of ours.
fn ours(value: &str) -> Valued<String> {
    Valued::new(value.to_owned(), Origin::Source)
}
