//! Requirements of pip, as `pip install --require-hashes -r FILE` takes them.
//!
//! pip accepts any file that has one of the digests, so all of them are what may be meant. Environment
//! variables are left as they are, other files are not opened, and markers are not evaluated: what another
//! machine would install is listed too.

use std::collections::BTreeSet;

use countersign_builder::recipe::pypi::file_name::normalized;

use super::{Entry, FileDigest, Files, MAX_ENTRIES, Why, problem, purl};

/// Reads a list of requirements.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let text = str::from_utf8(bytes).map_err(|error| problem(&error))?;
    let mut entries = Vec::new();
    for line in logical_lines(text) {
        if entries.len() > MAX_ENTRIES {
            break; // the caller refuses
        }
        entries.extend(requirement(&line)?);
    }
    Ok(entries)
}

/// Lines without comments, joined where a backslash stands at their end.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        // a comment ends a line that goes on, as in pip
        let is_comment = line.trim_start().starts_with('#');
        match line.strip_suffix('\\') {
            Some(begun) if !is_comment => open.push_str(begun),
            _ => {
                if !is_comment {
                    open.push_str(line);
                }
                lines.push(
                    without_comment(&std::mem::take(&mut open))
                        .trim()
                        .to_owned(),
                );
            }
        }
    }
    lines.push(without_comment(&open).trim().to_owned());
    lines.retain(|line| !line.is_empty());
    lines
}

/// What stands before a `#` that begins the line or follows a blank.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == '#' && before.is_whitespace() {
            return line.get(..at).unwrap_or_default();
        }
        before = c;
    }
    line
}

/// One line: a requirement, another list, or an option, which is nothing that is installed.
fn requirement(line: &str) -> Result<Option<Entry>, String> {
    if line.starts_with('-') {
        return option(line);
    }
    let (what, digests) = digests(line)?;
    let (specifier, _marker) = what.split_once(';').unwrap_or((what.as_str(), ""));
    let specifier = specifier.trim();
    let end = specifier.find(|c: char| !is_name_character(c));
    let (name, rest) = specifier.split_at(end.unwrap_or(specifier.len()));
    let rest = match rest.trim_start().strip_prefix('[') {
        Some(extras) => extras.split_once(']').map_or("", |(_, rest)| rest),
        None => rest,
    };
    let entry = |purl, files| Entry {
        name: specifier.to_owned(),
        purl,
        files,
    };
    let place = rest.trim().strip_prefix('@').map(str::trim_start);
    if let Some(place) = place.or_else(|| is_place(specifier).then_some(specifier)) {
        let files = match digests {
            _ if place.starts_with("git+") => Files::Unconfirmable(Why::Git),
            Files::Unconfirmable(Why::NoDigest) if !place.contains("://") => {
                Files::Unconfirmable(Why::Local)
            }
            digests => digests,
        };
        return Ok(Some(entry(None, files)));
    }
    let version = rest.trim().trim_start_matches('(').trim_end_matches(')');
    let version = version.strip_prefix("===").or(version.strip_prefix("=="));
    let version = version.map(str::trim).filter(|v| is_exact(v));
    Ok(Some(match version {
        None => entry(None, Files::Unconfirmable(Why::NoVersion)),
        Some(version) => entry(purl("pypi", &normalized(name), version), digests),
    }))
}

/// An option line. Those that name something to install are entries.
fn option(line: &str) -> Result<Option<Entry>, String> {
    let (option, value) = line
        .split_once(|c: char| c == '=' || c.is_whitespace())
        .unwrap_or((line, ""));
    let why = match option {
        "-e" | "--editable" if value.trim().starts_with("git+") => Why::Git,
        "-e" | "--editable" => Why::Local,
        "-r" | "--requirement" => Why::AnotherList,
        "-c" | "--constraint" | "-i" | "--index-url" | "--extra-index-url" | "--no-index"
        | "-f" | "--find-links" | "--no-binary" | "--only-binary" | "--prefer-binary"
        | "--require-hashes" | "--pre" | "--trusted-host" | "--use-feature" => return Ok(None),
        // `-rFILE` and the like: pip takes it, and we would not know what it installs
        _ => return Err(format!("an option that is not known: {option}")),
    };
    Ok(Some(Entry {
        name: value.trim().to_owned(),
        purl: None,
        files: Files::Unconfirmable(why),
    }))
}

/// The line without its digests, and these.
fn digests(line: &str) -> Result<(String, Files), String> {
    let mut words = line.split_whitespace();
    let mut what = Vec::new();
    let mut found = BTreeSet::new();
    let mut other = false;
    while let Some(word) = words.next() {
        let digest = match word.strip_prefix("--hash") {
            None if word.starts_with("--") => {
                // --config-settings and the like change what is built, not which files may be taken
                continue;
            }
            None => {
                what.push(word);
                continue;
            }
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('='),
        };
        let (kind, hex) = digest
            .and_then(|digest| digest.split_once(':'))
            .ok_or("a --hash without KIND:DIGEST")?;
        match kind {
            "sha256" => found.insert(FileDigest::Sha256(hex.parse().map_err(|e| problem(&e))?)),
            "sha512" => found.insert(FileDigest::Sha512(hex.parse().map_err(|e| problem(&e))?)),
            _ => {
                other = true;
                false
            }
        };
    }
    let files = match (other, found.is_empty()) {
        (true, _) => Files::Unconfirmable(Why::OtherDigest),
        (false, true) => Files::Unconfirmable(Why::NoDigest),
        (false, false) => Files::OneOf(found),
    };
    Ok((what.join(" "), files))
}

const fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// A URL, a path, or a file.
fn is_place(specifier: &str) -> bool {
    specifier.contains("://")
        || specifier.starts_with(['.', '/', '~'])
        || specifier.contains('/')
        || specifier.contains('\\')
        || [".whl", ".zip", ".gz", ".bz2", ".xz"]
            .iter()
            .any(|suffix| specifier.ends_with(suffix))
}

/// One version, not several by a star or a further clause.
fn is_exact(version: &str) -> bool {
    let is_part = |c: char| is_name_character(c) || matches!(c, '+' | '!');
    !version.is_empty() && version.chars().all(is_part)
}
