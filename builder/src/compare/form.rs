//! The canonical serialization that a normalized digest is taken of.
//!
//! A sequence of byte strings, each preceded by its length as eight little-endian bytes; numbers are
//! eight little-endian bytes, lists are preceded by their number of items:
//! `countersign-normalized/v1`, the format's word, the ids of the normalizations that changed
//! something; then either `payloads` (gzip files of equal payload): for each stream its size and
//! SHA-256, then number and SHA-256 of trailing bytes (empty where there are none); or `members`: the
//! container's details, then for each member in order the code of its kind, name, link target, mode
//! (empty where there is none), size, SHA-256 and details. Details are pairs of field word and value,
//! sorted by field, without the fields that the listed normalizations take out.

use countersign_attest::digest::{Hasher, Sha256};

use super::Applied;
use crate::archive::gzip::Gzip;
use crate::archive::{Container, Detail, Field, Format};

/// Digests what comes to it in the canonical serialization.
pub(super) struct Form {
    hasher: Hasher,
    without: Vec<Field>,
}

impl Form {
    pub(super) fn new(format: Format, applied: &[Applied], without: Vec<Field>) -> Self {
        let mut form = Self {
            hasher: Hasher::new(),
            without,
        };
        form.bytes(b"countersign-normalized/v1");
        form.bytes(format.word().as_bytes());
        form.number(applied.len() as u64);
        for normalization in applied {
            form.bytes(normalization.id.as_bytes());
        }
        form
    }

    pub(super) fn payloads(mut self, gzip: &Gzip) -> Sha256 {
        self.bytes(b"payloads");
        self.number(gzip.streams.len() as u64);
        for stream in &gzip.streams {
            self.number(stream.size_bytes);
            self.bytes(stream.sha256.as_bytes());
        }
        match &gzip.trailing {
            Some((length, sha256)) => {
                self.number(*length);
                self.bytes(sha256.as_bytes());
            }
            None => self.bytes(b""),
        }
        self.hasher.finish().sha256
    }

    pub(super) fn members(mut self, container: &Container) -> Sha256 {
        self.bytes(b"members");
        self.details(&container.details);
        self.number(container.members.len() as u64);
        for member in &container.members {
            self.bytes(&[member.kind.code()]);
            self.bytes(&member.name);
            self.bytes(member.kind.target());
            match member.mode {
                Some(mode) => self.number(mode.into()),
                None => self.bytes(b""),
            }
            self.number(member.size_bytes);
            self.bytes(member.sha256.as_bytes());
            self.details(&member.details);
        }
        self.hasher.finish().sha256
    }

    fn details(&mut self, details: &[Detail]) {
        let without = std::mem::take(&mut self.without);
        let mut kept: Vec<&Detail> = details
            .iter()
            .filter(|detail| !without.contains(&detail.field))
            .collect();
        self.without = without;
        kept.sort_by_key(|detail| detail.field.word()); // stable: the order within a field stays
        self.number(kept.len() as u64);
        for detail in kept {
            self.bytes(detail.field.word().as_bytes());
            self.bytes(&detail.value);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.hasher.update(&(bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }
}
