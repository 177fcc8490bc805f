//! Mailboxes on disk: bytes in, bytes out (smr-store(5)).
//!
//! Opens no envelope, holds no secret, knows no protocol. Nothing is
//! acknowledged before it would survive a power cut, and only `durable`
//! writes, links, renames and syncs.

mod deposit;
mod durable;
mod finding;
mod fsck;
mod group;
mod index;
mod keys;
mod layout;
mod load;
mod look;
mod mailbox;
mod maker;
mod mark;
mod memory;
mod opened;
mod registry;
mod store;
/// What `group` and `durable::journal` wait with: tests/loom has them run in every
/// order.
mod sync {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
}
mod times;

pub use deposit::{Facts, Placed};
pub use durable::{DiskError, Spool, Spooled};
pub use finding::{Finding, Why};
pub use fsck::{Summary, fsck};
pub use index::Usage;
pub use keys::{KeyName, MAX_KEY, MAX_KEYS};
pub use layout::{Folder, State};
pub use mailbox::{Listing, MailboxError};
pub use memory::MOST_IN_MEMORY;
pub use opened::Opened;
pub use registry::records;
pub use store::{OpenError, Store, StoreError};
pub use times::SyncTimes;
