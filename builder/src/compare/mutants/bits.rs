//! Every bit and every prefix of small archives: only what a normalization names may change.

use std::io::Read;

use countersign_fixtures::archives::{gzip, gzip_with, sign_header, tar, zip};
use flate2::{Compression, GzBuilder};

use super::super::Comparison;
use super::super::tests::{concluded, package, run, walked};
use super::{long, pax, zip_entries};

/// Ranges of a tar header that a normalization names: ids, time, owner names.
const NAMED: [std::ops::Range<usize>; 3] = [108..124, 136..148, 265..329];

/// Ranges of a pax header that nothing names: its type, its link, that it is ustar.
const EXTENSION: std::ops::Range<usize> = 156..262;

/// Every bit of a tar, its headers signed again: only times, owners and the headers of extensions may
/// change.
#[test]
fn every_bit_of_a_tar_counts() {
    let mut entries = package();
    entries.truncate(3);
    entries.insert(
        0,
        pax(&[("path", "package/index.js"), ("mtime", "12345.5")]),
    );
    entries.insert(3, long(b'L', b"package/cli.js\0"));
    let original = tar(&entries);
    let headers: Vec<usize> = entries
        .iter()
        .scan(0, |at, entry| {
            let start = *at;
            *at += entry.bytes().len();
            Some(start)
        })
        .collect();
    // the digits of the time in the pax record, after the record of the path
    let digits = original.windows(7).position(|w| w == b"12345.5").unwrap();
    let published = walked(&original).unwrap();
    let mut equivalent = 0;
    for bit in 0..original.len() * 8 {
        let mut mutant = original.clone();
        mutant[bit / 8] ^= 1 << (bit % 8);
        let header = headers
            .iter()
            .find(|at| (**at..**at + 512).contains(&(bit / 8)));
        if let Some(at) = header {
            sign_header(&mut mutant[*at..]);
        }
        if mutant == original {
            continue; // a bit of the sum, which was signed again
        }
        let Ok(rebuilt) = walked(&mutant) else {
            continue;
        };
        let result = concluded(&published, &rebuilt);
        if matches!(result, Comparison::Equivalent { .. }) {
            equivalent += 1;
            let named = header.is_some_and(|at| {
                let offset = bit / 8 - at;
                let pax = *at == headers[0] && !EXTENSION.contains(&offset);
                let long = *at == headers[3] && offset != 156;
                pax || long || NAMED.iter().any(|range| range.contains(&offset))
            });
            let digit = (digits..digits + 7).contains(&(bit / 8));
            assert!(named || digit, "bit {bit}");
        }
    }
    assert!(equivalent > 100, "{equivalent}");
}

/// Every bit of a gzip file: only the header's words, and deflate streams that yield the same.
#[test]
fn every_bit_of_a_gzip_counts() {
    let payload = b"a payload, a payload, a payload\n".repeat(4);
    let header = GzBuilder::new().filename("n");
    let original = gzip_with(header, Compression::best(), &payload);
    let mut equivalent = 0;
    for bit in 0..original.len() * 8 {
        let mut mutant = original.clone();
        mutant[bit / 8] ^= 1 << (bit % 8);
        if let result @ Comparison::Equivalent { .. } = run(&mutant, &original) {
            equivalent += 1;
            let mut seen = Vec::new();
            let mut other_reader = flate2::read::GzDecoder::new(&mutant[..]);
            other_reader.read_to_end(&mut seen).unwrap();
            assert_eq!(seen, payload, "bit {bit}: {result:?}");
        }
    }
    // time, level and system at least
    assert!(equivalent >= 6 * 8, "{equivalent}");
}

/// Every bit of a zip: a time in one header only is a contradiction, so nothing may pass but deflate
/// streams that yield the same.
#[test]
fn every_bit_of_a_zip_counts() {
    let original = zip(&zip_entries(), b"comment");
    let published = walked(&original).unwrap();
    for bit in 0..original.len() * 8 {
        let mut mutant = original.clone();
        mutant[bit / 8] ^= 1 << (bit % 8);
        let Ok(rebuilt) = walked(&mutant) else {
            continue;
        };
        let result = concluded(&published, &rebuilt);
        if let Comparison::Equivalent { normalizations, .. } = result {
            let ids: Vec<_> = normalizations.iter().map(|n| &*n.id).collect();
            let named = |id: &&str| matches!(*id, "zip-compression/v1" | "zip-maker/v1");
            assert!(ids.iter().all(named), "bit {bit}: {ids:?}");
        }
    }
}

/// Every prefix of every format: cut off, never equivalent, never a panic.
#[test]
fn every_prefix_is_caught() {
    let (tar, zip) = (tar(&package()), zip(&zip_entries(), b"comment"));
    let gz = gzip(&tar);
    let whole = walked(&tar).unwrap();
    for end in 1..tar.len() {
        if let Ok(part) = walked(&tar[..end])
            && part.container().is_some()
        {
            let result = concluded(&whole, &part);
            assert!(matches!(result, Comparison::Different { .. }), "{end}");
        }
    }
    for end in 0..gz.len() {
        let cut = walked(&gz[..end]);
        assert!(!cut.is_ok_and(|c| c.container().is_some()), "{end}");
    }
    for end in 0..zip.len() {
        let cut = walked(&zip[..end]);
        assert!(!cut.is_ok_and(|c| c.container().is_some()), "{end}");
    }
}
