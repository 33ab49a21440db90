//! Encrypted key files: PKCS#8 under PBES2 (RFC 8018) with PBKDF2-HMAC-SHA-256 and AES-256-CBC, which is
//! what `openssl genpkey -aes-256-cbc` writes and `openssl pkey` reads. The home of `aes` and `cbc`.
//!
//! The one scheme is compared byte by byte instead of parsed: anything else is refused with the command
//! that turns it into this one.

use std::num::NonZeroU32;

use aes::Aes256;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use countersign_attest::key::{KeyError, PrivateKey, armored_encrypted, unarmored_encrypted};
use ring::pbkdf2;
use zeroize::Zeroizing;

/// Rounds of what we write.
const ROUNDS: u32 = 600_000;
/// Most rounds that a file may ask for: some ten seconds.
const MAX_ROUNDS: u32 = 50_000_000;

const PBES2: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d";
const PBKDF2: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
const HMAC_SHA256: &[u8] = b"\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x09\x05\x00";
const AES_256_CBC: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2a";

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// Says why an encrypted key does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EncryptionError {
    /// Another scheme, or damaged.
    #[error(
        "not PBES2 with PBKDF2-HMAC-SHA-256 and AES-256-CBC; write it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in OLD -out NEW"
    )]
    Scheme,
    /// It asks for more rounds than anybody waits for.
    #[error("{0} rounds of key derivation, of at most {MAX_ROUNDS}")]
    Rounds(u64),
    /// What comes out is no key.
    #[error("another pass phrase, or a damaged file")]
    WrongPhrase,
    /// It opens, and is not a key that we use.
    #[error("reading what was encrypted")]
    Key(#[source] KeyError),
}

/// Reads an encrypted key.
///
/// # Errors
/// When the pass phrase is another one, or the scheme is.
pub(super) fn read(text: &[u8], phrase: &[u8]) -> Result<PrivateKey, EncryptionError> {
    let der = unarmored_encrypted(text).map_err(EncryptionError::Key)?;
    let sealed = parse(&der).ok_or(EncryptionError::Scheme)?;
    let rounds = u32::try_from(sealed.rounds)
        .ok()
        .filter(|rounds| *rounds <= MAX_ROUNDS);
    let rounds = rounds.and_then(NonZeroU32::new);
    let rounds = rounds.ok_or(EncryptionError::Rounds(sealed.rounds))?;
    let key = derive(phrase, sealed.salt, rounds);
    let mut plain = Zeroizing::new(sealed.bytes.to_vec());
    let cipher = cbc::Decryptor::<Aes256>::new_from_slices(&key[..], sealed.iv)
        .map_err(|_| EncryptionError::Scheme)?;
    let plain = cipher
        .decrypt_padded::<Pkcs7>(&mut plain)
        .map_err(|_| EncryptionError::WrongPhrase)?;
    // one pass phrase of 256 or so gives a padding by chance, and then no key
    if plain.first() != Some(&SEQUENCE) {
        return Err(EncryptionError::WrongPhrase);
    }
    PrivateKey::from_pkcs8(plain).map_err(EncryptionError::Key)
}

/// Writes an encrypted key; salt and vector are random and new each time.
pub(super) fn write(
    key: &PrivateKey,
    phrase: &[u8],
    salt: &[u8; 16],
    iv: &[u8; 16],
) -> Zeroizing<String> {
    let derived = derive(
        phrase,
        salt,
        NonZeroU32::new(ROUNDS).unwrap_or(NonZeroU32::MAX),
    );
    let cipher = cbc::Encryptor::<Aes256>::new((&*derived).into(), iv.into());
    let plain = key.to_pkcs8();
    let mut sealed = Zeroizing::new([0; 64]); // 48 bytes and a block of padding
    sealed[..plain.len()].copy_from_slice(&plain[..]);
    // the buffer has room for the padding, the only thing that could be wrong
    let bytes = cipher.encrypt_padded::<Pkcs7>(&mut sealed[..], plain.len());
    let bytes = bytes.map(<[u8]>::to_vec).unwrap_or_default();
    let rounds = tlv(INTEGER, &ROUNDS.to_be_bytes()[1..]); // DER: no zero in front of 0x09
    let derivation = tlv(
        SEQUENCE,
        &[&tlv(OCTETS, salt), &rounds, HMAC_SHA256].concat(),
    );
    let derivation = tlv(SEQUENCE, &[PBKDF2, &derivation].concat());
    let encryption = tlv(SEQUENCE, &[AES_256_CBC, &tlv(OCTETS, iv)].concat());
    let parameters = tlv(SEQUENCE, &[derivation, encryption].concat());
    let scheme = tlv(SEQUENCE, &[PBES2, &parameters].concat());
    armored_encrypted(&tlv(SEQUENCE, &[scheme, tlv(OCTETS, &bytes)].concat()))
}

fn derive(phrase: &[u8], salt: &[u8], rounds: NonZeroU32) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        rounds,
        salt,
        phrase,
        &mut key[..],
    );
    key
}

