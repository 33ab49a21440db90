//! What a repository says about its tags: the answers of git's smart protocol, and which names of
//! tags are usable.
//!
//! Pure: bytes in, values out. A name that breaks a rule is skipped and counted, it never ends the
//! listing: one bad tag must not hide the others.

use std::collections::BTreeMap;

use countersign_attest::digest::GitOid;
use countersign_attest::escape::is_printable;
use serde::{Deserialize, Serialize};

use super::error::printable;
use super::pkt::{self, Packet, PacketError};

/// What every name of a tag starts with.
pub(crate) const TAGS: &str = "refs/tags/";
/// Longest name of a tag in bytes.
pub(crate) const MAX_NAME: usize = 250;
/// How many skipped names are kept as examples.
const MAX_EXAMPLES: usize = 20;

/// A tag as a repository advertises it. Unverified: the fetch checks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AdvertisedTag {
    /// The name without `refs/tags/`. Legal names may hold `<`, `&` and quotes: escape them.
    pub name: String,
    /// The object that the tag names: a tag object where the tag is annotated.
    pub oid: GitOid,
    /// What the tag object leads to, where the repository says so.
    pub peeled: Option<GitOid>,
}

/// A name that was skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SkippedTag {
    /// The name, made printable.
    pub name: String,
    /// The rule that it breaks.
    pub reason: String,
}

/// All tags of a repository, sorted by name, each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listing {
    /// The usable ones. None in an empty repository.
    pub tags: Vec<AdvertisedTag>,
    /// How many were skipped.
    pub skipped: u64,
    /// The first few of those.
    pub skipped_examples: Vec<SkippedTag>,
}

/// What a server can do, learned from its first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Version 2.
    V2 {
        /// Whether a fetch may be shallow.
        shallow: bool,
    },
    /// Version 0 or 1: the first answer is the whole listing.
    V0 {
        /// Whether a fetch may be shallow.
        shallow: bool,
    },
}

/// A server's first answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FirstAnswer {
    /// It speaks version 2 and has to be asked for the tags.
    V2(Protocol),
    /// It speaks version 0 or 1, and these are its tags.
    V0(Protocol, Listing),
}

/// An answer that is not one, or too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    /// Broken framing.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// A line that does not belong there.
    #[error("a line of its answer is not understood: {0}")]
    Line(String),
    /// The server says no, in its own words.
    #[error("it says: {0}")]
    Server(String),
    /// Objects named by another digest.
    #[error("its objects are named by {0}")]
    ObjectFormat(String),
    /// It lacks something that every server has had for many years.
    #[error("it lacks the capability {0}")]
    Capability(&'static str),
    /// More references than the limit.
    #[error("more than {0} references")]
    TooMany(usize),
}

/// Reads the answer to `info/refs?service=git-upload-pack`.
///
/// # Errors
/// When it is not such an answer, or lists more than `max_refs` references.
pub(crate) fn parse_first_answer(
    bytes: &[u8],
    max_refs: usize,
) -> Result<FirstAnswer, AnswerError> {
    let packets = pkt::packets(bytes)?;
    let mut lines = packets.iter().peekable();
    if lines
        .next_if(|packet| is_line(packet, "# service=git-upload-pack"))
        .is_some()
    {
        lines.next_if(|packet| **packet == Packet::Flush);
    }
    if lines
        .next_if(|packet| is_line(packet, "version 2"))
        .is_some()
    {
        return parse_capabilities(lines);
    }
    lines.next_if(|packet| is_line(packet, "version 1"));
    parse_v0(lines, max_refs)
}

/// Reads the answer to `ls-refs`.
///
/// # Errors
/// When it is not such an answer, or lists more than `max_refs` references.
pub(crate) fn parse_ls_refs(bytes: &[u8], max_refs: usize) -> Result<Listing, AnswerError> {
    let mut collector = Collector::new(max_refs);
    let packets = pkt::packets(bytes)?;
    let mut ended = false;
    for packet in &packets {
        match packet {
            Packet::Data(data) => {
                let line = server_line(data)?;
                let (oid, rest) = split_oid(line)?;
                let mut words = rest.split(|&b| b == b' ');
                let name = words.next().unwrap_or_default();
                let peeled = words.find_map(|word| word.strip_prefix(b"peeled:"));
                let peeled = peeled.map(|text| parse_oid(text, line)).transpose()?;
                collector.add(name, oid, peeled)?;
            }
            Packet::Flush => ended = true,
            Packet::Delimiter | Packet::ResponseEnd => {}
        }
    }
    if ended {
        Ok(collector.finish())
    } else {
        Err(PacketError::CutOff.into())
    }
}

