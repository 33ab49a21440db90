//! Fuzzes the target `oss-rebuild` of `entries.rs`.
#![no_main]

#[path = "../entries.rs"]
#[allow(dead_code, reason = "each target uses a part")]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::run("oss-rebuild", data));
