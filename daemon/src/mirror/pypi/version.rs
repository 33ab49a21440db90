//! Versions of Python packages: in the names of files, and when two are the same.

use super::is_file;
use crate::mirror::request::normalized;

/// The version in the name of a wheel or a source distribution of this project.
pub(super) fn version_of<'a>(project: &str, file: &'a str) -> Option<&'a str> {
    if !is_file(file) {
        return None;
    }
    if let Some(stem) = file.strip_suffix(".whl") {
        let mut parts = stem.split('-');
        let (name, version) = (parts.next()?, parts.next()?);
        return (normalized(name) == project).then_some(version);
    }
    let stem = file
        .strip_suffix(".tar.gz")
        .or_else(|| file.strip_suffix(".zip"))?;
    // old names have dashes in the project's part, and a version may have one too
    stem.match_indices('-').find_map(|(at, _)| {
        let (name, version) = (stem.get(..at)?, stem.get(at + 1..)?);
        (normalized(name) == project).then_some(version)
    })
}

/// A version in a form in which equal versions (PEP 440) are equal texts. It may make two unlike
/// versions equal, which refuses too much and never too little.
pub(super) fn version_key(version: &str) -> String {
    let lower = version.trim().to_ascii_lowercase();
    let lower = lower.strip_prefix('v').unwrap_or(&lower);
    let mut tokens: Vec<String> = Vec::new();
    for c in lower.chars() {
        let same = |last: &String| {
            let digit = |c: char| c.is_ascii_digit();
            c.is_ascii_alphanumeric()
                && last
                    .chars()
                    .all(|l| l.is_ascii_alphanumeric() && digit(l) == digit(c))
        };
        match tokens.last_mut() {
            Some(last) if !last.is_empty() && same(last) => last.push(c),
            _ if c.is_ascii_alphanumeric() => tokens.push(c.to_string()),
            _ => tokens.push(String::new()), // a separator ends a token
        }
    }
    tokens.retain(|token| !token.is_empty());
    for token in &mut tokens {
        if token.starts_with(|c: char| c.is_ascii_digit()) {
            let short = token.trim_start_matches('0');
            *token = if short.is_empty() { "0" } else { short }.to_owned();
        } else {
            *token = match token.as_str() {
                "alpha" => "a",
                "beta" => "b",
                "c" | "pre" | "preview" => "rc",
                "rev" | "r" => "post",
                other => other,
            }
            .to_owned();
        }
    }
    let release = tokens
        .iter()
        .take_while(|token| token.starts_with(|c: char| c.is_ascii_digit()))
        .count();
    let mut end = release;
    while end > 1 && tokens.get(end - 1).is_some_and(|token| token == "0") {
        end -= 1;
    }
    tokens.drain(end..release);
    tokens.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_off_the_names_of_files() {
        for (project, file, version) in [
            ("dep-x", "dep_x-1.0-py3-none-any.whl", Some("1.0")),
            ("dep-x", "Dep.X-1.0-1-py3-none-any.whl", Some("1.0")),
            ("dep-x", "dep-x-1.0.tar.gz", Some("1.0")),
            ("dep-x", "dep_x-1.0-1.zip", Some("1.0-1")),
            ("dep-x", "dep_x-1.0.exe", None),
            ("dep-x", "dep-1.0.tar.gz", None),
            ("dep-x", "dep_x.whl", None),
            ("dep-x", "../dep_x-1.0.tar.gz", None),
        ] {
            assert_eq!(version_of(project, file), version, "{file}");
        }
    }

    #[test]
    fn equal_versions_have_equal_keys() {
        for (a, b) in [
            ("1.0", "1"),
            ("v1.0.0", "1"),
            ("1.0.0rc1", "1.0-c.01"),
            ("1.0alpha2", "1a2"),
            ("1.0.post1", "1.0-r1"),
            ("2024.01", "2024.1"),
            ("1.0+local_1", "1+LOCAL.1"),
        ] {
            assert_eq!(version_key(a), version_key(b), "{a} {b}");
        }
        for (a, b) in [
            ("1.10", "1.1"),
            ("1.1.0.1", "1.1.1"),
            ("1a1", "1b1"),
            ("10", "1"),
        ] {
            assert_ne!(version_key(a), version_key(b), "{a} {b}");
        }
    }
}
