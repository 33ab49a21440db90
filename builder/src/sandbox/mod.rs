//! The sandbox: a place where a stranger's build can do no harm.
//!
//! Two kinds of child use it. A build child ([`launch`]) starts a first process in new namespaces
//! ([`init`]), which makes the file system ([`mounts`]), takes the source in ([`source`]) and runs the
//! steps; when all are dead, the child becomes the collector ([`collect`]). A parsing child locks
//! itself in ([`confine`]). Host uid 0 is never mapped ([`ids`]).

use serde::{Deserialize, Serialize};

pub mod confine;
pub mod process;

pub(crate) mod launch;
pub(crate) mod spec;

pub(crate) mod cgroup;
pub(crate) mod collect;
pub(crate) mod cpus;
pub(crate) mod ids;
pub(crate) mod init;
pub(crate) mod mounts;
pub(crate) mod sample;
pub(crate) mod source;
pub(crate) mod watch;

pub(crate) mod landlock;
pub(crate) mod seccomp;

pub(crate) mod fault;
pub(crate) mod sys;

pub use fault::SandboxError;

/// Values of settings that must not matter. The second build of a verdict gets other ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Host name.
    pub host_name: String,
    /// The build user's name.
    pub user_name: String,
    /// Whether files of the source are created in descending order of their names, which reverses the
    /// order in which a tmpfs lists a folder.
    pub reverse_order: bool,
}

/// First host id that sandboxes of root may use: above what systemd and useradd hand out.
pub const ID_BASE: u32 = 0x7000_0000;
/// How many ranges of 65,536 ids there are from there on: as many sandboxes can be at once.
pub const ID_SLOTS: u32 = 64;

/// Name and version of what the sandbox fixes, recorded in every attestation.
pub const PROFILE: &str = "countersign-sandbox/v0";

impl Profile {
    /// The profile of a first build.
    #[must_use]
    pub fn first() -> Self {
        Self {
            host_name: "localhost".into(),
            user_name: "build".into(),
            reverse_order: false,
        }
    }

    /// The profile of the build that has to confirm the first one.
    #[must_use]
    pub fn second() -> Self {
        Self {
            host_name: "rebuild".into(),
            user_name: "second".into(),
            reverse_order: true,
        }
    }
}
