//! The grammar of the mirror: which requests exist, as values that cannot mean anything else.
//!
//! A path of a build becomes a [`Request`] or is nothing; what goes upstream is built anew from the
//! value. Nothing here touches a socket.

use std::fmt;
use std::str::FromStr;

/// Longest name of a crate, as registries have it.
const CRATE_BYTES: usize = 64;
/// Longest name of a Python project that is asked for.
const PROJECT_BYTES: usize = 100;
/// Longest name of an npm package, with its scope.
const PACKAGE_BYTES: usize = 214;
/// Longest version.
const VERSION_BYTES: usize = 64;
/// Longest file name.
const FILE_BYTES: usize = 255;

/// A typed request. Its text is what stands in plans and attestations.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Request {
    /// `cargo:config`: where downloads are.
    CargoConfig,
    /// `cargo:index/NAME`: a crate's versions. The name is in lower case, as in the index's paths.
    CargoIndex(String),
    /// `cargo:file/NAME/VERSION`: a crate, in its publisher's case.
    CargoFile(String, String),
    /// `npm:index/NAME`: a package's versions. The name has its scope: `@scope/name`.
    NpmIndex(String),
    /// `npm:file/NAME/VERSION`: the tarball of a version.
    NpmFile(String, String),
    /// `pypi:index/NAME`: a project's files. The name is normalized (PEP 503).
    PypiIndex(String),
    /// `pypi:file/NAME/FILE`: one file of a project.
    PypiFile(String, String),
}

/// What a path is, if not a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotARequest {
    /// Not even a path of this mirror's characters.
    #[error("not a path of the mirror's characters")]
    Malformed,
    /// A path, and nothing is there.
    #[error("no such thing in the mirror's grammar")]
    Unknown,
}

impl Request {
    /// Reads the path of a request line: no query, no fragment, no dots, nothing doubled.
    ///
    /// # Errors
    /// See [`NotARequest`].
    pub(crate) fn from_path(path: &str) -> Result<Self, NotARequest> {
        let rest = path.strip_prefix('/').ok_or(NotARequest::Malformed)?;
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.+!~@%/".contains(c);
        if !rest.chars().all(fine) {
            return Err(NotARequest::Malformed);
        }
        let parts: Vec<&str> = rest.split('/').collect();
        let request = match *parts.as_slice() {
            ["cargo", "index", "config.json"] => Some(Self::CargoConfig),
            ["cargo", "index", ref shelf @ .., name] => {
                cargo_index(name).filter(|_| shelf.join("/") == cargo_shelf(name))
            }
            ["cargo", "dl", name, version, "download"] => {
                cargo_file(name, &decoded(version).ok_or(NotARequest::Malformed)?)
            }
            ["npm", ref name @ .., "-", file] => npm_tarball(
                &decoded(&name.join("/")).ok_or(NotARequest::Malformed)?,
                &decoded(file).ok_or(NotARequest::Malformed)?,
            ),
            ["npm", ref name @ ..] => {
                npm_index(&decoded(&name.join("/")).ok_or(NotARequest::Malformed)?)
            }
            ["pypi", "simple", name, ""] => pypi_index(name),
            ["pypi", "files", name, file] => {
                pypi_file(name, &decoded(file).ok_or(NotARequest::Malformed)?)
            }
            _ => None,
        };
        request.ok_or(NotARequest::Unknown)
    }

    /// The registry and the name that this counts as, for the budget on names.
    pub(crate) fn name(&self) -> (&'static str, &str) {
        match self {
            Self::CargoConfig => ("cargo", ""),
            Self::CargoIndex(name) | Self::CargoFile(name, _) => ("cargo", name),
            Self::NpmIndex(name) | Self::NpmFile(name, _) => ("npm", name),
            Self::PypiIndex(name) | Self::PypiFile(name, _) => ("pypi", name),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CargoConfig => f.write_str("cargo:config"),
            Self::CargoIndex(name) => write!(f, "cargo:index/{name}"),
            Self::CargoFile(name, version) => write!(f, "cargo:file/{name}/{version}"),
            Self::NpmIndex(name) => write!(f, "npm:index/{name}"),
            Self::NpmFile(name, version) => write!(f, "npm:file/{name}/{version}"),
            Self::PypiIndex(name) => write!(f, "pypi:index/{name}"),
            Self::PypiFile(name, file) => write!(f, "pypi:file/{name}/{file}"),
        }
    }
}

impl FromStr for Request {
    type Err = NotARequest;

