//! One plan in, one outcome out: plans, recipes, environments, sandbox, archives, comparison, judge.
//!
//! The builder never learns who asked. It has no async runtime, no database and no network of its
//! own, and it never logs. What parses or runs untrusted bytes runs in a child of the same binary
//! ([`child`]); the host talks to it through [`channel`].

pub mod outcome;
pub mod plan;
pub mod profile;
pub mod release;

pub mod mirror;

pub mod environment;
pub mod recipe;

pub mod archive;
pub mod compare;
pub mod judge;

pub mod channel;
pub mod child;
pub mod sandbox;
pub mod tree;
