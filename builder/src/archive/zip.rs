//! Walks a zip: the central directory and every local header, which must tell the same story, and
//! every byte between them, of which there must be none.
//!
//! The records are read here and not by the `zip` crate, because that crate believes the central
//! directory alone, takes archives with anything before or between the members, and drops repeated
//! names. A file that is accepted here consists of local members without gaps, in the order of the
//! central directory, then that directory, then one end record whose comment ends with the file.
//! zip64, encryption, several disks and methods other than store and deflate are not read.

use std::io::{BufReader, Read, Seek, SeekFrom};

use countersign_attest::digest::{Hasher, Sha256};
use flate2::Crc;

use super::inflate::Inflate;
use super::zip_records::{self as records, Central, End, Shared};
use super::{ArchiveError, Budget, Container, Detail, Field, Kind, Member, Wanted};
use crate::archive::ReadLimits;

/// Longest comment of an archive, by the width of its length field.
const COMMENT_BYTES: u64 = u16::MAX as u64;
/// Flag: sizes follow the data.
const DESCRIPTOR: u16 = 1 << 3;
/// Flags: encrypted, patched data, strong encryption, masked headers.
const UNREADABLE: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;
const STORE: u16 = 0;
const DEFLATE: u16 = 8;
const UNIX: u16 = 3;

/// Walks a zip file.
///
/// # Errors
/// When the archive is malformed, contradicts itself, is of a kind that is not read here, or passes
/// a limit.
pub fn walk(
    file: impl Read + Seek,
    limits: &ReadLimits,
    mut wanted: Option<&mut Wanted>,
) -> Result<Container, ArchiveError> {
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut budget = Budget::new(limits);
    let (end, comment, end_offset) = end_record(&mut file)?;
    let directory = directory(&mut file, &end, end_offset, &mut budget)?;
    let mut members = Vec::new();
    let mut offset = 0;
    file.rewind()?;
    for (index, entry) in directory.iter().enumerate() {
        if u64::from(entry.central.offset) != offset {
            return Err(ArchiveError::malformed(
                "bytes between members, or members in another order than the central directory",
                &entry.name,
            ));
        }
        let next = directory
            .get(index + 1)
            .map_or(end.offset, |next| next.central.offset);
        let mut walker = MemberWalk {
            file: &mut file,
            budget: &mut budget,
            offset,
            wanted: wanted.as_deref_mut(),
        };
        members.push(walker.member(entry, u64::from(next))?);
        offset = walker.offset;
    }
    if offset != u64::from(end.offset) {
        return Err(ArchiveError::malformed(
            "bytes between the last member and the central directory",
            b"central directory",
        ));
    }
    let details = vec![Detail::new(Field::Comment, &comment)];
    Ok(Container { details, members })
}

/// Finds the one end record whose comment ends with the file.
fn end_record(file: &mut (impl Read + Seek)) -> Result<(End, Vec<u8>, u64), ArchiveError> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail_bytes = length.min(COMMENT_BYTES + records::END_BYTES as u64);
    let tail_offset = file.seek(SeekFrom::Start(length - tail_bytes))?; // tail_bytes <= length
    let mut tail = Vec::new();
    file.take(tail_bytes).read_to_end(&mut tail)?;
    let mut found = None;
    for index in 0..tail.len() {
        let record = tail
            .get(index..)
            .and_then(<[u8]>::split_first_chunk)
            .and_then(|(fixed, comment)| Some((records::end(fixed)?, comment)));
        let Some((end, comment)) = record else {
            continue;
        };
        if comment.len() != usize::from(end.comment_length) {
            continue;
        }
        if found.is_some() {
            return Err(ArchiveError::malformed(
                "two end records",
                b"end of the zip",
            ));
        }
        found = Some((end, comment.to_vec(), tail_offset + index as u64));
    }
    found.ok_or_else(|| {
        ArchiveError::malformed("no end record that ends with the file", b"end of the zip")
    })
}

/// A member as the central directory has it.
struct Entry {
    central: Central,
    name: Vec<u8>,
    extra: Vec<u8>,
    comment: Vec<u8>,
}

