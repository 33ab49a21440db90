//! Asks other services, for those who check files: what they have, and who they say that they are. What
//! is made of the answers is for others; nothing that a service says is believed here.

pub(crate) mod batch;
pub(crate) mod candidate;
pub(crate) mod identity;
pub(crate) mod rebuilderd;
pub(crate) mod remote;
pub(crate) mod service;
