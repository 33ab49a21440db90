//! What other rebuilders say in formats that are not ours, read as strictly as our own statements.
//!
//! Such evidence says less than a statement of ours. So it comes out as a testimony that says in which form it was
//! said, with what that form leaves open absent, and what it is worth is the decision's to say
//! ([`crate::decide`]). Nothing here is made, signed, or handed to other people's code.

pub mod link;
pub mod oss_rebuild;
