//! Walks a zip forward: every local header with its content, then the central directory, which must
//! tell the same story in the same order, then one end record with which the file ends.
//!
//! The records are read here and not by the `zip` crate, because that crate believes the central
//! directory alone, takes archives with anything before or between the members, and drops repeated
//! names. What is accepted here has no byte between its members; the one thing that may stand before
//! the central directory is an APK Signing Block. zip64, encryption, several disks, stored members of
//! unknown length and methods other than store and deflate are not read.

use std::io::{self, BufRead, Read};

use countersign_attest::digest::Sha256;
use flate2::Crc;

use super::inflate::Inflate;
use super::source::Source;
use super::walk::{Look, Place, Walk, content};
use super::zip_records::{self as records, Central, Shared};
use super::{
    ArchiveError, BlockKey, Container, Content, Detail, Field, Format, Kind, Member, ReadLimits,
    Wanted, zip_apk,
};

/// Flag: sizes follow the data.
const DESCRIPTOR: u16 = 1 << 3;
/// Flags: how hard the encoder tried (APPNOTE 4.4.4, bits 1 and 2). They mean nothing to a reader.
const LEVEL: u16 = 1 << 1 | 1 << 2;
/// Flags: encrypted, patched data, strong encryption, masked headers.
const UNREADABLE: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;
const STORE: u16 = 0;
const DEFLATE: u16 = 8;
const UNIX: u16 = 3;
/// Link targets up to this length are kept, to show them.
const TARGET_BYTES: usize = 512;
const WHAT: &str = "zip";

/// Walks a zip file, and nothing inside its members.
///
/// # Errors
/// When the archive is malformed, contradicts itself, is of a kind that is not read here, or passes
/// a limit.
pub fn walk(
    mut file: impl Read,
    limits: &ReadLimits,
    wanted: Option<&mut Wanted>,
) -> Result<Container, ArchiveError> {
    let key = BlockKey::default();
    let look = Look::shallow(limits, &key, wanted);
    container(&mut file, &Walk::of_file(&look))
}

pub(super) fn container(reader: &mut dyn Read, walk: &Walk<'_>) -> Result<Container, ArchiveError> {
    let mut walker = Walker {
        source: Source::new(reader),
        walk,
    };
    let mut locals = Vec::new();
    while walker.source.peek(4)? == records::LOCAL {
        locals.push(walker.local()?);
    }
    let mut details = Vec::new();
    if !matches!(walker.source.peek(4)?, records::CENTRAL | records::END) {
        zip_apk::signing_block(&mut walker.source, walk, &mut details)?;
    }
    let directory = walker.source.offset();
    let mut members = Vec::with_capacity(locals.len());
    for local in locals {
        members.push(walker.central(local)?);
    }
    details.push(walker.end(directory, members.len())?);
    Ok(Container {
        format: Format::Zip,
        details,
        members,
        findings: Vec::new(),
    })
}

/// A member as it stands in front of its content, and the content.
struct Local {
    offset: u64,
    header: Shared,
    name: Vec<u8>,
    extra: Vec<u8>,
    seen: Seen,
    content: Content,
    deflate: Option<Sha256>,
    target: Vec<u8>,
    /// Whether sizes follow the data, and in what form.
    descriptor: Option<records::Descriptor>,
}

/// What the content turned out to be.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    crc: u32,
    compressed: u64,
    size: u64,
}

impl Seen {
    fn is(self, header: &Shared) -> bool {
        self.crc == header.crc
            && self.compressed == u64::from(header.compressed)
            && self.size == u64::from(header.size)
    }
}

struct Walker<'a, 'w> {
    source: Source<'a>,
    walk: &'a Walk<'w>,
}

impl Walker<'_, '_> {
    fn text(&mut self, length: u16) -> Result<Vec<u8>, ArchiveError> {
        self.walk.budget().metadata(u64::from(length))?;
        let mut text = vec![0; usize::from(length)];
        self.source.fill(&mut text, WHAT)?;
        Ok(text)
    }

    fn local(&mut self) -> Result<Local, ArchiveError> {
        let budget = self.walk.budget();
        budget.member()?;
        budget.metadata((records::LOCAL_BYTES + records::CENTRAL_BYTES) as u64)?;
        let offset = self.source.offset();
        let fixed = self.source.exact(WHAT)?;
        let header = records::local(&fixed)
            .ok_or_else(|| ArchiveError::malformed("a damaged local header", WHAT.as_bytes()))?;
        let name = self.text(header.name_length)?;
        let extra = self.text(header.extra_length)?;
        budget.name(&name)?;
        readable(&header, &name)?;
        let late = header.flags & DESCRIPTOR != 0;
        if late && header.method == STORE && header.compressed == 0 && header.size == 0 {
            // its end could only be guessed from what stands there
            return Err(ArchiveError::unsupported(
                "a stored member of unknown length",
                &name,
            ));
        }
        let (content, seen, deflate, target) = self.content(&header, &name)?;
        let descriptor = match late {
            true => Some(self.descriptor(seen, &name)?),
            false => None,
        };
        // with a descriptor the sizes in front may be zero, and nothing else
        let unknown = (header.crc, header.compressed, header.size) == (0, 0, 0);
        if !(seen.is(&header) || late && unknown) {
            return Err(ArchiveError::malformed(
                "a member whose content does not have the declared length or sum",
                &name,
            ));
        }
        Ok(Local {
            offset,
            header,
            name,
            extra,
            seen,
            content,
            deflate,
            target,
            descriptor,
        })
    }

