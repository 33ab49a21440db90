//! A decision as text for people and as JSON for programs. Everything that a stranger wrote is shown
//! escaped; nothing here decides.

use countersign_attest::decide::{Asked, Form, VerdictSaid};
use countersign_attest::digest::Sha256;
use countersign_attest::escape::printable;
use countersign_attest::key::AnyPublicKey;
use countersign_attest::origin::AssistKind;
use countersign_attest::statement::{MemberChange, VerdictStatement};
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::{Reason, Verdict};
use serde::Serialize;

use super::{ProblemReport, SubjectReport, heading, line};
use crate::by_key::{Answer, Decision, Said};

/// Most differing members that the text names.
const SHOWN_MEMBERS: usize = 10;

/// What every answer from given attestations has to admit.
const PARTIAL: &str = "This is the word of the attestations that were given, of one key, and of no \
public log: whoever gave them, a person or a server, may have left others out.";

/// A decision in words, several lines.
#[must_use]
pub fn text(subject: &Asked, decision: &Decision) -> String {
    let mut out = heading(subject);
    line(&mut out, &sentence(decision));
    if let Some(said) = &decision.decided_by {
        match &said.statement {
            Some(statement) => details(&mut out, said, statement),
            None => evidence(&mut out, said),
        }
    }
    for said in &decision.others {
        line(&mut out, &other(said));
    }
    for problem in &decision.problems {
        line(
            &mut out,
            &format!("note: {} {}", printable(&problem.name), problem.message),
        );
    }
    match decision.answer {
        Answer::Accepted(_)
        | Answer::NotAccepted(_)
        | Answer::Withdrawn
        | Answer::AnotherBinary => {
            line(&mut out, PARTIAL);
        }
        Answer::AboutAnotherFile
        | Answer::BadSignature
        | Answer::Unreadable
        | Answer::Nothing
        | Answer::Unreachable => {}
    }
    out
}

/// The answer in one sentence, the words of DESIGN section 10 first where there is a verdict.
#[must_use]
pub fn sentence(decision: &Decision) -> String {
    match decision.answer {
        Answer::Accepted(verdict) => format!("{}.", verdict.sentence()),
        Answer::NotAccepted(verdict @ (Verdict::Assisted | Verdict::Equivalent)) => {
            format!(
                "{}. Not accepted; --accept {verdict} would accept it.",
                verdict.sentence()
            )
        }
        Answer::NotAccepted(
            verdict @ (Verdict::Reproduced
            | Verdict::Differs
            | Verdict::Unstable
            | Verdict::BuildFailed
            | Verdict::Indeterminate),
        ) => format!("{}. Not accepted.", verdict.sentence()),
        Answer::Withdrawn => {
            "There was a verdict on these bytes, and who signed it took it back. Not accepted."
                .into()
        }
        Answer::AnotherBinary => {
            "A file of this name was attested, and these are other bytes. Not accepted.".into()
        }
        Answer::AboutAnotherFile => {
            "No attestation is about these bytes; what was given is about another file.".into()
        }
        Answer::BadSignature => {
            "No attestation is signed by the given key, so nothing in them counts.".into()
        }
        Answer::Unreadable => "No attestation could be read.".into(),
        Answer::Nothing => "Not checked yet: no verdict was found.".into(),
        Answer::Unreachable => {
            "No verdict was found, and not everybody could be asked; try again.".into()
        }
    }
}

/// What evidence of other software says, and what it leaves open.
fn evidence(out: &mut String, said: &Said) {
    let mut field =
        |name: &str, value: &str| line(out, &format!("  {name:<10} {}", printable(value)));
    let VerdictSaid {
        form,
        verdict,
        decided_on,
        source,
        commit,
        purl,
        ..
    } = &said.said;
    for key in &said.signers {
        field("key", &key.fingerprint());
    }
    if let Some(weaker) = form.weaker(*verdict) {
        field("says", weaker);
    }
    let not_said = || "not said".to_owned();
    field(
        "when",
        &decided_on.map_or_else(not_said, |on| on.to_string()),
    );
    field("source", &source.clone().unwrap_or_else(not_said));
    field(
        "commit",
        &commit.map_or_else(not_said, |commit| commit.to_string()),
    );
    if let Some(purl) = purl {
        field("package", purl.as_str());
    }
}

