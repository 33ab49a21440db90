//! Reads the package.json of a package in a tree, and what stands around it. Runs in a confined child.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;

use countersign_attest::digest::Sha256;
use serde_json::Value;

use super::super::tree_file::{self, TreeFile};
use super::super::{Evidence, InspectError, InspectRequest};
use super::published::{self, PublishedManifest};
use super::{Declared, NpmEvidence, lock, publishing};
use crate::tree::{self, Entry, Order, TreeError};

/// Longest package.json that is read.
pub(super) const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// Longest name or version that is believed; npm itself takes 214 and 256.
const MAX_TEXT_BYTES: usize = 256;
/// Longest script that is kept; the start of a longer one says enough.
const MAX_SCRIPT_CHARS: usize = 500;
/// Most manifests that are looked into for a package of a workspace.
const MAX_MANIFESTS: usize = 5000;
/// Most bytes of them.
const MAX_MANIFESTS_BYTES: u64 = 64 << 20;

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
/// Parts of a manifest that an installer reads.
const DEPENDENCIES: [&str; 3] = ["dependencies", "devDependencies", "optionalDependencies"];

pub(super) fn inspect(
    request: &InspectRequest,
    tree: BorrowedFd<'_>,
    artifact: Option<File>,
) -> Result<Evidence, InspectError> {
    let (mut published, container) = match artifact {
        Some(file) => published::read(file, request)?,
        None => (PublishedManifest::NotGiven, None),
    };
    let folder = match &published {
        PublishedManifest::Found { name, version, .. } if request.subdir.is_empty() => {
            folder_of(tree, name, version)?
        }
        PublishedManifest::Found { .. }
        | PublishedManifest::NotGiven
        | PublishedManifest::Unreadable { .. } => request.subdir.clone(),
    };
    let path = match folder.as_str() {
        "" => "package.json".to_owned(),
        folder => format!("{folder}/package.json"),
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
    let mut version_in_place = false;
    if let (
        PublishedManifest::Found {
            unlike,
            version: file,
            ..
        },
        Some(container),
    ) = (&mut published, &container)
    {
        *unlike = published::unlike(tree, &folder, container)?;
        let set = with_version(&bytes, file).filter(|_| *file != version);
        let set = set.map(|bytes| Sha256::of(&bytes));
        version_in_place = set.is_some() && set == published::manifest_digest(container);
    }
    let root = match folder.as_str() {
        "" => None,
        _ => match tree_file::read(tree, "package.json", MAX_MANIFEST_BYTES)? {
            TreeFile::Read(bytes) => serde_json::from_slice(without_mark(&bytes)).ok(),
            TreeFile::Unusable(_) => None,
        },
    };
    let top: &Value = root.as_ref().unwrap_or(&manifest);
    let mut declared = declared(tree, top)?;
    let (publishing, node) = publishing::find(tree, &folder, &manifest)?;
    declared.node = declared.node.or(node);
    let manager = declared
        .manager
        .as_deref()
        .and_then(|m| m.split('@').next());
    let lock = lock::find(tree, &name, manager)?;
    let unknown_manager = lock::unknown_manager(tree, declared.manager.as_deref(), lock.as_ref())?;
    let installs = [top, &manifest].iter().any(|manifest| {
        let filled = |key: &&str| {
            let map = manifest.get(*key).and_then(Value::as_object);
            map.is_some_and(|map| !map.is_empty())
        };
        DEPENDENCIES.iter().any(filled)
    });
    Ok(Evidence::Npm(Box::new(NpmEvidence {
        scripts: scripts(&manifest),
        builds_at_root: root
            .as_ref()
            .is_some_and(|root| scripts(root).contains_key("build")),
        publishing,
        bundles_dependencies: bundles_dependencies(&manifest),
        installs,
        name,
        version,
        folder,
        declared,
        lock,
        unknown_manager,
        published,
        version_in_place,
    })))
}

/// The document with its name and version, or what is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<(Value, String, String), &'static str> {
    let manifest: Value = serde_json::from_slice(without_mark(bytes)).map_err(|_| "is not JSON")?;
    let text = |key: &str| -> Option<String> {
        let text = manifest.get(key)?.as_str()?;
        (!text.is_empty() && text.len() <= MAX_TEXT_BYTES).then(|| text.to_owned())
    };
    let name = text("name").ok_or("has no usable name")?;
    let version = text("version").ok_or("has no usable version")?;
    Ok((manifest, name, version))
}

