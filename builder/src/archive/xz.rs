//! Walks an xz file (The .xz File Format 1.2): every stream, and what stands after them.
//!
//! Blocks, filters, check and index are the decoder's affair; how they were chosen is kept as one
//! fact, the digest of the stream. A dictionary above the limit ends the walk before it is allocated.

use std::io::Read;

use lzma_rust2::XzReader;

use super::compressed::{self, Codec};
use super::source::{Digesting, Source};
use super::walk::Walk;
use super::{ArchiveError, Container, Detail, Field, Format, Member};

const CODEC: Codec = Codec {
    format: Format::Xz,
    magic: super::XZ_MAGIC,
    stream,
};

pub(super) fn container(reader: &mut dyn Read, walk: &Walk<'_>) -> Result<Container, ArchiveError> {
    compressed::container(&CODEC, reader, walk)
}

fn stream(source: &mut Source<'_>, walk: &Walk<'_>) -> Result<Member, ArchiveError> {
    let kilobytes = walk.limits().dictionary_bytes / 1024 + OVERHEAD_KILOBYTES;
    let limit = u32::try_from(kilobytes).unwrap_or(u32::MAX - 1);
    let mut decoder = XzReader::new_mem_limit(Digesting::new(source), false, limit);
    let content = compressed::decode(&mut decoder, walk, "damaged xz stream")?;
    let digest = decoder.into_inner().finish();
    let details = vec![Detail::new(Field::XzStream, digest.as_bytes())];
    Ok(compressed::payload(content, details))
}

/// What the decoder adds to a dictionary in its reckoning.
const OVERHEAD_KILOBYTES: u64 = 1024;
