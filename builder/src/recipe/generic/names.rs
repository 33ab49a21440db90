//! What a build calls what was published, and the folders that release archives have.
//!
//! Pure tables: a published name says more than a build's (`tool-1.2.0-linux-amd64` is `tool`).

use crate::release::Release;

/// What a published name may end in, beside the version. The longest first.
const ENDS: [&str; 22] = [
    "unknown-linux-gnu",
    "unknown-linux-musl",
    "linux-gnu",
    "linux-musl",
    "x86_64",
    "aarch64",
    "linux64",
    "static",
    "amd64",
    "arm64",
    "linux",
    "64bit",
    "x86-64",
    "musl",
    "i686",
    "i386",
    "glibc",
    "bin",
    "gnu",
    "elf",
    "x64",
    "pc",
];
/// What joins the parts of a name.
const JOINTS: [char; 3] = ['-', '_', '.'];
/// Ends of names of source archives.
const ARCHIVES: [&str; 8] = [
    ".tar.gz", ".tar.xz", ".tar.bz2", ".tgz", ".txz", ".tbz2", ".tar", ".zip",
];

/// Whether a name can stand in a file name, a path and a pattern without meaning more.
pub(super) fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && text.chars().all(plain)
}

/// The name that a build gives to what was published as `published`.
pub(super) fn built<'a>(published: &'a str, release: &Release) -> &'a str {
    let mut name = published;
    let versions = [release.tag.as_str(), release.version.as_str()];
    let ends = || ENDS.into_iter().chain(versions);
    loop {
        let shorter = ends().find_map(|end| {
            let rest = name.strip_suffix(end).filter(|_| !end.is_empty())?;
            let rest = rest
                .strip_suffix('v')
                .filter(|r| r.ends_with(JOINTS))
                .unwrap_or(rest);
            rest.strip_suffix(JOINTS).filter(|rest| !rest.is_empty())
        });
        match shorter {
            Some(shorter) => name = shorter,
            None => return name,
        }
    }
}

/// Folders that an archive of a release's sources usually has: what its file is called, else the
/// repository with the version, as forges do it.
pub(super) fn folders(file_name: &str, release: &Release) -> Vec<String> {
    let stem = ARCHIVES.iter().find_map(|end| file_name.strip_suffix(end));
    let uri = release.source_uri.trim_end_matches('/');
    let repository = uri.rsplit(['/', ':']).next().unwrap_or_default();
    let repository = repository.strip_suffix(".git").unwrap_or(repository);
    let mut folders: Vec<String> = stem.map(str::to_owned).into_iter().collect();
    folders.push(format!("{repository}-{}", release.version));
    folders.push(format!(
        "{repository}-{}",
        release.tag.trim_start_matches('v')
    ));
    folders.push(format!("{repository}-{}", release.tag));
    folders
}

#[cfg(test)]
mod tests {
    use super::super::super::tests;
    use super::*;

    fn release() -> Release {
        Release {
            tag: "v1.2.0".to_owned(),
            version: "1.2.0".to_owned(),
            ..tests::release()
        }
    }

    #[test]
    fn published_names_become_those_of_builds() {
        let release = release();
        for (published, name) in [
            ("tool", "tool"),
            ("tool-1.2.0", "tool"),
            ("tool-v1.2.0-linux-amd64", "tool"),
            ("tool_1.2.0_linux_x86_64", "tool"),
            ("tool-x86_64-unknown-linux-musl", "tool"),
            ("my-tool.static", "my-tool"),
            ("libtool-1.2.0.a", "libtool-1.2.0.a"),
            ("libx.a", "libx.a"),
            ("linux", "linux"),
            ("1.2.0", "1.2.0"),
            ("dev", "dev"),
        ] {
            assert_eq!(built(published, &release), name, "{published}");
        }
    }

    #[test]
    fn folders_are_the_files_stem_or_the_repository_with_its_version() {
        let release = release();
        let folders = folders("v1.2.0.tar.gz", &release);
        assert_eq!(folders, ["v1.2.0", "b-1.2.0", "b-1.2.0", "b-v1.2.0"]);
    }
}
