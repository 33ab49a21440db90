//! The debian environment: a root file system made of exactly these packages of a suite.
//!
//! What the packages are is resolved by the host, from a signed index, before anything runs; here a
//! root is made of their files by mmdebstrap, without a network. Their scripts run as root of a user
//! namespace whose ids belong to nobody, in [`crate::sandbox::apart`]: whoever can publish in the
//! archive decides what is in the root, and reaches nothing else of the machine through it.
//!
//! The same packages and epoch give the same bytes: the root's tar is what a plan names by its digest.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::fd::OwnedFd;

use countersign_attest::digest::Sha256;
use serde::{Deserialize, Serialize};

use crate::plan::RootPackage;
use crate::sandbox::apart::{self, Apart};
use crate::sandbox::fault::Doing;
use crate::sandbox::{SandboxError, ids};

/// Makes the root.
const MMDEBSTRAP: &str = "/usr/bin/mmdebstrap";
/// Unpacks what it made.
const TAR: &str = "/usr/bin/tar";
/// Where the packages lie for it.
const PACKAGES: &str = "/packages";
/// Where the root is unpacked.
const ROOT: &str = "/filled";
/// Bytes of memory for the root while it is made: both it and the packages lie there.
const MEMORY: u64 = 8 << 30;

/// What a child needs to make a root.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BootstrapRequest {
    /// The release of the distribution, as the folder's Release file says it.
    pub suite: String,
    /// Its word for the architecture.
    pub architecture: String,
    /// The names of all packages.
    pub packages: Vec<String>,
    /// No file of the root is younger, in seconds since 1970.
    pub epoch: i64,
    /// First host id of the ranges to map, when started by root.
    pub id_base: u32,
    /// How many ranges there are.
    pub id_slots: u32,
}

/// The time in the header of a package's file: no file in it is younger (deb(5)).
#[must_use]
pub fn time_of(header: &[u8]) -> Option<i64> {
    let rest = header.strip_prefix(b"!<arch>\n")?;
    let text = std::str::from_utf8(rest.get(16..28)?).ok()?;
    text.trim().parse().ok()
}

/// The `Packages` file of a folder with these packages. A paragraph's fields are the archive's own but
/// for the place of the file.
#[must_use]
pub fn index(paragraphs: &[(RootPackage, BTreeMap<String, String>)]) -> String {
    let mut text = String::new();
    for (package, fields) in paragraphs {
        let _ = writeln!(text, "Package: {}", package.name);
        for (field, value) in fields {
            if field != "package" && field != "filename" {
                let _ = writeln!(text, "{field}: {}", value.replace('\n', "\n "));
            }
        }
        let _ = writeln!(text, "Filename: ./{}\n", package.file_name());
    }
    text
}

/// The `Release` file beside it.
#[must_use]
pub fn release(suite: &str, index: &str) -> String {
    format!(
        "Suite: {suite}\nCodename: {suite}\nDate: Thu, 01 Jan 1970 00:00:00 UTC\nSHA256:\n {} {} Packages\n",
        Sha256::of(index.as_bytes()),
        index.len()
    )
}

/// Makes the root, then unpacks it. Must run in a builder child.
pub(crate) fn bootstrap(
    request: &BootstrapRequest,
    packages: &OwnedFd,
    tar: &File,
    folder: &OwnedFd,
) -> Result<(), SandboxError> {
    for (program, remedy) in [(MMDEBSTRAP, "install mmdebstrap"), (TAR, "install tar")] {
        if !apart::is_program(program) {
            return Err(SandboxError::Refused {
                what: format!("{program} is not there, and a Debian root is made by it"),
                remedy,
            });
        }
    }
    let slot = || ids::choose_whole(request.id_base, request.id_slots);
    let variables = [
        ("DEBIAN_FRONTEND", "noninteractive".to_owned()),
        ("HOME", "/root".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("SOURCE_DATE_EPOCH", request.epoch.to_string()),
        ("TMPDIR", "/tmp".to_owned()),
    ];
    let making = Apart {
        argv: &mmdebstrap(request),
        variables: &variables,
        shown: Some((PACKAGES, packages)),
        filled: None,
        stdin: None,
        stdout: Some(tar),
        memory_bytes: MEMORY,
    };
    apart::run(&making, slot()?)?;
    (&*tar)
        .seek(SeekFrom::Start(0))
        .doing("reading a root again")?;
    let unpacking = Apart {
        argv: &[
            TAR,
            "--extract",
            "--file=-",
            &format!("--directory={ROOT}"),
            "--no-same-owner",
            "--no-same-permissions",
            "--delay-directory-restore",
            // devices cannot be made, and a sandbox brings its own
            "--exclude=./dev",
            "--exclude=./proc",
            "--exclude=./sys",
        ]
        .map(str::to_owned),
        shown: None,
        filled: Some((ROOT, folder)),
        stdin: Some(tar),
        stdout: None,
        ..making
    };
    // for a user without ids to map, one is enough: everything becomes that user's
    let owner = ids::choose_owner(request.id_base, request.id_slots)?;
    apart::run(&unpacking, owner)
}

/// What is on the host must not be in the root: mmdebstrap copies its name and resolver.
const SETTLE: &str = "printf 'localhost\\n' >\"$1/etc/hostname\"; : >\"$1/etc/resolv.conf\"; \
                      printf '127.0.0.1 localhost\\n' >\"$1/etc/hosts\"";

fn mmdebstrap(request: &BootstrapRequest) -> Vec<String> {
    vec![
        MMDEBSTRAP.into(),
        "--mode=root".into(),
        "--variant=essential".into(),
        "--format=tar".into(),
        "--quiet".into(),
        format!("--architectures={}", request.architecture),
        format!("--include={}", request.packages.join(",")),
        "--aptopt=APT::Install-Recommends \"false\"".into(),
        // there is no other user in the namespace of a program that makes a root
        "--aptopt=APT::Sandbox::User \"root\"".into(),
        "--skip=check/empty,chroot/mount/sys".into(),
        format!("--customize-hook={SETTLE}"),
        request.suite.clone(),
        "-".into(),
        // the digests of these files were compared with the signed index before they came here
        format!("deb [trusted=yes] copy://{PACKAGES} ./"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_says_when_it_was_made() {
        let header = b"!<arch>\ndebian-binary   1700000000  0     0     100644  4         `\n";
        assert_eq!(time_of(header), Some(1_700_000_000));
        assert_eq!(time_of(b"!<arch>\n"), None);
        assert_eq!(time_of(b"PK"), None);
    }

    #[test]
    fn an_index_names_our_files_and_a_release_its_digest() {
        let package = RootPackage::of_file("a_1%3a2_all.deb", Sha256::of(b"x")).unwrap();
        let fields = [
            ("package", "a"),
            ("version", "1:2"),
            ("filename", "pool/a.deb"),
            ("description", "two\nlines"),
        ];
        let fields = fields.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let text = index(&[(package, fields)]);
        assert_eq!(
            text,
            "Package: a\ndescription: two\n lines\nversion: 1:2\nFilename: ./a_1%3a2_all.deb\n\n"
        );
        let release = release("s", &text);
        assert!(release.contains(&format!(
            " {} {} Packages",
            Sha256::of(text.as_bytes()),
            text.len()
        )));
    }
}