/// The request that [`parse_ls_refs`] reads the answer to: all tags, or one.
#[must_use]
pub(crate) fn ls_refs_request(tag: Option<&str>) -> Vec<u8> {
    let mut body = Vec::new();
    pkt::line(&mut body, "command=ls-refs\n");
    pkt::delimiter(&mut body);
    pkt::line(&mut body, "peel\n");
    pkt::line(
        &mut body,
        &format!("ref-prefix {TAGS}{}\n", tag.unwrap_or_default()),
    );
    pkt::flush(&mut body);
    body
}

fn parse_capabilities<'a>(
    lines: impl Iterator<Item = &'a Packet>,
) -> Result<FirstAnswer, AnswerError> {
    let (mut listing, mut fetch, mut shallow, mut ended) = (false, false, false, false);
    for packet in lines {
        let Packet::Data(data) = packet else {
            ended = true;
            break;
        };
        let line = server_line(data)?;
        let (key, value) = split_once(line, b'=').unwrap_or((line, b""));
        match key {
            b"ls-refs" => listing = true,
            b"fetch" => {
                fetch = true;
                shallow = value.split(|&b| b == b' ').any(|word| word == b"shallow");
            }
            b"object-format" if value != b"sha1" => {
                return Err(AnswerError::ObjectFormat(printable(value)));
            }
            _ => {} // agent, server-option and what may come later
        }
    }
    match (ended, listing, fetch) {
        (true, true, true) => Ok(FirstAnswer::V2(Protocol::V2 { shallow })),
        (false, ..) => Err(PacketError::CutOff.into()),
        (_, false, _) => Err(AnswerError::Capability("ls-refs")),
        (_, _, false) => Err(AnswerError::Capability("fetch")),
    }
}

fn parse_v0<'a>(
    lines: impl Iterator<Item = &'a Packet>,
    max_refs: usize,
) -> Result<FirstAnswer, AnswerError> {
    let mut capabilities: Option<Vec<u8>> = None;
    let mut collector = Collector::new(max_refs);
    let mut ended = false;
    for packet in lines {
        let Packet::Data(data) = packet else {
            ended = true;
            break;
        };
        let mut line = server_line(data)?;
        if capabilities.is_none()
            && let Some((before, after)) = split_once(line, 0)
        {
            capabilities = Some(after.to_vec());
            line = before;
        }
        if line.starts_with(b"shallow ") {
            continue;
        }
        let (oid, name) = split_oid(line)?;
        match name.strip_suffix(b"^{}") {
            Some(name) => collector.add_peeled(name, oid),
            None => collector.add(name, oid, None)?,
        }
    }
    let Some(capabilities) = capabilities.filter(|_| ended) else {
        return Err(PacketError::CutOff.into());
    };
    let has = |wanted: &[u8]| {
        capabilities
            .split(|&b| b == b' ')
            .any(|word| word == wanted)
    };
    if !has(b"side-band-64k") {
        return Err(AnswerError::Capability("side-band-64k"));
    }
    if let Some(format) = capabilities
        .split(|&b| b == b' ')
        .find_map(|word| word.strip_prefix(b"object-format="))
        && format != b"sha1"
    {
        return Err(AnswerError::ObjectFormat(printable(format)));
    }
    Ok(FirstAnswer::V0(
        Protocol::V0 {
            shallow: has(b"shallow"),
        },
        collector.finish(),
    ))
}

/// Gathers tags under the limit and the rules for names.
#[derive(Debug)]
pub(crate) struct Collector {
    tags: BTreeMap<String, (GitOid, Option<GitOid>)>,
    listing: Listing,
    seen: usize,
    max_refs: usize,
}

