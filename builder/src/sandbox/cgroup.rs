//! Control groups of one sandbox: what holds its memory, its processes and its processors, where this
//! process may make any.
//!
//! Which tree is used is decided for each controller by what `/proc` says and by trying: version 1,
//! version 2, or both at once. What cannot be made here is not an error; it is told ([`Enforcement`])
//! and something weaker takes its place. Groups are made by the launcher, outside, and never seen from
//! inside.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::outcome::{Enforcement, LimitKind, Means};
use crate::plan::Limits;

use super::fault::{Doing, SandboxError};
use super::sys;

const PREFIX: &str = "countersign-";
/// Where the host's own processes go, so that version 2 allows controllers beside them.
const HOST: &str = "countersign-host";
/// Processes of our own in a sandbox: the first one, and the helper that maps ids.
const OWN_PROCESSES: u64 = 2;

/// One tree of control groups, at the place where this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tree {
    /// Version 1, with one or more controllers.
    V1(PathBuf),
    /// Version 2, with all controllers that are named.
    V2(PathBuf, Vec<String>),
}

/// The groups of one sandbox. Dropping them removes what is left of them.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    folders: Vec<PathBuf>,
    memory: Option<PathBuf>,
    processes: Option<PathBuf>,
    enforcement: Enforcement,
}

/// How a process gets into the groups.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    /// The group of version 2 to be cloned into: there is one tree of that version.
    pub(crate) by_clone: Option<File>,
    by_itself: Vec<File>,
}

impl Doors {
    /// Moves this process into the groups of version 1. Its first act, so that nothing of it is outside.
    pub(crate) fn enter(&self) -> io::Result<()> {
        self.by_itself
            .iter()
            .try_for_each(|mut door| door.write_all(b"0")) // itself, alone
    }
}

impl Groups {
    /// Makes the groups and writes their limits. `cpus` are the processors of the sandbox, where they are
    /// not all of the machine's.
    pub(crate) fn make(limits: &Limits, cpus: Option<&[usize]>) -> Result<Self, SandboxError> {
        let what = "reading the control groups of this process";
        let own = fs::read_to_string("/proc/self/cgroup").doing(what)?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").doing(what)?;
        let mut groups = Self::default();
        let tree = |controller| find(&own, &mounts, controller);
        if let Some((folder, means)) = groups.controlled(tree("memory"), |folder, means| {
            if means == Means::CgroupV1 {
                limit_memory_v1(folder, limits.memory_bytes)
            } else {
                limit_memory_v2(folder, limits.memory_bytes)
            }
        })? {
            (groups.memory, groups.enforcement.memory) = (Some(folder), means);
        }
        let most = limits.processes.saturating_add(OWN_PROCESSES);
        if let Some((folder, means)) =
            groups.controlled(tree("pids"), |folder, _| set(folder, "pids.max", most))?
        {
            (groups.processes, groups.enforcement.processes) = (Some(folder), means);
        }
        if let Some(cpus) = cpus
            && let Some((_, means)) = groups.controlled(tree("cpuset"), |folder, means| {
                limit_cpus(folder, means, cpus)
            })?
        {
            groups.enforcement.cpus = means;
        }
        Ok(groups)
    }

    /// Makes a group in a tree, unless it is there, and sets it up. `None` where that is not allowed.
    fn controlled(
        &mut self,
        tree: Option<Tree>,
        limit: impl FnOnce(&Path, Means) -> io::Result<()>,
    ) -> Result<Option<(PathBuf, Means)>, SandboxError> {
        let (base, means) = match tree {
            None => return Ok(None),
            Some(Tree::V1(base)) => (base, Means::CgroupV1),
            Some(Tree::V2(base, controllers)) if prepare_v2(&base, &controllers) => {
                (base, Means::CgroupV2)
            }
            Some(Tree::V2(..)) => return Ok(None),
        };
        let folder = base.join(format!("{PREFIX}{}", std::process::id()));
        if !self.folders.contains(&folder) {
            sweep(&base);
            match fs::create_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {} // of one that died
                Err(error) if is_denied(&error) => return Ok(None),
                other => other.doing(&format!("making {}", folder.display()))?,
            }
            self.folders.push(folder.clone());
        }
        match limit(&folder, means) {
            Err(error) if is_denied(&error) => Ok(None),
            other => {
                other.doing(&format!("writing limits in {}", folder.display()))?;
                Ok(Some((folder, means)))
            }
        }
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// What is held by a group.
    pub(crate) const fn enforcement(&self) -> Enforcement {
        self.enforcement
    }

    /// Opens the ways into the groups, for a process that is about to start: with it comes all that it
    /// will start. To move one that runs makes the kernel wait for all processors, twice.
    pub(crate) fn doors(&self) -> Result<Doors, SandboxError> {
        let mut doors = Doors::default();
        for folder in &self.folders {
            let tasks = folder.join("tasks"); // of version 1
            let what = format!("opening {}", folder.display());
            match File::options().write(true).open(&tasks) {
                Ok(door) => doors.by_itself.push(door),
                Err(_) => doors.by_clone = Some(File::open(folder).doing(&what)?),
            }
        }
        Ok(doors)
    }

