//! One round of asking: each operator once, all at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_attest::decide::Asked;
use countersign_attest::declaration::CandidateRequest;
use countersign_verify::attestation::Attestation;
use tokio::task::JoinSet;
use url::Url;

use crate::consult::candidate::{self, Said};
use crate::consult::remote::{self, AskLimits};
use crate::http::Http;

/// An operator, and what it answered so far.
#[derive(Debug, Clone)]
pub(super) struct Operator {
    base: Option<Url>,
    /// Whether the request was taken.
    submitted: bool,
    /// What it said last; `None` before the first answer.
    pub(super) said: Option<Said>,
    /// What it serves about the candidate.
    pub(super) attestations: Vec<Attestation>,
}

impl Operator {
    pub(super) const fn new(base: Option<Url>) -> Self {
        Self {
            base,
            submitted: false,
            said: None,
            attestations: Vec::new(),
        }
    }

    /// Whether it could not be asked at all.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.said, None | Some(Said::Down(_))) && !self.submitted
    }

    /// Whether it will say no more than it has.
    pub(super) const fn is_final(&self) -> bool {
        self.base.is_none() || matches!(self.said, Some(Said::Ended | Said::Refused(_)))
    }
}

/// Asks everybody who is not done.
pub(super) async fn round(
    http: &Arc<Http>,
    operators: &mut BTreeMap<String, Operator>,
    envelope: &[u8],
    request: &CandidateRequest,
) {
    let mut tasks = JoinSet::new();
    for (name, operator) in operators.iter() {
        if operator.is_final() {
            continue;
        }
        let (name, operator, http) = (name.clone(), operator.clone(), Arc::clone(http));
        let (envelope, request) = (envelope.to_vec(), request.clone());
        tasks.spawn(async move { (name, one(&http, operator, &envelope, &request).await) });
    }
    while let Some(answered) = tasks.join_next().await {
        // one that broke is asked again in the next round
        if let Ok((name, operator)) = answered {
            operators.insert(name, operator);
        }
    }
}

async fn one(
    http: &Http,
    mut operator: Operator,
    envelope: &[u8],
    request: &CandidateRequest,
) -> Operator {
    let Some(base) = operator.base.clone() else {
        return operator;
    };
    let mut said = if operator.submitted {
        candidate::state(http, &base, request.id()).await
    } else {
        candidate::submit(http, &base, envelope).await
    };
    operator.submitted |= matches!(said, Said::Pending(_) | Said::Ended);
    if matches!(said, Said::Pending(_) | Said::Ended) {
        let mut attestations = Vec::new();
        for artifact in &request.artifacts {
            let asked = Asked {
                purl: None,
                file_name: Some(artifact.name.clone()),
                sha256: Some(artifact.sha256),
                sha512: None,
            };
            let gathered = remote::ask(http, &base, &asked, &AskLimits::default()).await;
            let unreachable = gathered.problems.iter().find(|problem| {
                problem.kind == countersign_verify::attestation::ProblemKind::Unreachable
            });
            if let Some(problem) = unreachable {
                said = Said::Down(problem.message.clone());
            }
            attestations.extend(gathered.attestations);
        }
        if !attestations.is_empty() {
            operator.attestations = attestations;
        }
    }
    operator.said = Some(said);
    operator
}
