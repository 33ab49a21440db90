//! Temporary.
#![forbid(unsafe_code)]
#![allow(dead_code)]
mod consult;
mod keys;
mod signer;
fn main() {}
