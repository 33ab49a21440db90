//! The registries that a build may ask: what each says of itself, and the list of them.
//!
//! Adding a registry is one file beside this one and one line in [`REGISTRIES`]. Nothing else here asks
//! which registry it is.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::fault::MirrorError;
use super::request::{NotARequest, Request, What};
use super::session::{Body, Session};
use super::upstream::Registries;
use super::{cargo, npm, pypi};
use crate::publish::front::Pending;

/// All registries.
pub(crate) const REGISTRIES: &[&Registry] = &[&cargo::REGISTRY, &npm::REGISTRY, &pypi::REGISTRY];

/// What a registry says of itself. Two of the same kind are one.
pub(crate) struct Registry {
    /// The type of its package URLs, the first part of its paths here and the first word of its requests.
    pub(crate) kind: &'static str,
    /// The program that asks it in builds.
    pub(crate) client: &'static str,
    /// The configuration key of its endpoint.
    pub(super) key: &'static str,
    /// Reads the parts of a path behind the first; what comes out is still to be checked.
    pub(super) path: fn(&[&str]) -> Result<Option<What>, NotARequest>,
    /// Whether names, versions and files of this registry can be like that.
    pub(super) exists: fn(&What) -> bool,
    /// The form in which two spellings of one version are the same.
    pub(super) version_key: fn(&str) -> String,
    /// In which form a client that accepts this is shown an answer.
    pub(super) shown: fn(&What, Option<&str>) -> Shown,
    /// Asks the registry for what a build may see.
    pub(super) answer: for<'a> fn(Asked<'a>) -> Pending<'a, Result<Body, MirrorError>>,
}

/// A request of a run that asks registries.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) session: &'a Session,
    pub(super) registries: &'a Registries,
    pub(super) request: &'a Request,
}

/// Makes shown bytes of recorded ones; an error says that a cache or a plan is broken.
type Render = fn(&[u8]) -> Result<Vec<u8>, serde_json::Error>;

/// How a recorded body is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    /// Its media type.
    pub(super) media_type: &'static str,
    /// What makes the shown bytes of the recorded ones, where they differ.
    pub(super) render: Option<Render>,
}

impl Shown {
    /// The recorded bytes.
    pub(super) const fn as_is(media_type: &'static str) -> Self {
        Self {
            media_type,
            render: None,
        }
    }
}

impl Registry {
    /// The registry of this kind, unless the mirror has none.
    #[must_use]
    pub(crate) fn of(kind: &str) -> Option<&'static Self> {
        REGISTRIES.iter().copied().find(|known| known.kind == kind)
    }
}

impl PartialEq for Registry {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Registry {}

impl Hash for Registry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)
    }
}
