//! What `--vary` has shown, for people and for programs.

use std::fmt::Write as _;

use countersign_attest::statement::{Effect, Variation};
use countersign_builder::profile::variation::Finding;
use serde::Serialize;

use crate::pipeline::Findings;

/// What varying has shown of one plan.
#[derive(Debug, Serialize)]
pub(super) struct ReportVariations {
    plan: String,
    #[serde(flatten)]
    finding: Finding,
    builds: usize,
    variations: Vec<Variation>,
}

pub(super) fn report(findings: &Findings) -> Vec<ReportVariations> {
    let one = findings
        .explored
        .iter()
        .map(|(plan, explored)| ReportVariations {
            plan: format!("sha256:{plan}"),
            finding: explored.finding.clone(),
            builds: explored.builds,
            variations: explored.variations.clone(),
        });
    one.collect()
}

pub(super) fn show(text: &mut String, findings: &Findings) {
    for explored in findings.explored.values() {
        let line = match &explored.finding {
            Finding::Robust => "the same with other values of all that was varied".to_owned(),
            Finding::Random => {
                "not even the same when nothing is varied: threads, the time of day or chance"
                    .to_owned()
            }
            Finding::Captures { names } => format!("changed by {}", names.join(", ")),
        };
        let _ = writeln!(text, "\nvaried ({} more builds): {line}", explored.builds);
        for Variation {
            name,
            values,
            outcome,
        } in &explored.variations
        {
            let word = match outcome {
                Effect::Stable => continue,
                Effect::Unstable => "notices",
                Effect::Void => "void   ",
            };
            let [normal, other] = values;
            let _ = match outcome {
                Effect::Void => writeln!(text, "  {word} {name}: this machine has no other value"),
                Effect::Stable | Effect::Unstable => {
                    writeln!(text, "  {word} {name}: {normal} -> {other}")
                }
            };
        }
    }
}
