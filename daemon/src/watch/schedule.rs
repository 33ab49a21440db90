//! When a repository is asked next. Pure: the moment and the random number are arguments.

use std::time::Duration;

/// How often a repository is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// The time between two polls that succeed; at least one second is used.
    pub interval: Duration,
    /// The longest wait after failures; the interval where that is longer.
    pub longest: Duration,
}

impl Schedule {
    /// The wait before the next poll.
    ///
    /// Each failure in a row doubles the wait up to [`Self::longest`]. The result is spread by up to a
    /// tenth to either side, so that many repositories of one server are not asked in the same second.
    #[must_use]
    pub(crate) fn next_wait(&self, failures_in_a_row: u32, random: u64) -> Duration {
        let interval = self.interval.max(Duration::from_secs(1));
        let factor = 1u32.checked_shl(failures_in_a_row).unwrap_or(u32::MAX);
        let wait = interval
            .saturating_mul(factor)
            .min(self.longest.max(interval));
        let fifth = wait / 5;
        (wait - fifth / 2).saturating_add(share(fifth, random))
    }
}

/// A part of `whole` between none and all of it, in 65535 steps.
fn share(whole: Duration, random: u64) -> Duration {
    let [a, b, ..] = random.to_le_bytes();
    whole.mul_f64(f64::from(u16::from_le_bytes([a, b])) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Schedule = Schedule {
        interval: Duration::from_secs(3600),
        longest: Duration::from_secs(86_400),
    };

    #[test]
    fn the_wait_grows_with_failures_and_is_capped() {
        for (failures, random, seconds) in [
            (0, 0, 3240),
            (0, 0xffff, 3960),
            (1, 0, 6480),
            (2, 0, 12_960),
            (4, 0, 51_840),
            (5, 0, 77_760),
            (31, 0, 77_760),
            (32, 0, 77_760),
            (u32::MAX, 0xffff, 95_040),
        ] {
            let wait = HOUR.next_wait(failures, random);
            assert_eq!(wait.as_secs(), seconds, "{failures} {random:#x}");
        }
    }

    #[test]
    fn every_random_number_stays_in_the_spread() {
        let mut seed = 1u64;
        let mut seen = std::collections::BTreeSet::new();
        for failures in 0..40 {
            for _ in 0..50 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 3;
                let wait = HOUR.next_wait(failures, seed);
                let middle = 3600u64.saturating_mul(1 << failures.min(20)).min(86_400);
                assert!(wait >= Duration::from_secs(middle * 9 / 10));
                assert!(wait <= Duration::from_secs(middle * 11 / 10));
                seen.insert(wait);
            }
        }
        assert!(seen.len() > 500, "the spread spreads");
    }

    #[test]
    fn a_longest_below_the_interval_and_a_zero_interval_do_no_harm() {
        let short = Schedule {
            longest: Duration::from_secs(1),
            ..HOUR
        };
        assert_eq!(short.next_wait(9, 0).as_secs(), 3240);
        let zero = Schedule {
            interval: Duration::ZERO,
            longest: Duration::ZERO,
        };
        assert_eq!(zero.next_wait(0, 0), Duration::from_millis(900));
        let endless = Schedule {
            interval: Duration::MAX,
            longest: Duration::MAX,
        };
        assert!(endless.next_wait(3, u64::MAX) > Duration::from_secs(1 << 40));
    }
}
