//! Inflates one deflate stream and knows where it ended. Never reads past the stream's last byte.
//!
//! flate2's own readers report a stream that is cut off as an ordinary end; here it is an error.

use std::io::{self, BufRead, Read};

use countersign_attest::digest::{Sha256, Sha256Hasher};
use flate2::{Decompress, FlushDecompress, Status};

use super::ArchiveError;

/// A reader of what a deflate stream holds, over the compressed bytes.
pub(super) struct Inflate<B> {
    inner: B,
    state: Decompress,
    compressed: Sha256Hasher,
    ended: bool,
}

impl<B: BufRead> Inflate<B> {
    pub(super) fn new(inner: B) -> Self {
        Self {
            inner,
            state: Decompress::new(false),
            compressed: Sha256Hasher::new(),
            ended: false,
        }
    }

    /// How many compressed bytes were taken.
    pub(super) fn taken(&self) -> u64 {
        self.state.total_in()
    }

    /// Digest of the compressed bytes, to say whether two streams are the same.
    pub(super) fn digest(self) -> Sha256 {
        self.compressed.finish()
    }
}

impl<B: BufRead> Read for Inflate<B> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.ended || out.is_empty() {
            return Ok(0);
        }
        loop {
            let input = self.inner.fill_buf()?;
            let (seen_in, seen_out) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(input, out, FlushDecompress::None)
                .map_err(|_| {
                    ArchiveError::malformed("a damaged deflate stream", b"compressed data")
                })?;
            let consumed = usize::try_from(self.state.total_in() - seen_in).unwrap_or(input.len());
            let produced = usize::try_from(self.state.total_out() - seen_out).unwrap_or(out.len());
            let at_end = input.is_empty();
            self.compressed
                .update(input.get(..consumed).unwrap_or(input));
            self.inner.consume(consumed);
            match status {
                Status::StreamEnd => {
                    self.ended = true;
                    return Ok(produced);
                }
                Status::Ok | Status::BufError if produced > 0 => return Ok(produced),
                Status::Ok | Status::BufError if at_end => {
                    return Err(ArchiveError::Truncated("deflate stream").into());
                }
                Status::Ok | Status::BufError if consumed == 0 => {
                    let error =
                        ArchiveError::malformed("a damaged deflate stream", b"compressed data");
                    return Err(error.into());
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }
}
