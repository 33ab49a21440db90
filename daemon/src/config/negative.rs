//! What becomes of a verdict that a project would not like to read first in public: the operator's
//! choice, for all projects and for each.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::keys::place::SecretFile;

/// Longest time that a verdict may be held.
const MAX_HOURS: u32 = 24 * 90;

/// `negative_verdicts`, as the file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NegativeEntry {
    action: Action,
    #[serde(default)]
    hours: Option<u32>,
    #[serde(default)]
    webhook: Option<WebhookEntry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Sign,
    Hold,
    LogOnly,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookEntry {
    url: String,
    secret: String,
    #[serde(default)]
    private_address: bool,
}

/// What becomes of a negative verdict and of all that is said of its builds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Negative {
    /// Signed and served, like any other.
    #[default]
    Sign,
    /// Signed and served later, unless something better is found before.
    Hold {
        /// How much later.
        time: Duration,
        /// Whom to tell at once.
        webhook: Option<Webhook>,
    },
    /// Kept and shown to the operator; never signed, never served.
    LogOnly,
}

/// An address that hears of held verdicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Webhook {
    /// Where.
    pub(crate) url: Url,
    /// The file of the secret that notices are signed with.
    pub(crate) secret: SecretFile,
    /// Whether it may be at an address of a private network.
    pub(crate) private_address: bool,
}

impl NegativeEntry {
    /// Checks an entry; an error is the name below `negative_verdicts` and what is wrong.
    pub(super) fn checked(
        &self,
        base: &Path,
        allow_http: bool,
    ) -> Result<Negative, (&'static str, String)> {
        let wrong = |key, message: &str| Err((key, message.to_owned()));
        match (self.action, self.hours, &self.webhook) {
            (Action::Hold, Some(hours), webhook) if (1..=MAX_HOURS).contains(&hours) => {
                let webhook = webhook
                    .as_ref()
                    .map(|entry| entry.checked(base, allow_http));
                Ok(Negative::Hold {
                    time: Duration::from_secs(u64::from(hours) * 3600),
                    webhook: webhook.transpose()?,
                })
            }
            (Action::Hold, _, _) => Err(("hours", format!("from 1 to {MAX_HOURS}"))),
            (Action::Sign | Action::LogOnly, Some(_), _) => wrong("hours", "for `hold` only"),
            (Action::Sign | Action::LogOnly, None, Some(_)) => wrong("webhook", "for `hold` only"),
            (Action::Sign, None, None) => Ok(Negative::Sign),
            (Action::LogOnly, None, None) => Ok(Negative::LogOnly),
        }
    }
}

impl WebhookEntry {
    fn checked(&self, base: &Path, allow_http: bool) -> Result<Webhook, (&'static str, String)> {
        let url = Url::parse(&self.url).map_err(|error| ("webhook.url", error.to_string()))?;
        let local = crate::http::is_loopback(&url);
        let spoken = match url.scheme() {
            "https" => true,
            "http" => allow_http || local,
            _ => false,
        };
        if !spoken {
            let message = "https, or http to this machine or with allow_http";
            return Err(("webhook.url", message.into()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let message = "without a user's name or password; notices are signed instead";
            return Err(("webhook.url", message.into()));
        }
        let secret = SecretFile::parse(&self.secret, base);
        Ok(Webhook {
            url,
            secret: secret.map_err(|error| ("webhook.secret", error.to_string()))?,
            private_address: self.private_address,
        })
    }
}
