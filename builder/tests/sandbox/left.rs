//! What is left on this machine: mounts, control groups, processes of ours, and files of ours.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A look at the machine.
#[derive(Debug)]
pub(crate) struct Machine {
    mounts: BTreeSet<String>,
    groups: BTreeSet<String>,
    children: BTreeSet<u32>,
}

impl Machine {
    /// Looks now.
    pub(crate) fn now() -> Result<Self, String> {
        // other tests may mount elsewhere in this namespace; nothing of a sandbox may
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|e| e.to_string())?;
        let mut groups = BTreeSet::new();
        collect_groups(Path::new("/sys/fs/cgroup"), 0, &mut groups);
        Ok(Self {
            mounts: mounts.lines().map(str::to_owned).collect(),
            groups,
            children: children(),
        })
    }

    /// Fails with what is there now and was not then. Groups and processes get a moment to go: the kernel
    /// ends them behind the back of whoever waits.
    pub(crate) fn compare(&self) -> Result<(), String> {
        // what is there in every look is left; sandboxes of others come and go
        let now = Self::now()?;
        let mut mounts: BTreeSet<_> = now.mounts.difference(&self.mounts).cloned().collect();
        let mut groups: BTreeSet<_> = now.groups.difference(&self.groups).cloned().collect();
        let mut children: BTreeSet<_> = now.children.difference(&self.children).copied().collect();
        for _ in 0..200 {
            if mounts.is_empty() && groups.is_empty() && children.is_empty() {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            let now = Self::now()?;
            mounts.retain(|mount| now.mounts.contains(mount));
            groups.retain(|group| now.groups.contains(group));
            children.retain(|child| now.children.contains(child));
        }
        Err(format!(
            "left: mounts {mounts:?}, control groups {groups:?}, processes {children:?}"
        ))
    }
}

/// Control groups with a name of ours and no process.
fn collect_groups(folder: &Path, depth: u32, into: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return; // another user's, or gone meanwhile
    };
    for entry in entries.flatten() {
        if depth < 6 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let path = entry.path();
            // one with a process in it is somebody's sandbox, or told by its process
            let processes = fs::read_to_string(path.join("cgroup.procs"));
            let empty = processes.is_ok_and(|text| text.is_empty());
            if empty
                && entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with("countersign-")
            {
                into.insert(path.display().to_string());
            }
            collect_groups(&path, depth + 1, into);
        }
    }
}

/// Processes whose parent is this one.
fn children() -> BTreeSet<u32> {
    let own = std::process::id();
    let Ok(all) = fs::read_dir("/proc") else {
        return BTreeSet::new();
    };
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t"));
            parent.is_some_and(|parent| parent == own.to_string())
        })
        .collect()
}
