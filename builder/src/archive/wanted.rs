//! A file inside an archive that a caller wants to read, such as a manifest.

use super::ArchiveError;

/// A regular file whose content a caller wants to see on the way.
#[derive(Debug)]
pub struct Wanted {
    /// Whether a member's name is the wanted one.
    pub is_wanted: fn(&[u8]) -> bool,
    /// Most bytes to keep of one file; a longer one ends the walk.
    pub max_bytes: u64,
    /// What was found: more than one where names repeat. At most [`Wanted::MOST`] are kept.
    pub found: Vec<Vec<u8>>,
}

impl Wanted {
    /// Most files that are kept; two are enough to see that there is more than one.
    pub const MOST: usize = 2;

    /// Wants the files whose name satisfies `is_wanted`.
    #[must_use]
    pub const fn new(is_wanted: fn(&[u8]) -> bool, max_bytes: u64) -> Self {
        Self {
            is_wanted,
            max_bytes,
            found: Vec::new(),
        }
    }

    /// Whether a file of this name is to be kept.
    pub(super) fn wants(&self, name: &[u8]) -> bool {
        self.found.len() < Self::MOST && (self.is_wanted)(name)
    }

    /// # Errors
    /// When a file is longer than wanted.
    pub(super) const fn fits(&self, bytes: u64) -> Result<(), ArchiveError> {
        if bytes > self.max_bytes {
            return Err(ArchiveError::Limit {
                what: "bytes of a file that must be read",
                limit: self.max_bytes,
            });
        }
        Ok(())
    }
}
