//! What a published file bears beside its content: times and owners of members, and when the gzip
//! header says that it was packed. Where only these differ they are copied, as named values of the
//! plan with the origin `artifact`, and the verdict is `assisted` at best.
//!
//! Nothing of a member's content, name, order or mode is ever copied.

use countersign_attest::digest::Sha256;
use countersign_attest::origin::{AssistKind, Origin};
use serde::{Deserialize, Serialize};

use super::ours;
use crate::archive::{Container, Detail, Field, Member};
use crate::plan::{Assist, Step, Valued};

/// Most bytes of all lines together: arguments of one command hold two million.
const MAX_BYTES: usize = 1 << 20;
/// Longest argument (Linux takes 128 KiB).
const ARGUMENT_BYTES: usize = 64 << 10;
/// Where the lines are put; `recorded.py` knows it.
const FILE: &str = "/tmp/recorded";

/// What is recorded in one file. Written by strangers; every text is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The time in the gzip header, where it is not zero.
    pub packed: Option<u32>,
    /// In the order of the archive.
    pub members: Vec<RecordedMember>,
}

/// What is recorded of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedMember {
    /// Its name.
    pub name: String,
    /// When it was changed.
    pub time: Time,
    /// Who owns it, where that is not nobody in particular.
    pub owner: Option<Owner>,
}

/// A time, as its format has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Time {
    /// Seconds since 1970 in decimal, perhaps with a fraction.
    Tar(String),
    /// Year, month, day, hour, minute, second of a zip.
    Zip([u16; 6]),
}

/// An owner, as a tar has it: user and group by number, then by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner(pub u32, pub u32, pub String, pub String);

impl Recorded {
    /// Reads it off a tar in a gzip stream with these header fields; `None` where something in it
    /// cannot be said to a build.
    pub(super) fn of_sdist(gzip: &[Detail], tar: &Container) -> Option<Self> {
        let packed = gzip.iter().find(|detail| detail.field == Field::GzipTime)?;
        let packed = u32::from_le_bytes(*packed.value.first_chunk()?);
        let members = tar.members.iter().map(|member| {
            Some(RecordedMember {
                name: name(member)?.trim_end_matches('/').to_owned(),
                time: Time::Tar(tar_time(member)?),
                owner: owner(member)?,
            })
        });
        let recorded = Self {
            packed: (packed != 0).then_some(packed),
            members: members.collect::<Option<_>>()?,
        };
        recorded.fits().then_some(recorded)
    }

    /// Reads it off a zip.
    pub(super) fn of_wheel(zip: &Container) -> Option<Self> {
        let members = zip.members.iter().map(|member| {
            let details = &mut member.details.iter();
            let time = details.find(|detail| detail.field == Field::ZipTime)?;
            Some(RecordedMember {
                name: name(member)?.to_owned(),
                time: Time::Zip(zip_time(&time.value)?),
                owner: None,
            })
        });
        let recorded = Self {
            packed: None,
            members: members.collect::<Option<_>>()?,
        };
        recorded.fits().then_some(recorded)
    }

    fn fits(&self) -> bool {
        let bytes: usize = self.lines().iter().map(|line| line.len() + 1).sum();
        bytes <= MAX_BYTES
    }

    /// One JSON array each: the member's name, or null for the archive itself, then what is recorded.
    fn lines(&self) -> Vec<String> {
        let packed = self.packed.map(|time| format!("[null,\"{time}\"]"));
        let members = self.members.iter().map(|member| {
            let RecordedMember { name, time, owner } = member;
            // strings and numbers: serde_json cannot fail on them
            match owner {
                None => serde_json::to_string(&(name, time)),
                Some(owner) => serde_json::to_string(&(name, time, owner)),
            }
            .unwrap_or_default()
        });
        packed.into_iter().chain(members).collect()
    }

    /// Writes the lines where the build finds them. Their text is an argument, never part of a script.
    pub(super) fn step(&self) -> Step {
        let mut argv: Vec<Valued<String>> = ["sh", "-c", "printf '%s\\n' \"$@\" > \"$0\"", FILE]
            .map(ours)
            .to_vec();
        let mut argument = String::new();
        for line in self.lines() {
            if !argument.is_empty() && argument.len() + line.len() > ARGUMENT_BYTES {
                argv.push(Valued::new(std::mem::take(&mut argument), Origin::Artifact));
            }
            if !argument.is_empty() {
                argument.push('\n');
            }
            argument.push_str(&line);
        }
        argv.push(Valued::new(argument, Origin::Artifact));
        Step { argv }
    }

    /// What is copied, each kind once, with the digest of what it is.
    pub(super) fn assists(&self) -> Vec<Assist> {
        let times: Vec<(&String, &Time)> =
            self.members.iter().map(|m| (&m.name, &m.time)).collect();
        let owned = |m: &'_ RecordedMember| Some((m.name.clone(), m.owner.clone()?));
        let owners: Vec<(String, Owner)> = self.members.iter().filter_map(owned).collect();
        let mut assists = vec![Assist {
            kind: AssistKind::FileTimes,
            sha256: digest(&times),
        }];
        if !owners.is_empty() {
            assists.push(Assist {
                kind: AssistKind::Owners,
                sha256: digest(&owners),
            });
        }
        if let Some(packed) = self.packed {
            assists.push(Assist {
                kind: AssistKind::Metadata,
                sha256: digest(&packed),
            });
        }
        assists
    }
}

fn digest(value: &impl Serialize) -> Sha256 {
    // strings and numbers: serde_json cannot fail on them
    Sha256::of(&serde_json::to_vec(value).unwrap_or_default())
}

fn name(member: &Member) -> Option<&str> {
    let name = std::str::from_utf8(&member.name).ok()?;
    (!name.contains(['\0', '\n'])).then_some(name)
}

