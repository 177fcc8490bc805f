//! What comes out of a session: events while it lasts, an error at its end.
//!
//! Decides nothing.

use smr_name::Class;

use crate::warrant::Warrant;

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
    #[error("a chunk of a message is empty or too long")]
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
    /// The message is whole and genuine; a reply brings its warrant, verified.
    Close(Option<Warrant>),
}
