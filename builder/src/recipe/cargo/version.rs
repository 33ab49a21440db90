//! Which cargo packed a crate, as far as the crate shows it.
//!
//! Versions are told by their minor number: cargo has been 1.x since 2015. Between two changes of
//! what `cargo package` writes lies an era, in which one version is as good as another.

use std::fmt;

use countersign_attest::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Minor versions in which what is written changed, as measured on published crates; of those before the
/// first, none is known to be as good as another.
const CHANGES: [u32; 7] = [82, 83, 84, 86, 88, 90, 93];
/// When 1.0 came out (2015-05-15), in seconds.
const FIRST_RELEASE: i64 = 1_431_648_000;
/// A version comes out every six weeks.
const TRAIN: i64 = 42 * 24 * 3600;
/// A nightly's number is up to three ahead of the stable one.
const AHEAD: u32 = 3;

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

    /// How many versions lie between this range and one outside of it.
    pub(super) fn distance(self, minor: u32) -> u32 {
        let above = self.to.map_or(0, |to| minor.saturating_sub(to));
        above.max(self.from.saturating_sub(minor))
    }

    /// Only versions that existed at a moment, nightlies included.
    #[must_use]
    pub(super) fn existing_on(self, moment: Timestamp) -> Self {
        self.before(stable_on(moment) + AHEAD + 1)
    }

    /// The version to install where one of this range is wanted that is not here: the one nearest to
    /// [`Self::likeliest`].
    pub(super) fn to_install(self, here: &[String], published_on: Option<Timestamp>) -> u32 {
        let likeliest = self.likeliest(published_on);
        let absent = |minor: &u32| {
            here.iter()
                .all(|version| self::minor(version) != Some(*minor))
        };
        let all = (self.from..=self.to.unwrap_or(likeliest)).filter(absent);
        all.min_by_key(|minor| minor.abs_diff(likeliest))
            .unwrap_or(likeliest)
    }

    /// Of those that were released by a moment the newest, and the first of a range without an end where the
    /// moment is not known.
    fn likeliest(self, published_on: Option<Timestamp>) -> u32 {
        match (published_on.map(stable_on), self.to) {
            (Some(stable), to) => stable.min(to.unwrap_or(u32::MAX)).max(self.from),
            (None, Some(to)) => to,
            (None, None) => self.from,
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

/// For sorting, the likeliest first: released versions before others; those that were out when the crate
/// was published before later ones; the newest of the former first, the oldest of the latter.
pub(super) fn order(version: &str, published_on: Option<Timestamp>) -> (bool, u32, u32) {
    let minor = minor(version).unwrap_or_default();
    let stable = published_on.map_or(u32::MAX, stable_on);
    let late = minor.saturating_sub(stable);
    (version.contains('-'), late, stable.saturating_sub(minor))
}

/// The newest stable version at a moment, by the calendar of releases.
fn stable_on(moment: Timestamp) -> u32 {
    let trains = (moment.unix_seconds() - FIRST_RELEASE).div_euclid(TRAIN);
    u32::try_from(trains).unwrap_or_default()
}

/// The command that installs cargo 1.`minor` where rustup is out of reach: cargo is a crate, too.
pub(super) fn install(minor: u32) -> String {
    let version = minor.saturating_add(1);
    format!("cargo install cargo --version 0.{version}.0 --locked --root DIR")
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

    fn on(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_likeliest_comes_first() {
        let versions = ["1.97.0-nightly", "1.65.0", "1.90.0", "1.95.0"];
        for (published_on, expect) in [
            (None, ["1.95.0", "1.90.0", "1.65.0", "1.97.0-nightly"]),
            (
                Some(on("2024-06-30T00:00:00Z")),
                ["1.65.0", "1.90.0", "1.95.0", "1.97.0-nightly"],
            ),
            (
                Some(on("2025-10-31T00:00:00Z")),
                ["1.90.0", "1.65.0", "1.95.0", "1.97.0-nightly"],
            ),
        ] {
            let mut sorted = versions;
            sorted.sort_by_key(|version| order(version, published_on));
            assert_eq!(sorted, expect, "{published_on:?}");
        }
    }

    /// As announced: 1.31 on 2018-12-06, 1.56 on 2021-10-21, 1.85 on 2025-02-20, 1.91 on 2025-10-30.
    #[test]
    fn the_calendar_of_releases() {
        for (day, minor) in [
            ("2018-12-08T00:00:00Z", 31),
            ("2021-10-23T00:00:00Z", 56),
            ("2025-02-22T00:00:00Z", 85),
            ("2025-11-01T00:00:00Z", 91),
            ("2014-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(stable_on(on(day)), minor, "{day}");
        }
        let day = on("2024-06-24T00:00:00Z");
        let range = Range::ANY.before(93).existing_on(day);
        assert_eq!(range.to_string(), "1.82 or earlier");
    }

    #[test]
    fn what_to_install_is_in_the_range() {
        let day = Some(on("2024-06-24T00:00:00Z"));
        for (range, published_on, expect) in [
            (Range::ANY.since(84).before(93), None, 92),
            (Range::ANY.since(93), None, 93),
            (Range::ANY.before(93), day, 79),
            (Range::ANY.since(83), day, 83),
            (Range::ANY.before(71), day, 70),
        ] {
            assert_eq!(range.likeliest(published_on), expect, "{range}");
        }
        let here = ["1.79.0", "1.78.2", "1.65.0"].map(str::to_owned);
        let range = Range::ANY.since(31).before(83);
        assert_eq!(range.to_install(&here, day), 80);
        assert_eq!(range.to_install(&[], day), 79);
        assert_eq!(
            install(92),
            "cargo install cargo --version 0.93.0 --locked --root DIR"
        );
    }

    #[test]
    fn the_distance_to_a_range() {
        let range = Range::ANY.since(84).before(93);
        for (minor, expect) in [(80, 4), (84, 0), (92, 0), (95, 3)] {
            assert_eq!(range.distance(minor), expect);
        }
    }
}
