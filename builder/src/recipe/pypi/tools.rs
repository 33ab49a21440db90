//! What is installed for a build: the tree's own requirements, and the version that made the wheel.

use countersign_attest::origin::Origin;

use super::file_name::normalized;
use super::requirement::Requirement;
use super::version::{Version, is_in_range};
use super::{Generator, PypiEvidence, ours};
use crate::plan::Valued;

/// Under which name each tool that signs a wheel is released.
const GENERATORS: [(&str, &str); 9] = [
    ("bdist_wheel", "wheel"),
    ("flit", "flit-core"),
    ("hatchling", "hatchling"),
    ("pdm-backend", "pdm-backend"),
    ("pdm-pep517", "pdm-pep517"),
    ("poetry", "poetry-core"),
    ("poetry-core", "poetry-core"),
    ("setuptools", "setuptools"),
    ("uv", "uv-build"),
];

/// Tools that ask git for the version, and the variable that tells it where there is no git. The tag
/// says the version; nothing of the published file does.
const VERSION_FROM_TAG: [(&str, &str); 7] = [
    ("flit-scm", "SETUPTOOLS_SCM_PRETEND_VERSION"),
    ("hatch-vcs", "SETUPTOOLS_SCM_PRETEND_VERSION"),
    ("pdm-backend", "PDM_BUILD_SCM_VERSION"),
    ("pdm-pep517", "PDM_PEP517_SCM_VERSION"),
    (
        "poetry-dynamic-versioning",
        "POETRY_DYNAMIC_VERSIONING_BYPASS",
    ),
    ("setuptools-scm", "SETUPTOOLS_SCM_PRETEND_VERSION"),
    ("uv-dynamic-versioning", "UV_DYNAMIC_VERSIONING_BYPASS"),
];

/// The requirements, each with who chose it.
pub(super) struct Tools {
    /// For the first installation.
    pub(super) first: Vec<Valued<String>>,
    /// For the second: what the backend asks for comes with it.
    pub(super) second: Vec<Valued<String>>,
}

/// Chooses.
pub(super) fn choose(evidence: &PypiEvidence, generator: Option<&Generator>) -> Tools {
    let requires = &evidence.project.system.requires;
    let mut tools = Tools {
        first: requires.iter().map(ours).collect(),
        second: Vec::new(),
    };
    let Some((project, version)) = generator.and_then(made_by) else {
        return tools;
    };
    let pin = |origin| Valued::new(format!("{project}=={version}"), origin);
    let parsed = Version::parse(version);
    let asked: Vec<Requirement<'_>> = requires
        .iter()
        .filter_map(|text| Requirement::parse(text))
        .filter(|requirement| requirement.project == project)
        .collect();
    let outside = |requirement: &Requirement<'_>| match (&parsed, requirement.range) {
        (Some(parsed), Some(range)) => is_in_range(parsed, range) == Some(false),
        (_, None) => true,
        (None, _) => false,
    };
    if asked.iter().any(outside) {
        // the tree excludes the tool that made the file: without the tree's word, and tainted
        tools.first.retain(|text| {
            Requirement::parse(&text.value).is_none_or(|requirement| requirement.project != project)
        });
        tools.first.push(pin(Origin::Artifact));
    } else if !asked.is_empty() {
        // pip holds it to the tree's own range once more
        tools.first.push(pin(Origin::Registry));
    } else if project == "wheel" && asks_for(requires, "setuptools") {
        // setuptools itself asks for it, in answer to get_requires_for_build_wheel
        tools.second.push(pin(Origin::Registry));
    } else {
        tools.first.push(pin(Origin::Artifact));
    }
    tools
}

/// The released project that made a wheel, and the version. Only versions that are versions: the
/// text is a part of a requirement.
fn made_by(generator: &Generator) -> Option<(&'static str, &str)> {
    let Generator { tool, version } = generator;
    let known = GENERATORS.iter().find(|(name, _)| name == tool)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".+!-_".contains(&b);
    let usable = Version::parse(version).is_some() && version.bytes().all(plain);
    usable.then_some((known.1, version))
}

fn asks_for(requires: &[String], project: &str) -> bool {
    let mut asked = requires.iter().filter_map(|text| Requirement::parse(text));
    asked.any(|requirement| requirement.project == normalized(project))
}

/// Whether what belongs into an sdist is asked of git, which a plain tree cannot answer.
pub(super) fn lists_files_by_git(requires: &[String]) -> bool {
    asks_for(requires, "setuptools-scm")
}

/// The variables that tell the version, for those tools that the tree asks for.
pub(super) fn version_variables(requires: &[String]) -> Vec<&'static str> {
    let mut variables: Vec<&str> = VERSION_FROM_TAG
        .iter()
        .filter(|(project, _)| asks_for(requires, project))
        .map(|(_, variable)| *variable)
        .collect();
    variables.sort_unstable();
    variables.dedup();
    variables
}
