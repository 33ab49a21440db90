//! The recipe for Python packages: an sdist or a wheel, made by the backend that the source tree
//! names, at the version that the wheel names, with everything as of the time of upload.
//!
//! Everything of the package runs in the sandbox only. The published file selects among released
//! versions of what the source tree itself asks for; a build tool that the tree does not ask for, or
//! a version outside of its range, is copied from the file and taints the plan. So do times and owners of
//! members, which are copied last, where nothing else is lacking.

use countersign_attest::origin::Origin;
use countersign_attest::verdict::{Reason, Verdict};
use serde::{Deserialize, Serialize};

use super::{Attempt, Evidence, InspectError, InspectRequest, Next, Proposal, Recipe, Situation};
use crate::plan::Valued;

mod artifact;
mod candidate;
pub mod file_name;
mod identity;
mod manifest;
mod moment;
mod platform;
mod recorded;
mod requirement;
mod said;
mod script;
#[cfg(test)]
mod tests;
mod tools;
pub mod version;

use file_name::FileKind;
pub use recorded::Recorded;

/// See the module.
pub(super) const RECIPE: Recipe = Recipe {
    name: "pypi",
    tools: &["python3", "pip", "git", "cc"],
    takes: |purl| purl.starts_with(identity::PURL_PREFIX),
    manifest: None,
    inspect,
    next,
};

/// What a source tree and a published file say. Written by strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PypiEvidence {
    /// What the tree says.
    pub project: Project,
    /// What the published file says.
    pub published: PublishedFile,
}

impl PypiEvidence {
    /// What was read, a line each, escaped.
    pub(super) fn said(&self) -> Vec<String> {
        said::said(self)
    }
}

/// What a source tree says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its name, where it stands in a file that needs not be run.
    pub name: Option<String>,
    /// Its version, on the same condition.
    pub version: Option<String>,
    /// What builds it.
    pub system: BuildSystem,
}

/// `build-system` of a pyproject.toml (PEP 518, PEP 517).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSystem {
    /// The backend: a module, perhaps with `:` and an object in it.
    pub backend: String,
    /// Folders of the tree in which the backend is looked for first.
    pub backend_path: Vec<String>,
    /// Requirements, as they stand there.
    pub requires: Vec<String>,
}

/// What was found in a published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "file", rename_all = "kebab-case")]
pub enum PublishedFile {
    /// Only a digest was published.
    NotGiven,
    /// It is not an sdist or wheel that can be read. The comparison will say more.
    Unreadable {
        /// What was found, printable.
        detail: String,
    },
    /// What it says.
    Read(Says),
}

/// What an sdist or a wheel says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Says {
    /// `Name` of its metadata.
    pub name: Option<String>,
    /// `Version` of its metadata.
    pub version: Option<String>,
    /// What made a wheel; an sdist does not say.
    pub generator: Option<Generator>,
    /// Different modification times of members in seconds since 1970, in order; of a wheel, rounded
    /// down to even seconds. Not all of them, where they are many.
    pub times: Vec<i64>,
    /// With which umask its files were made, where their modes are those of another than 022.
    #[serde(default)]
    pub umask: Option<u32>,
    /// Whether headers of an sdist's members say that what is no device has the device number zero, as older
    /// Pythons write it.
    #[serde(default)]
    pub device_numbers: bool,
    /// Whether an sdist has files in its top folder whose names begin with a dot.
    #[serde(default)]
    pub has_dot_files: bool,
    /// What its members bear beside their content, where all of it can be said to a build.
    pub recorded: Option<Recorded>,
}

/// `Generator` of a wheel's WHEEL file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generator {
    /// The tool, in its own words.
    pub tool: String,
    /// Its version.
    pub version: String,
}

fn inspect(
    request: &InspectRequest,
    tree: std::os::fd::BorrowedFd<'_>,
    artifact: Option<std::fs::File>,
) -> Result<Evidence, InspectError> {
    Ok(match manifest::read(request, tree)? {
        Ok(project) => Evidence::Pypi(PypiEvidence {
            project,
            published: artifact.map_or(PublishedFile::NotGiven, |file| {
                artifact::read(file, &request.limits)
            }),
        }),
        Err(detail) => Evidence::Unusable { detail },
    })
}

