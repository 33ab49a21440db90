//! Reads a published `.crate`: a gzipped tar with one folder. Runs in a confined child.

use std::fs::File;
use std::io::Seek as _;

use serde::Deserialize;

use super::super::InspectRequest;
use super::manifest::{MAX_MANIFEST_BYTES, Package};
use super::{CrateFacts, PublishedCrate, Range, VcsFacts};
use crate::archive::{Container, Field, Wanted, gzip};

/// Longest lock file that is read; it may have to go into arguments of a step.
const MAX_LOCK_BYTES: u64 = 1 << 20;
/// The first cargo that reads and writes the fourth form of the lock file.
const FIRST_WITH_LOCK_4: u32 = 78;
/// The time that cargo gives files (2006-07-24).
const CARGO_TIME: u64 = 1_153_704_088;

/// What a crate says of itself.
pub(super) fn read(mut file: File, request: &InspectRequest) -> PublishedCrate {
    match facts(&mut file, request) {
        Ok(facts) => PublishedCrate::Found(facts),
        Err(detail) => PublishedCrate::Unreadable { detail },
    }
}

fn facts(file: &mut File, request: &InspectRequest) -> Result<CrateFacts, String> {
    let manifest = |name: &[u8]| is_file(name, b"Cargo.toml");
    let (container, text) = one(file, request, manifest, MAX_MANIFEST_BYTES)?;
    let text = text.ok_or("no Cargo.toml in it")?;
    let package =
        Package::parse(text.as_bytes()).map_err(|what| format!("its Cargo.toml {what}"))?;
    let (name, version) = package.name_and_version()?;
    let lock = |name: &[u8]| is_file(name, b"Cargo.lock");
    let (_, lock) = one(file, request, lock, MAX_LOCK_BYTES)?;
    let vcs = |name: &[u8]| is_file(name, b".cargo_vcs_info.json");
    let (_, vcs) = one(file, request, vcs, MAX_MANIFEST_BYTES)?;
    Ok(CrateFacts {
        name,
        version,
        vcs: vcs.map(|text| vcs_facts(&text)),
        cargo: packed_by(&container, &package, lock.as_deref()),
        lock,
    })
}

/// Walks the crate for one file of its top folder.
fn one(
    file: &mut File,
    request: &InspectRequest,
    is_wanted: fn(&[u8]) -> bool,
    max_bytes: u64,
) -> Result<(Container, Option<String>), String> {
    let mut wanted = Wanted::new(is_wanted, max_bytes);
    file.rewind().map_err(|error| error.to_string())?;
    let walked = gzip::walk(&*file, &request.limits, Some(&mut wanted))
        .map_err(|error| error.to_string())?;
    let container = walked
        .tar
        .ok_or("not one gzip stream with a tar in it")?
        .map_err(|error| error.to_string())?;
    let found = match wanted.found.len() {
        0 => None,
        1 => wanted.found.pop(),
        _ => return Err("a file that must be there once is there twice".to_owned()),
    };
    let found = found.map(String::from_utf8).transpose();
    Ok((container, found.map_err(|_| "a text in it is not UTF-8")?))
}

/// Whether a member is this file of the top folder, whatever the folder's name is.
fn is_file(name: &[u8], file: &[u8]) -> bool {
    let mut parts = name.split(|byte| *byte == b'/');
    parts.next().is_some_and(|folder| !folder.is_empty())
        && parts.next() == Some(file)
        && parts.next().is_none()
}

fn vcs_facts(text: &str) -> VcsFacts {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct File {
        git: Git,
        path_in_vcs: Option<String>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Git {
        sha1: Option<String>,
        dirty: bool,
    }
    // what cannot be read names no commit, and will show in the comparison
    let file: File = serde_json::from_str(text).unwrap_or_default();
    VcsFacts {
        commit: file.git.sha1,
        path: file.path_in_vcs,
        dirty: file.git.dirty,
    }
}

/// Reads the packing cargo off the crate.
fn packed_by(container: &Container, package: &Package, lock: Option<&str>) -> Range {
    let mut range = Range::ANY.since(package.needs());
    let times = container
        .members
        .iter()
        .flat_map(|member| &member.details)
        .filter(|detail| detail.field == Field::TarTime);
    let mut known = true;
    let mut early = false;
    for time in times {
        match octal(&time.value) {
            Some(CARGO_TIME) => {}
            Some(1) => early = true,
            Some(_) | None => known = false,
        }
    }
    range = match (known, early) {
        // before fixed times there were those of the files and of the clock
        (false, _) => range.before(82),
        // files that cargo itself makes had the time 1
        (true, true) => range.before(93),
        (true, false) => range.since(93),
    };
    if package.spells_out_targets("autolib") {
        range = range.since(83);
    } else if package.spells_out_targets("autobins") {
        range = range.before(83);
    }
    match lock {
        Some(_) if package.is_library() => range = range.since(84),
        Some(_) => {}
        None => range = range.before(84),
    }
    if lock.is_some_and(|text| text.lines().any(|line| line == "version = 4")) {
        range = range.since(FIRST_WITH_LOCK_4);
    }
    range
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches(['\0', ' ']);
    u64::from_str_radix(digits, 8).ok()
}
