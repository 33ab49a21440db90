//! The host's side: starts a child, asks it one thing, takes every digest itself, bounds its time.
//!
//! All calls block. The kernel kills a child when the *thread* that started it ends, and a call
//! blocks that very thread, so a child never outlives its call; a host that is killed takes its
//! children, and all that they sandboxed, with it. Nothing that a child says is believed beyond what
//! its request can yield: it may have been taken over by what it read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use countersign_attest::digest::{Hasher, Sha256};
use countersign_attest::time::Timestamp;

use crate::archive::ReadLimits;
use crate::channel::{Channel, ChannelError, Frame};
use crate::compare::Compared;
use crate::environment::Capabilities;
use crate::environment::debian::BootstrapRequest;
use crate::outcome::{Ended, EnvironmentFound, LogRecord, Misses, Outcome, OutputFile};
use crate::plan::{Network, is_inside};
use crate::recipe::{Evidence, InspectRequest};

use super::process::with_child;
use super::{Answer, ReplayRequest, Request, outer_deadline_seconds};

/// Why a child gave no answer. Always a fault of ours, never about a release.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The child could not be started.
    #[error("starting a builder child")]
    Start(#[source] io::Error),
    /// The child said what went wrong.
    #[error("builder child: {0}")]
    Fault(String),
    /// The child ended without an answer, or broke the protocol.
    #[error("talking to a builder child{}", said(.stderr))]
    Channel {
        /// The last that it wrote to standard error, escaped.
        stderr: String,
        /// What broke.
        #[source]
        source: ChannelError,
    },
    /// The child took longer than it may and was killed.
    #[error("a builder child was killed after {0} seconds")]
    Deadline(u64),
    /// The caller cancelled.
    #[error("a builder child was cancelled")]
    Cancelled,
    /// The caller could not take what came.
    #[error("storing what a builder child sent")]
    Sink(#[source] io::Error),
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!(" that wrote {stderr:?}")
    }
}

impl From<ChannelError> for CallError {
    fn from(source: ChannelError) -> Self {
        Self::Channel {
            stderr: String::new(),
            source,
        }
    }
}

const fn protocol(what: &'static str) -> CallError {
    CallError::Channel {
        stderr: String::new(),
        source: ChannelError::Protocol(what),
    }
}

/// Takes what a replay yields, as it comes. An error of a method ends the replay.
pub trait ReplaySink {
    /// What listens at the mirror's address inside the sandbox; steps begin after this returns. Comes
    /// only where the plan's network is the mirror. When nobody serves it, the build's requests hang.
    ///
    /// # Errors
    /// Of the caller's mirror.
    fn on_listening(&mut self, listener: TcpListener) -> io::Result<()>;
    /// The sandbox is up; steps begin.
    ///
    /// # Errors
    /// Of the caller's storage.
    fn on_started(&mut self, environment: &EnvironmentFound) -> io::Result<()>;
    /// The next bytes of the raw log, written by strangers.
    ///
    /// # Errors
    /// Of the caller's storage.
    fn on_log(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// An output begins; what is returned is flushed at its end. The path is inside and relative,
    /// its size within the plan's limits. Nothing counts until [`replay`] has returned well.
    ///
    /// # Errors
    /// Of the caller's storage.
    fn open_output(&mut self, path: &str, size_bytes: u64) -> io::Result<Box<dyn Write + '_>>;
}

/// One replay to make.
pub struct ReplayCall<'a> {
    /// The binary that runs [`super::serve`] when its first argument is [`super::ARGUMENT`].
    pub binary: &'a Path,
    /// What to build.
    pub request: &'a ReplayRequest,
    /// The digest of the plan's bytes as first written.
    pub plan: Sha256,
    /// The folder of the exported source tree.
    pub tree: BorrowedFd<'a>,
    /// The caller's clock.
    pub clock: &'a dyn Fn() -> Timestamp,
    /// Set by another thread to end the replay.
    pub cancel: &'a AtomicBool,
}

