//! The host's handle on a mirror's process: start it, stop it, get its report.
//!
//! Blocking. The kernel kills a mirror when the thread that started it ends, so a mirror never outlives
//! its build. A mirror parses what strangers and registries send: its report is checked here.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use countersign_builder::channel::{Channel, ChannelError};

use super::child::variables;
use super::{ARGUMENT, Answer, Order, Report, Setup};

/// Longest time for a mirror to be ready or to report.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest time for gathering the inputs of a plan.
const GATHER_TIME: Duration = Duration::from_secs(3600);

/// Why a mirror is of no use. Always a fault of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MirrorCallError {
    /// The process could not be started.
    #[error("starting the mirror")]
    Start(#[source] io::Error),
    /// It said what went wrong.
    #[error("the mirror failed: {0}")]
    Fault(String),
    /// It is gone or does not answer.
    #[error("talking to the mirror")]
    Channel(#[from] ChannelError),
    /// Its report cannot be one.
    #[error("the mirror's report is not sorted, each request once")]
    Report,
}

/// A mirror that serves. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Mirror {
    child: Child,
    channel: Channel,
}

impl Mirror {
    /// Starts a mirror on a listener, and waits until it serves.
    ///
    /// # Errors
    /// When it does not come up.
    pub(crate) fn start(
        binary: &Path,
        setup: &Setup,
        listener: &TcpListener,
    ) -> Result<Self, MirrorCallError> {
        Self::launch(binary, setup, Some(listener))
    }

    /// Has the inputs of a plan fetched into the cache. The report's `unanswered` names those that
    /// registries do not have, or have in another form.
    ///
    /// # Errors
    /// When the process fails.
    pub(crate) fn gather(binary: &Path, setup: &Setup) -> Result<Report, MirrorCallError> {
        let mut mirror = Self::launch(binary, setup, None)?;
        mirror
            .channel
            .set_receive_timeout(Some(GATHER_TIME))
            .map_err(MirrorCallError::Start)?;
        mirror.report()
    }

    /// Ends the mirror and takes its report.
    ///
    /// # Errors
    /// When it has none, or one that breaks its rules.
    pub(crate) fn stop(mut self) -> Result<Report, MirrorCallError> {
        self.channel.send(&Order::Stop)?;
        self.report()
    }

    fn launch(
        binary: &Path,
        setup: &Setup,
        listener: Option<&TcpListener>,
    ) -> Result<Self, MirrorCallError> {
        let (channel, theirs) = Channel::pair().map_err(MirrorCallError::Start)?;
        channel
            .set_receive_timeout(Some(PATIENCE))
            .map_err(MirrorCallError::Start)?;
        let given = variables().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let child = Command::new(binary)
            .arg(ARGUMENT)
            .env_clear()
            .envs(given)
            .current_dir("/")
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(MirrorCallError::Start)?;
        let mut mirror = Self { child, channel };
        let fds: Vec<_> = listener.iter().map(AsFd::as_fd).collect();
        mirror.channel.send_with_fds(setup, &fds)?;
        match mirror.channel.receive_message()? {
            Answer::Ready => Ok(mirror),
            Answer::Fault { message } => Err(MirrorCallError::Fault(message)),
            Answer::Report(_) => Err(MirrorCallError::Report),
        }
    }

    fn report(&mut self) -> Result<Report, MirrorCallError> {
        let report = match self.channel.receive_message()? {
            Answer::Report(report) => report,
            Answer::Fault { message } => return Err(MirrorCallError::Fault(message)),
            Answer::Ready => return Err(MirrorCallError::Report),
        };
        let sorted = |pair: &[_]| matches!(pair, [a, b] if a < b);
        let requests: Vec<&str> = report.inputs.iter().map(|i| i.request.as_str()).collect();
        if requests.windows(2).all(sorted) {
            Ok(report)
        } else {
            Err(MirrorCallError::Report)
        }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        // it holds nothing that must be finished: the cache is whole at any moment
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
