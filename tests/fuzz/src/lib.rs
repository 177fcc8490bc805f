//! What each fuzz target does with its bytes.
//!
//! A target may refuse them in any way but by a panic. Whatever is read is
//! written again and must be the same where the format has one form only.

mod deep;
mod disk;
mod evidence;
mod hop;
mod settings;

pub use deep::{DEEP, recipient, seeds};
pub use disk::{client_journal, journal, key_ring, known, shelf};
pub use evidence::*;
pub use hop::*;
pub use settings::*;

/// The text of a target whose input is text; what is not UTF-8 is skipped.
fn text(data: &[u8]) -> &str {
    std::str::from_utf8(data).unwrap_or_default()
}
