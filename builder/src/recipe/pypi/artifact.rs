//! Reads what a published sdist or wheel says of itself. Runs in a confined child.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Seek;

use super::recorded::Recorded;
use super::{Generator, PublishedFile, Says};
use crate::archive::{
    Container, Detail, Field, Format, Kind, ReadLimits, Wanted, gzip, sniff, zip,
};

/// Longest metadata file that is read; it holds a project's whole README.
const MAX_BYTES: u64 = 8 << 20;
/// Most different times that are told; more say no more than that they are many.
const MAX_TIMES: usize = 8;
/// What people set.
const UMASKS: [u32; 5] = [0o022, 0o002, 0o000, 0o027, 0o077];
/// Longest header value that is believed.
const MAX_TEXT: usize = 256;

/// Never fails: what is wrong with a published file is for the comparison to say.
pub(super) fn read(mut file: File, limits: &ReadLimits) -> PublishedFile {
    match read_any(&mut file, limits) {
        Ok(says) => PublishedFile::Read(says),
        Err(detail) => PublishedFile::Unreadable { detail },
    }
}

fn read_any(file: &mut File, limits: &ReadLimits) -> Result<Says, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut head = Vec::new();
    file.rewind().map_err(|e| text(&e))?;
    let first = std::io::Read::take(&mut *file, Format::HEAD_BYTES as u64);
    std::io::Read::read_to_end(&mut { first }, &mut head).map_err(|e| text(&e))?;
    file.rewind().map_err(|e| text(&e))?;
    match sniff(&head) {
        Format::Zip => wheel(file, limits),
        Format::Gzip => sdist(file, limits),
        format @ (Format::Xz
        | Format::Zstd
        | Format::Bzip2
        | Format::Tar
        | Format::Ar
        | Format::Rpm
        | Format::Elf
        | Format::Pe
        | Format::MachO
        | Format::Other) => Err(format!("{} is neither a gzip nor a zip", format.word())),
    }
}

fn wheel(file: &mut File, limits: &ReadLimits) -> Result<Says, String> {
    let mut wanted = Wanted::new(is_wheel_metadata, MAX_BYTES);
    let container = zip::walk(file, limits, Some(&mut wanted)).map_err(|e| e.to_string())?;
    let named = container
        .members
        .iter()
        .filter(|m| is_wheel_metadata(&m.name));
    let alone = named.count() == 2;
    let find = |first: &[u8]| {
        let mut found = wanted.found.iter().filter(|bytes| bytes.starts_with(first));
        match (found.next(), found.next()) {
            (Some(bytes), None) if alone => Ok(bytes),
            _ => Err("not one METADATA and one WHEEL in it".to_owned()),
        }
    };
    let metadata = find(b"Metadata-Version:")?;
    let wheel = find(b"Wheel-Version:")?;
    Ok(Says {
        name: header(metadata, "Name"),
        version: header(metadata, "Version"),
        generator: header(wheel, "Generator").as_deref().and_then(generator),
        times: times(&container, Field::ZipTime, dos_seconds),
        umask: umask(&container),
        recorded: Recorded::of_wheel(&container),
        ..Says::default()
    })
}

fn sdist(file: &mut File, limits: &ReadLimits) -> Result<Says, String> {
    let mut wanted = Wanted::new(is_sdist_metadata, MAX_BYTES);
    let gzip = gzip::walk(file, limits, Some(&mut wanted)).map_err(|e| e.to_string())?;
    let stream = gzip.container.members.first();
    let tar = gzip.tar.ok_or("not one gzip stream with a tar in it")?;
    let tar = tar.map_err(|e| e.to_string())?;
    let [metadata] = wanted.found.as_slice() else {
        return Err("not one PKG-INFO in its top folder".to_owned());
    };
    Ok(Says {
        name: header(metadata, "Name"),
        version: header(metadata, "Version"),
        generator: None,
        times: times(&tar, Field::TarTime, octal_seconds),
        umask: umask(&tar),
        device_numbers: device_numbers(&tar),
        has_dot_files: tar.members.iter().any(|member| {
            let mut parts = member.name.split(|byte| *byte == b'/').skip(1);
            let is_dotted = parts.next().is_some_and(|name| name.starts_with(b"."));
            is_dotted && parts.next().is_none()
        }),
        recorded: stream.and_then(|stream| Recorded::of_sdist(&stream.details, &tar)),
    })
}

/// Which umask beside 022 gives all files the modes that they have. What a backend writes about a wheel has
/// modes of the backend's own.
fn umask(container: &Container) -> Option<u32> {
    let of_files = container.members.iter().filter(|member| {
        let folder = member.name.split(|b| *b == b'/').next().unwrap_or_default();
        member.kind == Kind::File && !folder.ends_with(b".dist-info")
    });
    let modes: BTreeSet<u32> = of_files.filter_map(|m| Some(m.mode? & 0o777)).collect();
    let gives = |umask: &u32| {
        let fits = |mode: &u32| [0o666 & !umask, 0o777 & !umask].contains(mode);
        !modes.is_empty() && modes.iter().all(fits)
    };
    UMASKS
        .into_iter()
        .find(gives)
        .filter(|umask| *umask != 0o022)
}

