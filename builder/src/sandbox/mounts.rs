//! The root file system of a sandbox, made by its first process before any stranger's byte is there.
//!
//! A fresh tmpfs with read-only copies of the host's `/usr` and toolchains, our own `/etc`, a fresh
//! `/proc`, a minimal `/dev`, and file systems of limited size for the build. No path is opened in a
//! tree that a build could have touched, and the host's root is gone at the end.

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, fstat, major, minor};
use nix::unistd::{chdir, pivot_root, sethostname};

use crate::mirror;
use crate::outcome::IdMode;
use crate::plan::{Limits, Network};

use super::fault::{Doing, SandboxError};
use super::spec::Spec;
use super::{proc, sys};

/// Where the new root is put together. What the host has there is covered, in this mount namespace.
const NEW_ROOT: &str = "/tmp";

pub(super) const READ_ONLY: u64 =
    libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// Room on the root file system for what is not the build's.
const OWN_BYTES: u64 = 256 << 10;
const OWN_INODES: u64 = 200;

/// Folders beside `/usr`: symbolic links on a merged system, real folders on others.
const SYSTEM: [&str; 6] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What programs of the host need of its `/etc` to run.
const SETTINGS: [&str; 4] = [
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
];

/// Devices by name and number: checked, because `/dev` of a container may hold anything.
const DEVICES: [(&str, u64, u64); 5] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
];

/// Makes the root file system and moves this process into it.
pub(crate) fn enter_new_root(
    spec: &Spec,
    mode: IdMode,
    trees: Vec<(String, OwnedFd)>,
) -> Result<(), SandboxError> {
    root_file_system(&spec.limits)?;
    for (target, tree) in trees {
        attach(&target, &tree)?;
    }
    settings(spec)?;
    proc::make(spec, &inside("/proc"), &inside("/etc/proc"))?;
    devices()?;
    work_space(spec, mode)?;
    sethostname(&spec.profile.host_name).doing("setting the host name")?;
    sys::set_domain_name(&spec.profile.domain_name).doing("setting the domain name")?;
    change_root()
}

fn inside(path: &str) -> String {
    format!("{NEW_ROOT}{path}")
}

/// Nothing that is mounted here may show on the host.
pub(super) fn private() -> Result<(), SandboxError> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).doing("making mounts private")
}

/// Takes read-only copies of what the sandbox shows of the host, each with its path inside.
///
/// Done first: as whoever started the launcher, who can reach a toolchain in a private folder, and
/// before the new root covers one. Root does it in the launcher, an ordinary user, who may not, inside.
pub(crate) fn host_trees(spec: &Spec) -> Result<Vec<(String, OwnedFd)>, SandboxError> {
    let mut trees = vec![("/usr".to_owned(), read_only("/usr")?)];
    for path in SYSTEM.iter().chain(&SETTINGS) {
        let kind = fs::symlink_metadata(path).map(|m| m.file_type());
        if kind.is_ok_and(|kind| !kind.is_symlink()) {
            trees.push(((*path).to_owned(), read_only(path)?));
        }
    }
    for (number, path) in spec.toolchains.iter().enumerate() {
        trees.push((format!("/toolchains/{number}"), read_only(path)?));
    }
    Ok(trees)
}

fn read_only(path: &str) -> Result<OwnedFd, SandboxError> {
    let what = format!("showing {path} read-only");
    let name = CString::new(path).map_err(io::Error::other).doing(&what)?;
    let tree = sys::open_tree(libc::AT_FDCWD, &name, true).doing(&what)?;
    sys::set_mount(tree.as_fd(), READ_ONLY, true).doing(&what)?;
    Ok(tree)
}

/// Shows the owners of a tree of the host as the same ids inside, where its file system can: root's files
/// are root's. Where it cannot, and for an ordinary user, they are nobody's.
pub(crate) fn map_owners(
    path: &str,
    tree: &OwnedFd,
    user_namespace: &File,
) -> Result<(), SandboxError> {
    match sys::map_mount(tree.as_fd(), user_namespace.as_fd()) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other.doing(&format!("mapping the owners of {path}")),
    }
}

/// Attaches a detached mount at a path of the new root, making what it is mounted on.
fn attach(path: &str, tree: &OwnedFd) -> Result<(), SandboxError> {
    let (what, target) = (format!("mounting {path}"), inside(path));
    let kind = fstat(tree).doing(&what)?.st_mode;
    if SFlag::from_bits_truncate(kind) & SFlag::S_IFMT == SFlag::S_IFDIR {
        fs::create_dir_all(&target).doing(&what)?;
    } else {
        if let Some(folder) = Path::new(&target).parent() {
            fs::create_dir_all(folder).doing(&what)?;
        }
        File::create(&target).doing(&what)?;
    }
    cover(&target, tree, &what)
}

fn cover(target: &str, tree: &OwnedFd, what: &str) -> Result<(), SandboxError> {
    let name = CString::new(target).map_err(io::Error::other).doing(what)?;
    sys::move_mount(tree.as_fd(), &name).doing(what)
}

