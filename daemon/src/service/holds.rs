//! What the daemon does with negative verdicts that its operator keeps back: it ends holds at their
//! time, and tells projects before. Nothing here decides what a verdict is.

use std::time::Duration;

use countersign_attest::time::Timestamp;
use countersign_attest::verdict::Verdict;
use tracing::{info, warn};

use super::{Event, FIRST_RETRY, LONGEST_WAIT, Service, after, random};
use crate::clock::now;
use crate::config::negative::{Negative, Webhook};
use crate::pipeline::issue::store_fault;
use crate::store::holds::{DueNotice, KeepBack};
use crate::trouble::{Trouble, with_causes};
use crate::watch::schedule::Schedule;
use crate::webhook::{self, Notice};

impl Service {
    /// How a verdict about a source is kept back, if it is.
    pub(super) fn keep_back(&self, source_uri: &str, verdict: Verdict) -> Option<KeepBack> {
        if !verdict.is_negative() {
            return None;
        }
        match &self.config.repository(source_uri)?.negative {
            Negative::Sign => None,
            Negative::LogOnly => Some(KeepBack::ForGood),
            Negative::Hold { time, webhook } => Some(KeepBack::Until {
                until: after(now(), *time),
                notice: webhook.is_some(),
            }),
        }
    }

    /// Releases what was held long enough.
    ///
    /// # Errors
    /// When the store or the signer cannot be used.
    pub(super) async fn end_holds(&self) -> Result<(), Trouble> {
        let ended = self.store.end_holds(now()).await.map_err(store_fault)?;
        if ended > 0 {
            info!(ended, "held verdicts become public");
            self.finish().await?;
        }
        Ok(())
    }

    /// When there is something to do about holds again.
    pub(super) async fn next_hold_event(&self) -> Result<Option<Timestamp>, Trouble> {
        self.store.next_hold_event().await.map_err(store_fault)
    }

    /// Whether a project waits to be told.
    pub(super) async fn notices_are_due(&self) -> Result<bool, Trouble> {
        let due = self.store.due_notices(now()).await.map_err(store_fault)?;
        Ok(!due.is_empty())
    }

    /// Tells every project that is due, once.
    pub(super) async fn send_notices(&self) -> Event {
        match self.try_send_notices().await {
            Ok(()) => Event::NoticesEnded,
            Err(trouble) => Event::Broken(trouble),
        }
    }

    async fn try_send_notices(&self) -> Result<(), Trouble> {
        let due = self.store.due_notices(now()).await.map_err(store_fault)?;
        for notice in due {
            let uri = &notice.facts.source.uri;
            let recorded = match self.webhook(uri) {
                None => {
                    let problem = "its webhook is not in the configuration any more";
                    self.store.notice_failed(&notice, problem, None).await
                }
                Some(webhook) => match self.tell(webhook, &notice).await {
                    Ok(()) => {
                        info!(source = %uri, until = %notice.until, "told the project what is held");
                        self.store.noticed(&notice, now()).await
                    }
                    Err(problem) => {
                        warn!(source = %uri, problem = %problem, "could not tell a project what is held");
                        let again = Some(after(now(), wait(notice.tries)));
                        self.store.notice_failed(&notice, &problem, again).await
                    }
                },
            };
            recorded.map_err(store_fault)?;
        }
        Ok(())
    }

    async fn tell(&self, webhook: &Webhook, due: &DueNotice) -> Result<(), String> {
        let id = due.id();
        let notice = Notice {
            id: &id,
            facts: &due.facts,
            until: due.until,
        };
        webhook::tell(webhook, &notice, now(), self.config.rules.allow_http)
            .await
            .map_err(|error| with_causes(&error))
    }

    fn webhook(&self, source_uri: &str) -> Option<&Webhook> {
        match &self.config.repository(source_uri)?.negative {
            Negative::Hold { webhook, .. } => webhook.as_ref(),
            Negative::Sign | Negative::LogOnly => None,
        }
    }
}

fn wait(tries: u32) -> Duration {
    let schedule = Schedule {
        interval: FIRST_RETRY,
        longest: LONGEST_WAIT,
    };
    schedule.next_wait(tries, random())
}
