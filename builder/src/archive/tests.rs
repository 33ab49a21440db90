//! Tests of the walkers.
