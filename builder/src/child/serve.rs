//! The child's side: takes one request, locks itself in as that request needs, answers, ends.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;

use crate::channel::{Channel, ChannelError};
use crate::environment::{debian, host, tarball};
use crate::outcome::{Ended, EnvironmentFound, IdMode};
use crate::plan::PlanError;
use crate::sandbox::confine::{self, Confinement, Isolation, Place};
use crate::sandbox::fault::in_one_line;
use crate::sandbox::launch::{self, Audience, Found};
use crate::sandbox::spec::Spec;
use crate::sandbox::wall::Wall;
use crate::sandbox::{self, SandboxError, collect};

use super::{Answer, ReplayRequest, Request};

/// Address space of a parsing child. Containers are read as streams, so this is far more than any
/// needs, and far less than a bomb would take.
const PARSING_MEMORY: u64 = 4 << 30;

/// Why a child could not do its work.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    /// The sandbox or the confinement could not be made.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The host is gone or speaks another protocol.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The plan in the request breaks its own rules.
    #[error("refusing to replay a plan")]
    Plan(#[from] PlanError),
    /// The plan and the request do not agree on what is built in.
    #[error("a plan and a request that do not agree on a root file system")]
    Root,
    /// A request came without its descriptors.
    #[error("a request without its descriptors")]
    Descriptors,
    /// Reading a tree and an artifact failed.
    #[error("inspecting: {0}")]
    Inspect(String),
    /// Unpacking a root failed.
    #[error("{0}")]
    Import(String),
}

/// Does the work of a builder child. `main` calls it before anything else when its first argument
/// is [`super::ARGUMENT`], and exits with what it returns.
#[must_use]
pub fn serve() -> ExitCode {
    serve_request(None)
}

/// The same, with one wall of a build's sandbox left out, for the control arms of the sandbox's own
/// tests: the product never calls it, and no request can ask for it.
#[doc(hidden)]
#[must_use]
pub fn serve_without(wall: Wall) -> ExitCode {
    serve_request(Some(wall))
}

fn serve_request(without: Option<Wall>) -> ExitCode {
    let entered = confine::enter();
    let Ok(mut channel) = Channel::from_stdin() else {
        return ExitCode::from(2); // started by hand
    };
    let done = entered
        .map_err(ServeError::from)
        .and_then(|()| answer(&mut channel, without));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let message = in_one_line(&error);
            let _ = channel.send(&Answer::Fault { message }); // a host that is gone has no use for it
            ExitCode::from(1)
        }
    }
}

fn answer(channel: &mut Channel, without: Option<Wall>) -> Result<(), ServeError> {
    let (request, fds): (Request, _) = channel.receive_with_fds()?;
    let mut fds = fds.into_iter();
    let mut next = || fds.next().ok_or(ServeError::Descriptors);
    match request {
        Request::Inspect(request) => {
            let (tree, artifact) = (next()?, next().ok().map(File::from));
            confine_parser(&[Place::Fd(tree.as_fd())])?;
            let evidence = crate::recipe::inspect(&request, tree.as_fd(), artifact)
                .map_err(|error| ServeError::Inspect(in_one_line(&error)))?;
            channel.send(&Answer::Evidence(Box::new(evidence)))?;
        }
        Request::Compare { limits, .. } => {
            let (published, rebuilt) = (File::from(next()?), File::from(next()?));
            confine_parser(&[])?;
            let compared = crate::compare::compare(published, rebuilt, &limits);
            channel.send(&Answer::Compared(Box::new(compared)))?;
        }
        Request::Unpack { limits } => {
            let file = File::from(next()?);
            confine_parser(&[])?;
            let inside = crate::archive::unpacked::digest(file, &limits)
                .map_err(|error| ServeError::Inspect(in_one_line(&error)))?;
            channel.send(&Answer::Unpacked { inside })?;
        }
        Request::Record(request) => {
            let spec = spec(&request, without)?;
            build(&request, &spec, &next()?, Product::Nothing, channel)?;
        }
        Request::Replay(request) => {
            let spec = spec(&request, without)?;
            build(&request, &spec, &next()?, Product::Outputs, channel)?;
        }
        Request::Import { limits } => {
            let (tar, folder) = (File::from(next()?), next()?);
            let place = [Place::Fd(folder.as_fd())];
            confine::parsing(&Confinement {
                read: &place,
                write: &place,
                network: Isolation::Nothing,
                user: None, // what it makes belongs to whoever started the host
                memory_bytes: Some(PARSING_MEMORY),
                file_bytes: Some(limits.total_bytes),
            })?;
            tarball::unpack(tar, folder.as_fd(), &limits)
                .map_err(|error| ServeError::Import(in_one_line(&error)))?;
            channel.send(&Answer::Made)?;
        }
        Request::Bootstrap(request) => {
            let (packages, tar, folder) = (next()?, File::from(next()?), next()?);
            debian::bootstrap(&request, &packages, &tar, &folder)?;
            channel.send(&Answer::Made)?;
        }
        Request::Probe { toolchains, tools } => {
            let capabilities = host::probe(&toolchains, &tools);
            channel.send(&Answer::Capabilities(Box::new(capabilities)))?;
        }
    }
    Ok(())
}

