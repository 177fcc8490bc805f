//! The hash of a message: the same however its body was cut into chunks, so
//! that a third party can recompute it from head and body.
//!
//! Holds no key.

use sha2::Digest as _;
use sha2::Sha256;

use crate::label;

const HEAD: u8 = 1;
const BODY: u8 = 2;

/// Hashes one message as it streams by: SHA-256 of the label, a zero byte, 1,
/// the head after its length of 4 bytes, 2, the body, and the body's length in
/// 8 bytes.
#[derive(Clone)]
pub struct Digest {
    hash: Sha256,
    body: u64,
}

impl Digest {
    /// Begins the hash of a request.
    pub fn request(head: &[u8]) -> Self {
        Digest::new(label::REQUEST, head)
    }

    /// Begins the hash of a reply.
    pub fn reply(head: &[u8]) -> Self {
        Digest::new(label::REPLY, head)
    }

    fn new(label: &str, head: &[u8]) -> Self {
        let length = u32::try_from(head.len()).expect("heads are far below 4 GiB");
        let mut hash = Sha256::new();
        hash.update(label.as_bytes());
        hash.update([0, HEAD]);
        hash.update(length.to_be_bytes());
        hash.update(head);
        hash.update([BODY]);
        Digest { hash, body: 0 }
    }

    /// Adds a part of the body.
    pub fn body(&mut self, part: &[u8]) {
        self.hash.update(part);
        self.body = self.body.saturating_add(part.len() as u64);
    }

    /// Returns the hash, 32 bytes.
    pub fn finish(mut self) -> [u8; 32] {
        self.hash.update(self.body.to_be_bytes());
        self.hash.finalize().into()
    }
}

/// Returns the hash of a request.
pub fn request_hash(head: &[u8], body: &[u8]) -> [u8; 32] {
    let mut digest = Digest::request(head);
    digest.body(body);
    digest.finish()
}

/// Returns the hash of a reply.
pub fn reply_hash(head: &[u8], body: &[u8]) -> [u8; 32] {
    let mut digest = Digest::reply(head);
    digest.body(body);
    digest.finish()
}

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::{Digest, reply_hash, request_hash};

    #[test]
    fn anyone_can_recompute_it() {
        let bytes = b"smr request 1\0\x01\0\0\0\x04head\x02body\0\0\0\0\0\0\0\x04";
        let expected: [u8; 32] = sha2::Sha256::digest(bytes).into();
        assert_eq!(request_hash(b"head", b"body"), expected);
    }

    #[test]
    fn chunking_does_not_show() {
        let mut digest = Digest::reply(b"head");
        for byte in b"body" {
            digest.body(&[*byte]);
        }
        assert_eq!(digest.finish(), reply_hash(b"head", b"body"));
    }

    #[test]
    fn nothing_moves_between_head_body_and_kind() {
        let base = request_hash(b"head", b"body");
        for other in [
            reply_hash(b"head", b"body"),
            request_hash(b"headb", b"ody"),
            request_hash(b"head", b""),
            request_hash(b"head", b"body\0"),
        ] {
            assert_ne!(base, other);
        }
    }
}
