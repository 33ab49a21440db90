//! System calls that a build does not need, and files that act on the kernel or tell of it.

use super::Arm::{No, Outside, OutsideWhere, Without};
use super::{Act, Wall, act, try_all};
use crate::Case;
use crate::bench::Bench;

pub(crate) const CASES: &[(&str, Case)] = &[
    ("hostile: namespaces and mounts", namespaces),
    ("hostile: the kernel's own calls", calls),
    ("hostile: the kernel's files", files),
    ("hostile: privileges and limits are not raised", privileges),
    ("hostile: sockets of other families", sockets),
    ("hostile: processes", processes),
];

const REFUSED: &[&str] = &["not permitted"];
const DENIED: &[&str] = &["denied", "No such file"];
const ABSENT: &[&str] = &["not implemented"];
const ROOT: &str = "only a privileged user may outside, or this kernel lacks it";
const HOST: &str = "it would change the host";

fn namespaces(bench: &Bench) -> Result<(), String> {
    const ACTS: &[Act] = &[
        act(7, &["unshare-user"], Outside, REFUSED),
        act(7, &["clone-user"], Outside, REFUSED),
        act(7, &["clone3-user"], Outside, ABSENT),
        act(8, &["own-unshare-mount"], Outside, REFUSED),
        act(8, &["own-mount"], Outside, REFUSED),
        act(8, &["own-umount", "/proc"], Outside, REFUSED),
        act(8, &["own-umount", "/usr"], Outside, REFUSED),
        act(8, &["own-remount", "/usr"], Outside, REFUSED),
        act(8, &["own-fsopen"], Outside, REFUSED),
        act(8, &["own-open-tree"], Outside, REFUSED),
        act(8, &["setns"], OutsideWhere(ROOT), REFUSED),
        act(9, &["own-chroot"], Outside, REFUSED),
        act(9, &["own-pivot-root"], Outside, REFUSED),
    ];
    try_all(bench, ACTS)
}

fn calls(bench: &Bench) -> Result<(), String> {
    const ACTS: &[Act] = &[
        act(45, &["keyctl"], Outside, REFUSED),
        act(45, &["add-key"], Outside, REFUSED),
        act(46, &["bpf"], OutsideWhere(ROOT), REFUSED),
        act(46, &["perf"], OutsideWhere(ROOT), REFUSED),
        act(46, &["io-uring"], OutsideWhere(ROOT), REFUSED),
        act(46, &["userfaultfd"], OutsideWhere(ROOT), REFUSED),
        act(46, &["fanotify"], OutsideWhere(ROOT), REFUSED),
        act(46, &["file-handle", "/usr"], OutsideWhere(ROOT), REFUSED),
        act(46, &["memfd-secret"], OutsideWhere(ROOT), REFUSED),
        act(47, &["clock-settime"], No(HOST), REFUSED),
        act(47, &["adjtimex"], No(HOST), REFUSED),
        act(48, &["kexec"], No(HOST), REFUSED),
        act(48, &["module"], No(HOST), REFUSED),
        act(48, &["reboot"], No(HOST), REFUSED),
        act(48, &["swapoff", "/none"], No(HOST), REFUSED),
        act(48, &["syslog"], OutsideWhere(ROOT), REFUSED),
        act(49, &["tiocsti"], OutsideWhere(ROOT), REFUSED),
        act(49, &["tioclinux"], No("it needs a console"), REFUSED),
        act(
            50,
            &["int80"],
            OutsideWhere("this kernel runs no i386 code"),
            &["killed"],
        ),
        act(
            50,
            &["x32"],
            OutsideWhere("this kernel runs no x32 code"),
            ABSENT,
        ),
        act(51, &["personality", "8"], Outside, REFUSED),
        act(51, &["personality", "0x0400000"], Outside, REFUSED),
        // a number that nobody has looked at
        act(
            70,
            &["call", "600"],
            No("no kernel has this call yet"),
            ABSENT,
        ),
    ];
    try_all(bench, ACTS)
}

