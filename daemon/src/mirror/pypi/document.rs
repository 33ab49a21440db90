//! The simple index of Python packages: what of a project's files may be seen, in both its forms.
//!
//! Pure: bytes in, bytes out. Upstream is asked for the JSON form (PEP 691) with upload times
//! (PEP 700). What is recorded is a JSON document of ours with the kept files in a fixed order; the HTML
//! form (PEP 503) is a rendering of it and is not recorded by itself.

use std::collections::BTreeMap;

use countersign_attest::digest::Sha256;
use countersign_attest::time::Timestamp;
use countersign_builder::mirror;
use serde::{Deserialize, Serialize};
use url::Url;

use super::REGISTRY;
use super::version::version_of;
use crate::mirror::UnderTest;
use crate::mirror::fault::MirrorError;
use crate::mirror::session::Document;
use crate::mirror::upstream::Registries;
use crate::publish::endpoints::SlashUrl;

/// The JSON form's media type.
pub(super) const JSON: &str = "application/vnd.pypi.simple.v1+json";
/// The HTML form's.
pub(super) const HTML: &str = "text/html; charset=utf-8";

#[derive(Debug, Deserialize)]
struct Upstream {
    files: Vec<UpstreamFile>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UpstreamFile {
    filename: String,
    url: String,
    hashes: BTreeMap<String, String>,
    #[serde(default)]
    requires_python: Option<String>,
    #[serde(default)]
    yanked: Option<Yanked>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    upload_time: Option<String>,
}

/// PEP 592: whether, or why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Yanked {
    Is(bool),
    Because(String),
}

/// A project's files as of a moment, and where they are upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Project {
    name: String,
    /// In the order of upload, then of names.
    files: Vec<KnownFile>,
}

/// A file that may be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownFile {
    uploaded: Timestamp,
    name: String,
    /// Absolute; of any host that the registry names.
    url: String,
    pub(super) sha256: Sha256,
    size_bytes: Option<u64>,
    requires_python: Option<String>,
    yanked: Option<Yanked>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Served {
    meta: Meta,
    name: String,
    files: Vec<ServedFile>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    api_version: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ServedFile {
    filename: String,
    url: String,
    hashes: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_python: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    yanked: Option<Yanked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    upload_time: Timestamp,
}

impl KnownFile {
    /// Where the file is upstream.
    pub(super) fn url(&self) -> Result<Url, MirrorError> {
        let broken = || MirrorError::Registry(format!("{:?} is no URL", self.url));
        self.url.parse().map_err(|_| broken())
    }
}

impl Document for Project {
    const ACCEPT: &'static str = JSON;

    fn url(endpoint: &SlashUrl, name: &str) -> Url {
        endpoint.join(&format!("{name}/"))
    }

    /// Nothing, where at that moment there was no such project.
    fn of_upstream(
        name: &str,
        url: &Url,
        bytes: &[u8],
        registries: &Registries,
    ) -> Result<Option<Self>, MirrorError> {
        let project = Self::read(name, url, bytes, registries.as_of, &registries.under_test)?;
        Ok((!project.files.is_empty()).then_some(project))
    }
}

impl Project {
    /// Reads a registry's document and keeps the files that were there at a moment, without what is
    /// under test. Kinds of file that no installer of today takes are dropped.
    ///
    /// # Errors
    /// When the document is not of the JSON form, or no file has a time.
    fn read(
        name: &str,
        index: &Url,
        bytes: &[u8],
        as_of: Timestamp,
        under_test: &UnderTest,
    ) -> Result<Self, MirrorError> {
        let broken = |problem: String| {
            MirrorError::Registry(format!("the index of Python project {name}: {problem}"))
        };
        let upstream: Upstream =
            serde_json::from_slice(bytes).map_err(|error| broken(error.to_string()))?;
        let (mut files, mut timed, any) = (Vec::new(), false, !upstream.files.is_empty());
        for file in upstream.files {
            let Some(time) = &file.upload_time else {
                continue; // when it came is unknown, so it was not there
            };
            let uploaded = time
                .parse()
                .map_err(|_| broken(format!("{:?} has no valid upload-time", file.filename)))?;
            timed = true;
            let Some(version) = version_of(name, &file.filename) else {
                continue;
            };
            let Some(sha256) = file.hashes.get("sha256") else {
                continue; // nothing to verify it against
            };
            let sha256: Sha256 = sha256
                .parse()
                .map_err(|_| broken(format!("{:?} has no valid sha256", file.filename)))?;
            if uploaded > as_of
                || under_test.has_version(&REGISTRY, name, version)
                || under_test.has_digest(&sha256)
            {
                continue;
            }
            let url = index
                .join(&file.url)
                .map_err(|_| broken(format!("{:?} has no valid url", file.filename)))?;
            files.push(KnownFile {
                uploaded,
                name: file.filename,
                url: url.into(),
                sha256,
                size_bytes: file.size,
                requires_python: file.requires_python,
                yanked: file.yanked.filter(|yanked| *yanked != Yanked::Is(false)),
            });
        }
        if any && !timed {
            return Err(MirrorError::NoTimes(format!("Python project {name}")));
        }
        files.sort_by(|a, b| (a.uploaded, &a.name).cmp(&(b.uploaded, &b.name)));
        if files
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.name == b.name))
        {
            return Err(broken("one file stands twice".into()));
        }
        Ok(Self {
            name: name.to_owned(),
            files,
        })
    }

    /// Finds a file by its name.
    pub(super) fn file(&self, name: &str) -> Option<&KnownFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// The document that builds see and that is recorded (PEP 691).
    pub(super) fn to_served(&self) -> Vec<u8> {
        let files = self.files.iter().map(|file| ServedFile {
            filename: file.name.clone(),
            url: format!("{}{}/{}", mirror::PYPI_FILES, self.name, file.name),
            hashes: BTreeMap::from([("sha256".to_owned(), file.sha256.to_string())]),
            requires_python: file.requires_python.clone(),
            yanked: file.yanked.clone(),
            size: file.size_bytes,
            upload_time: file.uploaded,
        });
        let served = Served {
            meta: Meta {
                api_version: "1.0".to_owned(), // 1.1 wants a list of versions too, which we do not vouch for
            },
            name: self.name.clone(),
            files: files.collect(),
        };
        // strings, numbers and string-keyed maps: serde_json cannot fail on them
        serde_json::to_vec(&served).unwrap_or_default()
    }
}

