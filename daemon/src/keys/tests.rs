//! Key files as they are made, and as they are refused.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use countersign_attest::key::MAX_PEM_BYTES;

use super::place::PlaceError;
use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

const OPENSSL: &[u8] = include_bytes!("../../../attest/golden/keys/openssl.pem");
const OPENSSL_PUBLIC: &[u8] = include_bytes!("../../../attest/golden/keys/openssl.pub.pem");

#[test]
fn a_new_key_is_private_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inner/key.pem");
    let public = new(&path, &Passphrase::Terminal).unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(
        load(&SecretFile::at(path.clone()), &Passphrase::Terminal)
            .unwrap()
            .public(),
        public
    );
    assert_eq!(show(&path, &Passphrase::Terminal).unwrap(), public);
    assert_eq!(
        show(&public_path(&path), &Passphrase::Terminal).unwrap(),
        public
    );
    assert_eq!(public_path(&path), folder.path().join("inner/key.pub.pem"));

    let before = fs::read(&path).unwrap();
    assert!(matches!(
        new(&path, &Passphrase::Terminal),
        Err(KeyFileError::Exists(_))
    ));
    fs::remove_file(public_path(&path)).unwrap();
    assert!(matches!(
        new(&path, &Passphrase::Terminal),
        Err(KeyFileError::Exists(_))
    ));
    assert_eq!(fs::read(&path).unwrap(), before);

    let other = folder.path().join("inner/other.pem");
    assert_ne!(new(&other, &Passphrase::Terminal).unwrap(), public);
}

#[test]
fn a_link_in_place_of_the_new_file_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path().join("key.pem"), folder.path().join("target"));
    symlink(&target, &path).unwrap();
    assert!(matches!(
        new(&path, &Passphrase::Terminal),
        Err(KeyFileError::Exists(_))
    ));
    assert!(matches!(
        create(&path, 0o600, b"x"),
        Err(KeyFileError::Exists(_))
    ));
    assert!(!target.exists());
}

#[test]
fn openssl_keys_are_imported() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("openssl.pem");
    fs::write(&from, OPENSSL).unwrap();
    chmod(&from, 0o600);
    let to = folder.path().join("key");
    import(&from, &to, &Passphrase::Terminal).unwrap();
    assert_eq!(fs::read(&to).unwrap(), OPENSSL);
    assert_eq!(fs::read(public_path(&to)).unwrap(), OPENSSL_PUBLIC);

    let text = |path: &Path| {
        import(
            path,
            &folder.path().join("x.pem"),
            &Passphrase::File(SecretFile::at(folder.path().join("phrase"))),
        )
        .unwrap_err()
    };
    chmod(&from, 0o640);
    let error = text(&from).to_string();
    assert!(
        error.contains("chmod 600") && error.contains("openssl.pem"),
        "{error}"
    );
    let encrypted = folder.path().join("encrypted.pem");
    fs::write(
        &encrypted,
        include_bytes!("../../../attest/golden/keys/encrypted.pem"),
    )
    .unwrap();
    chmod(&encrypted, 0o600);
    // no pass phrase, then another one, then the right one
    assert!(matches!(text(&encrypted), KeyFileError::Io { .. }));
    let phrase = folder.path().join("phrase");
    fs::write(&phrase, "another\n").unwrap();
    chmod(&phrase, 0o600);
    assert!(matches!(text(&encrypted), KeyFileError::Encryption { .. }));
    assert!(!folder.path().join("x.pem").exists());

    fs::write(&phrase, "pass phrase of the golden key\n").unwrap();
    let phrase = Passphrase::File(SecretFile::at(phrase));
    let to = folder.path().join("imported.pem");
    let public = import(&encrypted, &to, &phrase).unwrap();
    assert_eq!(public.to_pem().as_bytes(), OPENSSL_PUBLIC);
    let text = fs::read_to_string(&to).unwrap();
    assert!(text.contains("ENCRYPTED"), "it stays encrypted: {text}");
    assert_eq!(show(&to, &phrase).unwrap(), public);
}

