//! Takes bytes in, digests them, and looks for a container in them on the way: the one place where
//! walkers meet, in one pass and in constant memory beside the list of members.
//!
//! The outermost container and what it holds alone (a gzip file's tar) are walked on their own
//! limits. All containers inside members share one more set of limits: whatever they come to, the
//! member's own bytes are read to their end and compared, so that a bomb in a test folder costs what
//! the limits say and hides nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Read;

use super::intake::Intake;
use super::limits::Budget;
use super::trace::BlockKey;
use super::{
    ArchiveError, Container, Content, Format, ReadLimits, Wanted, ar, bzip2, elf, gzip, macho, pe,
    rpm, tar, xz, zip, zstd,
};

/// Where a content is: the position of each member from the outermost container down.
pub type Path = Vec<u32>;

/// What a walk is to find.
pub(super) struct Look<'l> {
    limits: &'l ReadLimits,
    /// Shared by all containers that are inside members.
    nested: Budget<'l>,
    pub(super) inside_members: bool,
    /// Whether contents are digested; a second reading needs no digests.
    pub(super) digests: bool,
    /// Whose texts are kept.
    pub(super) keep: fn(&[u8]) -> bool,
    pub(super) key: &'l BlockKey,
    /// How many bytes of contents may still be kept.
    pub(super) room: Cell<u64>,
    pub(super) wanted: RefCell<Option<&'l mut Wanted>>,
    pub(super) path: RefCell<Path>,
    /// Pieces that are still looked for, and those that were found.
    pub(super) windows: RefCell<BTreeMap<Path, Window>>,
    pub(super) found: RefCell<BTreeMap<Path, Window>>,
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

impl Window {
    pub(super) const fn is_full(&self) -> bool {
        self.bytes.len() >= self.length
    }
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

/// Reads a file again for pieces of what is in it, up to the last of them. What is not there is not
/// among those that come back.
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
    let walked = content(&walk, &mut file, b"", Place::Payload);
    if !look.has_enough() {
        walked?;
    }
    let found = look.found.take();
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
            room: Cell::new(limits.kept_bytes),
            wanted: RefCell::new(wanted),
            path: RefCell::default(),
            windows: RefCell::default(),
            found: RefCell::default(),
        }
    }

    /// Whether all that a second reading is for was found: there is no need to read on.
    pub(super) fn has_enough(&self) -> bool {
        !self.digests && self.windows.borrow().is_empty()
    }
}

/// One container's walk.
pub(super) struct Walk<'w> {
    pub(super) look: &'w Look<'w>,
    own: Budget<'w>,
    /// Whether this container is the file, or alone in it.
    chain: bool,
    pub(super) depth: u64,
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

    pub(super) fn into(&self, place: Place) -> Self {
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

/// Walks a container of a known format to the end of `reader`.
pub(super) fn container(
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
        Format::Rpm => rpm::container(reader, walk),
        Format::Elf => elf::container(reader, walk),
        Format::Pe => pe::container(reader, walk),
        Format::MachO => macho::container(reader, walk),
        Format::Other => Err(ArchiveError::unsupported("an unknown format", b"")),
    }
}
