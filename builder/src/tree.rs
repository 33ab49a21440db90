//! An exported source tree on disk: what enters the sandbox, and its digest.
//!
//! A tree is made by the git child and read by the host and the launcher. It holds regular files
//! (0644 or 0755), folders and symbolic links as data, and nothing of git. Its names and contents
//! are a stranger's: it is walked by descriptor, and no link is followed.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use countersign_attest::digest::{Hasher, Sha256};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};

/// Deepest nesting of folders that is walked; each level holds a descriptor open.
pub const MAX_DEPTH: usize = 128;

/// What a tree came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeDigest {
    /// SHA-256 over the sorted lines `mode SP sha256 SP path LF` of all files and links. The mode is
    /// git's (`100644`, `100755`, `120000`), a link's digest is that of its target, and in the path
    /// `%` and LF are percent-encoded, so that no name can look like a second line.
    pub sha256: Sha256,
    /// The digest of every regular file, sorted, each once: an output that equals one was prebuilt.
    pub files: Vec<Sha256>,
}

/// Says why a tree cannot be read. A fault: the tree is ours.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The system refused to read something.
    #[error("reading {path} in a source tree")]
    Io {
        /// The path in the tree, escaped.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something that is neither file, folder nor symbolic link.
    #[error("{path} in a source tree is neither a file, nor a folder, nor a symbolic link")]
    Kind {
        /// The path in the tree, escaped.
        path: String,
    },
    /// Folders are nested too deeply.
    #[error("{path} in a source tree lies deeper than {MAX_DEPTH} folders")]
    Depth {
        /// The path in the tree, escaped.
        path: String,
    },
}

/// In which order the entries of each folder come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By the bytes of their names.
    Ascending,
    /// The reverse.
    Descending,
}

/// One entry, in the order of a walk. Paths are relative to the tree, without `.` and `..`.
#[derive(Debug)]
pub enum Entry {
    /// A folder; its entries follow, then [`Entry::Leave`].
    Folder,
    /// A regular file, open for reading at its start, and whether its owner may execute it.
    File(File, bool),
    /// A symbolic link and its target.
    Link(Vec<u8>),
    /// All of a folder has come.
    Leave,
}

/// What a walk calls with each path and entry; its first error ends the walk.
pub type Visit<'a, E> = dyn FnMut(&[u8], Entry) -> Result<(), E> + 'a;

/// Takes the digest of a tree.
///
/// # Errors
/// When the tree cannot be read or holds something that does not belong in one.
pub fn digest(tree: BorrowedFd<'_>) -> Result<TreeDigest, TreeError> {
    let mut digester = TreeDigester::default();
    walk(tree, Order::Ascending, &mut |path, entry| {
        match entry {
            Entry::Folder | Entry::Leave => {}
            Entry::File(mut file, executable) => {
                let mut hasher = Hasher::new();
                io::copy(&mut file, &mut hasher).map_err(|e| failed(path, e))?;
                digester.file(path, executable, hasher.finish().sha256);
            }
            Entry::Link(target) => digester.link(path, &target),
        }
        Ok::<_, TreeError>(())
    })?;
    Ok(digester.finish())
}

/// Builds a [`TreeDigest`] from entries in any order.
#[derive(Debug, Default)]
pub struct TreeDigester {
    lines: Vec<Vec<u8>>,
    files: Vec<Sha256>,
}

impl TreeDigester {
    /// Adds a regular file.
    pub fn file(&mut self, path: &[u8], executable: bool, sha256: Sha256) {
        self.line(if executable { "100755" } else { "100644" }, path, sha256);
        self.files.push(sha256);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &[u8], target: &[u8]) {
        self.line("120000", path, Sha256::of(target));
    }

    /// Ends.
    #[must_use]
    pub fn finish(mut self) -> TreeDigest {
        self.lines.sort_unstable();
        self.files.sort_unstable();
        self.files.dedup();
        TreeDigest {
            sha256: Sha256::of(&self.lines.concat()),
            files: self.files,
        }
    }

