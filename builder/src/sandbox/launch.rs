//! Starts a sandbox, has it watched, and kills all of it. Runs in a single-threaded child of the host.
//!
//! Whatever goes wrong here is a fault; how the steps themselves ended is an [`Ended`]. Nothing is
//! collected before every process is dead and the control groups, which would hold a survivor, are gone.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use countersign_attest::digest::Sha256;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{Mode, umask};
use nix::sys::statvfs::fstatvfs;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{alarm, geteuid, setgroups};

use crate::channel::{Channel, ChannelError};
use crate::outcome::{Ended, Enforcement, IdMode, LimitKind, Means};
use crate::plan::Network;
use crate::tree::Order;

use super::cgroup::Groups;
use super::confine::{self, USER_NAMESPACES};
use super::fault::{Doing, SandboxError};
use super::init::{self, FromInit, Start, ToInit};
use super::sample::Sampler;
use super::spec::Spec;
use super::sys::{self, Cloned};
use super::watch::{Log, Stop, Watched, reached};
use super::{cpus, ids, mounts, source};

/// What a sandbox has turned out to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// How ids are mapped.
    pub(crate) mode: IdMode,
    /// How limits are held.
    pub(crate) enforcement: Enforcement,
}

/// Who wants to know what happens while a build runs.
pub(crate) trait Audience {
    /// A descriptor that hangs up when nobody listens any more.
    fn hang_up(&self) -> Option<BorrowedFd<'_>>;
    /// What listens for the mirror inside; before [`Self::started`], and only where there is a mirror.
    fn listening(&mut self, listener: OwnedFd) -> Result<(), SandboxError>;
    /// The sandbox is up; the steps begin.
    fn started(&mut self, found: Found) -> Result<(), SandboxError>;
    /// The next bytes of the log, within its limit.
    fn log(&mut self, bytes: &[u8]) -> Result<(), SandboxError>;
}

/// A sandbox in which everything is dead.
pub(crate) struct Dead {
    /// How the steps ended.
    pub(crate) ended: Ended,
    /// Log bytes beyond the limit.
    pub(crate) log_dropped_bytes: u64,
    /// From the start of the first step to the death of the last process.
    pub(crate) duration: Duration,
    /// `/build`, which outlives its processes as long as this is open.
    pub(crate) build: OwnedFd,
    /// The user namespace in which the build's files have owners.
    pub(crate) user_namespace: File,
    /// Keeps the ids from the next sandbox until the files are collected.
    _slot: ids::Slot,
}

/// The source tree and the digest that it must have.
pub(crate) type Source<'a> = Option<(BorrowedFd<'a>, Sha256)>;

/// Runs the steps of a sandbox to their end.
pub(crate) fn run(
    spec: &Spec,
    tree: Source<'_>,
    audience: &mut dyn Audience,
) -> Result<Dead, SandboxError> {
    let slot = ids::choose(spec.id_base, spec.id_slots)?;
    if geteuid().is_root() {
        setgroups(&[]).doing("dropping groups")?;
    }
    umask(Mode::from_bits_truncate(0o077));
    let cpus = cpus::choose(spec.limits.cpus, slot.first())?;
    let groups = Groups::make(&spec.limits, cpus.as_deref())?;
    clean_up_alone(spec, &groups, audience)?;
    let mut sandbox = Sandbox::start(spec, slot, groups, cpus.as_deref())?;
    sandbox.begin(spec, tree)?;
    let ready = sandbox.ready(spec.network)?;
    drop(sandbox.mapper.take()); // it has done its work, and is waited for
    if let Some(listener) = ready.listener {
        audience.listening(listener)?;
    }
    audience.started(sandbox.found)?;
    let started = Instant::now();
    let held = sandbox.found.enforcement.memory != Means::Sampled;
    let sampler = (!held).then(|| Sampler::new(ready.processes, spec.limits.memory_bytes));
    let watched = Watched {
        process: &sandbox.process.pidfd,
        channel: &mut sandbox.channel,
        build: &ready.build,
        sampler,
    };
    let stop = watched.run(&spec.limits, started, &mut sandbox.log, audience)?;
    sandbox.process.kill().doing("killing a sandbox")?;
    let ended = judge(stop, sandbox.groups.hit(), &ready.build)?;
    sandbox.groups.remove()?;
    sandbox.log.drain(audience)?;
    Ok(Dead {
        ended,
        log_dropped_bytes: sandbox.log.dropped,
        duration: started.elapsed(),
        build: ready.build,
        user_namespace: sandbox.user_namespace,
        _slot: sandbox.slot,
    })
}

