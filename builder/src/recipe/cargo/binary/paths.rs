//! Where an executable says that its sources lay: the places of panics in dependencies are absolute paths
//! below `CARGO_HOME`, and what a build script generated lies below the checkout.
//!
//! A path from the closed lists here is **selected**: the lists exist without the artifact, and the verdict
//! can be `reproduced`. Any other is **copied** from the artifact, and the verdict is `assisted` at best
//! (ATTESTATION section 2).

use countersign_attest::digest::Sha256;
use countersign_attest::origin::Origin;
use serde::{Deserialize, Serialize};

/// Between `CARGO_HOME` and the folder of a registry.
const REGISTRY: &[u8] = b"/registry/src/";
/// `CARGO_HOME` of well-known publishers: a hosted runner, root in a container, the official image, and two
/// images that compile for other machines.
const HOMES: [&str; 6] = [
    "/home/runner/.cargo",
    "/root/.cargo",
    "/usr/local/cargo",
    "/github/home/.cargo",
    "/home/rust/.cargo",
    "/cargo",
];
/// SHA-256 of the names that cargos give the folder of the default registry: its host and a number that
/// changed twice. Digests, because no registry's host is written here.
const FOLDERS: [&str; 3] = [
    "e8f5e2af597baa4650460e322009e97c2f436814517989b0365487aa501a8972",
    "f5225e545b5c480e4b6f8ca5514e96775a11c0e3a9ed5ae4aabda646ebc5819a",
    "16aafe3a93e9ade34689cff37aea0659c52193777dfc2d6d3cca3505b34ae47f",
];
/// Where a hosted runner checks a repository out, below it twice by the repository's name.
const CHECKOUTS: &str = "/home/runner/work";
/// Longest path that is looked for.
const PATH_BYTES: usize = 160;
/// Most places that are compared.
const MOST_PLACES: usize = 64;

/// What an executable shows. Written by strangers; of characters that a path of ours may have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// The folder with the sources of dependencies.
    pub registry: Option<String>,
    /// The checkout.
    pub checkout: Option<String>,
}

/// Looks for paths.
pub(super) fn read(bytes: &[u8]) -> Paths {
    Paths {
        registry: registry(bytes),
        checkout: checkout(bytes),
    }
}

impl Paths {
    /// Who chose the registry's folder.
    pub(super) fn registry_origin(path: &str) -> Origin {
        let known = path
            .split_once("/registry/src/")
            .is_some_and(|(home, folder)| {
                let digest = Sha256::of(folder.as_bytes()).to_string();
                HOMES.contains(&home) && FOLDERS.contains(&digest.as_str())
            });
        origin(known)
    }

    /// Who chose the checkout's: the name of the repository stands in the source's address.
    pub(super) fn checkout_origin(path: &str, source_uri: &str) -> Origin {
        let name = source_uri.rsplit('/').next().unwrap_or_default();
        let name = name.strip_suffix(".git").unwrap_or(name);
        origin(path == checkout_of(name))
    }
}

const fn origin(known: bool) -> Origin {
    if known {
        Origin::Source
    } else {
        Origin::Artifact
    }
}

/// Where a text stands, at most [`MOST_PLACES`].
fn places<'a>(bytes: &'a [u8], text: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let windows = bytes.windows(text.len()).enumerate();
    let found = windows.filter(move |(_, window)| *window == text);
    found.map(|(at, _)| at).take(MOST_PLACES)
}

/// Texts of an executable follow one another without a mark between them. Where a path begins is known of
/// the homes on the list; else it is what stands in front of all places alike.
fn registry(bytes: &[u8]) -> Option<String> {
    let mut homes: Vec<&[u8]> = Vec::new();
    let mut folder: Option<&[u8]> = None;
    for at in places(bytes, REGISTRY) {
        let before = bytes.get(at.saturating_sub(PATH_BYTES)..at)?;
        let after = bytes.get(at + REGISTRY.len()..)?;
        let name = after.split(|byte| *byte == b'/').next()?;
        if name.len() > PATH_BYTES || !is_folder(name) {
            continue;
        }
        if *folder.get_or_insert(name) != name {
            return None; // several registries: not told apart
        }
        homes.push(before);
    }
    let folder = std::str::from_utf8(folder?).ok()?;
    let listed = |home: &&&str| homes.iter().all(|before| before.ends_with(home.as_bytes()));
    // `/cargo` ends other homes, too: the longest
    let home = HOMES.iter().filter(listed).max_by_key(|home| home.len());
    let home = match home {
        Some(home) => (*home).to_owned(),
        None => common(&homes)?,
    };
    Some(format!("{home}/registry/src/{folder}"))
}

