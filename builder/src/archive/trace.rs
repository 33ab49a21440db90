//! What is remembered of contents, to find where two of them part: all of it while there is room, then a
//! digest of each block, by which the place is found in a second reading.

use std::hash::{BuildHasher, RandomState};

/// The key under which blocks of content are digested: random, so that nobody can prepare contents
/// whose blocks seem the same. Both sides of a comparison must use one key.
#[derive(Debug, Clone, Default)]
pub struct BlockKey(RandomState);

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 1 << 14;

/// What is remembered of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trace {
    /// Nothing: parts of it are compared instead, or it is only read again.
    Nothing,
    /// All of it.
    Whole(Box<[u8]>),
    /// Digests of its blocks under the walk's key.
    Blocks(Vec<u64>),
}

/// A trace in the making.
pub(super) struct Tracing<'k> {
    key: &'k BlockKey,
    /// All so far, or what does not fill a block yet.
    bytes: Vec<u8>,
    blocks: Option<Vec<u64>>,
}

impl<'k> Tracing<'k> {
    pub(super) const fn new(key: &'k BlockKey) -> Self {
        Self {
            key,
            bytes: Vec::new(),
            blocks: None,
        }
    }

    /// Takes the next bytes, as they are while they fit into `room`, and says what room is left.
    pub(super) fn add(&mut self, more: &[u8], room: u64) -> u64 {
        self.bytes.extend_from_slice(more);
        let left = match self.blocks {
            Some(_) => return self.digest(room),
            None => room.checked_sub(more.len() as u64),
        };
        left.unwrap_or_else(|| {
            self.blocks = Some(Vec::new());
            let before = self.bytes.len() - more.len(); // they were added just now
            self.digest(room + before as u64)
        })
    }

    fn digest(&mut self, room: u64) -> u64 {
        let blocks = self.blocks.get_or_insert_default();
        let whole = self.bytes.len() - self.bytes.len() % BLOCK_BYTES;
        for block in self.bytes.drain(..whole).as_slice().chunks(BLOCK_BYTES) {
            blocks.push(self.key.0.hash_one(block));
        }
        room
    }

    pub(super) fn finish(self) -> Trace {
        match self.blocks {
            None => Trace::Whole(self.bytes.into()),
            Some(mut blocks) => {
                if !self.bytes.is_empty() {
                    blocks.push(self.key.0.hash_one(&*self.bytes));
                }
                Trace::Blocks(blocks)
            }
        }
    }

    /// What room it took.
    pub(super) fn abandon(self) -> u64 {
        match self.blocks {
            None => self.bytes.len() as u64,
            Some(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_kept_and_the_rest_is_digested() {
        let key = BlockKey::default();
        let trace = |pieces: &[&[u8]], mut room: u64| {
            let mut tracing = Tracing::new(&key);
            for piece in pieces {
                room = tracing.add(piece, room);
            }
            (tracing.finish(), room)
        };
        assert_eq!(
            trace(&[b"ab", b"c"], 3),
            (Trace::Whole((*b"abc").into()), 0)
        );
        // too long: what room it had taken is free again, whatever the pieces
        let long = vec![7; 2 * BLOCK_BYTES + 1];
        let (one, room) = trace(&[&long], 9);
        let Trace::Blocks(blocks) = &one else {
            panic!("{one:?}");
        };
        assert_eq!((blocks.len(), room), (3, 9));
        assert_eq!(blocks[0], blocks[1]);
        assert_eq!(trace(&[&long[..5], &long[5..]], 9), (one, 9));
    }
}
