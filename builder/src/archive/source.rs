//! A buffered reader that lets a walker look ahead without taking, and digests what is taken.

use std::io::{self, BufRead, Read};

use countersign_attest::digest::{Sha256, Sha256Hasher};

use super::ArchiveError;

const BUFFER: usize = 1 << 16;

/// Bytes to come, some of them buffered.
pub(super) struct Source<'r> {
    reader: &'r mut dyn Read,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
}

impl<'r> Source<'r> {
    pub(super) fn new(reader: &'r mut dyn Read) -> Self {
        Self {
            reader,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            offset: 0,
        }
    }

    /// How many bytes were taken.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes, at most `want` of them and fewer only at the end; they are not taken.
    pub(super) fn peek(&mut self, want: usize) -> io::Result<&[u8]> {
        debug_assert!(want <= BUFFER);
        if self.end - self.start < want {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            while self.end < want {
                let room = self.buffer.get_mut(self.end..).unwrap_or_default();
                match self.reader.read(room) {
                    Ok(0) => break,
                    Ok(read) => self.end += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let seen = want.min(self.end - self.start);
        Ok(self
            .buffer
            .get(self.start..self.start + seen)
            .unwrap_or_default())
    }

    /// Takes exactly these many bytes, or says that `what` ends in the middle.
    pub(super) fn exact<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], ArchiveError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    /// Fills `out`, or says that `what` ends in the middle.
    pub(super) fn fill(&mut self, out: &mut [u8], what: &'static str) -> Result<(), ArchiveError> {
        self.read_exact(out).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::Truncated(what),
            _ => error.into(),
        })
    }
}

impl Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let length = bytes.len().min(out.len());
        let (from, to) = (bytes.get(..length), out.get_mut(..length));
        if let (Some(from), Some(to)) = (from, to) {
            to.copy_from_slice(from);
        }
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.end = self.reader.read(&mut self.buffer)?;
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.end - self.start);
        self.start += amount;
        self.offset = self.offset.saturating_add(amount as u64);
    }
}

/// Digests what a decoder takes from below it.
pub(super) struct Digesting<'s, 'r> {
    source: &'s mut Source<'r>,
    hasher: Sha256Hasher,
}

impl<'s, 'r> Digesting<'s, 'r> {
    pub(super) fn new(source: &'s mut Source<'r>) -> Self {
        Self {
            source,
            hasher: Sha256Hasher::new(),
        }
    }

    /// Digest of the bytes that were taken.
    pub(super) fn finish(self) -> Sha256 {
        self.hasher.finish()
    }
}

impl Read for Digesting<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(out)?;
        self.hasher.update(out.get(..read).unwrap_or_default());
        Ok(read)
    }
}

impl BufRead for Digesting<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        let buffered = self.source.buffer.get(self.source.start..self.source.end);
        let taken = buffered.and_then(|bytes| bytes.get(..amount));
        self.hasher.update(taken.unwrap_or_default());
        self.source.consume(amount);
    }
}
