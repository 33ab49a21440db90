//! Reads package.json in a tree and in a published tarball. Runs in a confined child.

use std::fs::File;
use std::os::fd::BorrowedFd;

use serde_json::Value;

use super::super::tree_file::{self, TreeFile};
use super::super::{Evidence, InspectError, InspectRequest};
use super::{NpmEvidence, PublishedManifest};
use crate::archive::{Wanted, gzip};

/// Longest package.json that is read.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// Longest name or version that is believed; npm itself takes 214 and 256.
const MAX_TEXT_BYTES: usize = 256;

/// Scripts that npm or an author runs before or during publishing and that make or change files.
const BUILD_SCRIPTS: [&str; 8] = [
    "build",
    "prepublish",
    "prepublishOnly",
    "preprepare",
    "prepare",
    "postprepare",
    "prepack",
    "postpack",
];

pub(super) fn inspect(
    request: &InspectRequest,
    tree: BorrowedFd<'_>,
    artifact: Option<File>,
) -> Result<Evidence, InspectError> {
    let path = match request.subdir.as_str() {
        "" => "package.json".to_owned(),
        subdir => format!("{subdir}/package.json"),
    };
    let unusable = |what: &str| Evidence::Unusable {
        detail: format!("{path:?} {what}"),
    };
    let bytes = match tree_file::read(tree, &path, MAX_MANIFEST_BYTES)? {
        TreeFile::Read(bytes) => bytes,
        TreeFile::Unusable(what) => return Ok(unusable(what)),
    };
    let (manifest, name, version) = match parse(&bytes) {
        Ok(parsed) => parsed,
        Err(what) => return Ok(unusable(what)),
    };
    Ok(Evidence::Npm(NpmEvidence {
        name,
        version,
        build_scripts: build_scripts(&manifest),
        bundles_dependencies: bundles_dependencies(&manifest),
        published: artifact.map_or(PublishedManifest::NotGiven, |file| published(file, request)),
    }))
}

/// The document with its name and version, or what is wrong with it.
fn parse(bytes: &[u8]) -> Result<(Value, String, String), &'static str> {
    // npm skips a byte order mark too
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let manifest: Value = serde_json::from_slice(bytes).map_err(|_| "is not JSON")?;
    let text = |key: &str| -> Option<String> {
        let text = manifest.get(key)?.as_str()?;
        (!text.is_empty() && text.len() <= MAX_TEXT_BYTES).then(|| text.to_owned())
    };
    let name = text("name").ok_or("has no usable name")?;
    let version = text("version").ok_or("has no usable version")?;
    Ok((manifest, name, version))
}

fn build_scripts(manifest: &Value) -> Vec<String> {
    let scripts = manifest.get("scripts");
    let has = |name: &&&str| scripts.and_then(|s| s.get(**name)).is_some();
    let found = BUILD_SCRIPTS.iter().filter(has);
    found.map(|name| (*name).to_owned()).collect()
}

fn bundles_dependencies(manifest: &Value) -> bool {
    ["bundleDependencies", "bundledDependencies"]
        .iter()
        .filter_map(|key| manifest.get(key))
        .any(|value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(list) => !list.is_empty(),
            Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Object(_) => true,
        })
}

fn published(mut file: File, request: &InspectRequest) -> PublishedManifest {
    let unreadable = |detail: String| PublishedManifest::Unreadable { detail };
    let mut wanted = Wanted::new(is_manifest, MAX_MANIFEST_BYTES);
    if let Err(error) = std::io::Seek::rewind(&mut file) {
        return unreadable(error.to_string());
    }
    match gzip::walk(file, &request.limits, Some(&mut wanted)) {
        Err(error) => return unreadable(error.to_string()),
        Ok(gzip) => match gzip.tar {
            Some(Ok(_)) => {}
            Some(Err(error)) => return unreadable(error.to_string()),
            None => return unreadable("not one gzip stream with a tar in it".to_owned()),
        },
    }
    match wanted.found.as_slice() {
        [] => unreadable("no package.json in it".to_owned()),
        [bytes] => match parse(bytes) {
            Ok((_, name, version)) => PublishedManifest::Found { name, version },
            Err(what) => unreadable(format!("its package.json {what}")),
        },
        _ => unreadable("more than one package.json in its top folder".to_owned()),
    }
}

/// npm takes off the first folder, whatever its name is; `package` is the usual one.
fn is_manifest(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"./").unwrap_or(name);
    let mut parts = name.split(|byte| *byte == b'/');
    parts.next().is_some_and(|folder| !folder.is_empty())
        && parts.next() == Some(b"package.json")
        && parts.next().is_none()
}
