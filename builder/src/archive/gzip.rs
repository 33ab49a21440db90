//! Walks a gzip file (RFC 1952): every header field, every stream, and what stands after them.
//!
//! A second stream and trailing bytes are kept as facts of their own, because readers disagree about
//! them: `gunzip` joins streams and drops garbage, others stop after the first stream.

use std::io::{self, BufRead, BufReader, Read};

use countersign_attest::digest::{Hasher, Sha256};
use flate2::Crc;

use super::inflate::Inflate;
use super::{ArchiveError, Budget, Container, Detail, Field, Format, Wanted, sniff, tar};
use crate::archive::ReadLimits;

/// A walked gzip file.
#[derive(Debug)]
pub struct Gzip {
    /// The streams in order; never empty. An ordinary file has one.
    pub streams: Vec<Stream>,
    /// Number and digest of the bytes after the last stream.
    pub trailing: Option<(u64, Sha256)>,
    /// What is inside, where there is one stream and its payload looks like a tar.
    pub tar: Option<Result<Container, ArchiveError>>,
}

/// One gzip stream (the RFC's word is member).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Header fields and the deflate stream.
    pub details: Vec<Detail>,
    /// Bytes of the payload.
    pub size_bytes: u64,
    /// Digest of the payload.
    pub sha256: Sha256,
}

const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// Walks a gzip file to its last byte.
///
/// # Errors
/// When a stream is damaged or cut off, or a limit is passed. That the payload is a damaged tar is no
/// error here; it stands in [`Gzip::tar`].
pub fn walk(
    file: impl Read,
    limits: &ReadLimits,
    wanted: Option<&mut Wanted>,
) -> Result<Gzip, ArchiveError> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut budget = Budget::new(limits);
    let (first, mut tar) = stream(&mut reader, &mut budget, Some((limits, wanted)))?;
    let mut streams = vec![first];
    loop {
        let next = reader.fill_buf()?;
        // a lone first byte of the magic at the end of the buffer counts as trailing bytes
        if !next.starts_with(&[0x1f, 0x8b]) {
            break;
        }
        budget.member()?;
        streams.push(stream(&mut reader, &mut budget, None)?.0);
        tar = None;
    }
    let mut rest = Hasher::new();
    drain(&mut reader, &mut budget, &mut rest)?;
    let rest = rest.finish();
    let trailing = (rest.size_bytes > 0).then_some((rest.size_bytes, rest.sha256));
    Ok(Gzip {
        streams,
        trailing,
        tar,
    })
}

type TarWalk = Option<Result<Container, ArchiveError>>;
type Inside<'a, 'b> = (&'a ReadLimits, Option<&'b mut Wanted>);

fn stream(
    reader: &mut impl BufRead,
    budget: &mut Budget<'_>,
    inside: Option<Inside<'_, '_>>,
) -> Result<(Stream, TarWalk), ArchiveError> {
    let mut details = header(reader, budget)?;
    let mut payload = Payload {
        inflate: Inflate::new(&mut *reader),
        hasher: Hasher::new(),
        crc: Crc::new(),
        budget,
        broken: false,
    };
    let tar = match inside {
        Some((limits, wanted)) => tar_inside(&mut payload, limits, wanted)?,
        None => None,
    };
    let tar = match tar {
        // the tar walker met trouble of the layer below: that is the answer
        Some(Err(error)) if payload.broken => return Err(error),
        other => other,
    };
    io::copy(&mut payload, &mut io::sink())?;
    details.push(Detail::new(Field::Deflate, &payload.inflate.fingerprint()));
    let (digests, crc) = (payload.hasher.finish(), payload.crc);
    let mut trailer = [0u8; 8];
    read_all(reader, &mut trailer)?;
    let mut expected = [0u8; 8];
    let (sum, length) = expected.split_at_mut(4);
    sum.copy_from_slice(&crc.sum().to_le_bytes());
    length.copy_from_slice(&crc.amount().to_le_bytes());
    if trailer != expected {
        return Err(ArchiveError::malformed(
            "a gzip stream whose sum or length does not match its payload",
            b"gzip trailer",
        ));
    }
    let stream = Stream {
        details,
        size_bytes: digests.size_bytes,
        sha256: digests.sha256,
    };
    Ok((stream, tar))
}

