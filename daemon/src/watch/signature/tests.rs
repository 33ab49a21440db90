//! Signatures that real programs made, over bytes as git writes them.

use std::process::Command as Program;

use super::*;

const PAYLOAD: &[u8] =
    b"object 1111111111111111111111111111111111111111\ntype commit\ntag v1\n\nwords\n";

fn run(program: &mut Program) -> Vec<u8> {
    let output = program
        .output()
        .unwrap_or_else(|error| panic!("{program:?}: {error}"));
    assert!(output.status.success(), "{program:?}: {output:?}");
    output.stdout
}

/// A folder with an SSH key and allowed signers, or with an OpenPGP key ring.
struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("k-").tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn ssh(options: &str) -> Self {
        let keys = Self::new();
        run(Program::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "x", "-f"])
            .arg(keys.path("key")));
        let public = std::fs::read_to_string(keys.path("key.pub")).unwrap();
        std::fs::write(keys.path("allowed"), format!("me@x {options} {public}")).unwrap();
        keys
    }

    fn ssh_sign(&self, payload: &[u8], namespace: &str) -> Vec<u8> {
        std::fs::write(self.path("payload"), payload).unwrap();
        run(Program::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .arg(self.path("key"))
            .arg(self.path("payload")));
        let signature = std::fs::read(self.path("payload.sig")).unwrap();
        std::fs::remove_file(self.path("payload.sig")).unwrap();
        signature
    }

    fn gpg(&self, arguments: &[&str]) -> Vec<u8> {
        run(Program::new("gpg")
            .args([
                "--batch",
                "--quiet",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
            ])
            .args(arguments)
            .env("GNUPGHOME", self.0.path()))
    }

    /// A key that is valid for this long, made at this moment, and its public half in a file.
    fn openpgp(expires: &str, made: &str) -> Self {
        let keys = Self::new();
        let made = format!("--faked-system-time={made}");
        keys.gpg(&[&made, "--quick-gen-key", "me@x", "ed25519", "sign", expires]);
        std::fs::write(keys.path("ring.asc"), keys.gpg(&["--armor", "--export"])).unwrap();
        std::fs::write(keys.path("ring.gpg"), keys.gpg(&["--export"])).unwrap();
        keys
    }

    fn gpg_sign(&self, payload: &[u8], at: &str) -> Vec<u8> {
        std::fs::write(self.path("payload"), payload).unwrap();
        let at = format!("--faked-system-time={at}");
        let payload = self.path("payload").display().to_string();
        self.gpg(&[&at, "--armor", "--detach-sign", "-o", "-", &payload])
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // an agent that gpg started for this folder alone
        let _ = Program::new("gpgconf")
            .args(["--kill", "gpg-agent"])
            .env("GNUPGHOME", self.0.path())
            .output();
    }
}

async fn check(payload: &[u8], signature: &[u8], keys: &TagKeys) -> (SignatureState, bool) {
    let tag = [payload, signature].concat();
    let checked = verify(split(&tag).as_ref(), keys).await.unwrap();
    let has_key = checked
        .signed
        .is_some_and(|signed| signed.key_fingerprint.is_some());
    (checked.state, has_key)
}

#[test]
fn a_signature_is_from_the_last_line_that_begins_one() {
    assert_eq!(split(PAYLOAD), None);
    assert_eq!(split(b""), None);
    assert_eq!(split(b"a -----BEGIN PGP SIGNATURE-----\n"), None);
    let text = b"a\n-----BEGIN PGP SIGNATURE-----\nb\n-----BEGIN SSH SIGNATURE-----\nc\n";
    let found = split(text).unwrap();
    assert_eq!(found.format, SignatureFormat::Ssh);
    assert_eq!(unhex(&found.payload).unwrap(), text[..34]);
    assert_eq!(unhex(&found.signature).unwrap(), text[34..]);
}

#[tokio::test]
async fn ssh_signatures_are_checked_against_the_allowed_signers() {
    use SignatureState::{ExpiredKey, Invalid, Unchecked, UnknownKey, Valid};
    let (keys, other) = (Keys::ssh(""), Keys::ssh(""));
    let allowed = |keys: &Keys| TagKeys {
        ssh: Some(keys.path("allowed")),
        ..TagKeys::default()
    };
    let signature = keys.ssh_sign(PAYLOAD, "git");
    assert_eq!(
        check(PAYLOAD, &signature, &allowed(&keys)).await,
        (Valid, true)
    );
    assert_eq!(
        check(PAYLOAD, &signature, &allowed(&other)).await,
        (UnknownKey, true)
    );
    assert_eq!(
        check(PAYLOAD, &signature, &TagKeys::default()).await,
        (Unchecked, false)
    );
    let tampered = [PAYLOAD, b"more\n"].concat();
    assert_eq!(
        check(&tampered, &signature, &allowed(&keys)).await,
        (Invalid, false)
    );
    let of_a_file = keys.ssh_sign(PAYLOAD, "file");
    assert_eq!(
        check(PAYLOAD, &of_a_file, &allowed(&keys)).await,
        (Invalid, false)
    );
    let noise = b"-----BEGIN SSH SIGNATURE-----\nnonsense\n-----END SSH SIGNATURE-----\n";
    assert_eq!(
        check(PAYLOAD, noise, &allowed(&keys)).await,
        (Invalid, false)
    );
    let expired = Keys::ssh("valid-before=\"20200101\"");
    let signature = expired.ssh_sign(PAYLOAD, "git");
    assert_eq!(
        check(PAYLOAD, &signature, &allowed(&expired)).await,
        (ExpiredKey, true)
    );
}