/// The pax time where there is one, else that of the header.
fn tar_time(member: &Member) -> Option<String> {
    let of = |field| member.details.iter().filter(move |d| d.field == field);
    let pax = of(Field::PaxTime).find_map(|detail| detail.value.strip_prefix(b"mtime="));
    if let Some(pax) = pax {
        return std::str::from_utf8(pax).ok().map(str::to_owned);
    }
    // extended headers of the member come first, with times of their own
    let header = of(Field::TarTime).next_back()?;
    octal(&header.value).map(|time| time.to_string())
}

/// `Some(None)`: nobody in particular. Owners in pax records are not read.
fn owner(member: &Member) -> Option<Option<Owner>> {
    let of = |field| member.details.iter().filter(move |d| d.field == field);
    if of(Field::PaxOwner).next().is_some() {
        return None;
    }
    let ids: Option<Vec<u32>> = of(Field::TarOwnerId)
        .map(|detail| u32::try_from(octal(&detail.value)?).ok())
        .collect();
    let names: Option<Vec<&str>> = of(Field::TarOwnerName)
        .map(|detail| std::str::from_utf8(&detail.value).ok())
        .collect();
    let (ids, names) = (ids?, names?);
    let (user, group) = match ids.as_slice() {
        [.., user, group] => (*user, *group),
        [] | [_] => return None,
    };
    let (user_name, group_name) = match names.as_slice() {
        [.., user, group] => (*user, *group),
        [] | [_] => ("", ""),
    };
    let nobody = (user, group, user_name, group_name) == (0, 0, "", "");
    let owner = || Owner(user, group, user_name.to_owned(), group_name.to_owned());
    Some((!nobody).then(owner))
}

fn octal(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?.trim_matches(['\0', ' ']);
    i64::from_str_radix(if text.is_empty() { "0" } else { text }, 8).ok()
}

fn zip_time(value: &[u8]) -> Option<[u16; 6]> {
    let [t0, t1, d0, d1] = *value.first_chunk::<4>()?;
    let (time, date) = (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([d0, d1]));
    Some([
        1980 + (date >> 9),
        (date >> 5) & 15,
        date & 31,
        time >> 11,
        (time >> 5) & 63,
        (time & 31) * 2,
    ])
}

#[cfg(test)]
mod tests {
    use countersign_fixtures::archives::{TarEntry, ZipEntry, gzip, tar, zip};

    use super::*;
    use crate::archive::{self, ReadLimits};

    #[test]
    fn a_wheels_times_are_read_as_they_stand() {
        let mut entry = ZipEntry::file("a/b.py", b"x");
        entry.time = [0x41, 0x08, 0x62, 0x58]; // 2024-03-02 01:02:02
        let bytes = zip(&[entry], b"");
        let container =
            archive::zip::walk(std::io::Cursor::new(bytes), &ReadLimits::default(), None);
        let recorded = Recorded::of_wheel(&container.unwrap()).unwrap();
        assert_eq!(recorded.lines(), ["[\"a/b.py\",[2024,3,2,1,2,2]]"]);
        let kinds: Vec<_> = recorded.assists().iter().map(|a| a.kind).collect();
        assert_eq!(kinds, [AssistKind::FileTimes]);
    }

    #[test]
    fn an_sdists_times_and_owners_are_read_as_they_stand() {
        let bytes = gzip(&tar(&[
            TarEntry::file("a-1/b.py", b"x"),
            TarEntry::file("a-1/c\"\\.py", b"y"),
        ]));
        let walked = archive::gzip::walk(&bytes[..], &ReadLimits::default(), None).unwrap();
        let tar = walked.tar.unwrap().unwrap();
        let mut recorded = Recorded::of_sdist(&walked.container.members[0].details, &tar).unwrap();
        assert_eq!(recorded.members.len(), 2);
        recorded.packed = Some(7);
        recorded.members[0].time = Time::Tar("1700000000.25".into());
        recorded.members[1].owner = Some(Owner(1001, 127, "runner".into(), "docker".into()));
        recorded.members[1].time = Time::Tar("5".into());
        let lines = recorded.lines();
        assert_eq!(
            lines,
            [
                "[null,\"7\"]",
                "[\"a-1/b.py\",\"1700000000.25\"]",
                "[\"a-1/c\\\"\\\\.py\",\"5\",[1001,127,\"runner\",\"docker\"]]",
            ]
        );
        let kinds: Vec<_> = recorded.assists().iter().map(|a| a.kind).collect();
        assert_eq!(
            kinds,
            [
                AssistKind::FileTimes,
                AssistKind::Owners,
                AssistKind::Metadata
            ]
        );
        let step = recorded.step();
        let (script, values) = step.argv.split_at(4);
        assert!(script.iter().all(|value| value.origin == Origin::Source));
        assert!(values.iter().all(|value| value.origin == Origin::Artifact));
        let text: Vec<&str> = values.iter().map(|v| v.value.as_str()).collect();
        assert_eq!(text.join("\n"), lines.join("\n"));
    }

    #[test]
    fn long_lists_are_several_arguments_and_longer_ones_nothing() {
        let member = |n: usize| RecordedMember {
            name: format!("{n:0100}"),
            time: Time::Tar("1".into()),
            owner: None,
        };
        let recorded = |count| Recorded {
            packed: None,
            members: (0..count).map(member).collect(),
        };
        let step = recorded(2000).step();
        assert!(step.argv.len() > 6, "{}", step.argv.len());
        assert!(step.argv.iter().all(|a| a.value.len() <= ARGUMENT_BYTES));
        assert!(recorded(2000).fits() && !recorded(20_000).fits());
    }
}
