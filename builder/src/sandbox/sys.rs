//! The only unsafe code of the project: thin, checked wrappers of system calls that neither the
//! standard library nor `nix` has. No decision is made here.
//!
//! Everything that forks asks for a single-threaded process; [`super::confine::enter`] asserts it.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Takes ownership of a descriptor that the kernel has just given to this process by `SCM_RIGHTS`.
pub(crate) fn own_received_fd(fd: RawFd) -> OwnedFd {
    // SAFETY: recvmsg(2) made this descriptor for us and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn own(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(checked(result)?).map_err(io::Error::other)?;
    // SAFETY: the system call has just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Which of the two processes returned from [`clone_process`] or [`fork`].
pub(crate) enum Cloned {
    /// The new process.
    Child,
    /// The old one, with the new one's id and a descriptor that stays its name when it is dead.
    Parent(i32, OwnedFd),
}

/// `clone3(flags | CLONE_PIDFD)`: a copy of this process in new namespaces, and in a control group of
/// version 2 where one is given.
///
/// # Errors
/// When the kernel refuses the flags or the group, or has no more processes.
pub(crate) fn clone_process(
    flags: libc::c_int,
    group: Option<BorrowedFd<'_>>,
) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers, for which zero is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from(flags.cast_unsigned()) | u64::from(libc::CLONE_PIDFD.cast_unsigned());
    args.pidfd = &raw mut pidfd as u64;
    if let Some(group) = group {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(group.as_raw_fd().cast_unsigned());
    }
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    let size = size_of::<libc::clone_args>();
    // SAFETY: no stack is given and no memory is shared, so this is a fork; the process is
    // single-threaded (asserted in confine::enter), so no lock can be held by another thread.
    let pid = checked(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size) })?;
    if pid == 0 {
        return Ok(Cloned::Child);
    }
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    Ok(Cloned::Parent(pid, own(pidfd.into())?))
}

/// Of `clone3`; `libc` has it in a type that it does not fit into.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `fork`: a copy of this process, in the same namespaces.
pub(crate) fn fork() -> io::Result<Cloned> {
    // SAFETY: the process is single-threaded (asserted in confine::enter), so the copy may go on as
    // any process may.
    let pid = checked(unsafe { libc::fork() }.into())?;
    let Ok(pid @ 1..) = u32::try_from(pid) else {
        return Ok(Cloned::Child);
    };
    Ok(Cloned::Parent(pid.cast_signed(), pidfd_open(pid)?))
}

/// How a process has ended.
pub(crate) enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal. Those of real time have no name in `nix`.
    Signalled(i32),
}

/// Waits for any child to end, and takes it.
pub(crate) fn wait_any() -> io::Result<(i32, End)> {
    let mut status = 0;
    // SAFETY: the status lives through the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, 0) };
    checked(pid.into())?;
    let end = if libc::WIFSIGNALED(status) {
        End::Signalled(libc::WTERMSIG(status))
    } else {
        End::Exited(libc::WEXITSTATUS(status)) // without WUNTRACED nothing else is told
    };
    Ok((pid, end))
}

/// Ends this process at once: no destructor, no buffer of the parent's is written twice.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no precondition.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor from `first` on.
///
/// The caller must not own any of them in a Rust value that is still used.
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: closing touches no memory; that no owned descriptor is above `first` is the callers'
    // duty: each is at the start of a process or right before an execve.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

/// Closes every descriptor from `first` on, but for those of `kept`.
///
/// The caller must not own any other of them in a Rust value that is still used.
pub(crate) fn close_all_but<'a>(
    first: u32,
    kept: impl Iterator<Item = BorrowedFd<'a>>,
) -> io::Result<()> {
    let mut kept: Vec<u32> = kept.map(|fd| fd.as_raw_fd().cast_unsigned()).collect();
    kept.sort_unstable();
    let mut from = first;
    for fd in kept {
        if from < fd {
            // SAFETY: closing touches no memory; that nothing else owns these is the callers' duty: it
            // is the first act of a forked process, which uses none of its parent's descriptors.
            checked(unsafe { libc::syscall(libc::SYS_close_range, from, fd - 1, 0) })?;
        }
        from = fd + 1;
    }
    close_from(from)
}

/// Lets no descriptor from `first` on live through an `execve`.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    let flag = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: sets a flag on descriptors and touches no memory.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flag) }).map(drop)
}

