//! Named places where a daemon may die, so that a test can make it die there.
//!
//! In the order of the code: `polled`, `leased`, `resolved`, `built`, `judged`, `signed`,
//! `signature-stored`, `logged`, `file-written`, `published`. Release builds have none of this.

/// Ends the process at once if a test asked for it by `COUNTERSIGN_CRASH_AT`.
pub(crate) fn point(name: &str) {
    #[cfg(debug_assertions)]
    if std::env::var("COUNTERSIGN_CRASH_AT").as_deref() == Ok(name) {
        std::process::abort();
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