fn confine_parser(read: &[Place<'_>]) -> Result<(), SandboxError> {
    confine::parsing(&Confinement {
        read,
        write: &[],
        network: Isolation::Nothing,
        user: Some(sandbox::PARSER_ID),
        memory_bytes: Some(PARSING_MEMORY),
        file_bytes: Some(0),
    })
    .map(drop)
}

/// What leaves the sandbox beside the log.
#[derive(Debug, Clone, Copy)]
enum Product {
    /// Of a record run: all that it is for is what it asked the mirror.
    Nothing,
    /// Of a replay: the declared outputs.
    Outputs,
}

fn spec(request: &ReplayRequest, without: Option<Wall>) -> Result<Spec, PlanError> {
    request.plan.candidate.check()?;
    let spec = Spec::of_replay(request);
    Ok(Spec { without, ..spec })
}

fn build(
    request: &ReplayRequest,
    spec: &Spec,
    tree: &OwnedFd,
    product: Product,
    channel: &mut Channel,
) -> Result<(), ServeError> {
    let candidate = &request.plan.candidate;
    if candidate.environment.has_own_root() != request.root.is_some() {
        return Err(ServeError::Root);
    }
    let mut host = Host {
        request,
        channel,
        mode: None,
    };
    let source = (tree.as_fd(), request.plan.source.tree_sha256);
    let dead = launch::run(spec, Some(source), &mut host)?;
    let mode = host.mode;
    channel.send_bytes(b"")?;
    channel.send(&Answer::Ended {
        ended: dead.ended.clone(),
        log_dropped_bytes: dead.log_dropped_bytes,
        duration_ms: u64::try_from(dead.duration.as_millis()).unwrap_or(u64::MAX),
    })?;
    let ended = match (product, &dead.ended, mode) {
        (Product::Outputs, Ended::Completed, Some(mode)) if !candidate.outputs.is_empty() => {
            collect::become_collector(&dead, mode)?;
            collect::collect(
                dead.build.as_fd(),
                &spec.profile.source,
                candidate,
                &mut Sent(channel),
            )?
        }
        (Product::Outputs | Product::Nothing, _, _) => dead.ended,
    };
    channel.send(&Answer::Finished { ended })?;
    Ok(())
}

/// What is collected, sent over the channel.
struct Sent<'a>(&'a mut Channel);

impl collect::Take for Sent<'_> {
    fn output(&mut self, path: &str, size_bytes: u64) -> Result<(), SandboxError> {
        let path = path.to_owned();
        Ok(self.0.send(&Answer::Output { path, size_bytes })?)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), SandboxError> {
        Ok(self.0.send_bytes(bytes)?)
    }
}

/// The host, listening over the channel.
struct Host<'a> {
    request: &'a ReplayRequest,
    channel: &'a mut Channel,
    mode: Option<IdMode>,
}

impl Audience for Host<'_> {
    fn hang_up(&self) -> Option<BorrowedFd<'_>> {
        Some(self.channel.as_fd())
    }

    fn listening(&mut self, listener: OwnedFd) -> Result<(), SandboxError> {
        let fds = [listener.as_fd()];
        Ok(self.channel.send_with_fds(&Answer::Listening, &fds)?)
    }

    fn started(&mut self, found: Found) -> Result<(), SandboxError> {
        self.mode = Some(found.mode);
        self.channel.send(&Answer::Started(EnvironmentFound {
            architecture: std::env::consts::ARCH.to_owned(),
            tools: self.request.tools.clone(),
            profile: sandbox::PROFILE.to_owned(),
            id_mode: found.mode,
            limits: self.request.plan.candidate.limits,
            enforcement: found.enforcement,
            root: self.request.plan.candidate.environment.rootfs(),
        }))?;
        Ok(())
    }

    fn log(&mut self, bytes: &[u8]) -> Result<(), SandboxError> {
        Ok(self.channel.send_bytes(bytes)?)
    }
}
