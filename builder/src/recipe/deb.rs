//! The recipe for Debian packages: `dpkg-buildpackage` in a root of the release that published it.
//!
//! Everything of the package runs in the sandbox, in a root made of the packages that its own control
//! file asks for, as the archive has them today. A build makes every binary package of the source for
//! one architecture, or those for all, as the distribution's builders do; the published one is picked
//! by its name. The changelog says when.
//!
//! Git loses the times of files, and a package keeps them: they are those of the archive's source
//! package where it has one. Where the content differs, the next attempt has a clock that shows the
//! changelog's day. Times that stand in the published package alone come last; they taint the plan.

use countersign_attest::origin::Origin;
use countersign_attest::purl::Purl;
use countersign_attest::verdict::{Reason, Verdict};
use serde::{Deserialize, Serialize};

use super::{Attempt, Evidence, Next, Proposal, Recipe, Situation};
use crate::plan::{Valued, is_dependency};

mod binary_only;
mod candidate;
mod control;
mod source_times;
#[cfg(test)]
mod tests;
mod times;

pub use binary_only::BinaryOnly;
pub use times::FileTime;

/// See the module.
pub(super) const RECIPE: Recipe = Recipe {
    name: "deb",
    tools: &[],
    takes: |purl| purl.starts_with(PURL_PREFIX),
    manifest: None,
    inspect: control::inspect,
    next,
};

/// How the package URLs of this recipe begin.
const PURL_PREFIX: &str = "pkg:deb/";

/// What a source tree says of itself, and a file of the distribution beside it. Written by strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebEvidence {
    /// The source package's name.
    pub source: String,
    /// Its version, from the newest entry of the changelog.
    pub version: String,
    /// The release that the entry is for: `bookworm-security`, or `unstable`.
    pub distribution: String,
    /// When the entry was written, as it says it (RFC 5322); absent where it says nothing usable.
    #[serde(default)]
    pub date: Option<String>,
    /// The binary packages that it makes.
    pub packages: Vec<String>,
    /// What building needs, without what is for other architectures or build profiles.
    pub dependencies: Dependencies,
    /// Files of the tree that the published package has with a time before its build.
    #[serde(default)]
    pub times: Vec<FileTime>,
    /// Times of files of the tree in a file of the source package, where such a one was looked at.
    #[serde(default)]
    pub source_times: Vec<FileTime>,
    /// Whether the published package has the tree's changelog with all its entries; newer tools leave
    /// old ones out.
    #[serde(default)]
    pub whole_changelog: bool,
    /// What the published package says of its rebuild without a change of the source.
    #[serde(default)]
    pub binary_only: Option<BinaryOnly>,
}

/// What building needs (Debian policy §7.7).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependencies {
    /// For any package.
    pub always: Vec<String>,
    /// For packages of an architecture.
    pub for_arch: Vec<String>,
    /// For packages of all architectures.
    pub for_all: Vec<String>,
}

/// Name, version and architecture of a binary package's file.
#[derive(Debug, PartialEq, Eq)]
struct FileName<'a> {
    name: &'a str,
    /// Without an epoch.
    version: &'a str,
    /// `all`, or an architecture.
    architecture: &'a str,
}

impl<'a> FileName<'a> {
    fn parse(file_name: &'a str) -> Option<Self> {
        let mut parts = file_name.strip_suffix(".deb")?.split('_');
        let (name, version) = (parts.next()?, parts.next()?);
        let architecture = parts.next()?;
        parts.next().is_none().then_some(Self {
            name,
            version,
            architecture,
        })
    }
}

/// What an attempt is made of, beside what every attempt has.
#[derive(Debug, Clone, Copy)]
struct Attempted<'a> {
    suite: &'a Valued<String>,
    file: &'a FileName<'a>,
    /// Times that are the archive's source package's.
    source_times: &'a [&'a FileTime],
    /// Times that are only the published package's.
    times: &'a [FileTime],
    /// The entry of the published package's changelog that the source has not.
    binary_only: Option<&'a BinaryOnly>,
    /// The moment that the clock of the build shows at its start, as the changelog writes it.
    clock: Option<&'a str>,
}

