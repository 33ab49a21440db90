//! Asking a server for one commit, and taking the pack out of its answer.
//!
//! Pure. The pack itself is not looked at here: the git child does that.

use countersign_attest::digest::GitOid;

use super::error::printable;
use super::pkt::{self, Packet, PacketError};
use super::refs::{AnswerError, Protocol, server_line};

/// The request for `want` and what it needs, as little of it as the server is able to send.
///
/// `have` are commits whose trees are complete here; only version 2 is told about them.
#[must_use]
pub(crate) fn request(protocol: Protocol, want: GitOid, have: &[GitOid]) -> Vec<u8> {
    let mut body = Vec::new();
    match protocol {
        Protocol::V2 { shallow } => {
            pkt::line(&mut body, "command=fetch\n");
            pkt::delimiter(&mut body);
            pkt::line(&mut body, "no-progress\n");
            pkt::line(&mut body, "ofs-delta\n");
            if !have.is_empty() {
                // git leaves out what a shallow commit has only from a pack that may lean on it
                pkt::line(&mut body, "thin-pack\n");
            }
            if shallow {
                for oid in have {
                    pkt::line(&mut body, &format!("shallow {oid}\n"));
                }
                pkt::line(&mut body, "deepen 1\n");
            }
            pkt::line(&mut body, &format!("want {want}\n"));
            for oid in have {
                pkt::line(&mut body, &format!("have {oid}\n"));
            }
            pkt::line(&mut body, "done\n");
            pkt::flush(&mut body);
        }
        Protocol::V0 { shallow } => {
            pkt::line(
                &mut body,
                &format!("want {want} ofs-delta side-band-64k no-progress\n"),
            );
            if shallow {
                pkt::line(&mut body, "deepen 1\n");
            }
            pkt::flush(&mut body);
            pkt::line(&mut body, "done\n");
        }
    }
    body
}

/// Where in the answer we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Version 2: the name of a section is due.
    Section,
    /// Version 2: in a section of lines.
    Lines,
    /// Version 0: lines about shallow commits, ended by a flush.
    Shallow,
    /// Version 0: `NAK` is due.
    Acknowledgment,
    /// The pack, in bands.
    Pack,
    /// After the pack.
    Ended,
}

/// Takes the pack out of an answer.
#[derive(Debug)]
pub(crate) struct PackStream {
    state: State,
}

impl PackStream {
    /// Starts at the beginning of the answer to [`request`].
    #[must_use]
    pub(crate) const fn new(protocol: Protocol) -> Self {
        let state = match protocol {
            Protocol::V2 { .. } => State::Section,
            Protocol::V0 { shallow: true } => State::Shallow,
            Protocol::V0 { shallow: false } => State::Acknowledgment,
        };
        Self { state }
    }

    /// Takes the next packet; yields a piece of the pack, perhaps an empty one.
    ///
    /// # Errors
    /// When the packet does not belong there, or carries the server's refusal.
    pub(crate) fn take(&mut self, packet: Packet) -> Result<Vec<u8>, AnswerError> {
        match (self.state, packet) {
            (State::Pack, Packet::Data(data)) => return band(data),
            (State::Pack, Packet::Flush) => self.state = State::Ended,
            (State::Section, Packet::Data(data)) => {
                self.state = match server_line(&data)? {
                    b"packfile" => State::Pack,
                    b"shallow-info" | b"acknowledgments" => State::Lines,
                    line => return Err(AnswerError::Line(printable(line))),
                }
            }
            (State::Lines, Packet::Delimiter) => self.state = State::Section,
            (State::Lines, Packet::Data(data)) => {
                server_line(&data)?;
            }
            (State::Shallow, Packet::Flush) => self.state = State::Acknowledgment,
            (State::Shallow, Packet::Data(data)) => {
                let line = server_line(&data)?;
                if !line.starts_with(b"shallow ") {
                    return Err(AnswerError::Line(printable(line)));
                }
            }
            (State::Acknowledgment, Packet::Data(data)) => match server_line(&data)? {
                b"NAK" => self.state = State::Pack,
                line => return Err(AnswerError::Line(printable(line))),
            },
            (State::Ended, Packet::ResponseEnd) => {}
            // whatever a later version may add was not asked for
            _ => return Err(AnswerError::Line("a packet out of place".into())),
        }
        Ok(Vec::new())
    }

    /// Checks that the answer came to its end.
    ///
    /// # Errors
    /// When it is cut off.
    pub(crate) fn finish(&self) -> Result<(), AnswerError> {
        if self.state == State::Ended {
            Ok(())
        } else {
            Err(PacketError::CutOff.into())
        }
    }
}

