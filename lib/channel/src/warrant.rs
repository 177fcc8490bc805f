//! Warrants: smrd's signature on a reply, so that a stranger can see that this
//! reply is smrd's, and the answer to this very request.
//!
//! Looks at no request or reply, only at their hashes.

use smr_name::Class;
use smr_note::{Signer, is_signed};

use crate::codec::{CodecError, Reader, Writer};
use crate::label;

/// Says that a warrant is not by smrd or not for this reply.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the warrant on a reply does not verify")]
pub struct WarrantError;

impl WarrantError {
    /// Untrusted: what smrd says does not verify.
    pub fn class(&self) -> Class {
        Class::Untrusted
    }
}

/// smrd's Ed25519 signature on one reply (RFC 8032), with all that it covers;
/// 176 bytes when encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warrant {
    /// The session.
    pub session: [u8; 32],
    /// The reply's number within the session, from 0.
    pub number: u64,
    /// Hash of the request, see [`crate::session::request_hash`].
    pub request: [u8; 32],
    /// Hash of the reply, see [`crate::session::reply_hash`].
    pub reply: [u8; 32],
    /// smrd's clock when it signed, unix seconds.
    pub time: i64,
    /// The signature.
    pub signature: [u8; 64],
}

impl Warrant {
    /// Verifies the signature under smrd's warrant key.
    pub fn verify(&self, warrant_key: &[u8; 32]) -> Result<(), WarrantError> {
        is_signed(&self.to_sign(), &self.signature, warrant_key)
            .then_some(())
            .ok_or(WarrantError)
    }

    /// Signs in place of whatever signature is there.
    pub(crate) fn sign(mut self, key: &Signer) -> Self {
        self.signature = key.sign(&self.to_sign());
        self
    }

    /// Returns what the signature covers.
    pub fn to_sign(&self) -> Vec<u8> {
        label::to_sign(
            label::WARRANT,
            &[
                &self.session,
                &self.number.to_be_bytes(),
                &self.request,
                &self.reply,
                &self.time.to_be_bytes(),
            ],
        )
    }

    /// Returns the warrant as 176 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish().expect("every field has a fixed size")
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.raw(&self.session)
            .u64(self.number)
            .raw(&self.request)
            .raw(&self.reply)
            .i64(self.time)
            .raw(&self.signature);
    }

    /// Reads a warrant; whether it verifies is another question.
    pub fn decode(bytes: &[u8]) -> Result<Warrant, CodecError> {
        let mut r = Reader::new(bytes);
        let warrant = Warrant::read(&mut r)?;
        r.finish()?;
        Ok(warrant)
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Warrant, CodecError> {
        Ok(Warrant {
            session: r.array()?,
            number: r.u64()?,
            request: r.array()?,
            reply: r.array()?,
            time: r.i64()?,
            signature: r.array()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Signer, Warrant, WarrantError};

    fn signed() -> (Warrant, [u8; 32]) {
        let key = Signer::from_seed(&[7; 32]);
        let warrant = Warrant {
            session: [1; 32],
            number: 2,
            request: [3; 32],
            reply: [4; 32],
            time: 5,
            signature: [0; 64],
        };
        (warrant.sign(&key), key.public_key())
    }

    #[test]
    fn a_warrant_verifies_and_comes_back() {
        let (warrant, key) = signed();
        assert_eq!(warrant.verify(&key), Ok(()));
        let bytes = warrant.encode();
        assert_eq!(bytes.len(), 176);
        assert_eq!(Warrant::decode(&bytes), Ok(warrant));
    }

    #[test]
    fn every_bit_counts() {
        let (warrant, key) = signed();
        let bytes = warrant.encode();
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            let other = Warrant::decode(&other).unwrap();
            assert_eq!(other.verify(&key), Err(WarrantError), "byte {at}");
        }
        assert!(warrant.verify(&[9; 32]).is_err());
        assert!(Warrant::decode(&bytes[1..]).is_err());
        assert!(Warrant::decode(&[bytes, vec![0]].concat()).is_err());
    }
}
