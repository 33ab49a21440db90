//! What other rebuilders say in formats that are not ours, read as strictly as our own statements.
//!
//! Such evidence says less: that a file was built again with these bytes, and neither when nor from which
//! commit. So it comes out as a testimony that says so, and what it is worth is the decision's to say
//! ([`crate::decide`]). Nothing here is made, signed, or handed to other people's code.

pub mod link;
