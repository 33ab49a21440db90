//! Messages between a host process and its child: length-prefixed JSON, raw bytes and descriptors
//! over one `AF_UNIX` stream socket, which the child finds on its standard input.
//!
//! Both ends are blocking; an async host calls this from a blocking thread. Either end may be
//! hostile (a child parses strangers' bytes), so every frame has a length limit.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sandbox::sys;

/// Longest JSON frame in bytes.
pub const MAX_JSON: usize = 64 << 20;
/// Longest frame of raw bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Most descriptors in one frame.
pub const MAX_FDS: usize = 8;

const HEADER: usize = 5;

/// A frame that came in.
#[derive(Debug)]
pub enum Frame {
    /// A message and the descriptors that came with it.
    Json(Vec<u8>, Vec<OwnedFd>),
    /// A piece of a stream of bytes.
    Bytes(Vec<u8>),
}

/// Why a channel is of no more use. Always a fault of ours, never about a release.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other end is gone.
    #[error("the other process closed the channel")]
    Closed,
    /// Reading or writing failed.
    #[error("talking over the channel")]
    Io(#[source] io::Error),
    /// A frame is longer than its limit, of an unknown kind, or not what was expected.
    #[error("a frame that breaks the protocol: {0}")]
    Protocol(&'static str),
    /// A JSON frame of another shape.
    #[error("a message of another shape")]
    Json(#[source] serde_json::Error),
}

impl From<io::Error> for ChannelError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// One end of a channel.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
}

impl Channel {
    /// Makes a channel and the descriptor that becomes a child's standard input.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Self { stream: ours }, theirs.into()))
    }

    /// The child's end: its standard input.
    ///
    /// # Errors
    /// When standard input is not a socket.
    pub fn from_stdin() -> io::Result<Self> {
        let fd = io::stdin().as_fd().try_clone_to_owned()?;
        let stream = UnixStream::from(fd);
        stream.peer_addr()?; // ENOTSOCK when somebody starts a child by hand
        Ok(Self { stream })
    }

    /// A second handle on the same end, for a thread that waits while another sends.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        let stream = self.stream.try_clone()?;
        Ok(Self { stream })
    }

    /// Bounds how long [`Self::receive`] waits; `None` waits for ever.
    ///
    /// # Errors
    /// When the time is zero.
    pub fn set_receive_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    /// The descriptor, for polling.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Whether the other end is gone, whatever it may have said before.
    ///
    /// # Errors
    /// When the system cannot say.
    pub fn hung_up(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO)?;
        let [found] = fds;
        Ok(found.any().unwrap_or(true))
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the other end is gone.
    pub fn send<T: Serialize>(&mut self, message: &T) -> Result<(), ChannelError> {
        self.send_with_fds(message, &[])
    }

    /// Sends a message and duplicates of descriptors with it.
    ///
    /// # Errors
    /// When the other end is gone.
    pub fn send_with_fds<T: Serialize>(
        &mut self,
        message: &T,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let body = serde_json::to_vec(message).map_err(ChannelError::Json)?;
        if body.len() > MAX_JSON || fds.len() > MAX_FDS {
            return Err(ChannelError::Protocol(
                "a message over its limit was to be sent",
            ));
        }
        let header = header(b'J', body.len());
        let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let control = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() {
            &control[..0]
        } else {
            &control[..]
        };
        let sent = loop {
            let slices = [IoSlice::new(&header)];
            match sendmsg::<()>(
                self.stream.as_raw_fd(),
                &slices,
                control,
                MsgFlags::MSG_NOSIGNAL,
                None,
            ) {
                Err(nix::errno::Errno::EINTR) => {}
                other => break other.map_err(io::Error::from)?,
            }
        };
        self.stream
            .write_all(header.get(sent..).unwrap_or_default())?;
        self.stream.write_all(&body)?;
        Ok(())
    }

    /// Sends a piece of a stream, cut to frames where it is long. An empty piece marks the end.
    ///
    /// # Errors
    /// When the other end is gone.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ChannelError> {
        if bytes.is_empty() {
            return Ok(self.stream.write_all(&header(b'B', 0))?);
        }
        for piece in bytes.chunks(MAX_BYTES) {
            self.stream.write_all(&header(b'B', piece.len()))?;
            self.stream.write_all(piece)?;
        }
        Ok(())
    }

    /// Waits for the next frame.
    ///
    /// # Errors
    /// When the other end is gone, the time is over (`Io` with `WouldBlock`), or a frame breaks a limit.
    pub fn receive(&mut self) -> Result<Frame, ChannelError> {
        let mut head = [0u8; HEADER];
        let (got, fds) = self.receive_head(&mut head)?;
        self.stream.read_exact(&mut head[got..])?; // got <= HEADER: recvmsg had only that much room
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        let limit = match kind {
            b'J' => MAX_JSON,
            b'B' => MAX_BYTES,
            _ => return Err(ChannelError::Protocol("unknown kind of frame")),
        };
        if length > limit {
            return Err(ChannelError::Protocol("frame over its limit"));
        }
        let mut body = Vec::new();
        (&mut self.stream)
            .take(length as u64)
            .read_to_end(&mut body)?;
        if body.len() != length {
            return Err(ChannelError::Closed);
        }
        match kind {
            b'J' => Ok(Frame::Json(body, fds)),
            _ => Ok(Frame::Bytes(body)),
        }
    }

    /// Waits for a message and drops descriptors that came with it.
    ///
    /// # Errors
    /// As [`Self::receive`], or when the frame is not a message of this shape.
    pub fn receive_message<T: DeserializeOwned>(&mut self) -> Result<T, ChannelError> {
        Ok(self.receive_with_fds()?.0)
    }

    /// Waits for a message and its descriptors.
    ///
    /// # Errors
    /// As [`Self::receive`], or when the frame is not a message of this shape.
    pub fn receive_with_fds<T: DeserializeOwned>(
        &mut self,
    ) -> Result<(T, Vec<OwnedFd>), ChannelError> {
        match self.receive()? {
            Frame::Json(body, fds) => Ok((
                serde_json::from_slice(&body).map_err(ChannelError::Json)?,
                fds,
            )),
            Frame::Bytes(_) => Err(ChannelError::Protocol("bytes where a message was due")),
        }
    }

    fn receive_head(&self, head: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), ChannelError> {
        let mut space = nix::cmsg_space!([std::os::fd::RawFd; MAX_FDS]);
        loop {
            let mut slices = [IoSliceMut::new(head)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            let message = match recvmsg::<()>(
                self.stream.as_raw_fd(),
                &mut slices,
                Some(&mut space),
                flags,
            ) {
                Err(nix::errno::Errno::EINTR) => continue,
                other => other.map_err(io::Error::from)?,
            };
            let mut fds = Vec::new();
            for control in message.cmsgs().map_err(io::Error::from)? {
                if let ControlMessageOwned::ScmRights(raw) = control {
                    fds.extend(raw.into_iter().map(sys::own_received_fd));
                }
            }
            if message.bytes == 0 {
                return Err(ChannelError::Closed);
            }
            return Ok((message.bytes, fds));
        }
    }
}