    /// Reads what stands in a plan, which may be a stranger's.
    fn from_str(text: &str) -> Result<Self, NotARequest> {
        let (kind, rest) = text.split_once('/').unwrap_or((text, ""));
        let request = match (kind, rest.split_once('/')) {
            ("cargo:config", None) if text == kind => Some(Self::CargoConfig),
            ("cargo:index", None) => cargo_index(rest),
            ("cargo:file", Some((name, version))) => cargo_file(name, version),
            ("npm:index", _) => npm_index(rest),
            ("npm:file", Some(_)) => rest
                .rsplit_once('/')
                .and_then(|(name, version)| npm_file(name, version)),
            ("pypi:index", None) => pypi_index(rest),
            ("pypi:file", Some((name, file))) => pypi_file(name, file),
            _ => None,
        };
        request.ok_or(NotARequest::Unknown)
    }
}

fn cargo_index(name: &str) -> Option<Request> {
    let lower = !name.contains(|c: char| c.is_ascii_uppercase());
    (lower && is_crate(name)).then(|| Request::CargoIndex(name.to_owned()))
}

fn cargo_file(name: &str, version: &str) -> Option<Request> {
    let fits = is_crate(name) && is_version(version);
    fits.then(|| Request::CargoFile(name.to_owned(), version.to_owned()))
}

fn npm_index(name: &str) -> Option<Request> {
    is_package(name).then(|| Request::NpmIndex(name.to_owned()))
}

fn npm_file(name: &str, version: &str) -> Option<Request> {
    let fits = is_package(name) && is_version(version);
    fits.then(|| Request::NpmFile(name.to_owned(), version.to_owned()))
}

/// The name of a tarball's file is the package's without its scope, a hyphen and the version.
fn npm_tarball(name: &str, file: &str) -> Option<Request> {
    let base = name.rsplit('/').next().unwrap_or(name);
    let version = file.strip_prefix(base)?.strip_prefix('-')?;
    npm_file(name, version.strip_suffix(".tgz")?)
}

fn pypi_index(name: &str) -> Option<Request> {
    is_project(name).then(|| Request::PypiIndex(name.to_owned()))
}

fn pypi_file(name: &str, file: &str) -> Option<Request> {
    let fits = is_project(name) && is_file(file);
    fits.then(|| Request::PypiFile(name.to_owned(), file.to_owned()))
}

fn is_crate(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=CRATE_BYTES).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(fine)
}

/// Whether a text may stand as a version: a digit first, and no character of a path.
pub(super) fn is_version(text: &str) -> bool {
    (1..=VERSION_BYTES).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".+-".contains(c))
}

/// Whether a name is one of an npm package. Old packages may have capitals.
fn is_package(name: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c))
    };
    name.len() <= PACKAGE_BYTES
        && match name.strip_prefix('@') {
            Some(scoped) => scoped
                .split_once('/')
                .is_some_and(|(scope, name)| part(scope) && part(name)),
            None => part(name) && name != "-",
        }
}

/// Whether a name is a normalized one (PEP 503): other spellings have no page of their own.
fn is_project(name: &str) -> bool {
    name.len() <= PROJECT_BYTES && !name.is_empty() && normalized(name) == name && is_plain(name)
}

