//! The walls of a sandbox that its own tests can leave out, one at a time, to show that a payload is
//! able where the wall is not.
//!
//! Nothing else may: no request and no command line can name a wall, and a test checks that only
//! the suite calls [`crate::child::serve_without`].

/// One protection of a build's sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wall {
    /// The filter of system calls.
    SystemCalls,
    /// The masks over files of `/proc`.
    ProcMasks,
    /// That nothing inside may debug or look into the first process.
    Undebuggable,
    /// Limits of one process or user: core files, open files, locked memory, file size, number.
    ResourceLimits,
}

impl Wall {
    /// Every wall, with the word for it.
    pub const ALL: [(&'static str, Self); 4] = [
        ("system-calls", Self::SystemCalls),
        ("proc-masks", Self::ProcMasks),
        ("undebuggable", Self::Undebuggable),
        ("resource-limits", Self::ResourceLimits),
    ];
}
