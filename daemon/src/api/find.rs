//! What is searched for in the list of releases: a file's digest, or a piece of a name.
//!
//! Both are a stranger's text. Nothing in a piece of a name has a meaning of its own: no pattern, no
//! operator. Knows no store.

use countersign_attest::digest::AnyDigest;

/// Most characters of a search.
const LONGEST: usize = 200;

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Find {
    /// A piece of a source URI, tag, purl or file name, in lower case: ASCII letters match in either case.
    Name(String),
    /// A published file with this digest.
    Digest(AnyDigest),
}

/// The text is longer than 200 characters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Find {
    /// Reads what a person wrote or pasted; `None` where that is nothing.
    ///
    /// A digest is hexadecimal of the right length in either case, with or without `sha256:` or
    /// `sha512:`; anything else is a piece of a name.
    ///
    /// # Errors
    /// When it is too long.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, TooLong> {
        let text = text.trim();
        if text.chars().count() > LONGEST {
            return Err(TooLong);
        }
        if text.is_empty() {
            return Ok(None);
        }
        let text = text.to_ascii_lowercase();
        let digest = text.parse().ok().or_else(|| bare(&text));
        Ok(Some(digest.map_or(Self::Name(text), Self::Digest)))
    }
}

/// A digest that only its length tells.
fn bare(text: &str) -> Option<AnyDigest> {
    let sha256 = text.parse().map(AnyDigest::Sha256);
    sha256.or_else(|_| text.parse().map(AnyDigest::Sha512)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_attest::digest::Digests;

    fn name(text: &str) -> Result<Option<Find>, TooLong> {
        Ok(Some(Find::Name(text.to_owned())))
    }

    #[test]
    fn digests_are_read_in_every_dress() {
        let Digests { sha256, sha512, .. } = Digests::of(b"published");
        for (text, expect) in [
            (sha256.to_string(), AnyDigest::Sha256(sha256)),
            (format!(" sha256:{sha256}\n"), AnyDigest::Sha256(sha256)),
            (
                format!("SHA256:{sha256}").to_uppercase(),
                AnyDigest::Sha256(sha256),
            ),
            (sha512.to_string(), AnyDigest::Sha512(sha512)),
            (format!("sha512:{sha512}"), AnyDigest::Sha512(sha512)),
        ] {
            assert_eq!(Find::parse(&text), Ok(Some(Find::Digest(expect))), "{text}");
        }
        for text in [
            format!("sha256:{sha512}"),
            format!("{sha256}0"),
            format!("md5:{sha256}"),
            sha256.to_string().replace('b', "g"),
        ] {
            assert_eq!(Find::parse(&text), name(&text), "{text}");
        }
    }

    #[test]
    fn names_are_trimmed_and_have_a_limit() {
        assert_eq!(Find::parse(" Left-Pad "), name("left-pad"));
        assert_eq!(Find::parse(" \t"), Ok(None));
        let longest = "é".repeat(LONGEST);
        assert_eq!(Find::parse(&longest), name(&longest));
        assert_eq!(Find::parse(&format!("{longest}é")), Err(TooLong));
    }
}
