//! Artifacts known by a file in the format of `sha256sum`: digests only, perhaps before publication.
//!
//! Both forms are read (`digest  name` and `digest *name`). Names are single path components; lines
//! that `sha256sum` escapes with a backslash are refused, because such names are.

use std::io::{self, Read};
use std::path::Path;

use countersign_attest::digest::Sha256;
use countersign_attest::time::Timestamp;

use super::endpoints::KEY_METADATA_BYTES;
use super::error::contradicting;
use super::file::{Limited, Place, open_regular, spellings};
use super::template::Location;
use super::{Fetcher, Found, PublishError, blocking, candidate, name};
use crate::http::{Ask, HttpError};

/// Tries each spelling of the version, and takes the first list that exists.
pub(super) async fn fetch(
    fetcher: &Fetcher<'_>,
    location: &Location,
    tag: &str,
    versions: &[String],
    now: Timestamp,
) -> Result<Found, PublishError> {
    let mut tried = Vec::new();
    for version in spellings(location, tag, versions) {
        let place = Place::of(location, tag, version)?;
        let bytes = match read(fetcher, &place).await {
            Ok(bytes) => bytes,
            Err(PublishError::Http(HttpError::Missing { .. }))
            | Err(PublishError::FileMissing { .. }) => {
                tried.push(place.to_string());
                continue;
            }
            Err(error) => return Err(error),
        };
        let lines = parse(&bytes, fetcher.limits.digest_lines).map_err(|error| {
            let (line, problem) = (error.line, error.problem);
            PublishError::DigestList {
                what: place.to_string(),
                line,
                problem,
            }
        })?;
        let artifacts = lines
            .into_iter()
            .map(|l| candidate(l.sha256, Some(l.name), now))
            .collect();
        return Ok(Found {
            version: version.to_owned(),
            artifacts,
            companions: Vec::new(),
        });
    }
    Err(PublishError::FileMissing { tried })
}

async fn read(fetcher: &Fetcher<'_>, place: &Place) -> Result<Vec<u8>, PublishError> {
    let limit_bytes = fetcher.limits.metadata_bytes;
    match place {
        Place::Url(url) => {
            let allowed_hosts = &fetcher.endpoints.allowed_hosts;
            let ask = Ask {
                limit_bytes,
                allowed_hosts,
                accept: None,
            };
            let read = fetcher.http.read(url, &ask).await;
            read.map_err(|e| PublishError::from_http(e, KEY_METADATA_BYTES))
        }
        Place::Path(path) => {
            let path = path.clone();
            blocking(move || read_path(&path, limit_bytes)).await
        }
    }
}

