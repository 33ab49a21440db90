//! Who this rebuilder is: what statements and pages say of it.

use std::collections::BTreeMap;

use countersign_attest::statement::{KeyIsolation, Rebuilder};

/// The rebuilder as statements name it; how its key is kept is the signer's own word.
#[must_use]
pub(crate) fn rebuilder(id: &str, key_isolation: KeyIsolation) -> Rebuilder {
    Rebuilder {
        id: id.to_owned(),
        version: BTreeMap::from([(
            "countersign".to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        )]),
        key_isolation,
    }
}
