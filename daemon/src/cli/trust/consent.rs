//! A person's or a script's yes: on a terminal after being shown what it is about, else by naming the
//! key. Silence is a no.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::str::FromStr;

use anyhow::anyhow;
use countersign_attest::key::AnyPublicKey;

use crate::trouble::Trouble;

/// A key as a user was told it: written out, or its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pin {
    /// The key.
    Key(AnyPublicKey),
    /// 64 characters of hexadecimal.
    Fingerprint(String),
}

impl Pin {
    pub(super) fn is(&self, key: &AnyPublicKey) -> bool {
        match self {
            Self::Key(pinned) => pinned == key,
            Self::Fingerprint(pinned) => *pinned == key.key_id(),
        }
    }
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(key) = text.parse() {
            return Ok(Self::Key(key));
        }
        let hex: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let hex = hex.to_ascii_lowercase();
        if hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()) {
            return Ok(Self::Fingerprint(hex));
        }
        Err("a fingerprint is 64 characters of hexadecimal, all of it; a key is ed25519:… or ecdsa-p256:…".into())
    }
}

/// Asks on the terminal, unless the caller said yes before.
///
/// # Errors
/// When there is nobody who could be asked.
pub(super) fn consent(question: &str, said_yes: bool, otherwise: &str) -> Result<bool, Trouble> {
    if said_yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let message = format!("nobody can be asked here, and nothing was changed: {otherwise}");
        return Err(Trouble::refused("usage", anyhow!(message)));
    }
    let failed = |error: io::Error| {
        Trouble::fault("terminal", anyhow!(error).context("asking on the terminal"))
    };
    let mut terminal = io::stderr().lock();
    write!(terminal, "{question} [y/N] ")
        .and_then(|()| terminal.flush())
        .map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_attest::key::PublicKey;

    #[test]
    fn a_pin_is_a_whole_key_or_a_whole_fingerprint() {
        let of = |byte| AnyPublicKey::from(PublicKey::from_bytes([byte; 32]));
        let (key, other) = (of(7), of(8));
        let id = key.key_id();
        for good in [
            key.to_string(),
            key.fingerprint(),
            id.clone(),
            id.to_uppercase(),
        ] {
            let pin: Pin = good.parse().unwrap();
            assert!(pin.is(&key) && !pin.is(&other), "{good}");
        }
        for bad in [
            "",
            &id[1..],
            &format!("{id}0"),
            &id.replace('a', "g"),
            "ed25519:00",
        ] {
            let wrong = bad.parse::<Pin>().is_ok_and(|pin| pin.is(&key));
            assert!(!wrong, "{bad}");
        }
    }
}
