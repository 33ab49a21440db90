//! The mirror: the one, recorded door through which a build reaches registries (DESIGN section 8).
//!
//! A child of this same binary with the argument [`ARGUMENT`], without keys and without the store. It
//! serves a listener inside a sandbox: in a record run from registries as of a moment, in a replay from
//! the record alone. Nothing of a build's request goes upstream: a request is read into a typed value
//! ([`request`]) and what is asked is built anew. The host's handle is [`Mirror`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use countersign_attest::time::Timestamp;
use countersign_builder::plan::PlanInput;
use serde::{Deserialize, Serialize};

use crate::trouble::Trouble;

mod fault;
pub(crate) mod request;

mod cargo;
mod npm;
mod pypi;

mod registry;
mod under_test;

mod budget;
mod cache;
mod head;
mod server;
mod session;
mod upstream;

pub(crate) mod child;
mod handle;

pub(crate) use budget::Budgets;
pub(crate) use handle::Mirror;
pub(crate) use registry::{REGISTRIES, Registry};
pub(crate) use under_test::UnderTest;

/// The argument that makes the binary a mirror.
pub(crate) const ARGUMENT: &str = "mirror-child";

/// The first message to a mirror. Descriptor: the listener, but for [`Mode::Gather`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// What it answers from.
    pub mode: Mode,
    /// The folder of verified answers, which exists; the only one that it may write to.
    pub cache: PathBuf,
    /// How much a build may ask for.
    pub budgets: Budgets,
}

/// What a mirror answers from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Registries, as of a moment.
    Record(Upstreams),
    /// These inputs and nothing else; their bytes are in the cache.
    Replay {
        /// Sorted by request.
        inputs: Vec<PlanInput>,
    },
    /// Nobody: asks registries for inputs of a plan that came from elsewhere, so that a replay finds
    /// them in the cache.
    Gather {
        /// Whom to ask.
        upstreams: Upstreams,
        /// What is wanted.
        inputs: Vec<PlanInput>,
    },
}

/// Which registries are asked, and what of them may be seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upstreams {
    /// What is younger was not there.
    pub as_of: Timestamp,
    /// Registries by their kinds.
    pub endpoints: BTreeMap<String, String>,
    /// Hosts beside the registries' own to which a redirect may lead, and that may be at private
    /// addresses.
    pub allowed_hosts: Vec<String>,
    /// Whether `http:` may leave this machine.
    pub allow_http: bool,
    /// What a build must not be served.
    pub under_test: UnderTest,
}

/// What the host says to a mirror that serves.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Order {
    /// Answer with a [`Report`] and end.
    Stop,
}

/// What a mirror says to the host.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
enum Answer {
    /// It serves.
    Ready,
    /// What was served. The last message.
    Report(Report),
    /// It could not do its work.
    Fault {
        /// What, with its causes.
        message: String,
    },
}

/// What a mirror did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// What was served (or gathered), sorted by request, each once: the input list of a plan.
    pub inputs: Vec<PlanInput>,
    /// Requests without an answer, sorted: what does not exist, was not there yet, is under test, or in
    /// a replay is not in the record. Not typed where they are outside the grammar.
    pub unanswered: Vec<String>,
    /// Indexes of registries that do not say when versions were published, or cannot mean what they
    /// say: these were not as of the moment. Sorted.
    pub undated: Vec<String>,
    /// The first trouble: then nothing that the build came to counts.
    pub trouble: Option<Told>,
}

/// Trouble of a mirror, told to its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// What kind.
    pub kind: TroubleKind,
    /// What happened, with its causes.
    pub message: String,
}

/// Kinds of trouble, for programs and for who has to do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TroubleKind {
    /// A build asks for more than the operator allows.
    Budget,
    /// No registry is known.
    RegistryUnknown,
    /// A registry has no times.
    RegistryWithoutTimes,
    /// A registry contradicts itself.
    Registry,
    /// A registry does not answer.
    RegistryUnreachable,
    /// Our own disk.
    Cache,
}

impl TroubleKind {
    /// The stable word for programs.
    #[must_use]
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Budget => "mirror-budget",
            Self::RegistryUnknown => "registry-unknown",
            Self::RegistryWithoutTimes => "registry-without-times",
            Self::Registry => "registry",
            Self::RegistryUnreachable => "registry-unreachable",
            Self::Cache => "mirror-cache",
        }
    }
}

impl From<Told> for Trouble {
    fn from(told: Told) -> Self {
        let error = anyhow::anyhow!(told.message);
        match told.kind {
            // trying the same build again would ask for as much
            TroubleKind::Budget => Self::refused(told.kind.code(), error),
            TroubleKind::RegistryUnknown
            | TroubleKind::RegistryWithoutTimes
            | TroubleKind::Registry
            | TroubleKind::RegistryUnreachable
            | TroubleKind::Cache => Self::fault(told.kind.code(), error),
        }
    }
}

#[cfg(test)]
mod tests;
