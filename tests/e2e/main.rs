//! The end-to-end tests: a module per promise, all over the real binary.

mod bad_input;
mod cargo;
mod crash;
mod once;
mod third_party;
mod tidy;
mod verdicts;
mod watching;