    /// The limit that was hit, if any was. To be asked before the groups are removed.
    pub(crate) fn hit(&self) -> Option<LimitKind> {
        let counted = |folder: Option<&PathBuf>, files: &[(&str, &str)]| {
            let count = |(file, key): &(&str, &str)| count(folder?, file, key);
            files.iter().filter_map(count).any(|number| number > 0)
        };
        // version 1 has the count in oom_control, version 2 in events
        let memory = [
            ("memory.oom_control", "oom_kill"),
            ("memory.events", "oom_kill"),
        ];
        if counted(self.memory.as_ref(), &memory) {
            Some(LimitKind::Memory)
        } else if counted(self.processes.as_ref(), &[("pids.events", "max")]) {
            Some(LimitKind::Processes)
        } else {
            None
        }
    }

    /// Kills whatever might still live in the groups, and removes them.
    ///
    /// # Errors
    /// When something survives: then nothing of this build may be believed.
    pub(crate) fn remove(&mut self) -> Result<(), SandboxError> {
        while let Some(folder) = self.folders.last() {
            remove(folder).doing_or(
                &format!("removing {} after a build", folder.display()),
                "look into its cgroup.procs: a process of the build may have survived",
            )?;
            self.folders.pop();
        }
        Ok(())
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        let _ = self.remove(); // on the way out with another fault already
    }
}

fn limit_memory_v1(folder: &Path, bytes: u64) -> io::Result<()> {
    set(folder, "memory.limit_in_bytes", bytes)?;
    // swap, where there is some, must not hide what a build takes
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let both = "memory.memsw.limit_in_bytes";
    if swaps.lines().count() > 1 && folder.join(both).exists() {
        set(folder, both, bytes)?;
    }
    Ok(())
}

fn limit_memory_v2(folder: &Path, bytes: u64) -> io::Result<()> {
    set(folder, "memory.max", bytes)?;
    set(folder, "memory.oom.group", 1)?;
    if folder.join("memory.swap.max").exists() {
        set(folder, "memory.swap.max", 0)?;
    }
    Ok(())
}

fn limit_cpus(folder: &Path, means: Means, cpus: &[usize]) -> io::Result<()> {
    if means == Means::CgroupV1 {
        // a new group of version 1 has no memory nodes, and takes no process before it has some
        let parent = folder.parent().unwrap_or(folder);
        let nodes = fs::read_to_string(parent.join("cpuset.mems"))?;
        set(folder, "cpuset.mems", nodes.trim())?;
    }
    let list: Vec<String> = cpus.iter().map(usize::to_string).collect();
    set(folder, "cpuset.cpus", list.join(","))
}

fn set(folder: &Path, file: &str, value: impl ToString) -> io::Result<()> {
    // never creates: on a tree that lacks the file this must fail
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).open(folder.join(file))?;
    file.write_all(value.to_string().as_bytes())
}

/// The number after a word in a file of `word number` lines.
fn count(folder: &Path, file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(folder.join(file)).ok()?;
    let number = |line: &str| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(number)
}

fn is_denied(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotFound
    )
}

/// Removes a group whose processes are dead. One that is not is killed, and that is an error all the
/// same: it should have died with its namespace.
fn remove(folder: &Path) -> io::Result<()> {
    let mut survivor = None;
    for attempt in 0..200 {
        match fs::remove_dir(folder) {
            Ok(()) => return survivor.map_or(Ok(()), Err),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() != Some(libc::EBUSY) => return Err(error),
            // the last to die may still be on its way out
            Err(_) if attempt < 50 => {}
            Err(error) => {
                survivor = Some(error);
                kill_all(folder);
            }
        }
        thread::sleep(Duration::from_millis(1 + attempt / 20));
    }
    survivor.map_or(Ok(()), Err)
}

/// Kills by the ids that the kernel lists; the caller repeats it, since a list can be overtaken by forks.
fn kill_all(folder: &Path) {
    if set(folder, "cgroup.kill", 1).is_ok() {
        return; // version 2
    }
    let listed = || fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in listed().lines() {
        let Some(process) = pid.parse().ok().and_then(|pid| sys::pidfd_open(pid).ok()) else {
            continue;
        };
        // still in the group after it was opened: not another process with a reused id
        if listed().lines().any(|line| line == pid) {
            let _ = sys::pidfd_signal(process.as_fd(), libc::SIGKILL); // dead already, or the next time
        }
    }
}

/// Removes what launchers left that were killed: groups without a process, of launchers that are gone.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let Some(pid) = pid.and_then(|pid| pid.parse::<u32>().ok()) else {
            continue;
        };
        if !Path::new(&format!("/proc/{pid}")).exists() {
            let _ = fs::remove_dir(entry.path()); // busy while its processes still die: next time
        }
    }
}

