//! The host's side of requests with one answer: starts a child, asks it one thing, bounds its time.
//!
//! All calls block. The kernel kills a child when the *thread* that started it ends, and a call
//! blocks that very thread, so a child never outlives its call; a host that is killed takes its
//! children, and all that they sandboxed, with it. Nothing that a child says is believed beyond what
//! its request can yield: it may have been taken over by what it read.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use countersign_attest::digest::Sha256;

use crate::archive::ReadLimits;
use crate::channel::Channel;
use crate::compare::Compared;
use crate::environment::Capabilities;
use crate::environment::debian::BootstrapRequest;
use crate::recipe::{Evidence, InspectRequest};

use super::error::{CallError, protocol};
use super::process::{receive, with_child};
use super::{Answer, Request};

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