    fn content(
        &mut self,
        header: &Shared,
        name: &[u8],
    ) -> Result<(Content, Seen, Option<Sha256>, Vec<u8>), ArchiveError> {
        let source = &mut self.source;
        let mut data = Data {
            reader: match header.method {
                STORE => Stored::Plain(source.take(u64::from(header.compressed))),
                _ => Stored::Deflate(Inflate::new(source)),
            },
            walk: self.walk,
            crc: Crc::new(),
            head: Vec::new(),
        };
        let content = content(self.walk, &mut data, name, Place::Member)?;
        let (compressed, deflate) = match data.reader {
            Stored::Plain(_) => (content.size_bytes, None),
            Stored::Deflate(inflate) => (inflate.taken(), Some(inflate.digest())),
        };
        let seen = Seen {
            crc: data.crc.sum(),
            compressed,
            size: content.size_bytes,
        };
        let mut target = data.head;
        if target.len() > TARGET_BYTES {
            target = Vec::new(); // no target that is kept; all of them are held until the directory
        }
        self.walk.budget().metadata(target.len() as u64)?;
        Ok((content, seen, deflate, target))
    }

    /// The form of a data descriptor, whose values are those that were seen.
    fn descriptor(&mut self, seen: Seen, name: &[u8]) -> Result<records::Descriptor, ArchiveError> {
        let bytes = self.source.peek(records::DESCRIPTOR_BYTES)?;
        let form = records::descriptor(bytes, seen.crc, seen.compressed, seen.size)
            .ok_or_else(|| ArchiveError::malformed("a damaged data descriptor", name))?;
        self.source.consume(form.length());
        Ok(form)
    }

    /// Reads the central header of a member that was seen.
    fn central(&mut self, local: Local) -> Result<Member, ArchiveError> {
        let name = &local.name;
        if self.source.peek(4)? != records::CENTRAL {
            return Err(ArchiveError::malformed(
                "a member that the central directory does not have",
                name,
            ));
        }
        let fixed = self.source.exact(WHAT)?;
        let central = records::central(&fixed)
            .ok_or_else(|| ArchiveError::malformed("a damaged central header", name))?;
        let central_name = self.text(central.shared.name_length)?;
        let central_extra = self.text(central.shared.extra_length)?;
        let comment = self.text(central.comment_length)?;
        if central.disk != 0 || central.offset == u32::MAX {
            return Err(ArchiveError::unsupported("a zip of several disks", name));
        }
        if u64::from(central.offset) != local.offset {
            return Err(ArchiveError::malformed(
                "bytes between members, or members in another order than the central directory",
                name,
            ));
        }
        let (shared, header) = (&central.shared, &local.header);
        let same = shared.flags == header.flags
            && shared.method == header.method
            && shared.time == header.time
            && central_name == *name
            && local.seen.is(shared);
        if !same {
            return Err(ArchiveError::malformed(
                "a local header that disagrees with the central directory",
                name,
            ));
        }
        let mut details = vec![
            Detail::new(Field::ZipTime, &shared.time),
            Detail::new(Field::ZipTime, &header.time),
        ];
        let central_rest = records::extras(&central_extra, name, &mut details)?;
        let local_rest = records::extras(&local.extra, name, &mut details)?;
        let mut rest = Vec::new();
        packing(&central, &local, &mut details, &mut rest);
        for text in [&central_rest, &local_rest, &comment] {
            rest.extend_from_slice(&(text.len() as u64).to_le_bytes());
            rest.extend_from_slice(text);
        }
        details.push(Detail::new(Field::Remainder, Sha256::of(&rest).as_bytes()));
        member(&central, local, details)
    }

    /// Reads the end record; it must count what was seen, and nothing may follow it.
    fn end(&mut self, directory: u64, members: usize) -> Result<Detail, ArchiveError> {
        let place = b"end of the zip";
        let size = self.source.offset() - directory; // the directory began there
        match self.source.peek(4)? {
            records::END => {}
            records::CENTRAL => {
                return Err(ArchiveError::malformed(
                    "a central header without a member",
                    place,
                ));
            }
            records::END_64 | records::LOCATOR_64 => {
                return Err(ArchiveError::unsupported("a zip64 archive", place));
            }
            _ => {
                return Err(ArchiveError::malformed(
                    "bytes before or inside the central directory",
                    place,
                ));
            }
        }
        let end = records::end(&self.source.exact(WHAT)?)
            .ok_or_else(|| ArchiveError::malformed("a damaged end record", place))?;
        if end.disks != [0, 0] {
            return Err(ArchiveError::unsupported("a zip of several disks", place));
        }
        let counted = end.counts.map(usize::from) == [members, members];
        if !counted || u64::from(end.offset) != directory || u64::from(end.size) != size {
            return Err(ArchiveError::malformed(
                "an end record that does not fit what is before it",
                place,
            ));
        }
        let comment = self.text(end.comment_length)?;
        // a reader that looks for the end record from behind would find another one
        if comment.windows(4).any(|four| four == records::END) {
            return Err(ArchiveError::malformed("two end records", place));
        }
        if !self.source.peek(1)?.is_empty() {
            return Err(ArchiveError::malformed("bytes after the end record", place));
        }
        Ok(Detail::new(Field::Comment, &comment))
    }
}

