//! What compressed files have in common: streams one after the other, and what stands behind them.
//!
//! A second stream and trailing bytes are kept as facts of their own, because readers disagree about
//! them: some join streams and drop garbage, others stop after the first stream.

use std::io::{self, BufRead, Read};

use countersign_attest::digest::Sha256Hasher;

use super::source::Source;
use super::walk::{Place, Walk, content};
use super::{
    ArchiveError, Container, Content, Detail, Field, FindingKind, Format, Inner, Kind, Member,
    Oddity,
};

/// How one stream of a format begins and is read.
pub(super) struct Codec {
    pub(super) format: Format,
    pub(super) magic: &'static [u8],
    /// Reads one stream, its magic included, and not a byte more.
    pub(super) stream: fn(&mut Source<'_>, &Walk<'_>) -> Result<Member, ArchiveError>,
}

/// Walks a compressed file to its last byte.
pub(super) fn container(
    codec: &Codec,
    reader: &mut dyn Read,
    walk: &Walk<'_>,
) -> Result<Container, ArchiveError> {
    let mut source = Source::new(reader);
    let mut members = vec![(codec.stream)(&mut source, walk)?];
    while source.peek(codec.magic.len())? == codec.magic {
        walk.budget().member()?;
        members.push((codec.stream)(&mut source, walk)?);
    }
    let mut findings = Vec::new();
    if members.len() > 1 {
        for member in &mut members {
            member.content.inner = Inner::Opaque; // what is inside is for the reader's taste to say
        }
        findings.push(Oddity {
            what: FindingKind::SeveralStreams,
            detail: members.len().to_string(),
        });
    }
    let details: Vec<Detail> = trailing(&mut source, walk)?.into_iter().collect();
    if !details.is_empty() {
        findings.push(Oddity {
            what: FindingKind::StrayBytes,
            detail: format!("after the {} stream", codec.format.word()),
        });
    }
    Ok(Container {
        format: codec.format,
        details,
        members,
        findings,
    })
}

/// The rest of a file, by number and digest; `None` where there is none.
pub(super) fn trailing(
    source: &mut Source<'_>,
    walk: &Walk<'_>,
) -> Result<Option<Detail>, ArchiveError> {
    let (mut hasher, mut count) = (Sha256Hasher::new(), 0u64);
    loop {
        let bytes = source.fill_buf()?;
        let length = bytes.len();
        if length == 0 {
            break;
        }
        walk.budget().content(length as u64)?;
        hasher.update(bytes);
        count += length as u64;
        source.consume(length);
    }
    let text = format!("bytes {count} {}", hasher.finish());
    Ok((count > 0).then(|| Detail::new(Field::End, text.as_bytes())))
}

/// The payload of a stream, with what the stream says of it.
pub(super) fn payload(content: Content, details: Vec<Detail>) -> Member {
    Member {
        name: Box::default(),
        kind: Kind::Payload,
        mode: None,
        content,
        details,
        sparse: false,
    }
}

/// Reads what a decoder yields. Its errors are the format's, not the machine's.
pub(super) fn decode(
    decoder: impl Read,
    walk: &Walk<'_>,
    what: &'static str,
) -> Result<Content, ArchiveError> {
    let mut decoded = Decoded {
        decoder,
        walk,
        what,
    };
    content(walk, &mut decoded, b"", Place::Payload)
}

struct Decoded<'a, 'w, D> {
    decoder: D,
    walk: &'a Walk<'w>,
    what: &'static str,
}

impl<D: Read> Read for Decoded<'_, '_, D> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self
            .decoder
            .read(out)
            .map_err(|error| decoder_error(error, self.what, self.walk))?;
        self.walk.budget().content(read as u64)?;
        Ok(read)
    }
}

/// Tells our own errors from those of a decoder.
pub(super) fn decoder_error(error: io::Error, what: &'static str, walk: &Walk<'_>) -> ArchiveError {
    match error.downcast::<ArchiveError>() {
        Ok(own) => own,
        Err(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::Truncated(what),
            io::ErrorKind::OutOfMemory => ArchiveError::Limit {
                what: "bytes of a dictionary",
                limit: walk.limits().dictionary_bytes,
            },
            _ => ArchiveError::malformed(what, error.to_string().as_bytes()),
        },
    }
}
