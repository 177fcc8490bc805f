//! The bytes of a frame that is not whole yet, and what has come after it.
//!
//! Never waits for the peer, and never makes room by a length it was told:
//! only for bytes that have come.

use std::net::TcpStream;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use smr_channel::frame::{self, FrameError, HEADER};

use crate::wire::WireError;

/// Bytes taken from the socket at a time.
const PART: usize = 16 << 10;

/// What has come, the frame's length included.
#[derive(Default)]
pub(crate) struct Gather {
    bytes: Vec<u8>,
}

impl Gather {
    /// Tells whether a frame has begun.
    pub(crate) fn has_begun(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Returns what has come after the frame that was returned.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Takes what is there; returns `count` bytes once they are whole.
    pub(crate) fn exactly(
        &mut self,
        stream: &TcpStream,
        count: usize,
    ) -> Result<Option<Vec<u8>>, WireError> {
        self.whole(stream, |_| Ok(count))
    }

    /// Takes what is there; returns a frame of at most `most` bytes once it is
    /// whole, without its length.
    pub(crate) fn frame(
        &mut self,
        stream: &TcpStream,
        most: usize,
    ) -> Result<Option<Vec<u8>>, WireError> {
        let goal = |bytes: &[u8]| match bytes.first_chunk::<HEADER>() {
            None => Ok(HEADER),
            Some(header) => match frame::length(*header)? {
                length if length <= most => Ok(HEADER + length),
                _ => Err(WireError::from(FrameError)),
            },
        };
        let whole = self.whole(stream, goal)?;
        Ok(whole.map(|mut bytes| bytes.split_off(HEADER)))
    }

    /// Takes what is there; returns it once it is as long as `goal` says, which
    /// looks at what has come, and never asks for less than that.
    pub(crate) fn whole<E: From<WireError>>(
        &mut self,
        stream: &TcpStream,
        goal: impl Fn(&[u8]) -> Result<usize, E>,
    ) -> Result<Option<Vec<u8>>, E> {
        loop {
            let goal = goal(&self.bytes)?;
            if self.bytes.len() >= goal {
                let rest = self.bytes.split_off(goal);
                return Ok(Some(std::mem::replace(&mut self.bytes, rest)));
            }
            if !self.more(stream)? {
                return Ok(None);
            }
        }
    }

    /// Receives what is there; false where nothing is.
    fn more(&mut self, stream: &TcpStream) -> Result<bool, WireError> {
        let mut part = [0; PART];
        match recv(stream, &mut part[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) if self.bytes.is_empty() => Err(WireError::Closed),
            // Nothing is lost; a proxy that looks whether smrd is there does so.
            Err(Errno::CONNRESET) if self.bytes.is_empty() => Err(WireError::Closed),
            Ok((_, 0)) => Err(WireError::Io(std::io::ErrorKind::UnexpectedEof.into())),
            Ok((_, count)) => {
                let come = part.get(..count).unwrap_or_default();
                self.bytes.extend_from_slice(come);
                Ok(true)
            }
            Err(Errno::AGAIN) => Ok(false),
            Err(Errno::INTR) => Ok(true),
            Err(error) => Err(WireError::Io(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gather;
    use crate::wire::WireError;
    use smr_channel::frame::MAX_FRAME;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nodelay(true).unwrap();
        (listener.accept().unwrap().0, client)
    }

    /// Waits until there is something to take.
    fn ready(stream: &TcpStream) {
        let time = Some(Duration::from_secs(60));
        stream.set_read_timeout(time).unwrap();
        stream.peek(&mut [0]).unwrap();
    }

    #[test]
    fn frames_are_gathered_byte_by_byte() {
        let (stream, mut client) = pair();
        let mut gather = Gather::default();
        assert_eq!(gather.frame(&stream, 9).unwrap(), None);
        assert!(!gather.has_begun());
        for byte in [0, 3, 1, 2] {
            client.write_all(&[byte]).unwrap();
            ready(&stream);
            assert_eq!(gather.frame(&stream, 9).unwrap(), None);
            assert!(gather.has_begun());
        }
        // The next frame, which comes along, is kept.
        client.write_all(&[3, 0, 1, 7, 0]).unwrap();
        ready(&stream);
        assert_eq!(gather.frame(&stream, 9).unwrap(), Some(vec![1, 2, 3]));
        assert_eq!(gather.frame(&stream, 9).unwrap(), Some(vec![7]));
        assert_eq!(gather.rest(), [0]);
        assert!(!gather.has_begun());
    }

    #[test]
    fn room_is_made_for_what_has_come_alone() {
        let (stream, mut client) = pair();
        client.write_all(&[255, 255, 1]).unwrap();
        ready(&stream);
        let mut gather = Gather::default();
        assert_eq!(gather.frame(&stream, MAX_FRAME).unwrap(), None);
        assert!(gather.bytes.capacity() < 64);
    }

    #[test]
    fn frames_of_no_legal_length_and_cut_ones_are_refused() {
        for bytes in [[0, 0], [0, 10]] {
            let (stream, mut client) = pair();
            client.write_all(&bytes).unwrap();
            ready(&stream);
            let refused = Gather::default().frame(&stream, 9);
            assert!(matches!(refused, Err(WireError::Frame(_))));
        }
        let (stream, mut client) = pair();
        let mut gather = Gather::default();
        client.write_all(b"smr").unwrap();
        ready(&stream);
        assert_eq!(gather.exactly(&stream, 7).unwrap(), None);
        drop(client);
        ready(&stream);
        assert!(matches!(gather.exactly(&stream, 7), Err(WireError::Io(_))));
        let refused = Gather::default().exactly(&stream, 7);
        assert!(matches!(refused, Err(WireError::Closed)));
    }
}
