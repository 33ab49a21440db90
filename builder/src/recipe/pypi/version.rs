//! Versions and version ranges of Python packages, as much of PEP 440 as a recipe must understand.
//!
//! What cannot be read is `None`, never a guess: whoever asks then leaves the question to pip.

use std::cmp::Ordering;

/// Longest text that is read as a version.
const LONGEST: usize = 256;

/// A version. Two spellings of one version are equal (PEP 440 §normalization).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    epoch: u64,
    /// Without zeros at its end: `1.0` is `1`.
    release: Vec<u64>,
    /// Kind and number of a pre-release: 0 alpha, 1 beta, 2 candidate.
    pre: Option<(u8, u64)>,
    post: Option<u64>,
    dev: Option<u64>,
    local: Option<String>,
}

impl Version {
    /// Reads any spelling; `None` where it is no version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let text = text.trim().to_ascii_lowercase();
        let text = text.strip_prefix('v').unwrap_or(&text);
        let (text, local) = match text.split_once('+') {
            Some((text, local)) => (text, Some(parse_local(local)?)),
            None => (text, None),
        };
        let (epoch, text) = match text.split_once('!') {
            Some((epoch, text)) => (epoch.parse().ok()?, text),
            None => (0, text),
        };
        let mut rest = Rest(text);
        let mut release = vec![rest.number()?];
        while let Some(number) = rest.dotted_number() {
            release.push(number);
        }
        while release.last() == Some(&0) {
            release.pop();
        }
        let pre = rest.pre();
        let post = rest.post();
        let dev = rest.numbered(&["dev"]);
        rest.0.is_empty().then_some(Self {
            epoch,
            release,
            pre,
            post,
            dev,
            local,
        })
    }

    /// Compares without local parts, as ranges do.
    fn compare(&self, other: &Self) -> Ordering {
        // a development release of a plain version comes before its pre-releases
        let stage = |v: &Self| match (v.pre, v.post, v.dev) {
            (Some((kind, number)), _, _) => (1, kind, number),
            (None, None, Some(_)) => (0, 0, 0),
            (None, _, _) => (2, 0, 0),
        };
        let key = |v: &Self| (stage(v), v.post.map_or(0, |n| n.saturating_add(1)));
        let dev = |v: &Self| v.dev.unwrap_or(u64::MAX);
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| self.release.cmp(&other.release))
            .then_with(|| key(self).cmp(&key(other)))
            .then_with(|| dev(self).cmp(&dev(other)))
    }

    fn begins_with(&self, prefix: &[u64]) -> bool {
        let padded = self.release.iter().copied().chain(std::iter::repeat(0));
        padded.zip(prefix).all(|(a, b)| a == *b)
    }
}

fn parse_local(text: &str) -> Option<String> {
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let text = text.replace(['-', '_'], ".");
    text.split('.').all(plain).then_some(text)
}

/// What is left to read.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn number(&mut self) -> Option<u64> {
        let end = self
            .0
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at_checked(end)?;
        let number = digits.parse().ok()?;
        self.0 = rest;
        Some(number)
    }

    fn dotted_number(&mut self) -> Option<u64> {
        let before = self.0;
        self.0 = self.0.strip_prefix('.')?;
        let number = self.number();
        if number.is_none() {
            self.0 = before;
        }
        number
    }

    /// One of these words, with a separator before it and a number after it, each perhaps absent.
    fn numbered(&mut self, words: &[&str]) -> Option<u64> {
        let separators = ['.', '-', '_'];
        let text = self.0.strip_prefix(separators).unwrap_or(self.0);
        let rest = words.iter().find_map(|word| text.strip_prefix(word))?;
        self.0 = rest;
        let mut number = Rest(rest.strip_prefix(separators).unwrap_or(rest));
        match number.number() {
            Some(found) => {
                self.0 = number.0;
                Some(found)
            }
            None => Some(0),
        }
    }

    fn pre(&mut self) -> Option<(u8, u64)> {
        // the longer words first: "a" begins "alpha"
        let kinds: [(u8, &[&str]); 3] = [
            (0, &["alpha", "a"]),
            (1, &["beta", "b"]),
            (2, &["preview", "pre", "rc", "c"]),
        ];
        kinds
            .iter()
            .find_map(|(kind, words)| self.numbered(words).map(|number| (*kind, number)))
    }

    fn post(&mut self) -> Option<u64> {
        if let Some(number) = self.numbered(&["post", "rev", "r"]) {
            return Some(number);
        }
        let mut number = Rest(self.0.strip_prefix('-')?);
        let found = number.number()?;
        self.0 = number.0;
        Some(found)
    }
}

