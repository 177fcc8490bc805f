//! Bodies: what comes with a request, and what goes with a reply.
//!
//! Never holds a message in memory: a part at a time.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use smr_name::Class;
use smr_store::{Spool, StoreError};

use crate::grounds::Grounds;
use crate::refusal::Refusal;

/// What becomes of the body of a request.
pub(crate) enum Intake {
    /// There must be none.
    Nothing,
    /// Kept in memory, up to a bound.
    Memory(Vec<u8>, usize),
    /// Written to the store's spool and hashed on the way.
    Spool(Box<Intaken>),
    /// Dropped.
    Refused(Refusal),
}

/// A body on its way into the store.
pub(crate) struct Intaken {
    pub(crate) spool: Spool,
    hash: Context,
    left: u64,
}

impl Intake {
    /// Begins a spool for exactly `size` bytes.
    pub(crate) fn spool(spool: Spool, size: u64) -> Intake {
        Intake::Spool(Box::new(Intaken {
            spool,
            hash: Context::new(&SHA256),
            left: size,
        }))
    }

    /// Takes the next part; a refusal stands until the end of the body.
    pub(crate) fn take(self, part: &[u8]) -> Result<Intake, Refusal> {
        match self {
            Intake::Nothing => Err(Refusal::new(
                Class::Usage,
                "the request brings a body that it should not have",
            )),
            Intake::Memory(mut bytes, limit) if part.len() <= limit.saturating_sub(bytes.len()) => {
                bytes.extend_from_slice(part);
                Ok(Intake::Memory(bytes, limit))
            }
            Intake::Memory(..) => Err(Refusal::new(Class::Usage, "the body is too long")),
            Intake::Spool(mut taken) => {
                taken.take(part)?;
                Ok(Intake::Spool(taken))
            }
            refused => Ok(refused),
        }
    }
}

/// Says that a body is not the one announced.
pub(crate) fn other_than_announced() -> Refusal {
    Refusal::new(
        Class::Forged,
        "the body has another size or hash than was announced",
    )
}

impl Intaken {
    fn take(&mut self, part: &[u8]) -> Result<(), Refusal> {
        let left = self.left.checked_sub(part.len() as u64);
        self.left = left.ok_or_else(other_than_announced)?;
        self.hash.update(part);
        self.spool
            .write(part)
            .map_err(|e| super::disk(&StoreError::from(e)))
    }

    /// Ends the body; refuses one that is short or has another hash.
    pub(crate) fn finish(self, sha256: &[u8; 32]) -> Result<Spool, Refusal> {
        let whole = self.left == 0 && self.hash.finish().as_ref() == sha256;
        whole.then_some(self.spool).ok_or_else(other_than_announced)
    }
}

/// Says that the body of a reply could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("cannot read what was to be sent: {0}")]
pub(crate) struct Broken(pub(crate) io::Error);

type Source = Box<dyn Read>;
type Opener<'a> = Box<dyn FnOnce() -> io::Result<Source> + 'a>;

enum Piece<'a> {
    Bytes(Vec<u8>),
    List(Arc<Grounds>, usize),
    Later(Opener<'a>, u64),
    Open(Source, u64),
}

/// The body of a reply: pieces, sent one after the other.
#[derive(Default)]
pub(crate) struct Body<'a> {
    pieces: VecDeque<Piece<'a>>,
    /// The rest of the piece being sent.
    rest: Vec<u8>,
}

impl<'a> Body<'a> {
    pub(crate) fn bytes(&mut self, bytes: Vec<u8>) {
        self.pieces.push_back(Piece::Bytes(bytes));
    }

    /// Adds the list or answer at `place` of these grounds.
    pub(crate) fn list(&mut self, grounds: Arc<Grounds>, place: usize) {
        self.pieces.push_back(Piece::List(grounds, place));
    }

    /// Adds the first `length` bytes of what is opened when its turn comes.
    pub(crate) fn later<R: Read + 'static>(
        &mut self,
        open: impl FnOnce() -> io::Result<R> + 'a,
        length: u64,
    ) {
        let open = || Ok(Box::new(open()?) as Source);
        self.pieces.push_back(Piece::Later(Box::new(open), length));
    }

    /// Adds the first `length` bytes of what is open.
    pub(crate) fn file(&mut self, file: impl Read + 'static, length: u64) {
        self.pieces.push_back(Piece::Open(Box::new(file), length));
    }

    /// Returns the next part, of at most `max` bytes, or none at the end. A
    /// file shorter than announced is an error.
    pub(crate) fn next(&mut self, max: usize) -> Result<Option<Vec<u8>>, Broken> {
        loop {
            if !self.rest.is_empty() {
                let later = self.rest.split_off(self.rest.len().min(max));
                return Ok(Some(std::mem::replace(&mut self.rest, later)));
            }
            let Some(piece) = self.pieces.pop_front() else {
                return Ok(None);
            };
            match piece {
                Piece::Bytes(bytes) => self.rest = bytes,
                Piece::List(grounds, place) => {
                    let der = grounds.der_at(place);
                    self.rest = der.map(|der| der.to_vec()).unwrap_or_default();
                }
                Piece::Later(open, length) => {
                    self.pieces
                        .push_front(Piece::Open(open().map_err(Broken)?, length));
                }
                Piece::Open(_, 0) => {}
                Piece::Open(mut file, length) => {
                    let part = part_of(&mut file, length.min(max as u64))?;
                    let left = length - part.len() as u64;
                    self.pieces.push_front(Piece::Open(file, left));
                    return Ok(Some(part));
                }
            }
        }
    }
}

fn part_of(file: &mut dyn Read, size: u64) -> Result<Vec<u8>, Broken> {
    let mut part = Vec::new();
    file.take(size).read_to_end(&mut part).map_err(Broken)?;
    match part.len() as u64 == size {
        true => Ok(part),
        false => Err(Broken(io::ErrorKind::UnexpectedEof.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, Intake};
    use smr_name::Class;
    use std::io::Write;

    fn file(bytes: &[u8]) -> std::fs::File {
        use std::io::Seek;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn all(mut body: Body<'_>) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        while let Some(part) = body.next(4).unwrap() {
            parts.push(part);
        }
        parts
    }

    #[test]
    fn pieces_are_sent_in_order_and_in_parts() {
        let mut body = Body::default();
        body.bytes(b"abcdef".to_vec());
        body.later(|| Ok(file(b"ghijkl")), 5);
        body.file(file(b""), 0);
        assert_eq!(all(body), [b"abcd".as_slice(), b"ef", b"ghij", b"k"]);
    }

    #[test]
    fn short_files_break_the_reply() {
        let mut body = Body::default();
        body.file(file(b"abc"), 5);
        assert!(body.next(64).is_err());
    }

    #[test]
    fn unasked_bodies_and_long_ones_are_refused() {
        let refused = Intake::Nothing.take(b"x").err().unwrap();
        assert_eq!(refused.class, Class::Usage);
        let memory = Intake::Memory(Vec::new(), 4).take(b"abc").unwrap();
        assert!(matches!(&memory, Intake::Memory(bytes, 4) if bytes == b"abc"));
        assert!(memory.take(b"de").is_err());
    }
}
