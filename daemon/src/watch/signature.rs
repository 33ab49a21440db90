//! Signatures of tags: what a tag object bears, and whether an operator's keys made it.
//!
//! [`split`] takes the bytes apart in the git child; [`verify`] asks the programs that git itself
//! asks, `gpgv` (or `sqv`, where only that is installed) and `ssh-keygen`, each with a file of keys that the operator named for this
//! repository, an empty folder and nothing of this machine's own key rings. Only a signature by such a
//! key is `VALID`. Nothing here decides what a signature is worth.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::digest::{hex, unhex};
use countersign_attest::statement::{SignatureFormat, SignatureState, Signed};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use crate::trouble::Trouble;

/// Longest time for a program.
const TIME: Duration = Duration::from_secs(30);
/// Most bytes that a program may print.
const ANSWER_BYTES: u64 = 64 << 10;
/// The namespace of git's signatures (PROTOCOL.sshsig).
const NAMESPACE: &str = "git";
/// How lines begin that open a signature, and its format.
const BEGINNINGS: [(&[u8], SignatureFormat); 4] = [
    (b"-----BEGIN PGP SIGNATURE-----", SignatureFormat::Openpgp),
    (b"-----BEGIN PGP MESSAGE-----", SignatureFormat::Openpgp),
    (b"-----BEGIN SSH SIGNATURE-----", SignatureFormat::Ssh),
    (b"-----BEGIN SIGNED MESSAGE-----", SignatureFormat::X509),
];

/// A signature of a tag and what it is of, in hexadecimal: both may be any bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TagSignature {
    /// Its kind.
    pub format: SignatureFormat,
    payload: String,
    signature: String,
}

/// Files of keys that an operator trusts for the tags of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TagKeys {
    /// OpenPGP keys, binary or armored.
    pub openpgp: Option<PathBuf>,
    /// Allowed signers (ssh-keygen(1), ALLOWED SIGNERS).
    pub ssh: Option<PathBuf>,
}

/// What is known of a tag's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checked {
    /// The state.
    pub state: SignatureState,
    /// How it is signed, where it is.
    pub signed: Option<Signed>,
}

impl Default for Checked {
    fn default() -> Self {
        Self::of(SignatureState::Unchecked)
    }
}

impl Checked {
    const fn of(state: SignatureState) -> Self {
        Self {
            state,
            signed: None,
        }
    }

    fn signed(state: SignatureState, format: SignatureFormat, key: Option<&str>) -> Self {
        Self {
            state,
            signed: Some(Signed {
                format,
                key_fingerprint: key.map(str::to_owned),
            }),
        }
    }
}

/// Takes the bytes of a tag object apart as git does: the signature is from the last line that begins
/// one to the end, and is of everything before. `None` where the tag bears none.
pub(super) fn split(tag: &[u8]) -> Option<TagSignature> {
    let (mut at, mut found) = (0, None);
    for line in tag.split_inclusive(|byte| *byte == b'\n') {
        let begins = BEGINNINGS.iter().find(|(text, _)| line.starts_with(text));
        if let Some((_, format)) = begins {
            found = Some((at, *format));
        }
        at += line.len();
    }
    let (at, format) = found?;
    let (payload, signature) = tag.split_at_checked(at)?;
    Some(TagSignature {
        format,
        payload: hex(payload),
        signature: hex(signature),
    })
}

/// Checks a tag's signature, where there is a tag object, with the keys that are named for its kind.
///
/// # Errors
/// A fault where a file of keys or the program for it cannot be used: that is ours, not the tag's.
pub(crate) async fn verify(
    signature: Option<&TagSignature>,
    keys: &TagKeys,
) -> Result<Checked, Trouble> {
    let Some(signature) = signature else {
        return Ok(Checked::of(SignatureState::Unsigned));
    };
    let unhex = |text: &str| {
        let bug = || {
            Trouble::fault(
                "bug",
                anyhow::anyhow!("a signature that is not hexadecimal"),
            )
        };
        unhex(text).ok_or_else(bug)
    };
    let (payload, armored) = (unhex(&signature.payload)?, unhex(&signature.signature)?);
    let format = signature.format;
    match (format, &keys.openpgp, &keys.ssh) {
        (SignatureFormat::Openpgp, Some(ring), _) => openpgp(ring, &payload, &armored).await,
        (SignatureFormat::Ssh, _, Some(signers)) => ssh(signers, &payload, &armored).await,
        (SignatureFormat::Openpgp, None, _)
        | (SignatureFormat::Ssh, _, None)
        | (SignatureFormat::X509, _, _) => {
            Ok(Checked::signed(SignatureState::Unchecked, format, None))
        }
    }
}

