//! What a published tarball says: who it is, what packed it, and which of its files the tree has not.
//! Runs in a confined child.

use std::fs::File;
use std::os::fd::BorrowedFd;

use countersign_attest::digest::Sha256;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::source_files::{self, Unlike};
use super::super::{InspectError, InspectRequest};
use super::manifest::{MAX_MANIFEST_BYTES, parse};
use crate::archive::{Container, Field, Kind, Wanted, gzip};

/// What was found in a published tarball.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "manifest", rename_all = "kebab-case")]
pub enum PublishedManifest {
    /// Only a digest was published.
    NotGiven,
    /// The file has no readable package.json. The comparison will say more.
    Unreadable {
        /// What was found, printable.
        detail: String,
    },
    /// Who it is and how it was made.
    Found {
        /// `name`
        name: String,
        /// `version`
        version: String,
        /// What packed it.
        packer: Packer,
        /// Its files that the tree has not, or has otherwise.
        unlike: Unlike,
    },
}

/// What packed a tarball, by the constants that it leaves in headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packer {
    /// npm 7 and later: the time of 1985, no owner, level 9.
    Npm,
    /// npm 7 up to 7.11: the same with files that say what changed, whatever `files` says.
    Npm7,
    /// npm 6.9 and later of version 6: the same at gzip's default level.
    Npm6,
    /// npm 5 and 6 until then: the same with the manifest first.
    Npm5,
    /// pnpm: the time of 1985 and owner 0.
    Pnpm,
    /// yarn 2 and later: a time of 1984.
    Yarn,
    /// None of these, such as the times of the publisher's files.
    #[default]
    Other,
}

/// 1985-10-26T08:15:00Z
const NPM_SECONDS: u64 = 499_162_500;
/// 1984-06-22T21:50:00Z
const YARN_SECONDS: u64 = 456_789_000;

pub(super) fn read(
    mut file: File,
    request: &InspectRequest,
) -> Result<(PublishedManifest, Option<Container>), InspectError> {
    let unreadable = |detail: String| Ok((PublishedManifest::Unreadable { detail }, None));
    let mut wanted = Wanted::new(is_manifest, MAX_MANIFEST_BYTES);
    if let Err(error) = std::io::Seek::rewind(&mut file) {
        return unreadable(error.to_string());
    }
    let gzip = match gzip::walk(file, &request.limits, Some(&mut wanted)) {
        Err(error) => return unreadable(error.to_string()),
        Ok(gzip) => gzip,
    };
    let level_9 = gzip.container.members.first().is_some_and(|stream| {
        let extra = stream
            .details
            .iter()
            .find(|d| d.field == Field::GzipExtraFlags);
        extra.is_some_and(|d| d.value.as_ref() == [2])
    });
    let container = match gzip.tar {
        Some(Ok(container)) => container,
        Some(Err(error)) => return unreadable(error.to_string()),
        None => return unreadable("not one gzip stream with a tar in it".to_owned()),
    };
    let (manifest, name, version) = match wanted.found.as_slice() {
        [] => return unreadable("no package.json in it".to_owned()),
        [bytes] => match parse(bytes) {
            Ok(parsed) => parsed,
            Err(what) => return unreadable(format!("its package.json {what}")),
        },
        _ => return unreadable("more than one package.json in its top folder".to_owned()),
    };
    let found = PublishedManifest::Found {
        name,
        version,
        packer: packer(&container, level_9, &manifest),
        unlike: Unlike::default(),
    };
    Ok((found, Some(container)))
}

/// The files of a tarball that a folder of the tree has not, or has otherwise.
pub(super) fn unlike(
    tree: BorrowedFd<'_>,
    folder: &str,
    container: &Container,
) -> Result<Unlike, InspectError> {
    let files = container.members.iter().filter(|m| m.kind == Kind::File);
    let named = files.filter_map(|member| {
        let name = member.name.strip_prefix(b"./").unwrap_or(&member.name);
        let slash = name.iter().position(|byte| *byte == b'/')?;
        Some((name.get(slash + 1..)?, member.content.sha256))
    });
    source_files::unlike(tree, folder, named)
}

/// The digest of the package.json of a tarball.
pub(super) fn manifest_digest(container: &Container) -> Option<Sha256> {
    let mut members = container.members.iter();
    let manifest = members.find(|member| is_manifest(&member.name))?;
    Some(manifest.content.sha256)
}

/// npm takes off the first folder, whatever its name is; `package` is the usual one.
fn is_manifest(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"./").unwrap_or(name);
    let mut parts = name.split(|byte| *byte == b'/');
    parts.next().is_some_and(|folder| !folder.is_empty())
        && parts.next() == Some(b"package.json")
        && parts.next().is_none()
}

fn packer(container: &Container, level_9: bool, manifest: &Value) -> Packer {
    let mut times = Vec::new();
    let mut owned = false;
    for detail in container.members.iter().flat_map(|m| &m.details) {
        match detail.field {
            Field::TarTime => times.push(octal(&detail.value)),
            Field::TarOwnerId => owned |= detail.value.iter().any(u8::is_ascii_digit),
            _ => {}
        }
    }
    let all = |time: u64| !times.is_empty() && times.iter().all(|t| *t == Some(time));
    if all(YARN_SECONDS) {
        Packer::Yarn
    } else if !all(NPM_SECONDS) {
        Packer::Other
    } else if owned {
        Packer::Pnpm
    } else if level_9 && says_what_changed_unasked(container, manifest) {
        Packer::Npm7
    } else if level_9 {
        Packer::Npm
    } else if container
        .members
        .first()
        .is_some_and(|m| is_manifest(&m.name))
    {
        Packer::Npm5
    } else {
        Packer::Npm6
    }
}

/// Whether a file of the top folder is of those that old clients always pack, and no entry of `files`, nor
/// `main`, can have asked for it.
fn says_what_changed_unasked(container: &Container, manifest: &Value) -> bool {
    const ALWAYS: [&str; 4] = ["changelog", "changes", "history", "notice"];
    let Some(files) = manifest.get("files").and_then(Value::as_array) else {
        return false;
    };
    let stem = |name: &str| name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let entries = || {
        files
            .iter()
            .chain(manifest.get("main"))
            .filter_map(Value::as_str)
    };
    let asked_for = |of: &str| {
        let plain = |entry: &str| stem(entry.trim_start_matches(['.', '/'])) == of;
        entries().any(|entry| plain(entry) || entry == "." || entry.starts_with(['*', '!']))
    };
    let names = container.members.iter().filter_map(|member| {
        let name = std::str::from_utf8(&member.name).ok()?;
        let (_, name) = name.split_once('/')?;
        (!name.contains('/')).then(|| stem(name))
    });
    names
        .filter(|name| ALWAYS.contains(&name.as_str()))
        .any(|name| !asked_for(&name))
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}
