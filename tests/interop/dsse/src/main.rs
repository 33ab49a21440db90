//! Asks the crate dsse about an envelope: dsse-interop ENVELOPE PUBLIC-KEY.
//!
//! Exit code 0: accepted. 10: refused, with its reason. Anything else: this program does not work.

use std::env::args;
use std::fs;
use std::process::ExitCode;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use dsse::{verify, Ed25519Verifier, Envelope, Error};

/// Everything before the 32 bytes of an Ed25519 key in SubjectPublicKeyInfo.
const SPKI_BYTES: usize = 12;

fn accepted(envelope: &[u8], key: &Ed25519Verifier) -> Result<(), Error> {
    let verified = verify(&Envelope::from_json(envelope)?, &[key], 1)?;
    assert_eq!(verified.payload_type, "application/vnd.in-toto+json");
    assert!(verified.payload.starts_with(b"{\"_type\":"));
    Ok(())
}

fn main() -> ExitCode {
    let [envelope, key]: [String; 2] = args().skip(1).collect::<Vec<_>>().try_into().expect("two paths");
    let pem = fs::read_to_string(key).expect("a key");
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(body).expect("PEM");
    let key = Ed25519Verifier::from_bytes(&der[SPKI_BYTES..]).expect("an Ed25519 key");
    match accepted(&fs::read(envelope).expect("an envelope"), &key) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            println!("{refusal}");
            ExitCode::from(10)
        }
    }
}
