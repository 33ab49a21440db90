//! Finds where contents begin to differ. Where walks kept both whole, that is seen at once; of others the
//! first block whose digests differ is known, and the two files are read once more up to these blocks.

use std::collections::BTreeMap;
use std::fs::File;

use countersign_attest::digest::hex;

use super::tree::{FirstDifference, Node};
use super::{Positioned, both_sides};
use crate::archive::{BLOCK_BYTES, Content, Path, ReadLimits, Trace, Window, read_windows};

/// Most contents that are read again.
const MOST: usize = 64;

/// Two contents to read again.
pub(super) struct Pending {
    /// The node, by positions among children from the root down.
    node: Vec<usize>,
    published: Path,
    rebuilt: Path,
    offset: u64,
    length: usize,
}

impl Pending {
    /// `None` where it is known without reading again.
    pub(super) fn new(node: &[usize], a: (&Path, &Content), b: (&Path, &Content)) -> Option<Self> {
        let (offset, length) = match (&a.1.trace, &b.1.trace) {
            (Trace::Whole(_), Trace::Whole(_)) => return None,
            (Trace::Blocks(a), Trace::Blocks(b)) => {
                (first_block(a, b) * BLOCK_BYTES as u64, BLOCK_BYTES)
            }
            // of one there was room for all: as much of the other is in no more
            (Trace::Whole(whole), _) | (_, Trace::Whole(whole)) => (0, whole.len()),
            (Trace::Nothing, _) | (_, Trace::Nothing) => (0, BLOCK_BYTES),
        };
        Some(Self {
            node: node.to_vec(),
            published: a.0.clone(),
            rebuilt: b.0.clone(),
            offset,
            length: length + FirstDifference::SHOWN,
        })
    }
}

/// The first block that differs.
fn first_block(a: &[u64], b: &[u64]) -> u64 {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    same as u64
}

/// Where two contents part that were kept whole.
pub(super) fn of_kept(a: &Content, b: &Content) -> Option<FirstDifference> {
    match (&a.trace, &b.trace) {
        (Trace::Whole(a), Trace::Whole(b)) => first_difference(0, a, b),
        (Trace::Nothing | Trace::Blocks(_) | Trace::Whole(_), _) => None,
    }
}

/// Reads both files again and writes into the tree where contents part. A file that cannot be read as
/// before leaves the tree as it is: it explains less and says nothing wrong.
pub(super) fn fill(
    root: &mut Node,
    (published, rebuilt): (&File, &File),
    limits: &ReadLimits,
    pending: &[Pending],
) {
    let pending = pending.get(..MOST).unwrap_or(pending);
    if pending.is_empty() {
        return;
    }
    let window = |pending: &Pending| Window {
        offset: pending.offset,
        length: pending.length,
        bytes: Vec::new(),
    };
    let wanted = |path: fn(&Pending) -> &Path| -> BTreeMap<Path, Window> {
        let pairs = pending.iter();
        pairs.map(|p| (path(p).clone(), window(p))).collect()
    };
    let (a, b) = both_sides::run(
        || read_windows(Positioned::new(published), limits, wanted(|p| &p.published)),
        || read_windows(Positioned::new(rebuilt), limits, wanted(|p| &p.rebuilt)),
    );
    let (Ok(a), Ok(b)) = (a, b) else {
        return;
    };
    for pair in pending {
        let (Some(a), Some(b)) = (a.get(&pair.published), b.get(&pair.rebuilt)) else {
            continue;
        };
        let node = pair
            .node
            .iter()
            .try_fold(&mut *root, |node, index| node.children.get_mut(*index));
        if let Some(node) = node {
            node.first_difference = first_difference(a.offset, &a.bytes, &b.bytes);
        }
    }
}

/// Where two pieces part that begin at one offset.
fn first_difference(offset: u64, a: &[u8], b: &[u8]) -> Option<FirstDifference> {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let rest = |bytes: &[u8]| {
        let rest = bytes.get(same..).unwrap_or_default();
        hex(rest.get(..FirstDifference::SHOWN).unwrap_or(rest))
    };
    let (published, rebuilt) = (rest(a), rest(b));
    (published != rebuilt).then(|| FirstDifference {
        offset: offset + same as u64,
        published,
        rebuilt,
    })
}
