//! Cargo's sparse index: where things are upstream, and what of an index file may be seen.
//!
//! Pure: bytes in, bytes out. Everything in here is a registry's word, which may be hostile.

use countersign_attest::digest::Sha256;
use countersign_attest::time::Timestamp;
use countersign_builder::mirror;
use serde::Deserialize;
use url::Url;

use super::REGISTRY;
use crate::mirror::UnderTest;
use crate::mirror::fault::MirrorError;
use crate::mirror::request::is_version;
use crate::publish::endpoints::SlashUrl;

/// What the mirror answers for `config.json`; the same on every machine.
pub(super) fn config() -> Vec<u8> {
    format!("{{\"dl\":\"{}\"}}\n", mirror::CARGO_DL).into_bytes()
}

/// The part of a registry's `config.json` that counts (RFC 2141, RFC 3139).
#[derive(Debug, Deserialize)]
struct Config {
    dl: String,
    #[serde(default, rename = "auth-required")]
    auth_required: bool,
}

/// Reads where a registry has its downloads.
pub(super) fn download_template(bytes: &[u8]) -> Result<String, MirrorError> {
    let config: Config = serde_json::from_slice(bytes)
        .map_err(|error| MirrorError::Registry(format!("cargo's config.json: {error}")))?;
    if config.auth_required {
        let problem = "the cargo registry wants credentials, and the mirror has none";
        return Err(MirrorError::Registry(problem.into()));
    }
    Ok(config.dl)
}

/// Where a crate's file is upstream.
pub(super) fn download_url(
    template: &str,
    name: &str,
    version: &str,
    sha256: &Sha256,
) -> Result<Url, MirrorError> {
    let lower = name.to_ascii_lowercase();
    let markers = [
        ("{crate}", name.to_owned()),
        ("{version}", version.to_owned()),
        ("{prefix}", shelf(name)),
        ("{lowerprefix}", shelf(&lower)),
        ("{sha256-checksum}", sha256.to_string()),
    ];
    let mut url = template.to_owned();
    if markers.iter().any(|(marker, _)| template.contains(marker)) {
        for (marker, value) in &markers {
            url = url.replace(marker, value); // no value has a brace
        }
    } else {
        url = format!(
            "{}/{name}/{version}/download",
            template.trim_end_matches('/')
        );
    }
    url.parse()
        .map_err(|_| MirrorError::Registry(format!("cargo's download address {url:?} is no URL")))
}

/// The folders of a crate's file in a sparse index (The Cargo Book, Index Format).
pub(super) fn shelf(name: &str) -> String {
    let part = |from: usize, to: usize| name.get(from..to).unwrap_or_default();
    match name.len() {
        1 => "1".to_owned(),
        2 => "2".to_owned(),
        3 => format!("3/{}", part(0, 1)),
        _ => format!("{}/{}", part(0, 2), part(2, 4)),
    }
}

/// Where a crate's index file is upstream.
pub(super) fn url(endpoint: &SlashUrl, name: &str) -> Url {
    endpoint.join(&format!("{}/{name}", shelf(name)))
}

/// The part of a line of the index that the mirror reads.
#[derive(Debug, Deserialize)]
struct Line {
    name: String,
    vers: String,
    cksum: String,
    #[serde(default)]
    pubtime: Option<String>,
}

/// Keeps the versions that were there at a moment, and drops what is under test; each kept line is
/// the registry's, byte for byte.
///
/// # Errors
/// When a line is not one of this crate, or no version at all has a time: then the registry cannot
/// say what was there, and nobody can.
pub(super) fn filtered(
    name: &str,
    bytes: &[u8],
    as_of: Timestamp,
    under_test: &UnderTest,
) -> Result<Vec<u8>, MirrorError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| MirrorError::Registry(format!("the index of crate {name} is not UTF-8")))?;
    let (mut kept, mut timed, mut any) = (String::new(), false, false);
    for text in text.lines().filter(|line| !line.is_empty()) {
        let (line, sha256) = read_line(name, text)?;
        any = true;
        let Some(time) = &line.pubtime else {
            continue; // when it came is unknown, so it was not there
        };
        let time: Timestamp = time.parse().map_err(|_| {
            MirrorError::Registry(format!("crate {name} {} has no valid pubtime", line.vers))
        })?;
        timed = true;
        if time <= as_of
            && !under_test.has_version(&REGISTRY, &line.name, &line.vers)
            && !under_test.has_digest(&sha256)
        {
            kept.push_str(text);
            kept.push('\n');
        }
    }
    if any && !timed {
        return Err(MirrorError::NoTimes(format!("crate {name}")));
    }
    Ok(kept.into_bytes())
}

/// Finds the digest of a version in a filtered index file.
pub(super) fn find(
    name: &str,
    version: &str,
    filtered: &[u8],
) -> Result<Option<Sha256>, MirrorError> {
    let text = String::from_utf8_lossy(filtered); // it was text when it was filtered
    for text in text.lines() {
        let (line, sha256) = read_line(name, text)?;
        if line.name == name && line.vers == version {
            return Ok(Some(sha256));
        }
    }
    Ok(None)
}