    fn line(&mut self, mode: &str, path: &[u8], sha256: Sha256) {
        let mut line = format!("{mode} {sha256} ").into_bytes();
        for byte in path {
            match byte {
                b'%' => line.extend(b"%25"),
                b'\n' => line.extend(b"%0A"),
                other => line.push(*other),
            }
        }
        line.push(b'\n');
        self.lines.push(line);
    }
}

/// Walks a tree and calls `visit` with each path and entry.
///
/// # Errors
/// When the tree cannot be read, or the first error of `visit`.
pub fn walk<E: From<TreeError>>(
    tree: BorrowedFd<'_>,
    order: Order,
    visit: &mut Visit<'_, E>,
) -> Result<(), E> {
    let mut path = Vec::new();
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = openat(tree, c".", flags, Mode::empty()).map_err(|e| failed(b".", e))?;
    walk_folder(root, order, &mut path, 0, visit)
}

fn walk_folder<E: From<TreeError>>(
    folder: OwnedFd,
    order: Order,
    path: &mut Vec<u8>,
    depth: usize,
    visit: &mut Visit<'_, E>,
) -> Result<(), E> {
    if depth > MAX_DEPTH {
        return Err(TreeError::Depth { path: shown(path) }.into());
    }
    let mut folder = Dir::from_fd(folder).map_err(|e| failed(path, e))?;
    for name in names(&mut folder, order).map_err(|e| failed(path, e))? {
        let parent = path.len();
        if parent > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        match open_entry(folder.as_fd(), &name, path)? {
            Opened::Folder(inner) => {
                visit(path, Entry::Folder)?;
                walk_folder(inner, order, path, depth + 1, visit)?;
                visit(path, Entry::Leave)?;
            }
            Opened::Other(entry) => visit(path, entry)?,
        }
        path.truncate(parent);
    }
    Ok(())
}

fn names(folder: &mut Dir, order: Order) -> nix::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in folder.iter() {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    match order {
        Order::Ascending => {}
        Order::Descending => names.reverse(),
    }
    Ok(names)
}

enum Opened {
    Folder(OwnedFd),
    Other(Entry),
}

/// Looks at an entry before it is opened for reading: opening a device can act on it.
fn open_entry(folder: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<Opened, TreeError> {
    let peek = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let seen = openat(folder, name, peek, Mode::empty()).map_err(|e| failed(path, e))?;
    let seen = fstat(&seen).map_err(|e| failed(path, e))?;
    let kind = SFlag::from_bits_truncate(seen.st_mode) & SFlag::S_IFMT;
    let read = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    if kind == SFlag::S_IFLNK {
        let target = readlinkat(folder, name).map_err(|e| failed(path, e))?;
        return Ok(Opened::Other(Entry::Link(target.as_bytes().to_vec())));
    }
    if kind != SFlag::S_IFREG && kind != SFlag::S_IFDIR {
        return Err(TreeError::Kind { path: shown(path) });
    }
    let fd = openat(folder, name, read, Mode::empty()).map_err(|e| failed(path, e))?;
    let stat = fstat(&fd).map_err(|e| failed(path, e))?;
    if (stat.st_dev, stat.st_ino) != (seen.st_dev, seen.st_ino) {
        return Err(TreeError::Kind { path: shown(path) }); // swapped while we looked
    }
    Ok(if kind == SFlag::S_IFDIR {
        Opened::Folder(fd)
    } else {
        let executable = Mode::from_bits_truncate(stat.st_mode).contains(Mode::S_IXUSR);
        Opened::Other(Entry::File(File::from(fd), executable))
    })
}

/// Reads a whole file of a tree in pieces.
///
/// # Errors
/// When reading fails, or the first error of `piece`.
pub(crate) fn pieces<E: From<TreeError>>(
    path: &[u8],
    mut file: impl Read,
    piece: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer).map_err(|e| failed(path, e))? {
            0 => return Ok(()),
            read => piece(&buffer[..read])?, // read <= buffer.len() by the contract of Read
        }
    }
}

