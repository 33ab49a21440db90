//! `/proc` as a build sees it: its own processes, and of the machine the same on every machine.
//!
//! What tells about the machine is covered: by fixed words where programs read it (`cpuinfo`), by a file
//! that nobody may open, or by an empty folder. All of that lies in one read-only folder of the new root.
//! The CPU itself can still be asked, and so can the kernel: uname(2), with which `/proc` agrees, and
//! sysinfo(2), which tells the machine's memory where `/proc/meminfo` tells the build's limit.

use std::fs::{self, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::utsname::uname;
use nix::unistd::Pid;

use super::fault::{Doing, SandboxError};
use super::spec::Spec;
use super::wall::Wall;
use super::{mounts, sys};

/// Files that no build may read: the kernel's insides, other people's doings, and ways to act on the
/// machine. Some are root's alone on the host, and root is nobody inside; they are covered all the same
/// where their mode would let others in.
const HIDDEN: [&str; 30] = [
    "buddyinfo",
    "config.gz",
    "consoles",
    "diskstats",
    "interrupts",
    "iomem",
    "ioports",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "latency_stats",
    "locks",
    "mdstat",
    "modules",
    "mtrr",
    "pagetypeinfo",
    "partitions",
    "sched_debug",
    "schedstat",
    "slabinfo",
    "softirqs",
    "sysrq-trigger",
    "timer_list",
    "vmstat",
    "zoneinfo",
];

/// Folders that are empty for a build.
const EMPTY: [&str; 8] = [
    "acpi", "asound", "bus", "driver", "fs", "irq", "pressure", "scsi",
];

/// Mounts it at `target` and covers what tells about the machine with files below `covers`.
pub(super) fn make(spec: &Spec, target: &str, covers: &str) -> Result<(), SandboxError> {
    fs::create_dir(target).doing("making /proc")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let remedy = "the /proc of this machine must not be partly covered: in a container, unmask it";
    mount(Some("proc"), target, Some("proc"), flags, None::<&str>)
        .doing_or("mounting /proc", remedy)?;
    if !spec.stands(Wall::ProcMasks) {
        return Ok(());
    }
    let what = "making what covers parts of /proc";
    fs::create_dir(covers).doing(what)?;
    let fixed = fixed(spec)?;
    for (name, text) in &fixed {
        fs::write(format!("{covers}/{}", flat(name)), text).doing(what)?;
    }
    let (hidden, empty) = (format!("{covers}/hidden"), format!("{covers}/empty"));
    fs::write(&hidden, "").doing(what)?;
    fs::set_permissions(&hidden, Permissions::from_mode(0o000)).doing(what)?;
    fs::create_dir(&empty).doing(what)?;
    // read-only as a mount of its own: what is bound from it is, too
    bind(covers, covers).doing(what)?;
    sys::set_mount(mounts::folder(covers)?.as_fd(), mounts::READ_ONLY, false).doing(what)?;
    for (name, _) in &fixed {
        cover(&format!("{covers}/{}", flat(name)), target, name)?;
    }
    for name in HIDDEN {
        let open = fs::metadata(format!("{target}/{name}")).map(|m| m.permissions().mode() & 0o006);
        if open.is_ok_and(|bits| bits != 0) {
            cover(&hidden, target, name)?;
        }
    }
    for name in EMPTY {
        cover(&empty, target, name)?;
    }
    Ok(())
}

fn flat(name: &str) -> String {
    name.replace('/', "-")
}

fn cover(with: &str, target: &str, name: &str) -> Result<(), SandboxError> {
    match bind(with, &format!("{target}/{name}")) {
        Err(Errno::ENOENT) => Ok(()), // this kernel has no such file
        other => other.doing(&format!("covering /proc/{name}")),
    }
}

fn bind(from: &str, to: &str) -> nix::Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
}

/// The files with the same words everywhere.
fn fixed(spec: &Spec) -> Result<Vec<(&'static str, String)>, SandboxError> {
    let own = sched_getaffinity(Pid::from_raw(0)).doing("asking for this process's processors")?;
    let cpus = (0..CpuSet::count())
        .filter(|cpu| own.is_set(*cpu).unwrap_or(false))
        .count();
    let uptime = spec.profile.uptime_seconds;
    // uname(2) cannot be covered, so this must not contradict it
    let kernel = uname().doing("asking for the kernel's name")?;
    let (release, version) = (kernel.release(), kernel.version());
    Ok(vec![
        ("cmdline", "quiet\n".into()),
        ("cpuinfo", cpuinfo(cpus, &spec.profile.processor)),
        ("loadavg", "0.00 0.00 0.00 1/2 2\n".into()),
        ("meminfo", meminfo(spec.limits.memory_bytes / 1024)),
        ("stat", stat(cpus, spec.file_time - i64::from(uptime))),
        (
            "swaps",
            "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".into(),
        ),
        (
            "sys/kernel/random/boot_id",
            "00000000-0000-4000-8000-000000000000\n".into(),
        ),
        ("uptime", format!("{uptime}.00 0.00\n")),
        (
            "version",
            format!(
                "Linux version {} (countersign) {}\n",
                release.display(),
                version.display()
            ),
        ),
    ])
}

#[cfg(target_arch = "x86_64")]
const PROCESSOR: &str = "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 0\n\
    stepping\t: 0\ncpu MHz\t\t: 1000.000\nfpu\t\t: yes\n\
    flags\t\t: fpu tsc msr pae cx8 cmov mmx fxsr sse sse2 syscall nx lm pni ssse3 cx16 sse4_1 \
    sse4_2 popcnt lahf_lm\nbogomips\t: 2000.00\nclflush size\t: 64\naddress sizes\t: 48 bits physical, \
    48 bits virtual\n\n";
#[cfg(not(target_arch = "x86_64"))]
const PROCESSOR: &str = "BogoMIPS\t: 100.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n\n";

fn cpuinfo(cpus: usize, name: &str) -> String {
    (0..cpus)
        .map(|number| format!("processor\t: {number}\nmodel name\t: {name}\n{PROCESSOR}"))
        .collect()
}

fn meminfo(kibibytes: u64) -> String {
    [
        ("MemTotal", kibibytes),
        ("MemFree", kibibytes),
        ("MemAvailable", kibibytes),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("Active", 0),
        ("Inactive", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Shmem", 0),
        ("Slab", 0),
    ]
    .map(|(name, value)| format!("{:<16}{value:>8} kB\n", format!("{name}:")))
    .concat()
}

fn stat(cpus: usize, boot: i64) -> String {
    let zeros = "0 0 0 0 0 0 0 0 0 0";
    let each: String = (0..cpus).map(|cpu| format!("cpu{cpu} {zeros}\n")).collect();
    format!(
        "cpu  {zeros}\n{each}intr 0\nctxt 0\nbtime {boot}\nprocesses 1\nprocs_running 1\n\
         procs_blocked 0\nsoftirq 0\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_count_adds_up() {
        assert_eq!(cpuinfo(3, "x").matches("processor\t: ").count(), 3);
        assert_eq!(stat(2, 7).matches("\ncpu").count(), 2);
        assert!(stat(2, 7).contains("\nbtime 7\n"));
        assert!(meminfo(8_388_608).starts_with("MemTotal:        8388608 kB\nMemFree:"));
    }
}
