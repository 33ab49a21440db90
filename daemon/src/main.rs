//! The `countersign` program.

#![forbid(unsafe_code)]

#[allow(dead_code)]
mod api;
#[allow(dead_code)]
mod blobs;
#[allow(dead_code)]
mod http;
#[allow(dead_code)]
mod publish;
#[allow(dead_code)]
mod web;

fn main() {}
