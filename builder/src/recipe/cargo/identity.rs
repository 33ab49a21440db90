//! Which crate and version this is, by everyone who says so.

use super::super::Situation;
use super::{CargoEvidence, PublishedCrate};

/// How the package URLs of this recipe begin.
pub(super) const PURL_PREFIX: &str = "pkg:cargo/";

/// The first disagreement between tree, tag, package URL and published file, for people.
pub(super) fn contradiction(situation: &Situation<'_>, evidence: &CargoEvidence) -> Option<String> {
    let purl = situation.published.purl.as_deref().and_then(parse_purl);
    let (purl_name, purl_version) = match purl {
        Some((name, version)) => (Some(name), version),
        None => (None, None),
    };
    let facts = match &evidence.published {
        PublishedCrate::Found(facts) => Some(facts),
        PublishedCrate::NotGiven | PublishedCrate::Unreadable { .. } => None,
    };
    let said = |what: &str, who: &str, ours: &str, theirs: Option<&str>| {
        let theirs = theirs.filter(|theirs| *theirs != ours)?;
        Some(format!(
            "Cargo.toml of the tree says {what} {ours:?}, {who} says {theirs:?}"
        ))
    };
    let (name, version) = (evidence.name.as_str(), evidence.version.as_str());
    said("name", "the package URL", name, purl_name.as_deref())
        .or_else(|| {
            let theirs = facts.map(|f| f.name.as_str());
            said("name", "the published Cargo.toml", name, theirs)
        })
        .or_else(|| {
            said(
                "version",
                "the package URL",
                version,
                purl_version.as_deref(),
            )
        })
        .or_else(|| {
            let theirs = facts.map(|f| f.version.as_str());
            said("version", "the published Cargo.toml", version, theirs)
        })
        .or_else(|| {
            // tags often leave build metadata out
            let tag = situation.release.version.as_str();
            let stem = version.split('+').next();
            (tag != version && Some(tag) != stem).then(|| {
                format!("Cargo.toml of the tree says version {version:?}, the tag says {tag:?}")
            })
        })
        .or_else(|| origin(situation, evidence))
}

/// What the crate says of where it comes from, where that is not where we are.
fn origin(situation: &Situation<'_>, evidence: &CargoEvidence) -> Option<String> {
    let PublishedCrate::Found(facts) = &evidence.published else {
        return None;
    };
    let vcs = facts.vcs.as_ref()?;
    let ours = situation.release.commit.to_string();
    if let Some(theirs) = vcs.commit.as_ref().filter(|commit| **commit != ours) {
        return Some(format!(
            "the tag names commit {ours}, the published crate says {theirs:?}"
        ));
    }
    let path = vcs.path.as_ref().filter(|path| **path != evidence.member)?;
    Some(format!(
        "the package is in {:?} of the tree, the published crate says {path:?}",
        evidence.member
    ))
}

/// Whether a name or version can stand in a file name, a path and a pattern without meaning more.
pub(super) fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && text.chars().all(plain)
}

/// Name and version, where there is one.
fn parse_purl(purl: &str) -> Option<(String, Option<String>)> {
    let rest = purl.strip_prefix(PURL_PREFIX)?;
    let rest = rest.split(['?', '#']).next()?;
    match rest.split_once('@') {
        // of what a version may have, only this is encoded
        Some((name, version)) => Some((
            name.to_owned(),
            Some(version.replace("%2B", "+").replace("%2b", "+")),
        )),
        None => Some((rest.to_owned(), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_are_read() {
        let some = |name: &str, version: &str| Some((name.to_owned(), Some(version.to_owned())));
        for (purl, expect) in [
            ("pkg:cargo/a@1.0.0", some("a", "1.0.0")),
            ("pkg:cargo/a-b@1.0.0%2Bc?x=y", some("a-b", "1.0.0+c")),
            ("pkg:cargo/a", Some(("a".to_owned(), None))),
            ("pkg:npm/a@1.0.0", None),
        ] {
            assert_eq!(parse_purl(purl), expect, "{purl}");
        }
    }

    #[test]
    fn what_can_be_part_of_a_file_name() {
        for (text, expect) in [
            ("lru-slab", true),
            ("_a", true),
            ("1.0.0-rc.1+b", true),
            ("", false),
            ("-a", false),
            ("..", false),
            ("a/b", false),
            ("a*", false),
            ("a b", false),
        ] {
            assert_eq!(is_plain(text), expect, "{text}");
        }
    }
}
