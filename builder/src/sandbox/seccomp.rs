//! Which system calls are refused, for builds and for parsing children.
//!
//! Not an allow list: builds are too varied. Known numbers are allowed but for the named ones;
//! numbers above [`NEWEST_REVIEWED`] do not exist, so that every kernel shows the same set to
//! configure scripts. Another architecture's entry points kill, so a program of 32 bits (i386, by
//! `int 0x80` or as a program of its own) does not run: filters that know one architecture cannot hold
//! another's numbers. x32 lies above the newest number and does not exist.

use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use super::fault::{Doing, SandboxError};

/// The highest system call number that was looked at (`mseal`, Linux 6.10; the same on every
/// architecture since 424). The x32 entry points lie above it and are refused with it.
pub(crate) const NEWEST_REVIEWED: u32 = 462;

const REMEDY: &str = "use a kernel with CONFIG_SECCOMP_FILTER on x86_64 or aarch64";
const FCHMODAT2: i64 = 452;

type Rules = Vec<(i64, Vec<SeccompRule>)>;

/// Refuses for a build what no build needs. Last act before its `execve`; needs no_new_privs.
pub(crate) fn build(personality: u64) -> Result<(), SandboxError> {
    let mut refused = kernel_surface();
    refused.extend(whole(&[libc::SYS_chroot]));
    refused.extend(special_modes()?);
    refused.extend(special_creation()?);
    refused.push((libc::SYS_clone, new_namespaces()?));
    refused.push((libc::SYS_ioctl, terminal_injection()?));
    refused.push((libc::SYS_socket, foreign_sockets()?));
    let other = [
        when(0, SeccompCmpOp::Ne, u64::from(u32::MAX))?, // asking is allowed
        when(0, SeccompCmpOp::Ne, personality)?,
    ];
    refused.push((libc::SYS_personality, vec![rule(other.into())?]));
    apply(&[
        errno(refused, libc::EPERM)?,
        // what they ask for is behind a pointer
        errno(whole(&[libc::SYS_clone3, libc::SYS_openat2]), libc::ENOSYS)?,
        errno(whole(&ATTRIBUTES), libc::ENOTSUP)?,
        numbers()?,
    ])
}

/// Refuses for a parsing child what it never does: programs, processes, sockets, debugging, and
/// the parts of the kernel that builds may not reach either.
pub(crate) fn parsing(sockets: bool) -> Result<(), SandboxError> {
    let mut refused = kernel_surface();
    refused.extend(whole(&[
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
    ]));
    let thread = u64::from(libc::CLONE_THREAD.cast_unsigned());
    let no_thread = when(0, SeccompCmpOp::MaskedEq(thread), 0)?;
    let mut clones = new_namespaces()?;
    clones.push(rule(vec![no_thread])?);
    refused.push((libc::SYS_clone, clones));
    refused.push((libc::SYS_ioctl, terminal_injection()?));
    refused.push(if sockets {
        (libc::SYS_socket, foreign_sockets()?)
    } else {
        (libc::SYS_socket, Vec::new())
    });
    apply(&[
        errno(refused, libc::EPERM)?,
        errno(whole(&[libc::SYS_clone3]), libc::ENOSYS)?,
        numbers()?,
    ])
}

const ATTRIBUTES: [i64; 6] = [
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
];

fn kernel_surface() -> Rules {
    let mut rules = whole(&[
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
    ]);
    #[cfg(target_arch = "x86_64")]
    rules.extend(whole(&[libc::SYS_ioperm, libc::SYS_iopl]));
    rules
}

/// Files that are made with a set-user-id or set-group-id bit.
fn special_creation() -> Result<Rules, SandboxError> {
    let (create, unnamed) = (libc::O_CREAT, libc::O_TMPFILE & !libc::O_DIRECTORY);
    let mut rules = Rules::new();
    for (number, flags, mode) in [
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, Some(1), 2),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_creat, None, 1),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_mknod, None, 1),
        (libc::SYS_openat, Some(2), 3),
        (libc::SYS_mknodat, None, 2),
    ] {
        let mut each = Vec::new();
        for bit in [u64::from(libc::S_ISUID), u64::from(libc::S_ISGID)] {
            let special = when(mode, SeccompCmpOp::MaskedEq(bit), bit)?;
            let Some(flags) = flags else {
                each.push(rule(vec![special])?);
                continue;
            };
            // the mode of an open that makes nothing is whatever lay there
            for makes in [create, unnamed] {
                let makes = u64::from(makes.cast_unsigned());
                let making = when(flags, SeccompCmpOp::MaskedEq(makes), makes)?;
                each.push(rule(vec![making, special.clone()])?);
            }
        }
        rules.push((number, each));
    }
    Ok(rules)
}