/// A host and sixteen hexadecimal digits.
fn is_folder(name: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let tail = name.rsplit(|byte| *byte == b'-').next();
    let hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    name.iter().all(plain) && tail.is_some_and(|tail| tail.len() == 16 && tail.iter().all(hex))
}

/// The absolute path that all of these end with; one place alone shows none.
fn common(all: &[&[u8]]) -> Option<String> {
    let (first, rest) = all.split_first()?;
    if rest.iter().all(|other| other == first) {
        return None; // nothing shows where it begins
    }
    let shared = |length: &usize| {
        let tail = &first[first.len() - length..]; // a length of it
        rest.iter().all(|other| other.ends_with(tail))
    };
    let length = (1..=first.len()).take_while(shared).last()?;
    let tail = &first[first.len() - length..]; // as above
    let start = tail.iter().position(|byte| *byte == b'/')?;
    let path = std::str::from_utf8(&tail[start..]).ok()?; // a position in it
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-/".contains(c);
    (path.len() > 1 && path.chars().all(plain)).then(|| path.to_owned())
}

/// Where a hosted runner checks out a repository of this name.
pub(super) fn checkout_of(name: &str) -> String {
    format!("{CHECKOUTS}/{name}/{name}")
}

fn checkout(bytes: &[u8]) -> Option<String> {
    let folder = format!("{CHECKOUTS}/");
    let at = places(bytes, folder.as_bytes()).next()?;
    let rest = bytes.get(at + folder.len()..)?;
    let mut parts = rest
        .get(..rest.len().min(PATH_BYTES))?
        .split(|b| *b == b'/');
    let (first, second) = (parts.next()?, parts.next()?);
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_name = first == second && !first.is_empty() && first.iter().all(plain);
    let name = std::str::from_utf8(first).ok().filter(|_| is_name)?;
    Some(checkout_of(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = "registry.example-0123456789abcdef";

    fn file(homes: &[&str]) -> Vec<u8> {
        let place = |(n, home): (usize, &&str)| {
            format!("\x01text {n}{home}/registry/src/{FOLDER}/a-1.0.{n}/src/lib.rs")
        };
        homes
            .iter()
            .enumerate()
            .map(place)
            .collect::<String>()
            .into_bytes()
    }

    #[test]
    fn the_folder_of_dependencies_is_read_off() {
        let expect = |home: &str| Some(format!("{home}/registry/src/{FOLDER}"));
        for (homes, expect) in [
            (&["/root/.cargo"][..], expect("/root/.cargo")),
            (
                &["/usr/local/cargo", "/usr/local/cargo"],
                expect("/usr/local/cargo"),
            ),
            (
                &["/srv/ci/x/.cargo", "/srv/ci/x/.cargo"],
                expect("/srv/ci/x/.cargo"),
            ),
            (&["/srv/ci/.cargo"], None), // where it begins cannot be told
            (&[], None),
        ] {
            assert_eq!(read(&file(homes)).registry, expect, "{homes:?}");
        }
        assert_eq!(read(b"/root/.cargo/registry/src/$(id)/a").registry, None);
    }

    #[test]
    fn only_what_is_listed_is_selected() {
        let path = format!("/root/.cargo/registry/src/{FOLDER}");
        assert_eq!(Paths::registry_origin(&path), Origin::Artifact);
        assert!(FOLDERS.iter().all(|digest| digest.len() == 64));
        let made = format!("x{}/target/release/build/a/out/b.rs", checkout_of("tool"));
        let found = read(made.as_bytes()).checkout.unwrap();
        for (uri, expect) in [
            ("git+https://forge.example/me/tool", Origin::Source),
            ("git+https://forge.example/me/tool.git", Origin::Source),
            ("git+https://forge.example/me/other", Origin::Artifact),
        ] {
            assert_eq!(Paths::checkout_origin(&found, uri), expect, "{uri}");
        }
        let other = format!("{CHECKOUTS}/a/b/c");
        assert_eq!(read(other.as_bytes()).checkout, None);
    }
}
