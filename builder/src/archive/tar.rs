//! Walks a tar (v7, ustar, GNU long names, PAX): every header block, every record, every byte after
//! the end.
//!
//! The headers are read here and not by the `tar` crate, because that crate applies extended headers
//! silently, stops at the first zero block without looking further and never shows padding: all
//! places where something can hide. What readers are known to disagree about (sparse files, two
//! names for one member, two sizes, content behind a folder or a link, unknown types) is an error.

use std::io::Read;

use countersign_attest::digest::{Hasher, Sha256};

use super::tar_header::{self as header, BLOCK, Block};
use super::{ArchiveError, Budget, Container, Detail, Field, Kind, Member, Wanted};
use crate::archive::ReadLimits;

/// A record: what writers fill with zeros (POSIX pax §ustar).
const RECORD: u64 = 20 * BLOCK as u64;

/// Counts what is read.
struct Counted<R> {
    reader: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes = self.bytes.saturating_add(read as u64);
        Ok(read)
    }
}

/// Walks a tar to the last byte of `reader`.
///
/// # Errors
/// When the archive is malformed, ambiguous, of a kind that is not read here, or passes a limit.
pub fn walk(
    reader: impl Read,
    limits: &ReadLimits,
    wanted: Option<&mut Wanted>,
) -> Result<Container, ArchiveError> {
    let mut walker = Walker {
        reader: Counted { reader, bytes: 0 },
        budget: Budget::new(limits),
        wanted,
        buffer: vec![0; 1 << 16],
        pending: Pending::default(),
        members: Vec::new(),
    };
    let mut after = None;
    while let Some(block) = walker.block()? {
        if block.iter().all(|byte| *byte == 0) {
            after = Some(walker.end()?);
            break;
        }
        walker.entry(&block)?;
    }
    if !walker.pending.is_empty() {
        return Err(ArchiveError::malformed(
            "an extended header that belongs to no member",
            b"end of the tar",
        ));
    }
    let end = after.unwrap_or_else(|| Detail::new(Field::End, b"zeros 0"));
    Ok(Container {
        details: vec![end],
        members: walker.members,
    })
}

/// What extended headers said about the member that follows.
#[derive(Default)]
struct Pending {
    pax: bool,
    global: bool,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    link_path: Option<Vec<u8>>,
    size: Option<u64>,
    remainder: Vec<u8>,
    details: Vec<Detail>,
}

impl Pending {
    const fn is_empty(&self) -> bool {
        !self.pax && !self.global && self.long_name.is_none() && self.long_link.is_none()
    }

    /// Adds bytes to what must be equal, with tag and length so that no two lists look the same.
    fn keep(&mut self, tag: u8, bytes: &[u8]) {
        keep(&mut self.remainder, tag, bytes);
    }
}

fn keep(remainder: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    remainder.push(tag);
    remainder.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    remainder.extend_from_slice(bytes);
}

struct Walker<'a, 'b, R> {
    reader: Counted<R>,
    budget: Budget<'a>,
    wanted: Option<&'b mut Wanted>,
    buffer: Vec<u8>,
    pending: Pending,
    members: Vec<Member>,
}

