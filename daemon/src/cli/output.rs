//! Writing for people and for programs. Whatever a stranger wrote is made printable first.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is where the program speaks"
)]

use std::io::{self, Write};

use serde::Serialize;

use super::Format;
use crate::trouble::Trouble;

/// Writes one JSON value to standard output. A reader that went away is not an error.
pub(super) fn json<T: Serialize>(value: &T) -> Result<(), Trouble> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| Trouble::fault("output", anyhow::Error::new(error)))?;
    text.push(b'\n');
    write(&text)
}

/// Writes text to standard output. A reader that went away is not an error.
pub(super) fn text(text: &str) -> Result<(), Trouble> {
    write(text.as_bytes())
}

/// Says something on standard error.
pub(super) fn say(message: &str) {
    eprintln!("{message}");
}

/// Says what went wrong: for people on standard error, for programs as the contract's object too.
pub(super) fn trouble(format: Format, trouble: &Trouble) {
    eprintln!("countersign: {trouble}");
    if format == Format::Json {
        let value = serde_json::json!({"error": {
            "kind": trouble.kind(), "code": trouble.code(), "message": trouble.to_string(),
        }});
        let _ = json(&value); // there is nowhere left to say that this failed
    }
}

fn write(bytes: &[u8]) -> Result<(), Trouble> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Trouble::fault(
            "output",
            anyhow::Error::new(error).context("writing to standard output"),
        )),
        _ => Ok(()),
    }
}
