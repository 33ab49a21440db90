//! Package URLs that name one version. The one home of `packageurl`.

use std::fmt;
use std::str::FromStr;

use packageurl::PackageUrl;
use serde::{Deserialize, Serialize};

/// Longest package URL that is looked at, in bytes.
const MAX_BYTES: usize = 2048;

/// Says why a text is not the package URL of one version.
#[derive(Debug, thiserror::Error)]
pub enum PurlError {
    /// Longer than any package URL in use.
    #[error("a package URL of more than {MAX_BYTES} bytes")]
    TooLong,
    /// Not a package URL.
    #[error("reading a package URL")]
    Syntax(#[source] packageurl::Error),
    /// No version is named, so that it could mean any file.
    #[error("a package URL without a version")]
    NoVersion,
    /// A control character, in the open or behind a percent sign.
    #[error("a package URL with a control character")]
    Control,
}

/// A package URL with a version, in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Purl {
    text: String,
    kind: String,
    namespace: Option<String>,
    name: String,
    version: String,
    qualifiers: Vec<(String, String)>,
}

impl Purl {
    /// The type: `npm`, `pypi`, ….
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The namespace, decoded: an npm scope with its `@`, a Debian distribution.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The name, decoded.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version, decoded; never empty.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether a typed request of a build (`registry:kind/name`, then perhaps more after a slash) is for
    /// this package, in whichever version. Names are compared as loosely as the loosest registry does.
    #[must_use]
    pub fn is_requested_by(&self, request: &str) -> bool {
        let Some((registry, rest)) = request.split_once(':') else {
            return false;
        };
        let own: Vec<String> = self
            .namespace
            .iter()
            .flat_map(|namespace| namespace.split('/'))
            .chain([self.name.as_str()])
            .map(loosely)
            .collect();
        let mut asked = rest.split('/').skip(1).map(loosely);
        registry == self.kind && own.iter().all(|part| asked.next().as_ref() == Some(part))
    }

    /// The value of a qualifier, decoded.
    #[must_use]
    pub fn qualifier(&self, key: &str) -> Option<&str> {
        let mut all = self.qualifiers.iter();
        all.find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
    }

    /// Whether this says all that another one does, and perhaps more, such as which of several files.
    #[must_use]
    pub fn refines(&self, other: &Self) -> bool {
        let has = |(key, value): &(String, String)| self.qualifier(key) == Some(value);
        self.bare() == other.bare() && other.qualifiers.iter().all(has)
    }

    /// Whether a distribution calls the file of this package so: its name, version and architecture
    /// are in the names of Debian's and Arch Linux's packages, and of no other kind that we know.
    #[must_use]
    pub fn has_file_name(&self, file_name: &str) -> bool {
        let Some(arch) = self.qualifier("arch") else {
            return false;
        };
        let Self { name, version, .. } = self;
        match self.kind.as_str() {
            "deb" => {
                let bare = version.split_once(':').map_or(version.as_str(), |(_, v)| v);
                let known = [bare.to_owned(), version.replace(':', "%3a")];
                let of = |version: &String| format!("{name}_{version}_{arch}.deb");
                known.iter().map(of).any(|known| known == file_name)
            }
            "alpm" => {
                let rest = file_name.strip_prefix(&format!("{name}-{version}-{arch}.pkg.tar"));
                rest.is_some_and(|rest| ["", ".zst", ".xz", ".gz"].contains(&rest))
            }
            _ => false,
        }
    }

    /// The canonical text without qualifiers and subpath.
    #[must_use]
    pub fn bare(&self) -> &str {
        let end = self.text.find(['?', '#']);
        end.and_then(|end| self.text.get(..end))
            .unwrap_or(&self.text)
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Lower case, and every run of `-`, `_` and `.` is one dash.
fn loosely(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            c => out.push(c),
        }
    }
    out
}

impl FromStr for Purl {
    type Err = PurlError;

