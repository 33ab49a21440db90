//! Answers as text for people and as JSON for programs. Everything that a stranger wrote is shown
//! escaped; nothing here decides.

use std::fmt::Write as _;

use countersign_attest::decide::Asked;
use countersign_attest::digest::{Sha256, Sha512};
use countersign_attest::escape::printable;
use countersign_attest::purl::Purl;
use serde::Serialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Found};
use crate::attestation::Problem;

pub mod by_key;
pub mod by_policy;
mod speakers;

/// An answer in words, several lines.
#[must_use]
pub fn text(answer: &Answer) -> String {
    let parts = answer.files.iter().map(|found| match found {
        Found::ByKey(asked, decision) => by_key::text(asked, decision),
        Found::ByPolicy(judged) => by_policy::text(judged, &answer.problems),
        Found::Spoken(asked, speakers) => speakers::text(asked, speakers, &answer.problems),
    });
    parts.collect::<Vec<_>>().join("\n")
}

/// An answer as JSON: an object for a file, or one with a list of them.
#[must_use]
pub fn value(answer: &Answer) -> Value {
    let code = |found: &Found| found.exit(&answer.problems).code();
    let files = answer.files.iter().map(|found| match found {
        // strings and numbers only: none of these can fail
        Found::ByKey(asked, decision) => {
            serde_json::to_value(by_key::report(asked, decision)).unwrap_or_default()
        }
        Found::ByPolicy(judged) => by_policy::value(judged, &answer.problems, code(found)),
        Found::Spoken(asked, speakers) => {
            speakers::value(asked, speakers, &answer.problems, code(found))
        }
    });
    let mut files: Vec<Value> = files.collect();
    if files.len() == 1 {
        files.remove(0)
    } else {
        json!({"exit_code": answer.exit().code(), "files": files})
    }
}

#[derive(Debug, Serialize)]
struct SubjectReport<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha512: Option<Sha512>,
}

impl<'a> From<&'a Asked> for SubjectReport<'a> {
    fn from(asked: &'a Asked) -> Self {
        Self {
            name: asked.file_name.as_deref(),
            purl: asked.purl.as_ref().map(Purl::as_str),
            sha256: asked.sha256,
            sha512: asked.sha512,
        }
    }
}

/// A problem as it stands in JSON.
#[derive(Debug, Serialize)]
pub struct ProblemReport<'a> {
    attestation: &'a str,
    code: &'static str,
    message: &'a str,
}

impl<'a> From<&'a Problem> for ProblemReport<'a> {
    fn from(problem: &'a Problem) -> Self {
        Self {
            attestation: &problem.name,
            code: problem.kind.code(),
            message: &problem.message,
        }
    }
}

/// Problems as they stand in JSON.
#[must_use]
pub fn problems(problems: &[Problem]) -> Vec<ProblemReport<'_>> {
    problems.iter().map(ProblemReport::from).collect()
}

/// What was asked about: the first lines of every text.
fn heading(asked: &Asked) -> String {
    let mut out = String::new();
    let purl = asked.purl.as_ref().map(Purl::as_str);
    let name = asked.file_name.as_deref();
    line(&mut out, &printable(name.or(purl).unwrap_or("these bytes")));
    if let (Some(_), Some(purl)) = (name, purl) {
        line(&mut out, &format!("  {}", printable(purl)));
    }
    if let Some(sha256) = asked.sha256 {
        line(&mut out, &format!("  sha256:{sha256}"));
    } else if let Some(sha512) = asked.sha512 {
        line(&mut out, &format!("  sha512:{sha512}"));
    }
    out
}

fn notes(out: &mut String, problems: &[Problem]) {
    for problem in problems {
        let text = format!("note: {} {}", printable(&problem.name), problem.message);
        line(out, &text);
    }
}

fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{text}"); // writing to a String cannot fail
}
