//! Takes bytes in, digests them, and looks for a container in them on the way: the one place where
//! walkers meet, in one pass and in constant memory beside the list of members.
//!
//! The outermost container and what it holds alone (a gzip file's tar) are walked on their own
//! limits. All containers inside members share one more set of limits: whatever they come to, the
//! member's own bytes are read to their end and compared, so that a bomb in a test folder costs what
//! the limits say and hides nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};

use countersign_attest::digest::Sha256Hasher;

use super::limits::Budget;
use super::{
    ArchiveError, Container, Content, Format, Inner, ReadLimits, Unread, Wanted, ar, bzip2, elf,
    gzip, sniff, tar, xz, zip, zstd,
};

/// Where a content is: the position of each member from the outermost container down.
pub type Path = Vec<u32>;

/// The key under which blocks of content are digested: random, so that nobody can prepare contents
/// whose blocks seem the same. Both sides of a comparison must use one key.
#[derive(Debug, Clone, Default)]
pub struct BlockKey(RandomState);

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 1 << 14;

/// What a walk is to find.
pub(super) struct Look<'l> {
    limits: &'l ReadLimits,
    /// Shared by all containers that are inside members.
    nested: Budget<'l>,
    inside_members: bool,
    /// Whether contents are digested; a second reading needs no digests.
    digests: bool,
    keep: fn(&[u8]) -> bool,
    key: &'l BlockKey,
    wanted: RefCell<Option<&'l mut Wanted>>,
    path: RefCell<Path>,
    windows: RefCell<BTreeMap<Path, Window>>,
}

/// A piece of some content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Where it begins.
    pub offset: u64,
    /// How long it may be.
    pub length: usize,
    /// What is there.
    pub bytes: Vec<u8>,
}

/// Walks a file and everything inside it.
///
/// # Errors
/// When the file, or the only thing inside it, cannot be walked to its end.
pub fn look_inside(
    mut file: impl Read,
    limits: &ReadLimits,
    key: &BlockKey,
    keep: fn(&[u8]) -> bool,
) -> Result<Content, ArchiveError> {
    let look = Look {
        inside_members: true,
        keep,
        ..Look::shallow(limits, key, None)
    };
    let walk = Walk::outermost(&look);
    content(&walk, &mut file, b"", Place::Payload)
}

/// Reads a file again for pieces of what is in it. What is not there stays empty.
///
/// # Errors
/// When the file cannot be walked as before.
pub fn read_windows(
    mut file: impl Read,
    limits: &ReadLimits,
    windows: BTreeMap<Path, Window>,
) -> Result<BTreeMap<Path, Window>, ArchiveError> {
    let key = BlockKey::default();
    let look = Look {
        inside_members: true,
        digests: false,
        windows: RefCell::new(windows),
        ..Look::shallow(limits, &key, None)
    };
    let walk = Walk::outermost(&look);
    content(&walk, &mut file, b"", Place::Payload)?;
    let found = std::mem::take(&mut *look.windows.borrow_mut());
    Ok(found)
}

impl<'l> Look<'l> {
    /// Looks at the outermost container alone.
    pub(super) fn shallow(
        limits: &'l ReadLimits,
        key: &'l BlockKey,
        wanted: Option<&'l mut Wanted>,
    ) -> Self {
        Self {
            limits,
            nested: Budget::new(limits),
            inside_members: false,
            digests: true,
            keep: |_| false,
            key,
            wanted: RefCell::new(wanted),
            path: RefCell::default(),
            windows: RefCell::default(),
        }
    }
}

/// One container's walk.
pub(super) struct Walk<'w> {
    look: &'w Look<'w>,
    own: Budget<'w>,
    /// Whether this container is the file, or alone in it.
    chain: bool,
    depth: u64,
    /// Members so far.
    position: Cell<u32>,
}

impl<'w> Walk<'w> {
    pub(super) fn outermost(look: &'w Look<'w>) -> Self {
        Self {
            look,
            own: Budget::new(look.limits),
            chain: true,
            depth: 0,
            position: Cell::new(0),
        }
    }

