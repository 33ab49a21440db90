//! Reads a stranger's statement. Reached through [`crate::dsse::open`] only after its signatures are
//! good, but a trusted key may still sign nonsense: everything is checked again here.

use serde::Deserialize;

use super::contradiction::Contradiction;
use super::predicate::{BuildPredicate, Subject, VerdictPredicate, WithdrawnPredicate};
use super::rules;
use super::{text, types};
use crate::json::{self, JsonError};

/// Says why bytes are not a statement that we believe.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Not JSON, over a limit, or a key stands twice.
    #[error("reading a statement")]
    Json(#[source] JsonError),
    /// `_type` is another one.
    #[error("a document of another _type than an in-toto statement v1")]
    NotAStatement,
    /// A predicate type that this version does not read.
    #[error("a statement of the type {0:?}, which this version does not read")]
    UnknownType(String),
    /// A verdict is about exactly one file.
    #[error("a verdict on {0} subjects instead of one")]
    Subjects(usize),
    /// The predicate has another shape.
    #[error("a predicate of another shape")]
    Predicate(#[source] serde_json::Error),
    /// The fields contradict each other.
    #[error("a statement that contradicts itself")]
    Contradiction(#[source] Contradiction),
}

/// A statement of one of our types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// A verdict on one published artifact.
    Verdict(Box<VerdictStatement>),
    /// An earlier verdict does not hold any more.
    Withdrawn(Box<WithdrawnStatement>),
    /// What a rebuilder built: provenance or a build record. No verdict on anything published.
    Build(Box<BuildStatement>),
}

/// A verdict and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictStatement {
    /// The published artifact.
    pub subject: Subject,
    /// What is said of it.
    pub predicate: VerdictPredicate,
}

/// A verdict that its rebuilder takes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithdrawnStatement {
    /// The published artifact.
    pub subject: Subject,
    /// Which verdict, and why.
    pub predicate: WithdrawnPredicate,
}

/// What was built, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildStatement {
    /// Whether it is SLSA provenance; else a build record.
    pub is_provenance: bool,
    /// The files that were built.
    pub subjects: Vec<Subject>,
    /// How.
    pub predicate: BuildPredicate,
}

#[derive(Deserialize)]
struct Read {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<serde_json::Value>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: serde_json::Value,
}

impl Statement {
    /// Reads a statement's bytes.
    ///
    /// # Errors
    /// When it is not one of ours, or breaks a rule that the signer would have kept.
    pub fn parse(bytes: &[u8], limits: &json::Limits) -> Result<Self, StatementError> {
        let read: Read = json::from_slice(bytes, limits).map_err(StatementError::Json)?;
        if read.statement_type != types::STATEMENT {
            return Err(StatementError::NotAStatement);
        }
        match read.predicate_type.as_str() {
            types::REPRODUCED
            | types::ASSISTED
            | types::EQUIVALENT
            | types::DIFFERS
            | types::NOT_REBUILT => verdict(read),
            types::WITHDRAWN => withdrawn(read),
            types::PROVENANCE => build(read, true),
            types::BUILD_RECORD => build(read, false),
            _ => Err(StatementError::UnknownType(read.predicate_type)),
        }
    }
}

fn one_subject(subjects: Vec<serde_json::Value>) -> Result<Subject, StatementError> {
    let count = subjects.len();
    let [subject]: [serde_json::Value; 1] = subjects
        .try_into()
        .map_err(|_| StatementError::Subjects(count))?;
    serde_json::from_value(subject).map_err(StatementError::Predicate)
}

fn withdrawn(read: Read) -> Result<Statement, StatementError> {
    let subject = one_subject(read.subject)?;
    let predicate: WithdrawnPredicate =
        serde_json::from_value(read.predicate).map_err(StatementError::Predicate)?;
    rules::check_withdrawn(&subject, &predicate).map_err(StatementError::Contradiction)?;
    Ok(Statement::Withdrawn(Box::new(WithdrawnStatement {
        subject,
        predicate,
    })))
}

fn verdict(read: Read) -> Result<Statement, StatementError> {
    let subject = one_subject(read.subject)?;
    let predicate: VerdictPredicate =
        serde_json::from_value(read.predicate).map_err(StatementError::Predicate)?;
    rules::check(&read.predicate_type, &subject, &predicate)
        .map_err(StatementError::Contradiction)?;
    Ok(Statement::Verdict(Box::new(VerdictStatement {
        subject,
        predicate,
    })))
}

fn build(read: Read, is_provenance: bool) -> Result<Statement, StatementError> {
    let subjects = read.subject.into_iter().map(serde_json::from_value);
    let subjects: Vec<Subject> = subjects
        .collect::<Result<_, _>>()
        .map_err(StatementError::Predicate)?;
    let predicate: BuildPredicate =
        serde_json::from_value(read.predicate).map_err(StatementError::Predicate)?;
    if predicate.build_definition.build_type != types::BUILD_TYPE {
        return Err(StatementError::UnknownType(
            predicate.build_definition.build_type,
        ));
    }
    if subjects.is_empty() {
        return Err(StatementError::Contradiction(Contradiction::NothingBuilt));
    }
    text::check_built(&subjects, &predicate).map_err(StatementError::Contradiction)?;
    Ok(Statement::Build(Box::new(BuildStatement {
        is_provenance,
        subjects,
        predicate,
    })))
}
