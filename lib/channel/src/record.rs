//! Records: one chunk of a message, sealed under the key of that message.
//!
//! Knows nothing of turns or of what a message says. What a chunk is (head,
//! body, close) is sealed too: a capture shows sizes and nothing else.

use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey};

use crate::event::SessionError;
use crate::label::{self, Key};
use crate::ratchet::Direction;
use crate::suite::Suite;

/// The longest head or part of a body, in bytes.
pub const MAX_CHUNK: usize = 60 * 1024;

const TAG: usize = 16;

/// Says what a chunk is; its first byte, inside the seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Head = 1,
    Body = 2,
    Close = 3,
}

impl Kind {
    fn from_code(code: u8) -> Option<Kind> {
        [Kind::Head, Kind::Body, Kind::Close]
            .into_iter()
            .find(|kind| *kind as u8 == code)
    }
}

/// The run of chunks of one message, in one direction.
pub(crate) struct Chunks {
    key: LessSafeKey,
    aad: [u8; 41],
    /// Chunks so far: the nonce of the next, never twice under one key.
    count: u64,
}

impl Chunks {
    /// Begins the chunks of message `number` under its key.
    pub(crate) fn new(suite: Suite, message_key: &Key, number: u64, session: &[u8; 32]) -> Self {
        let key = label::expand(message_key, label::CHUNK_KEY, &[suite.code()]);
        let key = UnboundKey::new(suite.aead(), &*key).expect("both AEADs take 32 bytes");
        let mut aad = [Direction::of(number) as u8; 41];
        aad[1..9].copy_from_slice(&number.to_be_bytes());
        aad[9..].copy_from_slice(session);
        Chunks {
            key: LessSafeKey::new(key),
            aad,
            count: 0,
        }
    }

    fn nonce(&mut self) -> Result<Nonce, SessionError> {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.count.to_be_bytes());
        self.count = self.count.checked_add(1).ok_or(SessionError::Size)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    /// Seals one chunk of 1 to `MAX_CHUNK` bytes; returns the frame.
    pub(crate) fn seal(&mut self, kind: Kind, data: &[u8]) -> Result<Vec<u8>, SessionError> {
        if !(1..=MAX_CHUNK).contains(&data.len()) {
            return Err(SessionError::Size);
        }
        let nonce = self.nonce()?;
        let mut frame = Vec::with_capacity(1 + data.len() + TAG);
        frame.push(kind as u8);
        frame.extend_from_slice(data);
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(self.aad), &mut frame)
            .map_err(|_| SessionError::Size)?;
        Ok(frame)
    }

    /// Opens the next chunk.
    pub(crate) fn open(&mut self, frame: &[u8]) -> Result<(Kind, Vec<u8>), SessionError> {
        let nonce = self.nonce()?;
        let mut chunk = frame.to_vec();
        let length = self
            .key
            .open_in_place(nonce, Aad::from(self.aad), &mut chunk)
            .map_err(|_| SessionError::Forged)?
            .len();
        chunk.truncate(length);
        let kind = chunk.first().copied().and_then(Kind::from_code);
        let kind = kind.ok_or(SessionError::Forged)?;
        chunk.drain(..1);
        match (1..=MAX_CHUNK).contains(&chunk.len()) {
            true => Ok((kind, chunk)),
            false => Err(SessionError::Forged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunks, Kind, MAX_CHUNK};
    use crate::event::SessionError;
    use crate::label::Key;
    use crate::suite::Suite;

    fn chunks(suite: Suite, key: u8, number: u64, session: u8) -> Chunks {
        Chunks::new(suite, &Key::new([key; 32]), number, &[session; 32])
    }

    #[test]
    fn chunks_come_back_in_order() {
        for suite in Suite::ALL {
            let (mut a, mut b) = (chunks(suite, 1, 2, 3), chunks(suite, 1, 2, 3));
            for kind in [Kind::Head, Kind::Body, Kind::Body, Kind::Close] {
                let frame = a.seal(kind, b"data").unwrap();
                assert_eq!(b.open(&frame), Ok((kind, b"data".to_vec())));
            }
        }
    }

    #[test]
    fn another_key_number_session_or_suite_opens_nothing() {
        let frame = chunks(Suite::AesGcm, 1, 2, 3)
            .seal(Kind::Head, b"x")
            .unwrap();
        for mut other in [
            chunks(Suite::AesGcm, 9, 2, 3),
            chunks(Suite::AesGcm, 1, 4, 3),
            chunks(Suite::AesGcm, 1, 2, 9),
            chunks(Suite::ChaChaPoly, 1, 2, 3),
        ] {
            assert_eq!(other.open(&frame), Err(SessionError::Forged));
        }
    }

    #[test]
    fn order_is_part_of_the_seal() {
        let mut a = chunks(Suite::ChaChaPoly, 1, 2, 3);
        let first = a.seal(Kind::Body, b"x").unwrap();
        let second = a.seal(Kind::Body, b"x").unwrap();
        assert_ne!(first, second);
        let mut b = chunks(Suite::ChaChaPoly, 1, 2, 3);
        assert_eq!(b.open(&second), Err(SessionError::Forged));
    }

    #[test]
    fn sizes_are_bounded() {
        let mut a = chunks(Suite::ChaChaPoly, 1, 2, 3);
        let full = a.seal(Kind::Body, &vec![0; MAX_CHUNK]).unwrap();
        assert!(full.len() <= crate::frame::MAX_FRAME);
        for size in [0, MAX_CHUNK + 1] {
            assert_eq!(a.seal(Kind::Body, &vec![0; size]), Err(SessionError::Size));
        }
        for frame in [&[][..], &[0; 16], &[0; 17]] {
            assert_eq!(a.open(frame), Err(SessionError::Forged));
        }
    }

    #[test]
    fn a_peer_that_seals_an_empty_or_unknown_chunk_is_refused() {
        for chunk in [&[][..], &[2], &[0, 1], &[4, 1]] {
            let mut a = chunks(Suite::ChaChaPoly, 1, 2, 3);
            let mut frame = chunk.to_vec();
            let nonce = a.nonce().unwrap();
            a.key
                .seal_in_place_append_tag(nonce, ring::aead::Aad::from(a.aad), &mut frame)
                .unwrap();
            let mut b = chunks(Suite::ChaChaPoly, 1, 2, 3);
            assert_eq!(b.open(&frame), Err(SessionError::Forged));
        }
    }
}
