//! What times the files of a tree have in the distribution's source package, which git has lost.
//!
//! A file counts where it has the same path and the same content in both: what a packaging has changed
//! since is as young as the build, on the distribution's builders too.

use std::collections::BTreeMap;

use countersign_attest::digest::Sha256;

use crate::archive::{Container, Kind};

/// A file's content and time, by its path in the tree.
pub(super) type Known = BTreeMap<String, (Sha256, i64)>;

/// The files of a tar of a source package of this file name (dsc(5)); none where it is another file.
pub(super) fn of(file_name: &str, tar: &Container) -> Known {
    let Some((folder, below_top)) = place(file_name) else {
        return Known::new();
    };
    let files: Vec<(&str, Sha256, i64)> = tar
        .members
        .iter()
        .filter(|member| member.kind == Kind::File)
        .filter_map(|member| {
            let name = std::str::from_utf8(&member.name).ok()?;
            let name = name.strip_prefix("./").unwrap_or(name);
            Some((name, member.content.sha256, member.tar_seconds()?))
        })
        .collect();
    let top = |name: &str| name.split_once('/').map(|(top, _)| top.to_owned());
    let first = files.first().and_then(|(name, ..)| top(name));
    // unpacking drops a folder that everything is in, and only such a one
    let drops = below_top && first.is_some() && files.iter().all(|(name, ..)| top(name) == first);
    let path = |name: &str| {
        let rest = name.split_once('/').filter(|_| drops);
        let rest = rest.map_or(name, |(_, rest)| rest);
        match &folder {
            Some(folder) => format!("{folder}/{rest}"),
            None => rest.to_owned(),
        }
    };
    let files = files.iter();
    files
        .map(|(name, sha256, seconds)| (path(name), (*sha256, *seconds)))
        .collect()
}

/// The folder that a tar is unpacked into, where it is not the tree itself, and whether a folder at its
/// top is dropped.
fn place(file_name: &str) -> Option<(Option<String>, bool)> {
    let (name, _) = file_name.rsplit_once(".tar.")?;
    if name.ends_with(".debian") {
        return Some((None, false));
    }
    match name.rsplit_once(".orig-") {
        Some((_, component)) => Some((Some(component.to_owned()), true)),
        None => Some((None, true)), // upstream's, or that of a native package
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_source_package_have_their_places() {
        for (name, expect) in [
            ("b_1.0.orig.tar.gz", Some((None, true))),
            ("b_1.0.orig-x.tar.xz", Some((Some("x".to_owned()), true))),
            ("b_1.0-2.debian.tar.xz", Some((None, false))),
            ("b_1.0.tar.xz", Some((None, true))),
            ("b_1.0-2.dsc", None),
            ("b_1.0-2.diff.gz", None),
            ("b_1.0-2_amd64.deb", None),
        ] {
            assert_eq!(place(name), expect, "{name}");
        }
    }
}