/// Where a controller is: the folder of this process in the tree that has it.
fn find(own: &str, mounts: &str, controller: &str) -> Option<Tree> {
    let mut unified = None;
    for line in own.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        if names.is_empty() {
            unified = Some(path);
        } else if names.split(',').any(|name| name == controller) {
            return folder(mounts, "cgroup", Some(controller), path).map(Tree::V1);
        }
    }
    let folder = folder(mounts, "cgroup2", None, unified?)?;
    let base = if folder.ends_with(HOST) {
        folder.parent()?.to_owned()
    } else {
        folder
    };
    let listed = fs::read_to_string(base.join("cgroup.controllers")).ok()?;
    let all: Vec<String> = listed.split_whitespace().map(str::to_owned).collect();
    all.iter()
        .any(|name| name == controller)
        .then_some(Tree::V2(base, all))
}

/// The folder of a control group, by the table of mounts (proc_pid_mountinfo(5)).
fn folder(mounts: &str, kind: &str, controller: Option<&str>, path: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let (found, options) = (system.next()?, system.nth(1)?);
        let fits = controller.is_none_or(|name| options.split(',').any(|option| option == name));
        let mut fields = mount.split(' ');
        let (root, at) = (fields.nth(3)?, fields.next()?);
        if found != kind || !fits {
            return None;
        }
        // seen from a container, a path may lead out of what is mounted there
        let below = Path::new(path).strip_prefix(root).ok()?;
        Some(Path::new(at).join(below))
    })
}

/// Makes a group of version 2 ready to have children with controllers; `false` where it is not ours.
///
/// The kernel allows controllers only beside no process. So the processes of this service, if they are
/// all of our own program, go one level down, once.
fn prepare_v2(base: &Path, controllers: &[String]) -> bool {
    let wanted = ["memory", "pids", "cpuset"].into_iter();
    let wanted = wanted.filter(|name| controllers.iter().any(|have| have == name));
    let enable: Vec<String> = wanted.map(|name| format!("+{name}")).collect();
    let try_it = || set(base, "cgroup.subtree_control", enable.join(" ")).is_ok();
    if try_it() {
        return true;
    }
    let Ok(listed) = fs::read_to_string(base.join("cgroup.procs")) else {
        return false;
    };
    let program = |pid: &str| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let own = program("self");
    let host = base.join(HOST);
    if own.is_none() || !listed.lines().all(|pid| program(pid) == own) {
        return false;
    }
    let _ = fs::create_dir(&host); // there already, or the next write fails
    for pid in listed.lines() {
        let _ = set(&host, "cgroup.procs", pid); // one that has ended meanwhile is gone as well
    }
    try_it()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        31 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        32 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        33 30 0:30 /docker/1 /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        34 30 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_controller_is_found_where_this_process_is() {
        let own = "9:name=systemd:/\n4:memory:/a/b\n3:cpu,cpuacct:/\n2:pids:/docker/1/x\n0::/\n";
        let found = |name| find(own, MOUNTS, name);
        let v1 = |path: &str| Some(Tree::V1(path.into()));
        assert_eq!(found("memory"), v1("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(found("cpu"), v1("/sys/fs/cgroup/cpu,cpuacct/"));
        assert_eq!(found("pids"), v1("/sys/fs/cgroup/pids/x"));
        assert_eq!(found("no-such-controller"), None);
        // outside of what a container has mounted
        assert_eq!(find("2:pids:/docker/2\n", MOUNTS, "pids"), None);
        assert_eq!(find("garbage\n", MOUNTS, "pids"), None);
    }

    #[test]
    fn version_2_is_used_for_what_it_lists() {
        let tree = tempfile::tempdir().unwrap();
        let base = tree.path().join("service");
        fs::create_dir_all(base.join(HOST)).unwrap();
        fs::write(base.join("cgroup.controllers"), "cpuset memory pids\n").unwrap();
        let mounts = format!("34 30 0:31 / {} rw - cgroup2 c rw\n", tree.path().display());
        for own in ["0::/service\n", "0::/service/countersign-host\n"] {
            let Some(Tree::V2(found, controllers)) = find(own, &mounts, "memory") else {
                panic!("{own}");
            };
            assert_eq!((found, controllers.len()), (base.clone(), 3));
        }
        assert_eq!(find("0::/service\n", &mounts, "cpu"), None);
        assert_eq!(find("0::/elsewhere\n", &mounts, "memory"), None);
    }

    #[test]
    fn what_was_hit_is_read_from_either_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = Some(folder.path().to_owned());
        let mut groups = Groups::default();
        (groups.memory, groups.processes) = (path.clone(), path);
        assert_eq!(groups.hit(), None);
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        write("pids.events", "max 0\n");
        write(
            "memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
        );
        assert_eq!(groups.hit(), None);
        write("pids.events", "max 3\n");
        assert_eq!(groups.hit(), Some(LimitKind::Processes));
        write(
            "memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        );
        assert_eq!(groups.hit(), Some(LimitKind::Memory));
        write("memory.oom_control", "oom_kill 0\n");
        write(
            "memory.events",
            "low 0\noom 2\noom_kill 2\noom_group_kill 1\n",
        );
        assert_eq!(groups.hit(), Some(LimitKind::Memory));
    }
}
