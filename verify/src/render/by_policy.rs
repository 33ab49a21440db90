//! A policy's decision in words and as JSON.

use countersign_attest::decide::{Decision, Document, Outcome, Reason, Stand, Standing};
use countersign_attest::escape::printable;
use countersign_attest::policy::Mode;
use serde_json::{Value, json};

use super::{SubjectReport, heading, line, notes};
use crate::attestation::Problem;
use crate::by_policy::Judged;

/// What every decision from given attestations has to admit.
const PARTIAL: &str = "What each operator said is known in part: from the attestations that were given, not \
from a public log. Whoever gave them, a person or a server, may have left others out.";

/// What evidence of other software may leave open.
const NO_SOURCE: &str = "not said by those who confirm it";

/// A decision in words, several lines.
#[must_use]
pub fn text(judged: &Judged, problems: &[Problem]) -> String {
    let decision = &judged.decision;
    let mut out = heading(&judged.asked);
    line(&mut out, &sentence(decision));
    for reason in decision.reasons.iter().filter(|r| **r != Reason::Confirmed) {
        line(&mut out, &format!("  {reason}: {}", reason.sentence()));
    }
    let mut field =
        |name: &str, value: &str| line(&mut out, &format!("  {name:<10} {}", printable(value)));
    field(
        "rule",
        &format!("{} ({})", decision.rule, decision.mode.word()),
    );
    if let Some(group) = &decision.group {
        if let Some(purl) = &group.purl {
            field("package", purl.as_str());
        }
        match (&group.source, &group.commit) {
            (Some(source), Some(commit)) => {
                field("source", source);
                field("commit", &commit.to_string());
            }
            _ => field("source", NO_SOURCE),
        }
    }
    for (name, stand) in &decision.stands {
        field(name, &standing(stand));
        if let Some(weaker) = stand.verdict.and_then(|verdict| stand.form.weaker(verdict)) {
            field("", weaker);
        }
    }
    for alarm in &decision.alarms {
        line(&mut out, &format!("ALARM: {alarm}: {}", alarm.sentence()));
    }
    for note in decision.notes.difference(&decision.alarms) {
        if *note != Reason::ViewIncomplete {
            line(&mut out, &format!("note: {note}: {}", note.sentence()));
        }
    }
    let unused = decision.ignored.iter();
    for (statement, why) in unused {
        let found = judged
            .found
            .get(statement)
            .map_or("a statement", |name| name);
        let found = printable(found);
        line(
            &mut out,
            &format!("note: {found} does not count: {}", why.sentence()),
        );
    }
    notes(&mut out, problems);
    if !decision.partial.is_empty() {
        line(&mut out, PARTIAL);
    }
    out
}

/// The decision in one sentence.
#[must_use]
pub fn sentence(decision: &Decision) -> String {
    let Decision { k, confirming, .. } = decision;
    let counted = match confirming {
        0 => "nobody whom the policy asks confirms these bytes".to_owned(),
        1 => "1 operator confirms these bytes".to_owned(),
        n => format!("{n} operators confirm these bytes"),
    };
    let needed = match k {
        1 => "1 is asked for".to_owned(),
        k => format!("{k} are asked for"),
    };
    let word = match decision.outcome {
        Outcome::Accept => "Accepted",
        Outcome::NotEnough => "Not enough",
        Outcome::Hold => "Held",
        Outcome::Reject => "Rejected",
    };
    let missing: Vec<&str> = decision.missing().collect();
    let wanting = if decision.outcome == Outcome::NotEnough && !missing.is_empty() {
        format!(" Missing: {}.", missing.join(", "))
    } else {
        String::new()
    };
    let warns = match (decision.mode, decision.outcome) {
        (Mode::Enforce, _) | (_, Outcome::Accept) => "",
        (Mode::Warn, _) => " This rule only warns.",
    };
    format!("{word}: {counted}; {needed}.{wanting}{warns}")
}

fn standing(stand: &Stand) -> String {
    let verdict = stand.verdict.map(|verdict| format!(" ({verdict})"));
    let verdict = verdict.unwrap_or_default();
    let why = match (stand.standing, stand.why) {
        // a verdict in brackets says it already
        (Standing::Undecided | Standing::SawAnother | Standing::LeftOut, _) | (_, None) => {
            String::new()
        }
        (_, Some(why)) => format!(" {}", why.sentence()),
    };
    format!("{}{verdict}{why}", stand.standing.sentence())
}

/// A decision as one JSON object, with what was wrong with what was given.
#[must_use]
pub fn value(judged: &Judged, problems: &[Problem], exit_code: u8) -> Value {
    let mut value = file(judged);
    value["exit_code"] = json!(exit_code);
    value["problems"] = json!(super::problems(problems));
    value
}

/// A decision as one JSON object.
#[must_use]
pub fn file(judged: &Judged) -> Value {
    let found = judged.found.iter();
    let found = found.map(|(statement, name)| (statement.to_string(), json!(name)));
    json!({
        "decision": judged.decision.outcome,
        "sentence": sentence(&judged.decision),
        "subject": SubjectReport::from(&judged.asked),
        "policy": Document::from(&judged.decision),
        "statements": found.collect::<serde_json::Map<_, _>>(),
    })
}
