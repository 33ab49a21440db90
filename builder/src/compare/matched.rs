//! Which members of two containers belong together: by name and by how many of that name came before,
//! never by content.

use std::collections::HashMap;

use super::order;
use crate::archive::Member;

/// Which members belong together: occurrence of the name, then positions.
pub(super) struct Matched {
    pub(super) pairs: Vec<(u64, usize, usize)>,
    pub(super) only_a: Vec<(u64, usize)>,
    pub(super) only_b: Vec<(u64, usize)>,
}

impl Matched {
    pub(super) fn of(a: &[Member], b: &[Member]) -> Self {
        let positions: HashMap<(&[u8], u64), usize> = order::numbered(b).zip(0..).collect();
        let mut matched = vec![false; b.len()];
        let (mut pairs, mut only_a) = (Vec::new(), Vec::new());
        for (index, key) in order::numbered(a).enumerate() {
            match positions.get(&key) {
                Some(&other) => {
                    pairs.push((key.1, index, other));
                    if let Some(flag) = matched.get_mut(other) {
                        *flag = true;
                    }
                }
                None => only_a.push((key.1, index)),
            }
        }
        let rest = order::numbered(b).zip(matched).enumerate();
        let only_b = rest.filter(|(_, (_, matched))| !matched);
        Self {
            pairs,
            only_a,
            only_b: only_b.map(|(index, (key, _))| (key.1, index)).collect(),
        }
    }
}
