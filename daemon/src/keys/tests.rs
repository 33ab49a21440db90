//! Key files as they are made, and as they are refused.

use std::os::unix::fs::{PermissionsExt, symlink};

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
    let public = new(&path).unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(load(&path).unwrap().public(), public);
    assert_eq!(show(&path).unwrap(), public);
    assert_eq!(show(&public_path(&path)).unwrap(), public);
    assert_eq!(public_path(&path), folder.path().join("inner/key.pub.pem"));

    let before = fs::read(&path).unwrap();
    assert!(matches!(new(&path), Err(KeyFileError::Exists(_))));
    fs::remove_file(public_path(&path)).unwrap();
    assert!(matches!(new(&path), Err(KeyFileError::Exists(_))));
    assert_eq!(fs::read(&path).unwrap(), before);

    let other = folder.path().join("inner/other.pem");
    assert_ne!(new(&other).unwrap(), public);
}

#[test]
fn a_link_in_place_of_the_new_file_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path().join("key.pem"), folder.path().join("target"));
    symlink(&target, &path).unwrap();
    assert!(matches!(new(&path), Err(KeyFileError::Exists(_))));
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
    import(&from, &to).unwrap();
    assert_eq!(fs::read(&to).unwrap(), OPENSSL);
    assert_eq!(fs::read(public_path(&to)).unwrap(), OPENSSL_PUBLIC);

    let text = |path: &Path| import(path, &folder.path().join("x.pem")).unwrap_err();
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
    assert!(matches!(
        text(&encrypted),
        KeyFileError::Key {
            source: KeyError::Encrypted,
            ..
        }
    ));
    assert!(!folder.path().join("x.pem").exists());
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    new(&path).unwrap();
    for bad in [0o640, 0o604, 0o660, 0o601] {
        chmod(&path, bad);
        let error = load(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Readable { mode, .. } if mode == bad));
        assert!(error.to_string().contains("chmod 600"), "{error}");
        assert!(show(&path).is_err());
    }
    for good in [0o600, 0o400] {
        chmod(&path, good);
        assert!(load(&path).is_ok());
    }
    let link = folder.path().join("link.pem");
    symlink(&path, &link).unwrap();
    assert!(load(&link).is_ok());
    chmod(&path, 0o644);
    assert!(matches!(load(&link), Err(KeyFileError::Readable { .. })));
}

#[test]
fn what_is_no_key_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    assert!(matches!(load(&path), Err(KeyFileError::Io { .. })));
    assert!(matches!(
        load(folder.path()),
        Err(KeyFileError::NotAFile(_))
    ));
    fs::write(&path, vec![b' '; MAX_PEM_BYTES + 5]).unwrap();
    chmod(&path, 0o600);
    assert!(matches!(
        load(&path),
        Err(KeyFileError::Key {
            source: KeyError::TooLong,
            ..
        })
    ));
    fs::write(&path, &OPENSSL[..80]).unwrap();
    assert!(matches!(load(&path), Err(KeyFileError::Key { .. })));
    assert!(matches!(show(&path), Err(KeyFileError::Key { .. })));
}

#[test]
fn no_key_is_made_where_others_can_put_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let open = folder.path().join("open");
    fs::create_dir(&open).unwrap();
    chmod(&open, 0o777);
    assert!(matches!(
        new(&open.join("key.pem")),
        Err(KeyFileError::Folder { .. })
    ));
    chmod(&open, 0o755);
    assert!(new(&open.join("key.pem")).is_ok());
}