    fn from_str(text: &str) -> Result<Self, PurlError> {
        if text.len() > MAX_BYTES {
            return Err(PurlError::TooLong);
        }
        let purl = PackageUrl::from_str(text).map_err(PurlError::Syntax)?;
        let version = purl
            .version()
            .filter(|v| !v.is_empty())
            .ok_or(PurlError::NoVersion)?;
        let qualifiers = purl
            .qualifiers()
            .iter()
            .flat_map(|(key, value)| [&**key, &**value]);
        let parts = [
            Some(purl.name()),
            purl.namespace(),
            purl.subpath(),
            Some(version),
        ];
        if parts
            .into_iter()
            .flatten()
            .chain(qualifiers)
            .any(|p| p.contains(char::is_control))
        {
            return Err(PurlError::Control);
        }
        let mut sorted: Vec<(String, String)> = Vec::new();
        for (key, value) in purl.qualifiers() {
            sorted.push((key.to_string(), value.to_string()));
        }
        sorted.sort(); // as in the canonical text; the library keeps them in no order
        Ok(Self {
            text: purl.to_string(),
            kind: purl.ty().to_owned(),
            namespace: purl.namespace().map(str::to_owned),
            name: purl.name().to_owned(),
            version: version.to_owned(),
            qualifiers: sorted,
        })
    }
}

impl TryFrom<String> for Purl {
    type Error = PurlError;
    fn try_from(text: String) -> Result<Self, PurlError> {
        text.parse()
    }
}