    /// The walk of a file whose format is known.
    pub(super) fn of_file(look: &'w Look<'w>) -> Self {
        Self {
            depth: 1,
            ..Self::outermost(look)
        }
    }

    fn into(&self, place: Place) -> Self {
        Self {
            own: Budget::new(self.look.limits),
            chain: self.chain && place == Place::Payload,
            depth: self.depth + 1,
            position: Cell::new(0),
            ..*self
        }
    }

    pub(super) const fn budget(&self) -> &Budget<'w> {
        if self.chain {
            &self.own
        } else {
            &self.look.nested
        }
    }

    pub(super) const fn limits(&self) -> &'w ReadLimits {
        self.look.limits
    }
}

/// What some bytes are to the container that they are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// All there is: the file itself, or what a compressed stream holds.
    Payload,
    /// One of many.
    Member,
    /// Nothing to look into: a link's target, a folder's nothing.
    Plain,
}

/// Reads `reader` to its end.
///
/// # Errors
/// Where the layer below fails. A container in the content that cannot be walked is no error here.
pub(super) fn content(
    walk: &Walk<'_>,
    reader: &mut dyn Read,
    name: &[u8],
    place: Place,
) -> Result<Content, ArchiveError> {
    let look = walk.look;
    let outermost = walk.depth == 0 && place == Place::Payload;
    if !outermost {
        look.path.borrow_mut().push(walk.position.get());
        walk.position.set(walk.position.get().saturating_add(1));
    }
    let content = Intake::of(walk, reader, name, place).and_then(|intake| intake.run(place));
    if !outermost {
        look.path.borrow_mut().pop();
    }
    content
}

/// Some content on its way in.
struct Intake<'i, 'w> {
    walk: &'i Walk<'w>,
    reader: &'i mut dyn Read,
    hasher: Sha256Hasher,
    size: u64,
    block: Option<Vec<u8>>,
    blocks: Vec<u64>,
    text: Option<Vec<u8>>,
    found: Option<Vec<u8>>,
    window: Option<Window>,
    /// Whether the layer below failed. It stays so: a walker that swallowed the error cannot make the
    /// rest look well.
    broken: bool,
}

impl<'i, 'w> Intake<'i, 'w> {
    fn of(
        walk: &'i Walk<'w>,
        reader: &'i mut dyn Read,
        name: &[u8],
        place: Place,
    ) -> Result<Self, ArchiveError> {
        let look = walk.look;
        let file = place == Place::Member;
        let wanted = look.wanted.borrow();
        let found = wanted.as_ref().filter(|wanted| file && wanted.wants(name));
        let window = look.windows.borrow_mut().remove(&*look.path.borrow());
        Ok(Self {
            found: found.map(|_| Vec::new()),
            text: (file && (look.keep)(name)).then(Vec::new),
            walk,
            reader,
            hasher: Sha256Hasher::new(),
            size: 0,
            block: look.digests.then(Vec::new),
            blocks: Vec::new(),
            window,
            broken: false,
        })
    }

    fn run(mut self, place: Place) -> Result<Content, ArchiveError> {
        let look = self.walk.look;
        let mut head = Vec::new();
        let first = Format::HEAD_BYTES as u64;
        (&mut self).take(first).read_to_end(&mut head)?;
        let format = match place {
            Place::Payload => sniff(&head),
            Place::Member if look.inside_members => sniff(&head),
            Place::Member | Place::Plain => Format::Other,
        };
        if !matches!(format, Format::Other | Format::Elf) {
            self.block = None; // its parts are compared instead
        }
        let inner = match format {
            Format::Other => Inner::Opaque,
            format => self.walk_inner(format, &head, place)?,
        };
        io::copy(&mut self, &mut io::sink())?;
        self.finish(inner)
    }

