//! URLs and paths with `{tag}` and `{version}` in them, checked when they are read.
//!
//! Tags are attacker-written: what is filled in is encoded, can never climb out of a folder and never
//! reaches the host part of a URL.

use std::fmt;
use std::path::{Path, PathBuf};

use countersign_builder::plan::is_inside;
use url::Url;

use super::error::{ParseSourceError, PublishError};
use super::name::{percent_decoded, percent_encoded};

/// Where something is: on the network or on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// An http or https URL.
    Url(UrlTemplate),
    /// A path of this machine.
    Path(PathTemplate),
}

impl Location {
    /// Reads a URL, or a path where `base` says that relative ones start there. Without `base`,
    /// local files are not allowed.
    pub(super) fn parse(text: &str, base: Option<&Path>) -> Result<Self, ParseSourceError> {
        if text.starts_with("http:") || text.starts_with("https:") {
            return UrlTemplate::parse(text).map(Self::Url);
        }
        let decoded = match text.strip_prefix("file:") {
            None if text.contains("://") => return Err(ParseSourceError::Url(text.to_owned())),
            None => text.to_owned(),
            Some(rest) => percent_decoded(rest.strip_prefix("//").unwrap_or(rest))
                .ok_or_else(|| ParseSourceError::Url(text.to_owned()))?,
        };
        let base = base.ok_or_else(|| ParseSourceError::Local(text.to_owned()))?;
        check_placeholders(&decoded)?;
        Ok(Self::Path(PathTemplate {
            base: base.to_owned(),
            text: decoded,
        }))
    }

    /// Whether the place depends on the version, so that each spelling is worth a try.
    pub(super) fn uses_version(&self) -> bool {
        match self {
            Self::Url(url) => url.0.contains("{version}"),
            Self::Path(path) => path.text.contains("{version}"),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(&url.0),
            Self::Path(path) => write!(f, "file:{}", percent_encoded(&path.text, b"/{}")),
        }
    }
}

/// An http or https URL that is valid whatever is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UrlTemplate(String);

impl UrlTemplate {
    fn parse(text: &str) -> Result<Self, ParseSourceError> {
        check_placeholders(text)?;
        let refuse = || ParseSourceError::Url(text.to_owned());
        let (_, rest) = text.split_once("://").ok_or_else(refuse)?;
        let host = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        if host.contains(['{', '}']) {
            return Err(ParseSourceError::PlaceholderInHost(text.to_owned()));
        }
        // parsers of URLs skip over slashes that are too many, and would find another host
        if host.is_empty() {
            return Err(refuse());
        }
        let url: Url = filled(text, "0", "0").parse().map_err(|_| refuse())?;
        let credentials = !url.username().is_empty() || url.password().is_some();
        if credentials || !matches!(url.scheme(), "http" | "https") {
            return Err(refuse());
        }
        Ok(Self(text.to_owned()))
    }

    /// The URL for a tag and a version.
    ///
    /// # Errors
    /// When either could climb in a path.
    pub(super) fn fill(&self, tag: &str, version: &str) -> Result<Url, PublishError> {
        let tag = percent_encoded(usable(tag)?, b"/");
        let version = percent_encoded(usable(version)?, b"/");
        // parse() has tried the same with other values, and encoded values cannot change the rest
        filled(&self.0, &tag, &version)
            .parse()
            .map_err(|_| PublishError::Value { value: tag })
    }
}

/// A path of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathTemplate {
    base: PathBuf,
    text: String,
}

impl PathTemplate {
    /// The path for a tag and a version.
    ///
    /// # Errors
    /// When either could climb out of its folder.
    pub(super) fn fill(&self, tag: &str, version: &str) -> Result<PathBuf, PublishError> {
        Ok(self
            .base
            .join(filled(&self.text, usable(tag)?, usable(version)?)))
    }
}

fn filled(text: &str, tag: &str, version: &str) -> String {
    let mut result = String::with_capacity(text.len() + tag.len() + version.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        result.push_str(before);
        // check_placeholders() left only these two in every template
        if let Some(after) = from.strip_prefix("{tag}") {
            result.push_str(tag);
            rest = after;
        } else {
            result.push_str(version);
            rest = from.strip_prefix("{version}").unwrap_or_default();
        }
    }
    result + rest
}

fn check_placeholders(text: &str) -> Result<(), ParseSourceError> {
    let without = text.replace("{tag}", "").replace("{version}", "");
    if without.contains(['{', '}']) || text.is_empty() || text.chars().any(char::is_control) {
        return Err(ParseSourceError::Placeholder(text.to_owned()));
    }
    Ok(())
}

fn usable(value: &str) -> Result<&str, PublishError> {
    if is_inside(value) && !value.chars().any(char::is_control) {
        Ok(value)
    } else {
        Err(PublishError::Value {
            value: value.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_filled_and_values_encoded() {
        for (template, tag, version, expect) in [
            (
                "https://h.example/{tag}/x-{version}.tgz",
                "v1.0",
                "1.0",
                "v1.0/x-1.0.tgz",
            ),
            ("https://h.example/{tag}.tgz", "rel/1.0", "1", "rel/1.0.tgz"),
            (
                "https://h.example/{tag}.tgz",
                "a?b#c%2e+@",
                "1",
                "a%3Fb%23c%252e%2B%40.tgz",
            ),
            (
                "https://h.example/{tag}.tgz",
                "{version}",
                "1",
                "%7Bversion%7D.tgz",
            ),
            (
                "https://h.example/dl?f={version}",
                "t",
                "1&x=2",
                "dl?f=1%26x%3D2",
            ),
        ] {
            let Ok(Location::Url(url)) = Location::parse(template, None) else {
                panic!("{template}");
            };
            let filled = url.fill(tag, version).unwrap();
            assert_eq!(filled.as_str(), format!("https://h.example/{expect}"));
        }
    }

    #[test]
    fn a_tag_cannot_climb() {
        let url = Location::parse("https://h.example/a/{tag}/x", None).unwrap();
        let path = Location::parse("dist/{tag}/x", Some(Path::new("/base"))).unwrap();
        let (Location::Url(url), Location::Path(path)) = (url, path) else {
            panic!()
        };
        for tag in ["..", "a/../b", ".", "", "/etc", "a//b", "a\nb", "a\0"] {
            assert!(url.fill(tag, "1").is_err(), "{tag:?}");
            assert!(path.fill(tag, "1").is_err(), "{tag:?}");
        }
        assert_eq!(
            path.fill("a/b", "1").unwrap(),
            Path::new("/base/dist/a/b/x")
        );
    }

    #[test]
    fn templates_that_are_refused() {
        for bad in [
            "https://{tag}.example/x",
            "https://h.example:{version}/x",
            "https://u:p@h.example/x",
            "https://h.example/{name}",
            "https://h.example/{tag",
            "https://h.example/}",
            "https:///x",
            "https:h.example",
            "ftp://h.example/x",
            "",
        ] {
            assert!(
                Location::parse(bad, Some(Path::new("/base"))).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn paths_need_permission() {
        for text in [
            "dist/x.tgz",
            "/abs/x.tgz",
            "file:///abs/x.tgz",
            "file:x.tgz",
        ] {
            assert!(matches!(
                Location::parse(text, None),
                Err(ParseSourceError::Local(_))
            ));
            assert!(
                Location::parse(text, Some(Path::new("/base"))).is_ok(),
                "{text}"
            );
        }
        let Ok(Location::Path(path)) = Location::parse("file:///a%20b", Some(Path::new("/c")))
        else {
            panic!()
        };
        assert_eq!(path.fill("t", "v").unwrap(), Path::new("/a b"));
    }
}