/// Whether every header has digits where the number of a device would stand.
fn device_numbers(tar: &Container) -> bool {
    let details = tar.members.iter().flat_map(|member| &member.details);
    let mut dialects = details.filter(|d| d.field == Field::TarDialect).peekable();
    // magic and version, then the numbers
    dialects.peek().is_some() && dialects.all(|d| d.value.ends_with(b"0000000\x000000000\0"))
}

fn is_wheel_metadata(name: &[u8]) -> bool {
    let top = |file: &[u8]| {
        let folder = name.strip_suffix(file);
        folder.is_some_and(|folder| folder.ends_with(b".dist-info") && !folder.contains(&b'/'))
    };
    top(b"/METADATA") || top(b"/WHEEL")
}

fn is_sdist_metadata(name: &[u8]) -> bool {
    let folder = name.strip_suffix(b"/PKG-INFO");
    folder.is_some_and(|folder| !folder.is_empty() && !folder.contains(&b'/'))
}

/// The value of a header field, before the first empty line.
fn header(bytes: &[u8], field: &str) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().take_while(|line| !line.is_empty());
    let value = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(field)
            .then(|| value.trim().to_owned())
    })?;
    let usable = !value.is_empty() && value.len() <= MAX_TEXT && !value.contains(char::is_control);
    usable.then_some(value)
}

/// `flit 3.12.0`, `bdist_wheel (0.43.0)`.
fn generator(value: &str) -> Option<Generator> {
    let (tool, version) = value.split_once(' ')?;
    let version = version.trim().trim_start_matches('(').trim_end_matches(')');
    Some(Generator {
        tool: tool.to_owned(),
        version: version.to_owned(),
    })
}

/// The different times of the members, in order, at most [`MAX_TIMES`].
fn times(container: &Container, field: Field, read: fn(&[u8]) -> Option<i64>) -> Vec<i64> {
    let details = container.members.iter().flat_map(|member| &member.details);
    let values = details.filter(|detail: &&Detail| detail.field == field);
    let different: BTreeSet<i64> = values.filter_map(|detail| read(&detail.value)).collect();
    different.into_iter().take(MAX_TIMES).collect()
}

fn octal_seconds(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    i64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

/// A DOS time and date, read as UTC. Every other second only.
fn dos_seconds(value: &[u8]) -> Option<i64> {
    let [t0, t1, d0, d1] = *value.first_chunk::<4>()?;
    let (time, date) = (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([d0, d1]));
    let part = |value: u16, low: u32, bits: u32| i64::from((value >> low) & ((1 << bits) - 1));
    let (year, month, day) = (1980 + part(date, 9, 7), part(date, 5, 4), part(date, 0, 5));
    let seconds = part(time, 11, 5) * 3600 + part(time, 5, 6) * 60 + part(time, 0, 5) * 2;
    ((1..=12).contains(&month) && day > 0).then(|| days(year, month, day) * 86_400 + seconds)
}

/// Days since 1970 of a date of the Gregorian calendar; years start in March, so that the leap day is
/// the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let month = (month + 9) % 12;
    let before = year * 365 + year / 4 - year / 100 + year / 400;
    before + (month * 306 + 5) / 10 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zip_times_are_read_as_utc() {
        let dos = |year: u16, month: u16, day: u16, h: u16, m: u16, s: u16| {
            let date = ((year - 1980) << 9) | (month << 5) | day;
            let time = (h << 11) | (m << 5) | (s / 2);
            let mut bytes = time.to_le_bytes().to_vec();
            bytes.extend(date.to_le_bytes());
            dos_seconds(&bytes)
        };
        assert_eq!(dos(1980, 1, 1, 0, 0, 0), Some(315_532_800));
        assert_eq!(dos(2020, 2, 2, 0, 0, 0), Some(1_580_601_600));
        assert_eq!(dos(2024, 2, 29, 23, 59, 58), Some(1_709_251_198));
        assert_eq!(dos(2025, 11, 15, 20, 41, 36), Some(1_763_239_296));
        assert_eq!(dos(1980, 0, 1, 0, 0, 0), None);
        assert_eq!(dos_seconds(b"abc"), None);
        assert_eq!(octal_seconds(b"00000000012\0"), Some(10));
        assert_eq!(octal_seconds(b"\x80\0\0\x01"), None);
    }

    #[test]
    fn headers_end_at_the_first_empty_line() {
        let text = b"Metadata-Version: 2.1\nname: a\n\nVersion: 2\n";
        assert_eq!(header(text, "Name").as_deref(), Some("a"));
        assert_eq!(header(text, "Version"), None);
        assert_eq!(header(&[b'x'; 10], "Name"), None);
        let g = generator("bdist_wheel (0.43.0)").unwrap();
        assert_eq!(
            (g.tool.as_str(), g.version.as_str()),
            ("bdist_wheel", "0.43.0")
        );
        assert_eq!(generator("flit"), None);
    }

    #[test]
    fn metadata_is_looked_for_in_the_top_folder_only() {
        assert!(is_wheel_metadata(b"a-1.dist-info/WHEEL"));
        assert!(is_sdist_metadata(b"a-1/PKG-INFO"));
        for no in [
            &b"x/a-1.dist-info/WHEEL"[..],
            b"WHEEL",
            b"/PKG-INFO",
            b"PKG-INFO",
            b"a/b/PKG-INFO",
        ] {
            assert!(!is_wheel_metadata(no) && !is_sdist_metadata(no));
        }
    }
}