    fn walk_inner(
        &mut self,
        format: Format,
        head: &[u8],
        place: Place,
    ) -> Result<Inner, ArchiveError> {
        let inner = self.walk.into(place);
        let depth = inner.limits().depth;
        if inner.depth > depth {
            let what = "containers inside one another";
            let error = ArchiveError::Limit { what, limit: depth };
            return Ok(Inner::Unread(Unread::new(format, &error)));
        }
        let outermost = self.walk.depth == 0;
        match container(format, &mut head.chain(&mut *self), &inner) {
            Ok(container) => Ok(Inner::Container(Box::new(container))),
            // trouble of the layer below is the answer, and so is all trouble of the file itself
            Err(error) if self.broken || outermost => Err(error),
            Err(error) => Ok(Inner::Unread(Unread::new(format, &error))),
        }
    }

    fn finish(mut self, inner: Inner) -> Result<Content, ArchiveError> {
        let look = self.walk.look;
        self.end_block();
        if self.blocks.len() < 2 {
            self.blocks = Vec::new(); // one block says no more than the digest
        }
        if let (Some(found), Some(wanted)) = (self.found, look.wanted.borrow_mut().as_mut()) {
            wanted.found.push(found);
        }
        if let Some(window) = self.window {
            let path = look.path.borrow().clone();
            look.windows.borrow_mut().insert(path, window);
        }
        if let Some(text) = &self.text {
            self.walk.budget().metadata(text.len() as u64)?;
        }
        Ok(Content {
            size_bytes: self.size,
            sha256: self.hasher.finish(),
            blocks: self.blocks,
            inner,
            text: self.text.map(Into::into),
        })
    }

    fn end_block(&mut self) {
        if let Some(block) = self.block.as_mut().filter(|block| !block.is_empty()) {
            self.blocks.push(self.walk.look.key.0.hash_one(&*block));
            block.clear();
        }
    }

    fn take_in(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        if self.walk.look.digests {
            self.hasher.update(bytes);
        }
        let mut rest = bytes;
        while let Some(block) = self.block.as_mut().filter(|_| !rest.is_empty()) {
            let room = (BLOCK_BYTES - block.len()).min(rest.len()); // a full block was ended
            let (now, later) = rest.split_at(room); // room <= rest.len()
            block.extend_from_slice(now);
            rest = later;
            if block.len() == BLOCK_BYTES {
                self.end_block();
            }
        }
        let most = self.walk.limits().text_bytes;
        if let Some(text) = &mut self.text {
            text.extend_from_slice(bytes);
            if text.len() as u64 > most {
                self.text = None;
            }
        }
        if let (Some(found), Some(wanted)) =
            (&mut self.found, self.walk.look.wanted.borrow().as_ref())
        {
            found.extend_from_slice(bytes);
            wanted.fits(found.len() as u64)?;
        }
        if let Some(window) = &mut self.window {
            let skip = window.offset.saturating_sub(self.size);
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            let room = window.length.saturating_sub(window.bytes.len());
            if self.size.saturating_add(bytes.len() as u64) > window.offset {
                window.bytes.extend(bytes.iter().skip(skip).take(room));
            }
        }
        self.size = self.size.saturating_add(bytes.len() as u64);
        Ok(())
    }
}

impl Read for Intake<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.broken {
            return Err(ArchiveError::malformed("damaged compressed data", b"stream").into());
        }
        let result = self.reader.read(out).and_then(|read| {
            self.take_in(out.get(..read).unwrap_or_default())?;
            Ok(read)
        });
        self.broken = matches!(&result, Err(error) if error.kind() != io::ErrorKind::Interrupted);
        result
    }
}

/// Walks a container of a known format to the end of `reader`.
fn container(
    format: Format,
    reader: &mut dyn Read,
    walk: &Walk<'_>,
) -> Result<Container, ArchiveError> {
    match format {
        Format::Gzip => gzip::container(reader, walk),
        Format::Xz => xz::container(reader, walk),
        Format::Zstd => zstd::container(reader, walk),
        Format::Bzip2 => bzip2::container(reader, walk),
        Format::Tar => tar::container(reader, walk),
        Format::Zip => zip::container(reader, walk),
        Format::Ar => ar::container(reader, walk),
        Format::Elf => elf::container(reader, walk),
        Format::Other => Err(ArchiveError::unsupported("an unknown format", b"")),
    }
}