impl From<Purl> for String {
    fn from(purl: Purl) -> Self {
        purl.text
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The package URL of a tool that is known by its name and version only.
///
/// # Errors
/// When either is empty or cannot stand in a package URL.
pub fn of_tool(name: &str, version: &str) -> Result<String, PurlError> {
    let mut purl = PackageUrl::new("generic", name).map_err(PurlError::Syntax)?;
    purl.with_version(version).map_err(PurlError::Syntax)?;
    // read back, so that it obeys the same rules as one of a stranger
    purl.to_string().parse::<Purl>().map(|purl| purl.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_needed_and_the_form_is_canonical() {
        for (text, canonical) in [
            ("pkg:npm/yocto-queue@1.2.2", "pkg:npm/yocto-queue@1.2.2"),
            ("pkg:npm/@babel/core@7.0.0", "pkg:npm/%40babel/core@7.0.0"),
            ("pkg:npm/%40babel/core@7.0.0", "pkg:npm/%40babel/core@7.0.0"),
            ("pkg:pypi/Foo_Bar@1?b=2&a=1", "pkg:pypi/foo-bar@1?a=1&b=2"),
        ] {
            let purl: Purl = text.parse().unwrap();
            assert_eq!(purl.as_str(), canonical);
            assert_eq!(purl.as_str().parse::<Purl>().unwrap(), purl);
        }
        let purl: Purl = "pkg:npm/%40babel/core@7.0.0".parse().unwrap();
        assert_eq!(
            (purl.kind(), purl.namespace(), purl.name()),
            ("npm", Some("@babel"), "core")
        );
        assert_eq!(purl.version(), "7.0.0");
    }

    #[test]
    fn requests_are_for_the_package_or_for_another() {
        for (purl, request, own) in [
            ("pkg:cargo/Foo_Bar@1.0.0", "cargo:index/foo-bar", true),
            ("pkg:cargo/Foo_Bar@1.0.0", "cargo:file/Foo_Bar/0.9.0", true),
            ("pkg:cargo/foo@1.0.0", "cargo:index/foo-bar", false),
            ("pkg:cargo/foo@1.0.0", "pypi:index/foo", false),
            ("pkg:cargo/foo@1.0.0", "cargo:config", false),
            ("pkg:cargo/foo@1.0.0", "cargo:file/bar/foo", false),
            ("pkg:cargo/foo@1.0.0", "foo", false),
            ("pkg:pypi/a.b@1", "pypi:file/a-b/a_b-0.tar.gz", true),
            ("pkg:npm/%40babel/core@7", "npm:index/@babel/core", true),
            ("pkg:npm/%40babel/core@7", "npm:index/@other/core", false),
            ("pkg:npm/core@7", "npm:index/@babel/core", false),
        ] {
            let parsed: Purl = purl.parse().unwrap();
            assert_eq!(parsed.is_requested_by(request), own, "{purl} {request}");
        }
    }

    #[test]
    fn a_package_url_that_says_more_refines_one_that_says_less() {
        for (fine, coarse, refines) in [
            ("pkg:pypi/a@1?file_name=a-1.tar.gz", "pkg:pypi/a@1", true),
            ("pkg:pypi/a@1", "pkg:pypi/a@1", true),
            ("pkg:pypi/a@1", "pkg:pypi/a@1?file_name=a-1.tar.gz", false),
            (
                "pkg:deb/d/a@1?arch=x&distro=y",
                "pkg:deb/d/a@1?arch=x",
                true,
            ),
            (
                "pkg:deb/d/a@1?arch=z&distro=y",
                "pkg:deb/d/a@1?arch=x",
                false,
            ),
            ("pkg:pypi/a@1.1", "pkg:pypi/a@1", false),
            ("pkg:pypi/ab@1?x=1", "pkg:pypi/a@1", false),
        ] {
            let [fine, coarse] = [fine, coarse].map(|text| text.parse::<Purl>().unwrap());
            assert_eq!(fine.refines(&coarse), refines, "{fine} {coarse}");
        }
        let purl: Purl = "pkg:npm/%40s/a@1?x=%23#sub".parse().unwrap();
        assert_eq!(purl.bare(), "pkg:npm/%40s/a@1");
    }

    #[test]
    fn packages_of_distributions_have_the_names_of_their_files() {
        for (purl, file_name, named) in [
            (
                "pkg:deb/debian/lib@1:2.0-1?arch=amd64",
                "lib_2.0-1_amd64.deb",
                true,
            ),
            (
                "pkg:deb/debian/lib@1:2.0-1?arch=amd64",
                "lib_1%3a2.0-1_amd64.deb",
                true,
            ),
            (
                "pkg:deb/debian/lib@2.0-1%2Bb2?arch=all&distro=x",
                "lib_2.0-1+b2_all.deb",
                true,
            ),
            (
                "pkg:deb/debian/lib@2.0-1?arch=amd64",
                "lib_2.0-1_i386.deb",
                false,
            ),
            (
                "pkg:deb/debian/lib@2.0-1?arch=amd64",
                "lib_2.0-2_amd64.deb",
                false,
            ),
            (
                "pkg:deb/debian/lib@2.0-1?arch=amd64",
                "other_2.0-1_amd64.deb",
                false,
            ),
            ("pkg:deb/debian/lib@2.0-1", "lib_2.0-1_amd64.deb", false),
            (
                "pkg:alpm/arch/fs@2025.10-1?arch=any",
                "fs-2025.10-1-any.pkg.tar.zst",
                true,
            ),
            (
                "pkg:alpm/arch/fs@2025.10-1?arch=any",
                "fs-2025.10-1-any.pkg.tar.zst.sig",
                false,
            ),
            ("pkg:npm/lib@1.0.0?arch=amd64", "lib_1.0.0_amd64.deb", false),
        ] {
            let parsed: Purl = purl.parse().unwrap();
            assert_eq!(parsed.has_file_name(file_name), named, "{purl} {file_name}");
        }
    }

    #[test]
    fn what_names_no_version_is_refused() {
        let error = |text: &str| text.parse::<Purl>().unwrap_err();
        assert!(matches!(error("pkg:npm/yocto-queue"), PurlError::NoVersion));
        assert!(matches!(
            error("pkg:npm/yocto-queue@"),
            PurlError::NoVersion
        ));
        assert!(matches!(error("yocto-queue@1.2.2"), PurlError::Syntax(_)));
        assert!(matches!(error("pkg:npm/a%0ab@1"), PurlError::Control));
        assert!(matches!(error("pkg:npm/a@1%1b"), PurlError::Control));
        assert!(matches!(
            error(&format!("pkg:npm/{}@1", "a".repeat(2048))),
            PurlError::TooLong
        ));
    }

    #[test]
    fn tools_have_package_urls() {
        assert_eq!(
            of_tool("node", "20.1.0").unwrap(),
            "pkg:generic/node@20.1.0"
        );
        assert!(of_tool("node", "").is_err());
        assert!(of_tool("", "1").is_err());
        assert!(of_tool("node", "1\n").is_err());
    }
}
