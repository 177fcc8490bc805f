//! What a repository signs with Ed25519: notes (C2SP signed-note), and the
//! succession of its own keys.
//!
//! Does no I/O, reads no clock; knows nothing of mail.

mod key;
pub mod lines;
mod note;
pub mod succession;

pub use key::{Signer, is_signed, public_key};
pub use note::{MAX_NOTE, NoteError, line, open, sign, signature_over, verifier_key};
