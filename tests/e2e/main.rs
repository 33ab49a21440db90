//! The end-to-end tests: a module per promise, all over the real binary.

#![allow(
    clippy::print_stdout,
    reason = "counts and versions are printed with the result"
)]

mod asking;
mod awaiting;
mod bad_input;
mod cargo;
mod comparing;
mod confined;
mod conventions;
mod crash;
mod deb;
mod encoding;
mod evidence;
mod foreign;
mod fuzzed;
mod gem;
mod histories;
mod holding;
mod hostile;
mod keys;
mod leftovers;
mod mirror;
mod mutants;
mod npm;
mod odd_releases;
mod once;
mod pages;
mod programs;
mod project;
mod pypi;
mod rebuilderd;
mod rooted;
mod running;
mod sandboxed;
mod scan;
mod schemas;
mod serve;
mod source_evidence;
mod start;
mod third_party;
mod tidy;
mod trust;
mod trusting;
mod varying;
mod verdicts;
mod watching;
mod withdraw;
