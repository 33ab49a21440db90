//! Digests all bytes of a file but those that are set apart, which count as zeros. They lie in its first
//! part, which a walker has looked at before.

use std::io::BufRead;
use std::ops::Range;

use countersign_attest::digest::{Sha256, Sha256Hasher};

use super::ArchiveError;
use super::source::Source;

/// How much of the beginning is looked at, and can be set apart.
pub(super) const HEAD: usize = 1 << 16;

/// Bytes on their way to a digest.
pub(super) struct Masked {
    hasher: Sha256Hasher,
    apart: Vec<Range<usize>>,
    offset: u64,
}

impl Masked {
    /// Takes what is at these places of the first [`HEAD`] bytes as zeros.
    pub(super) fn new(apart: Vec<Range<usize>>) -> Self {
        Self {
            hasher: Sha256Hasher::new(),
            apart,
            offset: 0,
        }
    }

    /// How many bytes were taken.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes what comes before the offset `until`, and shows it to `see` as it is.
    pub(super) fn pass(
        &mut self,
        source: &mut Source<'_>,
        until: u64,
        mut see: impl FnMut(&[u8]),
    ) -> Result<(), ArchiveError> {
        while self.offset < until {
            let bytes = source.fill_buf()?;
            let most = usize::try_from(until - self.offset).unwrap_or(usize::MAX);
            let bytes = bytes.get(..most).unwrap_or(bytes);
            if bytes.is_empty() {
                break;
            }
            see(bytes);
            let length = bytes.len();
            self.take(bytes);
            source.consume(length);
        }
        Ok(())
    }

    /// Takes the next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        match usize::try_from(self.offset) {
            Ok(offset) if offset < HEAD => {
                let is_apart = |at: usize| self.apart.iter().any(|range| range.contains(&at));
                let pairs = bytes.iter().zip(offset..);
                let masked = pairs.map(|(byte, at)| if is_apart(at) { 0 } else { *byte });
                self.hasher.update(&masked.collect::<Vec<u8>>());
            }
            Ok(_) | Err(_) => self.hasher.update(bytes),
        }
        self.offset = self.offset.saturating_add(bytes.len() as u64);
    }

    /// The digest.
    pub(super) fn finish(self) -> Sha256 {
        self.hasher.finish()
    }
}
