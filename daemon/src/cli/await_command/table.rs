//! Where the operators stand, for people and for programs. What strangers wrote is escaped.

use std::fmt::Write as _;

use countersign_attest::declaration::CandidateRequest;
use countersign_attest::escape::printable;
use serde_json::{Value, json};

use super::judge::{Judged, Result};
use crate::cli::Exit;

const fn word(result: Result) -> &'static str {
    match result {
        Result::Confirmed => "confirmed",
        Result::Rejected => "rejected",
        Result::Held => "held",
        Result::NotMet => "not-met",
        Result::Pending => "pending",
    }
}

/// One table for each artifact.
pub(super) fn text(request: &CandidateRequest, judged: &[Judged]) -> String {
    let mut text = format!("{} {}", printable(&request.source), printable(&request.tag));
    for artifact in judged {
        // all to a String
        let _ = write!(
            text,
            "\n{}  {}: {} of {} confirm",
            printable(&artifact.name),
            word(artifact.result),
            artifact.confirming,
            artifact.k
        );
        for (name, said) in &artifact.words {
            let detail = said.detail.as_deref().map(printable).unwrap_or_default();
            let _ = write!(
                text,
                "\n  {:<24} {:<14} {detail}",
                printable(name),
                said.word
            );
            text.truncate(text.trim_end().len());
        }
    }
    text
}

/// The end in one sentence.
pub(super) const fn sentence(came: Exit) -> &'static str {
    match came {
        Exit::Good => {
            "Confirmed: as many rebuilders as the policy asks for built these bytes from the tag."
        }
        Exit::NotReproduced => {
            "Rejected: as many rebuilders as the policy asks for built something else from the tag."
        }
        Exit::Fault => "Nobody could be asked; try again.",
        Exit::Undecided | Exit::NotMet | Exit::Command(_) => {
            "Not confirmed: too few rebuilders built these bytes, or two built something else."
        }
    }
}

/// All of it as one value.
pub(super) fn value(
    request: &CandidateRequest,
    judged: &[Judged],
    mode: &str,
    came: Exit,
    exit: Exit,
) -> Value {
    let artifacts = judged.iter().map(|artifact| {
        let operators = artifact.words.iter().map(|(name, said)| {
            let word = json!({"state": said.word, "verdict": said.verdict, "detail": said.detail});
            (name.clone(), word)
        });
        json!({
            "name": artifact.name,
            "sha256": artifact.sha256,
            "result": word(artifact.result),
            "confirming": artifact.confirming,
            "k": artifact.k,
            "operators": operators.collect::<serde_json::Map<_, _>>(),
        })
    });
    json!({
        "id": format!("sha256:{}", request.id()),
        "source": request.source,
        "tag": request.tag,
        "mode": mode,
        "sentence": sentence(came),
        "blockExitCode": came.code(),
        "exitCode": exit.code(),
        "artifacts": artifacts.collect::<Vec<_>>(),
    })
}
