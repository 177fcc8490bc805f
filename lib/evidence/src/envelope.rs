//! Envelopes: a message, signed as S/MIME `multipart/signed` (RFC 8551) with
//! its headers inside (RFC 9788), then sealed as one age file.
//!
//! Holds no part of a message in memory, whatever its size; shows nothing of
//! one before its signature has verified; says nothing of whether the signer
//! may be believed: `reading` does.

mod address;
mod block;
mod draft;
mod mail;
mod message;
mod param;
mod read;
mod scan;
mod transfer;
mod unseal;
mod walk;
mod word;
mod write;

use std::io;

use smr_name::Class;
use smr_pki::cms::CmsError;
use smr_seal::SealError;

pub use draft::{Author, Draft, Part, ReceiptWanted};
pub use mail::{Entity, Mail, read_mail};
pub use message::{Headers, PartInfo};
pub use read::{
    Emit, Opened, check_addressed, check_author, emit, emit_plain, peek, reseal, verify,
    verify_plain,
};
pub use unseal::{Unwrap, UnwrapError};
pub use word::encode as header_text;
pub use write::{Sealed, seal};

pub(crate) use unseal::{seal_bytes, unseal_bytes};

/// The longest header of a message or of one of its parts, in bytes.
pub const MAX_HEADER: usize = 256 * 1024;
/// The largest CMS SignedData, in bytes.
pub const MAX_CMS: usize = 1024 * 1024;
/// The most parts of a message, at any depth.
pub const MAX_PARTS: usize = 10_000;
/// The deepest nesting of multiparts.
pub const MAX_DEPTH: usize = 16;
/// The longest line, in bytes without its CRLF (RFC 5322, 2.1.1).
pub const MAX_LINE: usize = 998;
/// The longest age header, in bytes: some 1,300 post-quantum recipients.
pub const MAX_SEAL_HEADER: usize = 2 * 1024 * 1024;
/// How much of a sealed file [`peek`] needs in most cases, in bytes: one
/// chunk of age (64 KiB), and the age header of some twenty recipients.
pub const PEEK: u32 = 96 * 1024;
/// How much [`peek`] needs of a file sealed to a crowd, in bytes: the longest
/// age header, and one chunk.
pub const LONG_PEEK: u32 = MAX_SEAL_HEADER as u32 + 128 * 1024;

/// Says why an envelope was not made, not opened, or not believed.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The draft cannot be written.
    #[error("cannot write this message: {0}")]
    Draft(&'static str),
    /// There is nobody to seal to, or keys of two kinds.
    #[error(transparent)]
    Recipients(SealError),
    /// Reading failed.
    #[error("reading {what}: {source}")]
    Read {
        /// What was read.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Writing failed; a broken pipe among others.
    #[error("writing {what}: {source}")]
    Write {
        /// What was written.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The sealed file was altered, cut, or never was one.
    #[error("the sealed file is damaged")]
    Damaged,
    /// No key of the reader's opens it.
    #[error("sealed for somebody else, or for a key no longer in the key ring")]
    NotForUs,
    /// The keys could not be asked.
    #[error(transparent)]
    Keys(#[from] UnwrapError),
    /// What was sealed is not a message of ours.
    #[error("not an acceptable signed message: {0}")]
    Structure(&'static str),
    /// The signature is wrong, or was not made.
    #[error(transparent)]
    Cms(#[from] CmsError),
    /// The signed headers and the signature contradict one another.
    #[error("the signed headers do not fit: {0}")]
    Headers(&'static str),
    /// The file changed after it was verified.
    #[error("the message changed after it was verified")]
    Changed,
    /// There is no part of that number.
    #[error("the message has no part {0:?}")]
    NoPart(String),
    /// The beginning of the file is too short to open it.
    #[error("more of the sealed file is needed to open its beginning")]
    Short,
}

/// Returns the class of a failed read or write: a full disk may have room later.
pub(crate) fn io_class(error: &io::Error) -> Class {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => Class::Busy,
        _ => Class::Io,
    }
}

impl EnvelopeError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            EnvelopeError::Recipients(SealError::Mixed) => Class::Denied,
            EnvelopeError::Draft(_) | EnvelopeError::Recipients(_) => Class::Usage,
            EnvelopeError::Read { source, .. } | EnvelopeError::Write { source, .. } => {
                io_class(source)
            }
            EnvelopeError::Keys(error) => error.class,
            EnvelopeError::Cms(CmsError::Signer(_)) => Class::Unavailable,
            EnvelopeError::NoPart(_) | EnvelopeError::Short => Class::Missing,
            EnvelopeError::Damaged
            | EnvelopeError::NotForUs
            | EnvelopeError::Structure(_)
            | EnvelopeError::Cms(_)
            | EnvelopeError::Headers(_)
            | EnvelopeError::Changed => Class::Forged,
        }
    }
}
