//! An exported source tree on disk: what enters the sandbox, and its digest.
//!
//! A tree is made by the git child and read by the host and the launcher. It holds regular files
//! (0644 or 0755), folders and symbolic links as data, and nothing of git.

use countersign_attest::digest::Sha256;

/// What a tree came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeDigest {
    /// SHA-256 over the sorted lines `mode SP sha256 SP path LF` of all files and links.
    pub sha256: Sha256,
    /// The digest of every regular file, sorted: an output that equals one was prebuilt.
    pub files: Vec<Sha256>,
}
