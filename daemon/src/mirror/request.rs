//! The grammar of the mirror: which requests exist, as values that cannot mean anything else.
//!
//! A path of a build becomes a [`Request`] or is nothing; what goes upstream is built anew from the
//! value. Nothing here touches a socket.

use std::fmt;
use std::str::FromStr;

use super::registry::Registry;

/// Longest version.
const VERSION_BYTES: usize = 64;

/// A typed request. Its text is what stands in plans and attestations: `KIND:config`, `KIND:index/NAME`
/// or `KIND:file/NAME/REST`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    registry: &'static Registry,
    what: What,
}

/// What is asked of a registry. Which names and versions there can be is the registry's to say
/// ([`Registry::exists`]); none has a character that means something in a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// How the registry wants to be used.
    Config,
    /// All there is of a package.
    Index(String),
    /// A file of a package, by the version that it is the file of or by its name.
    File(String, String),
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
        let [kind, parts @ ..] = parts.as_slice() else {
            return Err(NotARequest::Unknown);
        };
        let registry = Registry::of(kind).ok_or(NotARequest::Unknown)?;
        let what = (registry.path)(parts)?.ok_or(NotARequest::Unknown)?;
        Self::new(registry, what)
    }

    /// A request of a registry.
    ///
    /// # Errors
    /// When nothing there can be called like that.
    pub(super) fn new(registry: &'static Registry, what: What) -> Result<Self, NotARequest> {
        if (registry.exists)(&what) {
            Ok(Self { registry, what })
        } else {
            Err(NotARequest::Unknown)
        }
    }

    /// Whom it asks.
    pub(super) const fn registry(&self) -> &'static Registry {
        self.registry
    }

    /// What it asks for.
    pub(super) const fn what(&self) -> &What {
        &self.what
    }

    /// The registry and the name that this counts as, for the budget on names.
    pub(crate) fn name(&self) -> (&'static str, &str) {
        let name = match &self.what {
            What::Config => "",
            What::Index(name) | What::File(name, _) => name,
        };
        (self.registry.kind, name)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.registry.kind;
        match &self.what {
            What::Config => write!(f, "{kind}:config"),
            What::Index(name) => write!(f, "{kind}:index/{name}"),
            What::File(name, rest) => write!(f, "{kind}:file/{name}/{rest}"),
        }
    }
}

impl FromStr for Request {
    type Err = NotARequest;

    /// Reads what stands in a plan, which may be a stranger's.
    fn from_str(text: &str) -> Result<Self, NotARequest> {
        let unknown = NotARequest::Unknown;
        let (kind, rest) = text.split_once(':').ok_or(unknown)?;
        let registry = Registry::of(kind).ok_or(unknown)?;
        let what = match rest.split_once('/') {
            None if rest == "config" => What::Config,
            Some(("index", name)) => What::Index(name.to_owned()),
            Some(("file", rest)) => {
                let (name, rest) = rest.rsplit_once('/').ok_or(unknown)?;
                What::File(name.to_owned(), rest.to_owned())
            }
            None | Some(_) => return Err(unknown),
        };
        Self::new(registry, what)
    }
}

/// Whether a text may stand as a version: a digit first, and no character of a path.
pub(super) fn is_version(text: &str) -> bool {
    (1..=VERSION_BYTES).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".+-".contains(c))
}

/// A semantic version without its build metadata, which distinguishes nothing.
pub(super) fn without_build(version: &str) -> String {
    version.split('+').next().unwrap_or(version).to_owned()
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

/// Percent-decodes once. What comes out is checked by the grammar of the place where it stands.
pub(super) fn decoded(text: &str) -> Result<String, NotARequest> {
    let bad = NotARequest::Malformed;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let digits = after.get(..2).ok_or(bad)?;
        let byte = u8::from_str_radix(digits, 16).map_err(|_| bad)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) || !byte.is_ascii_graphic() {
            return Err(bad);
        }
        out.push(char::from(byte));
        rest = after.get(2..).ok_or(bad)?;
    }
    out.push_str(rest);
    Ok(out)
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
