//! Tells where a CMS `SignedData` (RFC 5652 section 5.1) ends, which is what publishers' signatures of
//! PE and Mach-O files are.
//!
//! Only its outermost element is read: what is signed, and whether the signature is right, is for the
//! systems that run the file to say. What is inside is the publisher's; nothing behind it is.

/// OBJECT IDENTIFIER 1.2.840.113549.1.7.2, as it is encoded.
const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const SEQUENCE: u8 = 0x30;
/// Most elements of indefinite length inside one another; Apple's signer nests a few.
const DEPTH: usize = 16;

/// The length of the one at the beginning of `bytes`; `None` where there is none, or it ends beyond.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let header = Header::of(bytes)?;
    let first = bytes.get(header.length..)?;
    let known = bytes.first() == Some(&SEQUENCE) && first.starts_with(SIGNED_DATA);
    known.then(|| element(bytes, DEPTH)).flatten()
}

/// Tag and length of an element (X.690 section 8.1), in one byte of tag.
struct Header {
    /// How many bytes it has itself.
    length: usize,
    /// How many follow; `None` where an end mark says so.
    content: Option<usize>,
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Self> {
        let (tag, first) = (*bytes.first()?, *bytes.get(1)?);
        let constructed = tag & 0x20 != 0;
        let (length, content) = match first {
            0x80 => (2, None),
            0x81..=0x84 => {
                let count = usize::from(first & 0x7f);
                let digits = bytes.get(2..2 + count)?;
                let add = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
                (2 + count, Some(digits.iter().fold(0, add)))
            }
            0x85.. => return None,
            short => (2, Some(usize::from(short))),
        };
        let plain = tag & 0x1f != 0x1f && (content.is_some() || constructed);
        plain.then_some(Self { length, content })
    }
}

/// The length of the element at the beginning of `bytes`.
fn element(bytes: &[u8], depth: usize) -> Option<usize> {
    let header = Header::of(bytes)?;
    if let Some(content) = header.content {
        let end = header.length.checked_add(content)?;
        return (end <= bytes.len()).then_some(end);
    }
    let depth = depth.checked_sub(1)?;
    let mut at = header.length;
    loop {
        let rest = bytes.get(at..)?;
        if rest.starts_with(&[0, 0]) {
            return Some(at + 2);
        }
        at += element(rest, depth)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(content: &[u8]) -> Vec<u8> {
        let size = u8::try_from(SIGNED_DATA.len() + content.len()).unwrap();
        [&[SEQUENCE, 0x81, size], SIGNED_DATA, content].concat()
    }

    #[test]
    fn an_end_is_where_the_lengths_say() {
        let whole = der(b"\xa0\x02\x30\x00");
        assert_eq!(length(&whole), Some(whole.len()));
        assert_eq!(length(&[&whole[..], b"more"].concat()), Some(whole.len()));
        assert_eq!(length(&whole[..whole.len() - 1]), None);
        // as Apple's signer writes it: the end is marked, two deep
        let open = [b"\x30\x80", SIGNED_DATA, b"\xa0\x80\x04\x02\0\0\0\0\0\0"].concat();
        assert_eq!(length(&open), Some(open.len()));
        assert_eq!(length(&[&open[..], b"\0\0"].concat()), Some(open.len()));
        assert_eq!(length(&open[..open.len() - 2]), None);
    }

    #[test]
    fn what_is_no_signed_data_has_no_end() {
        let deep = [
            &b"\x30\x80"[..],
            SIGNED_DATA,
            &b"\xa0\x80".repeat(99),
            &[0; 200],
        ]
        .concat();
        for bytes in [
            &b""[..],
            b"\x30",
            b"\x30\x03\x06\x01\x00",
            b"\x30\x85\x00\x00\x00\x00\x01",
            b"\x30\x84\xff\xff\xff\xff\x06",
            &deep,
        ] {
            assert_eq!(length(bytes), None, "{bytes:?}");
        }
    }
}
