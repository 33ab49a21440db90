//! Merkle trees of transparency logs (RFC 6962 section 2.1): leaf digests and inclusion proofs, verified.
//!
//! Only a reader's half: nothing here builds a tree or says which root is to be believed.

use crate::digest::Sha256;

/// Longest proof of a tree that can exist: one digest for each bit of a size.
const MAX_PROOF: usize = 63;

/// The digest of a leaf.
#[must_use]
pub fn leaf(entry: &[u8]) -> Sha256 {
    Sha256::of(&[&[0], entry].concat())
}

fn node(left: &Sha256, right: &Sha256) -> Sha256 {
    Sha256::of(&[&[1], &left.as_bytes()[..], &right.as_bytes()[..]].concat())
}

/// A tree as a checkpoint has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// How many leaves it has.
    pub size: u64,
    /// The digest of all of them.
    pub root: Sha256,
}

impl Tree {
    /// Whether `leaf` stands at `index` of this tree, as `proof` has to show (RFC 9162 section 2.1.3.2).
    #[must_use]
    pub fn includes(&self, leaf: &Sha256, index: u64, proof: &[Sha256]) -> bool {
        if index >= self.size || proof.len() > MAX_PROOF {
            return false;
        }
        let (mut at, mut last) = (index, self.size - 1);
        let mut digest = *leaf;
        for sibling in proof {
            if last == 0 {
                return false; // longer than the tree is high
            }
            if at & 1 == 1 || at == last {
                digest = node(sibling, &digest);
                while at & 1 == 0 && at != 0 {
                    at >>= 1;
                    last >>= 1;
                }
            } else {
                digest = node(&digest, sibling);
            }
            at >>= 1;
            last >>= 1;
        }
        last == 0 && digest == self.root
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root and one leaf's proof, the slow way of RFC 6962 section 2.1.
    fn slow(leaves: &[Sha256], index: Option<usize>) -> (Sha256, Vec<Sha256>) {
        let [only] = leaves else {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            let side = index.map(|index| index < split);
            let (l, mut proof) = slow(left, index.filter(|_| side == Some(true)));
            let (r, other) = slow(
                right,
                index.filter(|_| side == Some(false)).map(|i| i - split),
            );
            match side {
                Some(true) => proof.push(r),
                Some(false) => {
                    proof = other;
                    proof.push(l);
                }
                None => {}
            }
            return (node(&l, &r), proof);
        };
        (*only, Vec::new())
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proven_and_nothing_else_is() {
        let leaves: Vec<Sha256> = (0u16..70).map(|n| leaf(&n.to_be_bytes())).collect();
        for size in 1..=leaves.len() {
            let (root, _) = slow(&leaves[..size], None);
            let tree = Tree {
                size: size as u64,
                root,
            };
            for index in 0..size {
                let (_, proof) = slow(&leaves[..size], Some(index));
                let at = index as u64;
                assert!(tree.includes(&leaves[index], at, &proof), "{index}/{size}");
                let other = leaves[(index + 1) % leaves.len()];
                assert!(!tree.includes(&other, at, &proof));
                assert!(!tree.includes(&leaves[index], at + 1, &proof));
                if let Some(short) = proof.len().checked_sub(1) {
                    assert!(!tree.includes(&leaves[index], at, &proof[..short]));
                    assert!(!tree.includes(&leaves[index], at, &proof[1..]));
                }
                let long = [&proof[..], &[root]].concat();
                assert!(!tree.includes(&leaves[index], at, &long));
            }
        }
        let empty = Tree {
            size: 0,
            root: Sha256::of(b""),
        };
        assert!(!empty.includes(&leaf(b""), 0, &[]));
    }

    /// RFC 6962's own test values, as other implementations publish them.
    #[test]
    fn leaf_and_node_are_the_published_ones() {
        assert_eq!(
            leaf(b"").to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        let two = node(&leaf(b""), &leaf(b"\0"));
        assert_eq!(
            two.to_string(),
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
        );
    }
}
