//! Git's pkt-line framing (gitprotocol-common), read from a hostile server in pieces.
//!
//! Knows nothing of what the lines mean.

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the end of a section.
    Delimiter,
    /// `0002`: the end of a response.
    ResponseEnd,
    /// A line or a piece of data, without its length.
    Data(Vec<u8>),
}

/// A frame that is not a pkt-line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PacketError {
    /// The four characters of a length are none.
    #[error("a packet's length is not four hexadecimal digits")]
    Length,
    /// The stream ended within a packet, or before what was due.
    #[error("the answer is cut off")]
    CutOff,
}

/// Cuts a stream into packets.
#[derive(Debug, Default)]
pub(crate) struct PacketReader {
    buffer: Vec<u8>,
    position: usize,
}

impl PacketReader {
    /// Adds bytes that came. At most one packet (65,520 bytes) stays here beside what was added last.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.position.min(self.buffer.len()));
        self.position = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next packet, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the framing is broken; nothing after that can be trusted.
    pub(crate) fn next_packet(&mut self) -> Result<Option<Packet>, PacketError> {
        let Some(length) = self.buffer.get(self.position..self.position + 4) else {
            return Ok(None);
        };
        let length = parse_length(length).ok_or(PacketError::Length)?;
        let (packet, used) = match length {
            0 => (Packet::Flush, 4),
            1 => (Packet::Delimiter, 4),
            2 => (Packet::ResponseEnd, 4),
            3 => return Err(PacketError::Length),
            _ => match self.buffer.get(self.position + 4..self.position + length) {
                Some(data) => (Packet::Data(data.to_vec()), length),
                None => return Ok(None),
            },
        };
        self.position += used;
        Ok(Some(packet))
    }

    /// Whether every byte was used.
    #[must_use]
    pub(crate) fn is_drained(&self) -> bool {
        self.position >= self.buffer.len()
    }
}

/// All packets of a complete answer.
///
/// # Errors
/// When the framing is broken or the answer is cut off.
pub(crate) fn packets(bytes: &[u8]) -> Result<Vec<Packet>, PacketError> {
    let mut reader = PacketReader::default();
    reader.push(bytes);
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_packet()? {
        packets.push(packet);
    }
    if reader.is_drained() {
        Ok(packets)
    } else {
        Err(PacketError::CutOff)
    }
}

/// Appends a line. The text is ours and far below the longest packet.
pub(crate) fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("{:04x}", text.len() + 4).as_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Appends a flush packet.
pub(crate) fn flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0000");
}

/// Appends a delimiter packet.
pub(crate) fn delimiter(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0001");
}

fn parse_length(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0usize, |sum, &digit| {
        let value = char::from(digit).to_digit(16)?;
        Some(sum * 16 + value as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_survive_any_cut() {
        let mut bytes = Vec::new();
        line(&mut bytes, "hello\n");
        delimiter(&mut bytes);
        line(&mut bytes, "");
        bytes.extend_from_slice(b"0002");
        flush(&mut bytes);
        let expect = vec![
            Packet::Data(b"hello\n".to_vec()),
            Packet::Delimiter,
            Packet::Data(vec![]),
            Packet::ResponseEnd,
            Packet::Flush,
        ];
        assert_eq!(packets(&bytes), Ok(expect.clone()));
        for size in 1..bytes.len() {
            let mut reader = PacketReader::default();
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                reader.push(piece);
                while let Some(packet) = reader.next_packet().expect("well-formed") {
                    found.push(packet);
                }
            }
            assert!(reader.is_drained());
            assert_eq!(found, expect, "cut every {size}");
        }
    }

    #[test]
    fn broken_framing_is_an_error_and_never_a_panic() {
        for bytes in [
            &b"0003"[..],
            b"zzzz",
            b"-001",
            b"00 4",
            b"+010abc",
            "é001".as_bytes(),
        ] {
            assert_eq!(packets(bytes), Err(PacketError::Length), "{bytes:?}");
        }
        for bytes in [&b"0"[..], b"0009hell", b"0006a0000", b"ffff"] {
            assert_eq!(packets(bytes), Err(PacketError::CutOff), "{bytes:?}");
        }
        assert_eq!(packets(b""), Ok(vec![]));
    }
}
