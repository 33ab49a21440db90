//! An npm registry's package documents: what of a package may be seen, and when its versions came.
//!
//! Pure: bytes in, bytes out. What is recorded is a document of ours with what installers read and
//! addresses of the mirror. Everything that is read here is a registry's word, which may be hostile.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::digest::Sha512;
use countersign_attest::time::Timestamp;
use countersign_builder::mirror;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use super::REGISTRY;
use crate::mirror::UnderTest;
use crate::mirror::fault::MirrorError;
use crate::mirror::request::is_version;
use crate::mirror::session::Document;
use crate::mirror::upstream::Registries;
use crate::publish::endpoints::SlashUrl;
use crate::publish::npm::times::Times;

/// What is asked for: the smaller document that registries make for installing has no times.
const ACCEPT: &str = "application/json";
/// What of a version's manifest installers read. Whether a version is deprecated is not among it: that
/// has no time, and decides which versions are chosen.
const FIELDS: [&str; 17] = [
    "_hasShrinkwrap",
    "bin",
    "bundleDependencies",
    "bundledDependencies",
    "cpu",
    "dependencies",
    "devDependencies",
    "directories",
    "engines",
    "hasInstallScript",
    "libc",
    "name",
    "optionalDependencies",
    "os",
    "peerDependencies",
    "peerDependenciesMeta",
    "version",
];
/// Scripts that make a version one with install scripts.
const INSTALL_SCRIPTS: [&str; 3] = ["preinstall", "install", "postinstall"];

#[derive(Debug, Deserialize)]
struct Upstream {
    name: String,
    #[serde(default)]
    versions: BTreeMap<String, Map<String, Value>>,
    #[serde(default)]
    time: BTreeMap<String, Value>,
}

/// A package with all versions that could ever be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Package {
    name: String,
    /// Whether the times are those of publication, as far as that can be told.
    dated: bool,
    versions: BTreeMap<String, Known>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    published: Option<Timestamp>,
    /// Absolute; of any host that the registry names.
    tarball: String,
    pub(super) sha512: Sha512,
    shasum: Option<String>,
    manifest: Map<String, Value>,
}

impl Known {
    /// Where a version's own document is upstream.
    pub(super) fn address(endpoint: &SlashUrl, name: &str, version: &str) -> Url {
        endpoint.join(&format!("{}/{version}", escaped(name)))
    }

    /// Reads a version's own document; `None` where nothing could be verified against it.
    ///
    /// # Errors
    /// When it is not one of this version.
    pub(super) fn read(
        name: &str,
        version: &str,
        bytes: &[u8],
    ) -> Result<Option<Self>, MirrorError> {
        let broken = |problem: String| {
            let of = format!("the document of npm package {name} at {version}");
            MirrorError::Registry(format!("{of}: {problem}"))
        };
        let manifest: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| broken(error.to_string()))?;
        for (key, expected) in [("name", name), ("version", version)] {
            let said = manifest.get(key).and_then(Value::as_str);
            if said != Some(expected) {
                return Err(broken(format!("its {key} is {said:?}")));
            }
        }
        Ok(known(manifest, None))
    }

    /// Where the tarball is upstream.
    pub(super) fn url(&self) -> Result<Url, MirrorError> {
        let broken = || MirrorError::Registry(format!("{:?} is no URL", self.tarball));
        self.tarball.parse().map_err(|_| broken())
    }
}

impl Document for Package {
    const ACCEPT: &'static str = ACCEPT;

    /// The whole name is one segment, as npm spells it.
    fn url(endpoint: &SlashUrl, name: &str) -> Url {
        endpoint.join(&escaped(name))
    }

    fn of_upstream(
        name: &str,
        _: &Url,
        bytes: &[u8],
        registries: &Registries,
    ) -> Result<Option<Self>, MirrorError> {
        Self::read(name, bytes, &registries.under_test).map(Some)
    }
}

fn escaped(name: &str) -> String {
    name.replace('/', "%2f")
}

impl Package {
    /// Reads a registry's document without what is under test, and without versions that nothing could
    /// be verified against.
    ///
    /// # Errors
    /// When the document is not one of this package.
    fn read(name: &str, bytes: &[u8], under_test: &UnderTest) -> Result<Self, MirrorError> {
        let broken = |problem: String| {
            MirrorError::Registry(format!("the document of npm package {name}: {problem}"))
        };
        let upstream: Upstream =
            serde_json::from_slice(bytes).map_err(|error| broken(error.to_string()))?;
        if upstream.name != name {
            return Err(broken(format!("it is about {:?}", upstream.name)));
        }
        let times =
            Times::read(&upstream.time).map_err(|v| broken(format!("{v:?} has no valid time")))?;
        let mut versions = BTreeMap::new();
        for (version, manifest) in upstream.versions {
            if !is_version(&version) || under_test.has_version(&REGISTRY, name, &version) {
                continue;
            }
            if manifest.get("version").and_then(Value::as_str) != Some(version.as_str()) {
                return Err(broken(format!(
                    "version {version:?} calls itself otherwise"
                )));
            }
            if let Some(known) = known(manifest, times.of(&version)) {
                versions.insert(version, known);
            }
        }
        Ok(Self {
            name: name.to_owned(),
            dated: times.is_dated(),
            versions,
        })
    }

