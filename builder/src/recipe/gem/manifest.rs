//! Finds gemspecs in a tree, and reads the metadata of a published gem: a tar with `metadata.gz`.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;

use super::super::{Evidence, InspectError, InspectRequest};
use super::{GemEvidence, PublishedGem};
use crate::archive::{Member, Wanted, tar};
use crate::tree::{self, Entry, Order, TreeError};

/// Longest metadata that is read, packed or not.
const MAX_BYTES: u64 = 4 << 20;
/// Most gemspecs of one folder.
const MOST: usize = 100;

pub(super) fn inspect(
    request: &InspectRequest,
    tree: BorrowedFd<'_>,
    artifact: Option<File>,
) -> Result<Evidence, InspectError> {
    let specifications = specifications(request, tree)?;
    Ok(if specifications.is_empty() {
        let folder = &request.subdir;
        Evidence::Unusable {
            detail: format!("there is no gemspec in the folder {folder:?} of the source tree"),
        }
    } else {
        Evidence::Gem(GemEvidence {
            specifications,
            published: artifact.and_then(|file| published(file, request)),
        })
    })
}

fn specifications(
    request: &InspectRequest,
    tree: BorrowedFd<'_>,
) -> Result<Vec<String>, InspectError> {
    let mut found = Vec::new();
    tree::walk(tree, Order::Ascending, &mut |path, entry| {
        let Ok(path) = std::str::from_utf8(path) else {
            return Ok(());
        };
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if let (Entry::File(..), Some(name)) = (entry, name.strip_suffix(".gemspec"))
            && folder == request.subdir
            && is_plain(name)
            && found.len() < MOST
        {
            found.push(name.to_owned());
        }
        Ok::<_, TreeError>(())
    })
    .map_err(|error| InspectError::Tree {
        path: request.subdir.clone(),
        source: io::Error::other(error),
    })?;
    Ok(found)
}

/// `None` where it is no gem; the comparison will say more.
fn published(file: File, request: &InspectRequest) -> Option<PublishedGem> {
    let mut wanted = Wanted::new(|name| name == b"metadata.gz", MAX_BYTES);
    let container = tar::walk(file, &request.limits, Some(&mut wanted)).ok()?;
    let [packed] = wanted.found.as_slice() else {
        return None;
    };
    let mut text = String::new();
    let unpacked = flate2::read::GzDecoder::new(packed.as_slice());
    unpacked.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    let named = |name: &[u8]| container.members.iter().find(|m| *m.name == *name);
    Some(PublishedGem {
        signed: named(b"metadata.gz.sig").is_some(),
        seconds: named(b"metadata.gz").and_then(Member::tar_seconds),
        ..metadata(&text)?
    })
}

/// The fields that we need of a gem's metadata, which is YAML as one program writes it: no other YAML is
/// expected there, and what is written otherwise is not read.
fn metadata(text: &str) -> Option<PublishedGem> {
    let field = |start: &str| {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(start))?;
        let value = value.trim().trim_matches(['\'', '"']);
        is_plain(value).then(|| value.to_owned())
    };
    let version = text.split_once("\nversion: !ruby/object:Gem::Version\n")?.1;
    let version = version.lines().next()?.strip_prefix("  version: ")?;
    let version = version.trim().trim_matches(['\'', '"']);
    is_plain(version).then_some(PublishedGem {
        name: field("name: ")?,
        version: version.to_owned(),
        rubygems: field("rubygems_version: ")?,
        signed: false,
        seconds: None,
    })
}

fn is_plain(text: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = "--- !ruby/object:Gem::Specification\nname: left-right\nversion: !ruby/object:Gem::Version\n  version: 1.0.0.pre\nplatform: ruby\nrubygems_version: 3.3.15\n";

    #[test]
    fn metadata_says_name_version_and_tool() {
        let gem = metadata(METADATA).unwrap();
        assert_eq!((&*gem.name, &*gem.version), ("left-right", "1.0.0.pre"));
        assert_eq!(gem.rubygems, "3.3.15");
        let quoted = METADATA.replace("1.0.0.pre", "'1.0'");
        assert_eq!(metadata(&quoted).unwrap().version, "1.0");
        for bad in [
            String::new(),
            METADATA.replace("left-right", "../x"),
            METADATA.replace("rubygems_version", "other"),
            METADATA.replace("  version: ", "  version: !x "),
        ] {
            assert_eq!(metadata(&bad), None, "{bad}");
        }
    }
}
