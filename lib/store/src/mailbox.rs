//! One folder of one account: placing, listing, opening.
//!
//! Its lock is never held while anything is synced, and it shows nobody what a
//! power cut could take back.

use std::sync::{Arc, Condvar};

use smr_name::{Class, EntryName, Head, IdPrefix, MailboxName, MessageId};

use crate::deposit::{Facts, Placed};
use crate::durable::record::Target;
use crate::durable::{Content, Disk, DiskError};
use crate::finding::Findings;
use crate::group::DirSync;
use crate::index::{Index, Usage};
use crate::layout::{self, Folder, Shelf, State};
use crate::memory::{Kept, Memory};
use crate::opened::Opened;

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
            // The clock is wrong; it may be right again.
            MailboxError::Unwritable { .. } => Class::Busy,
            MailboxError::Poisoned { .. } => Class::Broken,
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
    /// The head before the first of the entries, or after the last one that
    /// was passed over.
    pub before: Head,
}

/// Which message of a folder is meant.
#[derive(Clone, Copy)]
pub(crate) enum Pick<'a> {
    Number(u64),
    Id(MessageId),
    IdFrom(MessageId, &'a MailboxName),
}

/// An entry that has its number, and perhaps is not yet on disk for good.
#[derive(Clone)]
pub(crate) struct Slot {
    position: usize,
    pub(crate) placed: Placed,
}

impl Slot {
    /// Returns what the journal says of it.
    pub(crate) fn target(&self) -> Target {
        Target {
            mailbox: self.placed.mailbox.clone(),
            folder: self.placed.folder,
            entry: self.placed.entry.clone(),
        }
    }
}

/// One folder of one account.
pub(crate) struct Mailbox {
    pub(crate) disk: Arc<Disk>,
    pub(crate) findings: Arc<Findings>,
    pub(crate) account: MailboxName,
    pub(crate) folder: Folder,
    memory: Arc<Memory>,
    kept: Arc<Kept>,
    // More of the folder is settled, or never will be.
    settled: Condvar,
    new: DirSync,
    cur: DirSync,
}