impl Collector {
    pub(crate) fn new(max_refs: usize) -> Self {
        Self {
            tags: BTreeMap::new(),
            listing: Listing::default(),
            seen: 0,
            max_refs,
        }
    }

    /// Takes a reference; one outside `refs/tags/` only counts.
    pub(crate) fn add(
        &mut self,
        name: &[u8],
        oid: GitOid,
        peeled: Option<GitOid>,
    ) -> Result<(), AnswerError> {
        self.seen += 1;
        if self.seen > self.max_refs {
            return Err(AnswerError::TooMany(self.max_refs));
        }
        let Some(name) = name.strip_prefix(TAGS.as_bytes()) else {
            return Ok(());
        };
        match tag_name(name) {
            Err(reason) => self.skip(name, reason),
            Ok(name) if self.tags.contains_key(name) => {
                self.skip(name.as_bytes(), "it is listed twice");
            }
            Ok(name) => {
                self.tags.insert(name.to_owned(), (oid, peeled));
            }
        }
        Ok(())
    }

    /// Completes a tag that came before; what never came is ignored.
    pub(crate) fn add_peeled(&mut self, name: &[u8], oid: GitOid) {
        let name = name
            .strip_prefix(TAGS.as_bytes())
            .and_then(|name| tag_name(name).ok());
        if let Some((_, peeled)) = name.and_then(|name| self.tags.get_mut(name)) {
            *peeled = Some(oid);
        }
    }

    pub(crate) fn skip(&mut self, name: &[u8], reason: &str) {
        self.listing.skipped += 1;
        if self.listing.skipped_examples.len() < MAX_EXAMPLES {
            let skipped = SkippedTag {
                name: printable(name),
                reason: reason.into(),
            };
            self.listing.skipped_examples.push(skipped);
        }
    }

    pub(crate) fn finish(mut self) -> Listing {
        self.listing.tags = self
            .tags
            .into_iter()
            .map(|(name, (oid, peeled))| AdvertisedTag { name, oid, peeled })
            .collect();
        self.listing
    }
}

/// The name of a tag as text, if git allows it (`git check-ref-format`) and we can show it.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn tag_name(name: &[u8]) -> Result<&str, &'static str> {
    let text = str::from_utf8(name).map_err(|_| "it is not UTF-8")?;
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > MAX_NAME {
        return Err("it is longer than 250 bytes");
    }
    if !is_printable(text) {
        return Err("it holds a control or invisible character");
    }
    if text.contains([' ', '~', '^', ':', '?', '*', '[', '\\']) {
        return Err("it holds a character that git does not allow");
    }
    if text.contains("..") || text.contains("@{") || text == "@" {
        return Err("it holds .. or @{");
    }
    for part in text.split('/') {
        if part.is_empty() {
            return Err("a part of it is empty");
        }
        if part.starts_with('.') || part.ends_with('.') || part.ends_with(".lock") {
            return Err("a part of it starts or ends with a dot, or ends with .lock");
        }
    }
    if text.starts_with('-') {
        return Err("it starts with a dash, as an option does");
    }
    Ok(text)
}

fn is_line(packet: &Packet, text: &str) -> bool {
    matches!(packet, Packet::Data(data) if data.strip_suffix(b"\n").unwrap_or(data) == text.as_bytes())
}

/// A line without its end, unless it is the server's refusal.
pub(crate) fn server_line(data: &[u8]) -> Result<&[u8], AnswerError> {
    let line = data.strip_suffix(b"\n").unwrap_or(data);
    match line.strip_prefix(b"ERR ") {
        Some(words) => Err(AnswerError::Server(printable(words))),
        None => Ok(line),
    }
}

fn split_oid(line: &[u8]) -> Result<(GitOid, &[u8]), AnswerError> {
    let (oid, rest) = split_once(line, b' ').ok_or_else(|| AnswerError::Line(printable(line)))?;
    Ok((parse_oid(oid, line)?, rest))
}

fn parse_oid(text: &[u8], line: &[u8]) -> Result<GitOid, AnswerError> {
    let oid = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    oid.ok_or_else(|| AnswerError::Line(printable(line)))
}

fn split_once(line: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = line.iter().position(|&b| b == at)?;
    Some((line.get(..position)?, line.get(position + 1..)?))
}

#[cfg(test)]
mod tests;
