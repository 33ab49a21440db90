//! Which package and version this is, by everyone who says so; and the name of the packed file.

use super::super::Situation;
use super::{NpmEvidence, PublishedManifest};

/// How the package URLs of this recipe begin.
pub(super) const PURL_PREFIX: &str = "pkg:npm/";

/// The first disagreement between tree, tag, package URL and published file, for people.
pub(super) fn contradiction(situation: &Situation<'_>, evidence: &NpmEvidence) -> Option<String> {
    const TREE: &str = "package.json of the tree";
    let tag = Some(situation.release.version.clone());
    let purl = situation.published.purl.as_deref().and_then(parse_purl);
    let (purl_name, purl_version) = match purl {
        Some((name, version)) => (Some(name), version),
        None => (None, None),
    };
    let (file_name, file_version) = match &evidence.published {
        PublishedManifest::Found { name, version, .. } => {
            (Some(name.clone()), Some(version.clone()))
        }
        PublishedManifest::NotGiven | PublishedManifest::Unreadable { .. } => (None, None),
    };
    let names = [
        ("the package URL", purl_name),
        ("the published package.json", file_name),
    ];
    for (who, name) in names {
        if let Some(name) = name.filter(|name| *name != evidence.name) {
            return Some(format!(
                "{TREE} says name {:?}, {who} says {name:?}",
                evidence.name
            ));
        }
    }
    let versions = [
        ("the tag", tag),
        ("the package URL", purl_version),
        ("the published package.json", file_version),
    ];
    let versions = versions
        .into_iter()
        .filter(|_| version_to_set(situation, evidence).is_none());
    for (who, version) in versions {
        let same = |version: &String| plain(version) == plain(&evidence.version);
        if let Some(version) = version.filter(|version| !same(version)) {
            return Some(format!(
                "{TREE} says version {:?}, {who} says {version:?}",
                evidence.version
            ));
        }
    }
    None
}

/// The version that the tag spells, where the tree leaves it to the release to set one: it has a version
/// 0.0.0, or a prerelease of that with a word for what will come; or it has an older one, and the published
/// file has the tag's: there a release tool sets the version when it publishes, and commits it later or never.
/// A tree that is ahead of its tag is none of these.
pub(super) fn version_to_set<'a>(
    situation: &Situation<'a>,
    evidence: &NpmEvidence,
) -> Option<&'a str> {
    let version = plain(&situation.release.version);
    let tree = plain(&evidence.version);
    let is_left = tree == "0.0.0" || tree.starts_with("0.0.0-");
    let is_set = match &evidence.published {
        PublishedManifest::Found { version: file, .. } => {
            plain(file) == version && is_older(tree, version)
        }
        PublishedManifest::NotGiven | PublishedManifest::Unreadable { .. } => false,
    };
    ((is_left || is_set) && version != tree && !version.starts_with('-')).then_some(version)
}

/// Whether one version comes before another (Semantic Versioning 2.0.0 §11), as far as that can be told
/// without comparing two prereleases of the same version.
fn is_older(one: &str, other: &str) -> bool {
    let parts = |version: &str| {
        let (core, prerelease) = match version.split_once('-') {
            Some((core, _)) => (core, true),
            None => (version, false),
        };
        let numbers: Option<Vec<u64>> = core.split('.').map(|part| part.parse().ok()).collect();
        Some((numbers.filter(|numbers| numbers.len() == 3)?, !prerelease))
    };
    matches!((parts(one), parts(other)), (Some(one), Some(other)) if one < other)
}

