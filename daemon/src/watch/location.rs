//! Where a repository is: what a user writes, what is signed, and what is asked.
//!
//! Pure, apart from the current folder that completes a relative path. The signed URI and the place
//! that is asked are two values: a local mirror never shows in a statement.

use std::path::{Path, PathBuf};

use url::{Host, Url};

/// Which kinds of location the caller accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LocationRules {
    /// Accepts paths and `file:` URLs.
    pub allow_local: bool,
    /// Accepts `http:` to hosts beside this machine.
    pub allow_http: bool,
}

/// Where objects are fetched from. Never signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FetchSource {
    /// A server that speaks git's smart protocol; no trailing slash, no credentials, no query.
    Http(Url),
    /// A folder of this machine, absolute.
    Local(PathBuf),
}

/// A repository's location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    source_uri: String,
    fetch: FetchSource,
}

/// Why a text is not a location that we accept. The text itself is not repeated where it may hold a
/// password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LocationError {
    /// Nothing was given.
    #[error("a source repository is needed: an https URL, such as https://example.org/project.git")]
    Empty,
    /// ssh in one of its spellings.
    #[error(
        "sources over ssh are not supported: use the https address of the same repository, or a clone of it with fetch_from"
    )]
    Ssh,
    /// Another transport, which may be one that runs commands.
    #[error("sources over {0} are not supported: use the https address of the same repository")]
    Scheme(String),
    /// Unprotected http to another machine.
    #[error(
        "http to {0} is not protected against a change on the way: use https, or set allow_http: true"
    )]
    PlainHttp(String),
    /// A user name or password in the URL.
    #[error("a source URL must not hold a user name or password: it would be signed and published")]
    Credentials,
    /// A query or fragment.
    #[error("a source URL has no query and no fragment: remove what follows the path")]
    QueryOrFragment,
    /// No repository in the path.
    #[error("a source URL needs a path to a repository, such as https://example.org/project.git")]
    NoPath,
    /// A path where only URLs are accepted.
    #[error(
        "a local path is not accepted here: use an https URL, or set allow_local: true for this project"
    )]
    LocalNotAllowed,
    /// A path that names no folder.
    #[error("a local source needs a folder with a name")]
    NoFolderName,
    /// Not a URL at all.
    #[error("not a source URL: {0}")]
    Url(url::ParseError),
}

impl Location {
    /// Reads what a user wrote; a scheme may have the prefix `git+` of the signed form.
    ///
    /// # Errors
    /// With the remedy, for whatever is not accepted.
    pub(crate) fn parse(text: &str, rules: LocationRules) -> Result<Self, LocationError> {
        Self::parse_beside(text, rules, Path::new(""))
    }