fn header(kind: u8, length: usize) -> [u8; HEADER] {
    // every caller has checked the length against a limit far below 4 GiB
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [kind, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Channel, Channel) {
        let (ours, theirs) = Channel::pair().expect("socketpair");
        (
            ours,
            Channel {
                stream: UnixStream::from(theirs),
            },
        )
    }

    #[test]
    fn messages_bytes_and_descriptors_arrive_in_order() {
        let (mut a, mut b) = pair();
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(b"through a descriptor").expect("write");
        a.send_with_fds(&"hello", &[file.as_fd()]).expect("send");
        a.send_bytes(b"raw").expect("send");
        a.send_bytes(b"").expect("send");
        let (text, fds): (String, _) = b.receive_with_fds().expect("receive");
        assert_eq!((text.as_str(), fds.len()), ("hello", 1));
        assert!(matches!(b.receive(), Ok(Frame::Bytes(bytes)) if bytes == b"raw"));
        assert!(matches!(b.receive(), Ok(Frame::Bytes(bytes)) if bytes.is_empty()));
        drop(a);
        assert!(matches!(b.receive(), Err(ChannelError::Closed)));
    }

    #[test]
    fn a_frame_over_its_limit_or_of_another_kind_is_refused() {
        for head in [
            [b'J', 0xff, 0xff, 0xff, 0xff],
            [b'B', 0, 0x10, 0, 1],
            [b'X', 0, 0, 0, 0],
        ] {
            let (mut a, mut b) = pair();
            a.stream.write_all(&head).expect("write");
            assert!(
                matches!(b.receive(), Err(ChannelError::Protocol(_))),
                "{head:?}"
            );
        }
        let (mut a, mut b) = pair();
        a.stream
            .write_all(&[b'J', 0, 0, 0, 9, b'"'])
            .expect("write");
        drop(a);
        assert!(matches!(b.receive(), Err(ChannelError::Closed)));
    }
}
