//! A local source repository: its folder, and its tags, read by the git child as plain files.
//!
//! The folder is a stranger's: its configuration is not even opened, no link is followed, and every
//! file that is read has a limit.

use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use countersign_attest::digest::GitOid;

use super::error::{Fault, Refusal, WatchError};
use super::mirror::Objects;
use super::refs::{AnswerError, Collector, Listing, TAGS};

/// Most bytes of `packed-refs`.
const MAX_PACKED_REFS: u64 = 64 << 20;
/// What every name of a branch starts with.
const HEADS: &str = "refs/heads/";
/// Deepest folder below `refs/tags`.
const MAX_DEPTH: usize = 16;

/// The folder with the objects: `PATH/.git`, or PATH itself where it is bare.
///
/// # Errors
/// A refusal when PATH is no repository, or one whose parts lie elsewhere.
pub(crate) fn repository_folder(path: &Path) -> Result<PathBuf, WatchError> {
    let refuse = |detail: &str| {
        let path = path.display().to_string();
        WatchError::from(Refusal::LocalRepository {
            path,
            detail: detail.into(),
        })
    };
    if !look(path)?.is_some_and(|found| found.is_dir()) {
        return Err(refuse(
            "there is no such folder (a link to one is not followed)",
        ));
    }
    let dot_git = path.join(".git");
    let folder = match look(&dot_git)? {
        None => path.to_owned(),
        Some(found) if found.is_dir() => dot_git,
        Some(_) => {
            return Err(refuse(
                "its .git is a link or a file that points elsewhere: name the repository that it points to, or clone it",
            ));
        }
    };
    if look(&folder.join("commondir"))?.is_some() {
        return Err(refuse(
            "it is a work tree of another repository: name that one",
        ));
    }
    if look(&folder.join("reftable"))?.is_some() {
        return Err(refuse(
            "it keeps its references as a reftable, which is not supported yet",
        ));
    }
    for part in ["objects", "objects/pack", "refs", "refs/tags"] {
        match look(&folder.join(part))? {
            Some(found) if found.is_dir() => {}
            Some(_) => return Err(refuse(&format!("its {part} is not a folder"))),
            None if part == "objects" || part == "refs" => {
                return Err(refuse(
                    "it is not a git repository: it has no objects and refs",
                ));
            }
            None => {}
        }
    }
    Ok(folder)
}

/// The tags of a repository's folder, each with what it leads to where that is readable.
///
/// # Errors
/// A refusal when there are more than `max_refs` references or a file is not what git writes.
pub(crate) fn list(
    folder: &Path,
    objects: &Objects,
    max_refs: usize,
) -> Result<Listing, WatchError> {
    let mut collector = Collector::new(max_refs);
    let over = |error: AnswerError| {
        WatchError::from(Refusal::LocalRepository {
            path: folder.display().to_string(),
            detail: error.to_string(),
        })
    };
    // loose references win over packed ones: they come first
    let mut loose = Vec::new();
    gather(
        &folder.join("refs/tags"),
        TAGS.as_bytes(),
        0,
        max_refs,
        &mut loose,
    )?;
    loose.sort_unstable();
    let taken: std::collections::HashSet<Vec<u8>> =
        loose.iter().map(|(name, _)| name.clone()).collect();
    let packed = packed_refs(folder, TAGS)?
        .into_iter()
        .filter(|(name, _)| !taken.contains(name));
    for (name, oid) in loose.into_iter().chain(packed) {
        let Some(oid) = oid else {
            let short = name.strip_prefix(TAGS.as_bytes()).unwrap_or(&name);
            collector.skip(short, "it does not hold the name of an object");
            continue;
        };
        let peeled = objects.peel(oid).ok().map(|(peeled, _)| peeled.commit);
        let peeled = peeled.filter(|commit| *commit != oid);
        collector.add(&name, oid, peeled).map_err(over)?;
    }
    Ok(collector.finish())
}

