//! The digest of what is in a compressed file, whoever compressed it and however.
//!
//! Two files with the same one carry the same bytes. It only ever refuses: a file that cannot be read
//! has none, and is told apart by its own digest alone.

use std::fs::File;
use std::io::{self, Read, Seek};

use countersign_attest::digest::{Hasher, Sha256};
use flate2::bufread::MultiGzDecoder;

use super::{ArchiveError, Format, ReadLimits, sniff, zip};

/// Digests what a gzip file unpacks to, or names and contents of a zip file's members in the order of
/// their names; `None` where it is neither.
///
/// # Errors
/// When it unpacks to more than `limits` allow: then nobody can say.
pub fn digest(mut file: File, limits: &ReadLimits) -> Result<Option<Sha256>, ArchiveError> {
    let mut head = Vec::new();
    file.rewind()?;
    (&file)
        .take(Format::HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    file.rewind()?;
    match sniff(&head) {
        Format::Gzip => gzip(file, limits).map(Some),
        Format::Zip => match zip::walk(&mut file, limits, None) {
            Ok(container) => {
                let members = container.members.iter();
                let mut members: Vec<_> = members.map(|m| (&m.name, m.content.sha256)).collect();
                members.sort_unstable();
                let mut hasher = Hasher::new();
                for (name, sha256) in members {
                    hasher.update(&(name.len() as u64).to_be_bytes());
                    hasher.update(name);
                    hasher.update(sha256.to_string().as_bytes());
                }
                Ok(Some(hasher.finish().sha256))
            }
            Err(error @ (ArchiveError::Limit { .. } | ArchiveError::Io(_))) => Err(error),
            Err(
                ArchiveError::Truncated(_)
                | ArchiveError::Malformed { .. }
                | ArchiveError::Unsupported { .. },
            ) => Ok(None),
        },
        Format::Xz
        | Format::Zstd
        | Format::Bzip2
        | Format::Tar
        | Format::Ar
        | Format::Rpm
        | Format::Elf
        | Format::Pe
        | Format::MachO
        | Format::Other => Ok(None),
    }
}

/// All streams joined, as `gunzip` does; of a damaged file what comes before the damage.
fn gzip(file: File, limits: &ReadLimits) -> Result<Sha256, ArchiveError> {
    let payload = MultiGzDecoder::new(io::BufReader::with_capacity(1 << 16, file));
    let mut payload = payload.take(limits.total_bytes.saturating_add(1));
    let (mut hasher, mut buffer) = (Hasher::new(), vec![0; 1 << 16]);
    loop {
        let read = match payload.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if is_damage(&error) => break,
            Err(error) => return Err(error.into()),
        };
        match buffer.get(..read) {
            None | Some([]) => break,
            Some(bytes) => hasher.update(bytes),
        }
    }
    let digests = hasher.finish();
    if digests.size_bytes > limits.total_bytes {
        return Err(ArchiveError::Limit {
            what: "unpacked bytes",
            limit: limits.total_bytes,
        });
    }
    Ok(digests.sha256)
}

/// Whether the stream is at fault, and not the file below it.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use countersign_fixtures::archives::{ZipEntry, gzip, zip};

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn of(bytes: &[u8]) -> Option<Sha256> {
        digest(file(bytes), &ReadLimits::default()).unwrap()
    }

    fn zip_of(members: &[(&str, &[u8])], level: Option<u32>) -> Vec<u8> {
        let entries = members.iter().map(|(name, content)| ZipEntry {
            level,
            ..ZipEntry::file(name, content)
        });
        zip(&entries.collect::<Vec<_>>(), b"")
    }

    #[test]
    fn the_same_inside_is_the_same_however_it_is_compressed() {
        let payload = b"the payload".repeat(9);
        let expect = Some(Sha256::of(&payload));
        let level = |level| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
            encoder.write_all(&payload).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(of(&level(0)), expect);
        assert_eq!(of(&level(9)), expect);
        // two streams that are joined, and garbage behind
        let (a, b) = payload.split_at(20);
        let mut joined = gzip(a);
        joined.extend(gzip(b));
        assert_eq!(of(&joined), expect);
        joined.extend(b"garbage");
        assert_eq!(of(&joined), expect);
        assert_ne!(of(&gzip(b"another")), expect);
        assert_eq!(of(b"no container"), None);
    }

    #[test]
    fn a_zip_is_its_members() {
        let one = [("a", &b"x"[..]), ("b", b"yyyyyyyyyyyyyyyyyyyyyyyy")];
        let turned = [one[1], one[0]];
        let digest = of(&zip_of(&one, None));
        assert!(digest.is_some());
        assert_eq!(of(&zip_of(&turned, Some(9))), digest);
        assert_ne!(of(&zip_of(&[one[0]], None)), digest);
        assert_ne!(of(&zip_of(&[("ab", b"x"), one[1]], None)), digest);
    }

    #[test]
    fn what_unpacks_to_too_much_has_no_digest() {
        let limits = ReadLimits {
            total_bytes: 99,
            ..ReadLimits::default()
        };
        let unpack = |bytes: &[u8]| digest(file(&gzip(bytes)), &limits);
        assert!(unpack(&[0; 99]).is_ok());
        assert!(matches!(
            unpack(&[0; 100]),
            Err(ArchiveError::Limit { limit: 99, .. })
        ));
    }
}