/// What stands in an encrypted key.
struct Sealed<'a> {
    salt: &'a [u8],
    rounds: u64,
    iv: &'a [u8],
    bytes: &'a [u8],
}

fn parse(der: &[u8]) -> Option<Sealed<'_>> {
    let (whole, rest) = take(der, SEQUENCE)?;
    let (scheme, sealed) = take(whole, SEQUENCE)?;
    let (bytes, after) = take(sealed, OCTETS)?;
    let (parameters, more) = take(scheme.strip_prefix(PBES2)?, SEQUENCE)?;
    let (derivation, encryption) = take(parameters, SEQUENCE)?;
    let (encryption, tail) = take(encryption, SEQUENCE)?;
    let (derivation, extra) = take(derivation.strip_prefix(PBKDF2)?, SEQUENCE)?;
    let (salt, derivation) = take(derivation, OCTETS)?;
    let (rounds, function) = take(derivation, INTEGER)?;
    let (iv, end) = take(encryption.strip_prefix(AES_256_CBC)?, OCTETS)?;
    // the length of the key may be said, and is then that of AES-256
    let function = function.strip_prefix(b"\x02\x01\x20").unwrap_or(function);
    let nothing_else = [rest, after, more, tail, extra, end]
        .iter()
        .all(|left| left.is_empty());
    // DER: the shortest form of a number that is not negative
    let positive = match rounds {
        [0, second, ..] => *second >= 0x80,
        [first, ..] => *first < 0x80,
        [] => false,
    };
    if !nothing_else || !positive || rounds.len() > 8 || function != HMAC_SHA256 {
        return None;
    }
    let rounds = rounds
        .iter()
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
    Some(Sealed {
        salt,
        rounds,
        iv,
        bytes,
    })
}

/// One value of a tag, and what follows it. Lengths below 65,536 only.
fn take(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match input.strip_prefix(&[tag])? {
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [length, rest @ ..] if *length < 0x80 => (usize::from(*length), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A value of fewer than 256 bytes, which all of ours are.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
    let head = if length < 0x80 {
        vec![tag, length]
    } else {
        vec![tag, 0x81, length]
    };
    [&head, value].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENSSL: &[u8] = include_bytes!("../../../attest/golden/keys/encrypted.pem");
    const PLAIN: &[u8] = include_bytes!("../../../attest/golden/keys/openssl.pem");
    const PHRASE: &[u8] = b"pass phrase of the golden key";

    #[test]
    fn what_openssl_encrypted_is_read() {
        let key = read(OPENSSL, PHRASE).unwrap();
        assert_eq!(key.to_pem().as_bytes(), PLAIN);
    }

    #[test]
    fn what_is_written_is_read_with_its_pass_phrase_alone() {
        let key = PrivateKey::from_pem(PLAIN).unwrap();
        let text = write(&key, b"one", &[1; 16], &[2; 16]);
        assert_eq!(
            read(text.as_bytes(), b"one").unwrap().public(),
            key.public()
        );
        assert!(text.lines().all(|line| line.len() <= 64), "{}", *text);
        for other in [&b"two"[..], b"One", b"", b"one "] {
            assert!(matches!(
                read(text.as_bytes(), other),
                Err(EncryptionError::WrongPhrase)
            ));
        }
    }

    #[test]
    fn a_changed_byte_is_noticed_or_gives_another_key() {
        let der = unarmored_encrypted(OPENSSL).unwrap();
        let good = read(OPENSSL, PHRASE).unwrap().public();
        for at in 0..der.len() {
            let mut changed = der.clone();
            changed[at] ^= 1;
            if let Ok(key) = read(armored_encrypted(&changed).as_bytes(), PHRASE) {
                // nothing authenticates the secret itself: the public half beside the file shows it
                assert_ne!(key.public(), good, "byte {at}");
                assert!(at + 64 >= der.len(), "byte {at}");
            }
        }
        for length in 0..der.len() {
            let cut = armored_encrypted(&der[..length]);
            assert!(read(cut.as_bytes(), PHRASE).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn more_rounds_than_anybody_waits_for_are_refused() {
        let der = unarmored_encrypted(OPENSSL).unwrap();
        let place = der
            .windows(4)
            .position(|w| w == b"\x02\x02\x08\x00")
            .unwrap();
        let mut changed = der.clone();
        changed[place + 2] = 0x80; // negative
        let opened = |der: &[u8]| read(armored_encrypted(der).as_bytes(), PHRASE);
        assert!(matches!(opened(&changed), Err(EncryptionError::Scheme)));
        changed[place + 2..place + 4].copy_from_slice(&[0, 1]); // not the shortest form
        assert!(matches!(opened(&changed), Err(EncryptionError::Scheme)));
        let mut longer = der.clone();
        longer[place + 1] = 8; // into what follows
        assert!(matches!(opened(&longer), Err(EncryptionError::Scheme)));
    }
}