fn next(situation: &Situation<'_>) -> Next {
    let Evidence::Pypi(evidence) = situation.evidence else {
        return cannot(
            Reason::NoRecipe,
            "the evidence was taken for another recipe".to_owned(),
        );
    };
    let kind = match file_name::kind(&situation.published.file_name) {
        FileKind::Sdist => candidate::Kind::Sdist,
        FileKind::PureWheel => candidate::Kind::Wheel,
        FileKind::PlatformWheel => {
            let here = situation.capabilities;
            match platform::unlike(&situation.published.file_name, here) {
                None => candidate::Kind::PlatformWheel,
                Some(detail) => return cannot(Reason::ToolchainUnavailable, detail),
            }
        }
        FileKind::Other => {
            return cannot(
                Reason::NoRecipe,
                "only .tar.gz sdists and wheels are rebuilt".to_owned(),
            );
        }
    };
    if let Some(detail) = identity::contradiction(situation, evidence) {
        return cannot(Reason::EvidenceContradicts, detail);
    }
    let Some((way, recorded)) = way(situation, evidence, kind) else {
        return Next::Enough;
    };
    match candidate::make(situation, evidence, kind, way, recorded) {
        Ok(candidate) => {
            let why = said::why(situation, way, recorded.is_some());
            Next::Try(Proposal::new(candidate, said::way(way), why))
        }
        Err(cannot) => cannot,
    }
}

/// All ways, in the order in which they are tried. Most tools make a wheel from the sdist that they have
/// just made, some from the tree itself; an sdist is made from the tree.
fn ways(
    situation: &Situation<'_>,
    evidence: &PypiEvidence,
    kind: candidate::Kind,
) -> &'static [candidate::Way] {
    use candidate::Way::{AsNamed, AsPipChooses, ByFrontEnd, BySdist};
    let by_front_end = has_front_end(evidence);
    match (kind, generator(situation)) {
        (candidate::Kind::Wheel | candidate::Kind::PlatformWheel, _) => &[AsNamed, BySdist],
        (candidate::Kind::Sdist, Some(_)) if by_front_end => &[ByFrontEnd, AsNamed, AsPipChooses],
        (candidate::Kind::Sdist, None) if by_front_end => &[ByFrontEnd, AsPipChooses],
        (candidate::Kind::Sdist, Some(_)) => &[AsNamed, AsPipChooses],
        (candidate::Kind::Sdist, None) => &[AsPipChooses],
    }
}

/// Whether an sdist has what flit's own command takes and its backend does not: all that git lists.
fn has_front_end(evidence: &PypiEvidence) -> bool {
    let of_flit = matches!(
        script::backend(&evidence.project.system),
        Some("flit_core" | "flit")
    );
    let takes_all = match &evidence.published {
        PublishedFile::Read(says) => says.has_dot_files,
        PublishedFile::NotGiven | PublishedFile::Unreadable { .. } => false,
    };
    of_flit && takes_all
}

/// Which way is not tried yet. Where all are, and one came as far as the same content, that one is tried
/// once more with what is recorded in the file.
fn way<'a>(
    situation: &Situation<'_>,
    evidence: &'a PypiEvidence,
    kind: candidate::Kind,
) -> Option<(candidate::Way, Option<&'a Recorded>)> {
    let attempts = situation.attempts;
    let mut ways = ways(situation, evidence, kind).to_vec();
    situation.order(&mut ways, |way| said::way(*way));
    // every backend copies the tree's own files as they are
    let is_done = |a: &Attempt| a.verdict == Verdict::Reproduced || a.copies_differ;
    if attempts.iter().any(is_done) {
        return None;
    }
    if let Some(way) = ways.get(attempts.len()) {
        return Some((*way, None));
    }
    let recorded = match &evidence.published {
        PublishedFile::Read(says) => says.recorded.as_ref()?,
        PublishedFile::NotGiven | PublishedFile::Unreadable { .. } => return None,
    };
    // whose headers no normalization covers is indeterminate, and has the same content all the same
    let same_content = |attempt: &Attempt| {
        let close = matches!(
            attempt.verdict,
            Verdict::Equivalent | Verdict::Indeterminate
        );
        close && attempt.candidate.incomplete.is_none()
    };
    let tried = ways.iter().zip(attempts);
    let (way, _) = tried
        .filter(|(_, attempt)| same_content(attempt))
        .min_by_key(|(_, attempt)| attempt.verdict)?;
    (attempts.len() == ways.len()).then_some((*way, Some(recorded)))
}

/// As [`moment::of_publisher`].
pub(super) fn one_time(
    evidence: &PypiEvidence,
    commit: countersign_attest::time::Timestamp,
) -> Option<i64> {
    moment::of_publisher(&evidence.published, commit)
}

/// What made the published files: a wheel says it, and an sdist has it from a wheel of its release.
fn generator<'a>(situation: &Situation<'a>) -> Option<&'a Generator> {
    let all = std::iter::once(situation.evidence).chain(situation.siblings);
    let says = all.filter_map(|evidence| {
        let Evidence::Pypi(PypiEvidence {
            published: PublishedFile::Read(says),
            ..
        }) = evidence
        else {
            return None;
        };
        Some(says)
    });
    says.filter_map(|says| says.generator.as_ref()).next()
}

const fn cannot(reason: Reason, detail: String) -> Next {
    Next::Cannot { reason, detail }
}

/// A value that the source tree chose, or a fixed rule of ours.
fn ours(value: impl Into<String>) -> Valued<String> {
    Valued::new(value.into(), Origin::Source)
}