impl<R: Read> Walker<'_, '_, R> {
    /// The next block; `None` at a clean end of the file.
    fn block(&mut self) -> Result<Option<Block>, ArchiveError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(ArchiveError::Truncated("tar")),
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(block))
    }

    fn entry(&mut self, block: &Block) -> Result<(), ArchiveError> {
        let name = header::name(block);
        if !header::is_header(block) {
            return Err(ArchiveError::malformed(
                "a tar header whose sum does not match",
                &name,
            ));
        }
        // extended headers count as members: a million of them is a bomb too
        self.budget.member()?;
        self.budget.metadata(BLOCK as u64)?;
        let size = header::size(block)
            .ok_or_else(|| ArchiveError::malformed("a tar header without a size", &name))?;
        match header::type_flag(block) {
            b'x' => self.pax(block, size),
            b'g' => self.global(block, size),
            b'L' => {
                let value = self.long(block, size)?;
                once(&mut self.pending.long_name, value, "two GNU long names")
            }
            b'K' => {
                let value = self.long(block, size)?;
                once(&mut self.pending.long_link, value, "two GNU long links")
            }
            flag => self.member(block, flag, size),
        }
    }

    /// Reads the content of an extended header into memory.
    fn data(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        self.budget.metadata(size)?;
        let mut data = Vec::new();
        let read = self.reader.by_ref().take(size).read_to_end(&mut data)?;
        if read as u64 != size {
            return Err(ArchiveError::Truncated("tar"));
        }
        let padding = self.padding(size)?;
        if !padding.is_empty() {
            self.pending.keep(b'p', &padding);
        }
        Ok(data)
    }

    /// Reads up to the next block boundary; zeros come back as nothing.
    fn padding(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        let want = size.wrapping_neg() % BLOCK as u64;
        let mut padding = Vec::new();
        let read = self.reader.by_ref().take(want).read_to_end(&mut padding)?;
        if read as u64 != want {
            return Err(ArchiveError::Truncated("tar"));
        }
        if padding.iter().all(|byte| *byte == 0) {
            padding.clear();
        }
        Ok(padding)
    }

    fn long(&mut self, block: &Block, size: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut value = self.data(size)?;
        let (details, rest) = header::split(block);
        self.pending.details.extend(details);
        self.pending.keep(b'L', &rest);
        self.pending.keep(b'l', &value);
        if value.last() == Some(&0) {
            value.pop();
        }
        if value.contains(&0) {
            return Err(ArchiveError::malformed(
                "a NUL inside a GNU long name",
                &value,
            ));
        }
        Ok(value)
    }

    /// A global header stands as it is, before the member that follows it.
    fn global(&mut self, block: &Block, size: u64) -> Result<(), ArchiveError> {
        let data = self.data(size)?;
        for (key, _) in records(&data, &mut self.budget)? {
            if matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse") {
                return Err(ArchiveError::unsupported(
                    "a global pax header that changes members",
                    key,
                ));
            }
        }
        let (details, rest) = header::split(block);
        self.pending.global = true;
        self.pending.details.extend(details);
        self.pending.keep(b'G', &rest);
        self.pending.keep(b'g', &data);
        Ok(())
    }

    fn pax(&mut self, block: &Block, size: u64) -> Result<(), ArchiveError> {
        if self.pending.pax {
            return Err(ArchiveError::malformed(
                "two pax headers for one member",
                &header::name(block),
            ));
        }
        self.pending.pax = true;
        let data = self.data(size)?;
        let mut kept = false;
        for (key, value) in records(&data, &mut self.budget)? {
            let record = [key, b"=", value].concat();
            if let Some(field) = covered_record(key, value) {
                self.pending.details.push(Detail::new(field, &record));
                continue;
            }
            kept = true;
            self.pending.keep(b'r', &record);
            match key {
                b"path" => once(&mut self.pending.path, value.to_vec(), "two pax paths")?,
                b"linkpath" => {
                    once(
                        &mut self.pending.link_path,
                        value.to_vec(),
                        "two pax link paths",
                    )?;
                }
                b"size" => once(&mut self.pending.size, decimal(value)?, "two pax sizes")?,
                _ if key.starts_with(b"GNU.sparse") => {
                    return Err(ArchiveError::unsupported("a sparse file", key));
                }
                _ => {}
            }
        }
        let (details, rest) = header::split(block);
        if kept || header::link(block) != b"" {
            self.pending.details.extend(details);
            self.pending.keep(b'X', &header::without_size(rest));
        } else {
            let digest = Sha256::of(block);
            let detail = Detail::new(Field::PaxTimesOwnersHeader, digest.as_bytes());
            self.pending.details.push(detail);
        }
        Ok(())
    }

    fn member(&mut self, block: &Block, flag: u8, size: u64) -> Result<(), ArchiveError> {
        let mut pending = std::mem::take(&mut self.pending);
        let name = effective(
            header::name(block),
            pending.long_name.take(),
            pending.path.take(),
        )?;
        let link = effective(
            header::link(block).to_vec(),
            pending.long_link.take(),
            pending.link_path.take(),
        )?;
        self.budget.name(&name)?;
        self.budget.name(&link)?;
        if pending.size.is_some_and(|pax| pax != size) {
            return Err(ArchiveError::malformed("a member with two sizes", &name));
        }
        let kind = kind(flag, &name, link)?;
        if size != 0 && kind != Kind::File {
            return Err(ArchiveError::malformed(
                "content behind a member that is no regular file",
                &name,
            ));
        }
        let mode = header::mode(block)
            .ok_or_else(|| ArchiveError::malformed("a tar header without a mode", &name))?;
        let sha256 = self.content(&name, size, &kind)?;
        let padding = self.padding(size)?;
        let (details, rest) = header::split(block);
        pending.details.extend(details);
        pending.keep(b'H', &rest);
        pending.keep(b'p', &padding);
        let remainder = Sha256::of(&pending.remainder);
        let detail = Detail::new(Field::Remainder, remainder.as_bytes());
        pending.details.push(detail);
        self.members.push(Member {
            name: name.into(),
            kind,
            mode: Some(mode),
            size_bytes: size,
            sha256,
            details: pending.details,
        });
        Ok(())
    }

    fn content(&mut self, name: &[u8], size: u64, kind: &Kind) -> Result<Sha256, ArchiveError> {
        self.budget.content(size)?;
        let mut kept = match &mut self.wanted {
            Some(wanted) if *kind == Kind::File => wanted.begin(name, size)?,
            Some(_) | None => None,
        };
        let mut hasher = Hasher::new();
        let mut content = self.reader.by_ref().take(size);
        loop {
            let read = content.read(&mut self.buffer)?;
            let bytes = self.buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            hasher.update(bytes);
            if let Some(kept) = &mut kept {
                kept.extend_from_slice(bytes);
            }
        }
        let digests = hasher.finish();
        if digests.size_bytes != size {
            return Err(ArchiveError::Truncated("tar"));
        }
        Ok(digests.sha256)
    }

    /// Reads all after the first zero block, which is counted too. Members that stand there are seen
    /// by readers that ignore zeros: they count as bytes that must be equal.
    fn end(&mut self) -> Result<Detail, ArchiveError> {
        let mut hasher = Hasher::new();
        let mut zeros = true;
        loop {
            let read = self.reader.read(&mut self.buffer)?;
            let bytes = self.buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            self.budget.content(read as u64)?;
            zeros &= bytes.iter().all(|byte| *byte == 0);
            hasher.update(bytes);
        }
        let digests = hasher.finish();
        let length = digests.size_bytes.saturating_add(BLOCK as u64);
        let text = if zeros {
            let text = format!("zeros {length}");
            // two blocks end a tar, and zeros fill its last record: not one block more
            let filled = self.reader.bytes.is_multiple_of(RECORD);
            if filled && (2 * BLOCK as u64..RECORD + 2 * BLOCK as u64).contains(&length) {
                return Ok(Detail::new(Field::TarPadding, text.as_bytes()));
            }
            text
        } else {
            format!("bytes {length} {}", digests.sha256)
        };
        Ok(Detail::new(Field::End, text.as_bytes()))
    }
}

