//! Walks a tar (v7, ustar, GNU long names, PAX): every header block, every record, every byte after
//! the end.
//!
//! The headers are read here and not by the `tar` crate, because that crate applies extended headers
//! silently, stops at the first zero block without looking further and never shows padding: all
//! places where something can hide. What readers are known to disagree about (two names for one
//! member, two sizes, content behind a folder or a link, unknown types) is an error. Of a sparse file
//! the stored bytes are the content and its map has to be equal; that it is one is a finding.

use std::io::{BufRead, Read};

use countersign_attest::digest::{Sha256, Sha256Hasher};

use super::source::Source;
use super::tar_header::{self as header, BLOCK, Block};
use super::tar_pax::{covered_record, decimal, records};
use super::walk::{Look, Place, Walk, content};
use super::{
    ArchiveError, BlockKey, Container, Content, Detail, Field, Format, Kind, Member, ReadLimits,
    Wanted,
};

/// A record: what writers fill with zeros (POSIX pax §ustar).
const RECORD: u64 = 20 * BLOCK as u64;

/// Walks a tar to the last byte of `reader`, and nothing inside its members.
///
/// # Errors
/// When the archive is malformed, ambiguous, of a kind that is not read here, or passes a limit.
pub fn walk(
    mut reader: impl Read,
    limits: &ReadLimits,
    wanted: Option<&mut Wanted>,
) -> Result<Container, ArchiveError> {
    let key = BlockKey::default();
    let look = Look::shallow(limits, &key, wanted);
    container(&mut reader, &Walk::of_file(&look))
}

