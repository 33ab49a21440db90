//! Which cargo packed a crate, as far as the crate shows it.
//!
//! Versions are told by their minor number: cargo has been 1.x since 2015. Between two changes of
//! what `cargo package` writes lies an era, in which one version is as good as another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Minor versions in which what is written changed, as measured on published crates; of those before the
/// first, none is known to be as good as another.
const CHANGES: [u32; 7] = [82, 83, 84, 86, 88, 90, 93];
/// A range of minor versions of cargo 1.x.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first that can be it.
    pub from: u32,
    /// The last that can be it; `None` where there is no known end.
    pub to: Option<u32>,
}

impl Range {
    /// Every version.
    pub const ANY: Self = Self { from: 0, to: None };

    /// Only versions from this one on.
    #[must_use]
    pub fn since(self, minor: u32) -> Self {
        Self {
            from: self.from.max(minor),
            ..self
        }
    }

    /// Only versions before this one.
    #[must_use]
    pub fn before(self, minor: u32) -> Self {
        let last = minor.saturating_sub(1);
        Self {
            to: Some(self.to.map_or(last, |to| to.min(last))),
            ..self
        }
    }

    /// Whether a version such as `1.95.0` or `1.97.0-nightly` can be it.
    #[must_use]
    pub fn holds(self, version: &str) -> bool {
        minor(version)
            .is_some_and(|minor| self.from <= minor && self.to.is_none_or(|to| minor <= to))
    }

    /// The eras of this range of which none of these versions is; `None` where there is none.
    #[must_use]
    pub(super) fn missing(self, here: &[String]) -> Option<String> {
        let first = CHANGES.first().copied().unwrap_or_default();
        let starts = (0..first).chain(CHANGES);
        let ends = (1..=first).chain(CHANGES.into_iter().skip(1)).map(Some);
        let mut missing: Vec<Self> = Vec::new();
        for (start, end) in starts.zip(ends.chain(std::iter::once(None))) {
            let mut era = self.since(start);
            if let Some(end) = end {
                era = era.before(end);
            }
            let empty = era.to.is_some_and(|to| to < era.from);
            if empty || here.iter().any(|version| era.holds(version)) {
                continue;
            }
            match missing.last_mut() {
                // one after the other, each of its own
                Some(last) if start < first && last.to == Some(era.from.saturating_sub(1)) => {
                    last.to = era.to;
                }
                Some(_) | None => missing.push(era),
            }
        }
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (0, None) => f.write_str("of any version"),
            (from, None) => write!(f, "1.{from} or later"),
            (0, Some(to)) => write!(f, "1.{to} or earlier"),
            (from, Some(to)) if from == to => write!(f, "1.{from}"),
            (from, Some(to)) => write!(f, "1.{from} to 1.{to}"),
        }
    }
}

/// The second number of 1.x.
pub(super) fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("1.")?.split('.').next()?.parse().ok()
}

/// For sorting: released versions above others, then by number.
pub(super) fn rank(version: &str) -> (bool, u32) {
    (!version.contains('-'), minor(version).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_versions() {
        let range = Range::ANY.since(84).before(93);
        for (version, expect) in [
            ("1.84.0", true),
            ("1.92.1", true),
            ("1.83.0", false),
            ("1.93.0", false),
            ("1.90.0-nightly", true),
            ("2.90.0", false),
            ("1.x", false),
            ("", false),
        ] {
            assert_eq!(range.holds(version), expect, "{version}");
        }
    }

    #[test]
    fn what_is_missing_is_named_by_era() {
        let here =
            |versions: &[&str]| -> Vec<String> { versions.iter().map(|&v| v.to_owned()).collect() };
        for (range, versions, expect) in [
            (Range::ANY.since(93), &["1.95.0"][..], None),
            (Range::ANY.since(93), &["1.92.0"], Some("1.93 or later")),
            (Range::ANY.since(90).before(93), &["1.91.0", "1.95.0"], None),
            (
                Range::ANY.since(84).before(93),
                &["1.95.0", "1.89.0"],
                Some("1.84 to 1.85, 1.86 to 1.87, 1.90 to 1.92"),
            ),
            (Range::ANY.before(82), &[], Some("1.81 or earlier")),
            // before the first known change nothing is as good as another
            (
                Range::ANY.before(83),
                &["1.65.0"],
                Some("1.64 or earlier, 1.66 to 1.81, 1.82"),
            ),
        ] {
            assert_eq!(range.missing(&here(versions)).as_deref(), expect, "{range}");
        }
    }

    #[test]
    fn releases_come_before_nightlies() {
        let mut versions = ["1.97.0-nightly", "1.90.0", "1.95.0"];
        versions.sort_by_key(|version| std::cmp::Reverse(rank(version)));
        assert_eq!(versions, ["1.95.0", "1.90.0", "1.97.0-nightly"]);
    }
}