    /// Whether the times can be those of publication. If not, nothing is as of any moment.
    pub(super) const fn is_dated(&self) -> bool {
        self.dated
    }

    /// Finds a version, whenever it came: who names it exactly knew it.
    pub(super) fn version(&self, version: &str) -> Option<&Known> {
        self.versions.get(version)
    }

    /// The document that builds see and that is recorded; `None` where nothing was there. Of a package
    /// without usable times everything is seen.
    pub(super) fn to_served(&self, as_of: Timestamp) -> Option<Vec<u8>> {
        let seen = |known: &Known| match (self.dated, known.published) {
            (false, _) => true,
            (true, Some(published)) => published <= as_of,
            (true, None) => false, // when it came is unknown, so it was not there
        };
        let seen: Vec<(&String, &Known)> = self
            .versions
            .iter()
            .filter(|(_, known)| seen(known))
            .collect();
        let latest = latest(seen.iter().map(|(version, _)| version.as_str()))?;
        let (mut versions, mut time) = (Map::new(), Map::new());
        for (version, known) in seen {
            versions.insert(version.clone(), self.served(version, known));
            if let Some(published) = known.published.filter(|_| self.dated) {
                time.insert(version.clone(), published.to_string().into());
            }
        }
        let mut served = json!({
            "name": self.name,
            "dist-tags": { "latest": latest },
            "versions": versions,
        });
        if self.dated {
            served["time"] = time.into();
        }
        // strings and maps with strings as keys: serde_json cannot fail on them
        serde_json::to_vec(&served).ok()
    }

    fn served(&self, version: &str, known: &Known) -> Value {
        let base = self.name.rsplit('/').next().unwrap_or(&self.name);
        let mut dist = json!({
            "tarball": format!("{}{}/-/{base}-{version}.tgz", mirror::NPM_REGISTRY, self.name),
            "integrity": integrity(&known.sha512),
        });
        if let Some(shasum) = &known.shasum {
            dist["shasum"] = shasum.as_str().into();
        }
        let mut manifest = known.manifest.clone();
        manifest.insert("dist".to_owned(), dist);
        manifest.into()
    }
}

fn known(mut manifest: Map<String, Value>, published: Option<Timestamp>) -> Option<Known> {
    let dist = manifest.get("dist")?;
    let text = |key: &str| dist.get(key)?.as_str().map(str::to_owned);
    let (tarball, sha512) = (text("tarball")?, sha512(&text("integrity")?)?);
    let shasum = text("shasum").filter(|sum| {
        sum.len() == 40 && sum.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    });
    let scripts = manifest.get("scripts");
    let installs = INSTALL_SCRIPTS
        .iter()
        .any(|name| scripts.is_some_and(|s| s.get(name).is_some()));
    manifest.retain(|key, _| FIELDS.contains(&key.as_str()));
    if installs {
        manifest.insert("hasInstallScript".to_owned(), true.into());
    }
    Some(Known {
        published,
        tarball,
        sha512,
        shasum,
        manifest,
    })
}

/// The SHA-512 of an integrity text (Subresource Integrity, section 3).
fn sha512(integrity: &str) -> Option<Sha512> {
    let of = |part: &str| {
        let digest = part.strip_prefix("sha512-")?.split('?').next()?;
        let bytes: [u8; 64] = STANDARD.decode(digest).ok()?.try_into().ok()?;
        Some(Sha512::from_bytes(bytes))
    };
    integrity.split_ascii_whitespace().find_map(of)
}

/// The same as a text.
fn integrity(sha512: &Sha512) -> String {
    format!("sha512-{}", STANDARD.encode(sha512.as_bytes()))
}

/// The highest release, or the highest version where none is a release: what the tag of that name
/// most likely said. Other tags have no history and are left out.
fn latest<'a>(versions: impl Iterator<Item = &'a str>) -> Option<String> {
    let key = |text: &'a str| {
        let parsed = Version::parse(text).ok();
        let is_release = parsed.as_ref().is_some_and(|v| v.pre.is_empty());
        (is_release, parsed, text)
    };
    versions.map(key).max().map(|(_, _, text)| text.to_owned())
}