/// Renders a recorded document in the HTML form (PEP 503).
///
/// # Errors
/// When it is not one of ours: then a cache or a plan is broken.
pub(super) fn to_html(served: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let served: Served = serde_json::from_slice(served)?;
    let mut html = format!(
        "<!DOCTYPE html>\n<html><head><meta name=\"pypi:repository-version\" content=\"1.0\"><title>{0}</title></head><body>\n",
        escaped(&served.name)
    );
    for file in &served.files {
        let sha256 = file.hashes.get("sha256").map_or("", String::as_str);
        html.push_str(&format!(
            "<a href=\"{}#sha256={}\"",
            escaped(&file.url),
            escaped(sha256)
        ));
        if let Some(python) = &file.requires_python {
            html.push_str(&format!(" data-requires-python=\"{}\"", escaped(python)));
        }
        match &file.yanked {
            Some(Yanked::Because(reason)) => {
                html.push_str(&format!(" data-yanked=\"{}\"", escaped(reason)));
            }
            Some(Yanked::Is(true)) => html.push_str(" data-yanked=\"\""),
            Some(Yanked::Is(false)) | None => {}
        }
        html.push_str(&format!(">{}</a>\n", escaped(&file.filename)));
    }
    html.push_str("</body></html>\n");
    Ok(html.into_bytes())
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// Whether a client wants the JSON form, from its `Accept` header.
pub(super) fn wants_json(accept: Option<&str>) -> bool {
    accept.is_some_and(|accept| {
        accept.split(',').any(|range| {
            let kind = range.split(';').next().unwrap_or_default().trim();
            kind == JSON || kind == "application/vnd.pypi.simple.latest+json"
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(files: &[(&str, Option<&str>)]) -> Vec<u8> {
        let files: Vec<_> = files
            .iter()
            .map(|(name, time)| {
                let mut file = serde_json::json!({
                    "filename": name,
                    "url": format!("../../files/{name}"),
                    "hashes": { "sha256": Sha256::of(name.as_bytes()).to_string() },
                    "requires-python": ">=3.8 <\"4\"",
                    "core-metadata": true,
                    "yanked": false,
                });
                if let Some(time) = time {
                    file["upload-time"] = (*time).into();
                }
                file
            })
            .collect();
        serde_json::json!({ "meta": { "api-version": "1.1" }, "name": "Dep", "files": files })
            .to_string()
            .into_bytes()
    }

    const FILES: &[(&str, Option<&str>)] = &[
        ("dep_x-2.0-py3-none-any.whl", Some("2021-01-01T00:00:00.5Z")),
        ("dep.x-1.0.tar.gz", Some("2020-01-01T00:00:00.123456Z")),
        ("Dep_X-1.0.0-py3-none-any.whl", Some("2020-01-01T00:00:01Z")),
        ("dep-x-1.5.zip", None),
        ("dep_x-1.0.exe", Some("2020-01-01T00:00:00Z")),
        ("other-1.0.tar.gz", Some("2020-01-01T00:00:00Z")),
    ];

    fn read(as_of: &str, under_test: &UnderTest) -> Project {
        let index = "https://index.example/simple/dep-x/".parse().unwrap();
        let as_of = as_of.parse().unwrap();
        Project::read("dep-x", &index, &document(FILES), as_of, under_test).unwrap()
    }

    fn names(project: &Project) -> Vec<&str> {
        project
            .files
            .iter()
            .map(|file| file.name.as_str())
            .collect()
    }

    #[test]
    fn files_are_those_of_the_moment() {
        let none = UnderTest::default();
        assert!(names(&read("2019-12-31T23:59:59Z", &none)).is_empty());
        assert_eq!(
            names(&read("2020-01-01T00:00:00Z", &none)),
            ["dep.x-1.0.tar.gz"]
        );
        let all = read("2025-01-01T00:00:00Z", &none);
        assert_eq!(
            names(&all),
            [
                "dep.x-1.0.tar.gz",
                "Dep_X-1.0.0-py3-none-any.whl",
                "dep_x-2.0-py3-none-any.whl"
            ]
        );
        let file = all.file("dep.x-1.0.tar.gz").unwrap();
        assert_eq!(
            file.url().unwrap().as_str(),
            "https://index.example/files/dep.x-1.0.tar.gz"
        );
    }

    #[test]
    fn every_file_of_the_version_under_test_is_not_there() {
        let mut tested = UnderTest::default();
        tested.add_version("pypi", "Dep.X", "1.0.0.0");
        assert_eq!(
            names(&read("2025-01-01T00:00:00Z", &tested)),
            ["dep_x-2.0-py3-none-any.whl"]
        );
        let mut tested = UnderTest::default();
        tested.add_digest(Sha256::of(b"dep.x-1.0.tar.gz"));
        assert_eq!(read("2025-01-01T00:00:00Z", &tested).files.len(), 2);
        let mut tested = UnderTest::default();
        tested.add_name("pypi", "Dep.X");
        assert!(names(&read("2025-01-01T00:00:00Z", &tested)).is_empty());
    }

    #[test]
    fn both_forms_say_the_same_and_point_to_the_mirror() {
        let served = read("2020-01-01T00:00:00Z", &UnderTest::default()).to_served();
        let sha256 = Sha256::of(b"dep.x-1.0.tar.gz");
        assert_eq!(
            String::from_utf8(served.clone()).unwrap(),
            format!(
                "{{\"meta\":{{\"api-version\":\"1.0\"}},\"name\":\"dep-x\",\"files\":[{{\"filename\":\"dep.x-1.0.tar.gz\",\
                 \"url\":\"http://mirror/pypi/files/dep-x/dep.x-1.0.tar.gz\",\"hashes\":{{\"sha256\":\"{sha256}\"}},\
                 \"requires-python\":\">=3.8 <\\\"4\\\"\",\"upload-time\":\"2020-01-01T00:00:00Z\"}}]}}"
            )
        );
        let html = String::from_utf8(to_html(&served).unwrap()).unwrap();
        assert!(html.contains(&format!(
            "<a href=\"http://mirror/pypi/files/dep-x/dep.x-1.0.tar.gz#sha256={sha256}\" \
             data-requires-python=\"&gt;=3.8 &lt;&quot;4&quot;\">dep.x-1.0.tar.gz</a>"
        )));
        assert!(to_html(b"<html>").is_err());
        for (accept, json) in [
            (
                Some("application/vnd.pypi.simple.v1+json, text/html; q=0.01"),
                true,
            ),
            (
                Some("text/html, application/vnd.pypi.simple.v1+json;q=0.5"),
                true,
            ),
            (Some("text/html"), false),
            (Some("*/*"), false),
            (None, false),
        ] {
            assert_eq!(wants_json(accept), json, "{accept:?}");
        }
    }

    #[test]
    fn a_registry_without_times_is_a_loud_fault() {
        let index: Url = "https://index.example/dep-x/".parse().unwrap();
        let read = |bytes: &[u8]| {
            Project::read(
                "dep-x",
                &index,
                bytes,
                Timestamp::EPOCH,
                &UnderTest::default(),
            )
        };
        let bare = document(&[("dep_x-1.0.tar.gz", None)]);
        assert!(matches!(read(&bare), Err(MirrorError::NoTimes(_))));
        assert!(read(&document(&[])).is_ok());
        for broken in [
            b"<html></html>".to_vec(),
            document(&[("dep_x-1.0.tar.gz", Some("never"))]),
        ] {
            assert!(matches!(read(&broken), Err(MirrorError::Registry(_))));
        }
        let twice = document(&[("dep_x-1.0.tar.gz", Some("1960-01-01T00:00:00Z")); 2]);
        assert!(matches!(read(&twice), Err(MirrorError::Registry(_))));
    }
}
