//! The sandbox: a place where a stranger's build can do no harm.
//!
//! Two kinds of child use it. A build child ([`launch`]) starts a first process in new namespaces
//! ([`init`]), which makes the file system ([`mounts`]), takes the source in ([`source`]) and runs the
//! steps; when all are dead, the child becomes the collector ([`collect`]). A parsing child locks
//! itself in ([`confine`]). Host uid 0 is never mapped ([`ids`]).

pub mod confine;
pub mod process;
pub mod terminal;
pub mod wall;

pub(crate) mod launch;
pub(crate) mod spec;

pub(crate) mod apart;
pub(crate) mod cgroup;
pub(crate) mod clock;
pub(crate) mod collect;
pub(crate) mod cpus;
pub(crate) mod ids;
pub(crate) mod init;
pub(crate) mod mounts;
pub(crate) mod proc;
pub(crate) mod sample;
pub(crate) mod source;
pub(crate) mod watch;

pub(crate) mod filter;
pub(crate) mod landlock;
pub(crate) mod seccomp;

pub(crate) mod fault;
pub(crate) mod sys;

pub use crate::profile::{PROFILE, Profile};
pub use fault::SandboxError;

/// First host id that sandboxes of root may use: above what systemd and useradd hand out.
pub const ID_BASE: u32 = 0x7000_0000;
/// The host id of a signer that root starts, and of the next signers after it: beyond those ranges.
pub const SIGNER_ID: u32 = 0x7050_0000;
/// The host id of the children that parse, where root starts them.
pub const PARSER_ID: u32 = 0x7048_0000;
/// How many ranges of 65,536 ids there are from there on: as many sandboxes can be at once.
pub const ID_SLOTS: u32 = 64;
