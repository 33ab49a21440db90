//! Scopes: package URLs with `*`, by which rules and exemptions say what they are for.

use std::fmt;
use std::str::FromStr;

use crate::purl::Purl;

/// Longest scope in bytes.
const MAX_BYTES: usize = 512;
/// Most stars in a scope; each costs a pass over the package URL.
const MAX_STARS: usize = 8;

/// A package URL in canonical form in which `*` stands for any characters, slashes too. Where it names
/// no version it means every one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    text: String,
}

/// Says why a text is not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseScopeError {
    /// Not of the form.
    #[error(
        "a scope is a package URL such as pkg:npm/left-pad or pkg:npm/*, of at most {MAX_BYTES} bytes with at most {MAX_STARS} stars"
    )]
    Form,
    /// Spelled in a way that no canonical package URL has, so that it would never match.
    #[error("no package URL is spelled like this; write {0}")]
    NotCanonical(String),
}

impl Scope {
    /// The scope of every package; only [`super::Rule`]s have it, where a policy says `default`.
    #[must_use]
    pub(super) fn everything() -> Self {
        Self {
            text: "default".into(),
        }
    }

    /// The characters before the first `*`: the longest of several decides.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        self.text
            .split_once('*')
            .map_or(&self.text, |(literal, _)| literal)
    }

    /// Whether a package is meant.
    #[must_use]
    pub fn matches(&self, purl: &Purl) -> bool {
        let text = purl.as_str();
        let bare = text.split(['?', '#']).next().unwrap_or(text);
        // the version starts at the last @: one in a name is written %40
        let nameless = bare.rsplit_once('@').map_or(bare, |(name, _)| name);
        [text, bare, nameless]
            .iter()
            .any(|text| glob(&self.text, text))
    }
}

/// Whether a pattern covers a whole text. Takes time in the product of both lengths at most.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

impl FromStr for Scope {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, ParseScopeError> {
        let stars = text.matches('*').count();
        if text.len() > MAX_BYTES || stars > MAX_STARS || text.contains(char::is_whitespace) {
            return Err(ParseScopeError::Form);
        }
        // an @ after a slash is a name's: npm scopes are written so by people
        let text = text.replace("/@", "/%40");
        let versioned = text.rsplit('/').next().is_some_and(|n| n.contains('@'));
        // what a star could stand for: with it the scope must be a package URL as it would be printed
        let sample = text.replace('*', "0");
        let sample = if versioned || sample.contains(['?', '#']) {
            sample
        } else {
            format!("{sample}@0")
        };
        let purl: Purl = sample.parse().map_err(|_| ParseScopeError::Form)?;
        if purl.as_str() != sample {
            let right = purl.as_str();
            let right = if versioned {
                right
            } else {
                right.strip_suffix("@0").unwrap_or(right)
            };
            return Err(ParseScopeError::NotCanonical(right.to_owned()));
        }
        Ok(Self { text })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything_and_everything_else_for_itself() {
        for (scope, purl, expected) in [
            ("pkg:npm/*", "pkg:npm/left-pad@1", true),
            ("pkg:npm/*", "pkg:npm/@babel/core@1", true),
            ("pkg:npm/*", "pkg:npmx/left-pad@1", false),
            ("pkg:npm/left*", "pkg:npm/left-pad@1?a=b", true),
            ("pkg:npm/left*", "pkg:npm/right-left@1", false),
            ("pkg:npm/left-pad", "pkg:npm/left-pad@1", true),
            ("pkg:npm/left-pad", "pkg:npm/left-pad@1?a=b", true),
            ("pkg:npm/left-pad", "pkg:npm/left-padding@1", false),
            ("pkg:npm/left-pad", "pkg:npm/left@1", false),
            ("pkg:npm/left-pad@1.2", "pkg:npm/left-pad@1.2", true),
            ("pkg:npm/left-pad@1.2", "pkg:npm/left-pad@1.2.3", false),
            ("pkg:npm/left-pad@1.*", "pkg:npm/left-pad@1.2.3", true),
            ("pkg:npm/left-pad@1.*", "pkg:npm/left-pad@2.1", false),
            ("pkg:npm/@babel/*", "pkg:npm/%40babel/core@1", true),
            ("pkg:npm/%40babel/*", "pkg:npm/@babel/core@1", true),
            ("pkg:npm/@babel/*", "pkg:npm/babel/core@1", false),
            ("pkg:deb/debian/*-dev", "pkg:deb/debian/libc-dev@1", true),
            ("pkg:deb/debian/*-dev", "pkg:deb/debian/libc-devel@1", false),
            ("pkg:npm/*a*a*", "pkg:npm/xaxa@1", true),
            ("pkg:npm/*a*a*", "pkg:npm/xax@1", false),
        ] {
            let (scope, purl): (Scope, Purl) = (scope.parse().unwrap(), purl.parse().unwrap());
            assert_eq!(scope.matches(&purl), expected, "{scope} {purl}");
        }
    }

    #[test]
    fn a_scope_that_could_never_match_is_refused() {
        for bad in [
            "",
            "*",
            "default",
            "pkg:*",
            "npm/*",
            "pkg:npm/a b",
            "pkg:npm/*********",
        ] {
            assert_eq!(bad.parse::<Scope>(), Err(ParseScopeError::Form), "{bad}");
        }
        let right = |text: &str| match text.parse::<Scope>() {
            Err(ParseScopeError::NotCanonical(right)) => right,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(right("pkg:pypi/Foo_Bar"), "pkg:pypi/foo-bar");
        assert_eq!(right("pkg:NPM/left-pad@1"), "pkg:npm/left-pad@1");
    }
}
