//! A service and the words that it understands: ours, or those of rebuilderd. Who names a service says which.

use countersign_attest::decide::Asked;
use countersign_attest::policy::{Operator, software};
use url::Url;

use super::rebuilderd;
use super::remote::{self, AskLimits, BaseError, Gathered};
use crate::http::Http;

/// How a user says that rebuilderd runs at an address.
const REBUILDERD: &str = "rebuilderd+";

/// A service that can be asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    /// One of ours, below this address.
    Countersign(Url),
    /// One of rebuilderd, below this address.
    Rebuilderd(Url),
}

impl Service {
    /// Reads what a user writes: an address, or `rebuilderd+` and an address.
    pub(crate) fn named(text: &str, allow_http: bool) -> Result<Self, BaseError> {
        match text.strip_prefix(REBUILDERD) {
            Some(address) => remote::base(address, allow_http).map(Self::Rebuilderd),
            None => remote::base(text, allow_http).map(Self::Countersign),
        }
    }

    /// The service of an operator, where it has one, by the software that the policy says it runs.
    pub(crate) fn of(operator: &Operator, allow_http: bool) -> Option<Result<Self, BaseError>> {
        let base = remote::base(operator.rebuilder.as_ref()?, allow_http);
        let runs = operator.attributes.get("software").map(String::as_str);
        Some(match runs {
            Some(software::REBUILDERD) => base.map(Self::Rebuilderd),
            Some(_) | None => base.map(Self::Countersign),
        })
    }

    /// Asks about a file.
    pub(crate) async fn ask(&self, http: &Http, subject: &Asked) -> Gathered {
        let limits = AskLimits::default();
        match self {
            Self::Countersign(base) => remote::ask(http, base, subject, &limits).await,
            Self::Rebuilderd(base) => rebuilderd::ask(http, base, subject, &limits).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_words_are_spoken() {
        let url = |text: &str| Url::parse(text).unwrap();
        let ours = Service::Countersign(url("https://a.example/x/"));
        assert_eq!(Service::named("https://a.example/x", false).unwrap(), ours);
        let theirs = Service::Rebuilderd(url("https://a.example/"));
        assert_eq!(
            Service::named("rebuilderd+https://a.example", false).unwrap(),
            theirs
        );
        for bad in [
            "rebuilderd+http://a.example",
            "rebuilderd:https://a.example",
            "rebuilderd+rebuilderd+https://a.example",
            "rebuilderd+https://u:p@a.example",
        ] {
            assert!(Service::named(bad, false).is_err(), "{bad}");
        }
    }
}
