//! Takes the requests of projects that are about to publish: who may ask, how often, for what.
//!
//! A request is a signed declaration; nothing else of the connection counts. The same request again, by
//! whoever repeats it, changes nothing. It can name no place to fetch from and nothing to run: source,
//! recipe and limits are those of the operator's own entry for the project.

use std::sync::Arc;

use countersign_attest::declaration::{self, CandidateRequest};
use countersign_attest::digest::Sha256;
use countersign_attest::dsse::Limits;
use countersign_attest::json;
use tokio::sync::Notify;

use crate::api::candidates::{Desk, Submission};
use crate::api::view::{Answer, ViewError};
use crate::clock::now;
use crate::config::Config;
use crate::publish::PublishedSource;
use crate::store::Store;
use crate::store::candidates::Added;

/// Longest time for which a request may be made, in seconds: what is older cannot be repeated.
const LONGEST_SECONDS: i64 = 7 * 86_400;

/// Where requests come in.
#[derive(Clone)]
pub(crate) struct Candidates {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Store,
    /// Wakes the daemon's loop.
    pub(crate) wake: Arc<Notify>,
}

impl Candidates {
    async fn take(&self, body: &[u8]) -> Result<Submission, ViewError> {
        let limits = Limits {
            json: json::Limits {
                bytes: body.len(),
                depth: 8,
            },
            signatures: 4,
        };
        // a key is a project's, wherever it may ask; which project is in the signed words
        let all = self.config.repositories.iter();
        let keys: Vec<_> = all
            .flat_map(|r| r.candidates.keys.iter().copied())
            .collect();
        if keys.is_empty() {
            return Ok(Submission::Forbidden);
        }
        let Ok(opened) = declaration::open::<CandidateRequest>(body, &keys, 1, &limits) else {
            return Ok(Submission::Forbidden);
        };
        let request = opened.value();
        let repository = self.config.repository(&request.source);
        let asks = repository.map(|repository| &repository.candidates);
        let Some(asks) = asks.filter(|asks| {
            let mut signers = opened.signers().iter();
            signers.any(|key| asks.keys.contains(key))
        }) else {
            return Ok(Submission::Forbidden);
        };
        let now = now();
        if request.expires_on <= now || request.expires_on > now.plus_seconds(LONGEST_SECONDS) {
            return Ok(Submission::Refused(
                "the request has expired, or is made for more than seven days",
            ));
        }
        if request.artifacts.iter().any(|a| published(a).is_none()) {
            return Ok(Submission::Refused(
                "an artifact's name is not one that is built here",
            ));
        }
        let added = self.store.add_candidate(request, asks.per_day, now);
        let added = added.await.map_err(|error| ViewError(error.into()))?;
        self.wake.notify_one();
        let id = request.id();
        Ok(match added {
            Added::New => Submission::Taken(id),
            Added::Known => Submission::Known(id),
            Added::TooMany => Submission::TooMany,
        })
    }
}

impl Desk for Candidates {
    fn submit(&self, body: Vec<u8>) -> Answer<'_, Submission> {
        Box::pin(async move { self.take(&body).await })
    }

    fn state(&self, id: Sha256) -> Answer<'_, Option<String>> {
        Box::pin(async move {
            let state = self.store.candidate_state(id).await;
            state.map_err(|error| ViewError(error.into()))
        })
    }
}

/// A candidate's artifact as the pipeline takes what is published.
pub(crate) fn published(artifact: &declaration::CandidateArtifact) -> Option<PublishedSource> {
    PublishedSource::parse(
        &format!("{}=sha256:{}", artifact.name, artifact.sha256),
        None,
    )
    .ok()
}
