//! Rebuilds that a distribution makes without a change of the source (binNMU): another version, and an
//! entry of the changelog that stands nowhere but in the package.
//!
//! The entry is copied from the published package, with the version, the date and the builder's name
//! in it. It says when, and never what is compiled; its form is checked, and it taints the plan.

use std::io::Read as _;

use serde::{Deserialize, Serialize};

use super::{DebEvidence, control, without_epoch};
use crate::archive::Container;

/// Longest changelog that is read, and longest entry that is taken over.
const CHANGELOG_BYTES: u64 = 4 << 20;
const ENTRY_BYTES: usize = 4 << 10;

/// The entry of such a rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryOnly {
    /// The entry, with the empty lines in it and none around it.
    pub text: String,
    /// The version, with the epoch.
    pub version: String,
    /// When it was written (RFC 5322).
    pub date: String,
}

/// The version of the source that a version of a rebuild is of: `1.0-1` for `1.0-1+b2`.
pub(super) fn source_version(version: &str) -> Option<&str> {
    let (source, number) = version.rsplit_once("+b")?;
    let counts = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    counts.then_some(source)
}

/// The entry that a build of a file of this version needs; none where it is the source's own version.
pub(super) fn wanted<'a>(
    evidence: &'a DebEvidence,
    version: &str,
) -> Result<Option<&'a BinaryOnly>, &'static str> {
    if source_version(version).is_none() || without_epoch(&evidence.version) == version {
        return Ok(None);
    }
    let entry = evidence.binary_only.as_ref();
    match entry.filter(|entry| without_epoch(&entry.version) == version) {
        Some(entry) => Ok(Some(entry)),
        None => Err(
            "it was rebuilt by the distribution without a change of its source (binNMU), and what \
             that put into its changelog is not in the published package",
        ),
    }
}

/// Whether a member may have the entry: the changelog of the packaging, where debhelper splits the
/// entry off, and elsewhere.
pub(super) fn is_changelog(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"./").unwrap_or(name);
    let Some(name) = name.strip_prefix(b"usr/share/doc/") else {
        return false;
    };
    let mut parts = name.split(|byte| *byte == b'/').skip(1);
    let file = parts.next().unwrap_or_default();
    parts.next().is_none() && file.starts_with(b"changelog") && file.ends_with(b".gz")
}

/// Reads the entry off the files that a package installs, of the source of this name.
pub(super) fn read(data: &Container, source: &str) -> Option<BinaryOnly> {
    let changelogs = data.members.iter().filter(|m| is_changelog(&m.name));
    changelogs.into_iter().find_map(|member| {
        let mut text = String::new();
        let packed = member.content.text.as_deref()?;
        let unpacked = flate2::read::GzDecoder::new(packed).take(CHANGELOG_BYTES);
        { unpacked }.read_to_string(&mut text).ok()?;
        entry(&text, source)
    })
}

/// The first entry of a changelog, where it is one of a rebuild of the source.
fn entry(changelog: &str, source: &str) -> Option<BinaryOnly> {
    let first = control::entry(changelog)?;
    let title = changelog.lines().next()?;
    let (_, keys) = title.split_once(';')?;
    let mut keys = keys.split(',').map(str::trim);
    if first.source != source || !keys.any(|key| key == "binary-only=yes") {
        return None;
    }
    let end = changelog.find("\n -- ")? + 1;
    let end = end + changelog.get(end..)?.find('\n')?;
    let text = changelog.get(..end)?.to_owned();
    let safe = text.len() <= ENTRY_BYTES && text.chars().all(|c| c == '\n' || !c.is_control());
    safe.then_some(BinaryOnly {
        text,
        version: first.version,
        date: first.date?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "b (1:1.0-2+b1) sid; urgency=low, binary-only=yes\n\n  * Binary-only non-maintainer upload for amd64; no source changes.\n  * Rebuild\n\n -- amd64 Build Daemon (x) <b@example.org>  Mon, 01 Jan 2024 00:00:00 +0000";

    #[test]
    fn an_entry_of_a_rebuild_is_told_from_others() {
        let found = entry(&format!("{ENTRY}\n\nb (1:1.0-2) sid; urgency=low\n"), "b").unwrap();
        assert_eq!(found.text, ENTRY);
        assert_eq!(found.version, "1:1.0-2+b1");
        assert_eq!(found.date, "Mon, 01 Jan 2024 00:00:00 +0000");
        for bad in [
            String::new(),
            format!("{ENTRY}\n").replace("b (1", "c (1"),
            format!("{ENTRY}\n").replace(", binary-only=yes", ""),
            format!("{ENTRY}\n").replace("Rebuild", "Re\u{1b}[2Jbuild"),
            format!("{ENTRY}\n").replace("Rebuild", &"x".repeat(5000)),
            format!("{ENTRY}\n").replace("Mon, 01", "$(x)"),
            ENTRY.to_owned(), // cut off
        ] {
            assert_eq!(entry(&bad, "b"), None, "{bad}");
        }
    }

    #[test]
    fn versions_of_rebuilds_name_their_sources() {
        for (version, source) in [
            ("1.0-2+b1", Some("1.0-2")),
            ("1.0+b2-1", None),
            ("1.0+b", None),
            ("1.0", None),
            ("1+b1+b12", Some("1+b1")),
        ] {
            assert_eq!(source_version(version), source, "{version}");
        }
        for (name, is) in [
            ("./usr/share/doc/b/changelog.Debian.amd64.gz", true),
            ("./usr/share/doc/b/changelog.gz", true),
            ("./usr/share/doc/b/x/changelog.gz", false),
            ("./usr/share/doc/b/changelog", false),
            ("./etc/changelog.gz", false),
        ] {
            assert_eq!(is_changelog(name.as_bytes()), is, "{name}");
        }
    }
}
