//! The `countersign` program: the command line, the daemon, and the processes that it is made of.
//!
//! A child is this binary again, with one word as its argument; it begins here, before any runtime,
//! and never reaches the command line.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use crate::trouble::Trouble;

mod clock;
mod crash;
mod identity;
mod trouble;

mod config;

mod difference;

mod apt;
mod blobs;
mod http;
mod mirror;
mod publish;
mod watch;

mod keys;
mod signer;
mod signers;

mod candidates;
mod live;
mod pipeline;
mod roots;
mod sandboxed;
mod service;
mod store;
mod webhook;
mod workshop;

mod api;
mod cli;
mod consult;
mod scan;
mod web;

fn main() -> ExitCode {
    match std::env::args_os()
        .nth(1)
        .as_deref()
        .and_then(std::ffi::OsStr::to_str)
    {
        Some(countersign_builder::child::ARGUMENT) => countersign_builder::child::serve(),
        Some(watch::git_child::ARGUMENT) => watch::git_child::main(),
        Some(signer::ARGUMENT) => signer::child::main(),
        Some(signer::program::ARGUMENT) => signer::program::main(),
        Some(mirror::ARGUMENT) => mirror::child::main(),
        _ => host(),
    }
}

/// A command of a user's. Some read a key or start its signer, so debuggers, core files and
/// `/proc/PID/mem` of the same user are kept out from the first moment, of all of them.
fn host() -> ExitCode {
    match countersign_builder::sandbox::process::make_non_dumpable() {
        Ok(()) => cli::run(),
        Err(error) => cli::give_up(&Trouble::fault("process", error)),
    }
}