fn failed(path: &[u8], error: impl Into<io::Error>) -> TreeError {
    TreeError::Io {
        path: shown(path),
        source: error.into(),
    }
}

fn shown(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}

/// Opens below a folder, through no link, no other mount and no `..`.
pub(crate) fn open_beneath(
    folder: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlag,
) -> nix::Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | flags)
        .resolve(resolve);
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    openat2(folder, path.as_c_str(), how)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    fn of(folder: &Path) -> Result<TreeDigest, TreeError> {
        digest(File::open(folder).expect("open").as_fd())
    }

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().expect("tempdir");
        fs::create_dir(tree.path().join("b")).expect("mkdir");
        fs::write(tree.path().join("b/run"), "#!/bin/sh\n").expect("write");
        fs::write(tree.path().join("a"), "a\n").expect("write");
        symlink("/etc/shadow", tree.path().join("link")).expect("symlink");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(tree.path().join("b/run"), mode).expect("chmod");
        tree
    }

    #[test]
    fn the_digest_is_the_documented_lines() {
        let (a, run, link) = (
            Sha256::of(b"a\n"),
            Sha256::of(b"#!/bin/sh\n"),
            Sha256::of(b"/etc/shadow"),
        );
        let lines = format!("100644 {a} a\n100755 {run} b/run\n120000 {link} link\n");
        let found = of(tree().path()).expect("a digest");
        assert_eq!(found.sha256, Sha256::of(lines.as_bytes()));
        let mut files = vec![a, run];
        files.sort_unstable();
        assert_eq!(found.files, files);
    }

    #[test]
    fn every_change_shows_and_an_empty_folder_does_not() {
        type Change = fn(&Path);
        let plain = of(tree().path()).expect("a digest");
        let changes: [(Change, bool); 5] = [
            (|t| fs::write(t.join("a"), "b\n").expect("write"), false),
            (
                |t| fs::rename(t.join("a"), t.join("c")).expect("rename"),
                false,
            ),
            (
                |t| {
                    fs::set_permissions(t.join("a"), fs::Permissions::from_mode(0o755))
                        .expect("chmod");
                },
                false,
            ),
            (
                |t| {
                    fs::remove_file(t.join("link")).expect("rm");
                    symlink("/etc/passwd", t.join("link")).expect("symlink");
                },
                false,
            ),
            (|t| fs::create_dir(t.join("empty")).expect("mkdir"), true),
        ];
        for (index, (change, same)) in changes.iter().enumerate() {
            let tree = tree();
            change(tree.path());
            assert_eq!(
                of(tree.path()).expect("a digest") == plain,
                *same,
                "{index}"
            );
        }
    }

    #[test]
    fn a_name_cannot_look_like_a_second_line() {
        let mut one = TreeDigester::default();
        let digest = Sha256::of(b"");
        one.file(format!("x\n100644 {digest} y").as_bytes(), false, digest);
        let mut two = TreeDigester::default();
        two.file(b"x", false, digest);
        two.file(b"y", false, digest);
        assert_ne!(one.finish().sha256, two.finish().sha256);
    }

    #[test]
    fn sockets_fifos_and_depth_are_refused() {
        let fifo = tree();
        nix::unistd::mkfifo(&fifo.path().join("f\u{1b}"), Mode::S_IRWXU).expect("mkfifo");
        let error = of(fifo.path()).expect_err("a fifo");
        assert!(
            matches!(&error, TreeError::Kind { path } if path == "f\\x1b"),
            "{error}"
        );
        let socket = tree();
        let _listener =
            std::os::unix::net::UnixListener::bind(socket.path().join("s")).expect("bind");
        assert!(matches!(of(socket.path()), Err(TreeError::Kind { .. })));
        let deep = tree();
        for (levels, fits) in [(MAX_DEPTH, true), (MAX_DEPTH + 1, false)] {
            fs::create_dir_all(deep.path().join(vec!["d"; levels].join("/"))).expect("mkdir");
            assert_eq!(of(deep.path()).is_ok(), fits, "{levels}");
        }
    }
}