/// A package.json with another version and no other byte changed, as `run.js` makes it: the value of the
/// first `"version"` in it.
fn with_version(bytes: &[u8], version: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (before, rest) = text.split_once("\"version\"")?;
    let value = rest.trim_start().strip_prefix(':')?.trim_start();
    let value = value.strip_prefix('"')?;
    let (_, after) = value.split_once('"')?;
    let between = rest.get(..rest.len() - value.len())?;
    Some(format!("{before}\"version\"{between}{version}\"{after}").into_bytes())
}

/// npm skips a byte order mark too.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The folder whose package.json has this name: the root, else the one of this version, else the
/// nearest to the root. The root where there is none.
fn folder_of(tree: BorrowedFd<'_>, name: &str, version: &str) -> Result<String, InspectError> {
    if let TreeFile::Read(bytes) = tree_file::read(tree, "package.json", MAX_MANIFEST_BYTES)?
        && parse(&bytes).is_ok_and(|(_, found, _)| found == name)
    {
        return Ok(String::new());
    }
    let mut found: Vec<(bool, usize, String)> = Vec::new();
    let (mut files, mut left) = (0, MAX_MANIFESTS_BYTES);
    tree::walk(tree, Order::Ascending, &mut |path, entry| {
        let Entry::File(file, _) = entry else {
            return Ok(());
        };
        let Some(folder) = path.strip_suffix(b"/package.json") else {
            return Ok(());
        };
        let Ok(folder) = std::str::from_utf8(folder) else {
            return Ok(());
        };
        files += 1;
        if files > MAX_MANIFESTS || left == 0 || folder.split('/').any(|f| f == "node_modules") {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let limit = MAX_MANIFEST_BYTES.min(left);
        let read = file.take(limit).read_to_end(&mut bytes);
        left -= read.map_err(|source| TreeError::Io {
            path: crate::archive::escape(path),
            source,
        })? as u64;
        if let Ok((_, of, at)) = parse(&bytes)
            && of == name
        {
            found.push((at != version, folder.split('/').count(), folder.to_owned()));
        }
        Ok::<_, TreeError>(())
    })
    .map_err(|error| InspectError::Tree {
        path: String::new(),
        source: io::Error::other(error),
    })?;
    Ok(found
        .into_iter()
        .min()
        .map_or_else(String::new, |(_, _, folder)| folder))
}

/// What the tree says of the tools that its author uses.
fn declared(tree: BorrowedFd<'_>, manifest: &Value) -> Result<Declared, InspectError> {
    let text = |value: Option<&Value>| {
        let text = value?.as_str()?;
        (text.len() <= MAX_TEXT_BYTES).then(|| text.to_owned())
    };
    let volta = manifest.get("volta");
    let mut node = text(volta.and_then(|volta| volta.get("node")));
    for file in [".nvmrc", ".node-version"] {
        if node.is_none()
            && let TreeFile::Read(bytes) = tree_file::read(tree, file, MAX_TEXT_BYTES as u64)?
        {
            let text = String::from_utf8_lossy(&bytes)
                .trim()
                .trim_start_matches('v')
                .to_owned();
            node = text
                .starts_with(|c: char| c.is_ascii_digit())
                .then_some(text);
        }
    }
    Ok(Declared {
        node,
        npm: None,
        manager: text(manifest.get("packageManager")),
    })
}

fn scripts(manifest: &Value) -> BTreeMap<String, String> {
    let scripts = manifest.get("scripts");
    let text = |name: &&str| {
        let text = scripts?.get(*name)?.as_str()?;
        Some((
            (*name).to_owned(),
            text.chars().take(MAX_SCRIPT_CHARS).collect(),
        ))
    };
    BUILD_SCRIPTS.iter().filter_map(text).collect()
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

#[cfg(test)]
mod tests {
    use super::with_version;

    #[test]
    fn a_version_is_set_and_nothing_else() {
        for (text, expect) in [
            (r#"{"version":"1.0.0"}"#, Some(r#"{"version":"2.0.0"}"#)),
            (
                "{ \"version\" :\n \"1\", \"x\": [1]}",
                Some("{ \"version\" :\n \"2.0.0\", \"x\": [1]}"),
            ),
            (r#"{"name":"a"}"#, None),
            (r#"{"version":1}"#, None),
            (r#"{"version":"1"#, None),
        ] {
            let set = with_version(text.as_bytes(), "2.0.0");
            let set = set.map(|set| String::from_utf8(set).expect("text"));
            assert_eq!(set.as_deref(), expect, "{text}");
        }
        assert_eq!(with_version(b"\xff", "2.0.0"), None);
    }
}
