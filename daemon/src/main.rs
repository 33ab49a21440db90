//! placeholder
#![forbid(unsafe_code)]
#![allow(dead_code, unused_imports)]
mod watch;
fn main() {}
