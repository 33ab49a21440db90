//! Asks rebuilders' services what they have about a file, for `verify`. What is made of the answers is in
//! the crate `countersign-verify`; nothing that a service says is believed here or there.

pub(crate) mod batch;
pub(crate) mod remote;