/// Replays a plan in a sandbox and says what came of it.
///
/// Digests of the log and of every output are of the bytes that arrived here.
///
/// # Errors
/// On every fault of ours: the sandbox could not be made, the outer deadline (the plan's time and 30
/// seconds) passed, or the sink failed. How the build itself ended is in the outcome.
pub fn replay(call: &ReplayCall<'_>, sink: &mut dyn ReplaySink) -> Result<Outcome, CallError> {
    let message = Request::Replay(Box::new(copy(call.request)));
    run(call, &message, sink, take_outputs)
}

/// Runs a plan's steps for what they ask the mirror. The outcome has no outputs, whatever was built.
///
/// # Errors
/// As [`replay`].
pub fn record(call: &ReplayCall<'_>, sink: &mut dyn ReplaySink) -> Result<Outcome, CallError> {
    let message = Request::Record(Box::new(copy(call.request)));
    run(call, &message, sink, |child, _, _| {
        let Answer::Finished { ended } = receive(child)? else {
            return Err(protocol("another answer than the end of a record run"));
        };
        Ok((ended, Vec::new()))
    })
}

type Outputs = (Ended, Vec<OutputFile>);

fn run(
    call: &ReplayCall<'_>,
    message: &Request,
    sink: &mut dyn ReplaySink,
    take: impl FnOnce(&mut Channel, &ReplayRequest, &mut dyn ReplaySink) -> Result<Outputs, CallError>,
) -> Result<Outcome, CallError> {
    let candidate = &call.request.plan.candidate;
    let limits = &candidate.limits;
    let deadline = Duration::from_secs(outer_deadline_seconds(limits));
    with_child(call.binary, deadline, call.cancel, |child| {
        child.send_with_fds(message, &[call.tree])?;
        match candidate.network {
            Network::None => {}
            Network::Mirror => {
                let listener = receive_listener(child)?;
                sink.on_listening(listener).map_err(CallError::Sink)?;
            }
        }
        let Answer::Started(environment) = receive(child)? else {
            return Err(protocol("another answer than that the sandbox is up"));
        };
        let started_on = (call.clock)();
        sink.on_started(&environment).map_err(CallError::Sink)?;
        let (log_sha256, log_bytes) = take_log(child, limits.log_bytes, sink)?;
        let Answer::Ended {
            log_dropped_bytes,
            duration_ms,
            ..
        } = receive(child)?
        else {
            return Err(protocol("another answer than how the steps ended"));
        };
        let finished_on = (call.clock)();
        let (ended, outputs) = take(child, call.request, sink)?;
        Ok(Outcome {
            misses: Misses::default(),
            plan: call.plan,
            started_on,
            finished_on,
            duration_ms,
            ended,
            log: LogRecord {
                sha256: log_sha256,
                size_bytes: log_bytes,
                dropped_bytes: log_dropped_bytes,
            },
            outputs,
            environment,
        })
    })
}

fn receive_listener(child: &mut Channel) -> Result<TcpListener, CallError> {
    match child.receive_with_fds()? {
        (Answer::Fault { message }, _) => Err(CallError::Fault(message)),
        (Answer::Listening, fds) => {
            let mut fds = fds.into_iter();
            let listener = fds
                .next()
                .ok_or(protocol("a listener without its descriptor"))?;
            Ok(listener.into())
        }
        (
            Answer::Evidence(_)
            | Answer::Started(_)
            | Answer::Ended { .. }
            | Answer::Output { .. }
            | Answer::Finished { .. }
            | Answer::Compared(_)
            | Answer::Unpacked { .. }
            | Answer::Made
            | Answer::Capabilities(_),
            _,
        ) => Err(protocol("another answer than a listener")),
    }
}

/// A request is sent by value; its parts are plain data.
fn copy(request: &ReplayRequest) -> ReplayRequest {
    ReplayRequest {
        plan: request.plan.clone(),
        tools: request.tools.clone(),
        toolchains: request.toolchains.clone(),
        root: request.root.clone(),
        profile: request.profile.clone(),
        id_base: request.id_base,
        id_slots: request.id_slots,
    }
}

