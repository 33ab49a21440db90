//! Names of published files and of projects: what kind of file it is, of which project and version.

use super::version::Version;

/// What a file of a Python index is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A source archive, `.tar.gz`.
    Sdist,
    /// A wheel of Python code alone, for every platform.
    PureWheel,
    /// A wheel for a platform or for an interpreter's binary interface.
    PlatformWheel,
    /// Anything else: a zip, an egg, an installer.
    Other,
}

/// Tells what a file is and whether it belongs to a version of a project. `None` where its name says
/// another project or version, or neither.
#[must_use]
pub fn of_version(file_name: &str, project: &str, version: &Version) -> Option<FileKind> {
    let (kind, text) = split(file_name, project)?;
    (Version::parse(text)? == *version).then_some(kind)
}

/// The version as the file's name writes it; `None` where it is another project's file.
#[must_use]
pub fn version_of<'a>(file_name: &'a str, project: &str) -> Option<&'a str> {
    split(file_name, project).map(|(_, version)| version)
}

/// Tells what a file is by its name alone.
#[must_use]
pub fn kind(file_name: &str) -> FileKind {
    if file_name.ends_with(".tar.gz") {
        return FileKind::Sdist;
    }
    let Some(stem) = file_name.strip_suffix(".whl") else {
        return FileKind::Other;
    };
    if stem.ends_with("-none-any") {
        FileKind::PureWheel
    } else {
        FileKind::PlatformWheel
    }
}

/// The kind and the text of the version.
fn split<'a>(file_name: &'a str, project: &str) -> Option<(FileKind, &'a str)> {
    let kind = kind(file_name);
    let version = match kind {
        FileKind::PureWheel | FileKind::PlatformWheel => {
            let mut parts = file_name.split('-');
            let name = parts.next()?;
            (normalized(name) == normalized(project)).then(|| parts.next())??
        }
        FileKind::Sdist => stem_version(file_name.strip_suffix(".tar.gz")?, project)?,
        FileKind::Other => {
            let stem = [".zip", ".tar.bz2", ".tgz", ".egg"]
                .iter()
                .find_map(|end| file_name.strip_suffix(end))?;
            stem_version(stem, project)?
        }
    };
    Some((kind, version))
}

/// What stands after the name: names may have dashes of their own, and versions too.
fn stem_version<'a>(stem: &'a str, project: &str) -> Option<&'a str> {
    let wanted = normalized(project);
    stem.match_indices('-').find_map(|(at, _)| {
        let (name, version) = (stem.get(..at)?, stem.get(at + 1..)?);
        (normalized(name) == wanted).then_some(version)
    })
}

/// A project's name as indexes compare it (PEP 503 §normalized names).
#[must_use]
pub fn normalized(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if !matches!(c, '-' | '_' | '.') {
            text.push(c.to_ascii_lowercase());
        } else if !text.ends_with('-') {
            text.push('-');
        }
    }
    text
}

/// Whether a text can be a project's name (PEP 508 §names).
#[must_use]
pub fn is_name(name: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() <= 214
        && ends(name.chars().next())
        && ends(name.chars().next_back())
        && name.chars().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_names() {
        let of = |file: &str, project: &str, version: &str| {
            of_version(file, project, &Version::parse(version).unwrap())
        };
        for (file, project, version, expect) in [
            (
                "a_b-1.0-py3-none-any.whl",
                "A.b",
                "1",
                Some(FileKind::PureWheel),
            ),
            (
                "a_b-1.0-2-py2.py3-none-any.whl",
                "a-b",
                "1.0",
                Some(FileKind::PureWheel),
            ),
            (
                "a-1.0-cp311-cp311-linux_x86_64.whl",
                "a",
                "1.0",
                Some(FileKind::PlatformWheel),
            ),
            (
                "a-1.0-py3-none-win32.whl",
                "a",
                "1.0",
                Some(FileKind::PlatformWheel),
            ),
            ("a-b-1.0.tar.gz", "a_b", "1.0", Some(FileKind::Sdist)),
            ("a-1.0-1.tar.gz", "a", "1.0.post1", Some(FileKind::Sdist)),
            ("a-1.0.zip", "a", "1.0", Some(FileKind::Other)),
            ("a-1.0.tar.gz", "a", "1.1", None),
            ("a-b-1.0.tar.gz", "a", "1.0", None),
            ("b-1.0-py3-none-any.whl", "a", "1.0", None),
            ("a-1.0.exe", "a", "1.0", None),
            ("a.tar.gz", "a", "1.0", None),
            ("", "a", "1.0", None),
        ] {
            assert_eq!(of(file, project, version), expect, "{file}");
        }
    }

    #[test]
    fn names_are_compared_normalized() {
        assert_eq!(normalized("Foo._-Bar"), "foo-bar");
        for good in ["a", "A.b-c_d", "0x"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "é", "a/b", "a%", ".."] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
