//! The npm recipe: a package without a build step, packed by `npm pack`.

use serde::{Deserialize, Serialize};

/// What a tree's package.json and a published tarball say. Written by strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NpmEvidence {
    /// `name` of the tree's package.json.
    pub name: String,
    /// `version` of the tree's package.json.
    pub version: String,
    /// Scripts of the tree that would make files before packing (`prepack`, `prepare`, `build`, …).
    pub build_scripts: Vec<String>,
}