/// A launcher that the kernel kills with its host would leave its control groups. One that has any sees
/// the host hang up instead, and cleans up; should it be stuck, an alarm ends it.
fn clean_up_alone(
    spec: &Spec,
    groups: &Groups,
    audience: &dyn Audience,
) -> Result<(), SandboxError> {
    if groups.is_empty() || audience.hang_up().is_none() {
        return Ok(());
    }
    let longest = spec.limits.time_seconds.saturating_add(600);
    alarm::set(u32::try_from(longest).unwrap_or(u32::MAX));
    confine::outlive_parent()
}

/// How the build has ended, by what it says, what the control groups counted and how full its disk is.
/// A limit that was hit is the reason, whatever the build made of it.
fn judge(stop: Stop, hit: Option<LimitKind>, build: &OwnedFd) -> Result<Ended, SandboxError> {
    let ended = match stop {
        Stop::Ended(ended) => ended,
        Stop::Died { step } if hit == Some(LimitKind::Memory) => {
            return Ok(reached(step, LimitKind::Memory));
        }
        Stop::Died { .. } => {
            let message = "the first process of the sandbox died (is this machine out of memory?)";
            return Err(SandboxError::Inside(message.into()));
        }
    };
    let (step, failed) = match &ended {
        Ended::Completed => (0, false),
        Ended::Exited { step, .. }
        | Ended::Signalled { step, .. }
        | Ended::NotStarted { step, .. } => (*step, true),
        Ended::TimedOut { step } | Ended::LimitReached { step, .. } => (*step, false),
        Ended::OutputMissing { .. } | Ended::OutputRejected { .. } => (0, false),
    };
    // a build that lost a process to the limit is not the build that was meant, even if it went on
    if hit == Some(LimitKind::Memory) {
        return Ok(reached(step, LimitKind::Memory));
    }
    if !failed {
        return Ok(ended);
    }
    let disk = fstatvfs(build).doing("looking at the disk of a build")?;
    if disk.blocks_free() == 0 || disk.files_free() == 0 {
        return Ok(reached(step, LimitKind::Disk));
    }
    Ok(hit.map_or(ended, |limit| reached(step, limit)))
}

/// A process of a sandbox. Dropping it kills it, and with the first process inside all others.
struct Process {
    pidfd: OwnedFd,
    dead: bool,
}

impl Process {
    const fn new(pidfd: OwnedFd) -> Self {
        Self { pidfd, dead: false }
    }