fn directory(
    file: &mut (impl Read + Seek),
    end: &End,
    end_offset: u64,
    budget: &mut Budget<'_>,
) -> Result<Vec<Entry>, ArchiveError> {
    let [count, total] = end.counts;
    if end.disks != [0, 0] || count != total {
        return Err(ArchiveError::unsupported(
            "a zip of several disks",
            b"end record",
        ));
    }
    if count == u16::MAX || end.size == u32::MAX || end.offset == u32::MAX {
        return Err(ArchiveError::unsupported("a zip64 archive", b"end record"));
    }
    if u64::from(end.offset) + u64::from(end.size) != end_offset {
        return Err(ArchiveError::malformed(
            "bytes beside the central directory",
            b"end record",
        ));
    }
    file.seek(SeekFrom::Start(u64::from(end.offset)))?;
    let mut bytes = file.take(u64::from(end.size));
    let mut list = Vec::new();
    for _ in 0..count {
        budget.member()?;
        let mut fixed = [0; records::CENTRAL_BYTES];
        bytes.read_exact(&mut fixed)?;
        let central = records::central(&fixed)
            .ok_or_else(|| ArchiveError::malformed("a damaged central header", b"zip"))?;
        let shared = &central.shared;
        let lengths = [
            shared.name_length,
            shared.extra_length,
            central.comment_length,
        ];
        let mut texts = [Vec::new(), Vec::new(), Vec::new()];
        budget.metadata(records::CENTRAL_BYTES as u64)?;
        for (text, length) in texts.iter_mut().zip(lengths) {
            budget.metadata(u64::from(length))?;
            text.resize(usize::from(length), 0);
            bytes.read_exact(text)?;
        }
        let [name, extra, comment] = texts;
        budget.name(&name)?;
        list.push(Entry {
            central,
            name,
            extra,
            comment,
        });
    }
    if bytes.limit() != 0 {
        return Err(ArchiveError::malformed(
            "bytes after the last central header",
            b"central directory",
        ));
    }
    Ok(list)
}

struct MemberWalk<'a, 'b, R> {
    file: &'a mut BufReader<R>,
    budget: &'a mut Budget<'b>,
    offset: u64,
    wanted: Option<&'a mut Wanted>,
}

impl<R: Read> MemberWalk<'_, '_, R> {
    fn exact(&mut self, length: usize) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = vec![0; length];
        self.file.read_exact(&mut bytes)?;
        self.offset += length as u64;
        Ok(bytes)
    }

    fn member(&mut self, entry: &Entry, next: u64) -> Result<Member, ArchiveError> {
        let central = &entry.central;
        let shared = &central.shared;
        let name = &entry.name;
        readable(central, name)?;
        let mut fixed = [0; records::LOCAL_BYTES];
        self.file.read_exact(&mut fixed)?;
        self.offset += fixed.len() as u64;
        let local = records::local(&fixed)
            .ok_or_else(|| ArchiveError::malformed("a damaged local header", name))?;
        let local_name = self.exact(usize::from(local.name_length))?;
        self.budget.metadata(u64::from(local.extra_length))?;
        let local_extra = self.exact(usize::from(local.extra_length))?;
        agree(shared, &local, name, &local_name)?;
        let mut details = vec![
            Detail::new(Field::ZipTime, &shared.time),
            Detail::new(Field::ZipTime, &local.time),
        ];
        let central_rest = records::extras(&entry.extra, name, &mut details)?;
        let local_rest = records::extras(&local_extra, name, &mut details)?;
        let content = self.content(shared, name, &mut details)?;
        let gap = usize::try_from(next.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let descriptor = self.descriptor(gap, shared, name)?;
        details.push(remainder(
            central,
            &local,
            &[&central_rest, &local_rest, &entry.comment, &descriptor],
        ));
        member(entry, content, details)
    }

    /// Digests the content, and keeps it where it is a link target.
    fn content(
        &mut self,
        shared: &Shared,
        name: &[u8],
        details: &mut Vec<Detail>,
    ) -> Result<Content, ArchiveError> {
        let size = u64::from(shared.size);
        let compressed = u64::from(shared.compressed);
        self.budget.content(size)?;
        let mut keep = match self.wanted.as_deref_mut() {
            Some(wanted) => wanted.begin(name, size)?,
            None => None,
        };
        let mut raw = self.file.by_ref().take(compressed);
        let content = if shared.method == DEFLATE {
            // one byte more than declared shows a stream that is longer than it says
            let mut inflate = Inflate::new(&mut raw);
            let content =
                Content::read((&mut inflate).take(size + 1), name, self.budget, &mut keep)?;
            let mut more = [0];
            if content.size != size || inflate.read(&mut more)? != 0 {
                return Err(ArchiveError::malformed("a member with two sizes", name));
            }
            details.push(Detail::new(Field::Deflate, &inflate.fingerprint()));
            content
        } else {
            Content::read(&mut raw, name, self.budget, &mut keep)?
        };
        if raw.limit() != 0 || content.size != size || content.crc != shared.crc {
            return Err(ArchiveError::malformed(
                "a member whose content does not have the declared length or sum",
                name,
            ));
        }
        self.offset += compressed;
        Ok(content)
    }

    fn descriptor(
        &mut self,
        gap: usize,
        shared: &Shared,
        name: &[u8],
    ) -> Result<Vec<u8>, ArchiveError> {
        let declared = shared.flags & DESCRIPTOR != 0;
        if !declared {
            return Ok(Vec::new()); // a gap shows as a wrong offset of what follows
        }
        if gap != 12 && gap != 16 {
            return Err(ArchiveError::malformed("a damaged data descriptor", name));
        }
        let bytes = self.exact(gap)?;
        if !records::is_descriptor(&bytes, shared) {
            return Err(ArchiveError::malformed("a damaged data descriptor", name));
        }
        // only the form matters from here on: the values are those of the central header
        Ok(vec![u8::from(gap == 16)])
    }
}

