//! Walks a zstd file (RFC 8878): every frame, and what stands after them.
//!
//! A skippable frame is no stream: it counts as bytes behind the last one, which must be equal. A
//! window above the limit ends the walk before it is allocated. Dictionaries are not read.

use std::io::{self, Read};

use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::FrameDecoderError;

use super::compressed::{self, Codec};
use super::source::{Digesting, Source};
use super::walk::Walk;
use super::{ArchiveError, Container, Detail, Field, Format, Member};

const CODEC: Codec = Codec {
    format: Format::Zstd,
    magic: super::ZSTD_MAGIC,
    stream,
};

pub(super) fn container(reader: &mut dyn Read, walk: &Walk<'_>) -> Result<Container, ArchiveError> {
    compressed::container(&CODEC, reader, walk)
}

fn stream(source: &mut Source<'_>, walk: &Walk<'_>) -> Result<Member, ArchiveError> {
    let limit = walk.limits().dictionary_bytes;
    let mut decoder = StreamingDecoder::new_with_max_window_size(Digesting::new(source), limit)
        .map_err(|error| match error {
            FrameDecoderError::WindowSizeTooBig { .. } => ArchiveError::Limit {
                what: "bytes of a zstd window",
                limit,
            },
            error => compressed::decoder_error(io::Error::other(error), WHAT, walk),
        })?;
    let content = compressed::decode(&mut decoder, walk, WHAT)?;
    let (below, decoder) = decoder.into_parts();
    // a frame without a sum has none to compare
    let declared = decoder.get_checksum_from_data();
    if declared.is_some() && declared != decoder.get_calculated_checksum() {
        return Err(ArchiveError::malformed(
            "a zstd frame whose sum does not match its payload",
            b"zstd frame",
        ));
    }
    let digest = below.finish();
    let details = vec![Detail::new(Field::ZstdFrame, digest.as_bytes())];
    Ok(compressed::payload(content, details))
}

const WHAT: &str = "damaged zstd frame";
