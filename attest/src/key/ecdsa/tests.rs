//! Keys against files that OpenSSL wrote, against other curves and encodings, and signatures against every
//! form that is not the one.

use super::*;
use crate::key::{AnyPublicKey, PublicKey};

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("../../../golden/keys/", $name))
    };
}

const PUBLIC: &[u8] = golden!("p256.pub.pem");
const SIGNATURE: &[u8] = golden!("p256.sig");
const MESSAGE: &[u8] = b"signed by openssl";
/// The order of the curve's group.
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

fn key() -> EcdsaP256Key {
    EcdsaP256Key::from_pem(PUBLIC).unwrap()
}

/// A signature's two numbers, 32 bytes each.
fn numbers(der: &[u8]) -> [Vec<u8>; 2] {
    let number = |at: usize| {
        let length = usize::from(der[at + 1]);
        let bytes = &der[at + 2..at + 2 + length];
        let bytes = bytes.strip_prefix(&[0]).unwrap_or(bytes);
        (
            [vec![0; 32 - bytes.len()], bytes.to_vec()].concat(),
            at + 2 + length,
        )
    };
    let (r, next) = number(2);
    [r, number(next).0]
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if bytes[0] & 0x80 == 0 { &[] } else { &[0] };
    let length = u8::try_from(bytes.len() + sign.len()).unwrap();
    [&[2, length], sign, bytes].concat()
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    let inside = parts.concat();
    [&[0x30, u8::try_from(inside.len()).unwrap()], &inside[..]].concat()
}

/// The group's order without a number below it.
fn negated(number: &[u8]) -> Vec<u8> {
    let order = unhex(ORDER).unwrap();
    let mut result = vec![0; 32];
    let mut borrow = 0i16;
    for at in (0..32).rev() {
        let difference = i16::from(order[at]) - i16::from(number[at]) - borrow;
        borrow = i16::from(difference < 0);
        result[at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    result
}

#[test]
fn openssl_files_are_read_and_written_byte_for_byte() {
    assert_eq!(key().to_pem().as_bytes(), PUBLIC);
    assert!(key().verifies(MESSAGE, SIGNATURE));
    assert!(!key().verifies(b"signed by Openssl", SIGNATURE));
    assert_eq!(
        key().key_id(),
        "279419b5e0b0c6ad6d28ddb47501233cabe3184d7ef9b12a9c1bea7e3ccb4324",
        "as openssl and sha256sum print it"
    );
    let text = key().to_string();
    assert_eq!(text.parse(), Ok(key()));
    assert_eq!(text.parse(), Ok(AnyPublicKey::from(key())));
    assert_eq!(AnyPublicKey::from_pem(PUBLIC), Ok(key().into()));
    let other = EcdsaP256Key::from_pem(golden!("p256-other.pub.pem")).unwrap();
    assert!(!other.verifies(MESSAGE, SIGNATURE));
}

#[test]
fn other_curves_encodings_and_kinds_are_no_such_key() {
    let ed25519 = golden!("openssl.pub.pem");
    for (what, file) in [
        ("compressed", &golden!("p256-compressed.pub.pem")[..]),
        ("hybrid", golden!("p256-hybrid.pub.pem")),
        ("explicit parameters", golden!("p256-explicit.pub.pem")),
        ("P-384", golden!("p384.pub.pem")),
        ("secp256k1", golden!("secp256k1.pub.pem")),
        ("a private key", golden!("p256.pem")),
        ("no key", b""),
    ] {
        assert!(EcdsaP256Key::from_pem(file).is_err(), "{what}");
        assert!(AnyPublicKey::from_pem(file).is_err(), "{what}");
    }
    assert!(EcdsaP256Key::from_pem(ed25519).is_err());
    assert!(AnyPublicKey::from_pem(ed25519).unwrap().ed25519().is_some());
    // and it is no key of ours
    assert!(PublicKey::from_pem(PUBLIC).is_err());
    assert!(key().to_string().parse::<PublicKey>().is_err());

    let text = key().to_string();
    for bad in [
        text.to_uppercase(),
        text.replace("ecdsa-p256:04", "ecdsa-p256:02"),
        text.replace("ecdsa-p256:", "ed25519:"),
        text[..text.len() - 2].to_owned(),
        format!("{text}00"),
        format!(" {text}"),
    ] {
        assert!(bad.parse::<AnyPublicKey>().is_err(), "{bad}");
    }
}

#[test]
fn a_signature_has_one_form() {
    let [r, s] = numbers(SIGNATURE);
    let (r_der, s_der) = (integer(&r), integer(&s));
    assert_eq!(sequence(&[&r_der, &s_der]), SIGNATURE, "taken apart well");
    // the other value of s is a signature of the same key too, as every signer of ECDSA may make
    let mirrored = sequence(&[&r_der, &integer(&negated(&s))]);
    assert!(mirrored != SIGNATURE && key().verifies(MESSAGE, &mirrored));

    let zero = integer(&[0]);
    let padded = [&[2, r_der[1] + 1, 0], &r_der[2..]].concat();
    let bare = [&[2, 32][..], &s].concat(); // negative where its first bit is set
    assert!(s[0] & 0x80 != 0, "the sample has such an s");
    for (what, bad) in [
        ("nothing", Vec::new()),
        ("both numbers without DER", [r.clone(), s.clone()].concat()),
        ("something behind it", [SIGNATURE, &[0]].concat()),
        ("a third number", sequence(&[&r_der, &s_der, &zero])),
        ("one number", sequence(&[&r_der])),
        ("r = 0", sequence(&[&zero, &s_der])),
        ("s = 0", sequence(&[&r_der, &zero])),
        ("a needless zero", sequence(&[&padded, &s_der])),
        ("a negative number", sequence(&[&r_der, &bare])),
        (
            "the order as s",
            sequence(&[&r_der, &integer(&unhex(ORDER).unwrap())]),
        ),
        ("the numbers swapped", sequence(&[&s_der, &r_der])),
        (
            "a length in two bytes",
            [&[0x30, 0x81, SIGNATURE[1]], &SIGNATURE[2..]].concat(),
        ),
        (
            "an indefinite length",
            [&[0x30, 0x80], &SIGNATURE[2..], &[0, 0]].concat(),
        ),
    ] {
        assert!(!key().verifies(MESSAGE, &bad), "{what}");
    }
    for bit in 0..SIGNATURE.len() * 8 {
        let mut changed = SIGNATURE.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!key().verifies(MESSAGE, &changed), "bit {bit}");
    }
}

#[test]
fn under_a_point_that_is_not_on_the_curve_nothing_is_good() {
    let text = key().to_string();
    let last = if text.ends_with('0') { '1' } else { '0' };
    let off: EcdsaP256Key = format!("{}{last}", &text[..text.len() - 1])
        .parse()
        .unwrap();
    assert!(!off.verifies(MESSAGE, SIGNATURE));
    let infinity: EcdsaP256Key = format!("{PREFIX}04{}", "00".repeat(64)).parse().unwrap();
    assert!(!infinity.verifies(MESSAGE, SIGNATURE));
}