    /// Kills it, and waits until the last that dies with it is gone.
    fn kill(&mut self) -> io::Result<()> {
        if self.dead {
            return Ok(());
        }
        match sys::pidfd_signal(self.pidfd.as_fd(), libc::SIGKILL) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        loop {
            // the kernel reports pid 1 only when every process of its namespace is gone
            match waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED) {
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
        self.dead = true;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill(); // on the way out with another fault already
    }
}

/// A running sandbox. The fields are dropped in this order: processes die before their groups go.
struct Sandbox {
    process: Process,
    mapper: Option<Process>,
    groups: Groups,
    found: Found,
    channel: Channel,
    log: Log,
    user_namespace: File,
    slot: ids::Slot,
}

/// What the first process hands out when all is made.
struct Ready {
    build: OwnedFd,
    processes: OwnedFd,
    listener: Option<OwnedFd>,
}

impl Sandbox {
    fn start(
        spec: &Spec,
        mut slot: ids::Slot,
        groups: Groups,
        cpus: Option<&[usize]>,
    ) -> Result<Self, SandboxError> {
        let (log, log_inside) = io::pipe().doing("making the log pipe")?;
        let log = File::from(OwnedFd::from(log));
        let log_inside = OwnedFd::from(log_inside);
        fcntl(&log, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).doing("preparing the log pipe")?;
        let (mut channel, inside) = Channel::pair().doing("making a channel")?;
        let (ask, asked) = UnixStream::pair().doing("making a channel")?;
        // root maps the owners of what it shows, which nobody inside may
        let trees = geteuid()
            .is_root()
            .then(|| mounts::host_trees(spec))
            .transpose()?;
        let namespaces = libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS;
        let doors = groups.doors()?;
        let cloned = sys::clone_process(namespaces, doors.by_clone.as_ref().map(AsFd::as_fd))
            .doing_or("making the namespaces of a sandbox", USER_NAMESPACES)?;
        let (pid, pidfd) = match cloned {
            Cloned::Child => init::run(Start {
                spec,
                trees,
                cpus,
                doors: &doors,
                mapper: &ask,
                socket: &inside,
                log: &log_inside,
            }),
            Cloned::Parent(pid, pidfd) => (pid, pidfd),
        };
        let process = Process::new(pidfd);
        // the pid is of a child that was not waited for: it cannot mean another process
        let user_namespace = File::open(format!("/proc/{pid}/ns/user"))
            .doing("opening the user namespace of a sandbox")?;
        let mode = slot.map_outer(pid)?;
        for (path, tree) in trees.iter().flatten() {
            mounts::map_owners(path, tree, &user_namespace)?;
        }
        channel.send(&ToInit::Go { mode })?;
        drop(ask); // the helper must see when the process inside is gone
        let mapper = ids::start_mapper(mode, pid, &user_namespace, asked)?;
        let enforcement = enforcement(&groups, cpus);
        Ok(Self {
            process,
            mapper: mapper.map(Process::new),
            groups,
            found: Found { mode, enforcement },
            channel,
            log: Log::new(log, spec.limits.log_bytes),
            user_namespace,
            slot,
        })
    }

    /// Sends the source in, checks that it is the one that was meant, and lets the steps begin.
    fn begin(&mut self, spec: &Spec, tree: Source<'_>) -> Result<(), SandboxError> {
        match self.send(spec, tree) {
            // the process inside has given up: it says why in its last message
            Err(SandboxError::Channel(ChannelError::Closed)) => Err(self.last_words()),
            other => other,
        }
    }

    fn send(&mut self, spec: &Spec, tree: Source<'_>) -> Result<(), SandboxError> {
        let order = if spec.profile.reverse_order {
            Order::Descending
        } else {
            Order::Ascending
        };
        let sent = source::send(tree.map(|(fd, _)| fd), order, &mut self.channel)?;
        match tree {
            Some((_, meant)) if meant != sent => Err(SandboxError::Refused {
                what: format!("the source tree has digest {sent}, the plan names {meant}"),
                remedy: "export the source again; somebody changed it on this machine",
            }),
            Some(_) | None => Ok(self.channel.send(&ToInit::Begin)?),
        }
    }

    fn last_words(&mut self) -> SandboxError {
        match self.channel.receive_message() {
            Ok(FromInit::Fault(message)) => SandboxError::Inside(message),
            Ok(FromInit::Ready | FromInit::Step(_) | FromInit::Ended(_)) => {
                ChannelError::Protocol("another message than a fault at the end").into()
            }
            Err(error) => error.into(),
        }
    }

    fn ready(&mut self, network: Network) -> Result<Ready, SandboxError> {
        let (message, fds) = self.channel.receive_with_fds()?;
        let mut fds = fds.into_iter();
        match (message, fds.next(), fds.next(), fds.next(), network) {
            (FromInit::Ready, Some(build), Some(processes), listener, network)
                if listener.is_some() == (network == Network::Mirror) =>
            {
                Ok(Ready {
                    build,
                    processes,
                    listener,
                })
            }
            (FromInit::Fault(message), ..) => Err(SandboxError::Inside(message)),
            (FromInit::Ready | FromInit::Step(_) | FromInit::Ended(_), ..) => {
                Err(ChannelError::Protocol("another message than that all is ready").into())
            }
        }
    }
}

/// What holds the limits: a control group, or the best there is without one.
fn enforcement(groups: &Groups, cpus: Option<&[usize]>) -> Enforcement {
    let or = |held: Means, otherwise| match held {
        Means::None => otherwise,
        held => held,
    };
    let held = groups.enforcement();
    Enforcement {
        memory: or(held.memory, Means::Sampled),
        processes: or(held.processes, Means::Rlimit),
        cpus: or(held.cpus, cpus.map_or(Means::None, |_| Means::Affinity)),
    }
}
