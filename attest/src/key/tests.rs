//! Keys against files that OpenSSL wrote, and against what is not such a file.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const OPENSSL: &[u8] = include_bytes!("../../golden/keys/openssl.pem");
const OPENSSL_PUBLIC: &[u8] = include_bytes!("../../golden/keys/openssl.pub.pem");
const OPENSSL_SIGNATURE: &[u8] = include_bytes!("../../golden/keys/openssl.sig");

#[test]
fn openssl_files_are_read_and_written_byte_for_byte() {
    let key = PrivateKey::from_pem(OPENSSL).unwrap();
    assert_eq!(key.to_pem().as_bytes(), OPENSSL);
    assert_eq!(key.public().to_pem().as_bytes(), OPENSSL_PUBLIC);
    assert_eq!(PublicKey::from_pem(OPENSSL_PUBLIC), Ok(key.public()));
    let signature = key.sign(b"signed by openssl").unwrap();
    assert_eq!(signature.as_bytes(), OPENSSL_SIGNATURE);
    assert!(key.public().verifies(b"signed by openssl", &signature));
    assert!(!key.public().verifies(b"signed by Openssl", &signature));
    let other = PrivateKey::from_seed(Zeroizing::new([7; 32])).unwrap();
    assert!(!other.public().verifies(b"signed by openssl", &signature));
    for bit in 0..512 {
        let mut bytes = *signature.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(
            !key.public()
                .verifies(b"signed by openssl", &Signature(bytes)),
            "bit {bit}"
        );
    }
}

/// Computed from the same file by other software.
#[test]
fn key_ids_are_those_of_foreign_software() {
    let key = PublicKey::from_pem(OPENSSL_PUBLIC).unwrap();
    assert_eq!(
        key.key_id(),
        "5299253d026ecc833221c5fdc075b808c90e572d4a79d040ac33d90da5e39dcd"
    );
    assert_eq!(
        key.legacy_key_id(),
        "2f0883a1574903e9fe22c02110f3813b53606c104737a8f42f407fe39abbbd00"
    );
    assert_eq!(
        key.spki_key_id(),
        "hxJ2re9Pwg4H1SDw8gkksFYGYyK8X5i9rauKV4MiNGk="
    );
    assert!(key.fingerprint().starts_with("5299 253d 026e "));
    assert_eq!(key.fingerprint().replace(' ', ""), key.key_id());
}

#[test]
fn other_files_are_refused_with_what_they_are() {
    let golden = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/keys/");
        std::fs::read(format!("{folder}{name}")).unwrap()
    };
    for (file, expected) in [
        ("encrypted.pem", KeyError::Encrypted),
        ("rsa.pem", KeyError::OtherKind),
        ("ec.pem", KeyError::OtherKind),
        ("ec-sec1.pem", KeyError::OtherKind),
        ("x25519.pem", KeyError::OtherKind),
        ("ed448.pem", KeyError::OtherKind),
        ("openssl.sig", KeyError::NoPem),
        (
            "openssl.pub.pem",
            KeyError::OtherHalf {
                found: "public key",
                wanted: "private key",
            },
        ),
    ] {
        assert_eq!(
            PrivateKey::from_pem(&golden(file)).unwrap_err(),
            expected,
            "{file}"
        );
    }
    assert!(matches!(
        PublicKey::from_pem(OPENSSL),
        Err(KeyError::OtherHalf { .. })
    ));
    assert_eq!(
        PrivateKey::from_pem(&vec![b'-'; MAX_PEM_BYTES + 1]).unwrap_err(),
        KeyError::TooLong
    );
    assert_eq!(PrivateKey::from_pem(b"").unwrap_err(), KeyError::NoPem);
}

#[test]
fn no_truncation_and_no_flipped_byte_is_taken_for_the_key() {
    let public = PublicKey::from_pem(OPENSSL_PUBLIC).unwrap();
    let last_needed = OPENSSL.len() - 2; // the end of the file may lack its line end
    for length in 0..=last_needed {
        assert!(
            PrivateKey::from_pem(&OPENSSL[..length]).is_err(),
            "{length}"
        );
    }
    for at in 0..OPENSSL.len() {
        let mut bytes = OPENSSL.to_vec();
        bytes[at] ^= 2;
        if let Ok(key) = PrivateKey::from_pem(&bytes) {
            // a changed secret is another key; a changed END line or line end is none of our business
            assert!(
                key.public() != public || bytes[at].is_ascii_control(),
                "{at}"
            );
        }
    }
}

#[test]
fn version_two_counts_only_with_its_own_public_key() {
    let key = PrivateKey::from_seed(Zeroizing::new([7; 32])).unwrap();
    let other = PrivateKey::from_seed(Zeroizing::new([8; 32])).unwrap();
    let file = |head: &[u8], middle: &[u8], public: &[u8]| {
        let der = [
            head,
            b"\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20",
            &[7; 32],
            middle,
            public,
        ];
        format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.concat())
        )
    };
    let forms: [(&[u8], &[u8]); 2] = [
        (b"\x30\x51", b"\x81\x21\x00"),
        (b"\x30\x53", b"\xa1\x23\x03\x21\x00"),
    ];
    for (head, middle) in forms {
        let good = file(head, middle, key.public().as_bytes());
        assert_eq!(
            PrivateKey::from_pem(good.as_bytes()).unwrap().public(),
            key.public()
        );
        let swapped = file(head, middle, other.public().as_bytes());
        assert_eq!(
            PrivateKey::from_pem(swapped.as_bytes()).unwrap_err(),
            KeyError::Mismatch
        );
        let cut = file(head, middle, &key.public().as_bytes()[..31]);
        assert_eq!(
            PrivateKey::from_pem(cut.as_bytes()).unwrap_err(),
            KeyError::Damaged
        );
    }
}

#[test]
fn a_secret_is_not_shown() {
    let key = PrivateKey::from_seed(Zeroizing::new([0x5a; 32])).unwrap();
    let shown = format!("{key:?}");
    assert!(shown.contains(&hex(key.public().as_bytes())));
    assert!(!shown.contains("5a5a5a"));
}
