//! The normalization `wheel-record/v1`.

use std::collections::HashMap;

use countersign_attest::digest::Sha256;

use super::normalization::{Normalization, Rule, Text};
use crate::archive::{Container, Member};

/// The digests and lengths that a wheel's `RECORD` gives of its members, where they are true, and the
/// order of its lines: both follow from members that are compared by themselves. A line that is not
/// true of its own wheel, names no member, or has another form has to be equal.
pub(super) const V1: Normalization = Normalization {
    id: "wheel-record/v1",
    hides: "digests and lengths in a wheel's RECORD that are true of its members, and the order of \
            its lines",
    rule: Rule::Text(Text {
        applies: is_record,
        canonical,
    }),
};

fn is_record(name: &[u8]) -> bool {
    let folder = name.strip_suffix(b".dist-info/RECORD");
    folder.is_some_and(|folder| !folder.is_empty() && !folder.contains(&b'/'))
}

fn canonical(wheel: &Container, record: &[u8]) -> Option<Vec<u8>> {
    let members = by_name(wheel);
    let text = std::str::from_utf8(record).ok()?;
    let text = text.strip_suffix('\n')?;
    let mut lines: Vec<String> = text
        .split('\n')
        .map(|line| match is_true(&members, line) {
            Some(name) => format!("{name},as it is"),
            None => line.to_owned(),
        })
        .collect();
    lines.sort_unstable();
    lines.push(String::new());
    Some(lines.join("\n").into_bytes())
}

/// Lines about members that are not true of them.
pub(super) fn untrue(wheel: &Container) -> Vec<String> {
    let members = by_name(wheel);
    let records = wheel
        .members
        .iter()
        .filter(|member| is_record(&member.name));
    let texts = records.filter_map(|member| member.content.text.as_deref());
    texts
        .flat_map(|text| text.split(|byte| *byte == b'\n'))
        .filter_map(|line| std::str::from_utf8(line).ok())
        .filter(|line| is_true(&members, line).is_none())
        // its own line and those of signatures have no digest
        .filter(|line| !line.is_empty() && !line.trim_end_matches('\r').ends_with(",,"))
        .map(|line| crate::archive::escape(line.as_bytes()))
        .collect()
}

/// Members whose names do not repeat.
fn by_name(wheel: &Container) -> HashMap<&[u8], Option<&Member>> {
    let mut members = HashMap::new();
    for member in &wheel.members {
        let once = members.entry(&*member.name).or_insert(Some(member));
        if once.is_some_and(|first| !std::ptr::eq(first, member)) {
            *once = None;
        }
    }
    members
}

/// The name in a line of plain CSV whose digest and length are those of the member.
fn is_true<'l>(members: &HashMap<&[u8], Option<&Member>>, line: &'l str) -> Option<&'l str> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let mut fields = line.rsplitn(3, ',');
    let (length, digest, name) = (fields.next()?, fields.next()?, fields.next()?);
    if name.contains([',', '"']) {
        return None; // quoted, or not what it seems
    }
    let content = &(*members.get(name.as_bytes())?)?.content;
    let same = length == content.size_bytes.to_string()
        && digest.strip_prefix("sha256=")? == url_safe(content.sha256);
    same.then_some(name)
}

/// RFC 4648 section 5 without padding, as PEP 376 has it.
fn url_safe(digest: Sha256) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(43);
    for three in digest.as_bytes().chunks(3) {
        let bits = three
            .iter()
            .fold(0usize, |bits, byte| bits << 8 | usize::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for place in (0..4).rev().take(three.len() + 1) {
            text.push(char::from(LETTERS[bits >> (6 * place) & 63])); // 63 < 64
        }
    }
    text
}
