//! Where a project says that its artifacts are, as configuration and command line write it.

use std::fmt;
use std::path::Path;

use countersign_attest::digest::Sha256;

use super::error::ParseSourceError;
use super::front::{Front, Named};
use super::name;
use super::template::Location;

/// Where published artifacts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublishedSource {
    /// A package URL, with or without a version: `pkg:npm/%40scope/name`.
    Package(Named),
    /// A URL or a path of the artifact itself, with `{tag}` and `{version}`.
    File(Location),
    /// `digests:` and a URL or a path of a file in the format of `sha256sum`.
    DigestList(Location),
    /// `sha256:…` or `NAME=sha256:…`: an artifact that may not be published yet.
    Digest {
        /// Its digest.
        sha256: Sha256,
        /// Its name, where the user gave one.
        file_name: Option<String>,
    },
}

impl PublishedSource {
    /// Reads what a user wrote. Local paths are allowed where `local_base` is given, and relative
    /// ones start there.
    ///
    /// # Errors
    /// See [`ParseSourceError`].
    pub(crate) fn parse(text: &str, local_base: Option<&Path>) -> Result<Self, ParseSourceError> {
        if text.starts_with("pkg:") {
            return Named::parse(text).map(Self::Package);
        }
        if let Some(rest) = text.strip_prefix("digests:") {
            return Location::parse(rest, local_base).map(Self::DigestList);
        }
        let (file_name, digest) = match text.rsplit_once("=sha256:") {
            Some((file_name, digest)) if !text.contains("://") => {
                (Some(name::checked(file_name)?), digest)
            }
            _ => match text.strip_prefix("sha256:") {
                Some(digest) => (None, digest),
                None => return Location::parse(text, local_base).map(Self::File),
            },
        };
        let sha256 = digest.parse().map_err(|source| ParseSourceError::Digest {
            text: text.to_owned(),
            source,
        })?;
        Ok(Self::Digest { sha256, file_name })
    }

    /// The registry's front, where it is a registry.
    #[must_use]
    pub(crate) fn front(&self) -> Option<&'static Front> {
        match self {
            Self::Package(package) => Some(package.front),
            Self::File(_) | Self::DigestList(_) | Self::Digest { .. } => None,
        }
    }
}

impl fmt::Display for PublishedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(package) => package.fmt(f),
            Self::File(location) => location.fmt(f),
            Self::DigestList(location) => write!(f, "digests:{location}"),
            Self::Digest {
                sha256,
                file_name: None,
            } => write!(f, "sha256:{sha256}"),
            Self::Digest {
                sha256,
                file_name: Some(name),
            } => write!(f, "{name}=sha256:{sha256}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn what_is_read_is_written_back() {
        for (text, expect) in [
            ("pkg:cargo/left-right", "pkg:cargo/left-right"),
            ("pkg:cargo/left@{version}", "pkg:cargo/left"),
            ("pkg:cargo/left@1.0.0+a", "pkg:cargo/left@1.0.0%2Ba"),
            ("pkg:npm/left", "pkg:npm/left"),
            ("pkg:pypi/Left_Right", "pkg:pypi/left-right"),
            ("pkg:pypi/left@{version}", "pkg:pypi/left"),
            (
                "pkg:pypi/left@1!2.0?file_name=left-1%212.0.tar.gz",
                "pkg:pypi/left@1%212.0?file_name=left-1%212.0.tar.gz",
            ),
            ("pkg:npm/left@{version}", "pkg:npm/left"),
            ("pkg:npm/left@1.0.0", "pkg:npm/left@1.0.0"),
            ("pkg:npm/@s/left@1.0.0", "pkg:npm/%40s/left@1.0.0"),
            ("pkg:npm/%40s/left", "pkg:npm/%40s/left"),
            (
                "https://h.example/{tag}/x-{version}.zip",
                "https://h.example/{tag}/x-{version}.zip",
            ),
            (
                "digests:https://h.example/SUMS",
                "digests:https://h.example/SUMS",
            ),
            ("dist/x-{version}.tgz", "file:dist/x-{version}.tgz"),
            ("digests:SUMS", "digests:file:SUMS"),
        ] {
            let source = PublishedSource::parse(text, Some(Path::new("."))).unwrap();
            assert_eq!(source.to_string(), expect);
            let again = PublishedSource::parse(expect, Some(Path::new(".")));
            assert_eq!(again.unwrap(), source);
        }
        for text in [
            format!("sha256:{DIGEST}"),
            format!("a=b.tgz=sha256:{DIGEST}"),
        ] {
            assert_eq!(
                PublishedSource::parse(&text, None).unwrap().to_string(),
                text
            );
        }
    }

    #[test]
    fn what_is_refused() {
        let short = format!("sha256:{}", &DIGEST[1..]);
        let climbing = format!("a/b=sha256:{DIGEST}");
        for bad in [
            "pkg:cargo/",
            "pkg:cargo/a/b",
            "pkg:cargo/..",
            "pkg:cargo/a.b",
            "pkg:cargo/a@",
            "pkg:cargo/a@1.0?x=y",
            "pkg:cargo/%40a",
            "pkg:pypi/",
            "pkg:pypi/a/b",
            "pkg:pypi/-a",
            "pkg:pypi/a@",
            "pkg:pypi/a@1?x=y",
            "pkg:pypi/a@1?file_name=",
            "pkg:pypi/a@1?file_name=b%2Fc",
            "pkg:pypi/a@1#b",
            "pkg:npm/",
            "pkg:npm",
            "pkg:deb/x",
            "pkg:npm/a/b",
            "pkg:npm/@s",
            "pkg:npm/%40s/",
            "pkg:npm/a?x=y",
            "pkg:npm/a#b",
            "pkg:npm/..",
            "pkg:npm/a@",
            "pkg:npm/a@v{version}",
            "pkg:npm/a@{tag}",
            "pkg:npm/a b",
            "pkg:npm/a%00",
            "digests:",
            "dist/x.tgz",
            "file:///x",
            &short,
            &climbing,
        ] {
            assert!(PublishedSource::parse(bad, None).is_err(), "{bad}");
        }
    }
}
