//! One folder of one account: placing, listing, opening, raising the state.
//!
//! Its lock is never held while anything is synced, and it shows nobody what a
//! power cut could take back.

use std::fs::File;
use std::sync::{Arc, Mutex};

use smr_name::{Class, EntryName, Head, IdPrefix, MailboxName, MessageId};

use crate::deposit::{Facts, Placed};
use crate::durable::{Disk, DiskError, Spooled};
use crate::group::DirSync;
use crate::index::{Index, Item};
use crate::layout::{self, Folder, Shelf, State};
use crate::stranger::Strangers;

/// How many receipts one reader may give for one message.
const RECEIPTS_EACH: usize = 16;

/// Says why a folder did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum MailboxError {
    /// No message of that id or number is here.
    #[error("no such message in the {} of \"{account}\"", folder.as_str())]
    NoMessage {
        /// Whose folder.
        account: MailboxName,
        /// Which folder.
        folder: Folder,
    },
    /// The id names another message here: other content, or another sender.
    #[error("the id {id} already names another message in the {} of \"{account}\"", folder.as_str())]
    IdUsed {
        /// The id.
        id: MessageId,
        /// Whose folder.
        account: MailboxName,
        /// Which folder.
        folder: Folder,
    },
    /// The reader gave 16 receipts for this message already.
    #[error("\"{reader}\" has given {RECEIPTS_EACH} receipts for {id} already")]
    TooManyReceipts {
        /// Who.
        reader: MailboxName,
        /// For which message.
        id: MessageId,
    },
    /// The number or the time does not fit a name: 12 and 11 digits.
    #[error("number {number} or time {time} does not fit the name of a message")]
    Unwritable {
        /// The number.
        number: u64,
        /// Unix seconds.
        time: i64,
    },
    /// An earlier call panicked while it changed this folder.
    #[error("the {} of \"{account}\" is closed after an internal error", folder.as_str())]
    Poisoned {
        /// Whose folder.
        account: MailboxName,
        /// Which folder.
        folder: Folder,
    },
    /// The disk did not do it.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl MailboxError {
    /// Returns what a caller may conclude.
    pub fn class(&self) -> Class {
        match self {
            MailboxError::NoMessage { .. } => Class::Missing,
            MailboxError::IdUsed { .. } | MailboxError::TooManyReceipts { .. } => Class::Denied,
            MailboxError::Unwritable { .. } | MailboxError::Poisoned { .. } => Class::Broken,
            MailboxError::Disk(error) => error.class(),
        }
    }
}

/// A part of a folder, by rising number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The entries asked for, with their state.
    pub entries: Vec<(EntryName, State)>,
    /// Whether more follow.
    pub more: bool,
    /// How many the whole folder has.
    pub count: u64,
    /// The head after the last entry of the whole folder.
    pub head: Head,
}

/// Which message of a folder is meant.
#[derive(Clone, Copy)]
pub(crate) enum Pick<'a> {
    Number(u64),
    Id(MessageId),
    IdFrom(MessageId, &'a MailboxName),
}

/// An entry that is linked, and perhaps not yet on disk for good.
pub(crate) struct Slot {
    position: usize,
    pub(crate) placed: Placed,
}

/// One folder of one account.
pub(crate) struct Mailbox {
    pub(crate) disk: Arc<Disk>,
    pub(crate) strangers: Arc<Strangers>,
    pub(crate) account: MailboxName,
    pub(crate) folder: Folder,
    // Protects the order of numbers and heads, and where each file lies; read
    // from the directory when first needed.
    index: Mutex<Option<Index>>,
    new: DirSync,
    cur: DirSync,
}

impl Mailbox {
    pub(crate) fn new(
        disk: &Arc<Disk>,
        strangers: &Arc<Strangers>,
        account: &MailboxName,
        folder: Folder,
    ) -> Mailbox {
        Mailbox {
            disk: Arc::clone(disk),
            strangers: Arc::clone(strangers),
            account: account.clone(),
            folder,
            index: Mutex::new(None),
            new: DirSync::default(),
            cur: DirSync::default(),
        }
    }