/// Whether a version is in a range like `>=1.0,<2,!=1.5.*`; `None` where the range is not one that
/// is understood here.
#[must_use]
pub fn is_in_range(version: &Version, range: &str) -> Option<bool> {
    let range = range.trim();
    let range = range
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
        .unwrap_or(range);
    let mut all = true;
    for clause in range.split(',').map(str::trim).filter(|c| !c.is_empty()) {
        all &= fits(version, clause)?;
    }
    Some(all)
}

fn fits(version: &Version, clause: &str) -> Option<bool> {
    let end = clause.find(|c| !matches!(c, '<' | '>' | '=' | '!' | '~'))?;
    let (operator, text) = clause.split_at_checked(end)?;
    let text = text.trim();
    if let Some(prefix) = text.strip_suffix(".*") {
        let numbers: Option<Vec<u64>> = prefix.split('.').map(|n| n.parse().ok()).collect();
        let begins = version.epoch == 0 && version.begins_with(&numbers?);
        return match operator {
            "==" => Some(begins),
            "!=" => Some(!begins),
            _ => None,
        };
    }
    let other = Version::parse(text)?;
    let order = version.compare(&other);
    // what `<` and `>` say of pre- and post-releases of the bound itself is left to pip
    let plain = |v: &Version| v.pre.is_none() && v.post.is_none() && v.dev.is_none();
    match operator {
        "==" => Some(order.is_eq()),
        "!=" => Some(order.is_ne()),
        ">=" => Some(order.is_ge()),
        "<=" => Some(order.is_le()),
        ">" if plain(version) && plain(&other) => Some(order.is_gt()),
        "<" if plain(version) && plain(&other) => Some(order.is_lt()),
        "~=" => {
            let numbers: Option<Vec<u64>> = text.split('.').map(|n| n.parse().ok()).collect();
            let numbers = numbers?;
            let (_, prefix) = numbers.split_last()?;
            (!prefix.is_empty()).then(|| order.is_ge() && version.begins_with(prefix))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn spellings_of_one_version_are_equal() {
        for (a, b) in [
            ("1.0", "1"),
            ("v1.2.0", "1.2"),
            ("1.0RC1", "1.0-c.1"),
            ("1.0alpha", "1a0"),
            ("1.0-1", "1.post1"),
            ("1.0.dev", "1.0-DEV0"),
            ("1!2.0", "1!2"),
            ("1.0+Ubuntu-1", "1+ubuntu.1"),
            ("25.01", "25.1"),
        ] {
            assert_eq!(version(a), version(b), "{a} {b}");
        }
        for (a, b) in [
            ("1.0", "1.0.1"),
            ("1.0", "1.0a1"),
            ("1.0", "1.0+x"),
            ("1.0", "1!1.0"),
        ] {
            assert_ne!(version(a), version(b), "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_version_is_none() {
        let long = "1.".repeat(200);
        for text in [
            "",
            "v",
            "a",
            "1.",
            "1..2",
            "1.0x",
            "1.0+",
            "1.0+a..b",
            "99999999999999999999",
            "é",
            "1é",
            &long,
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn versions_are_ordered_as_released() {
        let sorted = [
            "1.0.dev1",
            "1.0a1.dev1",
            "1.0a1",
            "1.0b2",
            "1.0rc1",
            "1.0",
            "1.0.post1",
            "1.0.1",
            "1.10",
            "2",
            "1!0.1",
        ];
        for pair in sorted.windows(2) {
            let [a, b] = pair else {
                unreachable!("windows of two")
            };
            assert_eq!(version(a).compare(&version(b)), Ordering::Less, "{a} {b}");
        }
    }

    #[test]
    fn ranges_hold_or_are_left_to_pip() {
        for (range, text, expect) in [
            (">=3.11,<4", "3.12.0", Some(true)),
            (">=3.11,<4", "4.0", Some(false)),
            (">=3.11, <4", "3.9", Some(false)),
            ("(>=1.0)", "1", Some(true)),
            ("", "1", Some(true)),
            ("==1.2.*", "1.2.9", Some(true)),
            ("==1.2.*", "1.20", Some(false)),
            ("!=1.2.*", "1.2", Some(false)),
            ("~=1.4.2", "1.4.9", Some(true)),
            ("~=1.4.2", "1.5", Some(false)),
            ("~=1.4", "1.9", Some(true)),
            ("==1.0", "1", Some(true)),
            ("<=2", "2.0", Some(true)),
            ("!=2", "2.0", Some(false)),
            ("<2", "2rc1", None),
            ("===1", "1", None),
            ("~=1", "1", None),
            ("1.0", "1", None),
            (">=", "1", None),
        ] {
            assert_eq!(is_in_range(&version(text), range), expect, "{range} {text}");
        }
    }
}
