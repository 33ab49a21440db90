//! The canonical serialization that a normalized digest is taken of: a function of one side and of
//! the normalizations that are taken out, and of nothing else.
//!
//! A sequence of byte strings, each preceded by its length as eight little-endian bytes; numbers are
//! eight little-endian bytes, lists are preceded by their number of items:
//! `countersign-normalized/v2`, the ids of the normalizations; then the file's content. A content that
//! is no container is `bytes`, size and SHA-256. A text with parts taken out is `text` and what is
//! left. A container is `container`, the format's word, its details, then for each member the code of
//! its kind, name, link target, mode (empty where there is none), details and content. Details are
//! pairs of field word and value, sorted by field, without the fields that are taken out. Members
//! stand in the order of the archive, or by name where the order is taken out and is free.

use countersign_attest::digest::{Sha256, Sha256Hasher};

use super::normalization::{Normalization, Rule, texts};
use super::order;
use crate::archive::{Container, Content, Detail, Field, Member};

/// Digests the form of a content without what these normalizations take out.
#[must_use]
pub fn normalized_digest(content: &Content, without: &[&Normalization]) -> Sha256 {
    let mut fields = Vec::new();
    let mut sorts = false;
    for normalization in without {
        match &normalization.rule {
            Rule::Fields(list) => fields.extend_from_slice(list),
            Rule::Order => sorts = true,
            Rule::Text(_) => {}
        }
    }
    let mut form = Form {
        hasher: Sha256Hasher::new(),
        without,
        fields,
        sorts,
    };
    form.bytes(b"countersign-normalized/v2");
    form.number(without.len() as u64);
    for normalization in without {
        form.bytes(normalization.id.as_bytes());
    }
    form.content(content);
    form.hasher.finish()
}

/// The text of a member without what the rule that is about it takes out; `None` where there is none.
pub(super) fn canonical_text(
    container: &Container,
    member: &Member,
) -> Option<(&'static Normalization, Vec<u8>)> {
    let text = member.content.text.as_deref()?;
    let (normalization, rule) = texts().find(|(_, rule)| (rule.applies)(&member.name))?;
    Some((normalization, (rule.canonical)(container, text)?))
}

struct Form<'a> {
    hasher: Sha256Hasher,
    without: &'a [&'a Normalization],
    fields: Vec<Field>,
    sorts: bool,
}

impl Form<'_> {
    fn content(&mut self, content: &Content) {
        match content.container() {
            Some(container) => self.container(container),
            None => {
                self.bytes(b"bytes");
                self.number(content.size_bytes);
                self.bytes(content.sha256.as_bytes());
            }
        }
    }

    fn container(&mut self, container: &Container) {
        self.bytes(b"container");
        self.bytes(container.format.word().as_bytes());
        self.details(&container.details);
        self.number(container.members.len() as u64);
        let mut members: Vec<&Member> = container.members.iter().collect();
        if self.sorts && order::is_free(container) {
            members.sort_by_key(|member| &member.name); // names do not repeat there
        }
        for member in members {
            self.bytes(&[member.kind.code()]);
            self.bytes(&member.name);
            self.bytes(member.kind.target());
            match member.mode {
                Some(mode) => self.number(mode.into()),
                None => self.bytes(b""),
            }
            self.details(&member.details);
            match canonical_text(container, member) {
                Some((rule, text)) if self.takes(rule) => {
                    self.bytes(b"text");
                    self.bytes(&text);
                }
                Some(_) | None => self.content(&member.content),
            }
        }
    }

    fn takes(&self, rule: &Normalization) -> bool {
        self.without.iter().any(|known| known.id == rule.id)
    }

    fn details(&mut self, details: &[Detail]) {
        let mut kept: Vec<&Detail> = details
            .iter()
            .filter(|detail| !self.fields.contains(&detail.field))
            .collect();
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
