//! The outermost layer on the wire: the greeting, and frames of a length and
//! that many bytes.
//!
//! Reads and writes no socket; the caller moves the bytes.

use smr_name::Class;

/// What a client says first, 6 bytes; one byte follows, `ASK_IDENTITY`,
/// `ASK_CHAIN` or `ASK_SESSION`.
pub const MAGIC: &[u8; 6] = b"smr/1\n";

/// Asks for the identity document: smrd answers one frame, its text, and closes.
pub const ASK_IDENTITY: u8 = b'I';

/// Asks how the keys of the repository followed one another: smrd answers some
/// frames, the text of the chain cut anywhere, and closes.
pub const ASK_CHAIN: u8 = b'C';

/// Asks for a session: frame 1 of the handshake follows.
pub const ASK_SESSION: u8 = b'S';

/// Bytes of the length before each frame.
pub const HEADER: usize = 2;

/// The longest frame, in bytes, without its length.
pub const MAX_FRAME: usize = 65_535;

/// Says that a frame has no legal length.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a frame has 1 to 65535 bytes")]
pub struct FrameError;

impl FrameError {
    /// Damaged: no peer of ours sends such a frame.
    pub fn class(&self) -> Class {
        Class::Forged
    }
}

/// Returns the length to send before `frame`, big-endian; fails on an empty
/// frame and on one over `MAX_FRAME`.
pub fn header(frame: &[u8]) -> Result<[u8; HEADER], FrameError> {
    match u16::try_from(frame.len()) {
        Ok(length) if length > 0 => Ok(length.to_be_bytes()),
        _ => Err(FrameError),
    }
}

/// Returns how many bytes follow `header`; fails on zero.
pub fn length(header: [u8; HEADER]) -> Result<usize, FrameError> {
    match u16::from_be_bytes(header) {
        0 => Err(FrameError),
        length => Ok(usize::from(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameError, MAX_FRAME, header, length};

    #[test]
    fn lengths_come_back() {
        for size in [1, 255, 256, MAX_FRAME] {
            assert_eq!(length(header(&vec![0; size]).unwrap()), Ok(size));
        }
    }

    #[test]
    fn empty_and_oversized_frames_are_refused() {
        assert_eq!(header(&[]), Err(FrameError));
        assert_eq!(header(&vec![0; MAX_FRAME + 1]), Err(FrameError));
        assert_eq!(length([0, 0]), Err(FrameError));
    }
}
