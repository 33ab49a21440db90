//! Root file systems of the operator's: folders, and tars that are unpacked once.
//!
//! A folder is checked and digested whenever this program starts; a tar is digested, unpacked in a parsing
//! child where that was not done before, and what came out is checked and digested like any folder. Nobody
//! but this program may change what it unpacked, and all builds share it, read-only.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use countersign_attest::digest::{Hasher, Sha256};
use countersign_builder::archive::ReadLimits;
use countersign_builder::child;
use countersign_builder::environment::rootfs;

/// Longest time for unpacking a tar.
const TIME: Duration = Duration::from_secs(1800);

/// What the tar of a root may hold.
fn limits() -> ReadLimits {
    ReadLimits {
        members: 2_000_000,
        total_bytes: 64 << 30,
        ..ReadLimits::default()
    }
}

/// A root file system that builds may run in.
#[derive(Debug)]
pub(crate) struct Root {
    /// Digest of what is in it.
    pub(crate) tree: Sha256,
    /// Digest of the tar that it came in.
    pub(crate) tar: Option<Sha256>,
    /// Where it is.
    pub(crate) folder: PathBuf,
}

/// Makes a folder or a tar be a root. `kept` is where tars are unpacked.
///
/// # Errors
/// When it is no root that a build may run in.
pub(crate) fn open(path: &Path, binary: &Path, kept: &Path) -> anyhow::Result<Root> {
    let real = fs::canonicalize(path)?;
    if real.is_dir() {
        return Ok(Root {
            tree: rootfs::check(&real)?,
            tar: None,
            folder: real,
        });
    }
    let mut file = File::open(&real)?;
    let tar = digest(&mut file)?;
    // the name says what was unpacked and what came out: without that it counts for nothing
    let prefix = format!("tar-{tar}-");
    for entry in fs::read_dir(kept).with_context(|| format!("reading {}", kept.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(named) = name.to_str().and_then(|name| name.strip_prefix(&prefix)) else {
            continue;
        };
        let folder = entry.path();
        match rootfs::check(&folder) {
            Ok(tree) if tree.to_string() == named => {
                return Ok(Root {
                    tree,
                    tar: Some(tar),
                    folder,
                });
            }
            Ok(_) | Err(_) => {
                // somebody changed it
                fs::remove_dir_all(&folder)
                    .with_context(|| format!("removing {}", folder.display()))?;
            }
        }
    }
    let fresh = tempfile::Builder::new()
        .prefix("making-")
        .tempdir_in(kept)
        .with_context(|| format!("making a folder in {}", kept.display()))?;
    // whoever builds in it has another id
    fs::set_permissions(fresh.path(), fs::Permissions::from_mode(0o755))?;
    let opened = File::open(fresh.path())?;
    child::import(binary, &file, opened.as_fd(), limits(), TIME)?;
    let tree = rootfs::check(fresh.path())?;
    let folder = kept.join(format!("{prefix}{tree}"));
    fs::rename(fresh.path(), &folder).context("keeping a root")?;
    let _ = fresh.keep(); // it has its name now
    Ok(Root {
        tree,
        tar: Some(tar),
        folder,
    })
}

fn digest(file: &mut File) -> anyhow::Result<Sha256> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish().sha256),
            read => hasher.update(&buffer[..read]), // read <= buffer.len()
        }
    }
}