#[cfg(test)]
mod tests {
    use countersign_attest::digest::Digests;

    use super::*;

    fn manifest(version: &str) -> Value {
        json!({
            "name": "@s/dep",
            "version": version,
            "description": "left out",
            "deprecated": "since yesterday",
            "scripts": { "test": "true" },
            "dependencies": { "other": "^1.0.0" },
            "bin": { "dep": "dep.js" },
            "dist": {
                "tarball": format!("https://files.example/{version}"),
                "integrity": integrity(&Digests::of(version.as_bytes()).sha512),
                "shasum": "95106101795f7050c6c650f350c683febddb1780",
                "signatures": [],
            },
        })
    }

    /// A document with `created` and these versions.
    fn document(versions: &[(&str, Option<&str>)]) -> Value {
        let mut document = json!({
            "name": "@s/dep",
            "dist-tags": { "latest": "2.0.0", "next": "3.0.0-rc.1" },
            "versions": {},
            "time": { "created": "2020-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z" },
        });
        for (version, time) in versions {
            document["versions"][version] = manifest(version);
            if let Some(time) = time {
                document["time"][version] = (*time).into();
            }
        }
        document
    }

    fn read(document: &Value) -> Package {
        let bytes = document.to_string().into_bytes();
        Package::read("@s/dep", &bytes, &UnderTest::default()).unwrap()
    }

    fn seen(package: &Package, as_of: &str) -> (Vec<String>, String) {
        let Some(bytes) = package.to_served(as_of.parse().unwrap()) else {
            return (Vec::new(), String::new());
        };
        let served: Value = serde_json::from_slice(&bytes).unwrap();
        let versions = served["versions"].as_object().unwrap();
        assert_eq!(served["dist-tags"].as_object().unwrap().len(), 1);
        let latest = served["dist-tags"]["latest"].as_str().unwrap().to_owned();
        (versions.keys().cloned().collect(), latest)
    }

    const VERSIONS: &[(&str, Option<&str>)] = &[
        ("1.0.0", Some("2020-01-01T00:00:00.500Z")),
        ("1.5.0", None),
        ("2.0.0", Some("2021-01-01T00:00:00Z")),
        ("1.0.1", Some("2022-01-01T00:00:00+00:00")),
        ("3.0.0-rc.1", Some("2023-01-01T00:00:00Z")),
    ];

    #[test]
    fn versions_and_the_latest_are_those_of_the_moment() {
        let package = read(&document(VERSIONS));
        assert!(package.is_dated());
        for (as_of, versions, latest) in [
            ("2019-12-31T23:59:59Z", &[][..], ""),
            ("2020-01-01T00:00:00Z", &["1.0.0"], "1.0.0"),
            ("2021-06-01T00:00:00Z", &["1.0.0", "2.0.0"], "2.0.0"),
            (
                "2022-01-01T00:00:00Z",
                &["1.0.0", "1.0.1", "2.0.0"],
                "2.0.0",
            ),
            (
                "2024-01-01T00:00:00Z",
                &["1.0.0", "1.0.1", "2.0.0", "3.0.0-rc.1"],
                "2.0.0",
            ),
        ] {
            let expected = (
                versions.iter().map(|v| (*v).to_owned()).collect(),
                latest.to_owned(),
            );
            assert_eq!(seen(&package, as_of), expected, "{as_of}");
        }
        // whoever names a version exactly gets it
        assert!(package.version("1.5.0").is_some());
        assert!(package.version("9.9.9").is_none());
        let only = read(&document(&[("1.0.0-rc.1", Some("2020-02-01T00:00:00Z"))]));
        assert_eq!(seen(&only, "2021-01-01T00:00:00Z").1, "1.0.0-rc.1");
    }

    #[test]
    fn what_is_served_is_what_installers_read_with_addresses_of_the_mirror() {
        let mut document = document(&VERSIONS[..1]);
        document["versions"]["1.0.0"]["scripts"]["postinstall"] = "node x".into();
        let package = read(&document);
        let served = package.to_served("2020-06-01T00:00:00Z".parse().unwrap());
        let sum = integrity(&Digests::of(b"1.0.0").sha512);
        assert_eq!(
            serde_json::from_slice::<Value>(&served.unwrap()).unwrap(),
            json!({
                "name": "@s/dep",
                "dist-tags": { "latest": "1.0.0" },
                "versions": { "1.0.0": {
                    "name": "@s/dep",
                    "version": "1.0.0",
                    "dependencies": { "other": "^1.0.0" },
                    "bin": { "dep": "dep.js" },
                    "hasInstallScript": true,
                    "dist": {
                        "tarball": "http://mirror/npm/@s/dep/-/dep-1.0.0.tgz",
                        "integrity": sum,
                        "shasum": "95106101795f7050c6c650f350c683febddb1780",
                    },
                }},
                "time": { "1.0.0": "2020-01-01T00:00:00Z" },
            })
        );
        assert_eq!(
            package.version("1.0.0").unwrap().url().unwrap().as_str(),
            "https://files.example/1.0.0"
        );
    }

