//! From a question and what was gathered to one answer: for each file what was found, and the exit code
//! of the whole.

use std::collections::{BTreeMap, BTreeSet};

use countersign_attest::decide::{Asked, Outcome};
use countersign_attest::digest::Sha256;
use countersign_attest::key::AnyPublicKey;
use countersign_attest::policy::Policy;
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::Verdict;

use crate::attestation::{Attestation, Problem, ProblemKind, hear_all, subjects};
use crate::by_key;
use crate::by_policy::{self, Judged, Terms};
use crate::exit::Exit;
use crate::memory::Remembered;
use crate::speakers::{Speaker, speakers};

/// Whom the user trusts.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// Some keys: the newest verdict of any of them counts.
    Keys {
        /// The keys.
        keys: &'a [AnyPublicKey],
        /// Verdicts that are good enough beside `reproduced`.
        accept: &'a BTreeSet<Verdict>,
    },
    /// A policy.
    Policy {
        /// The policy.
        policy: &'a Policy,
        /// What is remembered.
        remembered: &'a Remembered,
        /// Dissents that the user has looked at.
        acknowledged: &'a [Sha256],
    },
    /// Nobody yet.
    Nobody,
}

/// Whom a user names on a command line, and what is kept of earlier answers.
#[derive(Debug, Default)]
pub struct Trusted {
    /// A policy; keys do not count beside one.
    pub policy: Option<Policy>,
    /// Keys.
    pub keys: Vec<AnyPublicKey>,
    /// With keys, verdicts that are good enough beside `reproduced`.
    pub accept: BTreeSet<Verdict>,
    /// With a policy, what is remembered.
    pub remembered: Remembered,
    /// With a policy, dissents that the user has looked at.
    pub acknowledged: Vec<Sha256>,
}

impl Trusted {
    /// Whom that is to trust.
    #[must_use]
    pub fn trust(&self) -> Trust<'_> {
        match &self.policy {
            Some(policy) => Trust::Policy {
                policy,
                remembered: &self.remembered,
                acknowledged: &self.acknowledged,
            },
            None if self.keys.is_empty() => Trust::Nobody,
            None => Trust::Keys {
                keys: &self.keys,
                accept: &self.accept,
            },
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// For each file; one unless a package was named that has several.
    pub files: Vec<Found>,
    /// What was not believed, and why.
    pub problems: Vec<Problem>,
}

/// What was found of one file.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// By keys.
    ByKey(Asked, Box<by_key::Decision>),
    /// By a policy.
    ByPolicy(Box<Judged>),
    /// Nobody is trusted; who spoke, and how often.
    Spoken(Asked, BTreeMap<Speaker, usize>),
}

/// Answers.
#[must_use]
pub fn answer(
    trust: &Trust<'_>,
    asked: &Asked,
    attestations: &[Attestation],
    mut problems: Vec<Problem>,
    now: Timestamp,
) -> Answer {
    let files = match trust {
        Trust::Nobody => {
            let (speakers, unreadable) = speakers(attestations);
            problems.extend(unreadable);
            vec![Found::Spoken(asked.clone(), speakers)]
        }
        Trust::Keys { keys, accept } => {
            let (heard, _) = hear_all(attestations, keys);
            let judge = |asked: Asked| {
                let question = by_key::Question {
                    subject: &asked,
                    keys,
                    accept,
                    now,
                };
                let decision = by_key::decide(&question, attestations, problems.clone());
                Found::ByKey(asked, Box::new(decision))
            };
            subjects(asked, &heard).into_iter().map(judge).collect()
        }
        Trust::Policy {
            policy,
            remembered,
            acknowledged,
        } => {
            let (heard, unheard) = hear_all(attestations, &policy.keys());
            problems.extend(unheard);
            let memory = remembered.of(asked.purl.as_ref());
            let terms = Terms {
                now,
                memory: &memory,
                acknowledged,
            };
            let judge = |asked: Asked| {
                Found::ByPolicy(Box::new(by_policy::judge(policy, &asked, &heard, &terms)))
            };
            let judged = subjects(asked, &heard).into_iter().map(judge).collect();
            best_of_each_name(judged)
        }
    };
    Answer { files, problems }
}

/// Where a package was named, other bytes of the same file name are no file of their own: the ones that
/// are confirmed best are meant, and the others count as another binary there.
fn best_of_each_name(judged: Vec<Found>) -> Vec<Found> {
    let mut best: BTreeMap<Option<String>, Found> = BTreeMap::new();
    for found in judged {
        let Found::ByPolicy(this) = &found else {
            continue;
        };
        let name = this.asked.file_name.clone();
        let rank = |judged: &Judged| {
            (
                judged.decision.outcome,
                usize::MAX - judged.decision.confirming,
            )
        };
        match best.get(&name) {
            Some(Found::ByPolicy(other)) if rank(other) <= rank(this) => {}
            _ => {
                best.insert(name, found);
            }
        }
    }
    best.into_values().collect()
}

impl Answer {
    /// Remembers what was accepted; whether anything is new.
    pub fn teach(&self, remembered: &mut Remembered) -> bool {
        let mut learned = false;
        for found in &self.files {
            if let Found::ByPolicy(judged) = found {
                learned |= remembered.learn(judged.asked.purl.as_ref(), &judged.decision);
            }
        }
        learned
    }

    /// The exit code of the contract; of several files the worst.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let all = self.files.iter().map(|found| found.exit(&self.problems));
        all.max().unwrap_or(Exit::NotMet)
    }
}

impl Found {
    /// The exit code of the contract for one file.
    #[must_use]
    pub fn exit(&self, problems: &[Problem]) -> Exit {
        match self {
            Self::ByKey(_, decision) => decision.answer.exit(),
            Self::ByPolicy(judged) => match judged.decision.outcome {
                Outcome::Accept => Exit::Good,
                Outcome::Reject => Exit::NotReproduced,
                Outcome::NotEnough if judged.found.is_empty() && is_unreachable(problems) => {
                    Exit::Fault
                }
                Outcome::NotEnough | Outcome::Hold => Exit::NotMet,
            },
            Self::Spoken(_, speakers) if speakers.is_empty() && is_unreachable(problems) => {
                Exit::Fault
            }
            Self::Spoken(..) => Exit::NotMet,
        }
    }
}

/// Whether somebody could not be asked.
fn is_unreachable(problems: &[Problem]) -> bool {
    problems.iter().any(|p| p.kind == ProblemKind::Unreachable)
}