async fn openpgp(ring: &Path, payload: &[u8], armored: &[u8]) -> Result<Checked, Trouble> {
    let place = Place::new()?;
    let keys = std::fs::read(ring).map_err(|error| unusable(ring, error))?;
    let keys = dearmored(&keys).unwrap_or(keys);
    let (ring, signature) = (
        place.put("ring.gpg", &keys)?,
        place.put("signature", armored)?,
    );
    if !is_installed("gpgv") && is_installed("sqv") {
        return by_sqv(&place, &ring, &signature, payload).await;
    }
    let mut gpgv = place.command("gpgv");
    gpgv.args(["--status-fd", "1", "--keyring"]).arg(ring);
    gpgv.arg(signature).arg("-");
    let said = ask(gpgv, payload, "tag_keys.openpgp").await?;
    let word = |line: &'_ str| line.strip_prefix("[GNUPG:] ").map(str::to_owned);
    let words: Vec<String> = said.text.lines().filter_map(word).collect();
    let has = |name: &str| {
        words
            .iter()
            .any(|line| line.split(' ').next() == Some(name))
    };
    let fingerprint = words.iter().find_map(|line| {
        let key = line.strip_prefix("VALIDSIG ")?.split(' ').next()?;
        key.bytes().all(|b| b.is_ascii_hexdigit()).then_some(key)
    });
    let (state, key) = match fingerprint {
        _ if has("BADSIG") || has("REVKEYSIG") => (SignatureState::Invalid, None),
        Some(key) if has("GOODSIG") && said.success => (SignatureState::Valid, Some(key)),
        Some(key) if has("EXPKEYSIG") || has("EXPSIG") => (SignatureState::ExpiredKey, Some(key)),
        _ if has("NO_PUBKEY") => (SignatureState::UnknownKey, None),
        _ => (SignatureState::Invalid, None),
    };
    Ok(Checked::signed(state, SignatureFormat::Openpgp, key))
}

/// The same by `sqv`. It judges a key at the time of its signature, so that one that has expired since is
/// valid, where `gpgv` says that it has expired.
async fn by_sqv(
    place: &Place,
    ring: &Path,
    signature: &Path,
    payload: &[u8],
) -> Result<Checked, Trouble> {
    let payload = place.put("payload", payload)?;
    let mut sqv = place.command("sqv");
    sqv.arg("--keyring").arg(ring).arg(signature).arg(payload);
    let said = ask(sqv, b"", "tag_keys.openpgp").await?;
    let says = |words: &[&str]| words.iter().any(|word| said.text.contains(word));
    let first = said.stdout.lines().next().filter(|_| said.success);
    let key = first.filter(|key| !key.is_empty() && key.bytes().all(|b| b.is_ascii_hexdigit()));
    let state = match key {
        Some(_) => SignatureState::Valid,
        None if says(&["Missing key", "No key to verify"]) => SignatureState::UnknownKey,
        None if says(&["expired", "not alive"]) => SignatureState::ExpiredKey,
        None => SignatureState::Invalid,
    };
    Ok(Checked::signed(state, SignatureFormat::Openpgp, key))
}

/// Whether a program is in one of the folders where it would be looked for.
fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

