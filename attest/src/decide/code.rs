//! The codes of decisions: closed lists, which programs and vectors compare by their exact characters.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $about:literal])+ $variant:ident = $code:literal),+ $(,)? }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[doc = $about])+ #[serde(rename = $code)] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The code in JSON.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// One sentence for people.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$variant => concat!($($about),+).trim_ascii()),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.code())
            }
        }
    };
}

codes! {
    /// What is decided.
    Outcome {
        /// Enough independent operators confirm it.
        Accept = "accept",
        /// Too little is known to accept it.
        NotEnough = "not-enough",
        /// There is enough, and something that somebody should look at first.
        Hold = "hold",
        /// As many as would have to confirm it say that it is something else.
        Reject = "reject",
    }
}

codes! {
    /// Why it is decided so, and what else was seen.
    Reason {
        /// As many operators as the rule asks for confirm it, in one group.
        Confirmed = "confirmed",
        /// The policy exempts this package from needing enough confirmations.
        Exempt = "exempt",
        /// Not everything that the operators said was looked at.
        ViewIncomplete = "view-incomplete",
        /// Fewer operators confirm it than the rule asks for.
        TooFew = "too-few",
        /// Operators who know a file of this name saw other bytes than these.
        DifferentBinaryServed = "different-binary-served",
        /// Operators built something else from the source.
        Differs = "differs",
        /// Somebody who confirmed the previous version does not confirm this one.
        ReproducibilityLost = "reproducibility-lost",
        /// Somebody who confirmed the previous version built something else now.
        DissentOfAFormerConfirmer = "dissent-of-a-former-confirmer",
        /// These bytes are confirmed from two sources or commits.
        SourceDisagreement = "source-disagreement",
        /// The version before was confirmed from another source.
        SourceChanged = "source-changed",
        /// No version of this package was accepted before, so that its source is new.
        SourceFirstSeen = "source-first-seen",
        /// A dissent was acknowledged by the user.
        DissentAcknowledged = "dissent-acknowledged",
        /// An operator says two things of one plan, and has withdrawn neither; it counts nowhere.
        Equivocation = "equivocation",
    }
}

codes! {
    /// Where an operator stands.
    Standing {
        /// It confirms these bytes.
        Confirms = "confirms",
        /// It built something else.
        Dissents = "dissents",
        /// It knows a file of this name with other bytes, and not these.
        SawAnother = "saw-another",
        /// It could not build it, or not compare it.
        Undecided = "undecided",
        /// It says something that the rule does not accept.
        Unaccepted = "unaccepted",
        /// What it says cannot be used.
        Unusable = "unusable",
        /// It said nothing of these bytes.
        Silent = "silent",
        /// It publishes this package itself.
        LeftOut = "left-out",
    }
}

codes! {
    /// Why a statement does not count.
    Uncounted {
        /// No key of the policy signed it.
        UnknownKey = "unknown-key",
        /// Its operator is not one whom the rule asks.
        NotAsked = "not-asked",
        /// It is older than its key.
        KeyNotYetValid = "key-not-yet-valid",
        /// It is newer than the end of its key, or nobody but that key says when it was made.
        KeyExpired = "key-expired",
        /// Its key or operator was revoked, and it does not stand under the pinned checkpoint.
        Revoked = "revoked",
        /// It says that it was decided in the future.
        FromTheFuture = "from-the-future",
        /// It says that it was decided after a witness had seen it.
        DecidedAfterWitnessed = "decided-after-witnessed",
        /// It is about a file of another name.
        NameMismatch = "name-mismatch",
        /// It is about another package or version.
        PurlMismatch = "purl-mismatch",
        /// It was built from another source than the rule names.
        SourceNotPinned = "source-not-pinned",
        /// It is older than the rule allows.
        TooOld = "too-old",
        /// Its verdict is none that the rule accepts.
        NotAccepted = "not-accepted",
        /// It is evidence of other software, and the policy does not say that its operator runs that.
        OtherSoftware = "other-software",
        /// Its operator has withdrawn it.
        Withdrawn = "withdrawn",
        /// Its operator says something else of the same plan.
        Equivocation = "equivocation",
        /// Its operator said something newer.
        Superseded = "superseded",
        /// Its operator publishes the package itself.
        Publishes = "publishes",
        /// It is about other bytes.
        OtherBytes = "other-bytes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A renamed public code must show in review.
    #[test]
    fn the_list_of_codes_is_what_was_published() {
        let mut list = String::new();
        for (kind, codes) in [
            (
                "outcome",
                Outcome::ALL.iter().map(|c| c.code()).collect::<Vec<_>>(),
            ),
            ("reason", Reason::ALL.iter().map(|c| c.code()).collect()),
            ("standing", Standing::ALL.iter().map(|c| c.code()).collect()),
            (
                "uncounted",
                Uncounted::ALL.iter().map(|c| c.code()).collect(),
            ),
        ] {
            for code in codes {
                list.push_str(&format!("{kind}/{code}\n"));
            }
        }
        crate::statement::tests::golden("decision-codes.txt", list.as_bytes());
        assert!(
            Reason::ALL
                .iter()
                .all(|code| code.sentence().ends_with('.'))
        );
        assert!(
            Uncounted::ALL
                .iter()
                .all(|code| code.sentence().ends_with('.'))
        );
    }
}
