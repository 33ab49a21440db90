//! The host's side of a replay and of a record run: takes the log and the outputs as they come, and every
//! digest itself.

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use countersign_attest::digest::{Hasher, Sha256};
use countersign_attest::time::Timestamp;

use crate::channel::{Channel, Frame};
use crate::outcome::{Ended, EnvironmentFound, LogRecord, Misses, Outcome, OutputFile};
use crate::plan::{Network, is_inside};

use super::error::{CallError, protocol};
use super::process::{receive, with_child};
use super::{Answer, ReplayRequest, Request, outer_deadline_seconds};

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