async fn ssh(signers: &Path, payload: &[u8], armored: &[u8]) -> Result<Checked, Trouble> {
    let place = Place::new()?;
    let allowed = std::fs::read(signers).map_err(|error| unusable(signers, error))?;
    let allowed = place.put("allowed", &allowed)?;
    let signature = place.put("signature", armored)?;
    let format = SignatureFormat::Ssh;
    let mut find = place.command("ssh-keygen");
    find.args(["-Y", "find-principals", "-f"]).arg(&allowed);
    find.arg("-s").arg(&signature);
    let found = ask(find, b"", "tag_keys.ssh").await?;
    let principal = found.stdout.lines().next().filter(|_| found.success);
    let mut good = place.command("ssh-keygen");
    good.args(["-Y", "check-novalidate", "-n", NAMESPACE, "-s"])
        .arg(&signature);
    let good = ask(good, payload, "tag_keys.ssh").await?;
    if !good.success {
        return Ok(Checked::signed(SignatureState::Invalid, format, None));
    }
    let key = good
        .text
        .split_ascii_whitespace()
        .find(|word| word.starts_with("SHA256:"));
    let state = match principal {
        None if found.text.contains("key has expired") => SignatureState::ExpiredKey,
        None => SignatureState::UnknownKey,
        Some(principal) => {
            let mut verify = place.command("ssh-keygen");
            verify.args(["-Y", "verify", "-n", NAMESPACE, "-I", principal, "-f"]);
            verify.arg(&allowed).arg("-s").arg(&signature);
            let verified = ask(verify, payload, "tag_keys.ssh").await?;
            match verified.success {
                true => SignatureState::Valid,
                // not for this namespace, not valid yet
                false => SignatureState::UnknownKey,
            }
        }
    };
    Ok(Checked::signed(state, format, key))
}

/// An armored key as the bytes that `gpgv` reads; `None` where it is not armored.
fn dearmored(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut bytes = Vec::new();
    let mut inside = false;
    let mut encoded = String::new();
    for line in text.lines().map(str::trim) {
        match line {
            "-----BEGIN PGP PUBLIC KEY BLOCK-----" => (inside, encoded) = (true, String::new()),
            "-----END PGP PUBLIC KEY BLOCK-----" => {
                inside = false;
                bytes.extend(STANDARD.decode(&encoded).ok()?);
            }
            // headers, the empty line after them, the checksum
            _ if !inside || line.contains(':') || line.starts_with('=') => {}
            _ => encoded.push_str(line),
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

/// An empty folder in which a program works, and which is its home.
struct Place(TempDir);

impl Place {
    fn new() -> Result<Self, Trouble> {
        let made = tempfile::Builder::new().prefix("signature-").tempdir();
        made.map(Self).map_err(disk)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Trouble> {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).map_err(disk)?;
        Ok(path)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("LC_ALL", "C");
        command
            .env("HOME", self.0.path())
            .current_dir(self.0.path());
        command
    }
}

struct Said {
    /// What it printed to both ends.
    text: String,
    stdout: String,
    success: bool,
}

async fn ask(mut command: Command, input: &[u8], key: &'static str) -> Result<Said, Trouble> {
    let program = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let failed = |problem: String| {
        let text = format!(
            "checking a tag's signature with {program} ({problem}); install it, or leave {key} out"
        );
        Trouble::fault("tag-signature", anyhow::anyhow!(text))
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let run = async {
        let write = async {
            if let Some(mut stdin) = stdin {
                // a program that has seen enough closes its end
                let _ = stdin.write_all(input).await;
            }
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let read_out = async {
            match stdout {
                Some(pipe) => pipe.take(ANSWER_BYTES).read_to_end(&mut out).await,
                None => Ok(0),
            }
        };
        let read_err = async {
            match stderr {
                Some(pipe) => pipe.take(ANSWER_BYTES).read_to_end(&mut err).await,
                None => Ok(0),
            }
        };
        let ((), out_read, err_read) = tokio::join!(write, read_out, read_err);
        out_read.and(err_read)?;
        let status = child.wait().await?;
        let stdout = String::from_utf8_lossy(&out).into_owned();
        let text = format!("{stdout}\n{}", String::from_utf8_lossy(&err));
        Ok::<_, std::io::Error>(Said {
            text,
            stdout,
            success: status.success(),
        })
    };
    match timeout(TIME, run).await {
        Ok(Ok(said)) => Ok(said),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("no answer in {} s", TIME.as_secs()))),
    }
}

fn unusable(path: &Path, error: std::io::Error) -> Trouble {
    let context = format!("reading the keys {}", path.display());
    Trouble::fault("tag-signature", anyhow::Error::new(error).context(context))
}

fn disk(error: std::io::Error) -> Trouble {
    let context = "making a folder for a tag's signature";
    Trouble::fault("disk", anyhow::Error::new(error).context(context))
}

#[cfg(test)]
mod tests;