struct Content {
    size: u64,
    sha256: Sha256,
    crc: u32,
    /// The first bytes, as many as a name may have and one more.
    head: Vec<u8>,
}

impl Content {
    /// Reads to the end. `keep` gets the bytes, where a caller wants them.
    fn read(
        mut reader: impl Read,
        name: &[u8],
        budget: &Budget<'_>,
        keep: &mut Option<&mut Vec<u8>>,
    ) -> Result<Self, ArchiveError> {
        let head_bytes = usize::try_from(budget.limits.name_bytes).unwrap_or(usize::MAX);
        let (mut hasher, mut crc, mut head) = (Hasher::new(), Crc::new(), Vec::new());
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read =
                reader
                    .read(&mut buffer)
                    .map_err(|error| match ArchiveError::from(error) {
                        ArchiveError::Malformed { what, .. } => ArchiveError::malformed(what, name),
                        other => other,
                    })?;
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            hasher.update(bytes);
            crc.update(bytes);
            if let Some(kept) = keep {
                kept.extend_from_slice(bytes); // the reader ends after the declared size
            }
            let room = head_bytes.saturating_add(1).saturating_sub(head.len());
            head.extend(bytes.iter().take(room));
        }
        let digests = hasher.finish();
        Ok(Self {
            size: digests.size_bytes,
            sha256: digests.sha256,
            crc: crc.sum(),
            head,
        })
    }
}

fn readable(central: &Central, name: &[u8]) -> Result<(), ArchiveError> {
    let shared = &central.shared;
    if shared.flags & UNREADABLE != 0 {
        return Err(ArchiveError::unsupported(
            "an encrypted or patched member",
            name,
        ));
    }
    if shared.method != STORE && shared.method != DEFLATE {
        return Err(ArchiveError::unsupported("a rare compression method", name));
    }
    if [shared.size, shared.compressed, central.offset].contains(&u32::MAX) {
        return Err(ArchiveError::unsupported("a zip64 member", name));
    }
    if central.disk != 0 {
        return Err(ArchiveError::unsupported("a zip of several disks", name));
    }
    if name.contains(&0) {
        return Err(ArchiveError::malformed("a NUL inside a name", name));
    }
    Ok(())
}

/// Refuses a local header that says something else than the central one.
fn agree(
    central: &Shared,
    local: &Shared,
    name: &[u8],
    local_name: &[u8],
) -> Result<(), ArchiveError> {
    let sizes = |s: &Shared| (s.crc, s.compressed, s.size);
    // with a descriptor, local sizes may be zero, and nothing else
    let late = central.flags & DESCRIPTOR != 0 && sizes(local) == (0, 0, 0);
    let same = central.flags == local.flags
        && central.method == local.method
        && central.time == local.time
        && name == local_name
        && (late || sizes(central) == sizes(local));
    if same {
        return Ok(());
    }
    Err(ArchiveError::malformed(
        "a local header that disagrees with the central directory",
        name,
    ))
}

/// All of the headers that is neither position, length nor set apart.
fn remainder(central: &Central, local: &Shared, texts: &[&[u8]]) -> Detail {
    let late = (local.crc, local.compressed, local.size) == (0, 0, 0);
    let mut bytes = Vec::new();
    for value in [
        central.made_by,
        central.shared.version_needed,
        local.version_needed,
        central.shared.flags,
        central.shared.method,
        central.internal,
        u16::from(late),
    ] {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes.extend_from_slice(&central.external.to_le_bytes());
    for text in texts {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text);
    }
    Detail::new(Field::Remainder, Sha256::of(&bytes).as_bytes())
}

fn member(entry: &Entry, content: Content, details: Vec<Detail>) -> Result<Member, ArchiveError> {
    let central = &entry.central;
    let name = &entry.name;
    let unix = (central.made_by >> 8 == UNIX).then_some(central.external >> 16);
    let slash = name.last() == Some(&b'/');
    let kind = match unix.map_or(0, |mode| mode & 0o170_000) {
        0o040_000 => Kind::Folder,
        0o120_000 => Kind::Symlink(content.head.into()),
        0 if slash => Kind::Folder,
        0 | 0o100_000 => Kind::File,
        0o020_000 => Kind::CharacterDevice,
        0o060_000 => Kind::BlockDevice,
        0o010_000 => Kind::Fifo,
        _ => {
            return Err(ArchiveError::unsupported(
                "a zip member of a rare type",
                name,
            ));
        }
    };
    let content_fits = matches!(kind, Kind::File | Kind::Symlink(_)) || content.size == 0;
    if slash != (kind == Kind::Folder) || !content_fits {
        return Err(ArchiveError::malformed(
            "a name, a type and a length that do not fit together",
            name,
        ));
    }
    if kind.target().len() as u64 > 0 && kind.target().len() as u64 != content.size {
        return Err(ArchiveError::malformed(
            "a link target that is too long",
            name,
        ));
    }
    Ok(Member {
        name: name.clone().into(),
        kind,
        mode: unix.map(|mode| mode & 0o7777),
        size_bytes: content.size,
        sha256: content.sha256,
        details,
    })
}