    /// The same with relative paths taken from a folder, such as that of a configuration file.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn parse_beside(
        text: &str,
        rules: LocationRules,
        base: &Path,
    ) -> Result<Self, LocationError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        let bare = text.strip_prefix("git+").unwrap_or(text);
        let (scheme, rest) = match bare.split_once(':') {
            // `host:path` and `user@host:path` are ssh's short form, unless a slash comes first
            Some((scheme, rest)) if !scheme.contains('/') => (scheme.to_ascii_lowercase(), rest),
            _ => return Self::local(&base.join(text), rules),
        };
        match scheme.as_str() {
            "https" | "http" => Self::http(bare, rules),
            "file" => {
                let path = rest
                    .strip_prefix("//localhost/")
                    .or(rest.strip_prefix("///"));
                let path = path.map_or_else(|| rest.to_owned(), |path| format!("/{path}"));
                Self::local(&base.join(path), rules)
            }
            "ssh" | "ssh+git" => Err(LocationError::Ssh),
            _ if rest.starts_with("//") || rest.starts_with(':') => Err(LocationError::Scheme(
                super::error::printable(scheme.as_bytes()),
            )),
            _ => Err(LocationError::Ssh),
        }
    }

    fn http(text: &str, rules: LocationRules) -> Result<Self, LocationError> {
        let mut url = Url::parse(text).map_err(LocationError::Url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(LocationError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(LocationError::QueryOrFragment);
        }
        if url.scheme() == "http" && !rules.allow_http && !is_loopback(&url) {
            let host = url.host_str().unwrap_or_default();
            return Err(LocationError::PlainHttp(host.to_owned()));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if path.is_empty() {
            return Err(LocationError::NoPath);
        }
        url.set_path(&path);
        Ok(Self {
            source_uri: format!("git+{url}"),
            fetch: FetchSource::Http(url),
        })
    }

    fn local(path: &Path, rules: LocationRules) -> Result<Self, LocationError> {
        if !rules.allow_local {
            return Err(LocationError::LocalNotAllowed);
        }
        let path = std::path::absolute(path).map_err(|_| LocationError::NoFolderName)?;
        let named = match path.file_name() {
            Some(name) if name == ".git" => path.parent().and_then(Path::file_name),
            other => other,
        };
        let name = named.ok_or(LocationError::NoFolderName)?.as_encoded_bytes();
        Ok(Self {
            source_uri: format!("git+file:{}", percent_encoded(name)),
            fetch: FetchSource::Local(path),
        })
    }

    /// The URI that statements carry.
    #[must_use]
    pub(crate) fn source_uri(&self) -> &str {
        &self.source_uri
    }

    /// Where to ask.
    #[must_use]
    pub(crate) const fn fetch_source(&self) -> &FetchSource {
        &self.fetch
    }

    /// Whether the signed URI is that of a folder: such a release is never signed by an operator's key.
    #[must_use]
    pub(crate) fn is_local(&self) -> bool {
        self.source_uri.starts_with("git+file:")
    }

    /// The same repository, asked for at another place, such as a local mirror.
    #[must_use]
    pub(crate) fn fetched_from(self, other: Self) -> Self {
        Self {
            source_uri: self.source_uri,
            fetch: other.fetch,
        }
    }

    /// The place that is asked, for messages.
    #[must_use]
    pub(crate) fn asked(&self) -> String {
        match &self.fetch {
            FetchSource::Http(url) => url.to_string(),
            FetchSource::Local(path) => path.display().to_string(),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// RFC 3986 unreserved characters stay, every other byte is escaped.
fn percent_encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: LocationRules = LocationRules {
        allow_local: false,
        allow_http: false,
    };
    const LOCAL: LocationRules = LocationRules {
        allow_local: true,
        allow_http: false,
    };

    #[test]
    fn accepted_locations_have_one_signed_form() {
        for (text, uri) in [
            (
                "https://Example.ORG/a/b.git",
                "git+https://example.org/a/b.git",
            ),
            ("git+https://example.org/a/b", "git+https://example.org/a/b"),
            (
                "  https://example.org:443/a/b///  ",
                "git+https://example.org/a/b",
            ),
            ("https://example.org/a/../c", "git+https://example.org/c"),
            ("http://127.0.0.1:8080/r", "git+http://127.0.0.1:8080/r"),
            ("http://[::1]/r", "git+http://[::1]/r"),
            ("http://localhost/r", "git+http://localhost/r"),
        ] {
            let location = Location::parse(text, STRICT).expect(text);
            assert_eq!(location.source_uri(), uri, "{text}");
            assert!(!location.is_local());
            // the signed form can be given back
            let again = Location::parse(uri, STRICT).expect(uri);
            assert_eq!(again, location);
        }
        for (text, uri, path) in [
            ("/srv/my repo", "git+file:my%20repo", "/srv/my repo"),
            ("file:///srv/p", "git+file:p", "/srv/p"),
            ("file://localhost/srv/p", "git+file:p", "/srv/p"),
            ("/srv/p/.git", "git+file:p", "/srv/p/.git"),
            ("/srv/a:b", "git+file:a%3Ab", "/srv/a:b"),
        ] {
            let location = Location::parse(text, LOCAL).expect(text);
            assert_eq!(location.source_uri(), uri, "{text}");
            assert_eq!(location.fetch_source(), &FetchSource::Local(path.into()));
            assert!(location.is_local());
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        use LocationError as E;
        let scheme = |s: &str| E::Scheme(s.into());
        for (text, error) in [
            ("", E::Empty),
            ("git@example.org:a/b.git", E::Ssh),
            ("example.org:a/b.git", E::Ssh),
            ("ssh://git@example.org/a", E::Ssh),
            ("git+ssh://example.org/a", E::Ssh),
            ("git://example.org/a", scheme("git")),
            ("ext::sh -c id", scheme("ext")),
            ("fd::3", scheme("fd")),
            ("ftp://example.org/a", scheme("ftp")),
            ("http://example.org/a", E::PlainHttp("example.org".into())),
            (
                "http://127.0.0.1.example.org/a",
                E::PlainHttp("127.0.0.1.example.org".into()),
            ),
            ("https://user:secret@example.org/a", E::Credentials),
            ("https://token@example.org/a", E::Credentials),
            ("https://example.org/a?x=1", E::QueryOrFragment),
            ("https://example.org/a#main", E::QueryOrFragment),
            ("https://example.org/", E::NoPath),
            ("https://example.org", E::NoPath),
            ("/srv/p", E::LocalNotAllowed),
            ("./p", E::LocalNotAllowed),
            ("file:///srv/p", E::LocalNotAllowed),
        ] {
            assert_eq!(Location::parse(text, STRICT), Err(error), "{text}");
        }
        assert!(matches!(
            Location::parse("https://", STRICT),
            Err(E::Url(_))
        ));
        assert_eq!(Location::parse("/", LOCAL), Err(E::NoFolderName));
        let http = LocationRules {
            allow_http: true,
            ..STRICT
        };
        assert!(Location::parse("http://example.org/a", http).is_ok());
    }

    #[test]
    fn where_it_is_fetched_from_never_shows_in_the_signed_uri() {
        let signed = Location::parse("https://example.org/a", STRICT).expect("a URL");
        let mirror = Location::parse("/srv/mirror", LOCAL).expect("a path");
        let both = signed.fetched_from(mirror);
        assert_eq!(both.source_uri(), "git+https://example.org/a");
        assert_eq!(both.asked(), "/srv/mirror");
        assert!(!both.is_local());
    }
}
