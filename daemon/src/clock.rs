//! What time it is: the only place that asks the system.

use countersign_attest::time::Timestamp;

/// The current moment, in whole seconds.
#[must_use]
#[allow(
    clippy::disallowed_methods,
    reason = "this is the clock that everything else must use"
)]
pub(crate) fn now() -> Timestamp {
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |passed| {
            i64::try_from(passed.as_secs()).unwrap_or(i64::MAX)
        });
    Timestamp::from_unix_seconds(seconds.saturating_add(ahead())).unwrap_or(Timestamp::EPOCH)
}

/// How far a test has put the clock of a debug build ahead; release builds have none of this.
fn ahead() -> i64 {
    #[cfg(debug_assertions)]
    if let Ok(seconds) = std::env::var("COUNTERSIGN_CLOCK_AHEAD_SECONDS") {
        return seconds.parse().unwrap_or(0);
    }
    0
}
