//! Statements: what they say, how they are composed from facts, and when one is refused.
//!
//! The signer composes a statement from [`Facts`] and refuses contradictions; it never signs bytes
//! that somebody else composed. A reader refuses the same list .

mod facts;

pub use facts::{
    Assist, Build, Comparison, Exit, Facts, IdMode, KeyIsolation, Kind, Log, MemberChange,
    MemberDifference, Network, Normalization, PlanRef, Published, Rebuilder, Rebuilt, Run,
    SignatureState, Source, Stage, Tool,
};
