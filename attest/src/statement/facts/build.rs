//! How it was built: one plan, its runs, and what they ran in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::time::Timestamp;

/// How it was built: one plan, its runs, and what they ran in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The plan, by the digest of its bytes.
    pub plan: PlanRef,
    /// Each replay, in order.
    pub runs: Vec<Run>,
    /// What network the replays had.
    pub network: Network,
    /// What the replays could fetch, sorted by request, each once; empty without a network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// `x86_64`, as Rust names it.
    pub architecture: String,
    /// Tools that the plan names, at the versions found.
    pub toolchain: Vec<Tool>,
    /// Digest of the operator's root file system, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Sha256>,
    /// Name and version of the sandbox profile, `name/vN`.
    pub profile: String,
    /// How user ids are mapped.
    pub id_mode: IdMode,
    /// The limits that were enforced: name with its unit to value.
    pub limits: BTreeMap<String, u64>,
    /// How those were enforced for which there is more than one way.
    #[serde(default)]
    pub enforcement: Enforcement,
    /// Which machine of the rebuilder did it, where it has several.
    pub worker: Option<String>,
}

/// A plan by the digest of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRef {
    /// Of the file as first written.
    pub sha256: Sha256,
    /// Its length.
    pub size_bytes: u64,
}

/// A response that a record run was served and that replays were served again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The typed request, `registry:kind/name/…`.
    pub request: String,
    /// Of the bytes that were served.
    pub sha256: Sha256,
    /// Their number.
    pub size_bytes: u64,
}

/// One replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// When the sandbox started.
    pub started_on: Timestamp,
    /// When everything in it was dead.
    pub finished_on: Timestamp,
    /// How it ended.
    pub exit: Exit,
    /// Its log.
    pub log: Log,
}

/// How a replay ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Exit {
    /// Every step exited with 0 and the declared outputs were collected.
    Completed,
    /// A step exited with another code.
    Exited {
        /// Index of the step.
        step: u64,
        /// The code.
        code: i32,
    },
    /// A step was ended by a signal.
    Signalled {
        /// Index of the step.
        step: u64,
        /// The signal's number.
        signal: i32,
    },
    /// A step's program could not be started.
    NotStarted {
        /// Index of the step.
        step: u64,
    },
    /// The time limit passed.
    TimedOut {
        /// Index of the step that was running.
        step: u64,
    },
    /// Another limit was reached.
    LimitReached {
        /// Index of the step that was running.
        step: u64,
        /// Which one.
        limit: LimitKind,
    },
    /// Nothing matched a declared output.
    OutputMissing,
    /// A declared output is not a regular file, or a limit on outputs was passed.
    OutputRejected,
}

/// A limit that ends a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// Time without a byte of log.
    Silence,
    /// Memory.
    Memory,
    /// Processes at once.
    Processes,
    /// Bytes or files on the build's file systems.
    Disk,
}

/// What is known of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Digest of the bytes that were kept.
    pub sha256: Sha256,
    /// Bytes kept.
    pub size_bytes: u64,
    /// Bytes dropped beyond the limit.
    pub dropped_bytes: u64,
}

/// What network a replay had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Loopback, with nobody on it.
    None,
    /// Loopback, with nothing on it but a record of earlier responses: the build's inputs.
    Replay,
}

/// A tool at the version found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// The program's name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// How limits were enforced. The default is the weakest claim: not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Enforcement {
    /// Of memory.
    pub memory: Means,
    /// Of the number of processes.
    pub processes: Means,
    /// Of the number of processors.
    pub cpus: Means,
}

/// What holds a limit.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// Nothing.
    #[default]
    None,
    /// A control group of the first version.
    CgroupV1,
    /// A control group of the second version.
    CgroupV2,
    /// Looking every so often, and ending the build when it has too much.
    Sampled,
    /// A resource limit of each process.
    Rlimit,
    /// Where a process may run, which it can ask to change.
    Affinity,
}

/// How the sandbox maps user ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdMode {
    /// A range of ids that belong to nobody.
    RootRange,
    /// A range of ids that the system lends to an ordinary user.
    UserRange,
    /// One id of an ordinary user.
    SingleId,
}
