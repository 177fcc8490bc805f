//! The handshake: Noise XKpsk0+psk3 with ML-KEM-768 to smrd's static key and to
//! a fresh one, three frames, after which both sides hold a [`Session`].
//!
//! Verifies no signature of a device: what it hands over is an introduction,
//! which smrd believes only after it has checked it.

use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use smr_name::{Class, MailboxName};

use crate::codec::{CodecError, Reader, Writer};
use crate::identity::{Identity, ServerKeys};
use crate::label;
use crate::session::Session;

pub use crate::suite::Suite;

/// Says why a handshake failed; each failure is final.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HandshakeError {
    /// A frame is not what it should be, or not from whom.
    #[error("the handshake does not verify")]
    Forged,
    /// Nothing offered is something we have, or nothing was offered.
    #[error("no suite in common")]
    NoSuite,
    /// What we were given to say is too large or no key.
    #[error("the handshake was given something it cannot use")]
    Misused,
}

impl HandshakeError {
    /// Tells our own fault from the peer's.
    pub fn class(&self) -> Class {
        match self {
            HandshakeError::Forged => Class::Untrusted,
            HandshakeError::NoSuite => Class::Config,
            HandshakeError::Misused => Class::Broken,
        }
    }
}

/// What a client says of itself in the third frame; its encoding counts as the
/// session's first request. At most 60,000 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// A device of an account that smrd knows.
    Login {
        /// Whose device.
        account: MailboxName,
        /// Fingerprint of the device's certificate.
        device: [u8; 32],
        /// The device's signature over [`Introduction::login_to_sign`].
        signature: Vec<u8>,
    },
    /// A device that brings its account record: a new account, or a new device.
    Enrol {
        /// The account record.
        record: Vec<u8>,
        /// The device's signature over [`Introduction::enrol_to_sign`].
        signature: Vec<u8>,
    },
}

const LOGIN: u8 = 1;
const ENROL: u8 = 2;

impl Introduction {
    /// Returns what a device signs to log in; `hash` is the handshake's after
    /// the second frame.
    pub fn login_to_sign(hash: &[u8; 32], account: &MailboxName, device: &[u8; 32]) -> Vec<u8> {
        label::to_sign(label::LOGIN, &[hash, account.as_str().as_bytes(), device])
    }

    /// Returns what a device signs to enrol: the same, and the SHA-256 of the
    /// record.
    pub fn enrol_to_sign(
        hash: &[u8; 32],
        account: &MailboxName,
        device: &[u8; 32],
        record: &[u8],
    ) -> Vec<u8> {
        let record = Sha256::digest(record);
        label::to_sign(
            label::ENROL,
            &[hash, account.as_str().as_bytes(), device, &record],
        )
    }

    /// Returns the introduction as bytes.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut w = Writer::new();
        match self {
            Introduction::Login {
                account,
                device,
                signature,
            } => w
                .u8(LOGIN)
                .text("mailbox", account)
                .raw(device)
                .bytes("signature", signature),
            Introduction::Enrol { record, signature } => w
                .u8(ENROL)
                .long("record", record)
                .bytes("signature", signature),
        };
        w.finish()
    }

    /// Reads an introduction.
    pub fn decode(bytes: &[u8]) -> Result<Introduction, CodecError> {
        let mut r = Reader::new(bytes);
        let introduction = match r.u8()? {
            LOGIN => Introduction::Login {
                account: r.parse("mailbox")?,
                device: r.array()?,
                signature: r.bytes()?.to_vec(),
            },
            ENROL => Introduction::Enrol {
                record: r.long()?.to_vec(),
                signature: r.bytes()?.to_vec(),
            },
            _ => return Err(CodecError::Value("kind of introduction")),
        };
        r.finish()?;
        Ok(introduction)
    }
}

/// The client, its first frame sent.
pub struct Initiator {}

/// The client, smrd proven, about to introduce itself.
pub struct Introducing {}

/// smrd, its frame sent.
pub struct Responder {}

impl Initiator {
    /// Begins a session with the repository of `identity`, offering `suites` in
    /// order of preference; returns the first frame, without its length.
    pub fn start(
        _identity: &Identity,
        _suites: &[Suite],
        _rng: &mut dyn CryptoRngCore,
    ) -> Result<(Initiator, Vec<u8>), HandshakeError> {
        Err(HandshakeError::Misused)
    }

    /// Takes smrd's frame; returns the handshake hash for the device to sign.
    pub fn answer(self, _frame: &[u8]) -> Result<(Introducing, [u8; 32]), HandshakeError> {
        Err(HandshakeError::Misused)
    }
}

impl Introducing {
    /// Returns the suite that smrd chose.
    pub fn suite(&self) -> Suite {
        Suite::ChaChaPoly
    }

    /// Introduces the client; returns the third frame and the session, whose
    /// first message will be smrd's reply to the introduction.
    pub fn finish(
        self,
        _introduction: &Introduction,
        _now: i64,
    ) -> Result<(Vec<u8>, Session), HandshakeError> {
        Err(HandshakeError::Misused)
    }
}

impl Responder {
    /// Takes a client's first frame; chooses the first suite of `preference`
    /// that it offers ([`Suite::ALL`] is the usual order). Returns the second
    /// frame.
    pub fn accept(
        _keys: &ServerKeys,
        _preference: &[Suite],
        _frame: &[u8],
        _rng: &mut dyn CryptoRngCore,
    ) -> Result<(Responder, Vec<u8>), HandshakeError> {
        Err(HandshakeError::Misused)
    }

    /// Returns the handshake hash that the client's device signs.
    pub fn hash(&self) -> [u8; 32] {
        [0; 32]
    }

    /// Takes the third frame; returns the introduction, not yet believed, and
    /// the session, in which the reply to the introduction is due.
    pub fn finish(
        self,
        _frame: &[u8],
        _now: i64,
    ) -> Result<(Introduction, Session), HandshakeError> {
        Err(HandshakeError::Misused)
    }
}
