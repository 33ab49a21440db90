//! Starts a sandbox, watches it, and kills all of it. Runs in a single-threaded child of the host.
//!
//! Whatever goes wrong here is a fault; how the steps themselves ended is an [`Ended`].

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use countersign_attest::digest::Sha256;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{geteuid, setgroups};

use crate::channel::{Channel, ChannelError};
use crate::outcome::{Ended, IdMode};
use crate::plan::Network;
use crate::tree::Order;

use super::confine::USER_NAMESPACES;
use super::fault::{Doing, SandboxError};
use super::init::{self, FromInit, ToInit};
use super::spec::Spec;
use super::sys::{self, Cloned};
use super::{ids, source};

/// Who wants to know what happens while a build runs.
pub(crate) trait Audience {
    /// A descriptor that hangs up when nobody listens any more.
    fn hang_up(&self) -> Option<BorrowedFd<'_>>;
    /// What listens for the mirror inside; before [`Self::started`], and only where there is a mirror.
    fn listening(&mut self, listener: OwnedFd) -> Result<(), SandboxError>;
    /// The sandbox is up; the steps begin.
    fn started(&mut self, mode: IdMode) -> Result<(), SandboxError>;
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
}

/// The source tree and the digest that it must have.
pub(crate) type Source<'a> = Option<(BorrowedFd<'a>, Sha256)>;

/// Runs the steps of a sandbox to their end.
pub(crate) fn run(
    spec: &Spec,
    tree: Source<'_>,
    audience: &mut dyn Audience,
) -> Result<Dead, SandboxError> {
    let mode = ids::choose(spec.id_base)?;
    if geteuid().is_root() {
        setgroups(&[]).doing("dropping groups")?;
    }
    umask(Mode::from_bits_truncate(0o077));
    let mut sandbox = Sandbox::start(spec, mode)?;
    sandbox.fill(spec, tree)?;
    let (build, listener) = sandbox.ready(spec.network)?;
    if let Some(listener) = listener {
        audience.listening(listener)?;
    }
    audience.started(mode)?;
    let started = Instant::now();
    sandbox.channel.send(&ToInit::Begin)?;
    let mut log = Log {
        left: spec.limits.log_bytes,
        dropped: 0,
    };
    let ended = sandbox.watch(spec, started, &mut log, audience)?;
    sandbox.process.kill().doing("killing a sandbox")?;
    sandbox.drain(&mut log, audience)?;
    Ok(Dead {
        ended,
        log_dropped_bytes: log.dropped,
        duration: started.elapsed(),
        build,
        user_namespace: sandbox.user_namespace,
    })
}

/// The first process inside. Dropping it kills the sandbox, whatever happened.
struct Process {
    pidfd: OwnedFd,
    dead: bool,
}

impl Process {
    /// Kills the first process, and with it all others, and waits until the last is gone.
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

struct Log {
    left: u64,
    dropped: u64,
}

impl Log {
    fn pass(&mut self, bytes: &[u8], audience: &mut dyn Audience) -> Result<(), SandboxError> {
        let keep = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (kept, dropped) = bytes.split_at(keep); // keep <= bytes.len()
        self.left -= kept.len() as u64;
        self.dropped += dropped.len() as u64;
        if kept.is_empty() {
            Ok(())
        } else {
            audience.log(kept)
        }
    }
}

struct Sandbox {
    process: Process,
    channel: Channel,
    log: File,
    user_namespace: File,
}

impl Sandbox {
    fn start(spec: &Spec, mode: IdMode) -> Result<Self, SandboxError> {
        let (log, log_inside) = io::pipe().doing("making the log pipe")?;
        let log = File::from(OwnedFd::from(log));
        let log_inside = OwnedFd::from(log_inside);
        fcntl(&log, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).doing("preparing the log pipe")?;
        let (channel, inside) = Channel::pair().doing("making a channel")?;
        let namespaces = libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP;
        let cloned = sys::clone_process(namespaces)
            .doing_or("making the namespaces of a sandbox", USER_NAMESPACES)?;
        let (pid, pidfd) = match cloned {
            Cloned::Child => init::run(spec, mode, &inside, &log_inside),
            Cloned::Parent(pid, pidfd) => (pid, pidfd),
        };
        let process = Process { pidfd, dead: false };
        // the pid is of a child that was not waited for: it cannot mean another process
        let user_namespace = File::open(format!("/proc/{pid}/ns/user"))
            .doing("opening the user namespace of a sandbox")?;
        ids::map_outer(pid, mode, spec.id_base)?;
        Ok(Self {
            process,
            channel,
            log,
            user_namespace,
        })
    }

