//! Tests of the content-addressed store.

use std::os::unix::fs::MetadataExt;

use super::*;

fn store() -> (tempfile::TempDir, Blobs) {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path().join("blobs")).unwrap();
    (dir, blobs)
}

fn unfinished(blobs: &Blobs) -> usize {
    fs::read_dir(blobs.dir.join("tmp")).unwrap().count()
}

/// Yields some bytes and then an error.
struct Breaks(usize);

impl Read for Breaks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::Error::other("the line went dead"));
        }
        self.0 -= 1;
        buffer.fill(7);
        Ok(buffer.len())
    }
}

#[test]
fn what_is_put_comes_back_under_its_digest() {
    let (_dir, blobs) = store();
    let digests = blobs.put(&b"abc"[..]).unwrap();
    assert_eq!(digests, Digests::of(b"abc"));
    assert_eq!(fs::read(blobs.path(&digests.sha256)).unwrap(), b"abc");
    assert_eq!(blobs.check(&digests.sha256).unwrap(), digests);
    let found = fs::metadata(blobs.path(&digests.sha256)).unwrap();
    assert_eq!(found.mode() & 0o7777, 0o444);
    assert_eq!(blobs.put(&b"abc"[..]).unwrap(), digests);
    assert_eq!(unfinished(&blobs), 0);
}

#[test]
fn what_was_never_put_is_absent() {
    let (_dir, blobs) = store();
    let absent = Sha256::of(b"never");
    assert!(matches!(blobs.file(&absent), Err(BlobError::Absent(_))));
    assert!(matches!(blobs.check(&absent), Err(BlobError::Absent(_))));
}

#[test]
fn a_broken_input_leaves_nothing() {
    let (_dir, blobs) = store();
    assert!(matches!(blobs.put(Breaks(3)), Err(BlobError::Input(_))));
    assert_eq!(unfinished(&blobs), 0);
    assert_eq!(fs::read_dir(blobs.dir.join("sha256")).unwrap().count(), 0);
}

#[test]
fn a_changed_blob_is_noticed_and_healed() {
    let (_dir, blobs) = store();
    let digests = blobs.put(&b"abc"[..]).unwrap();
    let path = blobs.path(&digests.sha256);
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"abd").unwrap();
    assert!(matches!(
        blobs.check(&digests.sha256),
        Err(BlobError::Damaged { .. })
    ));
    blobs.put(&b"abc"[..]).unwrap();
    assert_eq!(blobs.check(&digests.sha256).unwrap(), digests);
}

#[test]
fn what_a_crash_left_is_swept_and_blobs_stay() {
    let (_dir, blobs) = store();
    let digests = blobs.put(&b"abc"[..]).unwrap();
    fs::write(blobs.dir.join("tmp/half"), b"ab").unwrap();
    blobs.sweep().unwrap();
    assert_eq!(unfinished(&blobs), 0);
    assert!(blobs.check(&digests.sha256).is_ok());
}

#[test]
fn a_full_disk_is_told_from_other_trouble() {
    let (_dir, blobs) = store();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .write_all(b"x");
    assert!(matches!(
        blobs.tried("writing", full),
        Err(BlobError::Full { .. })
    ));
    let other = File::open(blobs.dir.join("nowhere")).map(|_| ());
    assert!(matches!(
        blobs.tried("opening", other),
        Err(BlobError::Io { .. })
    ));
}