fn take_log(
    child: &mut Channel,
    limit: u64,
    sink: &mut dyn ReplaySink,
) -> Result<(Sha256, u64), CallError> {
    let mut hasher = Hasher::new();
    let mut left = limit;
    while let Some(bytes) = receive_bytes(child)? {
        left = left
            .checked_sub(bytes.len() as u64)
            .ok_or(protocol("more log than the plan allows"))?;
        hasher.update(&bytes);
        sink.on_log(&bytes).map_err(CallError::Sink)?;
    }
    let digests = hasher.finish();
    Ok((digests.sha256, digests.size_bytes))
}

fn take_outputs(
    child: &mut Channel,
    request: &ReplayRequest,
    sink: &mut dyn ReplaySink,
) -> Result<Outputs, CallError> {
    let limits = &request.plan.candidate.limits;
    let (mut outputs, mut left) = (Vec::<OutputFile>::new(), limits.output_bytes);
    loop {
        let (path, size_bytes) = match receive(child)? {
            Answer::Output { path, size_bytes } => (path, size_bytes),
            Answer::Finished {
                ended: Ended::Completed,
            } => return Ok((Ended::Completed, outputs)),
            Answer::Finished { ended } => return Ok((ended, Vec::new())),
            Answer::Listening
            | Answer::Started(_)
            | Answer::Ended { .. }
            | Answer::Evidence(_)
            | Answer::Compared(_)
            | Answer::Unpacked { .. }
            | Answer::Made
            | Answer::Capabilities(_)
            | Answer::Fault { .. } => return Err(protocol("another answer than an output")),
        };
        let sorted = outputs.last().is_none_or(|last| last.path < path);
        left = left
            .checked_sub(size_bytes)
            .filter(|_| sorted && is_inside(&path) && (outputs.len() as u64) < limits.output_files)
            .ok_or(protocol("an output that the plan does not allow"))?;
        let mut to = sink
            .open_output(&path, size_bytes)
            .map_err(CallError::Sink)?;
        let mut hasher = Hasher::new();
        let mut missing = size_bytes;
        while let Some(bytes) = receive_bytes(child)? {
            missing = missing
                .checked_sub(bytes.len() as u64)
                .ok_or(protocol("an output longer than announced"))?;
            hasher.update(&bytes);
            to.write_all(&bytes).map_err(CallError::Sink)?;
        }
        if missing > 0 {
            return Err(protocol("an output shorter than announced"));
        }
        to.flush().map_err(CallError::Sink)?;
        drop(to);
        outputs.push(OutputFile {
            path,
            digests: hasher.finish(),
        });
    }
}

/// Reads a tree, and an artifact where there is one, in a parsing child.
///
/// # Errors
/// When the child fails or `deadline` passes.
pub fn inspect(
    binary: &Path,
    request: &InspectRequest,
    tree: BorrowedFd<'_>,
    artifact: Option<&File>,
    deadline: Duration,
) -> Result<Evidence, CallError> {
    with_child(binary, deadline, &AtomicBool::new(false), |child| {
        let mut fds = vec![tree];
        fds.extend(artifact.map(AsFd::as_fd));
        child.send_with_fds(&Request::Inspect(request.clone()), &fds)?;
        let Answer::Evidence(evidence) = receive(child)? else {
            return Err(protocol("another answer than evidence"));
        };
        Ok(*evidence)
    })
}

/// Compares two files with different bytes in a parsing child. Both are read from their start.
///
/// # Errors
/// When the child fails or `deadline` passes.
pub fn compare(
    binary: &Path,
    file_name: &str,
    published: &File,
    rebuilt: &File,
    limits: ReadLimits,
    deadline: Duration,
) -> Result<Compared, CallError> {
    let file_name = file_name.to_owned();
    with_child(binary, deadline, &AtomicBool::new(false), |child| {
        let request = Request::Compare { file_name, limits };
        child.send_with_fds(&request, &[published.as_fd(), rebuilt.as_fd()])?;
        let Answer::Compared(compared) = receive(child)? else {
            return Err(protocol("another answer than a comparison"));
        };
        Ok(*compared)
    })
}

