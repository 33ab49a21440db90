//! A root file system by its digest: what a build runs in instead of this machine's `/usr`.
//!
//! A folder that the operator names is checked and digested before anything is built in it, and shown
//! read-only, to as many builds at once as there are. It may come from a stranger: nothing in it is
//! run, opened for writing or followed out of it by this process. Set-user-id bits in it mean nothing,
//! because nothing is mounted with them.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use countersign_attest::digest::{Hasher, Sha256};

use crate::tree::{self, Entry, Order, TreeDigester, TreeError};

/// Folders of the root that a sandbox makes itself. In an image they are empty, or not there.
const OURS: [&str; 5] = ["dev", "proc", "sys", "build", "toolchains"];
/// Links of a merged `/usr`, the only ones that an image may have at its top.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Says why a folder is no root file system for builds.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Reading it failed, or it holds a device, a socket or a pipe.
    #[error("reading a root file system (remedy: leave out what it has in /dev and /run)")]
    Tree(#[from] TreeError),
    /// The folder cannot be opened.
    #[error("opening {path}")]
    Open {
        /// The folder.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something in it could lead a build or this program elsewhere.
    #[error("{path} in a root file system {what}")]
    Refused {
        /// The path in it, escaped.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Checks a folder and takes its digest, which is that of a source tree ([`tree::digest`]). Reads all of it.
///
/// # Errors
/// When it has devices, a `/proc`, `/dev` or `/sys` that is not an empty folder, an `/etc` or `/usr` that
/// is not a folder, or a link at its top that is not one of a merged `/usr`.
pub fn check(folder: &Path) -> Result<Sha256, RootError> {
    let opened = File::open(folder).map_err(|source| RootError::Open {
        path: folder.display().to_string(),
        source,
    })?;
    let mut digester = TreeDigester::default();
    let mut has_usr = false;
    tree::walk(opened.as_fd(), Order::Ascending, &mut |path, entry| {
        let place = Place::of(path);
        match entry {
            Entry::Leave => {}
            Entry::Folder => {
                place.folder()?;
                has_usr |= path == b"usr";
            }
            Entry::File(mut file, executable) => {
                place.file()?;
                let mut hasher = Hasher::new();
                io::copy(&mut file, &mut hasher).map_err(|source| TreeError::Io {
                    path: path.escape_ascii().to_string(),
                    source,
                })?;
                digester.file(path, executable, hasher.finish().sha256);
            }
            Entry::Link(target) => {
                place.link(&target)?;
                digester.link(path, &target);
            }
        }
        Ok::<_, RootError>(())
    })?;
    if has_usr {
        Ok(digester.finish().sha256)
    } else {
        refuse(b"usr", "is missing")
    }
}

fn refuse<T>(path: &[u8], what: &'static str) -> Result<T, RootError> {
    Err(RootError::Refused {
        path: path.escape_ascii().to_string(),
        what,
    })
}

/// Where an entry is: its whole path, and its first component where that matters.
struct Place<'a> {
    path: &'a [u8],
    top: &'a [u8],
}

impl<'a> Place<'a> {
    fn of(path: &'a [u8]) -> Self {
        let top = path.split(|byte| *byte == b'/').next().unwrap_or_default();
        Self { path, top }
    }

    fn is_top(&self) -> bool {
        self.path == self.top
    }

    fn is(&self, names: &[&str]) -> bool {
        names.iter().any(|name| name.as_bytes() == self.top)
    }

    fn folder(&self) -> Result<(), RootError> {
        if !self.is_top() && self.is(&OURS) {
            return refuse(self.path, "is where a sandbox makes its own");
        }
        Ok(())
    }

    fn file(&self) -> Result<(), RootError> {
        if self.is(&OURS) || (self.is_top() && self.is(&["etc", "usr"])) {
            return refuse(self.path, "is where a sandbox makes its own");
        }
        Ok(())
    }

    fn link(&self, target: &[u8]) -> Result<(), RootError> {
        if !self.is_top() {
            // inside, a link leads to where it leads inside; nothing outside follows it
            return self.file();
        }
        let merged = [b"usr/", self.top].concat();
        if self.is(&MERGED) && target == merged {
            return Ok(());
        }
        refuse(self.path, "is a link that is not one of a merged /usr")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["usr/bin", "etc", "dev", "proc", "tmp"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("usr/bin/tool"), "tool").unwrap();
        symlink("usr/bin", root.path().join("bin")).unwrap();
        symlink("/etc/shadow", root.path().join("etc/anywhere")).unwrap();
        root
    }

    #[test]
    fn a_root_is_named_by_all_that_is_in_it() {
        let (a, b) = (root(), root());
        let digest = check(a.path()).unwrap();
        assert_eq!(digest, check(b.path()).unwrap());
        fs::write(b.path().join("usr/bin/tool"), "tooL").unwrap();
        assert_ne!(digest, check(b.path()).unwrap());
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        type Change = fn(&Path);
        let cases: [(&str, Change); 9] = [
            ("proc in", |root| {
                fs::remove_dir(root.join("proc")).unwrap();
                symlink("/etc", root.join("proc")).unwrap();
            }),
            ("dev/null in", |root| {
                fs::write(root.join("dev/null"), "").unwrap();
            }),
            ("dev/pts in", |root| {
                fs::create_dir(root.join("dev/pts")).unwrap();
            }),
            ("etc in", |root| {
                fs::remove_dir_all(root.join("etc")).unwrap();
                symlink("tmp", root.join("etc")).unwrap();
            }),
            ("usr in", |root| {
                fs::remove_dir_all(root.join("usr")).unwrap();
                symlink("/usr", root.join("usr")).unwrap();
            }),
            ("usr in a root file system is missing", |root| {
                fs::remove_dir_all(root.join("usr")).unwrap();
            }),
            ("lib in", |root| symlink("/lib", root.join("lib")).unwrap()),
            ("opt in", |root| {
                symlink("usr/opt", root.join("opt")).unwrap();
            }),
            ("run/pipe in", |root| {
                fs::create_dir(root.join("run")).unwrap();
                let mode = nix::sys::stat::Mode::S_IRWXU;
                nix::unistd::mkfifo(&root.join("run/pipe"), mode).unwrap();
            }),
        ];
        for (expected, change) in cases {
            let root = root();
            change(root.path());
            let error = check(root.path()).unwrap_err();
            let shown = crate::sandbox::fault::in_one_line(&error);
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
    }
}
