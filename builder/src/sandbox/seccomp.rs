//! Which system calls are refused, for builds and for parsing children.
//!
//! Not an allow list: builds are too varied. Known numbers are allowed but for the named ones;
//! numbers above [`NEWEST_REVIEWED`] do not exist, so that every kernel shows the same set to
//! configure scripts. Another architecture's entry points kill, so a program of 32 bits (i386, by
//! `int 0x80` or as a program of its own) does not run: filters that know one architecture cannot hold
//! another's numbers. x32 lies above the newest number and does not exist.

use super::fault::{Doing, SandboxError};
use super::filter::{Answer, Table, Test, has, is, not, program};
use super::sys;

/// The highest system call number that was looked at (`mseal`, Linux 6.10; the same on every
/// architecture since 424). The x32 entry points lie above it and are refused with it.
pub(crate) const NEWEST_REVIEWED: u32 = 462;

const REMEDY: &str = "use a kernel with CONFIG_SECCOMP_FILTER on x86_64 or aarch64";
const FCHMODAT2: i64 = 452;

/// Refuses for a build what no build needs, and for all that this process will start. Needs
/// no_new_privs.
pub(crate) fn build(personality: u32) -> Result<(), SandboxError> {
    let mut table = kernel_surface();
    special_modes(&mut table);
    let other = vec![not(is(0, u32::MAX)), not(is(0, personality))]; // asking is allowed
    refuse(&mut table, &[libc::SYS_chroot], libc::EPERM);
    refuse_where(&mut table, libc::SYS_personality, vec![other]);
    refuse_where(&mut table, libc::SYS_clone, vec![vec![has(0, NAMESPACES)]]);
    refuse_where(&mut table, libc::SYS_socket, foreign_sockets());
    // what they ask for is behind a pointer
    refuse(
        &mut table,
        &[libc::SYS_clone3, libc::SYS_openat2],
        libc::ENOSYS,
    );
    refuse(&mut table, &ATTRIBUTES, libc::ENOTSUP);
    install(&table)
}

/// Refuses for a parsing child what it never does: programs, processes, sockets, debugging, and
/// the parts of the kernel that builds may not reach either.
pub(crate) fn parsing(sockets: bool) -> Result<(), SandboxError> {
    let mut table = kernel_surface();
    let never = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_chroot,
        libc::SYS_pidfd_getfd,
        libc::SYS_personality,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_fork,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_vfork,
    ];
    refuse(&mut table, &never, libc::EPERM);
    let process = vec![not(has(0, libc::CLONE_THREAD))];
    let clones = vec![vec![has(0, NAMESPACES)], process];
    refuse_where(&mut table, libc::SYS_clone, clones);
    if sockets {
        refuse_where(&mut table, libc::SYS_socket, foreign_sockets());
    } else {
        refuse(&mut table, &[libc::SYS_socket], libc::EPERM);
    }
    refuse(&mut table, &[libc::SYS_clone3], libc::ENOSYS);
    install(&table)
}

const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

const ATTRIBUTES: [i64; 6] = [
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
];

/// What belongs to the kernel or to the machine, and a terminal that is somebody else's.
fn kernel_surface() -> Table {
    const TIOCLINUX: u32 = 0x541c; // `libc` lacks it
    const TIOCSTI: u32 = 0x5412;
    let calls = [
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsmount,
        libc::SYS_fsconfig,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_acct,
        libc::SYS_quotactl,
        libc::SYS_quotactl_fd,
        libc::SYS_syslog,
        libc::SYS_name_to_handle_at,
        libc::SYS_open_by_handle_at,
        libc::SYS_fanotify_init,
        libc::SYS_clock_settime,
        libc::SYS_settimeofday,
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
        libc::SYS_process_vm_writev,
        libc::SYS_memfd_secret,
        libc::SYS_vhangup,
        libc::SYS_lookup_dcookie,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_ioperm,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_iopl,
    ];
    let mut table = Table::new();
    refuse(&mut table, &calls, libc::EPERM);
    let injection = [TIOCSTI, TIOCLINUX].map(|request| vec![is(1, request)]);
    refuse_where(&mut table, libc::SYS_ioctl, injection.into());
    table
}

/// Files that are made with a set-user-id or set-group-id bit, or get one.
fn special_modes(table: &mut Table) {
    let bits = i32::from_ne_bytes((libc::S_ISUID | libc::S_ISGID).to_ne_bytes());
    // the mode of an open that makes nothing is whatever lay there
    let makes = libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY);
    for (number, flags, mode) in [
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, Some(1), 2),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_creat, None, 1),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_mknod, None, 1),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_chmod, None, 1),
        (libc::SYS_openat, Some(2), 3),
        (libc::SYS_mknodat, None, 2),
        (libc::SYS_fchmod, None, 1),
        (libc::SYS_fchmodat, None, 2),
        (FCHMODAT2, None, 2),
    ] {
        let mut tests: Vec<Test> = flags.map(|flags| has(flags, makes)).into_iter().collect();
        tests.push(has(mode, bits));
        refuse_where(table, number, vec![tests]);
    }
}

/// Every family but UNIX, INET, INET6 and the routing protocol of NETLINK (`getifaddrs`).
fn foreign_sockets() -> Vec<Vec<Test>> {
    let family = |number: i32| is(0, number.cast_unsigned());
    let known = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ];
    let routes = is(2, libc::NETLINK_ROUTE.cast_unsigned());
    vec![
        known.map(|number| not(family(number))).into(),
        vec![family(libc::AF_NETLINK), not(routes)],
    ]
}

fn refuse(table: &mut Table, numbers: &[i64], errno: i32) {
    table.extend(numbers.iter().map(|n| (known(*n), Answer::Errno(errno))));
}

fn refuse_where(table: &mut Table, number: i64, lists: Vec<Vec<Test>>) {
    table.insert(known(number), Answer::ErrnoWhere(libc::EPERM, lists));
}

/// The number as the kernel has it: `libc` has them signed.
fn known(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX) // none is negative, and MAX does not exist
}

fn install(table: &Table) -> Result<(), SandboxError> {
    sys::filter_system_calls(&program(table, NEWEST_REVIEWED))
        .doing_or("installing a system call filter", REMEDY)
}
