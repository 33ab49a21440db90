//! What a walk may use, and what is left of it on the way. Every limit is an argument.

use std::cell::Cell;

use super::ArchiveError;

/// What reading an archive, and telling of it, may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadLimits {
    /// Most members of one archive; and of all archives inside its members together.
    pub members: u64,
    /// Most bytes of all members of one archive together, uncompressed; and of all archives inside
    /// its members together.
    pub total_bytes: u64,
    /// Longest member name in bytes.
    pub name_bytes: u64,
    /// Most bytes of names and headers of one archive together, and again of all archives inside its
    /// members: what a walk keeps in memory.
    pub metadata_bytes: u64,
    /// Most containers inside one another that are looked into; a `.tar.gz` is two.
    pub depth: u64,
    /// Largest dictionary or window of a compressed stream; the format may add a few megabytes.
    pub dictionary_bytes: u64,
    /// Most bytes of contents that are kept, to find where two contents part without a second reading.
    pub kept_bytes: u64,
    /// Longest text of a package about itself that is kept for a normalization.
    pub text_bytes: u64,
    /// Most differing members that are listed; the rest is counted.
    pub listed: u64,
    /// Most nodes of a difference tree; the rest is counted.
    pub nodes: u64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            members: 200_000,
            total_bytes: 8 << 30,
            name_bytes: 4096,
            metadata_bytes: 256 << 20,
            depth: 8,
            dictionary_bytes: 128 << 20,
            kept_bytes: 8 << 20,
            text_bytes: 8 << 20,
            listed: 100,
            nodes: 1000,
        }
    }
}

/// What is left of the limits. Layers that read one another share it, so it counts behind `&self`.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    pub(super) limits: &'a ReadLimits,
    members: Cell<u64>,
    metadata_bytes: Cell<u64>,
    total_bytes: Cell<u64>,
}

impl<'a> Budget<'a> {
    pub(super) const fn new(limits: &'a ReadLimits) -> Self {
        Self {
            limits,
            members: Cell::new(limits.members),
            metadata_bytes: Cell::new(limits.metadata_bytes),
            total_bytes: Cell::new(limits.total_bytes),
        }
    }

    pub(super) fn member(&self) -> Result<(), ArchiveError> {
        take(&self.members, 1, "members", self.limits.members)
    }

    pub(super) fn metadata(&self, bytes: u64) -> Result<(), ArchiveError> {
        let limit = self.limits.metadata_bytes;
        take(&self.metadata_bytes, bytes, "bytes of headers", limit)
    }

    pub(super) fn content(&self, bytes: u64) -> Result<(), ArchiveError> {
        let limit = self.limits.total_bytes;
        take(&self.total_bytes, bytes, "bytes of content", limit)
    }

    pub(super) const fn name(&self, name: &[u8]) -> Result<(), ArchiveError> {
        if name.len() as u64 > self.limits.name_bytes {
            return Err(ArchiveError::Limit {
                what: "bytes in a name",
                limit: self.limits.name_bytes,
            });
        }
        Ok(())
    }
}

/// What was taken once is gone: after a limit was passed, nothing more is to be had.
fn take(left: &Cell<u64>, want: u64, what: &'static str, limit: u64) -> Result<(), ArchiveError> {
    let rest = left.get().checked_sub(want);
    left.set(rest.unwrap_or(0));
    rest.map(drop).ok_or(ArchiveError::Limit { what, limit })
}
