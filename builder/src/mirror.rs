//! The mirror as a build sees it: fixed addresses inside the sandbox, and the words of its record.
//!
//! These are part of the sandbox profile, so that a recipe can name them and a plan stays the same on
//! every machine. Who serves them is not known here.

/// The name that every sandbox with a mirror resolves to its own loopback.
pub const HOST: &str = "mirror";
/// The port of the mirror on that loopback.
pub const PORT: u16 = 80;

/// The sparse index for cargo's configuration.
pub const CARGO_INDEX: &str = "sparse+http://mirror/cargo/index/";
/// The template of crate downloads, as the index's `config.json` has it.
pub const CARGO_DL: &str = "http://mirror/cargo/dl/{crate}/{version}/download";
/// The registry of npm packages.
pub const NPM_REGISTRY: &str = "http://mirror/npm/";
/// The simple index (PEP 503, PEP 691) for Python's installers.
pub const PYPI_SIMPLE: &str = "http://mirror/pypi/simple/";
/// Where files of Python packages are: then the project's name, a slash and the file's name.
pub const PYPI_FILES: &str = "http://mirror/pypi/files/";
