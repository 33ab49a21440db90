//! Finds where contents begin to differ: the first block whose digests differ is known from the walk,
//! and the two files are read once more for these blocks.

use std::collections::BTreeMap;
use std::fs::File;

use countersign_attest::digest::hex;

use super::Positioned;
use super::tree::{FirstDifference, Node};
use crate::archive::{BLOCK_BYTES, Content, Path, ReadLimits, Window, read_windows};

/// Most contents that are read again.
const MOST: usize = 64;

/// Two contents to read again.
pub(super) struct Pending {
    /// The node, by positions among children from the root down.
    node: Vec<usize>,
    published: Path,
    rebuilt: Path,
    offset: u64,
}

impl Pending {
    pub(super) fn new(node: &[usize], a: (&Path, &Content), b: (&Path, &Content)) -> Self {
        Self {
            node: node.to_vec(),
            published: a.0.clone(),
            rebuilt: b.0.clone(),
            offset: first_block(&a.1.blocks, &b.1.blocks) * BLOCK_BYTES as u64,
        }
    }
}

/// The first block that differs. A content of one block has no list.
fn first_block(a: &[u64], b: &[u64]) -> u64 {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    same as u64
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
    let window = |offset: u64| Window {
        offset,
        length: BLOCK_BYTES + FirstDifference::SHOWN,
        bytes: Vec::new(),
    };
    let wanted = |path: fn(&Pending) -> &Path| -> BTreeMap<Path, Window> {
        let pairs = pending.iter();
        pairs.map(|p| (path(p).clone(), window(p.offset))).collect()
    };
    let a = read_windows(Positioned::new(published), limits, wanted(|p| &p.published));
    let b = read_windows(Positioned::new(rebuilt), limits, wanted(|p| &p.rebuilt));
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
            node.first_difference = first_difference(a, b);
        }
    }
}

fn first_difference(a: &Window, b: &Window) -> Option<FirstDifference> {
    let same = a.bytes.iter().zip(&b.bytes).take_while(|(a, b)| a == b);
    let same = same.count();
    let rest = |window: &Window| {
        let rest = window.bytes.get(same..).unwrap_or_default();
        hex(rest.get(..FirstDifference::SHOWN).unwrap_or(rest))
    };
    let (published, rebuilt) = (rest(a), rest(b));
    (published != rebuilt).then(|| FirstDifference {
        offset: a.offset + same as u64,
        published,
        rebuilt,
    })
}
