//! Reads off a published file whether `SOURCE_DATE_EPOCH` was set when it was made.

use countersign_attest::time::Timestamp;

use super::PublishedFile;

/// What backends write where `SOURCE_DATE_EPOCH` is not set: hatchling 2020-02-02, poetry-core and
/// flit 2016-01-01, others the first moment of zip or of Unix.
const CONSTANTS: [i64; 4] = [1_580_601_600, 1_451_606_400, 315_532_800, 0];

/// What `SOURCE_DATE_EPOCH` is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// The commit's time, as for all builds.
    Commit,
    /// Nothing: the backend takes a constant of its own.
    Unset,
}

/// Decides. The file only selects here: both choices exist without it.
pub(super) fn read_off(published: &PublishedFile, commit: Timestamp) -> Moment {
    let PublishedFile::Read(says) = published else {
        return Moment::Commit;
    };
    let commit = commit.unix_seconds();
    let is_commit = |time: i64| time == commit || time == commit - commit.rem_euclid(2);
    let constant = |time: &i64| CONSTANTS.contains(time) && !is_commit(*time);
    if !says.times.is_empty() && says.times.iter().all(constant) {
        Moment::Unset
    } else {
        // where members bear times of the publisher's disk, that cannot be repeated: set, so that
        // two builds of ours agree
        Moment::Commit
    }
}

/// The one time that all members bear, where it is nobody's but the publisher's.
pub(super) fn of_publisher(published: &PublishedFile, commit: Timestamp) -> Option<i64> {
    let PublishedFile::Read(says) = published else {
        return None;
    };
    let [time] = says.times.as_slice() else {
        return None;
    };
    let commit = commit.unix_seconds();
    let is_commit = *time == commit || *time == commit - commit.rem_euclid(2);
    (!is_commit && !CONSTANTS.contains(time)).then_some(*time)
}

#[cfg(test)]
mod tests {
    use super::super::Says;
    use super::*;

    #[test]
    fn only_a_backends_own_constants_mean_unset() {
        let commit = Timestamp::from_unix_seconds(1_763_239_297).unwrap();
        for (times, expect) in [
            (&[1_763_239_297][..], Moment::Commit),
            (&[1_763_239_296], Moment::Commit),
            (&[0, 1_763_239_297], Moment::Commit),
            (&[1_580_601_600], Moment::Unset),
            (&[1_451_606_400], Moment::Unset),
            (&[0], Moment::Unset),
            (&[1_451_606_400, 1_700_000_000], Moment::Commit),
            (&[1_700_000_000], Moment::Commit),
            (&[], Moment::Commit),
        ] {
            let published = PublishedFile::Read(Says {
                times: times.to_vec(),
                ..Says::default()
            });
            assert_eq!(read_off(&published, commit), expect, "{times:?}");
        }
        assert_eq!(read_off(&PublishedFile::NotGiven, commit), Moment::Commit);
        // a commit at the very moment of a constant is still the commit
        let commit = Timestamp::from_unix_seconds(1_580_601_600).unwrap();
        let published = PublishedFile::Read(Says {
            times: vec![1_580_601_600],
            ..Says::default()
        });
        assert_eq!(read_off(&published, commit), Moment::Commit);
    }
}