impl Attempted<'_> {
    /// Its way, and why it is tried.
    const fn words(&self) -> (&'static str, &'static str) {
        match (self.clock, self.times) {
            (None, []) => (
                "dpkg-buildpackage",
                "the distribution's own way, in a root of its release",
            ),
            (Some(_), []) => (
                "dpkg-buildpackage, on the changelog's day",
                "the content differed, and some builds write down the day",
            ),
            (None, _) => (
                "dpkg-buildpackage, with file times",
                "with times of files that only the published package has",
            ),
            (Some(_), _) => (
                "dpkg-buildpackage, on the changelog's day, with file times",
                "that day gave the content; with times of files that only the published package has",
            ),
        }
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
    let binary_only = match binary_only::wanted(evidence, file.version) {
        Ok(wanted) => wanted,
        Err(detail) => return cannot(Reason::NoRecipe, detail),
    };
    let Some(suite) = suite(situation, evidence) else {
        let detail = "no release of the distribution is known for it: give the package URL with \
                      distro=, or --suite";
        return cannot(Reason::ToolchainUnavailable, detail);
    };
    let source_times = source_times(situation);
    let first = Attempted {
        suite: &suite,
        file: &file,
        source_times: &source_times,
        times: &[],
        binary_only,
        clock: None,
    };
    let date = binary_only.map_or(evidence.date.as_deref(), |entry| Some(&entry.date));
    let told = own_times(situation, evidence, &source_times);
    match rung(situation, first, date, &told) {
        Some(attempted) => match candidate::candidate(situation, evidence, &attempted) {
            Ok(candidate) => {
                let (way, why) = attempted.words();
                Next::Try(Proposal::new(candidate, way, why))
            }
            Err(cannot) => cannot,
        },
        None => Next::Enough,
    }
}

/// What is tried after what was tried: at most three attempts, the one that copies last.
fn rung<'a>(
    situation: &Situation<'_>,
    first: Attempted<'a>,
    date: Option<&'a str>,
    told: &'a [FileTime],
) -> Option<Attempted<'a>> {
    let with_clock = Attempted {
        clock: date,
        ..first
    };
    // what another compiler made may have had another day in it besides
    let verdict = |attempt: &Attempt| match attempt.reason {
        Some(Reason::ToolchainUnavailable) => Verdict::Differs,
        Some(_) | None => attempt.verdict,
    };
    let verdicts: Vec<Verdict> = situation.attempts.iter().map(verdict).collect();
    let with_times = |attempted| {
        (!told.is_empty()).then_some(Attempted {
            times: told,
            ..attempted
        })
    };
    match verdicts.as_slice() {
        [] => Some(first),
        [Verdict::Differs] if date.is_some() => Some(with_clock),
        // of what is the published package but for something that times may be, or may have made
        [Verdict::Equivalent | Verdict::Differs | Verdict::Indeterminate] => with_times(first),
        [Verdict::Differs, Verdict::Equivalent] => with_times(with_clock),
        // the clock was not it
        [Verdict::Differs, Verdict::Differs] => with_times(first),
        _ => None,
    }
}

/// The times in the archive's source package, which is no artifact under test.
fn source_times<'a>(situation: &Situation<'a>) -> Vec<&'a FileTime> {
    if !situation.hints.subdir.is_empty() {
        return Vec::new(); // their paths are those of the whole tree
    }
    let deb = |evidence: &'a Evidence| -> &'a [FileTime] {
        let Evidence::Deb(deb) = evidence else {
            return &[];
        };
        &deb.source_times
    };
    situation.siblings.iter().flat_map(deb).collect()
}

/// The published package's times, where they say anything that the source package does not.
fn own_times(
    situation: &Situation<'_>,
    evidence: &DebEvidence,
    source_times: &[&FileTime],
) -> Vec<FileTime> {
    let known = |time: &FileTime| source_times.contains(&time);
    if !situation.hints.subdir.is_empty() || evidence.times.iter().all(known) {
        return Vec::new();
    }
    evidence.times.clone()
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
    let of_source = binary_only::source_version(file.version).unwrap_or_default();
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