fn is_plain(name: &str) -> bool {
    !name.starts_with('-')
        && !name.ends_with('-')
        && name.is_ascii()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Whether a text may be the name of a file of a project.
pub(super) fn is_file(name: &str) -> bool {
    (1..=FILE_BYTES).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.+!".contains(c))
}

/// PEP 503: lower case, and one `-` for every run of `-`, `_` and `.`.
pub(crate) fn normalized(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut run = false;
    for c in name.chars() {
        if matches!(c, '-' | '_' | '.') {
            run = true;
            continue;
        }
        if run {
            out.push('-');
            run = false;
        }
        out.push(c.to_ascii_lowercase());
    }
    if run {
        out.push('-');
    }
    out
}

/// The folders of a crate's file in a sparse index (The Cargo Book, Index Format).
pub(super) fn cargo_shelf(name: &str) -> String {
    let part = |from: usize, to: usize| name.get(from..to).unwrap_or_default();
    match name.len() {
        1 => "1".to_owned(),
        2 => "2".to_owned(),
        3 => format!("3/{}", part(0, 1)),
        _ => format!("{}/{}", part(0, 2), part(2, 4)),
    }
}

/// Percent-decodes once. What comes out is checked by the grammar of the place where it stands.
fn decoded(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let digits = after.get(..2)?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) || !byte.is_ascii_graphic() {
            return None;
        }
        out.push(char::from(byte));
        rest = after.get(2..)?;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_exist() {
        for (path, text) in [
            ("/cargo/index/config.json", "cargo:config"),
            ("/cargo/index/1/a", "cargo:index/a"),
            ("/cargo/index/2/ab", "cargo:index/ab"),
            ("/cargo/index/3/a/abc", "cargo:index/abc"),
            ("/cargo/index/se/rd/serde_json", "cargo:index/serde_json"),
            (
                "/cargo/dl/Inflector/0.11.4/download",
                "cargo:file/Inflector/0.11.4",
            ),
            (
                "/cargo/dl/a/1.0.0+sp%2B1/download",
                "cargo:file/a/1.0.0+sp+1",
            ),
            ("/npm/JSONStream", "npm:index/JSONStream"),
            ("/npm/@types/node", "npm:index/@types/node"),
            ("/npm/@types%2fnode", "npm:index/@types/node"),
            ("/npm/%40types%2Fnode", "npm:index/@types/node"),
            ("/npm/a-b/-/a-b-1.0.0-rc.1.tgz", "npm:file/a-b/1.0.0-rc.1"),
            (
                "/npm/@types/node/-/node-1.0.0.tgz",
                "npm:file/@types/node/1.0.0",
            ),
            (
                "/npm/@types%2fnode/-/node-1.0.0+b.tgz",
                "npm:file/@types/node/1.0.0+b",
            ),
            ("/pypi/simple/ruamel-yaml/", "pypi:index/ruamel-yaml"),
            (
                "/pypi/files/torch/torch-2.0%2Bcpu.tar.gz",
                "pypi:file/torch/torch-2.0+cpu.tar.gz",
            ),
        ] {
            let request = Request::from_path(path).unwrap();
            assert_eq!(request.to_string(), text);
            assert_eq!(text.parse(), Ok(request));
        }
    }

    #[test]
    fn everything_else_is_nothing() {
        use NotARequest::{Malformed, Unknown};
        let long = format!("/cargo/index/aa/aa/{}", "a".repeat(65));
        let long_project = format!("/pypi/simple/{}/", "a".repeat(101));
        for (path, expected) in [
            ("", Malformed),
            ("cargo/index/config.json", Malformed),
            ("http://mirror/cargo/index/config.json", Malformed),
            ("/cargo/index/config.json?x", Malformed),
            ("/cargo/index/config.json#x", Malformed),
            ("/cargo/index/\u{e9}/a", Malformed),
            ("/pypi/files/a/a%2", Malformed),
            ("/pypi/files/a/a%+2", Malformed),
            ("/pypi/files/a/a%00b", Malformed),
            ("/pypi/files/a/a%0d%0ab", Malformed),
            ("/", Unknown),
            ("//cargo/index/config.json", Unknown),
            ("/cargo/index/../index/config.json", Unknown),
            ("/cargo/index/%2e%2e/config.json", Unknown),
            ("/cargo/index/Se/rd/Serde", Unknown),
            ("/cargo/index/se/rx/serde", Unknown),
            ("/cargo/index/serde", Unknown),
            ("/cargo/index/1/1", Unknown),
            ("/cargo/dl/a/latest/download", Unknown),
            ("/cargo/dl/a/1.0.0%2f..%2fb/download", Unknown),
            ("/cargo/dl/a/1.0.0/download/", Unknown),
            ("/pypi/simple/", Unknown),
            ("/pypi/simple/a", Unknown),
            ("/pypi/simple/A/", Unknown),
            ("/pypi/simple/a_b/", Unknown),
            ("/pypi/simple/a--b/", Unknown),
            ("/pypi/simple/-a/", Unknown),
            ("/pypi/files/a/.hidden", Unknown),
            ("/pypi/files/a/a%2fb", Unknown),
            ("/pypi/files/a/a%252fb", Unknown),
            ("/npm/", Unknown),
            ("/npm/a/", Unknown),
            ("/npm/a/b", Unknown),
            ("/npm/a/latest", Unknown),
            ("/npm/@a", Unknown),
            ("/npm/@a/b/c", Unknown),
            ("/npm/@a%2fb%2fc", Unknown),
            ("/npm/.a", Unknown),
            ("/npm/a%2f..%2fb", Unknown),
            ("/npm/-/all", Unknown),
            ("/npm/-/v1/search", Unknown),
            ("/npm/-/npm/v1/security/audits", Unknown),
            ("/npm/a/-/b-1.0.0.tgz", Unknown),
            ("/npm/a/-/a-latest.tgz", Unknown),
            ("/npm/a/-/a-1.0.0.tar", Unknown),
            ("/npm/@s/a/-/@s/a-1.0.0.tgz", Unknown),
            ("/npm/a%00", Malformed),
            (&long, Unknown),
            (&long_project, Unknown),
        ] {
            assert_eq!(Request::from_path(path), Err(expected), "{path}");
        }
        for text in [
            "",
            "cargo:config/",
            "cargo:index/",
            "cargo:index/a/b",
            "cargo:file/a",
            "cargo:file/a/../b",
            "pypi:file/a/b/c",
            "npm:index/",
            "npm:index/a/b",
            "npm:file/a/b",
            "npm:file/@a/1.0.0",
            "npm:file/a/b/1.0.0",
        ] {
            assert_eq!(text.parse::<Request>(), Err(Unknown), "{text}");
        }
    }
}
