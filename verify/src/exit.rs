//! The exit codes of the command lines: a contract, and its only home.

use countersign_attest::verdict::Verdict;

/// How a command ended. Over several artifacts the largest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Reproduced, accepted, or done.
    Good,
    /// Not reproduced.
    NotReproduced,
    /// Build failed, unstable or indeterminate.
    Undecided,
    /// Nothing found, a bad signature, or a policy that is not met.
    NotMet,
    /// A fault of ours: try again.
    Fault,
    /// A command of the caller's own ended so (`sandbox run`); its code is passed on.
    Command(u8),
}

impl Exit {
    /// Usage, configuration or input refused; never the end of a command that did its work.
    pub const REFUSED: u8 = 2;

    /// The contract's number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::NotReproduced => 1,
            Self::Undecided => 3,
            Self::NotMet => 4,
            Self::Fault => 5,
            Self::Command(code) => code,
        }
    }

    /// How a verdict ends a command that does not accept it beside `reproduced`.
    #[must_use]
    pub const fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Reproduced => Self::Good,
            Verdict::Assisted | Verdict::Equivalent | Verdict::Differs => Self::NotReproduced,
            Verdict::Unstable | Verdict::BuildFailed | Verdict::Indeterminate => Self::Undecided,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_contracts() {
        let codes = Verdict::ALL.map(|verdict| Exit::of(verdict).code());
        assert_eq!(codes, [0, 1, 1, 1, 3, 3, 3]);
        assert_eq!(
            [Exit::NotMet.code(), Exit::Fault.code(), Exit::REFUSED],
            [4, 5, 2]
        );
        assert!(Exit::Fault > Exit::Undecided && Exit::Undecided > Exit::NotReproduced);
    }
}
