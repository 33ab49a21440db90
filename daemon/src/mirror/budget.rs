//! How much one build may ask the mirror for, and how much it has.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::fault::MirrorError;

/// Limits of one run. All are of the mirror's own counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Budgets {
    /// Requests, answered or not.
    pub requests: u64,
    /// Distinct names of packages.
    pub names: u64,
    /// Requests without an answer.
    pub misses: u64,
    /// Bytes of all distinct answers together.
    pub bytes: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of one document of a registry.
    pub document_bytes: u64,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            requests: 20_000,
            names: 3000,
            misses: 1000,
            bytes: 4 << 30,
            file_bytes: 1 << 30,
            document_bytes: 64 << 20,
        }
    }
}

/// What one run has used.
#[derive(Debug, Default)]
pub(super) struct Spent {
    requests: u64,
    misses: u64,
    bytes: u64,
    names: BTreeSet<(&'static str, String)>,
}

impl Spent {
    pub(super) fn request(&mut self, budgets: &Budgets) -> Result<(), MirrorError> {
        self.requests += 1;
        within(self.requests, budgets.requests, "requests", "requests")
    }

    pub(super) fn miss(&mut self, budgets: &Budgets) -> Result<(), MirrorError> {
        self.misses += 1;
        within(self.misses, budgets.misses, "misses", "misses")
    }

    pub(super) fn name(
        &mut self,
        budgets: &Budgets,
        (registry, name): (&'static str, &str),
    ) -> Result<(), MirrorError> {
        self.names.insert((registry, name.to_ascii_lowercase()));
        within(self.names.len() as u64, budgets.names, "names", "names")
    }

    pub(super) fn bytes(&mut self, budgets: &Budgets, more: u64) -> Result<(), MirrorError> {
        self.bytes = self.bytes.saturating_add(more);
        within(self.bytes, budgets.bytes, "bytes", "bytes")
    }

    /// Bytes that may still come.
    pub(super) const fn left(&self, budgets: &Budgets) -> u64 {
        budgets.bytes.saturating_sub(self.bytes)
    }
}

const fn within(
    used: u64,
    limit: u64,
    what: &'static str,
    key: &'static str,
) -> Result<(), MirrorError> {
    if used > limit {
        Err(MirrorError::Budget { what, limit, key })
    } else {
        Ok(())
    }
}