fn once<T>(slot: &mut Option<T>, value: T, what: &'static str) -> Result<(), ArchiveError> {
    if slot.replace(value).is_some() {
        return Err(ArchiveError::malformed(what, b"extended header"));
    }
    Ok(())
}

/// Chooses between the header's own text, GNU's and PAX's. GNU's and PAX's together have no defined
/// order.
fn effective(
    own: Vec<u8>,
    gnu: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
) -> Result<Vec<u8>, ArchiveError> {
    match (gnu, pax) {
        (Some(_), Some(pax)) => Err(ArchiveError::malformed("a member with two names", &pax)),
        (Some(text), None) | (None, Some(text)) => Ok(text),
        (None, None) => Ok(own),
    }
}

fn kind(flag: u8, name: &[u8], link: Vec<u8>) -> Result<Kind, ArchiveError> {
    Ok(match flag {
        // v7 marks folders by the slash alone
        b'0' | 0 if name.last() == Some(&b'/') => Kind::Folder,
        b'0' | 0 => Kind::File,
        b'1' => Kind::Hardlink(link.into()),
        b'2' => Kind::Symlink(link.into()),
        b'3' => Kind::CharacterDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Folder,
        b'6' => Kind::Fifo,
        b'S' => return Err(ArchiveError::unsupported("a sparse file", name)),
        _ => {
            return Err(ArchiveError::unsupported(
                "a tar member of a rare type",
                name,
            ));
        }
    })
}

/// Charged for each pax record, so that millions of empty ones end at a limit.
const RECORD_BYTES: u64 = 64;

/// Key and value.
type Record<'a> = (&'a [u8], &'a [u8]);

/// Splits pax records: `LENGTH SP KEY=VALUE LF`, the length in plain decimal and exact.
fn records<'d>(
    mut data: &'d [u8],
    budget: &mut Budget<'_>,
) -> Result<Vec<Record<'d>>, ArchiveError> {
    let bad = || ArchiveError::malformed("a damaged pax record", b"extended header");
    let mut list = Vec::new();
    while !data.is_empty() {
        let space = data.iter().position(|b| *b == b' ').ok_or_else(bad)?;
        let (digits, _) = data.split_at_checked(space).ok_or_else(bad)?;
        let length = usize::try_from(decimal(digits)?).map_err(|_| bad())?;
        let (record, rest) = data.split_at_checked(length).ok_or_else(bad)?;
        let body = record
            .get(space + 1..)
            .and_then(|body| body.strip_suffix(b"\n"))
            .ok_or_else(bad)?;
        let equals = body.iter().position(|b| *b == b'=').ok_or_else(bad)?;
        let (key, value) = body.split_at_checked(equals).ok_or_else(bad)?;
        let value = value.get(1..).ok_or_else(bad)?;
        if key.is_empty() || value.contains(&0) {
            return Err(bad());
        }
        // what a record costs in memory beside its own bytes
        budget.metadata(RECORD_BYTES)?;
        list.push((key, value));
        data = rest;
    }
    Ok(list)
}

/// Plain decimal without sign or leading zero.
fn decimal(text: &[u8]) -> Result<u64, ArchiveError> {
    let bad = || ArchiveError::malformed("a damaged number in a pax header", text);
    let plain = text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || !text.starts_with(b"0"));
    let text = std::str::from_utf8(text).map_err(|_| bad())?;
    text.parse().ok().filter(|_| plain).ok_or_else(bad)
}

/// The field of a record that holds a time or an owner and nothing else.
fn covered_record(key: &[u8], value: &[u8]) -> Option<Field> {
    let number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    match key {
        b"mtime" | b"atime" | b"ctime" => {
            let value = value.strip_prefix(b"-").unwrap_or(value);
            let mut parts = value.splitn(2, |b| *b == b'.');
            parts.all(number).then_some(Field::PaxTime)
        }
        b"uid" | b"gid" => number(value).then_some(Field::PaxOwner),
        b"uname" | b"gname" => Some(Field::PaxOwner),
        _ => None,
    }
}
