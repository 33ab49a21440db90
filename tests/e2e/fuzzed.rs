//! The fuzz targets without a fuzzer: the corpus and mutations of it go through the same functions.
//! `COUNTERSIGN_FUZZ_CASES` is the number of mutations of each target; the generator's seeds are fixed.

#[path = "../fuzz/entries.rs"]
mod entries;

use std::fs;
use std::path::Path;

const CASES: u64 = 400;

#[test]
fn the_corpus_and_mutations_of_it_do_no_harm() {
    let cases = std::env::var("COUNTERSIGN_FUZZ_CASES").map_or(CASES, |text| {
        text.parse().expect("COUNTERSIGN_FUZZ_CASES is a number")
    });
    for target in entries::TARGETS {
        let corpus = entries::corpus(target);
        assert!(!corpus.is_empty(), "{target}");
        for case in &corpus {
            entries::run(target, case);
        }
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..cases {
            let other = random.pick(&corpus).clone();
            let mut case = random.pick(&corpus).clone();
            for _ in 0..=random.below(4) {
                mutate(&mut case, &other, &mut random);
            }
            entries::run(target, &case);
        }
    }
    println!(
        "{cases} mutations of each of {} targets",
        entries::TARGETS.len()
    );
}

/// Writes the corpus where a fuzzer wants it: `tests/fuzz/run` asks for it by a variable.
#[test]
fn the_corpus_is_written_for_the_fuzzer() {
    let kept = std::env::var_os("COUNTERSIGN_FUZZ_CORPUS");
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = kept.as_deref().map_or(scratch.path(), Path::new);
    for target in entries::TARGETS {
        let place = folder.join(target);
        fs::create_dir_all(&place).expect("a folder");
        for (index, case) in entries::corpus(target).iter().enumerate() {
            let path = place.join(format!("seed-{index}"));
            fs::write(&path, case).expect("room");
            assert_eq!(&fs::read(&path).expect("a file"), case);
        }
    }
}

/// xorshift64: the same cases on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).expect("small");
        usize::try_from(self.next() % limit).expect("below a usize")
    }

    fn pick<'a>(&mut self, list: &'a [Vec<u8>]) -> &'a Vec<u8> {
        &list[self.below(list.len())] // never empty
    }
}

fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len());
    let length = random.below(64);
    let end = (at + length).min(bytes.len());
    match random.below(7) {
        0 => bytes
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|byte| *byte ^= 1 << (length % 8)),
        1 => bytes.truncate(at),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let copy = bytes[at..end].to_vec();
            drop(bytes.splice(at..at, copy));
        }
        4 => {
            let values = [0, 1, 0x7f, 0x80, 0xff, b'0', b'9', b' '];
            let value = values[length % values.len()];
            bytes
                .iter_mut()
                .skip(at)
                .take(4)
                .for_each(|byte| *byte = value);
        }
        5 => {
            let from = random.below(other.len());
            let piece = other.iter().skip(from).take(length).copied();
            drop(bytes.splice(at..end, piece));
        }
        _ => bytes.resize(bytes.len() + length, length.to_le_bytes()[0]),
    }
}
