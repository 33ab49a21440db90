//! When the versions of an npm package came, and whether that can be so.
//!
//! A registry that copies another and reports when it fetched has times that are none of publication.
//! That shows: it does not know when a package began, or versions came in an order in which nobody
//! publishes. What is done about it is for the callers to say.

use std::collections::BTreeMap;

use countersign_attest::time::Timestamp;
use semver::Version;
use serde_json::Value;

/// Keys of the map of times that are no versions.
const OTHERS: [&str; 3] = ["created", "modified", "unpublished"];

/// The times of a package's versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Times {
    dated: bool,
    versions: BTreeMap<String, Timestamp>,
}

impl Times {
    /// Reads the `time` of a package's document. The error is a version whose time is none.
    pub(crate) fn read(map: &BTreeMap<String, Value>) -> Result<Self, String> {
        let read = |(version, time): (&String, &Value)| {
            let time = time.as_str().and_then(|time| time.parse().ok());
            time.map(|time| (version.clone(), time))
                .ok_or_else(|| version.clone())
        };
        let versions = map
            .iter()
            .filter(|(key, _)| !OTHERS.contains(&key.as_str()));
        let versions: BTreeMap<_, _> = versions.map(read).collect::<Result<_, _>>()?;
        Ok(Self {
            dated: map.contains_key("created") && !run_backwards(&versions),
            versions,
        })
    }

    /// Whether the times can be those of publication.
    pub(crate) const fn is_dated(&self) -> bool {
        self.dated
    }

    /// What is said of a version, whether or not it can be.
    pub(crate) fn of(&self, version: &str) -> Option<Timestamp> {
        self.versions.get(version).copied()
    }
}

type Release = (Version, Timestamp);

/// Whether a later patch came before an earlier one of its line, or a line before the line below it in
/// its major, or a major before the one below. Lines of old majors go on when they go on.
fn run_backwards(times: &BTreeMap<String, Timestamp>) -> bool {
    let mut released: Vec<Release> = times
        .iter()
        .filter_map(|(version, time)| Some((Version::parse(version).ok()?, *time)))
        .filter(|(version, _)| version.pre.is_empty())
        .collect();
    released.sort();
    let line = |release: &Release| (release.0.major, release.0.minor);
    let lines: Vec<&[Release]> = released.chunk_by(|a, b| line(a) == line(b)).collect();
    let firsts: Vec<&Release> = lines.iter().filter_map(|line| line.first()).collect();
    let majors: Vec<&[&Release]> = firsts.chunk_by(|a, b| a.0.major == b.0.major).collect();
    let falls = |pair: &[&Release]| matches!(pair, [a, b] if a.1 > b.1);
    let any = |releases: Vec<&Release>| releases.windows(2).any(falls);
    lines.iter().any(|line| any(line.iter().collect()))
        || majors.iter().any(|major| any(major.to_vec()))
        || any(majors
            .iter()
            .filter_map(|major| major.first().copied())
            .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn is_dated(versions: &[(&str, &str)], created: bool) -> bool {
        let mut map: BTreeMap<String, Value> = versions
            .iter()
            .map(|(version, year)| {
                (
                    (*version).to_owned(),
                    format!("{year}-01-01T00:00:00.000Z").into(),
                )
            })
            .collect();
        map.insert("modified".into(), "x".into());
        map.insert("unpublished".into(), json!({}));
        if created {
            map.insert("created".into(), "x".into());
        }
        Times::read(&map).unwrap().is_dated()
    }

    #[test]
    fn times_that_run_backwards_are_not_times() {
        for fine in [
            &[
                ("1.0.0", "2020"),
                ("2.0.0", "2021"),
                ("1.1.0", "2022"),
                ("1.0.1", "2023"),
            ][..],
            &[("1.0.0", "2020"), ("1.1.0", "2021"), ("1.0.1", "2022")],
            &[("1.0.0", "2020"), ("2.0.0-rc.1", "2022"), ("2.0.0", "2021")],
            &[
                ("1.0.0", "2020"),
                ("1.0.1", "2020"),
                ("1.0.10", "2021"),
                ("1.0.9", "2021"),
            ],
            &[("1.0.0beta", "2023"), ("1.0.0", "2020")],
            &[],
        ] {
            assert!(is_dated(fine, true), "{fine:?}");
            // a registry that does not know when a package began has its times from elsewhere
            assert!(!is_dated(fine, false), "{fine:?}");
        }
        for backwards in [
            &[("1.0.0", "2022"), ("1.0.1", "2021")][..],
            &[("1.0.9", "2022"), ("1.0.10", "2021")],
            &[("1.0.0", "2022"), ("1.1.0", "2021")],
            &[("0.0.0", "2023"), ("1.0.0", "2020"), ("1.1.0", "2021")],
        ] {
            assert!(!is_dated(backwards, true), "{backwards:?}");
        }
        let map = BTreeMap::from([("1.0.0".to_owned(), json!(7))]);
        assert_eq!(Times::read(&map), Err("1.0.0".to_owned()));
    }
}