/// `chmod` and its kin with a set-user-id or set-group-id bit.
fn special_modes() -> Result<Rules, SandboxError> {
    let mut rules = Rules::new();
    for (number, argument) in [
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_chmod, 1),
        (libc::SYS_fchmod, 1),
        (libc::SYS_fchmodat, 2),
        (FCHMODAT2, 2),
    ] {
        let mut each = Vec::new();
        for bit in [libc::S_ISUID, libc::S_ISGID] {
            let bit = u64::from(bit);
            each.push(rule(vec![when(
                argument,
                SeccompCmpOp::MaskedEq(bit),
                bit,
            )?])?);
        }
        rules.push((number, each));
    }
    Ok(rules)
}

fn new_namespaces() -> Result<Vec<SeccompRule>, SandboxError> {
    [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ]
    .into_iter()
    .map(|flag| {
        let flag = u64::from(flag.cast_unsigned());
        rule(vec![when(0, SeccompCmpOp::MaskedEq(flag), flag)?])
    })
    .collect()
}

fn terminal_injection() -> Result<Vec<SeccompRule>, SandboxError> {
    const TIOCLINUX: u64 = 0x541c;
    [libc::TIOCSTI, TIOCLINUX]
        .into_iter()
        .map(|request| rule(vec![when(1, SeccompCmpOp::Eq, request)?]))
        .collect()
}

/// Every family but UNIX, INET, INET6 and the routing protocol of NETLINK (`getifaddrs`).
fn foreign_sockets() -> Result<Vec<SeccompRule>, SandboxError> {
    let family = |number: i32| u64::from(number.cast_unsigned());
    Ok(vec![
        rule(vec![
            when(0, SeccompCmpOp::Gt, family(libc::AF_INET))?,
            when(0, SeccompCmpOp::Lt, family(libc::AF_INET6))?,
        ])?,
        rule(vec![
            when(0, SeccompCmpOp::Gt, family(libc::AF_INET6))?,
            when(0, SeccompCmpOp::Lt, family(libc::AF_NETLINK))?,
        ])?,
        rule(vec![when(0, SeccompCmpOp::Gt, family(libc::AF_NETLINK))?])?,
        rule(vec![
            when(0, SeccompCmpOp::Eq, family(libc::AF_NETLINK))?,
            when(2, SeccompCmpOp::Ne, family(libc::NETLINK_ROUTE))?,
        ])?,
    ])
}

/// Kills on another architecture's entry; numbers that nobody looked at do not exist.
fn numbers() -> Result<BpfProgram, SandboxError> {
    let audit_arch = match target()? {
        TargetArch::x86_64 => 0xc000_003e,
        TargetArch::aarch64 => 0xc000_00b7,
        TargetArch::riscv64 => 0xc000_00f3,
    };
    let (load, equal, greater, ret) = (0x20, 0x15, 0x25, 0x06);
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    Ok(vec![
        step(load, 0, 0, 4), // seccomp_data.arch
        step(equal, 1, 0, audit_arch),
        step(ret, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        step(load, 0, 0, 0), // seccomp_data.nr
        step(greater, 0, 1, NEWEST_REVIEWED),
        step(
            ret,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned(),
        ),
        step(ret, 0, 0, libc::SECCOMP_RET_ALLOW),
    ])
}

fn whole(numbers: &[i64]) -> Rules {
    numbers.iter().map(|n| (*n, Vec::new())).collect()
}

fn when(argument: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, SandboxError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value).map_err(internal)
}

fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, SandboxError> {
    SeccompRule::new(conditions).map_err(internal)
}

fn errno(rules: Rules, errno: i32) -> Result<BpfProgram, SandboxError> {
    let refuse = SeccompAction::Errno(errno.cast_unsigned());
    let map = rules.into_iter().collect();
    SeccompFilter::new(map, SeccompAction::Allow, refuse, target()?)
        .and_then(TryInto::try_into)
        .map_err(internal)
}

fn target() -> Result<TargetArch, SandboxError> {
    std::env::consts::ARCH.try_into().map_err(internal)
}

fn apply(filters: &[BpfProgram]) -> Result<(), SandboxError> {
    for filter in filters {
        seccompiler::apply_filter(filter)
            .map_err(io::Error::other)
            .doing_or("installing a system call filter", REMEDY)?;
    }
    Ok(())
}

fn internal(error: seccompiler::BackendError) -> SandboxError {
    SandboxError::System {
        what: "composing a system call filter".into(),
        remedy: Some(REMEDY),
        source: io::Error::other(error),
    }
}
