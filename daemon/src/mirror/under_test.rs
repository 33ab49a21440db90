//! What a build must not be served: the release under test, by names, versions and digests.

use std::collections::BTreeSet;

use countersign_attest::digest::Sha256;
use serde::{Deserialize, Serialize};

use super::registry::Registry;
use super::request::normalized;

/// What is compared: a build that could fetch it would prove nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnderTest {
    /// Ecosystem and name of packages of which no version is served.
    names: BTreeSet<(String, String)>,
    /// Ecosystem, name and version, as [`Self::add_version`] writes them.
    versions: BTreeSet<(String, String, String)>,
    /// Digests of published files, and of what is in them where they are compressed.
    digests: BTreeSet<Sha256>,
}

impl UnderTest {
    /// Adds every version of a package. Ecosystems are those of package URLs; of one that the mirror
    /// does not serve nothing need be refused. Names count as the same where they are normalized alike,
    /// in ecosystems too that would tell them apart: that refuses more, never less.
    pub(crate) fn add_name(&mut self, ecosystem: &str, name: &str) {
        self.names.insert((ecosystem.to_owned(), normalized(name)));
    }

    /// Adds all files of one version of a package.
    pub(crate) fn add_version(&mut self, ecosystem: &str, name: &str, version: &str) {
        let Some(registry) = Registry::of(ecosystem) else {
            return;
        };
        let version = (registry.version_key)(version);
        self.versions
            .insert((ecosystem.to_owned(), normalized(name), version));
    }

    /// Adds a file, by its digest or by that of what is in it.
    pub(crate) fn add_digest(&mut self, sha256: Sha256) {
        self.digests.insert(sha256);
    }

    /// Whether this version of a package is under test.
    pub(super) fn has_version(&self, registry: &Registry, name: &str, version: &str) -> bool {
        let named = (registry.kind.to_owned(), normalized(name));
        if self.names.contains(&named) {
            return true;
        }
        let (kind, name) = named;
        let version = (registry.version_key)(version);
        self.versions.contains(&(kind, name, version))
    }

    /// Whether a file is under test.
    pub(super) fn has_digest(&self, sha256: &Sha256) -> bool {
        self.digests.contains(sha256)
    }
}
