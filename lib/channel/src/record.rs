//! Records: one chunk of a message, sealed under the key of that message.
//!
//! Knows nothing of turns or of what a message says.

/// The longest head or part of a body, in bytes.
pub const MAX_CHUNK: usize = 60 * 1024;