/// Digests what is in a compressed file, in a parsing child. The file is read from its start.
///
/// # Errors
/// When it unpacks to more than `limits` allow, the child fails or `deadline` passes.
pub fn unpack(
    binary: &Path,
    file: &File,
    limits: ReadLimits,
    deadline: Duration,
) -> Result<Option<Sha256>, CallError> {
    with_child(binary, deadline, &AtomicBool::new(false), |child| {
        child.send_with_fds(&Request::Unpack { limits }, &[file.as_fd()])?;
        let Answer::Unpacked { inside } = receive(child)? else {
            return Err(protocol("another answer than a digest"));
        };
        Ok(inside)
    })
}

/// Makes a root file system: `packages` holds what [`crate::environment::debian`] says, `tar` gets
/// the root, `folder` gets the same unpacked. Digests are the caller's to take.
///
/// # Errors
/// When a program is missing or fails, or `deadline` passes.
pub fn bootstrap(
    binary: &Path,
    request: &BootstrapRequest,
    packages: BorrowedFd<'_>,
    tar: BorrowedFd<'_>,
    folder: BorrowedFd<'_>,
    deadline: Duration,
) -> Result<(), CallError> {
    with_child(binary, deadline, &AtomicBool::new(false), |child| {
        let request = Request::Bootstrap(request.clone());
        child.send_with_fds(&request, &[packages, tar, folder])?;
        receive_made(child)
    })
}

/// Unpacks the tar of a root file system into an empty folder, in a parsing child. What came out is the
/// caller's to check ([`crate::environment::rootfs::check`]).
///
/// # Errors
/// When it is no such tar, holds what a root may not or more than `limits` allow, the folder cannot be
/// filled, or `deadline` passes.
pub fn import(
    binary: &Path,
    tar: &File,
    folder: BorrowedFd<'_>,
    limits: ReadLimits,
    deadline: Duration,
) -> Result<(), CallError> {
    with_child(binary, deadline, &AtomicBool::new(false), |child| {
        child.send_with_fds(&Request::Import { limits }, &[tar.as_fd(), folder])?;
        receive_made(child)
    })
}

fn receive_made(child: &mut Channel) -> Result<(), CallError> {
    match receive(child)? {
        Answer::Made => Ok(()),
        _ => Err(protocol("another answer than that a root is made")),
    }
}

/// Finds out what this machine can do. `tools` maps a tool's name to the command that prints its
/// version ([`crate::environment::version_command`]).
///
/// # Errors
/// When the child fails or `deadline` passes; what the machine lacks is in the answer.
pub fn probe(
    binary: &Path,
    toolchains: &[String],
    tools: &BTreeMap<String, Vec<String>>,
    deadline: Duration,
) -> Result<Capabilities, CallError> {
    let request = Request::Probe {
        toolchains: toolchains.to_vec(),
        tools: tools.clone(),
    };
    with_child(binary, deadline, &AtomicBool::new(false), |child| {
        child.send(&request)?;
        let Answer::Capabilities(capabilities) = receive(child)? else {
            return Err(protocol("another answer than capabilities"));
        };
        Ok(*capabilities)
    })
}

fn receive(child: &mut Channel) -> Result<Answer, CallError> {
    match child.receive_message()? {
        Answer::Fault { message } => Err(CallError::Fault(message)),
        answer => Ok(answer),
    }
}

/// The next piece of a stream; `None` at its end. A fault may come in its place.
fn receive_bytes(child: &mut Channel) -> Result<Option<Vec<u8>>, CallError> {
    match child.receive()? {
        Frame::Bytes(bytes) if bytes.is_empty() => Ok(None),
        Frame::Bytes(bytes) => Ok(Some(bytes)),
        Frame::Json(body, _) => match serde_json::from_slice(&body) {
            Ok(Answer::Fault { message }) => Err(CallError::Fault(message)),
            Ok(_) | Err(_) => Err(protocol("a message where bytes were due")),
        },
    }
}
