//! What an executable says of how it was made: who compiled it, for which machine, against which libc.
//! Runs in a confined child; every number in the file may be a lie.
//!
//! Only 64-bit little-endian ELF files are read, which is what programs for x86_64 and aarch64 are.

use serde::{Deserialize, Serialize};

use crate::archive::escape;

/// Longest list of compilers that is kept, and longest line of it.
const MOST_LINES: usize = 16;
const LINE_BYTES: usize = 200;
/// Most sections that are looked at.
const MOST_SECTIONS: usize = 4096;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executable {
    /// As Rust names it; the number where it is another.
    pub architecture: String,
    /// What it runs with.
    pub libc: Libc,
    /// The version that rustc writes of itself.
    pub rustc: Option<String>,
    /// What other compilers and linkers say of themselves, escaped: whose start files are in it.
    pub others: Vec<String>,
    /// Whether it has no table of symbols.
    pub stripped: bool,
    /// Whether it has a build id.
    pub build_id: bool,
    /// Whether it lists its dependencies (`cargo auditable`).
    pub auditable: bool,
}

/// The C library of an executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Libc {
    /// glibc, loaded.
    Gnu,
    /// musl: loaded, or in it.
    Musl,
}

/// A piece of the file that its header names.
struct Section<'a> {
    name: &'a [u8],
    data: &'a [u8],
}

/// Reads an executable.
///
/// # Errors
/// In words, where it is none that can be read.
pub(super) fn read(bytes: &[u8]) -> Result<Executable, String> {
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return Err("not a 64-bit little-endian ELF file".to_owned());
    }
    let kind = number(bytes, 16, 2).unwrap_or_default();
    if !(2..=3).contains(&kind) {
        return Err("an ELF file that is no executable".to_owned());
    }
    let sections = sections(bytes).ok_or("an ELF file without a readable table of sections")?;
    let find = |name: &str| sections.iter().find(|s| s.name == name.as_bytes());
    let interpreter = find(".interp").map(|section| section.data);
    let loads_glibc = interpreter.is_some_and(|path| contains(path, b"ld-linux"));
    let comment = find(".comment").map_or(&[][..], |section| section.data);
    let lines = comment.split(|byte| *byte == 0);
    let lines = lines.filter(|line| !line.is_empty() && line.len() <= LINE_BYTES);
    let mut rustc = None;
    let mut others = Vec::new();
    for line in lines.take(MOST_LINES) {
        match line.strip_prefix(b"rustc version ") {
            Some(rest) => rustc = version(rest).or(rustc),
            None => others.push(escape(line)),
        }
    }
    Ok(Executable {
        architecture: match number(bytes, 18, 2).unwrap_or_default() {
            0x3e => "x86_64".to_owned(),
            0xb7 => "aarch64".to_owned(),
            other => format!("machine {other}"),
        },
        libc: if loads_glibc { Libc::Gnu } else { Libc::Musl },
        rustc,
        others,
        stripped: find(".symtab").is_none(),
        build_id: find(".note.gnu.build-id").is_some(),
        auditable: find(".dep-v0").is_some(),
    })
}

/// `1.95.0` or `1.97.0-nightly`, and nothing else.
fn version(text: &[u8]) -> Option<String> {
    let word = text.split(|byte| *byte == b' ').next()?;
    let word = std::str::from_utf8(word).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    (word.starts_with("1.") && word.chars().all(plain)).then(|| word.to_owned())
}

fn sections(bytes: &[u8]) -> Option<Vec<Section<'_>>> {
    const ENTRY: usize = 64;
    let at = |offset, length| usize::try_from(number(bytes, offset, length)?).ok();
    let (table, size, count) = (at(40, 8)?, at(58, 2)?, at(60, 2)?);
    if size != ENTRY || count > MOST_SECTIONS {
        return None;
    }
    let table = bytes.get(table..)?.get(..count.checked_mul(ENTRY)?)?;
    let entries: Vec<&[u8]> = table.chunks_exact(ENTRY).collect();
    let data = |entry: &[u8]| {
        const NOBITS: u64 = 8;
        if number(entry, 4, 4)? == NOBITS {
            return Some(&[][..]);
        }
        let start = usize::try_from(number(entry, 24, 8)?).ok()?;
        let length = usize::try_from(number(entry, 32, 8)?).ok()?;
        bytes.get(start..)?.get(..length)
    };
    let names = data(entries.get(at(62, 2)?)?)?;
    let section = |entry: &&[u8]| {
        let start = usize::try_from(number(entry, 0, 4)?).ok()?;
        let name = names.get(start..)?.split(|byte| *byte == 0).next()?;
        let data = data(entry)?;
        Some(Section { name, data })
    };
    entries.iter().map(section).collect()
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    let digit = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    Some(bytes.iter().rev().fold(0, digit))
}

pub(super) fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test is an executable that rustc made.
    #[test]
    fn an_executable_of_rustc_says_so() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let read = read(&own).unwrap();
        assert_eq!(read.architecture, std::env::consts::ARCH);
        let rustc = read.rustc.unwrap();
        assert!(rustc.starts_with("1."), "{rustc}");
        assert!(!read.stripped && !read.auditable);
    }

    #[test]
    fn what_is_cut_off_or_lies_is_no_executable() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in [0, 5, 17, 63, 64, own.len() / 2, own.len() - 1] {
            assert!(read(&own[..length]).is_err(), "{length}");
        }
        // every number of the header, as large as can be
        for at in (16..64).step_by(2) {
            let mut lie = own.clone();
            lie[at..at + 2].fill(0xff);
            let _ = read(&lie); // whatever it says, it returns
        }
        assert!(read(b"\x7fELF\x01\x01").is_err());
    }

    #[test]
    fn only_versions_are_versions() {
        for (text, expect) in [
            ("1.95.0 (59807616e 2026-04-14)", Some("1.95.0")),
            ("1.97.0-nightly (x)", Some("1.97.0-nightly")),
            ("1.$(id)", None),
            ("", None),
        ] {
            assert_eq!(version(text.as_bytes()).as_deref(), expect);
        }
    }
}
