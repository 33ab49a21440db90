//! Writing for people and for programs. Whatever a stranger wrote is made printable first.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is where the program speaks"
)]

use std::io::{self, Write};

use countersign_attest::escape::printable;
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

/// Makes a stranger's bytes, which come in pieces, fit for a terminal: all but line ends and tabs is escaped.
#[derive(Debug, Default)]
pub(super) struct Escaper {
    /// The beginning of a character whose rest has not come yet.
    carried: Vec<u8>,
}

impl Escaper {
    /// The next piece, as far as its characters are whole.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.carried.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.carried) {
            Ok(text) => text.len(),
            // what can still become a character waits; what cannot is shown as what it is
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.carried.len(),
        };
        let rest = self.carried.split_off(whole);
        let text = String::from_utf8_lossy(&self.carried).into_owned();
        self.carried = rest;
        let mut shown = String::with_capacity(text.len());
        for part in text.split_inclusive(['\n', '\t']) {
            let blank = part.ends_with(['\n', '\t']);
            let (plain, end) = part.split_at(part.len() - usize::from(blank)); // both are one byte
            shown.push_str(&printable(plain));
            shown.push_str(end);
        }
        shown
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

#[cfg(test)]
mod tests {
    use super::Escaper;

    #[test]
    fn what_strangers_wrote_cannot_drive_a_terminal() {
        for (pieces, shown) in [
            (&[&b"a\tb\nc"[..]][..], "a\tb\nc"),
            (&[b"\x1b]52;c;", b"eA==\x07"], "\\u{1b}]52;c;eA==\\u{7}"),
            (&[b"\xc3", b"\xa9!"], "é!"),
            (&[b"\xe2\x80", b"\xae"], "\\u{202e}"),
            (&[b"\xff", b"x\r\n"], "\u{fffd}x\\u{d}\n"),
        ] {
            let mut escaper = Escaper::default();
            let told: String = pieces.iter().map(|piece| escaper.push(piece)).collect();
            assert_eq!(told, shown, "{pieces:?}");
        }
    }
}