/// The links of a merged `/usr`, and an `/etc` that says the same everywhere.
fn settings(spec: &Spec) -> Result<(), SandboxError> {
    for path in SYSTEM {
        if let Ok(target) = fs::read_link(path) {
            symlink(target, inside(path)).doing(&format!("linking {path}"))?;
        }
    }
    let profile = &spec.profile;
    let (user, host) = (&profile.user_name, &profile.host_name);
    let (id, home) = (profile.user_id, &profile.home);
    fs::create_dir_all(inside("/etc")).doing("making /etc")?;
    for (name, text) in [
        (
            "passwd",
            format!(
                "root:x:0:0:root:/root:/bin/sh\n{user}:x:{id}:{id}:{user}:{home}:/bin/sh\n\
                 nobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n"
            ),
        ),
        (
            "group",
            format!("root:x:0:\n{user}:x:{id}:\nnogroup:x:65534:\n"),
        ),
        (
            "hosts",
            match spec.network {
                Network::None => format!("127.0.0.1 localhost {host}\n::1 localhost\n"),
                Network::Mirror => format!(
                    "127.0.0.1 localhost {host} {}\n::1 localhost\n",
                    mirror::HOST
                ),
            },
        ),
        ("hostname", format!("{host}\n")),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files\n".to_owned(),
        ),
    ] {
        fs::write(inside("/etc/") + name, text).doing(&format!("writing /etc/{name}"))?;
    }
    Ok(())
}

fn devices() -> Result<(), SandboxError> {
    let target = inside("/dev");
    fs::create_dir(&target).doing("making /dev")?;
    for (name, major, minor) in DEVICES {
        let what = format!("showing /dev/{name}");
        let tree =
            sys::open_tree(device(name, major, minor)?.as_raw_fd(), c"", false).doing(&what)?;
        let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
        sys::set_mount(tree.as_fd(), attributes, false).doing(&what)?;
        attach(&format!("/dev/{name}"), &tree)?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(to, format!("{target}/{name}")).doing("linking in /dev")?;
    }
    Ok(())
}

/// Opens a device of the host by name, refusing what only looks like it.
fn device(name: &str, expected_major: u64, expected_minor: u64) -> Result<OwnedFd, SandboxError> {
    let (path, flags) = (
        format!("/dev/{name}"),
        OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
    );
    let fd = open(path.as_str(), flags, Mode::empty()).doing(&format!("opening {path}"))?;
    let stat = fstat(&fd).doing(&format!("looking at {path}"))?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    let numbers = (major(stat.st_rdev), minor(stat.st_rdev));
    if kind == SFlag::S_IFCHR && numbers == (expected_major, expected_minor) {
        return Ok(fd);
    }
    Err(SandboxError::Refused {
        what: format!("{path} is not character device {expected_major}:{expected_minor}"),
        remedy: "repair /dev of this machine",
    })
}

/// The one file system that is made for a build. All of it is read-only at the end but for the folders of
/// [`work_space`], so that one budget holds whatever a build writes, wherever it does.
fn root_file_system(limits: &Limits) -> Result<(), SandboxError> {
    // what is made beside the work space is little: /etc, and folders to mount on
    let (bytes, inodes) = (
        limits.disk_bytes.saturating_add(OWN_BYTES),
        limits.disk_inodes.saturating_add(OWN_INODES),
    );
    let options = format!("size={bytes},nr_inodes={inodes},mode=755");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("tmpfs"),
        NEW_ROOT,
        Some("tmpfs"),
        flags,
        Some(options.as_str()),
    )
    .doing("mounting a tmpfs")
}

/// The folders that a build may write into. Each is a mount of its own, so that no link leads from one to
/// another.
fn work_space(spec: &Spec, mode: IdMode) -> Result<(), SandboxError> {
    for (path, permissions) in [("/build", 0o755), ("/tmp", 0o1777), ("/dev/shm", 0o1777)] {
        let (what, target) = (format!("making {path}"), inside(path));
        fs::create_dir(&target).doing(&what)?;
        fs::set_permissions(&target, Permissions::from_mode(permissions)).doing(&what)?;
        let name = CString::new(target.as_str())
            .map_err(io::Error::other)
            .doing(&what)?;
        let tree = sys::open_tree(libc::AT_FDCWD, &name, false).doing(&what)?;
        cover(&target, &tree, &what)?;
    }
    match mode {
        IdMode::SingleId => Ok(()), // there is one id, and it owns all of this
        IdMode::RootRange | IdMode::UserRange => {
            let id = Some(spec.profile.user_id);
            chown(inside("/build"), id, id).doing("giving /build to the build user")
        }
    }
}

pub(super) fn folder(path: &str) -> Result<OwnedFd, SandboxError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty()).doing(&format!("opening {path}"))
}

fn change_root() -> Result<(), SandboxError> {
    chdir(NEW_ROOT).doing("entering the new root")?;
    pivot_root(".", ".").doing("changing the root")?;
    umount2(".", MntFlags::MNT_DETACH).doing("leaving the host's root")?;
    chdir("/").doing("entering the new root")?;
    sys::set_mount(folder("/")?.as_fd(), READ_ONLY, false).doing("making the root read-only")
}