/// What a repository's branches and tags name: at most `max_refs` objects, some perhaps twice.
///
/// # Errors
/// As [`list`].
pub(crate) fn tips(folder: &Path, max_refs: usize) -> Result<Vec<GitOid>, WatchError> {
    let mut found = Vec::new();
    for prefix in [HEADS, TAGS] {
        let at = folder.join(prefix.trim_end_matches('/'));
        gather(&at, prefix.as_bytes(), 0, max_refs, &mut found)?;
        found.extend(packed_refs(folder, prefix)?);
    }
    if found.len() > max_refs {
        let what = format!("the references in {}", folder.display());
        let limit = max_refs as u64;
        return Err(Refusal::Limit { what, limit }.into());
    }
    Ok(found.into_iter().filter_map(|(_, oid)| oid).collect())
}

type Reference = (Vec<u8>, Option<GitOid>);

fn gather(
    folder: &Path,
    prefix: &[u8],
    depth: usize,
    max_refs: usize,
    out: &mut Vec<Reference>,
) -> Result<(), WatchError> {
    let what = || format!("reading {}", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Fault::io(what()))?,
    };
    for entry in entries {
        let entry = entry.map_err(Fault::io(what()))?;
        let kind = entry.file_type().map_err(Fault::io(what()))?;
        let name = [prefix, entry.file_name().as_bytes()].concat();
        if out.len() > max_refs {
            let what = format!("the tags in {}", folder.display());
            return Err(Refusal::Limit {
                what,
                limit: max_refs as u64,
            }
            .into());
        }
        if kind.is_dir() && depth < MAX_DEPTH {
            gather(
                &entry.path(),
                &[&name[..], b"/"].concat(),
                depth + 1,
                max_refs,
                out,
            )?;
        } else if kind.is_file() {
            out.push((name, loose_reference(&entry.path())));
        } else {
            out.push((name, None)); // a link, a pipe, or a folder too deep
        }
    }
    Ok(())
}

/// What a file of a reference holds; `None` for anything but the name of an object.
fn loose_reference(path: &Path) -> Option<GitOid> {
    let mut text = String::new();
    File::open(path)
        .ok()?
        .take(64)
        .read_to_string(&mut text)
        .ok()?;
    text.trim_end().parse().ok()
}

fn packed_refs(folder: &Path, prefix: &str) -> Result<Vec<Reference>, WatchError> {
    let path = folder.join("packed-refs");
    let what = || format!("reading {}", path.display());
    match look(&path)? {
        Some(found) if found.is_file() => {}
        Some(_) => {
            let detail = "its packed-refs is not a file".into();
            return Err(Refusal::LocalRepository {
                path: folder.display().to_string(),
                detail,
            }
            .into());
        }
        None => return Ok(Vec::new()),
    }
    let mut bytes = Vec::new();
    let file = File::open(&path).map_err(Fault::io(what()))?;
    file.take(MAX_PACKED_REFS + 1)
        .read_to_end(&mut bytes)
        .map_err(Fault::io(what()))?;
    if bytes.len() as u64 > MAX_PACKED_REFS {
        return Err(Refusal::Limit {
            what: what(),
            limit: MAX_PACKED_REFS,
        }
        .into());
    }
    let mut found = Vec::new();
    for line in bytes.split(|&b| b == b'\n') {
        if line.is_empty() || line.starts_with(b"#") || line.starts_with(b"^") {
            continue; // `^` lines repeat what the objects say
        }
        let mut words = line.splitn(2, |&b| b == b' ');
        let oid = words
            .next()
            .and_then(|text| str::from_utf8(text).ok()?.parse().ok());
        let name = words.next().unwrap_or_default();
        if name.starts_with(prefix.as_bytes()) {
            found.push((name.to_vec(), oid));
        }
    }
    Ok(found)
}

fn look(path: &Path) -> Result<Option<Metadata>, WatchError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(Fault::io(format!(
            "looking at {}: make it readable for the user that countersign runs as",
            path.display()
        ))(error)),
    }
}
