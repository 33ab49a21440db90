//! The signer as a real process: this test binary, started again as the child.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use countersign_attest::digest::Sha256;
use countersign_attest::statement::{Kind, Statement};

use super::*;

const REPRODUCED: &str = include_str!("../../../attest/golden/facts/reproduced.json");
const DIFFERS: &str = include_str!("../../../attest/golden/facts/differs.json");
const STATEMENT: &str = include_str!("../../../attest/golden/statements/reproduced.json");

fn facts(text: &str) -> Facts {
    serde_json::from_str(text).unwrap()
}

/// The file by which a child says that it locked itself in.
const LOCKED_IN: &str = "locked-in";

/// Not a test by itself: what a child runs that a test has started with a channel on its standard
/// input; without one there is nobody to serve. A test runs beside another thread, so that it cannot really lock
/// itself in.
#[test]
fn as_a_child() {
    if let Ok(channel) = Channel::from_stdin() {
        child::serve(channel, |_| Ok(KeyIsolation::SameUid)).unwrap();
    }
}

/// Not a test: a child that says in its folder when it would lock itself in.
#[test]
fn as_a_child_that_says_when_it_is_locked_in() {
    let say = |_: &KeySource| fs::write(LOCKED_IN, "").map(|()| KeyIsolation::SameUid);
    if let Ok(channel) = Channel::from_stdin() {
        child::serve(channel, say).unwrap();
    }
}

/// Not a test: a child on a machine where locking in fails.
#[test]
fn as_a_child_that_cannot_lock_itself_in() {
    let fail = |_: &KeySource| Err(io::Error::other("no such wall"));
    if let Ok(channel) = Channel::from_stdin() {
        child::serve(channel, fail).unwrap();
    }
}

fn start(key: KeySource) -> Result<Signer, SignerError> {
    start_child("signer::tests::as_a_child", key)
}

fn start_child(name: &str, key: KeySource) -> Result<Signer, SignerError> {
    Signer::start_with(child_command(name), key)
}

fn child_command(name: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture"])
        .stderr(Stdio::null());
    command
}

fn key_file(folder: &tempfile::TempDir) -> KeySource {
    let path = folder.path().join("key.pem");
    crate::keys::new(&path, &Passphrase::Terminal).unwrap();
    KeySource::file(path)
}

#[test]
fn nothing_is_signed_that_says_more_of_the_key_than_is_so() {
    let folder = tempfile::tempdir().unwrap();
    let signer = start(key_file(&folder)).unwrap();
    assert_eq!(signer.isolation(), KeyIsolation::SameUid);
    for claimed in [KeyIsolation::SeparateUid, KeyIsolation::Hardware] {
        let mut facts = facts(REPRODUCED);
        facts.rebuilder.key_isolation = claimed;
        match signer.draft(&facts) {
            Err(SignerError::Refused(why)) => assert!(why.contains("kept better"), "{why}"),
            other => panic!("{claimed:?}: {other:?}"),
        }
    }
}

#[test]
fn what_is_drafted_is_signed_with_the_same_bytes_by_every_signer_of_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_file(&folder);
    let facts = facts(REPRODUCED);
    let signer = start(key.clone()).unwrap();
    let draft = signer.draft(&facts).unwrap();
    assert_eq!(String::from_utf8_lossy(&draft), STATEMENT);
    let envelope = signer.sign(&facts, &draft).unwrap();
    let opened = dsse::open(&envelope, &[signer.public()], 1, &Limits::default()).unwrap();
    assert!(matches!(opened.value(), Statement::Verdict(_)));
    assert!(signer.link(&facts).is_ok());

    // as after a crash: another process, the same draft
    drop(signer);
    let again = start(key).unwrap();
    assert_eq!(again.sign(&facts, &draft).unwrap(), envelope);
}

#[test]
fn contradictions_and_foreign_statements_are_refused_and_the_signer_lives_on() {
    let signer = start(KeySource::Ephemeral).unwrap();
    let good = facts(REPRODUCED);
    let draft = signer.draft(&good).unwrap();

    let mut lying = good.clone();
    lying.rebuilt[1].digests.sha256 = Sha256::of(b"other");
    assert!(matches!(signer.draft(&lying), Err(SignerError::Refused(_))));
    assert!(matches!(
        signer.sign(&lying, &draft),
        Err(SignerError::Refused(_))
    ));
    let swapped = STATEMENT.replace("lib-1.2.3.tgz", "other-1.2.3.tgz");
    assert!(matches!(
        signer.sign(&good, swapped.as_bytes()),
        Err(SignerError::Refused(_))
    ));
    assert!(matches!(
        signer.sign(&good, b"\xff"),
        Err(SignerError::Refused(_))
    ));
    assert!(matches!(
        signer.link(&facts(DIFFERS)),
        Err(SignerError::Refused(_))
    ));
    let unvouched = Facts {
        kind: Kind::BuildRecord,
        ..good.clone()
    };
    assert!(matches!(
        signer.draft(&unvouched),
        Err(SignerError::Refused(_))
    ));

    assert!(signer.sign(&good, &draft).is_ok());
}

#[test]
fn a_local_source_is_signed_by_an_ephemeral_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut facts = facts(REPRODUCED);
    facts.source.uri = "git+file:lib".into();
    let operator = start(key_file(&folder)).unwrap();
    assert!(matches!(
        operator.draft(&facts),
        Err(SignerError::Refused(_))
    ));
    let nobody = start(KeySource::Ephemeral).unwrap();
    let draft = nobody.draft(&facts).unwrap();
    assert!(nobody.sign(&facts, &draft).is_ok());
    assert_ne!(
        nobody.public(),
        start(KeySource::Ephemeral).unwrap().public()
    );
}

#[test]
fn a_key_that_others_can_read_starts_no_signer() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_file(&folder);
    let KeySource::File { file, .. } = &key else {
        panic!("a file")
    };
    let path = file.path();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = start(key.clone()).err().unwrap();
    assert!(
        matches!(&error, SignerError::Fault(m) if m.contains("chmod 600")),
        "{error}"
    );
    fs::remove_file(path).unwrap();
    assert!(matches!(start(key), Err(SignerError::Fault(_))));
}

#[test]
fn a_signer_that_dies_stays_dead() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_file(&folder);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exit 0"]);
    let error = Signer::start_with(command, key).err().unwrap();
    assert!(
        matches!(error, SignerError::Channel(ChannelError::Closed)),
        "{error}"
    );

    let signer = start(KeySource::Ephemeral).unwrap();
    // a request over the limit of the channel breaks it
    let mut huge = facts(DIFFERS);
    let comparison = huge.comparison.as_mut().unwrap();
    comparison.causes = vec!["c".repeat(1 << 20); 65];
    assert!(matches!(signer.draft(&huge), Err(SignerError::Channel(_))));
    assert!(matches!(
        signer.draft(&facts(REPRODUCED)),
        Err(SignerError::Gone)
    ));
}

#[test]
fn the_signer_is_locked_in_before_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = child_command("signer::tests::as_a_child_that_says_when_it_is_locked_in");
    command.current_dir(folder.path());
    let signer = Signer::start_with(command, KeySource::Ephemeral).unwrap();
    assert!(folder.path().join(LOCKED_IN).exists());
    drop(signer);

    let error = start_child(
        "signer::tests::as_a_child_that_cannot_lock_itself_in",
        KeySource::Ephemeral,
    )
    .err()
    .unwrap();
    assert!(
        matches!(&error, SignerError::Fault(m) if m.contains("no such wall")),
        "{error}"
    );
}
