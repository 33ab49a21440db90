//! What the second step came to, encoder by encoder: said also of those that were not tried.

use countersign_attest::verdict::Verdict;
use serde::{Deserialize, Serialize};

use super::{ENCODERS, missing, place, second_steps};
use crate::compare::encoding::Encoding;
use crate::plan::{Encoder, Variant};
use crate::recipe::{Attempt, Situation};

/// Libraries on the list that no program of [`ENCODERS`] need have: where none has, that is said.
const ELSEWHERE: [&str; 2] = ["zlib-ng", "zlib-rs"];

/// An encoder and what it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The encoder: program, library, version where known.
    pub encoder: String,
    /// The levels that were tried; none where it was not.
    pub levels: Vec<u8>,
    /// What it came to.
    pub result: TrialResult,
}

/// What an encoder came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum TrialResult {
    /// One level made the published bytes.
    SameBytes {
        /// Which.
        level: u8,
    },
    /// No level made the published bytes.
    OtherBytes,
    /// The step failed; what it would have made is unknown.
    Failed,
    /// Not tried, and why.
    NotTried {
        /// For people.
        why: String,
    },
}

/// What the second step came to, encoder by encoder; nothing where no attempt called for it, or another one had
/// the published bytes without it.
#[must_use]
pub fn trials(situation: &Situation<'_>) -> Vec<Trial> {
    let without = situation
        .attempts
        .iter()
        .filter(|a| a.candidate.encoding.is_none());
    let has_bytes = |a: &Attempt| matches!(a.verdict, Verdict::Reproduced | Verdict::Assisted);
    if without.into_iter().any(has_bytes) {
        return Vec::new();
    }
    let called = |a: &&Attempt| a.candidate.encoding.is_none() && a.encoding.is_some();
    let base = situation.attempts.iter().find(called);
    let Some(encoding) = base.and_then(|attempt| attempt.encoding.as_ref()) else {
        return Vec::new();
    };
    let known = ENCODERS.map(|encoder| trial(situation, encoding, encoder));
    let absent = ELSEWHERE.iter().filter(|library| {
        let is_it = |trial: &Trial| trial.encoder.contains(**library);
        !known.iter().any(is_it)
    });
    let absent = absent.map(|library| Trial {
        encoder: (*library).to_owned(),
        levels: Vec::new(),
        result: TrialResult::NotTried {
            why: "no program of this machine encodes with it".to_owned(),
        },
    });
    absent.fold(known.to_vec(), |mut all, trial| {
        all.push(trial);
        all
    })
}

fn trial(situation: &Situation<'_>, encoding: &Encoding, encoder: Encoder) -> Trial {
    let search = second_steps(situation.attempts).next();
    let step = search.and_then(|attempt| attempt.candidate.encoding.as_ref());
    let outcome = search.and_then(|attempt| attempt.outcomes.first());
    let variants = step.map_or(&[][..], |step| &step.variants);
    let mine = variants.iter().filter(|variant| variant.encoder == encoder);
    let mut levels: Vec<u8> = mine.map(|variant| variant.level).collect();
    levels.sort_unstable();
    let outputs = outcome.map_or(&[][..], |outcome| &outcome.outputs);
    let is_published = |level: u8| {
        let path = place(Variant { encoder, level });
        let mut there = outputs.iter().filter(|output| output.path == path);
        there.any(|output| output.digests.sha256 == situation.published.sha256)
    };
    let level = levels.iter().copied().find(|level| is_published(*level));
    let result = match (levels.is_empty(), level) {
        (true, _) => TrialResult::NotTried {
            why: missing(encoder, encoding, situation.capabilities)
                .unwrap_or_else(|| "a header field is on no list of ours".to_owned()),
        },
        (false, Some(level)) => TrialResult::SameBytes { level },
        (false, None) if outputs.is_empty() => TrialResult::Failed,
        (false, None) => TrialResult::OtherBytes,
    };
    let [program, library] = encoder.tools();
    let encoder = match situation.capabilities.tool(library) {
        Some(found) => format!("{library} {}", found.version),
        None => program.to_owned(),
    };
    Trial {
        encoder,
        levels,
        result,
    }
}