fn details(out: &mut String, said: &Said, statement: &VerdictStatement) {
    let predicate = &statement.predicate;
    let mut field =
        |name: &str, value: &str| line(out, &format!("  {name:<10} {}", printable(value)));
    field("says", &predicate.rebuilder.id);
    for key in &said.signers {
        field("key", &key.fingerprint());
    }
    field("when", &predicate.decided_on.to_string());
    field("source", &predicate.source.uri);
    field("tag", tag(&predicate.source.reference));
    field("commit", &predicate.source.digest.git_commit.to_string());
    if let Some(purl) = &predicate.published.purl {
        field("package", purl);
    }
    if let Some(reason) = predicate.reason {
        field("reason", &format!("{reason}: {}", reason.sentence()));
    }
    if let Some(build) = &predicate.build {
        let plan = build.plan.digest.sha256;
        field(
            "built",
            &format!("{} by plan sha256:{plan}", times(build.runs.len())),
        );
    }
    for assist in &predicate.assisted_by {
        field("taken", assist_words(assist.kind));
    }
    let Some(comparison) = &predicate.comparison else {
        return;
    };
    for normalization in &comparison.normalizations {
        let changed = normalization
            .changed_published
            .saturating_add(normalization.changed_rebuilt);
        field("after", &format!("{} ({changed} places)", normalization.id));
    }
    for member in comparison.differing_members.iter().take(SHOWN_MEMBERS) {
        field(
            "differs",
            &format!("{} ({})", member.name, change_words(member.what)),
        );
    }
    let hidden = comparison
        .differing_members
        .len()
        .saturating_sub(SHOWN_MEMBERS) as u64;
    let unlisted = hidden.saturating_add(comparison.unlisted_members);
    if unlisted > 0 {
        field("", &format!("and {unlisted} more"));
    }
}

fn other(said: &Said) -> String {
    let what = if said.is_about_subject {
        "said earlier of these bytes".to_owned()
    } else {
        let (name, sha256) = (printable(&said.said.file_name), said.said.sha256);
        format!("is about {name} with sha256:{sha256}")
    };
    let name = printable(&said.name);
    let when = said.said.decided_on;
    let when = when.map_or_else(|| "it does not say when".to_owned(), |on| on.to_string());
    format!("note: {name} {what}: {} ({when})", said.said.verdict)
}

fn tag(reference: &str) -> &str {
    reference.strip_prefix("refs/tags/").unwrap_or(reference)
}

fn times(runs: usize) -> String {
    match runs {
        1 => "once".into(),
        2 => "twice".into(),
        n => format!("{n} times"),
    }
}

const fn assist_words(kind: AssistKind) -> &'static str {
    match kind {
        AssistKind::LockfileInert => "a lock file that only ends up as a member",
        AssistKind::FileTimes => "modification times of members",
        AssistKind::Epoch => "the value of SOURCE_DATE_EPOCH",
        AssistKind::Owners => "owner names or ids of members",
        AssistKind::Commit => "the commit",
        AssistKind::Metadata => "other container metadata",
        AssistKind::OwnRelease => "another release of the same package, which the build needs",
    }
}

const fn change_words(change: MemberChange) -> &'static str {
    match change {
        MemberChange::OnlyPublished => "only in the published file",
        MemberChange::OnlyRebuilt => "only in the rebuilt file",
        MemberChange::Content => "other content",
        MemberChange::Type => "other type",
        MemberChange::Mode => "other permission bits",
        MemberChange::Order => "other position or number",
        MemberChange::Container => "beside the members",
    }
}

/// A decision as one JSON object.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    decision: &'static str,
    exit_code: u8,
    sentence: String,
    subject: SubjectReport<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<SaidReport<'a>>,
    others: Vec<SaidReport<'a>>,
    problems: Vec<ProblemReport<'a>>,
    /// `partial`: from given attestations only, without a log.
    view: &'static str,
}

#[derive(Debug, Serialize)]
struct SaidReport<'a> {
    attestation: &'a str,
    verdict: Verdict,
    /// The form of evidence of other software, and what it says less than a statement.
    #[serde(skip_serializing_if = "Form::is_statement")]
    form: Form,
    #[serde(skip_serializing_if = "Option::is_none")]
    weaker: Option<&'static str>,
    reason: Option<Reason>,
    about: &'a str,
    about_sha256: Sha256,
    rebuilder: Option<&'a str>,
    keys: Vec<String>,
    decided_on: Option<Timestamp>,
    source: Option<&'a str>,
    tag: Option<&'a str>,
    commit: Option<String>,
}

/// A decision as data for `--format json`.
#[must_use]
pub fn report<'a>(subject: &'a Asked, decision: &'a Decision) -> Report<'a> {
    Report {
        decision: decision.answer.word(),
        exit_code: decision.answer.exit().code(),
        sentence: sentence(decision),
        subject: subject.into(),
        decided_by: decision.decided_by.as_ref().map(said_report),
        others: decision.others.iter().map(said_report).collect(),
        problems: decision.problems.iter().map(ProblemReport::from).collect(),
        view: "partial",
    }
}

fn said_report(said: &Said) -> SaidReport<'_> {
    let spoken = &said.said;
    let predicate = said
        .statement
        .as_ref()
        .map(|statement| &statement.predicate);
    SaidReport {
        attestation: &said.name,
        verdict: spoken.verdict,
        form: spoken.form,
        weaker: spoken.form.weaker(spoken.verdict),
        reason: predicate.and_then(|p| p.reason),
        about: &spoken.file_name,
        about_sha256: spoken.sha256,
        rebuilder: predicate.map(|p| p.rebuilder.id.as_str()),
        keys: said.signers.iter().map(AnyPublicKey::key_id).collect(),
        decided_on: spoken.decided_on,
        source: spoken.source.as_deref(),
        tag: predicate.map(|p| tag(&p.source.reference)),
        commit: spoken.commit.map(|commit| commit.to_string()),
    }
}
