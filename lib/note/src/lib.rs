//! What a repository signs with Ed25519: notes (C2SP signed-note), and the
//! succession of its own keys.
//!
//! Does no I/O, reads no clock; knows nothing of mail.

pub mod lines;
mod note;
pub mod succession;

pub use note::{
    MAX_NOTE, NoteError, Signer, is_signature, line, open, public_key, sign, signature_over,
    verifier_key,
};
