//! Some bytes on their way in: digested, traced, looked at for what is wanted of them, and handed to the
//! walker of the container that they are.

use std::io::{self, Read};

use countersign_attest::digest::Sha256Hasher;

use super::trace::{Trace, Tracing};
use super::walk::{self, Place, Walk, Window};
use super::{ArchiveError, Content, Format, Inner, Unread, sniff};

/// Some content on its way in.
pub(super) struct Intake<'i, 'w> {
    walk: &'i Walk<'w>,
    reader: &'i mut dyn Read,
    hasher: Sha256Hasher,
    size: u64,
    trace: Option<Tracing<'w>>,
    text: Option<Vec<u8>>,
    found: Option<Vec<u8>>,
    window: Option<Window>,
    /// Whether the layer below failed. It stays so: a walker that swallowed the error cannot make the
    /// rest look well.
    broken: bool,
}

impl<'i, 'w> Intake<'i, 'w> {
    pub(super) fn of(
        walk: &'i Walk<'w>,
        reader: &'i mut dyn Read,
        name: &[u8],
        place: Place,
    ) -> Result<Self, ArchiveError> {
        let look = walk.look;
        let file = place == Place::Member;
        let wanted = look.wanted.borrow();
        let found = wanted.as_ref().filter(|wanted| file && wanted.wants(name));
        let window = look.windows.borrow().get(&*look.path.borrow()).cloned();
        Ok(Self {
            found: found.map(|_| Vec::new()),
            text: (file && (look.keep)(name)).then(Vec::new),
            walk,
            reader,
            hasher: Sha256Hasher::new(),
            size: 0,
            trace: look.digests.then(|| Tracing::new(look.key)),
            window,
            broken: false,
        })
    }

    pub(super) fn run(mut self, place: Place) -> Result<Content, ArchiveError> {
        let look = self.walk.look;
        let mut head = Vec::new();
        let first = Format::HEAD_BYTES as u64;
        (&mut self).take(first).read_to_end(&mut head)?;
        let format = match place {
            Place::Payload => sniff(&head),
            Place::Member if look.inside_members => sniff(&head),
            Place::Member | Place::Plain => Format::Other,
        };
        if format != Format::Other && !format.is_program() {
            // its parts are compared instead
            let taken = self.trace.take().map_or(0, Tracing::abandon);
            look.room.set(look.room.get() + taken);
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
        match walk::container(format, &mut head.chain(&mut *self), &inner) {
            Ok(container) => Ok(Inner::Container(Box::new(container))),
            // trouble of the layer below is the answer, and so is all trouble of the file itself
            Err(error) if self.broken || outermost => Err(error),
            Err(error) => Ok(Inner::Unread(Unread::new(format, &error))),
        }
    }

    fn finish(mut self, inner: Inner) -> Result<Content, ArchiveError> {
        self.hand_over_window();
        let look = self.walk.look;
        if let (Some(found), Some(wanted)) = (self.found, look.wanted.borrow_mut().as_mut()) {
            wanted.found.push(found);
        }
        if let Some(text) = &self.text {
            self.walk.budget().metadata(text.len() as u64)?;
        }
        Ok(Content {
            size_bytes: self.size,
            sha256: self.hasher.finish(),
            trace: self.trace.map_or(Trace::Nothing, Tracing::finish),
            inner,
            text: self.text.map(Into::into),
        })
    }

    fn hand_over_window(&mut self) {
        if let Some(window) = self.window.take() {
            let look = self.walk.look;
            look.windows.borrow_mut().remove(&*look.path.borrow());
            let path = look.path.borrow().clone();
            look.found.borrow_mut().insert(path, window);
        }
    }

    fn take_in(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        if self.walk.look.digests {
            self.hasher.update(bytes);
        }
        if let Some(trace) = &mut self.trace {
            let room = &self.walk.look.room;
            room.set(trace.add(bytes, room.get()));
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
        if self.window.as_ref().is_some_and(Window::is_full) {
            self.hand_over_window();
        }
        Ok(())
    }
}

impl Read for Intake<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.broken {
            return Err(ArchiveError::malformed("damaged compressed data", b"stream").into());
        }
        if self.walk.look.has_enough() {
            self.broken = true;
            return Err(io::Error::other("nothing more is looked for"));
        }
        let result = self.reader.read(out).and_then(|read| {
            self.take_in(out.get(..read).unwrap_or_default())?;
            Ok(read)
        });
        self.broken = matches!(&result, Err(error) if error.kind() != io::ErrorKind::Interrupted);
        result
    }
}