/// The file that `npm pack` writes: `@a/b` at 1.0.0 becomes `a-b-1.0.0.tgz`. `None` for names and
/// versions that npm refuses, among them all that would mean something in a path or a pattern.
pub(super) fn packed_name(name: &str, version: &str) -> Option<String> {
    let (scope, name) = match name.strip_prefix('@') {
        Some(rest) => rest
            .split_once('/')
            .map(|(scope, name)| (Some(scope), name))?,
        None => (None, name),
    };
    let version = plain(version);
    let good = |text: &str, others: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
        text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(allowed)
    };
    let fits =
        scope.is_none_or(|scope| good(scope, "-_.~")) && good(name, "-_.~") && good(version, "-.");
    let scope = scope.map(|scope| format!("{scope}-")).unwrap_or_default();
    fits.then(|| format!("{scope}{name}-{version}.tgz"))
}

/// A version as npm publishes it: without a leading `v` or `=` and without build metadata.
fn plain(version: &str) -> &str {
    let version = version.trim().trim_start_matches(['v', '=']);
    version
        .split_once('+')
        .map_or(version, |(version, _)| version)
}

/// Name with scope, and version where there is one.
fn parse_purl(purl: &str) -> Option<(String, Option<String>)> {
    let rest = purl.strip_prefix(PURL_PREFIX)?;
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let rest = rest.get(..end)?;
    // a scope begins with an `@` of its own, encoded or not
    let (name, version) = match rest.rsplit_once('@') {
        Some((name, version)) if !name.is_empty() && !version.contains('/') => {
            (name, Some(version))
        }
        Some(_) | None => (rest, None),
    };
    let version = match version {
        Some(version) => Some(decode(version)?),
        None => None,
    };
    Some((decode(name)?, version))
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let (pair, after) = after.split_first_chunk::<2>()?;
            let pair = std::str::from_utf8(pair).ok()?;
            bytes.push(u8::from_str_radix(pair, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_are_read_with_scope_and_version() {
        let some = |name: &str, version: &str| Some((name.to_owned(), Some(version.to_owned())));
        for (purl, expect) in [
            ("pkg:npm/a@1.0.0", some("a", "1.0.0")),
            ("pkg:npm/%40s/a@1.0.0?x=y@2", some("@s/a", "1.0.0")),
            ("pkg:npm/@s/a@1.0.0#sub", some("@s/a", "1.0.0")),
            ("pkg:npm/a@1.0.0%2Bb", some("a", "1.0.0+b")),
            ("pkg:npm/@s/a", Some(("@s/a".to_owned(), None))),
            ("pkg:npm/%4", None),
            ("pkg:npm/a@%zz", None),
            ("pkg:pypi/a@1.0.0", None),
        ] {
            assert_eq!(parse_purl(purl), expect, "{purl}");
        }
    }

    #[test]
    fn versions_are_ordered() {
        for (one, other, expect) in [
            ("1.6.0", "1.6.1", true),
            ("1.9.0", "1.10.0", true),
            ("10.0.3-beta", "11.1.3", true),
            ("2.0.0-rc.1", "2.0.0", true),
            ("1.6.1", "1.6.1", false),
            ("2.0.0", "1.9.9", false),
            ("2.0.0", "2.0.0-rc.1", false),
            ("2.0.0-a", "2.0.0-b", false),
            ("1.6", "1.6.1", false),
            ("a.b.c", "1.6.1", false),
        ] {
            assert_eq!(is_older(one, other), expect, "{one} {other}");
        }
    }

    #[test]
    fn packed_names_are_those_of_npm() {
        let packed = packed_name;
        assert_eq!(packed("a", "1.0.0").as_deref(), Some("a-1.0.0.tgz"));
        assert_eq!(packed("@a/b", "1.0.0").as_deref(), Some("a-b-1.0.0.tgz"));
        assert_eq!(
            packed("a", "v1.0.0-rc.1+x").as_deref(),
            Some("a-1.0.0-rc.1.tgz")
        );
        for (name, version) in [
            ("", "1.0.0"),
            ("../a", "1.0.0"),
            ("@a", "1.0.0"),
            ("@a/b/c", "1.0.0"),
            ("*", "1.0.0"),
            ("a", "*"),
            ("a", ""),
            ("a", "1/../2"),
        ] {
            assert_eq!(packed(name, version), None, "{name} {version}");
        }
    }
}