/// Walks the payload as a tar if it begins like one.
fn tar_inside(
    payload: &mut impl Read,
    limits: &ReadLimits,
    wanted: Option<&mut Wanted>,
) -> Result<TarWalk, ArchiveError> {
    let mut head = Vec::with_capacity(Format::HEAD_BYTES);
    payload
        .by_ref()
        .take(Format::HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    if sniff(&head) != Format::Tar {
        return Ok(None);
    }
    Ok(Some(tar::walk(head.chain(payload), limits, wanted)))
}

/// The payload of one stream, digested and counted on the way. After an error it stays broken, so
/// that a walker that swallowed the error cannot make the rest look well.
struct Payload<'a, 'b, B> {
    inflate: Inflate<B>,
    hasher: Hasher,
    crc: Crc,
    budget: &'a mut Budget<'b>,
    broken: bool,
}

impl<B: BufRead> Read for Payload<'_, '_, B> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.broken {
            return Err(
                ArchiveError::malformed("a damaged gzip stream", b"compressed data").into(),
            );
        }
        let result = self.inflate.read(out).and_then(|read| {
            self.budget.content(read as u64)?;
            Ok(read)
        });
        self.broken = result.is_err();
        let read = result?;
        let bytes = out.get(..read).unwrap_or_default();
        self.hasher.update(bytes);
        self.crc.update(bytes);
        Ok(read)
    }
}

fn header(reader: &mut impl BufRead, budget: &mut Budget<'_>) -> Result<Vec<Detail>, ArchiveError> {
    let mut fixed = [0u8; 10];
    read_all(reader, &mut fixed)?;
    let [id1, id2, method, flags, m0, m1, m2, m3, extra_flags, system] = fixed;
    if (id1, id2, method) != (0x1f, 0x8b, 8) || flags & RESERVED != 0 {
        return Err(ArchiveError::malformed(
            "a gzip header of another method or with unknown flags",
            b"gzip header",
        ));
    }
    let mut crc = Crc::new();
    crc.update(&fixed);
    let mut details = vec![
        Detail::new(Field::GzipFlags, &[flags]),
        Detail::new(Field::GzipTime, &[m0, m1, m2, m3]),
        Detail::new(Field::GzipExtraFlags, &[extra_flags]),
        Detail::new(Field::GzipSystem, &[system]),
    ];
    if flags & FEXTRA != 0 {
        let mut length = [0u8; 2];
        read_all(reader, &mut length)?;
        let mut extra = vec![0; usize::from(u16::from_le_bytes(length))];
        budget.metadata(extra.len() as u64)?;
        read_all(reader, &mut extra)?;
        crc.update(&length);
        crc.update(&extra);
        details.push(Detail::new(Field::GzipExtra, &extra));
    }
    for (flag, field) in [(FNAME, Field::GzipName), (FCOMMENT, Field::GzipComment)] {
        if flags & flag != 0 {
            let text = text(reader, budget)?;
            crc.update(&text);
            details.push(Detail::new(field, &text));
        }
    }
    if flags & FHCRC != 0 {
        let mut sum = [0u8; 2];
        read_all(reader, &mut sum)?;
        // CRC16 is the low half of the CRC32 (RFC 1952 section 2.3.1)
        if u32::from(u16::from_le_bytes(sum)) != crc.sum() & 0xffff {
            return Err(ArchiveError::malformed(
                "a gzip header whose sum does not match",
                b"gzip header",
            ));
        }
    }
    Ok(details)
}

/// Reads a text with its final NUL.
fn text(reader: &mut impl BufRead, budget: &mut Budget<'_>) -> Result<Vec<u8>, ArchiveError> {
    let mut text = Vec::new();
    reader
        .take(budget.limits.name_bytes + 1)
        .read_until(0, &mut text)?;
    budget.metadata(text.len() as u64)?;
    if text.last() == Some(&0) {
        return Ok(text);
    }
    budget.name(&text)?;
    Err(ArchiveError::Truncated("gzip header"))
}

fn read_all(reader: &mut impl Read, out: &mut [u8]) -> Result<(), ArchiveError> {
    reader.read_exact(out).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ArchiveError::Truncated("gzip stream"),
        _ => error.into(),
    })
}

fn drain(
    reader: &mut impl BufRead,
    budget: &mut Budget<'_>,
    hasher: &mut Hasher,
) -> Result<(), ArchiveError> {
    loop {
        let bytes = reader.fill_buf()?;
        let length = bytes.len();
        if length == 0 {
            return Ok(());
        }
        budget.content(length as u64)?;
        hasher.update(bytes);
        reader.consume(length);
    }
}
