//! Which project and version this is, by everyone who says so.

use countersign_attest::purl::Purl;

use super::super::Situation;
use super::file_name::normalized;
use super::version::Version;
use super::{PublishedFile, PypiEvidence};

/// How the package URLs of this recipe begin.
pub(super) const PURL_PREFIX: &str = "pkg:pypi/";

/// The first disagreement between tree, tag, package URL and published file, for people.
pub(super) fn contradiction(situation: &Situation<'_>, evidence: &PypiEvidence) -> Option<String> {
    let purl = situation.published.purl.as_deref();
    let purl = purl.and_then(|text| text.parse::<Purl>().ok());
    let says = match &evidence.published {
        PublishedFile::Read(says) => Some(says),
        PublishedFile::NotGiven | PublishedFile::Unreadable { .. } => None,
    };
    let project = &evidence.project;
    let names = [
        ("the source tree", project.name.clone()),
        (
            "the package URL",
            purl.as_ref().map(|p| p.name().to_owned()),
        ),
        ("the published metadata", says.and_then(|s| s.name.clone())),
    ];
    let versions = [
        ("the tag", Some(situation.release.version.clone())),
        ("the source tree", project.version.clone()),
        (
            "the package URL",
            purl.as_ref().map(|p| p.version().to_owned()),
        ),
        (
            "the published metadata",
            says.and_then(|s| s.version.clone()),
        ),
    ];
    disagreement("name", &names, |a, b| normalized(a) == normalized(b)).or_else(|| {
        disagreement("version", &versions, |a, b| {
            match (Version::parse(a), Version::parse(b)) {
                (Some(a), Some(b)) => a == b,
                (None, _) | (_, None) => a == b,
            }
        })
    })
}

fn disagreement(
    what: &str,
    said: &[(&str, Option<String>)],
    same: impl Fn(&str, &str) -> bool,
) -> Option<String> {
    let mut said = said
        .iter()
        .filter_map(|(who, value)| Some((who, value.as_deref()?)));
    let (first, expect) = said.next()?;
    let (who, value) = said.find(|(_, value)| !same(expect, value))?;
    Some(format!(
        "{first} says {what} {expect:?}, {who} says {value:?}"
    ))
}
