//! The table of a scan in words and as JSON. What a list or an operator wrote is shown escaped; nothing
//! here decides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use countersign_attest::decide::{Outcome, Reason, Standing};
use countersign_attest::escape::printable;
use countersign_attest::purl::Purl;
use countersign_verify::attestation::Problem;
use countersign_verify::by_policy::Judged;
use countersign_verify::exit::Exit;
use countersign_verify::render;
use serde_json::{Value, json};

use super::Entry;
use super::judge::Finding;

/// Widest column of names.
const WIDEST: usize = 48;

/// What a scan came to.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// Every entry with what was found of it.
    pub(crate) findings: &'a [(Entry, Finding)],
    /// What was not believed or not to be had.
    pub(crate) problems: &'a [Problem],
    /// How it ends.
    pub(crate) exit: Exit,
}

/// One word for what became of an entry: a contract.
fn word(finding: &Finding) -> &'static str {
    match (finding, finding.outcome()) {
        (Finding::NameOnly(_), Some(Outcome::Accept)) => "name-only",
        (_, Some(outcome)) => outcome.code(),
        (_, None) => "unconfirmable",
    }
}

impl Report<'_> {
    /// The table, and what it comes to; only entries that are not accepted where `missing` is set.
    pub(crate) fn text(&self, missing: bool) -> String {
        let shown = |finding: &Finding| !missing || word(finding) != Outcome::Accept.code();
        let shown = self.findings.iter().filter(|(_, finding)| shown(finding));
        let rows: Vec<[String; 3]> = shown.map(|(entry, finding)| row(entry, finding)).collect();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let (first, second) = (width(0), width(1).min(WIDEST));
        let mut out = String::new();
        for [word, name, by] in &rows {
            line(&mut out, &format!("{word:<first$}  {name:<second$}  {by}"));
        }
        if !rows.is_empty() {
            out.push('\n');
        }
        self.sums(&mut out);
        for problem in self.problems {
            let name = printable(&problem.name);
            line(&mut out, &format!("note: {name} {}", problem.message));
        }
        out
    }

    fn sums(&self, out: &mut String) {
        let mut words: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, finding) in self.findings {
            *words.entry(word(finding)).or_default() += 1;
        }
        let sums: Vec<String> = words
            .iter()
            .map(|(word, n)| format!("{n} {word}"))
            .collect();
        line(
            out,
            &format!("{} packages: {}", self.findings.len(), sums.join(", ")),
        );
        let by: Vec<String> = self
            .operators()
            .iter()
            .map(|(operator, [confirmed, asked])| format!("{operator} {confirmed} of {asked}"))
            .collect();
        if !by.is_empty() {
            let text = format!("files confirmed by {}", printable(&by.join(", ")));
            line(out, &text);
        }
    }

    /// Of the files about which an operator is asked, how many it confirms.
    fn operators(&self) -> BTreeMap<&str, [usize; 2]> {
        let mut operators: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
        let judged = self.findings.iter().flat_map(|(_, f)| f.judged());
        for (name, stand) in judged.flat_map(|judged| &judged.decision.stands) {
            let [confirmed, asked] = operators.entry(name).or_default();
            *confirmed += usize::from(stand.standing == Standing::Confirms);
            *asked += usize::from(stand.standing != Standing::LeftOut);
        }
        operators
    }

    /// One object.
    pub(crate) fn value(&self) -> Value {
        let packages = self.findings.iter().map(|(entry, finding)| {
            let judged = finding.judged().iter();
            json!({
                "name": entry.name,
                "purl": entry.purl.as_ref().map(Purl::as_str),
                "result": word(finding),
                "why": match finding {
                    Finding::Unconfirmable(why) => Some(why.code()),
                    Finding::Files(_) | Finding::NameOnly(_) => None,
                },
                "files": judged.map(render::by_policy::file).collect::<Vec<_>>(),
            })
        });
        let operators = self.operators().into_iter();
        let operators = operators.map(|(name, [confirmed, asked])| {
            (
                name.to_owned(),
                json!({"confirmed": confirmed, "asked": asked}),
            )
        });
        json!({
            "exit_code": self.exit.code(),
            "packages": packages.collect::<Vec<_>>(),
            "operators": operators.collect::<serde_json::Map<_, _>>(),
            "problems": render::problems(self.problems),
        })
    }
}

fn row(entry: &Entry, finding: &Finding) -> [String; 3] {
    let about = match finding {
        Finding::Unconfirmable(why) => why.sentence().to_owned(),
        Finding::NameOnly(judged) => format!(
            "{}; the bytes that are here were not compared",
            one(judged, finding.outcome())
        ),
        Finding::Files(judged) if judged.len() > 1 => {
            let accepted = judged.iter().map(|judged| judged.decision.outcome);
            let accepted = accepted.filter(|o| *o == Outcome::Accept).count();
            let all = judged.len();
            let rest = one(judged, finding.outcome());
            format!("{accepted} of {all} files that it may be; {rest}")
        }
        Finding::Files(judged) => one(judged, finding.outcome()),
    };
    [word(finding).to_owned(), printable(&entry.name), about]
}

/// Who confirms, who is missing, and why it is not accepted: of one with the decision that counts.
fn one(judged: &[Judged], outcome: Option<Outcome>) -> String {
    let counts = judged.iter().find(|j| Some(j.decision.outcome) == outcome);
    let Some(Judged { decision, .. }) = counts else {
        return String::new();
    };
    let confirming = decision.stands.iter();
    let confirming = confirming.filter(|(_, stand)| stand.standing == Standing::Confirms);
    let confirming: Vec<&str> = confirming.map(|(name, _)| name.as_str()).collect();
    let mut text = match confirming.as_slice() {
        [] => "nobody".to_owned(),
        names => names.join(", "),
    };
    let reasons: BTreeSet<&str> = decision
        .reasons
        .union(&decision.alarms)
        .filter(|reason| **reason != Reason::Confirmed)
        .map(|reason| reason.code())
        .collect();
    for reason in reasons {
        let _ = write!(text, "; {reason}"); // to a String
    }
    let missing: Vec<&str> = decision.missing().collect();
    if outcome == Some(Outcome::NotEnough) && !missing.is_empty() {
        let _ = write!(text, "; missing: {}", missing.join(", "));
    }
    printable(&text)
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}