fn read_line(name: &str, text: &str) -> Result<(Line, Sha256), MirrorError> {
    let broken =
        |problem: String| MirrorError::Registry(format!("the index of crate {name}: {problem}"));
    let line: Line = serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
    if !line.name.eq_ignore_ascii_case(name) || !is_version(&line.vers) {
        return Err(broken(
            "a line of another crate, or without a version".into(),
        ));
    }
    let sha256 = line
        .cksum
        .parse()
        .map_err(|_| broken(format!("version {} has no sha256", line.vers)))?;
    Ok((line, sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(version: &str, pubtime: Option<&str>) -> String {
        let sha256 = Sha256::of(version.as_bytes());
        let time = pubtime.map_or_else(String::new, |time| format!(",\"pubtime\":\"{time}\""));
        format!(
            "{{\"name\":\"Dep\",\"vers\":\"{version}\",\"cksum\":\"{sha256}\",\"deps\":[]{time}}}\n"
        )
    }

    fn index() -> String {
        [
            line("1.0.0", Some("2020-01-01T00:00:00Z")),
            line("1.0.1", Some("2020-01-01T00:00:01Z")),
            line("1.0.2", None),
            line("2.0.0", Some("2021-01-01T00:00:00Z")),
        ]
        .concat()
    }

    fn versions(as_of: &str, under_test: &UnderTest) -> Vec<String> {
        let kept = filtered(
            "dep",
            index().as_bytes(),
            as_of.parse().unwrap(),
            under_test,
        )
        .unwrap();
        let kept = String::from_utf8(kept).unwrap();
        for line in kept.lines() {
            assert!(index().lines().any(|l| l == line), "{line}");
        }
        kept.lines()
            .map(|l| serde_json::from_str::<Line>(l).unwrap().vers)
            .collect()
    }

    #[test]
    fn versions_are_those_of_the_moment() {
        let none = UnderTest::default();
        assert!(versions("2019-12-31T23:59:59Z", &none).is_empty());
        assert_eq!(versions("2020-01-01T00:00:00Z", &none), ["1.0.0"]);
        assert_eq!(versions("2020-01-01T00:00:01Z", &none), ["1.0.0", "1.0.1"]);
        let all = ["1.0.0", "1.0.1", "2.0.0"];
        assert_eq!(versions("2025-01-01T00:00:00Z", &none), all);
    }

    #[test]
    fn what_is_under_test_is_not_there() {
        let mut tested = UnderTest::default();
        tested.add_version("cargo", "DEP", "1.0.1");
        assert_eq!(
            versions("2025-01-01T00:00:00Z", &tested),
            ["1.0.0", "2.0.0"]
        );
        let mut tested = UnderTest::default();
        tested.add_digest(Sha256::of(b"2.0.0"));
        assert_eq!(
            versions("2025-01-01T00:00:00Z", &tested),
            ["1.0.0", "1.0.1"]
        );
        let mut tested = UnderTest::default();
        tested.add_name("cargo", "DEP");
        assert!(versions("2025-01-01T00:00:00Z", &tested).is_empty());
        let mut other = UnderTest::default();
        other.add_version("pypi", "dep", "1.0.1");
        other.add_version("cargo", "dep-2", "1.0.1");
        other.add_name("pypi", "dep");
        other.add_name("cargo", "dep-2");
        assert_eq!(versions("2025-01-01T00:00:00Z", &other).len(), 3);
    }

    #[test]
    fn a_registry_without_times_is_a_loud_fault() {
        let (now, none) = (Timestamp::EPOCH, UnderTest::default());
        let bare = line("1.0.0", None);
        let error = filtered("dep", bare.as_bytes(), now, &none).unwrap_err();
        assert!(matches!(error, MirrorError::NoTimes(_)));
        assert_eq!(filtered("dep", b"", now, &none).unwrap(), b"");
        for broken in [
            "not json\n".to_owned(),
            line("1.0.0", Some("yesterday")),
            line("1.0.0", None).replace("Dep", "other"),
            line("1.0.0", None).replace("\"cksum\":\"", "\"cksum\":\"00"),
            line("../1", None),
        ] {
            let error = filtered("dep", broken.as_bytes(), now, &none);
            assert!(matches!(error, Err(MirrorError::Registry(_))), "{broken}");
        }
    }

    #[test]
    fn downloads_are_where_the_registry_says() {
        let sha256 = Sha256::of(b"x");
        for (template, expected) in [
            (
                "https://dl.example/crates",
                "https://dl.example/crates/Dep/1.0.0/download".to_owned(),
            ),
            (
                "https://dl.example/{crate}/{crate}-{version}.crate",
                "https://dl.example/Dep/Dep-1.0.0.crate".to_owned(),
            ),
            (
                "https://dl.example/{prefix}/{lowerprefix}/{sha256-checksum}",
                format!("https://dl.example/3/D/3/d/{sha256}"),
            ),
        ] {
            assert_eq!(
                download_url(template, "Dep", "1.0.0", &sha256)
                    .unwrap()
                    .as_str(),
                expected
            );
        }
        assert!(download_url("nowhere", "Dep", "1.0.0", &sha256).is_err());
        assert_eq!(download_template(b"{\"dl\":\"x\"}").unwrap(), "x");
        assert!(download_template(b"{\"dl\":\"x\",\"auth-required\":true}").is_err());
        assert!(download_template(b"{}").is_err());
    }
}