#[tokio::test]
async fn openpgp_signatures_are_checked_against_the_key_ring() {
    use SignatureState::{ExpiredKey, Invalid, Unchecked, UnknownKey, Valid};
    const THEN: &str = "20200101T000000";
    let (keys, other) = (Keys::openpgp("never", THEN), Keys::openpgp("never", THEN));
    let ring = |keys: &Keys, name: &str| TagKeys {
        openpgp: Some(keys.path(name)),
        ..TagKeys::default()
    };
    let signature = keys.gpg_sign(PAYLOAD, "20200201T000000");
    for name in ["ring.gpg", "ring.asc"] {
        assert_eq!(
            check(PAYLOAD, &signature, &ring(&keys, name)).await,
            (Valid, true),
            "{name}"
        );
    }
    assert_eq!(
        check(PAYLOAD, &signature, &ring(&other, "ring.gpg")).await,
        (UnknownKey, false)
    );
    assert_eq!(
        check(PAYLOAD, &signature, &TagKeys::default()).await,
        (Unchecked, false)
    );
    let tampered = [PAYLOAD, b"more\n"].concat();
    assert_eq!(
        check(&tampered, &signature, &ring(&keys, "ring.gpg")).await,
        (Invalid, false)
    );
    let noise = b"-----BEGIN PGP SIGNATURE-----\n\nnonsense\n-----END PGP SIGNATURE-----\n";
    assert_eq!(
        check(PAYLOAD, noise, &ring(&keys, "ring.gpg")).await,
        (Invalid, false)
    );
    let expired = Keys::openpgp("1y", THEN);
    let signature = expired.gpg_sign(PAYLOAD, "20200201T000000");
    let found = check(PAYLOAD, &signature, &ring(&expired, "ring.asc")).await;
    assert_eq!(found, (ExpiredKey, true));
}

/// The other program says the same, but of a key that has expired since.
#[tokio::test]
async fn sqv_says_of_openpgp_signatures_what_gpgv_says() {
    use SignatureState::{Invalid, UnknownKey, Valid};
    const THEN: &str = "20200101T000000";
    assert!(is_installed("sqv"), "install sqv, as tests/setup does");
    let (keys, other) = (Keys::openpgp("1y", THEN), Keys::openpgp("never", THEN));
    let signature = keys.gpg_sign(PAYLOAD, "20200201T000000");
    let tampered = [PAYLOAD, b"more\n"].concat();
    let noise = b"-----BEGIN PGP SIGNATURE-----\n\nnonsense\n-----END PGP SIGNATURE-----\n";
    for (ring, payload, signature, expected) in [
        (&keys, PAYLOAD, signature.as_slice(), Valid),
        (&other, PAYLOAD, &signature, UnknownKey),
        (&keys, &tampered, &signature, Invalid),
        (&keys, PAYLOAD, noise, Invalid),
    ] {
        let place = Place::new().unwrap();
        let armored = place.put("signature", signature).unwrap();
        let ring = ring.path("ring.gpg");
        let found = by_sqv(&place, &ring, &armored, payload).await.unwrap();
        assert_eq!(found.state, expected);
        let key = found.signed.and_then(|signed| signed.key_fingerprint);
        assert_eq!(key.is_some(), expected == Valid);
    }
}

#[tokio::test]
async fn no_signature_and_no_keys_are_told_apart() {
    let none = verify(None, &TagKeys::default()).await.unwrap();
    assert_eq!(none, Checked::of(SignatureState::Unsigned));
    let missing = TagKeys {
        ssh: Some("/nowhere/allowed".into()),
        ..TagKeys::default()
    };
    let tag = [PAYLOAD, b"-----BEGIN SSH SIGNATURE-----\n"].concat();
    let error = verify(split(&tag).as_ref(), &missing).await.unwrap_err();
    assert!(
        format!("{error:?}").contains("/nowhere/allowed"),
        "{error:?}"
    );
}
