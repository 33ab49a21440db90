//! The end-to-end tests: a module per promise, all over the real binary.

mod asking;
mod bad_input;
mod crash;
mod foreign;
mod once;
mod third_party;
mod tidy;
mod verdicts;
mod watching;
