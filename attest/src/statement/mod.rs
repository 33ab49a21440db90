//! Statements: what they say, how they are composed from facts, and when one is refused.
//!
//! The signer composes a statement from [`Facts`] and refuses contradictions; it never signs bytes
//! that somebody else composed. A reader refuses the same list ([`Statement::parse`]).

mod compose;
mod contradiction;
mod facts;
mod parse;
pub mod predicate;
mod rules;
mod text;
pub mod types;

#[cfg(test)]
pub(crate) mod tests;

pub use compose::{Custody, MAX_STATEMENT_BYTES, companion, compose};
pub use contradiction::Contradiction;
pub use facts::{
    Assist, Build, Comparison, Effect, Enforcement, Exit, Facts, IdMode, Input, KeyIsolation, Kind,
    LimitKind, Log, Means, MemberChange, MemberDifference, Network, Normalization, PlanRef,
    Published, Rebuilder, Rebuilt, Run, SignatureFormat, SignatureState, Signed, Source, Stage,
    Tool, Variation, Withdrawal,
};
pub use parse::{BuildStatement, Statement, StatementError, VerdictStatement, WithdrawnStatement};