    /// Returns the entry these facts were placed as before, or none.
    pub(crate) fn placed_before(
        &self,
        size: u64,
        facts: &Facts,
    ) -> Result<Option<Slot>, MailboxError> {
        self.with(|index| self.repeated(index, size, facts))
    }

    /// Links a spooled file into the folder, or finds what an earlier call
    /// linked. It is acknowledged to nobody before `settle`.
    pub(crate) fn place(&self, spooled: &Spooled, facts: &Facts) -> Result<Slot, MailboxError> {
        self.with(|index| {
            if let Some(slot) = self.repeated(index, spooled.size(), facts)? {
                return Ok(slot);
            }
            let entry = next_entry(index, spooled.size(), facts)?;
            let state = self.folder.first_state();
            // Link first: at that instant the message is delivered.
            let path = self.file(&entry, state);
            self.disk.link(spooled.path(), &path)?;
            let position = index.push(entry, state);
            self.slot(index, position, false)
        })
    }

    /// Returns once what `place` returned would survive a power cut.
    pub(crate) fn settle(&self, slot: &Slot) -> Result<(), MailboxError> {
        if self.with(|index| Ok(index.is_settled(slot.position)))? {
            return Ok(());
        }
        self.sync(self.folder.first_state().shelf())?;
        self.with(|index| {
            index.settle(slot.position);
            Ok(())
        })
    }

    /// Lists at most `limit` entries after number `after`.
    pub(crate) fn list(&self, after: u64, limit: usize) -> Result<Listing, MailboxError> {
        self.with(|index| {
            let following = index.shown_after(after);
            let entries = following.iter().take(limit);
            Ok(Listing {
                entries: entries.map(|i| (i.entry.clone(), i.state)).collect(),
                more: following.len() > limit,
                count: index.shown().len() as u64,
                head: index.head(),
            })
        })
    }

    /// Returns the ids here that begin so.
    pub(crate) fn ids(&self, prefix: &IdPrefix) -> Result<Vec<MessageId>, MailboxError> {
        self.with(|index| Ok(index.ids(prefix)))
    }

    /// Returns the entry meant and its state, or none.
    pub(crate) fn entry(&self, pick: Pick) -> Result<Option<(EntryName, State)>, MailboxError> {
        self.with(|index| {
            let item = position(index, pick).and_then(|p| index.item(p));
            Ok(item.map(|item| (item.entry.clone(), item.state)))
        })
    }

    /// Returns the size of all messages here in bytes.
    pub(crate) fn bytes(&self) -> Result<u64, MailboxError> {
        self.with(|index| Ok(index.bytes()))
    }

    /// Opens the message meant.
    pub(crate) fn open(&self, pick: Pick) -> Result<(EntryName, State, File), MailboxError> {
        self.with(|index| {
            let item = position(index, pick).and_then(|p| index.item(p));
            let item = item.ok_or_else(|| self.no_message())?;
            let path = self.file(&item.entry, item.lies);
            let file = self.disk.open_file(&path)?;
            let file = file.ok_or_else(|| self.no_message())?;
            Ok((item.entry.clone(), item.state, file))
        })
    }

    /// Raises the state of the message meant; returns once that would survive
    /// a power cut. A state that is as high already stays.
    pub(crate) fn raise(&self, pick: Pick, state: State) -> Result<(), MailboxError> {
        let moved = self.with(|index| {
            let position = position(index, pick).ok_or_else(|| self.no_message())?;
            let item = index.item_mut(position).ok_or_else(|| self.no_message())?;
            if item.state >= state {
                return Ok(None);
            }
            self.move_up(item, state)?;
            Ok(Some(position))
        })?;
        let Some(position) = moved else {
            return Ok(());
        };
        self.sync(Shelf::Cur)?;
        self.with(|index| {
            let item = index.item_mut(position).ok_or_else(|| self.no_message())?;
            item.state = item.state.max(state);
            if item.old_name {
                // Only now: before the sync a power cut could have taken both.
                self.disk.remove(&self.file(&item.entry, State::New))?;
                item.old_name = false;
            }
            Ok(())
        })
    }

