//! Watches a sandbox run until its steps are over or it has passed a limit, and hands its log on.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::channel::{Channel, ChannelError};
use crate::outcome::{Ended, LimitKind};
use crate::plan::Limits;

use super::fault::{Doing, SandboxError};
use super::init::FromInit;
use super::launch::Audience;
use super::sample::Sampler;

/// Longest wait at once, so that a clock that was wrong once is not wrong for long.
const LONGEST: Duration = Duration::from_secs(60);

/// Why watching stopped.
pub(super) enum Stop {
    /// The steps are over, or a limit was passed.
    Ended(Ended),
    /// The first process died without a word: killed for want of memory, or a bug.
    Died {
        /// The step that was running.
        step: usize,
    },
}

/// The log of a sandbox on its way out.
pub(super) struct Log {
    pipe: File,
    left: u64,
    /// Bytes beyond the limit.
    pub(super) dropped: u64,
    last: Instant,
}

impl Log {
    pub(super) fn new(pipe: File, limit: u64) -> Self {
        Self {
            pipe,
            left: limit,
            dropped: 0,
            last: Instant::now(),
        }
    }

    /// Reads once; `false` when there is nothing now.
    fn pass(&mut self, audience: &mut dyn Audience) -> Result<bool, SandboxError> {
        let mut buffer = [0; 64 << 10];
        let read = match self.pipe.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(read) => read,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(false),
                io::ErrorKind::Interrupted => return Ok(true),
                _ => return Err(error).doing("reading the log of a build"),
            },
        };
        self.last = Instant::now();
        let keep = usize::try_from(self.left).map_or(read, |left| left.min(read));
        self.left -= keep as u64;
        self.dropped += (read - keep) as u64;
        if keep > 0 {
            audience.log(&buffer[..keep])?; // keep <= read <= buffer.len()
        }
        Ok(true)
    }

    /// Reads what is left: at most what a pipe holds, since all writers are dead.
    pub(super) fn drain(&mut self, audience: &mut dyn Audience) -> Result<(), SandboxError> {
        while self.pass(audience)? {}
        Ok(())
    }
}

/// What is watched.
pub(super) struct Watched<'a> {
    /// The first process.
    pub(super) process: &'a OwnedFd,
    /// The channel to it.
    pub(super) channel: &'a mut Channel,
    /// `/build`.
    pub(super) build: &'a OwnedFd,
    /// Where no control group holds the memory.
    pub(super) sampler: Option<Sampler>,
}

impl Watched<'_> {
    /// Passes the log on until the steps are over or a limit is passed.
    pub(super) fn run(
        mut self,
        limits: &Limits,
        started: Instant,
        log: &mut Log,
        audience: &mut dyn Audience,
    ) -> Result<Stop, SandboxError> {
        let time = Duration::from_secs(limits.time_seconds);
        let silence = Duration::from_secs(limits.silence_seconds);
        log.last = started;
        let mut step = 0;
        loop {
            let left = time.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(Stop::Ended(Ended::TimedOut { step }));
            }
            let quiet = silence.saturating_sub(log.last.elapsed());
            if quiet.is_zero() {
                return Ok(Stop::Ended(reached(step, LimitKind::Silence)));
            }
            let mut wait = left.min(quiet).min(LONGEST);
            if let Some(sampler) = &mut self.sampler {
                if sampler.exceeded(self.build) {
                    return Ok(Stop::Ended(reached(step, LimitKind::Memory)));
                }
                wait = wait.min(sampler.left());
            }
            let ready = self.wait(log, wait, audience)?;
            if ready.host_gone {
                return Err(ChannelError::Closed.into());
            }
            if ready.log {
                log.pass(audience)?;
            }
            if ready.message {
                match self.channel.receive_message() {
                    Ok(FromInit::Step(started)) => step = started,
                    Ok(FromInit::Ended(ended)) => return Ok(Stop::Ended(ended)),
                    Ok(FromInit::Fault(message)) => return Err(SandboxError::Inside(message)),
                    Ok(FromInit::Ready) => {
                        return Err(ChannelError::Protocol("ready for a second time").into());
                    }
                    Err(ChannelError::Closed) => return Ok(Stop::Died { step }),
                    Err(error) => return Err(error.into()),
                }
            } else if ready.dead {
                return Ok(Stop::Died { step });
            }
        }
    }

    fn wait(
        &self,
        log: &Log,
        wait: Duration,
        audience: &dyn Audience,
    ) -> Result<Ready, SandboxError> {
        let mut fds = vec![
            PollFd::new(log.pipe.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.channel.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.process.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(host) = audience.hang_up() {
            fds.push(PollFd::new(host, PollFlags::empty())); // a hang-up is always told
        }
        let wait = wait + Duration::from_millis(1); // never a moment too early
        let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO); // fits: LONGEST
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
}

/// What a poll found.
struct Ready {
    log: bool,
    message: bool,
    dead: bool,
    host_gone: bool,
}

/// The end by a limit.
pub(super) const fn reached(step: usize, limit: LimitKind) -> Ended {
    Ended::LimitReached { step, limit }
}
