//! The close of a message: an HMAC that commits to the message's key, the whole
//! message, all messages before it and, for a reply, the request it answers and
//! the warrant.
//!
//! Sees no chunk, only hashes.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::codec::{CodecError, Reader, Writer};
use crate::label::{self, Key};
use crate::ratchet::Direction;

/// All that a close covers besides its key.
pub(crate) struct Close<'a> {
    pub(crate) number: u64,
    /// The transcript before this message.
    pub(crate) transcript: &'a [u8; 32],
    /// The hash of this message.
    pub(crate) digest: &'a [u8; 32],
    /// For a reply: the hash of its request, and the warrant.
    pub(crate) answer: Option<Answer<'a>>,
}

pub(crate) struct Answer<'a> {
    pub(crate) request: &'a [u8; 32],
    pub(crate) time: i64,
    pub(crate) signature: &'a [u8; 64],
}

impl Close<'_> {
    fn mac(&self, message_key: &Key) -> Hmac<Sha256> {
        let key = label::expand(message_key, label::CLOSE_KEY, &[]);
        let mut mac = Hmac::<Sha256>::new_from_slice(&*key).expect("HMAC takes any key");
        mac.update(label::CLOSE.as_bytes());
        mac.update(&[0, Direction::of(self.number) as u8]);
        mac.update(&self.number.to_be_bytes());
        mac.update(self.transcript);
        mac.update(self.digest);
        if let Some(answer) = &self.answer {
            mac.update(answer.request);
            mac.update(&answer.time.to_be_bytes());
            mac.update(answer.signature);
        }
        mac
    }

    /// Returns the HMAC-SHA256 (RFC 2104).
    pub(crate) fn seal(&self, message_key: &Key) -> [u8; 32] {
        self.mac(message_key).finalize().into_bytes().into()
    }

    /// Tells whether the peer knew all of it, in constant time.
    pub(crate) fn verify(&self, message_key: &Key, mac: &[u8; 32]) -> bool {
        self.mac(message_key).verify_slice(mac).is_ok()
    }

    /// Returns the transcript after this message.
    pub(crate) fn extend(&self, mac: &[u8; 32]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(label::TRANSCRIPT.as_bytes());
        hash.update([0, Direction::of(self.number) as u8]);
        hash.update(self.number.to_be_bytes());
        hash.update(self.transcript);
        hash.update(self.digest);
        hash.update(mac);
        hash.finalize().into()
    }
}

/// Returns the transcript before message 0, over the session's id and the hash
/// of the introduction.
pub(crate) fn first_transcript(session: &[u8; 32], introduction: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(label::TRANSCRIPT.as_bytes());
    hash.update([0, 0]);
    hash.update(session);
    hash.update(introduction);
    hash.finalize().into()
}

/// What the close chunk of a reply holds; that of a request is the HMAC alone.
pub(crate) struct ReplyClose {
    pub(crate) time: i64,
    pub(crate) signature: [u8; 64],
    pub(crate) mac: [u8; 32],
}

impl ReplyClose {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.i64(self.time).raw(&self.signature).raw(&self.mac);
        w.finish().expect("every field has a fixed size")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(bytes);
        let close = ReplyClose {
            time: r.i64()?,
            signature: r.array()?,
            mac: r.array()?,
        };
        r.finish()?;
        Ok(close)
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Close, ReplyClose};
    use crate::label::Key;

    const SIGNATURE: [u8; 64] = [5; 64];

    fn close(
        number: u64,
        transcript: &'static [u8; 32],
        digest: &'static [u8; 32],
    ) -> Close<'static> {
        Close {
            number,
            transcript,
            digest,
            answer: None,
        }
    }

    fn reply(
        request: &'static [u8; 32],
        time: i64,
        signature: &'static [u8; 64],
    ) -> Close<'static> {
        Close {
            answer: Some(Answer {
                request,
                time,
                signature,
            }),
            ..close(2, &[1; 32], &[2; 32])
        }
    }

    #[test]
    fn a_close_commits_to_each_part() {
        let key = Key::new([7; 32]);
        let base = close(1, &[1; 32], &[2; 32]);
        let mac = base.seal(&key);
        assert!(base.verify(&key, &mac));
        assert!(!base.verify(&Key::new([8; 32]), &mac));
        for other in [
            close(3, &[1; 32], &[2; 32]),
            close(1, &[9; 32], &[2; 32]),
            close(1, &[1; 32], &[9; 32]),
            reply(&[3; 32], 4, &SIGNATURE),
        ] {
            assert!(!other.verify(&key, &mac));
            assert_ne!(other.extend(&mac), base.extend(&mac));
        }
        assert_ne!(base.extend(&[0; 32]), base.extend(&mac));
    }

    #[test]
    fn the_close_of_a_reply_commits_to_request_and_warrant() {
        let key = Key::new([7; 32]);
        let mac = reply(&[3; 32], 4, &SIGNATURE).seal(&key);
        assert!(reply(&[3; 32], 4, &SIGNATURE).verify(&key, &mac));
        for other in [
            reply(&[9; 32], 4, &SIGNATURE),
            reply(&[3; 32], 9, &SIGNATURE),
            reply(&[3; 32], 4, &[9; 64]),
        ] {
            assert!(!other.verify(&key, &mac));
        }
    }

    #[test]
    fn the_close_of_a_reply_comes_back() {
        let close = ReplyClose {
            time: -1,
            signature: SIGNATURE,
            mac: [6; 32],
        };
        let bytes = close.encode();
        assert_eq!(bytes.len(), 104);
        let back = ReplyClose::decode(&bytes).unwrap();
        assert_eq!(
            (back.time, back.signature, back.mac),
            (-1, SIGNATURE, [6; 32])
        );
        assert!(ReplyClose::decode(&bytes[1..]).is_err());
        assert!(ReplyClose::decode(&[bytes, vec![0]].concat()).is_err());
    }
}
