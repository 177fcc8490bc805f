//! Frames between a tool and the agent, on a stream (smr-agent-protocol(7)).
//!
//! Holds one frame at a time.

use std::io::{self, ErrorKind, Read, Write};

use smr_channel::codec::CodecError;
use smr_channel::local::{Answer, Frame, HEADER};
use zeroize::Zeroizing;

/// Says why a tool's connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// It failed or ended within a frame.
    #[error("the connection of a tool: {0}")]
    Io(#[from] io::Error),
    /// What came is not a frame.
    #[error("the connection of a tool: {0}")]
    Codec(#[from] CodecError),
    /// The tool left, or sent a frame that is not due.
    #[error("the tool left in the middle of a request")]
    Left,
}

/// Reads the next frame; none when the tool has left between frames.
pub(crate) fn read(stream: &mut impl Read) -> Result<Option<Frame>, WireError> {
    let mut header = [0; HEADER];
    if !fill(stream, &mut header)? {
        return Ok(None);
    }
    // It may hold secrets: one buffer of its final size, wiped.
    let mut bytes = Zeroizing::new(vec![0; Frame::length(header)?]);
    stream.read_exact(&mut bytes)?;
    Ok(Some(Frame::decode(&bytes)?))
}

/// Writes a frame.
pub(crate) fn write(stream: &mut impl Write, frame: &Frame) -> Result<(), WireError> {
    Ok(stream.write_all(&frame.encode()?)?)
}

/// Writes an answer.
pub(crate) fn answer(stream: &mut impl Write, answer: &Answer) -> Result<(), WireError> {
    write(stream, &Frame::Head(answer.encode()?))
}

// False when the stream ends before the first byte.
fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use smr_channel::local::Frame;

    use super::{WireError, read, write};

    #[test]
    fn frames_come_back_in_order() {
        let mut bytes = Vec::new();
        let frames = [Frame::Body(vec![1; 70_000]), Frame::End(None)];
        for frame in &frames {
            write(&mut bytes, frame).unwrap();
        }
        let mut stream = bytes.as_slice();
        for frame in frames {
            assert_eq!(read(&mut stream).unwrap(), Some(frame));
        }
        assert_eq!(read(&mut stream).unwrap(), None);
    }

    #[test]
    fn cut_and_oversized_frames_are_errors() {
        let mut bytes = Vec::new();
        write(&mut bytes, &Frame::Body(vec![1; 9])).unwrap();
        for cut in 1..bytes.len() {
            let error = read(&mut &bytes[..cut]).unwrap_err();
            assert!(matches!(error, WireError::Io(_)), "{cut}");
        }
        for header in [[0; 4], [0xff; 4]] {
            let error = read(&mut header.as_slice()).unwrap_err();
            assert!(matches!(error, WireError::Codec(_)));
        }
    }
}
