//! The vocabulary and the proof: everything a verifier needs, and nothing else.
//!
//! This crate turns facts into signed statements and signed statements back into facts. It touches
//! no file, socket, process or clock: bytes and a `now` go in, values come out. It imports none of
//! our other crates and never logs.

#![forbid(unsafe_code)]

mod canonical;
pub mod digest;
pub mod escape;
pub mod json;
pub mod merkle;
pub mod origin;
pub mod time;
pub mod verdict;

pub mod key;

pub mod purl;
pub mod statement;

pub mod declaration;
pub mod dsse;
pub mod evidence;

pub mod decide;
pub mod policy;

pub mod bundle;
#[cfg(feature = "links")]
pub mod link;
