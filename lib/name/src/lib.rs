//! Checked names: what may be called what, in text, on the wire and on disk.
//!
//! Holds no secret, does no I/O, imports no other room.

mod address;
mod class;
mod entry;
mod fingerprint;
mod mailbox;
mod message;

pub use address::{Address, AddressError};
pub use class::Class;
pub use entry::{EntryError, EntryName, Head};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use mailbox::{MailboxName, NameError, RepositoryName};
pub use message::{IdError, IdPrefix, MessageId};