#[test]
fn a_secret_is_a_file_or_a_credential() {
    let base = Path::new("/etc/countersign");
    let credentials = tempfile::tempdir().unwrap();
    let parse = |text| SecretFile::parse_with(text, base, Some(credentials.path()));
    let file = parse("keys/a.pem").unwrap();
    assert_eq!(file.path(), Path::new("/etc/countersign/keys/a.pem"));
    for bad in [
        "credential:",
        "credential:a/b",
        "credential:..",
        "credential:.a",
    ] {
        assert_eq!(parse(bad), Err(PlaceError::Name), "{bad}");
    }
    let none = SecretFile::parse_with("credential:key", base, None);
    assert_eq!(none, Err(PlaceError::NoCredentials));

    // the service manager's access lists show as the group's bits
    let given = parse("credential:key").unwrap();
    let path = credentials.path().join("key");
    fs::write(&path, OPENSSL).unwrap();
    for (mode, good) in [(0o400, true), (0o440, true), (0o444, false), (0o460, false)] {
        chmod(&path, mode);
        assert_eq!(given.check().is_ok(), good, "{mode:o}");
        assert_eq!(
            load(&given, &Passphrase::Terminal).is_ok(),
            good,
            "{mode:o}"
        );
        let file = SecretFile::at(path.clone());
        assert_eq!(file.check().is_ok(), mode == 0o400, "{mode:o}");
    }
}

#[test]
fn a_private_key_and_another_public_key_beside_it_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    new(&path, &Passphrase::Terminal).unwrap();
    fs::write(public_path(&path), OPENSSL_PUBLIC).unwrap();
    let error = load(&SecretFile::at(path.clone()), &Passphrase::Terminal).unwrap_err();
    let mismatch = KeyError::Mismatch;
    assert!(matches!(error, KeyFileError::Key { source, .. } if source == mismatch));
    fs::remove_file(public_path(&path)).unwrap();
    assert!(load(&SecretFile::at(path), &Passphrase::Terminal).is_ok());
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    new(&path, &Passphrase::Terminal).unwrap();
    for bad in [0o640, 0o604, 0o660, 0o601] {
        chmod(&path, bad);
        let error = load(&SecretFile::at(path.clone()), &Passphrase::Terminal).unwrap_err();
        assert!(matches!(error, KeyFileError::Readable { mode, .. } if mode == bad));
        assert!(error.to_string().contains("chmod 600"), "{error}");
        assert!(show(&path, &Passphrase::Terminal).is_err());
    }
    for good in [0o600, 0o400] {
        chmod(&path, good);
        assert!(load(&SecretFile::at(path.clone()), &Passphrase::Terminal).is_ok());
    }
    let link = folder.path().join("link.pem");
    symlink(&path, &link).unwrap();
    assert!(load(&SecretFile::at(link.clone()), &Passphrase::Terminal).is_ok());
    chmod(&path, 0o644);
    assert!(matches!(
        load(&SecretFile::at(link.clone()), &Passphrase::Terminal),
        Err(KeyFileError::Readable { .. })
    ));
}

#[test]
fn what_is_no_key_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    assert!(matches!(
        load(&SecretFile::at(path.clone()), &Passphrase::Terminal),
        Err(KeyFileError::Io { .. })
    ));
    assert!(matches!(
        load(
            &SecretFile::at(folder.path().to_owned()),
            &Passphrase::Terminal
        ),
        Err(KeyFileError::NotAFile(_))
    ));
    fs::write(&path, vec![b' '; MAX_PEM_BYTES + 5]).unwrap();
    chmod(&path, 0o600);
    assert!(matches!(
        load(&SecretFile::at(path.clone()), &Passphrase::Terminal),
        Err(KeyFileError::Key {
            source: KeyError::TooLong,
            ..
        })
    ));
    fs::write(&path, &OPENSSL[..80]).unwrap();
    assert!(matches!(
        load(&SecretFile::at(path.clone()), &Passphrase::Terminal),
        Err(KeyFileError::Key { .. })
    ));
    assert!(matches!(
        show(&path, &Passphrase::Terminal),
        Err(KeyFileError::Key { .. })
    ));
}

#[test]
fn no_key_is_made_where_others_can_put_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let open = folder.path().join("open");
    fs::create_dir(&open).unwrap();
    chmod(&open, 0o777);
    assert!(matches!(
        new(&open.join("key.pem"), &Passphrase::Terminal),
        Err(KeyFileError::Folder { .. })
    ));
    chmod(&open, 0o755);
    assert!(new(&open.join("key.pem"), &Passphrase::Terminal).is_ok());
}
