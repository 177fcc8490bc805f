//! A session after its handshake: strictly one request, one reply, each a run
//! of authenticated chunks, under a key that is never used twice.
//!
//! Holds no message: bodies stream through. What comes out before a close has
//! verified is provisional; nobody may act on it.

use rand_core::CryptoRngCore;
use smr_name::Class;

use crate::identity::ServerKeys;
use crate::reply::Reply;
use crate::request::Request;
use crate::warrant::Warrant;

pub use crate::digest::{Digest, reply_hash, request_hash};
pub use crate::record::MAX_CHUNK;

/// Seconds of use after which a client renews the session key.
pub const RENEW_AFTER: i64 = 120;

/// Seconds of use after which smrd serves nothing but a renewal.
pub const OVERDUE_AFTER: i64 = 300;

/// Says why a session is over; each of these ends it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SessionError {
    /// A record, its order, its close or its warrant is not the peer's.
    #[error("a record of the session does not verify")]
    Forged,
    /// The peer says something that is not due.
    #[error("the peer said something out of turn")]
    OutOfTurn,
    /// We were asked to say something that is not due.
    #[error("the session was used out of turn")]
    Misused,
    /// A head or a part of a body is empty or over `MAX_CHUNK`.
    #[error("a chunk has 1 to {MAX_CHUNK} bytes")]
    Size,
    /// The client did not renew the session key in time.
    #[error("the session key was not renewed in time")]
    Overdue,
    /// A renewal is not one.
    #[error("a renewal of the session key does not verify")]
    Renewal,
    /// An error has ended the session before.
    #[error("the session has ended")]
    Over,
}

impl SessionError {
    /// Tells our own fault from the peer's.
    pub fn class(&self) -> Class {
        match self {
            SessionError::Misused | SessionError::Size => Class::Broken,
            SessionError::Over => Class::Busy,
            _ => Class::Untrusted,
        }
    }
}

/// What a frame of the peer brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A message begins: the encoded request or reply.
    Head(Vec<u8>),
    /// A part of its body.
    Body(Vec<u8>),
    /// The message is whole and genuine; a reply brings its warrant.
    Close(Option<Warrant>),
}

/// One side of a session; any error ends it and wipes its keys.
pub struct Session {}

impl Session {
    /// Returns the session's id, 32 bytes, the same on both sides.
    pub fn id(&self) -> &[u8; 32] {
        &[0; 32]
    }

    /// Begins a message; returns the frame to send. The head has 1 to
    /// `MAX_CHUNK` bytes.
    pub fn send_head(&mut self, _head: &[u8]) -> Result<Vec<u8>, SessionError> {
        Err(SessionError::Over)
    }

    /// Continues a message by 1 to `MAX_CHUNK` bytes of body; returns the frame.
    pub fn send_body(&mut self, _part: &[u8]) -> Result<Vec<u8>, SessionError> {
        Err(SessionError::Over)
    }

    /// Ends a request (client); returns the frame.
    pub fn close_request(&mut self) -> Result<Vec<u8>, SessionError> {
        Err(SessionError::Over)
    }

    /// Ends a reply with its warrant (smrd); `now` in unix seconds. Returns the
    /// frame.
    pub fn close_reply(&mut self, _keys: &ServerKeys, _now: i64) -> Result<Vec<u8>, SessionError> {
        Err(SessionError::Over)
    }

    /// Takes a frame of the peer.
    pub fn receive(&mut self, _frame: &[u8]) -> Result<Event, SessionError> {
        Err(SessionError::Over)
    }

    /// Tells whether the client must renew the session key before its next
    /// request.
    pub fn renewal_due(&self, _now: i64) -> bool {
        true
    }

    /// Tells whether smrd must refuse any request but a renewal.
    pub fn overdue(&self, _now: i64) -> bool {
        true
    }

    /// Makes the request that renews the session key (client); to be sent next.
    pub fn renew(&mut self, _rng: &mut dyn CryptoRngCore) -> Result<Request, SessionError> {
        Err(SessionError::Over)
    }

    /// Answers a renewal that has been received whole (smrd); the reply is to be
    /// sent next, and the new key holds from its close on.
    pub fn answer_renewal(
        &mut self,
        _request: &Request,
        _rng: &mut dyn CryptoRngCore,
    ) -> Result<Reply, SessionError> {
        Err(SessionError::Over)
    }

    /// Finishes a renewal whose reply has been received whole (client).
    pub fn renewed(&mut self, _reply: &Reply, _now: i64) -> Result<(), SessionError> {
        Err(SessionError::Over)
    }

    /// Tells whether it is our turn to begin a message.
    pub fn is_my_turn(&self) -> bool {
        false
    }

    /// Tells whether an error has ended the session.
    pub fn is_over(&self) -> bool {
        true
    }
}
