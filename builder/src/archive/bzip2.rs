//! Walks a bzip2 file: every stream, and what stands after them. A decoder needs less than four
//! megabytes, whatever the stream says.

use std::io::Read;

use bzip2::bufread::BzDecoder;

use super::compressed::{self, Codec};
use super::source::{Digesting, Source};
use super::walk::Walk;
use super::{ArchiveError, Container, Detail, Field, Format, Member};

const CODEC: Codec = Codec {
    format: Format::Bzip2,
    magic: super::BZIP2_MAGIC,
    stream,
};

pub(super) fn container(reader: &mut dyn Read, walk: &Walk<'_>) -> Result<Container, ArchiveError> {
    compressed::container(&CODEC, reader, walk)
}

fn stream(source: &mut Source<'_>, walk: &Walk<'_>) -> Result<Member, ArchiveError> {
    let mut decoder = BzDecoder::new(Digesting::new(source));
    let content = compressed::decode(&mut decoder, walk, "damaged bzip2 stream")?;
    let digest = decoder.into_inner().finish();
    let details = vec![Detail::new(Field::Bzip2Stream, digest.as_bytes())];
    Ok(compressed::payload(content, details))
}
