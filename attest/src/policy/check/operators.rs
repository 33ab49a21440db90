//! Operators, their keys and what was revoked of them; and witnesses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{PolicyError, scope, time, verifier_key, wrong};
use crate::digest::Sha256;
use crate::key::AnyPublicKey;
use crate::merkle::Tree;
use crate::policy::written::{
    KeepEntry, KeyEntry, KeyTerms, OperatorEntry, RevokedEntry, WitnessesEntry,
};
use crate::policy::{Operator, OperatorKey, Revocation, VerifierKey, Witnesses, software};

impl OperatorEntry {
    pub(super) fn checked(self, at: &str) -> Result<Operator, PolicyError> {
        if self.keys.is_empty() {
            return wrong(format!("{at}.keys"), "an operator has at least one key");
        }
        let mut keys = Vec::new();
        for (index, entry) in self.keys.into_iter().enumerate() {
            keys.push(entry.checked(&format!("{at}.keys[{index}]"))?);
        }
        if let Some(url) = &self.rebuilder
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            return wrong(format!("{at}.rebuilder"), "write an https:// address");
        }
        let log = match self.log {
            Some(text) => Some(verifier_key(&text, &format!("{at}.log"))?),
            None => None,
        };
        let pins = keys.iter().filter_map(|terms| terms.revoked.as_ref());
        let revoked = self.revoked.map(|r| r.checked(&format!("{at}.revoked")));
        let revoked = revoked.transpose()?;
        if log.is_none() && pins.chain(&revoked).any(|r| r.keep.is_some()) {
            let message =
                "keep is a checkpoint of the operator's log: name it, or write keep: none";
            return wrong(format!("{at}.log"), message);
        }
        let software = self.attrs.0.get("software").map(String::as_str);
        let other = keys.iter().position(|terms| terms.key.ed25519().is_none());
        if let Some(index) = other.filter(|_| software != Some(software::OSS_REBUILD)) {
            let message = format!(
                "with an ecdsa-p256 key only OSS Rebuild's evidence is signed; say attrs: {{ software: {} }}",
                software::OSS_REBUILD
            );
            return wrong(format!("{at}.keys[{index}]"), message);
        }
        let mut publishes = Vec::new();
        for (index, text) in self.publishes.iter().enumerate() {
            publishes.push(scope(text, &format!("{at}.publishes[{index}]"))?);
        }
        Ok(Operator {
            keys,
            rebuilder: self.rebuilder,
            log,
            attributes: self.attrs.0,
            publishes,
            revoked,
        })
    }
}

impl KeyEntry {
    pub(super) fn checked(self, at: &str) -> Result<OperatorKey, PolicyError> {
        let terms = match self {
            Self::Terms(terms) => terms,
            Self::Bare(key) => KeyTerms {
                key,
                from: None,
                until: None,
                revoked: None,
            },
        };
        let Ok(key) = terms.key.parse::<AnyPublicKey>() else {
            return wrong(
                at,
                "a key is written ed25519: and 64, or ecdsa-p256: and 130 hexadecimal characters; countersign key show \
                 prints it",
            );
        };
        let from = time(terms.from, &format!("{at}.from"))?;
        let until = time(terms.until, &format!("{at}.until"))?;
        if let (Some(from), Some(until)) = (from, until)
            && from >= until
        {
            return wrong(format!("{at}.until"), "is not later than from");
        }
        Ok(OperatorKey {
            key,
            from,
            until,
            revoked: terms
                .revoked
                .map(|r| r.checked(&format!("{at}.revoked")))
                .transpose()?,
        })
    }
}

impl RevokedEntry {
    pub(super) fn checked(self, at: &str) -> Result<Revocation, PolicyError> {
        let keep = match self.keep {
            KeepEntry::Word(word) if word == "none" => None,
            KeepEntry::Word(_) => {
                return wrong(format!("{at}.keep"), "write none, or {size, root}");
            }
            KeepEntry::Tree(tree) => {
                let root = STANDARD.decode(&tree.root).unwrap_or_default();
                let Ok(root) = <[u8; 32]>::try_from(root) else {
                    let message = "the root of a checkpoint is 32 bytes in base64";
                    return wrong(format!("{at}.keep.root"), message);
                };
                Some(Tree {
                    size: tree.size,
                    root: Sha256::from_bytes(root),
                })
            }
        };
        Ok(Revocation {
            keep,
            reason: self.reason,
        })
    }
}

impl WitnessesEntry {
    pub(super) fn checked(self) -> Result<Witnesses, PolicyError> {
        let mut of = Vec::new();
        for (index, text) in self.of.iter().enumerate() {
            let at = format!("witnesses.of[{index}]");
            let key = verifier_key(text, &at)?;
            if of
                .iter()
                .any(|other: &VerifierKey| other.key() == key.key())
            {
                return wrong(at, "the same key twice is one witness");
            }
            of.push(key);
        }
        if self.k == 0 || self.k > of.len() {
            return wrong("witnesses.k", format!("between 1 and {}", of.len()));
        }
        Ok(Witnesses { k: self.k, of })
    }
}
