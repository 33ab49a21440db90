//! Who this rebuilder is: what statements and pages say of it.

use std::collections::BTreeMap;

use countersign_attest::statement::{KeyIsolation, Rebuilder};

/// The rebuilder as statements name it.
#[must_use]
pub(crate) fn rebuilder(id: &str) -> Rebuilder {
    Rebuilder {
        id: id.to_owned(),
        version: BTreeMap::from([(
            "countersign".to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        )]),
        // the signer is a process of its own under the daemon's user
        key_isolation: KeyIsolation::SameUid,
    }
}
