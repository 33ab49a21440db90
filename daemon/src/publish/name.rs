//! Names of published files: one path component that is fit for a disk, a page and a statement.

use url::Url;

/// Longest name in bytes, as file systems have it.
const LONGEST: usize = 255;

/// Says why a name is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a file name: {problem}")]
pub(crate) struct NameError {
    /// The offending name.
    pub(crate) name: String,
    /// What is wrong.
    pub(crate) problem: &'static str,
}

/// Takes a name that an outsider chose.
///
/// # Errors
/// When it is not one path component, or has control characters, or is too long.
pub(crate) fn checked(name: &str) -> Result<String, NameError> {
    let problem = if name.is_empty() || name == "." || name == ".." {
        "it names no file"
    } else if name.contains(['/', '\\']) {
        "it has more than one component"
    } else if name.chars().any(char::is_control) {
        "it has control characters"
    } else if name.len() > LONGEST {
        "it is longer than 255 bytes"
    } else {
        return Ok(name.to_owned());
    };
    Err(NameError {
        name: name.chars().take(LONGEST).collect(),
        problem,
    })
}

/// The last segment of a URL's path, decoded.
///
/// # Errors
/// When what it decodes to is no file name.
pub(crate) fn of_url(url: &Url) -> Result<String, NameError> {
    let segment = url.path().rsplit('/').next().unwrap_or_default();
    match percent_decoded(segment) {
        Some(name) => checked(&name),
        None => Err(NameError {
            name: segment.chars().take(LONGEST).collect(),
            problem: "it is not percent-encoded UTF-8",
        }),
    }
}

/// Decodes `%XX`; `None` where that is malformed or not UTF-8.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (pair, rest) = piece.split_at_checked(2)?;
        let digits = pair.bytes().all(|b| b.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(pair, 16).ok().filter(|_| digits)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Encodes all but unreserved characters (RFC 3986 §2.3) and those in `kept`.
pub(crate) fn percent_encoded(text: &str, kept: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_urls() {
        for (url, expect) in [
            ("https://h.example/a/b-1.0.tgz", Some("b-1.0.tgz")),
            ("https://h.example/a/b%2B1.tgz?x=/y#/z", Some("b+1.tgz")),
            ("https://h.example/%C3%A9.zip", Some("é.zip")),
            ("https://h.example/", None),
            ("https://h.example/a/", None),
            ("https://h.example/a%2Fb.tgz", None),
            ("https://h.example/a%5Cb.tgz", None),
            ("https://h.example/a%00b", None),
            ("https://h.example/a%0Ab", None),
            ("https://h.example/a%FFb", None),
            ("https://h.example/a%zz", None),
            ("https://h.example/a%+1", None),
            ("https://h.example/a%", None),
        ] {
            let name = of_url(&url.parse().unwrap());
            assert_eq!(name.ok().as_deref(), expect, "{url}");
        }
    }

    #[test]
    fn a_name_is_one_component_of_bounded_length() {
        assert!(checked(&"n".repeat(255)).is_ok());
        assert!(checked(&"n".repeat(256)).is_err());
        for bad in ["", ".", "..", "a/b", "a\\b", "a\tb", "\u{7f}", "\u{85}"] {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
        assert!(checked("...").is_ok());
    }

    #[test]
    fn encoding_and_decoding_are_inverse() {
        for text in ["", "a b", "1.0.0+build/é", "%", "\u{0}\u{7f}"] {
            let encoded = percent_encoded(text, b"/");
            assert!(
                encoded.is_ascii() && !encoded.contains(['+', ' ']),
                "{encoded}"
            );
            assert_eq!(percent_decoded(&encoded).as_deref(), Some(text));
        }
    }
}
