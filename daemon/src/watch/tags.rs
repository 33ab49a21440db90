//! How versions are spelled as tags: from a tag to the versions that it may mean, and back.
//!
//! Pure tables. A candidate is only that: what was published decides which one is meant. Where a
//! package name is known, a tag of another package of the same repository means nothing.

use std::cmp::Ordering;

/// What may stand before a version, most usual first. The empty one is the bare version.
const PREFIXES: [&str; 10] = [
    "v",
    "",
    "release-",
    "release/",
    "releases/",
    "rel-",
    "version-",
    "version/",
    "ver-",
    "V",
];

/// What stands between a package's name and its version, most usual first.
const JOINTS: [&str; 8] = ["@", "-v", "-", "/v", "/", "_v", "_", "@v"];

/// Whether a tag fits a pattern in which `*` stands for any text, also an empty one and slashes.
#[must_use]
pub(crate) fn matches(pattern: &str, tag: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = tag.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            // the leftmost place leaves most for what follows
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The versions that a tag may spell, the most likely first, without repeats.
#[must_use]
pub(crate) fn versions_of(tag: &str, package: Option<&str>) -> Vec<String> {
    let mut found = Vec::new();
    for name in package.iter().flat_map(|package| names_of(package)) {
        for joint in JOINTS {
            if let Some(rest) = tag
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix(joint))
            {
                add_version(&mut found, rest);
            }
        }
    }
    for prefix in PREFIXES
        .into_iter()
        .chain(["release-v", "release/v", "releases/v"])
    {
        if let Some(rest) = tag.strip_prefix(prefix) {
            add_version(&mut found, rest);
        }
    }
    if package.is_none() {
        for (at, joint) in tag.match_indices(['@', '-', '/', '_']) {
            let rest = tag.get(at + joint.len()..).unwrap_or_default();
            add_version(&mut found, rest.strip_prefix('v').unwrap_or(rest));
            if !found.is_empty() {
                break; // what follows is inside the version: 1.0.0-rc.1
            }
        }
    }
    found
}

/// A package's name, and without its scope.
/// Orders tags by the numbers in them, as people order versions: `v1.10` is above `v1.9`.
#[must_use]
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (Parts(a), Parts(b));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(Part::Number(a)), Some(Part::Number(b))) => {
                // without leading zeros the longer number is the larger one
                a.len().cmp(&b.len()).then_with(|| a.cmp(b))
            }
            (Some(Part::Number(_)), Some(Part::Text(_))) => Ordering::Greater,
            (Some(Part::Text(_)), Some(Part::Number(_))) => Ordering::Less,
            (Some(Part::Text(a)), Some(Part::Text(b))) => a.cmp(b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// A run of digits without leading zeros, or a run of other characters.
enum Part<'a> {
    Number(&'a str),
    Text(&'a str),
}

struct Parts<'a>(&'a str);

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let first = self.0.chars().next()?;
        let digits = first.is_ascii_digit();
        let end = self
            .0
            .find(|c: char| c.is_ascii_digit() != digits)
            .unwrap_or(self.0.len());
        let (part, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(if digits {
            Part::Number(part.trim_start_matches('0'))
        } else {
            Part::Text(part)
        })
    }
}

fn names_of(package: &str) -> impl Iterator<Item = &str> {
    let unscoped = package.rsplit_once('/').map(|(_, name)| name);
    std::iter::once(package)
        .chain(unscoped)
        .filter(|name| !name.is_empty())
}

fn add_version(found: &mut Vec<String>, text: &str) {
    if !text.starts_with(|c: char| c.is_ascii_digit()) || text.contains('/') {
        return;
    }
    let dotted = text.replace('_', ".");
    let candidates = if dotted != text && !text.contains('.') {
        vec![dotted, text.to_owned()] // 7_88_1 is how some projects write 7.88.1
    } else {
        vec![text.to_owned()]
    };
    for candidate in candidates {
        if !found.contains(&candidate) {
            found.push(candidate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let mut tags = [
            "v1.10.0",
            "v1.9.9",
            "v2",
            "v1.09.10",
            "v1.9",
            "w0",
            "v1.9.9-rc1",
        ];
        tags.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(
            tags,
            [
                "v1.9",
                "v1.9.9",
                "v1.9.9-rc1",
                "v1.09.10",
                "v1.10.0",
                "v2",
                "w0"
            ]
        );
        assert_eq!(compare_versions("v1", "v1"), Ordering::Equal);
        let huge = "9".repeat(100);
        assert_eq!(compare_versions(&huge, "1"), Ordering::Greater);
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, tag, expect) in [
            ("*", "", true),
            ("*", "v1/x", true),
            ("v*", "v1.2", true),
            ("v*", "w1.2", false),
            ("v1.2", "v1.2", true),
            ("v1.2", "v1.2.3", false),
            ("", "v", false),
            ("a*b", "ab", true),
            ("a*b", "aXbYb", true),
            ("a*b", "aXbY", false),
            ("ab*ba", "aba", false),
            ("*-rc*", "v1-rc.2", true),
            ("*-rc*", "v1", false),
            ("a*b*c", "acb", false),
            ("**", "x", true),
            ("@scope/name@*", "@scope/name@1.2.3", true),
            ("é*", "éa", true),
        ] {
            assert_eq!(matches(pattern, tag), expect, "{pattern} {tag}");
        }
        // no pattern takes more than one pass per star
        assert!(!matches(&"*a".repeat(2000), &"a".repeat(1999)));
    }

    #[test]
    fn tags_spell_versions() {
        for (tag, package, expect) in [
            ("v1.2", None, &["1.2"][..]),
            ("1.2", None, &["1.2"]),
            ("V1.2", None, &["1.2"]),
            ("v1.0.0-rc.1", None, &["1.0.0-rc.1"]),
            ("release-1.2", None, &["1.2"]),
            ("release/v1.2", None, &["1.2"]),
            ("name-1.2", None, &["1.2"]),
            ("name-v1.2-beta", None, &["1.2-beta"]),
            ("some-name-1.2", None, &["1.2"]),
            ("@scope/name@1.2", None, &["1.2"]),
            ("curl-7_88_1", None, &["7.88.1", "7_88_1"]),
            ("name@1.2", Some("name"), &["1.2"]),
            ("name-v1.2", Some("name"), &["1.2"]),
            ("@scope/name@1.2", Some("@scope/name"), &["1.2"]),
            ("name@1.2", Some("@scope/name"), &["1.2"]),
            ("name/v1.2", Some("name"), &["1.2"]),
            ("v1.2", Some("name"), &["1.2"]),
            ("other@1.2", Some("name"), &[]),
            ("name-extra-1.2", Some("name"), &[]),
            ("@scope/other@1.2", Some("@scope/name"), &[]),
            ("latest", None, &[]),
            ("v", None, &[]),
            ("", None, &[]),
            ("nightly", Some("nightly"), &[]),
            ("<b>1", None, &[]),
        ] {
            assert_eq!(versions_of(tag, package), expect, "{tag} {package:?}");
        }
    }
}