    fn move_up(&self, item: &mut Item, state: State) -> Result<(), MailboxError> {
        if item.lies >= state {
            return Ok(());
        }
        let (from, to) = (
            self.file(&item.entry, item.lies),
            self.file(&item.entry, state),
        );
        if item.lies.shelf() == state.shelf() {
            self.disk.rename(&from, &to)?;
        } else {
            // A second name, not a rename: two directories are two syncs, and
            // a power cut between them must not lose the message.
            self.disk.link(&from, &to)?;
            item.old_name = true;
        }
        item.lies = state;
        Ok(())
    }

    fn repeated(
        &self,
        index: &Index,
        size: u64,
        facts: &Facts,
    ) -> Result<Option<Slot>, MailboxError> {
        let mut others = 0;
        for position in index.with_id(facts.id) {
            let Some(item) = index.item(position) else {
                continue;
            };
            let of_sender = item.entry.sender == facts.sender;
            if of_sender && is_same(&item.entry, size, facts) {
                return self.slot(index, position, true).map(Some);
            }
            others += usize::from(of_sender || self.folder != Folder::Receipts);
        }
        match self.folder {
            Folder::Receipts if others < RECEIPTS_EACH => Ok(None),
            Folder::Receipts => Err(MailboxError::TooManyReceipts {
                reader: facts.sender.clone(),
                id: facts.id,
            }),
            Folder::Inbox | Folder::Sent if others == 0 => Ok(None),
            Folder::Inbox | Folder::Sent => Err(MailboxError::IdUsed {
                id: facts.id,
                account: self.account.clone(),
                folder: self.folder,
            }),
        }
    }

    fn slot(&self, index: &Index, position: usize, repeated: bool) -> Result<Slot, MailboxError> {
        let item = index.item(position).ok_or_else(|| self.no_message())?;
        let placed = Placed {
            mailbox: self.account.clone(),
            folder: self.folder,
            entry: item.entry.clone(),
            head: item.head,
            repeated,
        };
        Ok(Slot { position, placed })
    }

    fn sync(&self, shelf: Shelf) -> Result<(), DiskError> {
        let path = layout::shelf(&self.account, self.folder, shelf);
        match shelf {
            Shelf::New => self.disk.sync_shared(&self.new, &path),
            Shelf::Cur => self.disk.sync_shared(&self.cur, &path),
        }
    }

    pub(crate) fn file(&self, entry: &EntryName, state: State) -> String {
        layout::file(&self.account, self.folder, entry, state)
    }

    fn no_message(&self) -> MailboxError {
        MailboxError::NoMessage {
            account: self.account.clone(),
            folder: self.folder,
        }
    }

    fn with<T>(
        &self,
        act: impl FnOnce(&mut Index) -> Result<T, MailboxError>,
    ) -> Result<T, MailboxError> {
        // Poisoned: disk and index may disagree; a new start reads the disk.
        let mut guard = self.index.lock().map_err(|_| MailboxError::Poisoned {
            account: self.account.clone(),
            folder: self.folder,
        })?;
        let index = match guard.take() {
            Some(index) => index,
            None => self.load()?,
        };
        act(guard.insert(index))
    }
}

fn is_same(entry: &EntryName, size: u64, facts: &Facts) -> bool {
    entry.size == size && entry.sha256 == facts.sha256 && entry.cms == facts.cms
}

fn next_entry(index: &Index, size: u64, facts: &Facts) -> Result<EntryName, MailboxError> {
    let last = index.last().map(|item| &item.entry);
    let entry = EntryName {
        number: last.map_or(1, |last| last.number + 1),
        // A clock set back must not make a mailbox look reordered.
        time: last.map_or(facts.time, |last| facts.time.max(last.time)),
        id: facts.id,
        sender: facts.sender.clone(),
        size,
        sha256: facts.sha256,
        cms: facts.cms,
    };
    if entry.is_writable() {
        Ok(entry)
    } else {
        let (number, time) = (entry.number, entry.time);
        Err(MailboxError::Unwritable { number, time })
    }
}

fn position(index: &Index, pick: Pick) -> Option<usize> {
    match pick {
        Pick::Number(number) => index.shown_with_number(number),
        Pick::Id(id) => index.shown_with_id(id, None),
        Pick::IdFrom(id, sender) => index.shown_with_id(id, Some(sender)),
    }
}
