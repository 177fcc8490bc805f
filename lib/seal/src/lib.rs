//! Age recipients and identities (C2SP age): to whom an envelope is sealed.
//! Post-quantum ones (`mlkem768x25519`), which the age crate does not have,
//! are built here; classic ones are age's own.
//!
//! Knows neither mail nor people, opens no file, keeps no key. What it holds of
//! a secret it wipes; states that the crates of hashes have of one, on the
//! stack, it cannot: who holds keys for long has no core file and no swap.

mod bech;
mod hpke;
mod identity;
mod pq;
mod recipient;
mod xwing;

pub use age_core::format::Stanza;
pub use identity::{FileKey, Identity, unwrap};
pub use pq::{PqIdentity, PqRecipient};
pub use recipient::{Kind, MAX_RECIPIENTS, Recipient, check_unmixed};

/// Says why a key, or the header of a sealed file, cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// Not the text of a recipient.
    #[error("not an age recipient, expected \"age1pq1...\" or \"age1...\"")]
    Recipient,
    /// Not the text of an identity; the text itself is never shown.
    #[error("not an age identity, expected \"AGE-SECRET-KEY-PQ-1...\" or \"AGE-SECRET-KEY-1...\"")]
    Identity,
    /// Nobody to seal to.
    #[error("no recipients")]
    NoRecipients,
    /// Post-quantum and classic recipients together: the weaker kind decides.
    #[error("post-quantum and classic recipients in one sealed file")]
    Mixed,
    /// More recipients than one sealed file takes.
    #[error("more than 1000 recipients in one sealed file")]
    TooMany,
    /// A stanza of a known kind that no correct program writes.
    #[error("malformed recipient stanza")]
    Stanza,
}