/// Opens a name for a process that is a child of ours and was not waited for yet.
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes two integers.
    own(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Sends a signal by descriptor, so that it can never reach another process with the same id.
pub(crate) fn pidfd_signal(process: BorrowedFd<'_>, signal: libc::c_int) -> io::Result<()> {
    let (fd, null) = (process.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // SAFETY: a null siginfo is allowed and means what kill(2) would send.
    checked(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, null, 0) }).map(drop)
}

/// Drops a capability from the bounding set; `false` when the kernel has no such capability.
pub(crate) fn drop_bounding(capability: u32) -> io::Result<bool> {
    // SAFETY: takes integers.
    match checked(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }.into()) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Clears the ambient set and leaves exactly the capabilities of `mask` (below 32), uninheritable.
pub(crate) fn set_capabilities(mask: u32) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let (clear, none) = (libc::PR_CAP_AMBIENT_CLEAR_ALL, 0);
    // SAFETY: takes integers.
    checked(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, none, none, none) }.into())?;
    let header = Header {
        version: 0x2008_0522, // _LINUX_CAPABILITY_VERSION_3: two words for each of three sets
        pid: 0,
    };
    let sets: [u32; 6] = [mask, mask, 0, 0, 0, 0];
    // SAFETY: both pointers live through the call and have the layout of version 3.
    checked(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) }).map(drop)
}

/// Installs a filter of system calls, for this process and all that it will start. Needs no_new_privs.
pub(crate) fn filter_system_calls(program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast_mut(),
    };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the kernel reads as many steps as there are, and writes none.
    checked(unsafe { libc::syscall(libc::SYS_seccomp, mode, 0, &raw const program) }).map(drop)
}

/// Makes a detached copy of what is mounted at `path` (or of `dir` itself for an empty path).
pub(crate) fn open_tree(dir: RawFd, path: &CStr, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    flags |= libc::AT_EMPTY_PATH.cast_unsigned();
    if recursive {
        flags |= libc::AT_RECURSIVE.cast_unsigned();
    }
    // SAFETY: the path is a C string that lives through the call.
    own(unsafe { libc::syscall(libc::SYS_open_tree, dir, path.as_ptr(), flags) })
}

/// Sets attributes (`MOUNT_ATTR_*`) of a mount, and of all below it where `recursive`.
pub(crate) fn set_mount(mount: BorrowedFd<'_>, attributes: u64, recursive: bool) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    change_mount(mount, &attr, recursive)
}

/// Shows the owners of a detached mount, and of all below it, as a user namespace maps them.
pub(crate) fn map_mount(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::from(namespace.as_raw_fd().cast_unsigned()),
    };
    change_mount(mount, &attr, true)
}

fn change_mount(mount: BorrowedFd<'_>, attr: &libc::mount_attr, recursive: bool) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let (fd, size) = (mount.as_raw_fd(), size_of::<libc::mount_attr>());
    // SAFETY: the path is an empty C string and the structure has the size that is passed.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size,
        )
    })
    .map(drop)
}

/// Attaches a detached mount at `path`.
pub(crate) fn move_mount(mount: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    let (fd, from) = (mount.as_raw_fd(), libc::MOVE_MOUNT_F_EMPTY_PATH);
    // SAFETY: both paths are C strings that live through the call.
    checked(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            fd,
            c"".as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            from,
        )
    })
    .map(drop)
}

/// Brings the loopback interface of this network namespace up.
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: ifreq is plain integers and a union of such, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    // IFF_UP and IFF_RUNNING are below 128
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0);
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which lives through the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    checked(result.into()).map(drop)
}

/// Lets children that are forked from now on live in a time namespace of their own.
pub(crate) fn unshare_time() -> io::Result<()> {
    // SAFETY: takes an integer and changes nothing of this process but what its children get.
    checked(unsafe { libc::unshare(libc::CLONE_NEWTIME) }.into()).map(drop)
}

/// Sets the scheduler's niceness of this process. More of it needs no privilege.
pub(crate) fn set_niceness(niceness: u8) -> io::Result<()> {
    // SAFETY: takes integers; 0 means this process.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, i32::from(niceness)) };
    checked(result.into()).map(drop)
}

/// Sets the NIS domain name of this UTS namespace.
pub(crate) fn set_domain_name(name: &str) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one slice.
    checked(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }.into()).map(drop)
}

/// Puts every signal back to its default and unblocks all: what a build finds must not depend on
/// the runtime that started it (Rust ignores `SIGPIPE`).
pub(crate) fn default_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is always a valid disposition; the refusal for SIGKILL and SIGSTOP and
        // for numbers that libc keeps to itself is harmless.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero sigset_t is the empty set on Linux and sigprocmask only reads it.
    unsafe {
        let empty: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
    }
}
