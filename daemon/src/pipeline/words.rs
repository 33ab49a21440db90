//! What comparing and encoding came to, a line each, for people and for the contract's `causes`.

use countersign_builder::compare::Comparison;
use countersign_builder::recipe::encoding::{Trial, TrialResult};

/// What a comparison found, a line each, for people and for the contract's `causes`: as `weighed`
/// against the source, where that was done.
#[must_use]
pub(crate) fn causes(comparison: &Comparison, weighed: &[String]) -> Vec<String> {
    match comparison {
        Comparison::Equivalent { .. } => Vec::new(),
        Comparison::Different { members, unlisted } => {
            let plain = || {
                let lines = members.iter();
                lines
                    .map(|m| format!("{}: {}", m.what.word(), m.name))
                    .collect()
            };
            let mut lines: Vec<String> = match weighed {
                [] => plain(),
                weighed => weighed.to_vec(),
            };
            if *unlisted > 0 {
                lines.push(format!("and {unlisted} more"));
            }
            lines
        }
        Comparison::NotComparable {
            published_format,
            rebuilt_format,
        } => {
            vec![format!(
                "published is {published_format}, rebuilt is {rebuilt_format}"
            )]
        }
        Comparison::Failed { side, message } => vec![format!("the {side} file: {message}")],
    }
}

/// What the second step came to, a line for each encoder, as [`causes`].
#[must_use]
pub(crate) fn encoders(trials: &[Trial]) -> Vec<String> {
    let line = |trial: &Trial| {
        let levels: Vec<String> = trial.levels.iter().map(u8::to_string).collect();
        let came_to = match &trial.result {
            TrialResult::SameBytes { level } => format!("the published bytes at level {level}"),
            TrialResult::OtherBytes => format!("other bytes at levels {}", levels.join(" ")),
            TrialResult::Failed => "failed".to_owned(),
            TrialResult::NotTried { why } => format!("not tried: {why}"),
        };
        format!("encoder {}: {came_to}", trial.encoder)
    };
    trials.iter().map(line).collect()
}