pub(super) fn container(reader: &mut dyn Read, walk: &Walk<'_>) -> Result<Container, ArchiveError> {
    let mut walker = Walker {
        source: Source::new(reader),
        walk,
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
    let stray = end.field == Field::End && end.value.starts_with(b"bytes");
    Ok(Container {
        format: Format::Tar,
        details: vec![end],
        members: walker.members,
        findings: stray
            .then(|| super::Oddity {
                what: super::FindingKind::StrayBytes,
                detail: "after the end of the tar".to_owned(),
            })
            .into_iter()
            .collect(),
    })
}

/// What extended headers said about the member that follows.
#[derive(Default)]
struct Pending {
    pax: bool,
    global: bool,
    sparse: bool,
    long_name: Option<Long>,
    long_link: Option<Long>,
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

    /// Notes how a name is written in a header, where there is something to note.
    fn place(&mut self, written: Option<Vec<u8>>) {
        if let Some(written) = written {
            let detail = Detail::new(Field::TarNamePlace, &written);
            self.details.push(detail);
        }
    }

    /// Notes that a name is written elsewhere. Where nothing is made of it (`used`), its bytes have to
    /// be equal.
    fn written(&mut self, long: Option<Long>, pax: Option<Vec<u8>>, used: bool) {
        if let Some(long) = long {
            if used {
                let form = Sha256::of(&long.form);
                self.place(Some([b"gnu", form.as_bytes().as_slice()].concat()));
            } else {
                self.keep(b'L', &long.form);
                self.keep(b'l', &long.value);
            }
        }
        match pax {
            Some(_) if used => self.place(Some(b"pax".to_vec())),
            Some(value) => self.keep(b'r', &value),
            None => {}
        }
    }
}

/// A GNU long name: what it says, and the header that carries it.
struct Long {
    value: Vec<u8>,
    form: Vec<u8>,
}

fn keep(remainder: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    remainder.push(tag);
    remainder.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    remainder.extend_from_slice(bytes);
}

struct Walker<'a, 'w> {
    source: Source<'a>,
    walk: &'a Walk<'w>,
    pending: Pending,
    members: Vec<Member>,
}

const WHAT: &str = "tar";

impl Walker<'_, '_> {
    /// The next block; `None` at a clean end of the file.
    fn block(&mut self) -> Result<Option<Block>, ArchiveError> {
        if self.source.peek(1)?.is_empty() {
            return Ok(None);
        }
        self.source.exact(WHAT).map(Some)
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
        self.walk.budget().member()?;
        self.walk.budget().metadata(BLOCK as u64)?;
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
        self.walk.budget().metadata(size)?;
        let mut data = Vec::new();
        let read = self.source.by_ref().take(size).read_to_end(&mut data)?;
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
        let read = self.source.by_ref().take(want).read_to_end(&mut padding)?;
        if read as u64 != want {
            return Err(ArchiveError::Truncated("tar"));
        }
        if padding.iter().all(|byte| *byte == 0) {
            padding.clear();
        }
        Ok(padding)
    }

    /// A GNU header that holds the name or link target of the member that follows.
    fn long(&mut self, block: &Block, size: u64) -> Result<Long, ArchiveError> {
        let mut value = self.data(size)?;
        let ended = value.last() == Some(&0);
        if ended {
            value.pop();
        }
        if value.contains(&0) {
            return Err(ArchiveError::malformed(
                "a NUL inside a GNU long name",
                &value,
            ));
        }
        let mut form = header::without_size(*block).to_vec();
        form.push(u8::from(ended));
        Ok(Long { value, form })
    }

    /// A global header stands as it is, before the member that follows it.
    fn global(&mut self, block: &Block, size: u64) -> Result<(), ArchiveError> {
        let data = self.data(size)?;
        for (key, _) in records(&data, self.walk.budget())? {
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
        for (key, value) in records(&data, self.walk.budget())? {
            let record = [key, b"=", value].concat();
            if let Some(field) = covered_record(key, value) {
                self.pending.details.push(Detail::new(field, &record));
                continue;
            }
            match key {
                b"path" => once(&mut self.pending.path, value.to_vec(), "two pax paths")?,
                b"linkpath" => {
                    let slot = &mut self.pending.link_path;
                    once(slot, value.to_vec(), "two pax link paths")?;
                }
                b"size" => {
                    once(&mut self.pending.size, decimal(value)?, "two pax sizes")?;
                    let detail = Detail::new(Field::PaxHeader, &record);
                    self.pending.details.push(detail);
                }
                _ => {
                    self.pending.sparse |= key.starts_with(b"GNU.sparse");
                    self.pending.keep(b'r', &record);
                }
            }
        }
        if header::is_plain_extension(block) {
            let digest = Sha256::of(block);
            let detail = Detail::new(Field::PaxHeader, digest.as_bytes());
            self.pending.details.push(detail);
        } else {
            let (details, rest) = header::split(block);
            self.pending.details.extend(details);
            self.pending.keep(b'X', &header::without_size(rest));
        }
        Ok(())
    }

    fn member(&mut self, block: &Block, flag: u8, size: u64) -> Result<(), ArchiveError> {
        let mut pending = std::mem::take(&mut self.pending);
        let (long_name, path) = (pending.long_name.take(), pending.path.take());
        let name = effective(header::name(block), &long_name, &path)?;
        let (long_link, link_path) = (pending.long_link.take(), pending.link_path.take());
        let link = effective(header::link(block).to_vec(), &long_link, &link_path)?;
        self.walk.budget().name(&name)?;
        self.walk.budget().name(&link)?;
        if pending.size.is_some_and(|pax| pax != size) {
            return Err(ArchiveError::malformed("a member with two sizes", &name));
        }
        if flag == b'S' {
            pending.sparse = true;
            self.sparse_map(block, &mut pending.remainder)?;
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
        let content = self.content(&name, size, &kind)?;
        let padding = self.padding(size)?;
        let (details, mut rest) = header::split(block);
        pending.details.extend(details);
        let elsewhere = long_name.is_some() || path.is_some();
        pending.place(header::take_name(&mut rest, &name, elsewhere));
        pending.written(long_name, path, true);
        let is_link = matches!(kind, Kind::Symlink(_) | Kind::Hardlink(_));
        if is_link {
            let elsewhere = long_link.is_some() || link_path.is_some();
            pending.place(header::take_link(&mut rest, kind.target(), elsewhere));
        }
        pending.written(long_link, link_path, is_link);
        pending.keep(b'H', &rest);
        pending.keep(b'p', &padding);
        let remainder = Sha256::of(&pending.remainder);
        let detail = Detail::new(Field::Remainder, remainder.as_bytes());
        pending.details.push(detail);
        self.members.push(Member {
            name: name.into(),
            kind,
            mode: Some(mode),
            content,
            details: pending.details,
            sparse: pending.sparse,
        });
        Ok(())
    }

    /// Takes the further blocks of an old GNU sparse map, which have to be equal.
    fn sparse_map(&mut self, block: &Block, remainder: &mut Vec<u8>) -> Result<(), ArchiveError> {
        let mut more = header::sparse_map_goes_on(block);
        while more {
            self.walk.budget().metadata(BLOCK as u64)?;
            let map: Block = self.source.exact(WHAT)?;
            keep(remainder, b'S', &map);
            more = header::sparse_block_goes_on(&map);
        }
        Ok(())
    }

    fn content(&mut self, name: &[u8], size: u64, kind: &Kind) -> Result<Content, ArchiveError> {
        self.walk.budget().content(size)?;
        let place = match kind {
            Kind::File => Place::Member,
            _ => Place::Plain,
        };
        let mut data = self.source.by_ref().take(size);
        let content = content(self.walk, &mut data, name, place)?;
        if content.size_bytes != size {
            return Err(ArchiveError::Truncated(WHAT));
        }
        Ok(content)
    }

    /// Reads all after the first zero block, which is counted too. Members that stand there are seen
    /// by readers that ignore zeros: they count as bytes that must be equal.
    fn end(&mut self) -> Result<Detail, ArchiveError> {
        let (mut hasher, mut length) = (Sha256Hasher::new(), BLOCK as u64);
        let mut zeros = true;
        loop {
            let bytes = self.source.fill_buf()?;
            let taken = bytes.len();
            if taken == 0 {
                break;
            }
            self.walk.budget().content(taken as u64)?;
            zeros &= bytes.iter().all(|byte| *byte == 0);
            hasher.update(bytes);
            length = length.saturating_add(taken as u64);
            self.source.consume(taken);
        }
        let text = if zeros {
            let text = format!("zeros {length}");
            // two blocks end a tar, and zeros fill its last record: not one block more
            let filled = self.source.offset().is_multiple_of(RECORD);
            if filled && (2 * BLOCK as u64..RECORD + 2 * BLOCK as u64).contains(&length) {
                return Ok(Detail::new(Field::TarPadding, text.as_bytes()));
            }
            text
        } else {
            format!("bytes {length} {}", hasher.finish())
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
    gnu: &Option<Long>,
    pax: &Option<Vec<u8>>,
) -> Result<Vec<u8>, ArchiveError> {
    match (gnu, pax) {
        (Some(_), Some(pax)) => Err(ArchiveError::malformed("a member with two names", pax)),
        (Some(Long { value: text, .. }), None) | (None, Some(text)) => Ok(text.clone()),
        (None, None) => Ok(own),
    }
}

fn kind(flag: u8, name: &[u8], link: Vec<u8>) -> Result<Kind, ArchiveError> {
    Ok(match flag {
        // v7 marks folders by the slash alone
        b'0' | 0 if name.last() == Some(&b'/') => Kind::Folder,
        b'0' | 0 | b'S' => Kind::File,
        b'1' => Kind::Hardlink(link.into()),
        b'2' => Kind::Symlink(link.into()),
        b'3' => Kind::CharacterDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Folder,
        b'6' => Kind::Fifo,
        _ => {
            return Err(ArchiveError::unsupported(
                "a tar member of a rare type",
                name,
            ));
        }
    })
}
