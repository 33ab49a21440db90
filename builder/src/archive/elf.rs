//! Tells the build id and the debug link of an ELF file apart from all its other bytes.
//!
//! Both name the file by a digest of how it was linked or of its debugging symbols; neither is code.
//! They are set apart only where nothing can run or load them as something else: the note's bytes in
//! a segment that is not executable, the debug link in a section that is not loaded at all. Whatever
//! is unusual stays with the other bytes. There is one pass: notes are looked for in the first part
//! of the file, sections in the last.

use std::io::{BufRead, Read};
use std::ops::Range;

use countersign_attest::digest::{Sha256, Sha256Hasher};

use super::source::Source;
use super::walk::Walk;
use super::{ArchiveError, Container, Detail, Field, Format, numbers};

/// How much of the end of a file is held back until its section table has been read.
const HELD: usize = 256 << 10;
/// Longest build id: SHA-256.
const ID_BYTES: Range<usize> = 8..33;
/// Longest debug link.
const LINK_BYTES: usize = 4096;
const PT_LOAD: u64 = 1;
const PT_NOTE: u64 = 4;
const PF_X: u64 = 1;
const NT_GNU_BUILD_ID: u64 = 3;
const SHT_PROGBITS: u64 = 1;
const SHF_ALLOC: u64 = 2;

/// Reads an ELF file to its end.
pub(super) fn container(reader: &mut dyn Read, walk: &Walk<'_>) -> Result<Container, ArchiveError> {
    walk.budget().member()?;
    let mut source = Source::new(reader);
    let head = source.peek(HEAD)?.to_vec();
    let file = File::of(&head);
    let id = file.as_ref().and_then(|file| file.build_id(&head));
    let mut rest = Rest::new(id.clone());
    loop {
        let bytes = source.fill_buf()?;
        let length = bytes.len();
        if length == 0 {
            break;
        }
        rest.take(bytes);
        source.consume(length);
    }
    let link = file.as_ref().and_then(|file| rest.debug_link(file));
    let mut details = Vec::new();
    if let Some(id) = id.and_then(|range| head.get(range)) {
        details.push(Detail::new(Field::ElfBuildId, id));
    }
    if let Some(link) = &link {
        let bytes = rest.held.get(link.clone()).unwrap_or_default();
        details.push(Detail::new(Field::ElfDebugLink, bytes));
    }
    let remainder = rest.finish(link);
    details.push(Detail::new(Field::Remainder, remainder.as_bytes()));
    Ok(Container {
        format: Format::Elf,
        details,
        members: Vec::new(),
        findings: Vec::new(),
    })
}

/// How much of the beginning is looked at for program headers and notes.
const HEAD: usize = 1 << 16;

/// All bytes but those set apart, on their way to a digest.
struct Rest {
    hasher: Sha256Hasher,
    /// Bytes that went to the digest.
    passed: u64,
    /// The last bytes, not digested yet.
    held: Vec<u8>,
    masked: Option<Range<usize>>,
}

impl Rest {
    fn new(masked: Option<Range<usize>>) -> Self {
        Self {
            hasher: Sha256Hasher::new(),
            passed: 0,
            held: Vec::new(),
            masked,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        if self.held.len() > 2 * HELD {
            let pass = self.held.len() - HELD;
            self.pass(pass);
        }
    }

    /// Digests the first of the held bytes, the build id as zeros.
    fn pass(&mut self, count: usize) {
        if let Some(masked) = self.masked.clone().filter(|_| self.passed == 0) {
            // it lies in the first `HEAD` bytes, which are less than what is held
            if let Some(id) = self.held.get_mut(masked) {
                id.fill(0);
            }
        }
        let rest = self.held.split_off(count.min(self.held.len()));
        self.hasher.update(&self.held);
        self.passed += self.held.len() as u64;
        self.held = rest;
    }

    /// The debug link's place in the held bytes.
    fn debug_link(&self, file: &File) -> Option<Range<usize>> {
        let at = |offset: u64| -> Option<usize> {
            usize::try_from(offset.checked_sub(self.passed)?).ok()
        };
        let table = self.held.get(at(file.sections)?..)?;
        let size = file.section_bytes();
        if size == 0 || file.section_size != size as u64 || file.section_count == 0 {
            return None;
        }
        let sections: Vec<Section> = table
            .chunks_exact(size)
            .take(file.section_count)
            .map(|bytes| file.section(bytes))
            .collect::<Option<_>>()?;
        if sections.len() != file.section_count {
            return None;
        }
        let names = sections.get(file.names)?;
        let names = self
            .held
            .get(at(names.offset)?..)?
            .get(..usize::try_from(names.size).ok()?)?;
        let mut found = sections.iter().filter(|section| {
            let name = usize::try_from(section.name)
                .ok()
                .and_then(|at| names.get(at..));
            name.is_some_and(|name| name.starts_with(b".gnu_debuglink\0"))
        });
        let (section, None) = (found.next()?, found.next()) else {
            return None;
        };
        let end = section.offset.checked_add(section.size)?;
        let loaded = file.segments.iter().any(|segment| {
            segment.kind == PT_LOAD && segment.offset < end && section.offset < segment.end()
        });
        let table_end = file.sections.checked_add((size * sections.len()) as u64)?;
        let overlaps = sections.iter().any(|other| {
            !std::ptr::eq(other, section)
                && other.kind != SHT_NOBITS
                && other.offset < end
                && section.offset < other.offset.saturating_add(other.size)
        });
        let plain = section.kind == SHT_PROGBITS && section.flags & SHF_ALLOC == 0;
        if loaded || overlaps || !plain || (section.offset < table_end && file.sections < end) {
            return None;
        }
        let range = at(section.offset)?..at(end)?;
        is_debug_link(self.held.get(range.clone())?).then_some(range)
    }

    fn finish(mut self, link: Option<Range<usize>>) -> Sha256 {
        if let Some(link) = link.and_then(|link| self.held.get_mut(link)) {
            link.fill(0);
        }
        self.pass(usize::MAX);
        self.hasher.finish()
    }
}

const SHT_NOBITS: u64 = 8;

/// A file name without folders, NULs up to a multiple of four, a sum of four bytes.
fn is_debug_link(bytes: &[u8]) -> bool {
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else {
        return false;
    };
    let (name, rest) = bytes.split_at(end); // a position in it
    let padded = (end + 1).next_multiple_of(4);
    bytes.len() <= LINK_BYTES
        && bytes.len() == padded + 4
        && !name.contains(&b'/')
        && rest.iter().take(padded - end).all(|byte| *byte == 0)
}

/// What the header says, as far as it is needed.
struct File {
    wide: bool,
    big: bool,
    segments: Vec<Segment>,
    sections: u64,
    section_size: u64,
    section_count: usize,
    names: usize,
}

struct Segment {
    kind: u64,
    flags: u64,
    offset: u64,
    size: u64,
}

impl Segment {
    const fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }
}

