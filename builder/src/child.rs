//! Children of the host: the requests that they take, how they are started, and where they begin.
//!
//! A child is this same binary, re-executed with one word as its argument before any runtime has
//! started; it is single-threaded. It takes exactly one request on its standard input, answers, and
//! exits. Standard error carries our faults as text. Build children (`replay`) and parsing children
//! (`inspect`, `compare`) are different requests with different privileges: a parsing child locks
//! itself in ([`crate::sandbox::confine`]) before it reads its first untrusted byte.

use std::collections::BTreeMap;

use countersign_attest::digest::Sha256;
use serde::{Deserialize, Serialize};

use crate::archive::ReadLimits;
use crate::compare::Compared;
use crate::environment::Capabilities;
use crate::environment::debian::BootstrapRequest;
use crate::outcome::{Ended, EnvironmentFound};
use crate::plan::Limits;
use crate::recipe::{Evidence, InspectRequest};

mod call;
mod error;
mod process;
mod replay;
mod serve;

pub use crate::sandbox::spec::ReplayRequest;
pub use call::{bootstrap, compare, import, inspect, probe, unpack};
pub use error::CallError;
pub use replay::{ReplayCall, ReplaySink, record, replay};
pub use serve::{serve, serve_without};

/// The argument that makes the binary a builder child.
pub const ARGUMENT: &str = "builder-child";

/// The first message to a builder child.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Reads a source tree and a published artifact. Descriptors: the tree's folder, then the
    /// artifact where there is one. Answered by one [`Answer::Evidence`].
    Inspect(InspectRequest),
    /// Runs the steps for what they ask the mirror, and collects nothing. Descriptor: the tree's
    /// folder. Answered as [`Request::Replay`], without an output.
    Record(Box<ReplayRequest>),
    /// Builds. Descriptor: the tree's folder. Answered by [`Answer::Listening`] where the plan's
    /// network is the mirror, then [`Answer::Started`], then frames of bytes
    /// with the log as it comes, ended by an empty one, then [`Answer::Ended`], then for each output
    /// an [`Answer::Output`] and its bytes, ended by an empty frame, then [`Answer::Finished`].
    Replay(Box<ReplayRequest>),
    /// Compares two files. Descriptors: published, then rebuilt. Answered by [`Answer::Compared`].
    Compare {
        /// The published file's name, which decides nothing but the words.
        file_name: String,
        /// What the comparison may use.
        limits: ReadLimits,
    },
    /// Digests what is in a compressed file. Descriptor: the file. Answered by [`Answer::Unpacked`].
    Unpack {
        /// What reading may use.
        limits: ReadLimits,
    },
    /// Unpacks the tar of a root file system. Descriptors: the tar, then an empty folder. Answered by
    /// [`Answer::Made`].
    Import {
        /// What unpacking may use.
        limits: ReadLimits,
    },
    /// Makes a root file system from packages. Descriptors: the folder of the packages, a file that
    /// becomes the root's tar, a folder that it is unpacked into. Answered by [`Answer::Made`].
    Bootstrap(BootstrapRequest),
    /// Says what this machine can do, by doing it. Answered by [`Answer::Capabilities`].
    Probe {
        /// Folders with toolchains beside `/usr`.
        toolchains: Vec<String>,
        /// Tools whose versions are wanted, each with the command that prints it.
        tools: BTreeMap<String, Vec<String>>,
    },
}

/// A child's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// See [`Request::Inspect`].
    Evidence(Box<Evidence>),
    /// Something listens at the mirror's address inside. Descriptor: the listener.
    Listening,
    /// The sandbox is up; steps begin.
    Started(EnvironmentFound),
    /// Everything in the sandbox is dead.
    Ended {
        /// How.
        ended: Ended,
        /// Log bytes beyond [`Limits::log_bytes`].
        log_dropped_bytes: u64,
        /// Milliseconds between start and end.
        duration_ms: u64,
    },
    /// A collected file follows.
    Output {
        /// Path relative to the plan's `subdir`.
        path: String,
        /// Its length as the system reported it.
        size_bytes: u64,
    },
    /// All outputs were sent; `ended` is final now.
    Finished {
        /// [`Ended::Completed`], or what the collector found.
        ended: Ended,
    },
    /// See [`Request::Bootstrap`] and [`Request::Import`].
    Made,
    /// See [`Request::Compare`].
    Compared(Box<Compared>),
    /// See [`Request::Unpack`]. It only ever refuses something, so a child's word is enough.
    Unpacked {
        /// The digest; `None` where the file is not compressed or cannot be read.
        inside: Option<Sha256>,
    },
    /// See [`Request::Probe`].
    Capabilities(Box<Capabilities>),
    /// The child could not do its work: our trouble, nothing about the release.
    Fault {
        /// What, with its causes.
        message: String,
    },
}

/// The outer bound on a child: its own limit and some grace, after which the host kills it.
#[must_use]
pub const fn outer_deadline_seconds(limits: &Limits) -> u64 {
    limits.time_seconds.saturating_add(30)
}
