//! Watches source repositories: which tags there are, and the tree of the one that is wanted.
//!
//! The host asks servers over https and reads nothing but pkt-lines ([`refs`], [`fetch`]); packs and
//! objects are opened only by the git child ([`git_child`]), which has no network, no keys, and runs
//! nothing: no hook, filter, submodule, alternate or configuration of a repository is ever obeyed.
//! Never decides what a tag means for a verdict.

pub(crate) mod error;
pub(crate) mod location;

pub(crate) mod schedule;
pub(crate) mod tags;

pub(crate) mod fetch;
pub(crate) mod pkt;
mod reach;
pub(crate) mod refs;
pub(crate) mod upstream;

pub(crate) mod children;
pub(crate) mod export;
pub(crate) mod git;
pub(crate) mod git_child;
pub(crate) mod git_form;
pub(crate) mod local;
pub(crate) mod mirror;
pub(crate) mod object;
pub(crate) mod signature;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

pub(crate) use error::WatchError;