impl Mailbox {
    pub(crate) fn new(
        disk: &Arc<Disk>,
        findings: &Arc<Findings>,
        memory: &Arc<Memory>,
        account: &MailboxName,
        folder: Folder,
    ) -> Mailbox {
        Mailbox {
            disk: Arc::clone(disk),
            findings: Arc::clone(findings),
            account: account.clone(),
            folder,
            memory: Arc::clone(memory),
            kept: Arc::default(),
            settled: Condvar::new(),
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

    /// Numbers an entry in the folder, or finds what an earlier call did. It is
    /// acknowledged to nobody before [`Mailbox::settled`]; whoever is given one
    /// that is new settles it or gives it up, and gives it its name, until when
    /// it is read from `content`.
    pub(crate) fn place(
        &self,
        size: u64,
        facts: &Facts,
        content: &Content,
    ) -> Result<Slot, MailboxError> {
        self.with(|index| {
            if let Some(slot) = self.repeated(index, size, facts)? {
                return Ok(slot);
            }
            if index.is_broken() {
                return Err(DiskError::Failed.into());
            }
            let entry = next_entry(index, size, facts)?;
            let state = self.folder.first_state();
            let position = index.push(entry, state);
            index.hold(position, content.clone());
            self.slot(index, position, false)
        })
    }

    /// Returns the name that a placed entry is to have first.
    pub(crate) fn first_file(&self, slot: &Slot) -> String {
        self.file(&slot.placed.entry, self.folder.first_state())
    }

    /// Says that a placed entry has its name.
    pub(crate) fn named(&self, slot: &Slot) -> Result<(), MailboxError> {
        self.with(|index| {
            index.drop_held(slot.position);
            Ok(())
        })
    }

    /// Tells whether the message meant has its name; one that is not here has
    /// nothing to wait for.
    pub(crate) fn is_named(&self, pick: Pick) -> Result<bool, MailboxError> {
        self.with(|index| Ok(position(index, pick).is_none_or(|p| index.held(p).is_none())))
    }

    /// Says that what was placed would survive a power cut.
    pub(crate) fn settle(&self, slot: &Slot) -> Result<(), MailboxError> {
        self.with(|index| {
            if index.settle(slot.position) {
                self.settled.notify_all();
            }
            Ok(())
        })
    }

    /// Says that what was placed may never be on disk, nor what follows it.
    pub(crate) fn give_up(&self) {
        // Poisoned says the same.
        let _ = self.with(|index| {
            index.give_up();
            self.settled.notify_all();
            Ok(())
        });
    }

    /// Returns once what was placed, here and before it, would survive a power
    /// cut.
    pub(crate) fn settled(&self, slot: &Slot) -> Result<(), MailboxError> {
        let mut guard = self.kept.index.lock().map_err(|_| self.poisoned())?;
        loop {
            match guard.as_ref() {
                // Only what is settled, and all of it, is ever forgotten.
                None => return Ok(()),
                Some(index) if index.is_settled(slot.position) => return Ok(()),
                Some(index) if index.is_broken() => return Err(DiskError::Failed.into()),
                Some(_) => {}
            }
            guard = self.settled.wait(guard).map_err(|_| self.poisoned())?;
        }
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
                before: index.head_upto(after),
            })
        })
    }

    /// Returns the states of all entries, by number.
    pub(crate) fn states(&self) -> Result<Vec<State>, MailboxError> {
        self.with(|index| Ok(index.shown().iter().map(|item| item.state).collect()))
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

    /// Returns how many messages are here and their size in bytes, the removed
    /// ones apart.
    pub(crate) fn usage(&self) -> Result<Usage, MailboxError> {
        self.with(|index| Ok(index.usage()))
    }

    /// Returns how much of it one sender deposited.
    pub(crate) fn usage_by(&self, sender: &MailboxName) -> Result<Usage, MailboxError> {
        self.with(|index| Ok(index.usage_by(sender)))
    }

    /// Opens the message meant.
    pub(crate) fn open(&self, pick: Pick) -> Result<(EntryName, State, Opened), MailboxError> {
        self.with(|index| {
            let position = position(index, pick).ok_or_else(|| self.no_message())?;
            let item = index.item(position);
            let item = item.filter(|item| !item.lies.is_removed());
            let item = item.ok_or_else(|| self.no_message())?;
            let path = match index.held(position) {
                Some(Content::Held(bytes)) => {
                    let opened = Opened::held(Arc::clone(bytes));
                    return Ok((item.entry.clone(), item.state, opened));
                }
                Some(Content::File(name)) => name.path().to_owned(),
                None => self.file(&item.entry, item.lies),
            };
            let file = self.disk.open_file(&path)?;
            let file = file.ok_or_else(|| self.no_message())?;
            Ok((item.entry.clone(), item.state, Opened::file(file)))
        })
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

    pub(crate) fn sync(&self, shelf: Shelf) -> Result<(), DiskError> {
        let path = layout::shelf(&self.account, self.folder, shelf);
        match shelf {
            Shelf::New => self.disk.sync_shared(&self.new, &path),
            Shelf::Cur => self.disk.sync_shared(&self.cur, &path),
        }
    }

    pub(crate) fn file(&self, entry: &EntryName, state: State) -> String {
        layout::file(&self.account, self.folder, entry, state)
    }

    fn poisoned(&self) -> MailboxError {
        MailboxError::Poisoned {
            account: self.account.clone(),
            folder: self.folder,
        }
    }

    pub(crate) fn no_message(&self) -> MailboxError {
        MailboxError::NoMessage {
            account: self.account.clone(),
            folder: self.folder,
        }
    }

    pub(crate) fn with<T>(
        &self,
        act: impl FnOnce(&mut Index) -> Result<T, MailboxError>,
    ) -> Result<T, MailboxError> {
        // Poisoned: disk and index may disagree; a new start reads the disk.
        let mut guard = self.kept.index.lock().map_err(|_| self.poisoned())?;
        self.memory.touch(&self.kept);
        let (index, before) = match guard.take() {
            Some(index) => {
                let before = index.len();
                (index, Some(before))
            }
            None => {
                let _reader = self.memory.reader();
                (self.load()?, None)
            }
        };
        let index = guard.insert(index);
        let outcome = act(index);
        let more = index.len() - before.unwrap_or(0);
        let full = self.memory.grew(&self.kept, before.is_none(), more);
        drop(guard);
        if full {
            self.memory.make_room(&self.kept);
        }
        outcome
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

pub(crate) fn position(index: &Index, pick: Pick) -> Option<usize> {
    match pick {
        Pick::Number(number) => index.shown_with_number(number),
        Pick::Id(id) => index.shown_with_id(id, None),
        Pick::IdFrom(id, sender) => index.shown_with_id(id, Some(sender)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Mailbox, MailboxError, Pick, Slot};
    use crate::deposit::Facts;
    use crate::durable::{Content, Disk, DiskError};
    use crate::layout::{Folder, Shelf};
    use crate::store::Store;
    use smr_name::{Class, MailboxName, MessageId};
    use std::io::Read;
    use std::sync::Arc;

    /// Ana's inbox in a new store.
    fn inbox() -> (tempfile::TempDir, Mailbox) {
        let room = tempfile::tempdir().unwrap();
        let ana: MailboxName = "ana".parse().unwrap();
        let path = room.path().join("store");
        let store = Store::create(&path).unwrap();
        store.create_account(&ana, b"ana").unwrap();
        let disk = Arc::new(Disk::open(&path).unwrap());
        let (findings, memory) = (Arc::default(), Arc::default());
        let inbox = Mailbox::new(&disk, &findings, &memory, &ana, Folder::Inbox);
        (room, inbox)
    }

    fn place(inbox: &Mailbox, id: u8) -> Result<Slot, MailboxError> {
        let facts = Facts {
            id: MessageId::from_bytes([id; 16]),
            sender: "rui".parse().unwrap(),
            sha256: [id; 32],
            cms: [1; 32],
            time: 5,
        };
        inbox.place(5, &facts, &Content::Held(Arc::from(*b"hello")))
    }

    #[test]
    fn nothing_is_acknowledged_after_what_was_given_up() {
        let (_room, inbox) = inbox();
        let [first, lost, after] = [1, 2, 3].map(|id| place(&inbox, id).unwrap());
        inbox.settle(&first).unwrap();
        inbox.settle(&after).unwrap();
        inbox.give_up();
        inbox.settled(&first).unwrap();
        for slot in [lost, after] {
            let error = inbox.settled(&slot).unwrap_err();
            assert!(matches!(error, MailboxError::Disk(DiskError::Failed)));
        }
        assert!(place(&inbox, 4).is_err());
        assert_eq!(inbox.list(0, 9).unwrap().count, 1);
    }

    #[test]
    fn what_has_no_name_yet_is_read_where_it_is() {
        let (_room, inbox) = inbox();
        let (slot, first) = (place(&inbox, 1).unwrap(), Pick::Number(1));
        inbox.settle(&slot).unwrap();
        assert!(!inbox.is_named(first).unwrap());
        let (_, _, mut opened) = inbox.open(first).unwrap();
        let mut text = Vec::new();
        opened.read_to_end(&mut text).unwrap();
        assert_eq!(text, b"hello");
        // Named, it is its file, which nobody has made here.
        inbox.named(&slot).unwrap();
        assert!(inbox.is_named(first).unwrap());
        let error = inbox.open(first).map(drop).unwrap_err();
        assert_eq!(error.class(), Class::Missing);
        // What is not here has nothing to wait for.
        assert!(inbox.is_named(Pick::Number(2)).unwrap());
    }

    #[test]
    fn each_shelf_is_synced() {
        let (room, inbox) = inbox();
        let syncs = || {
            let times = inbox.disk.times.read();
            times.buckets.iter().map(|(_, count)| count).sum::<u64>()
        };
        for (shelf, name) in [(Shelf::New, "new"), (Shelf::Cur, "cur")] {
            let before = syncs();
            inbox.sync(shelf).unwrap();
            assert_eq!(syncs(), before + 1);
            let path = room.path().join("store/accounts/ana/inbox").join(name);
            std::fs::remove_dir(path).unwrap();
            assert!(inbox.sync(shelf).is_err());
        }
    }
}