fn files(bench: &Bench) -> Result<(), String> {
    const ACTS: &[Act] = &[
        act(
            3,
            &["read", "/proc/1/environ"],
            Without(Wall::Undebuggable),
            DENIED,
        ),
        act(
            3,
            &["open-read", "/proc/1/mem"],
            Without(Wall::Undebuggable),
            DENIED,
        ),
        act(
            3,
            &["open-write", "/proc/1/root"],
            No("a folder is never opened for writing"),
            DENIED,
        ),
        act(
            4,
            &["open-write", "/proc/sys/kernel/core_pattern"],
            OutsideWhere(ROOT),
            DENIED,
        ),
        act(
            4,
            &["open-write", "/proc/sys/user/max_user_namespaces"],
            OutsideWhere(ROOT),
            DENIED,
        ),
        act(
            5,
            &["open-write", "/proc/sysrq-trigger"],
            OutsideWhere(ROOT),
            DENIED,
        ),
        act(
            6,
            &["read", "/proc/kallsyms"],
            Without(Wall::ProcMasks),
            DENIED,
        ),
        act(6, &["read", "/proc/keys"], Without(Wall::ProcMasks), DENIED),
        act(6, &["read", "/proc/timer_list"], OutsideWhere(ROOT), DENIED),
        act(55, &["open-both", "/dev/ptmx"], Outside, DENIED),
        act(
            55,
            &["open-both", "/dev/tty"],
            OutsideWhere("there is no terminal"),
            DENIED,
        ),
        act(55, &["open-both", "/dev/fuse"], OutsideWhere(ROOT), DENIED),
        act(55, &["open-both", "/dev/kvm"], OutsideWhere(ROOT), DENIED),
        act(55, &["open-write", "/dev/kmsg"], OutsideWhere(ROOT), DENIED),
        act(
            71,
            &["open-write", "/proc/self/timens_offsets"],
            OutsideWhere(ROOT),
            DENIED,
        ),
    ];
    try_all(bench, ACTS)
}

fn privileges(bench: &Bench) -> Result<(), String> {
    const ACTS: &[Act] = &[
        act(52, &["raise-limit", "6"], OutsideWhere(ROOT), REFUSED),
        act(52, &["raise-limit", "7"], OutsideWhere(ROOT), REFUSED),
        act(52, &["raise-limit", "1"], OutsideWhere(ROOT), REFUSED),
        act(
            53,
            &["nice"],
            OutsideWhere(ROOT),
            &["denied", "not permitted"],
        ),
        act(53, &["fifo"], OutsideWhere(ROOT), REFUSED),
        act(53, &["ioprio"], OutsideWhere(ROOT), REFUSED),
        act(
            53,
            &["mlock", "1048576"],
            Without(Wall::ResourceLimits),
            &["Cannot allocate"],
        ),
        act(
            72,
            &["setuid-0"],
            Outside,
            &["not permitted", "Invalid argument"],
        ),
        act(72, &["own-hostname"], Outside, REFUSED),
    ];
    try_all(bench, ACTS)
}

fn sockets(bench: &Bench) -> Result<(), String> {
    const FAMILY: &str = "this kernel lacks the family";
    const ACTS: &[Act] = &[
        act(37, &["own-socket", "2", "3", "1"], Outside, REFUSED), // raw ICMP
        act(37, &["own-socket", "17", "3", "0"], Outside, REFUSED), // packets
        act(37, &["socket", "16", "3", "16"], Outside, REFUSED),   // generic netlink
        act(37, &["socket", "16", "3", "9"], Outside, REFUSED),    // audit
        act(
            37,
            &["socket", "38", "5", "0"],
            OutsideWhere(FAMILY),
            REFUSED,
        ), // kernel cryptography
        act(
            37,
            &["socket", "40", "1", "0"],
            OutsideWhere(FAMILY),
            REFUSED,
        ), // the hypervisor
        act(
            37,
            &["socket", "31", "3", "0"],
            OutsideWhere(FAMILY),
            REFUSED,
        ), // bluetooth
    ];
    try_all(bench, ACTS)
}

fn processes(bench: &Bench) -> Result<(), String> {
    const DEBUG: &str = "this kernel lets nobody debug a process that is not its child (yama)";
    let yama = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let ptrace = match yama.trim() {
        "" | "0" => Without(Wall::Undebuggable),
        _ => No(DEBUG),
    };
    try_all(
        bench,
        &[
            act(32, &["ptrace", "1"], ptrace, REFUSED),
            act(34, &["vm-write"], Outside, REFUSED),
        ],
    )?;
    // debuggers in test suites work on what is the build's own
    bench.hostile(&["ptrace-child"], None, |_| ())?
}
