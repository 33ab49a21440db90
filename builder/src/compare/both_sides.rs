//! Does the same for both sides at once, on two processors where there are two.

use std::panic::resume_unwind;
use std::thread::{Builder, scope};

/// As much as a main thread has: containers inside one another are walked by recursion.
const STACK_BYTES: usize = 8 << 20;

/// Runs both, the second on a thread of its own; one after the other where none can be had.
pub(super) fn run<T: Send, U>(
    first: impl FnOnce() -> U,
    second: impl Fn() -> T + Send + Sync,
) -> (U, T) {
    scope(|scope| {
        let thread = Builder::new().stack_size(STACK_BYTES);
        match thread.spawn_scoped(scope, &second) {
            Ok(other) => {
                let first = first();
                (
                    first,
                    other.join().unwrap_or_else(|panic| resume_unwind(panic)),
                )
            }
            Err(_) => (first(), second()),
        }
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_are_run_and_a_panic_is_not_lost() {
        assert_eq!(super::run(|| 1, || 2), (1, 2));
        let panics = std::panic::catch_unwind(|| super::run(|| (), || -> () { panic!("lost?") }));
        assert!(panics.is_err());
    }
}