fn read_path(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, PublishError> {
    let mut bytes = Vec::new();
    let mut file = Limited {
        file: open_regular(path)?,
        left: limit_bytes,
    };
    match file.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(PublishError::TooLarge {
            what: path.display().to_string(),
            limit_bytes,
            key: KEY_METADATA_BYTES,
        }),
        Err(source) => Err(PublishError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// One artifact of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its digest.
    pub(crate) sha256: Sha256,
    /// Its name: one path component.
    pub(crate) name: String,
}

/// Says which line is no line of a digest list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub(crate) struct ParseListError {
    /// From 1; 0 for the file as a whole.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) problem: String,
}

/// Reads a list of at most `limit` artifacts, in its own order. A name that stands twice with the
/// same digest counts once.
///
/// # Errors
/// On the first bad line, on a name with two digests, on an empty list and on too long a one.
pub(crate) fn parse(bytes: &[u8], limit: usize) -> Result<Vec<Line>, ParseListError> {
    let fail = |line, problem: &str| {
        Err(ParseListError {
            line,
            problem: problem.to_owned(),
        })
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return fail(0, "it is not UTF-8");
    };
    let mut lines = Vec::new();
    let mut seen = std::collections::BTreeMap::new();
    for (number, text) in text.lines().enumerate() {
        let number = number + 1;
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let line = parse_line(text).map_err(|problem| ParseListError {
            line: number,
            problem,
        })?;
        match seen.insert(line.name.clone(), line.sha256) {
            Some(first) if first != line.sha256 => {
                return fail(number, &contradicting(&line.name, &first, &line.sha256));
            }
            Some(_) => {}
            None if lines.len() == limit => return fail(number, "the list is too long"),
            None => lines.push(line),
        }
    }
    if lines.is_empty() {
        fail(0, "it names no artifact")
    } else {
        Ok(lines)
    }
}

fn parse_line(text: &str) -> Result<Line, String> {
    const FORM: &str = "it is not 64 hexadecimal digits, a space, a space or *, and a file name";
    let (digest, rest) = text.split_at_checked(64).ok_or(FORM)?;
    // sha256sum reads upper case too
    let sha256 = digest.to_ascii_lowercase().parse().map_err(|_| FORM)?;
    let name = rest
        .strip_prefix("  ")
        .or_else(|| rest.strip_prefix(" *"))
        .ok_or(FORM)?;
    let name = name.strip_prefix("./").unwrap_or(name);
    let name = name::checked(name).map_err(|e| e.to_string())?;
    Ok(Line { sha256, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const B: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn names(text: &str) -> Result<Vec<String>, usize> {
        let lines = parse(text.as_bytes(), 3).map_err(|e| e.line)?;
        Ok(lines
            .into_iter()
            .map(|l| format!("{} {}", &l.sha256.to_string()[..2], l.name))
            .collect())
    }

    #[test]
    fn both_forms_are_read() {
        for (text, expect) in [
            (
                format!("{A}  a.tgz\n{B} *b.tgz\n"),
                &["ba a.tgz", "e3 b.tgz"][..],
            ),
            (format!("{A}  a.tgz"), &["ba a.tgz"]),
            (
                format!("{A}  a.tgz\r\n\r\n{B}  b.tgz\r\n"),
                &["ba a.tgz", "e3 b.tgz"],
            ),
            (format!("# made by x\n\n{A}  ./a b.tgz\n"), &["ba a b.tgz"]),
            (format!("{}  a.tgz\n", A.to_uppercase()), &["ba a.tgz"]),
            (format!("{A}  a\n{A}  a\n"), &["ba a"]),
            (format!("{A}   a\n"), &["ba  a"]),
            (
                format!("{A}  a\n{A}  b\n{A}  c\n{A}  a\n"),
                &["ba a", "ba b", "ba c"],
            ),
        ] {
            let expect: Vec<String> = expect.iter().map(|&e| e.to_owned()).collect();
            assert_eq!(names(&text), Ok(expect), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_by_its_line() {
        for (text, line) in [
            (String::new(), 0),
            ("\n# nothing\n".to_owned(), 0),
            (format!("{A}  a\n{B}  a\n"), 2),
            (format!("{A} a\n"), 1),
            (format!("{A}\ta\n"), 1),
            (format!("{A}  \n"), 1),
            (A.to_owned(), 1),
            (format!("{}  a\n", &A[1..]), 1),
            (format!("{A}0  a\n"), 1),
            (format!("z{}  a\n", &A[1..]), 1),
            (format!("é{}  a\n", &A[1..]), 1),
            (format!("\\{A}  a\\nb\n"), 1),
            (format!("{A}  ../a\n"), 1),
            (format!("{A}  dist/a\n"), 1),
            (format!("{A}  /a\n"), 1),
            (format!("{A}  ..\n"), 1),
            (format!("{A}  a\u{1b}[2J\n"), 1),
            (format!("SHA256 (a) = {A}\n"), 1),
            (format!("{A}  a\n{A}  b\n{A}  c\n{A}  d\n"), 4),
        ] {
            assert_eq!(names(&text), Err(line), "{text}");
        }
        assert_eq!(parse(b"\xff", 3).unwrap_err().line, 0);
    }
}