    #[test]
    fn times_that_run_backwards_are_not_times() {
        let dated = |versions: &[(&str, Option<&str>)]| read(&document(versions)).is_dated();
        let (y20, y21, y22, y23) = (
            Some("2020-01-01T00:00:00Z"),
            Some("2021-01-01T00:00:00Z"),
            Some("2022-01-01T00:00:00Z"),
            Some("2023-01-01T00:00:00Z"),
        );
        // fixes of old lines, old majors and prereleases come when they come
        for fine in [
            &[
                ("1.0.0", y20),
                ("2.0.0", y21),
                ("1.1.0", y22),
                ("1.0.1", y23),
            ][..],
            &[("1.0.0", y20), ("1.1.0", y21), ("1.0.1", y22)],
            &[("1.0.0", y20), ("2.0.0-rc.1", y22), ("2.0.0", y21)],
            &[
                ("1.0.0", y20),
                ("1.0.1", y20),
                ("1.0.10", y21),
                ("1.0.9", y21),
            ],
            &[("1.0.0", y20), ("1.0.1", None)],
            &[("1.0.0beta", y23), ("1.0.0", y20)],
            &[],
        ] {
            assert!(dated(fine), "{fine:?}");
        }
        for backwards in [
            &[("1.0.0", y22), ("1.0.1", y21)][..],
            &[("1.0.9", y22), ("1.0.10", y21)],
            &[("1.0.0", y22), ("1.1.0", y21)],
            &[("0.0.0", y23), ("1.0.0", y20), ("1.1.0", y21)],
        ] {
            assert!(!dated(backwards), "{backwards:?}");
            // then nothing is as of any moment, and no time is passed on
            let package = read(&document(backwards));
            let served = package.to_served(Timestamp::EPOCH).unwrap();
            let served: Value = serde_json::from_slice(&served).unwrap();
            assert_eq!(
                served["versions"].as_object().unwrap().len(),
                backwards.len()
            );
            assert!(served.get("time").is_none());
        }
        // a registry that does not know when a package began has its times from elsewhere
        let mut copied = document(&VERSIONS[..1]);
        copied["time"].as_object_mut().unwrap().remove("created");
        assert!(!read(&copied).is_dated());
        let mut none = document(&VERSIONS[..1]);
        none.as_object_mut().unwrap().remove("time");
        assert!(!read(&none).is_dated());
    }

    #[test]
    fn what_is_under_test_or_unverifiable_is_not_there() {
        let bytes = document(VERSIONS).to_string().into_bytes();
        let mut tested = UnderTest::default();
        tested.add_version("npm", "@s/dep", "2.0.0");
        let package = Package::read("@s/dep", &bytes, &tested).unwrap();
        assert!(package.version("2.0.0").is_none() && package.version("1.0.0").is_some());

        let mut weak = document(VERSIONS);
        weak["versions"]["1.0.0"]["dist"]["integrity"] = "sha1-lRBhAXlfcFDGxlDzUMaD/r3bF4A=".into();
        weak["versions"]["2.0.0"]["dist"] = Value::Null;
        let package = read(&weak);
        assert!(package.version("1.0.0").is_none() && package.version("2.0.0").is_none());
        assert!(package.version("1.0.1").is_some());
    }

    #[test]
    fn a_document_that_contradicts_itself_is_the_registrys_trouble() {
        for change in [
            (|d: &mut Value| d["name"] = "other".into()) as fn(&mut Value),
            |d| d["versions"]["1.0.0"]["version"] = "1.0.1".into(),
            |d| d["time"]["1.0.0"] = "yesterday".into(),
            |d| d["time"]["1.0.0"] = 7.into(),
            |d| d["versions"] = 7.into(),
        ] {
            let mut document = document(VERSIONS);
            change(&mut document);
            let bytes = document.to_string().into_bytes();
            let read = Package::read("@s/dep", &bytes, &UnderTest::default());
            assert!(matches!(read, Err(MirrorError::Registry(_))));
        }
        let read = Package::read("@s/dep", b"<html>", &UnderTest::default());
        assert!(matches!(read, Err(MirrorError::Registry(_))));
    }
}
