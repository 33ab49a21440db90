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
use super::{apart, proc, source, sys};

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

/// What a build in another root sees of it beside [`SYSTEM`]: its packages, settings and state.
const OF_A_ROOT: [&str; 3] = ["/etc", "/var", "/opt"];

/// Where programs look for certificate authorities. Some, newer pip among them, do not start without one; no
/// build speaks TLS to anybody, and the host's own list is nobody's business.
const AUTHORITIES: &str = "ssl/certs/ca-certificates.crt";
/// One certificate, whose key was thrown away.
const NOBODY: &str = include_str!("authorities.pem");

/// Where settings are made that cover those of another root.
const COVERS: &str = "/.settings";

/// The `/etc` of a program that makes a root.
const TOOL_SETTINGS: [(&str, &str); 5] = [
    (
        "passwd",
        "root:x:0:0:root:/root:/bin/sh\n_apt:x:42:65534::/nonexistent:/bin/false\n",
    ),
    ("group", "root:x:0:\nnogroup:x:65534:\n"),
    ("hosts", "127.0.0.1 localhost\n"),
    ("hostname", "localhost\n"),
    ("resolv.conf", ""),
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
    // the /etc of another root is not ours to write into
    let own = if spec.root.is_some() { COVERS } else { "/etc" };
    proc::make(spec, &inside("/proc"), &format!("{}/proc", inside(own)))?;
    devices()?;
    // of this IPC namespace; mq_open(3) reaches it without this path, and Landlock knows it by this one
    let (queues, flags) = (
        inside("/dev/mqueue"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
    );
    fs::create_dir(&queues).doing("making /dev/mqueue")?;
    let kind = Some("mqueue");
    mount(
        kind,
        queues.as_str(),
        kind,
        flags | MsFlags::MS_NOEXEC,
        None::<&str>,
    )
    .doing("mounting /dev/mqueue")?;
    work_space(spec, mode)?;
    sethostname(&spec.profile.host_name).doing("setting the host name")?;
    sys::set_domain_name(&spec.profile.domain_name).doing("setting the domain name")?;
    // nothing that a build can see tells when it was made
    for folder in [own, "/dev", ""] {
        source::settle(Path::new(&inside(folder)), spec.file_time)?;
    }
    change_root()?;
    if spec.profile.bash_as_sh {
        // from here on no link leads out of the new root
        cover(
            "/usr/bin/sh",
            &read_only("/usr/bin/bash")?,
            "showing bash as /bin/sh",
        )?;
    }
    Ok(())
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
    let mut trees = match &spec.root {
        None => system_trees("", &SETTINGS)?,
        Some(root) => system_trees(root, &OF_A_ROOT)?,
    };
    for (number, path) in spec.toolchains.iter().enumerate() {
        trees.push((format!("/toolchains/{number}"), read_only(path)?));
    }
    Ok(trees)
}

/// `/usr`, and what stands beside it and is no link, of the host or of another root.
fn system_trees(root: &str, more: &[&str]) -> Result<Vec<(String, OwnedFd)>, SandboxError> {
    let mut trees = vec![("/usr".to_owned(), read_only(&format!("{root}/usr"))?)];
    for path in SYSTEM.iter().chain(more) {
        let real = format!("{root}{path}");
        let kind = fs::symlink_metadata(&real).map(|m| m.file_type());
        if kind.is_ok_and(|kind| !kind.is_symlink()) {
            trees.push(((*path).to_owned(), read_only(&real)?));
        }
    }
    Ok(trees)
}

/// What a program sees that makes or unpacks a root: the host's programs, and two folders at most.
pub(crate) fn tool_trees(
    shown: Option<(&str, &OwnedFd)>,
    filled: Option<(&str, &OwnedFd)>,
) -> Result<Vec<(String, OwnedFd)>, SandboxError> {
    let mut trees = system_trees("", &SETTINGS)?;
    if let Some((path, folder)) = shown {
        let tree = apart::tree_of(folder, "showing a folder")?;
        sys::set_mount(tree.as_fd(), READ_ONLY, true).doing("showing a folder read-only")?;
        trees.push((path.to_owned(), tree));
    }
    if let Some((path, folder)) = filled {
        let tree = apart::tree_of(folder, "showing a folder to fill")?;
        sys::set_mount(tree.as_fd(), READ_ONLY & !libc::MOUNT_ATTR_RDONLY, true)
            .doing("showing a folder to fill")?;
        trees.push((path.to_owned(), tree));
    }
    Ok(trees)
}

/// Makes the root file system of such a program and moves this process into it.
pub(crate) fn enter_tool_root(
    trees: Vec<(String, OwnedFd)>,
    bytes: u64,
) -> Result<(), SandboxError> {
    let options = format!("size={bytes},mode=755");
    // devices are bound into the root that is made, so this file system must be able to show some
    let (tmpfs, flags) = (Some("tmpfs"), MsFlags::MS_NOSUID);
    mount(tmpfs, NEW_ROOT, tmpfs, flags, Some(options.as_str())).doing("mounting a tmpfs")?;
    for (target, tree) in trees {
        attach(&target, &tree)?;
    }
    links()?;
    let folders = [
        "/etc/apt/apt.conf.d",
        "/etc/apt/trusted.gpg.d",
        "/root",
        "/run",
        "/var/tmp",
    ];
    for path in folders.iter().chain(&["/proc", "/tmp"]) {
        fs::create_dir_all(inside(path)).doing(&format!("making {path}"))?;
    }
    for (name, text) in TOOL_SETTINGS {
        fs::write(inside("/etc/") + name, text).doing(&format!("writing /etc/{name}"))?;
    }
    // not masked: a second /proc, which the making of a root needs, can only be had beside a full one
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let (proc, target) = (Some("proc"), inside("/proc"));
    mount(proc, target.as_str(), proc, flags, None::<&str>).doing("mounting /proc")?;
    devices()?;
    fs::create_dir(inside("/dev/shm")).doing("making /dev/shm")?;
    sethostname("localhost").doing("setting the host name")?;
    leave_host()
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

/// The links of a merged `/usr`, as the host has them.
fn links() -> Result<(), SandboxError> {
    for path in SYSTEM {
        if let Ok(target) = fs::read_link(path) {
            symlink(target, inside(path)).doing(&format!("linking {path}"))?;
        }
    }
    Ok(())
}

/// The same of another root, which cannot be looked at any more: what is not a folder of its own there.
fn links_of_a_root() -> Result<(), SandboxError> {
    for path in SYSTEM {
        let merged = format!("usr{path}");
        if !Path::new(&inside(path)).exists() && Path::new(&inside(&format!("/{merged}"))).exists()
        {
            symlink(merged, inside(path)).doing(&format!("linking {path}"))?;
        }
    }
    Ok(())
}

/// The links of a merged `/usr`, and an `/etc` that says the same everywhere.
fn settings(spec: &Spec) -> Result<(), SandboxError> {
    match spec.root {
        None => links()?,
        Some(_) => links_of_a_root()?,
    }
    let profile = &spec.profile;
    let (user, host) = (&profile.user_name, &profile.host_name);
    let (id, home) = (profile.user_id, &profile.home);
    let own = if spec.root.is_some() { COVERS } else { "/etc" };
    fs::create_dir_all(inside(own)).doing(&format!("making {own}"))?;
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
        (AUTHORITIES, NOBODY.to_owned()),
    ] {
        let file = format!("{}/{name}", inside(own));
        match &spec.root {
            None => {
                if let Some((folder, _)) = file.rsplit_once('/') {
                    fs::create_dir_all(folder).doing(&format!("making {folder}"))?;
                }
                fs::write(&file, text).doing(&format!("writing /etc/{name}"))?;
                source::settle(Path::new(&file), spec.file_time)?;
            }
            Some(_) => cover_setting(name, &file, text)?,
        }
    }
    Ok(())
}

/// Puts a setting of ours over that of another root, where it has one. Its users and groups stay.
fn cover_setting(name: &str, file: &str, text: String) -> Result<(), SandboxError> {
    let (what, target) = (format!("writing /etc/{name}"), inside("/etc/") + name);
    let Ok(found) = fs::read_to_string(&target) else {
        return Ok(());
    };
    let text = match name {
        "nsswitch.conf" | AUTHORITIES => return Ok(()),
        "passwd" | "group" => {
            let known = |line: &&str| {
                let name = line.split(':').next().unwrap_or_default();
                found
                    .lines()
                    .any(|other| other.split(':').next() == Some(name))
            };
            let ours: Vec<&str> = text.lines().filter(|line| !known(line)).collect();
            format!("{found}{}\n", ours.join("\n"))
        }
        _ => text,
    };
    fs::write(file, text).doing(&what)?;
    let path = CString::new(file).map_err(io::Error::other).doing(&what)?;
    let tree = sys::open_tree(libc::AT_FDCWD, &path, false).doing(&what)?;
    sys::set_mount(tree.as_fd(), READ_ONLY, false).doing(&what)?;
    cover(&target, &tree, &what)
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
        source::settle(Path::new(&target), spec.file_time)?;
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
    leave_host()?;
    sys::set_mount(folder("/")?.as_fd(), READ_ONLY, false).doing("making the root read-only")
}

fn leave_host() -> Result<(), SandboxError> {
    chdir(NEW_ROOT).doing("entering the new root")?;
    pivot_root(".", ".").doing("changing the root")?;
    umount2(".", MntFlags::MNT_DETACH).doing("leaving the host's root")?;
    chdir("/").doing("entering the new root")
}