/// Side-band-64k: 1 is data, 2 is talk, 3 is the server's last words.
fn band(mut data: Vec<u8>) -> Result<Vec<u8>, AnswerError> {
    match data.first() {
        Some(1) => {
            data.remove(0);
            Ok(data)
        }
        Some(2) => Ok(Vec::new()),
        Some(3) => Err(AnswerError::Server(printable(
            data.get(1..).unwrap_or_default(),
        ))),
        _ => Err(AnswerError::Line("an unknown band".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: Protocol = Protocol::V2 { shallow: true };
    const V0: Protocol = Protocol::V0 { shallow: true };

    fn data(text: &[u8]) -> Packet {
        Packet::Data(text.to_vec())
    }

    fn run(protocol: Protocol, packets: &[Packet]) -> Result<Vec<u8>, AnswerError> {
        let mut stream = PackStream::new(protocol);
        let mut pack = Vec::new();
        for packet in packets {
            pack.extend(stream.take(packet.clone())?);
        }
        stream.finish().map(|()| pack)
    }

    #[test]
    fn the_pack_comes_out_of_both_protocols() {
        let bands = [
            data(b"\x01PA"),
            data(b"\x02working"),
            data(b"\x01CK"),
            Packet::Flush,
        ];
        let v2 = [
            data(b"shallow-info\n"),
            data(b"shallow 1\n"),
            Packet::Delimiter,
            data(b"packfile\n"),
        ];
        assert_eq!(run(V2, &[&v2[..], &bands].concat()), Ok(b"PACK".to_vec()));
        assert_eq!(run(V2, &[&v2[3..], &bands].concat()), Ok(b"PACK".to_vec()));
        let v0 = [data(b"shallow 1"), Packet::Flush, data(b"NAK\n")];
        assert_eq!(run(V0, &[&v0[..], &bands].concat()), Ok(b"PACK".to_vec()));
        let full = Protocol::V0 { shallow: false };
        assert_eq!(
            run(full, &[&v0[2..], &bands].concat()),
            Ok(b"PACK".to_vec())
        );
    }

    #[test]
    fn anything_out_of_place_is_an_error() {
        let cut_off: AnswerError = PacketError::CutOff.into();
        assert_eq!(run(V2, &[]), Err(cut_off.clone()));
        assert_eq!(
            run(V2, &[data(b"packfile\n"), data(b"\x01PACK")]),
            Err(cut_off)
        );
        let server = AnswerError::Server("no".into());
        assert_eq!(
            run(V2, &[data(b"packfile\n"), data(b"\x03no\n")]),
            Err(server.clone())
        );
        assert_eq!(run(V2, &[data(b"ERR no\n")]), Err(server.clone()));
        assert_eq!(run(V0, &[Packet::Flush, data(b"ERR no")]), Err(server));
        for packets in [
            &[data(b"wanted-refs\n")][..],
            &[Packet::Flush],
            &[data(b"packfile\n"), Packet::Delimiter],
            &[data(b"packfile\n"), data(b"")],
            &[data(b"packfile\n"), data(b"\x04x")],
            &[data(b"packfile\n"), Packet::Flush, data(b"\x01x")],
        ] {
            assert!(
                matches!(run(V2, packets), Err(AnswerError::Line(_))),
                "{packets:?}"
            );
        }
        assert!(matches!(
            run(V0, &[Packet::Flush, data(b"ACK 1")]),
            Err(AnswerError::Line(_))
        ));
    }

    #[test]
    fn requests_ask_for_one_commit() {
        let (want, have) = (GitOid::from_bytes([1; 20]), GitOid::from_bytes([2; 20]));
        let text = |protocol, have: &[GitOid]| {
            String::from_utf8(request(protocol, want, have)).expect("text")
        };
        let v2 = text(V2, &[have]);
        assert!(v2.starts_with("0012command=fetch\n0001") && v2.ends_with("0009done\n0000"));
        assert!(v2.contains(&format!("0032want {want}\n")) && v2.contains("deepen 1\n"));
        assert!(
            v2.contains(&format!("shallow {have}\n")) && v2.contains(&format!("have {have}\n"))
        );
        assert!(!text(Protocol::V2 { shallow: false }, &[have]).contains("shallow"));
        assert!(!text(V0, &[have]).contains("have"));
        assert!(pkt::packets(text(V0, &[]).as_bytes()).is_ok());
    }
}