#[allow(clippy::large_enum_variant, reason = "one at a time, and on the stack")]
enum Stored<'s, 'r> {
    Plain(io::Take<&'s mut Source<'r>>),
    Deflate(Inflate<&'s mut Source<'r>>),
}

/// The content of a member on its way out, summed.
struct Data<'s, 'r, 'w> {
    reader: Stored<'s, 'r>,
    walk: &'s Walk<'w>,
    crc: Crc,
    /// The first bytes: a link's target, should it be one.
    head: Vec<u8>,
}

impl Read for Data<'_, '_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.reader {
            Stored::Plain(reader) => reader.read(out),
            Stored::Deflate(reader) => reader.read(out),
        }?;
        self.walk.budget().content(read as u64)?;
        let bytes = out.get(..read).unwrap_or_default();
        self.crc.update(bytes);
        let room = (TARGET_BYTES + 1).saturating_sub(self.head.len());
        self.head.extend(bytes.iter().take(room));
        Ok(read)
    }
}

fn readable(header: &Shared, name: &[u8]) -> Result<(), ArchiveError> {
    if header.flags & UNREADABLE != 0 {
        return Err(ArchiveError::unsupported(
            "an encrypted or patched member",
            name,
        ));
    }
    if header.method != STORE && header.method != DEFLATE {
        return Err(ArchiveError::unsupported("a rare compression method", name));
    }
    if [header.size, header.compressed].contains(&u32::MAX) {
        return Err(ArchiveError::unsupported("a zip64 member", name));
    }
    if name.contains(&0) {
        return Err(ArchiveError::malformed("a NUL inside a name", name));
    }
    Ok(())
}

/// Sets apart how the content was packed and who packed it; the rest goes to `rest`.
fn packing(central: &Central, local: &Local, details: &mut Vec<Detail>, rest: &mut Vec<u8>) {
    let (shared, header) = (&central.shared, &local.header);
    let late = (header.crc, header.compressed, header.size) == (0, 0, 0);
    let mut method = Vec::new();
    for value in [
        shared.method,
        shared.flags & (LEVEL | DESCRIPTOR),
        u16::from(late),
        local.descriptor.map_or(0, records::Descriptor::code),
    ] {
        method.extend_from_slice(&value.to_le_bytes());
    }
    // 1.0 and 2.0 are what store, folders and deflate need
    for needed in [shared.version_needed, header.version_needed] {
        let known = matches!(needed, 10 | 20);
        let list = if known { &mut method } else { &mut *rest };
        list.extend_from_slice(&needed.to_le_bytes());
    }
    details.push(Detail::new(Field::ZipMethod, &method));
    if let Some(deflate) = &local.deflate {
        details.push(Detail::new(Field::ZipDeflate, deflate.as_bytes()));
    }
    let made_by = central.made_by.to_le_bytes();
    match has_unix_mode(central) {
        true => details.push(Detail::new(Field::ZipMadeBy, &made_by)),
        false => rest.extend_from_slice(&made_by),
    }
    for value in [shared.flags & !(LEVEL | DESCRIPTOR), central.internal] {
        rest.extend_from_slice(&value.to_le_bytes());
    }
    rest.extend_from_slice(&central.external.to_le_bytes());
}

/// Whether the upper half of the attributes is a Unix mode for every reader.
const fn has_unix_mode(central: &Central) -> bool {
    central.made_by >> 8 == UNIX
}

fn member(central: &Central, local: Local, details: Vec<Detail>) -> Result<Member, ArchiveError> {
    let (name, size) = (&local.name, local.content.size_bytes);
    let unix = has_unix_mode(central).then_some(central.external >> 16);
    let slash = name.last() == Some(&b'/');
    let kind = match unix.map_or(0, |mode| mode & 0o170_000) {
        0o040_000 => Kind::Folder,
        // a longer target is compared as content
        0o120_000 if size > TARGET_BYTES as u64 => Kind::Symlink(Box::default()),
        0o120_000 => Kind::Symlink(local.target.into()),
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
    let content_fits = matches!(kind, Kind::File | Kind::Symlink(_)) || size == 0;
    if slash != (kind == Kind::Folder) || !content_fits {
        return Err(ArchiveError::malformed(
            "a name, a type and a length that do not fit together",
            name,
        ));
    }
    Ok(Member {
        name: local.name.into(),
        kind,
        mode: unix.map(|mode| mode & 0o7777),
        content: local.content,
        details,
        sparse: false,
    })
}