    /// Sends the source in and checks that it is the one that was meant.
    fn fill(&mut self, spec: &Spec, tree: Source<'_>) -> Result<(), SandboxError> {
        self.channel.send(&ToInit::Go)?;
        let order = if spec.profile.reverse_order {
            Order::Descending
        } else {
            Order::Ascending
        };
        let sent = source::send(tree.map(|(fd, _)| fd), order, &mut self.channel);
        let sent = match sent {
            // the process inside has given up: it says why in its last message
            Err(SandboxError::Channel(ChannelError::Closed)) => return Err(self.last_words()),
            other => other?,
        };
        match tree {
            Some((_, meant)) if meant != sent => Err(SandboxError::Refused {
                what: format!("the source tree has digest {sent}, the plan names {meant}"),
                remedy: "export the source again; somebody changed it on this machine",
            }),
            Some(_) | None => Ok(()),
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

    fn ready(&mut self, network: Network) -> Result<(OwnedFd, Option<OwnedFd>), SandboxError> {
        let (message, fds) = self.channel.receive_with_fds()?;
        let mut fds = fds.into_iter();
        match (message, fds.next(), network, fds.next()) {
            (FromInit::Ready, Some(build), Network::None, None) => Ok((build, None)),
            (FromInit::Ready, Some(build), Network::Mirror, Some(listener)) => {
                Ok((build, Some(listener)))
            }
            (FromInit::Fault(message), ..) => Err(SandboxError::Inside(message)),
            (FromInit::Ready | FromInit::Step(_) | FromInit::Ended(_), ..) => {
                Err(ChannelError::Protocol("another message than that all is ready").into())
            }
        }
    }

    /// Passes the log on until the steps are over or the time is.
    fn watch(
        &mut self,
        spec: &Spec,
        started: Instant,
        log: &mut Log,
        audience: &mut dyn Audience,
    ) -> Result<Ended, SandboxError> {
        let limit = Duration::from_secs(spec.limits.time_seconds);
        let mut running = 0;
        loop {
            let left = limit.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(Ended::TimedOut { step: running });
            }
            let ready = self.wait(left, audience)?;
            if ready.host_gone {
                return Err(ChannelError::Closed.into());
            }
            if ready.log {
                self.read_log(log, audience)?;
            }
            if ready.message {
                match self.channel.receive_message()? {
                    FromInit::Step(step) => running = step,
                    FromInit::Ended(ended) => return Ok(ended),
                    FromInit::Fault(message) => return Err(SandboxError::Inside(message)),
                    FromInit::Ready => {
                        return Err(ChannelError::Protocol("ready for a second time").into());
                    }
                }
            } else if ready.dead {
                let message = "the first process of the sandbox died (out of memory?)";
                return Err(SandboxError::Inside(message.into()));
            }
        }
    }

    fn wait(&self, left: Duration, audience: &dyn Audience) -> Result<Ready, SandboxError> {
        let mut fds = vec![
            PollFd::new(self.log.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.channel.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.process.pidfd.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(host) = audience.hang_up() {
            fds.push(PollFd::new(host, PollFlags::empty())); // a hang-up is always told
        }
        let left = left.min(Duration::from_secs(60)) + Duration::from_millis(1);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO); // fits: a minute
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) | Ok(_) => {}
            Err(error) => return Err(error).doing("waiting for a sandbox"),
        }
        let any = |index: usize| fds.get(index).and_then(PollFd::any).unwrap_or(false);
        Ok(Ready {
            log: any(0),
            message: any(1),
            dead: any(2),
            host_gone: any(3),
        })
    }

    /// Reads once; `false` when there is nothing now.
    fn read_log(
        &mut self,
        log: &mut Log,
        audience: &mut dyn Audience,
    ) -> Result<bool, SandboxError> {
        let mut buffer = [0; 64 << 10];
        match self.log.read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(read) => log.pass(&buffer[..read], audience).map(|()| true), // read <= buffer.len()
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(false),
                io::ErrorKind::Interrupted => Ok(true),
                _ => Err(error).doing("reading the log of a build"),
            },
        }
    }

    /// Reads what is left of the log: at most what a pipe holds, since all writers are dead.
    fn drain(&mut self, log: &mut Log, audience: &mut dyn Audience) -> Result<(), SandboxError> {
        while self.read_log(log, audience)? {}
        Ok(())
    }
}

struct Ready {
    log: bool,
    message: bool,
    dead: bool,
    host_gone: bool,
}
