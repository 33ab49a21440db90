//! The normalization `member-order/v1`.

use super::normalization::{Normalization, Rule};

/// The order of the members of a tar or zip, where it cannot change what is unpacked or what is read
/// first ([`super::order::is_free`] says when). Elsewhere another order is a difference.
pub(super) const V1: Normalization = Normalization {
    id: "member-order/v1",
    hides: "the order of archive members, where no two of them depend on it",
    rule: Rule::Order,
};