struct Section {
    name: u64,
    kind: u64,
    flags: u64,
    offset: u64,
    size: u64,
}

impl File {
    fn of(head: &[u8]) -> Option<Self> {
        let (class, order) = (*head.get(4)?, *head.get(5)?);
        if !matches!((class, order), (1 | 2, 1 | 2)) {
            return None;
        }
        let mut file = Self {
            wide: class == 2,
            big: order == 2,
            segments: Vec::new(),
            sections: 0,
            section_size: 0,
            section_count: 0,
            names: 0,
        };
        let half = |file: &Self, wide, narrow| file.number(head, file.either(wide, narrow), 2);
        let table = file.word(head, file.either(32, 28))?;
        let size = usize::try_from(half(&file, 54, 42)?).ok()?;
        let count = usize::try_from(half(&file, 56, 44)?).ok()?;
        file.sections = file.word(head, file.either(40, 32))?;
        file.section_size = half(&file, 58, 46)?;
        file.section_count = usize::try_from(half(&file, 60, 48)?).ok()?;
        file.names = usize::try_from(half(&file, 62, 50)?).ok()?;
        if size != file.either(56, 32) {
            return (count == 0).then_some(file);
        }
        let table = head.get(usize::try_from(table).ok()?..)?;
        for bytes in table.chunks_exact(size).take(count) {
            file.segments.push(Segment {
                kind: file.number(bytes, 0, 4)?,
                flags: file.number(bytes, file.either(4, 24), 4)?,
                offset: file.word(bytes, file.either(8, 4))?,
                size: file.word(bytes, file.either(32, 16))?,
            });
        }
        (file.segments.len() == count).then_some(file)
    }

    const fn either(&self, wide: usize, narrow: usize) -> usize {
        if self.wide { wide } else { narrow }
    }

    const fn section_bytes(&self) -> usize {
        self.either(64, 40)
    }

    fn section(&self, bytes: &[u8]) -> Option<Section> {
        Some(Section {
            name: self.number(bytes, 0, 4)?,
            kind: self.number(bytes, 4, 4)?,
            flags: self.word(bytes, 8)?,
            offset: self.word(bytes, self.either(24, 16))?,
            size: self.word(bytes, self.either(32, 20))?,
        })
    }

    /// A number of four or eight bytes, by the file's class.
    fn word(&self, bytes: &[u8], at: usize) -> Option<u64> {
        self.number(bytes, at, self.either(8, 4))
    }

    fn number(&self, bytes: &[u8], at: usize, length: usize) -> Option<u64> {
        match self.big {
            true => numbers::big(bytes, at, length),
            false => numbers::little(bytes, at, length),
        }
    }

    /// Where the one build id is, if nothing can execute it.
    fn build_id(&self, head: &[u8]) -> Option<Range<usize>> {
        let mut found = Vec::new();
        for segment in self.segments.iter().filter(|s| s.kind == PT_NOTE) {
            let start = usize::try_from(segment.offset).ok()?;
            let notes = head.get(start..usize::try_from(segment.end()).ok()?)?;
            self.notes(notes, start, &mut found);
        }
        found.dedup(); // one note can be in two segments
        let [id] = &found[..] else {
            return None;
        };
        let (start, end) = (id.start as u64, id.end as u64);
        let runs = self.segments.iter().any(|segment| {
            let covers = segment.offset < end && start < segment.end();
            segment.kind == PT_LOAD && covers && segment.flags & PF_X != 0
        });
        (!runs).then(|| id.clone())
    }

    /// The build ids among notes that begin at `start` of the file.
    fn notes(&self, notes: &[u8], start: usize, found: &mut Vec<Range<usize>>) {
        let mut at = 0;
        while let (Some(name), Some(length), Some(kind)) = (
            self.number(notes, at, 4)
                .and_then(|n| usize::try_from(n).ok()),
            self.number(notes, at + 4, 4)
                .and_then(|n| usize::try_from(n).ok()),
            self.number(notes, at + 8, 4),
        ) {
            let Some(text) = notes.get(at + 12..).and_then(|rest| rest.get(..name)) else {
                return;
            };
            let id = at + 12 + name.next_multiple_of(4); // a name inside of 64 KiB
            let Some(end) = id.checked_add(length).filter(|end| *end <= notes.len()) else {
                return;
            };
            if kind == NT_GNU_BUILD_ID && text == b"GNU\0" && ID_BYTES.contains(&length) {
                found.push(start + id..start + end);
            }
            at = end.next_multiple_of(4);
        }
    }
}
