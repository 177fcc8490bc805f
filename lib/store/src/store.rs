//! The store as smrd sees it: made, opened, healed, asked.
//!
//! Never verifies what it is given: signatures, hashes and permissions are
//! the caller's.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smr_name::{Class, EntryName, IdPrefix, MailboxName, MessageId};

use crate::durable::journal::Journal;
use crate::durable::replay::replay;
use crate::durable::{Disk, DiskError, Spool};
use crate::finding::{Finding, Findings, Why};
use crate::index::Usage;
use crate::layout::{
    self, ACCOUNTS, FORMAT, FORMAT_BEFORE, FORMAT_TEXT, Folder, JOURNAL, LOCK, State, TMP,
};
use crate::look::Found;
use crate::mailbox::{Listing, MailboxError, Pick};
use crate::maker::Maker;
use crate::opened::Opened;
use crate::registry::{Account, Registry};
use crate::times::SyncTimes;

/// Says why a store cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory to make a store in has something in it.
    #[error("\"{}\" is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// The directory is no store.
    #[error("\"{}\" is not a store", .0.display())]
    NotAStore(PathBuf),
    /// The store has a format this program does not know.
    #[error("\"{}\" has an unknown store format, expected \"smr store 2\"", .0.display())]
    Format(PathBuf),
    /// Another process has the store open.
    #[error("\"{}\" is in use by another smrd", .0.display())]
    InUse(PathBuf),
    /// The disk did not do it.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl OpenError {
    /// Returns what a caller may conclude.
    pub fn class(&self) -> Class {
        match self {
            OpenError::NotEmpty(_) => Class::CannotCreate,
            OpenError::NotAStore(_) | OpenError::Format(_) => Class::Config,
            OpenError::InUse(_) => Class::Busy,
            OpenError::Disk(error) => error.class(),
        }
    }
}

/// Says why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The name belongs to an account already.
    #[error("the name \"{0}\" is taken")]
    Taken(MailboxName),
    /// There is no such account.
    #[error("no mailbox \"{0}\" here")]
    NoMailbox(MailboxName),
    /// The record is no longer the one that was to be replaced.
    #[error("the record of \"{0}\" has changed meanwhile")]
    Stale(MailboxName),
    /// An account keeps so many sealed keys, or none so long.
    #[error("no more sealed keys are kept for \"{0}\"")]
    TooManyKeys(MailboxName),
    /// A folder refused.
    #[error(transparent)]
    Mailbox(#[from] MailboxError),
    /// The disk did not do it.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl StoreError {
    /// Returns what a caller may conclude.
    pub fn class(&self) -> Class {
        match self {
            StoreError::Taken(_) | StoreError::TooManyKeys(_) => Class::Denied,
            StoreError::NoMailbox(_) => Class::NoMailbox,
            StoreError::Stale(_) => Class::Busy,
            StoreError::Mailbox(error) => error.class(),
            StoreError::Disk(error) => error.class(),
        }
    }
}

/// An open store; threads share it by reference.
pub struct Store {
    disk: Arc<Disk>,
    journal: Arc<Journal>,
    maker: Maker,
    findings: Arc<Findings>,
    registry: Registry,
    // Held as long as the store is open: two smrd would claim the same numbers.
    _lock: Lock,
}

impl Store {
    /// Makes a store in a new or empty directory, whose parent exists, and
    /// opens it. Class `CannotCreate` if there is something in it.
    pub fn create(path: &Path) -> Result<Store, OpenError> {
        let disk = Disk::create(path)?;
        // What an interrupted `create` left is taken over.
        let ours =
            |found: &Found| matches!(found.name.as_deref(), Ok(ACCOUNTS | JOURNAL | LOCK | TMP));
        if !disk.names(".")?.iter().all(ours) {
            return Err(OpenError::NotEmpty(path.to_owned()));
        }
        let lock = lock(&disk, path)?;
        for directory in [ACCOUNTS, JOURNAL, TMP] {
            make_sure_of(&disk, directory)?;
        }
        disk.empty(TMP)?;
        // Last: a directory with this file is a store.
        write_format(&disk)?;
        drop(lock);
        Store::open(path)
    }

    /// Opens a store, locks it, and heals what a kill or a power cut left:
    /// `tmp` is emptied, what the journal alone holds gets its files, and what
    /// was written is synced before it is shown.
    /// Class `Config` if it is no store, `Busy` if another process has it.
    pub fn open(path: &Path) -> Result<Store, OpenError> {
        let disk = Arc::new(Disk::open(path)?);
        let format = known_format(&disk, path)?;
        let lock = lock(&disk, path)?;
        disk.empty(TMP)?;
        if format == FORMAT_BEFORE {
            make_sure_of(&disk, JOURNAL)?;
        }
        replay(&disk)?;
        disk.sync_all()?;
        if format == FORMAT_BEFORE {
            // All that was legal then is legal now; an older smrd must not
            // take tombstones for strangers.
            write_format(&disk)?;
        }
        let findings = Arc::new(Findings::default());
        for found in disk.names(".")? {
            if !layout::ROOT.contains(&found.shown().as_str()) {
                findings.add(found.shown(), Why::Name);
            }
        }
        // Only now may it be emptied: all it told of is on disk.
        let journal = Arc::new(Journal::open(&disk)?);
        Ok(Store {
            maker: Maker::new(&disk, &journal),
            journal,
            registry: Registry::load(&disk, &findings)?,
            disk,
            findings,
            _lock: lock,
        })
    }

    pub(crate) fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    pub(crate) fn maker(&self) -> &Maker {
        &self.maker
    }

    pub(crate) fn report(&self, path: String, why: Why) {
        self.findings.add(path, why);
    }

    /// Returns the strangers found since the last call: those of the store
    /// and its accounts when it was opened, those of a folder whenever it is read.
    pub fn findings(&self) -> Vec<Finding> {
        self.findings.take()
    }

    /// Tells whether a write has failed, so that nothing is taken any more.
    pub fn has_failed(&self) -> bool {
        self.disk.has_failed()
    }

    /// Returns how many messages are in the journal and wait for their names;
    /// the one being named is not counted.
    pub fn unnamed(&self) -> usize {
        self.maker.waiting()
    }

    /// Returns how long syncs have taken since the store was opened.
    pub fn sync_times(&self) -> SyncTimes {
        self.disk.times.read()
    }

    /// Keeps at most so many entries of folders in memory, some 250 bytes each,
    /// where no folder has more alone; [`crate::MOST_IN_MEMORY`] if this is not called.
    pub fn keep_in_memory(&self, entries: usize) {
        self.registry.memory().keep(entries);
    }

    /// Returns how many entries of folders are in memory.
    pub fn in_memory(&self) -> usize {
        self.registry.memory().entries()
    }

    /// Tells whether there is such an account.
    pub fn has_account(&self, name: &MailboxName) -> bool {
        self.registry.find(name).is_some()
    }

    /// Returns at most `limit` account names after `after`, by name.
    pub fn accounts(&self, after: Option<&MailboxName>, limit: usize) -> Vec<MailboxName> {
        self.registry.names(after, limit)
    }

    /// Returns an account's record; none where there is no such account.
    pub fn record(&self, name: &MailboxName) -> Result<Option<Vec<u8>>, StoreError> {
        let account = self.registry.find(name);
        account.map(|a| a.record(&self.disk)).transpose()
    }

    /// Makes an account; returns once it is on disk. Class `Denied` if the
    /// name is taken.
    pub fn create_account(&self, name: &MailboxName, record: &[u8]) -> Result<(), StoreError> {
        self.registry.create(name, record)
    }

    /// Replaces a record that is still `old` by `new`; returns once that is on
    /// disk. Class `Busy` if another call was faster: read and judge again.
    pub fn replace_record(
        &self,
        name: &MailboxName,
        old: &[u8],
        new: &[u8],
    ) -> Result<(), StoreError> {
        self.account(name)?.replace_record(&self.disk, old, new)
    }

    /// Begins a file to deposit. Class `Busy` for a full disk, `Io` after a
    /// write has failed.
    pub fn spool(&self) -> Result<Spool, StoreError> {
        Ok(Spool::new(&self.disk)?)
    }

    /// Lists at most `limit` entries of a folder after number `after`.
    pub fn list(
        &self,
        mailbox: &MailboxName,
        folder: Folder,
        after: u64,
        limit: usize,
    ) -> Result<Listing, StoreError> {
        Ok(self.account(mailbox)?.folder(folder).list(after, limit)?)
    }

    /// Returns the states of all entries of a folder, by number.
    pub fn states(&self, mailbox: &MailboxName, folder: Folder) -> Result<Vec<State>, StoreError> {
        Ok(self.account(mailbox)?.folder(folder).states()?)
    }

    /// Returns every message of inbox and sent folder whose id begins so.
    pub fn find(
        &self,
        mailbox: &MailboxName,
        prefix: &IdPrefix,
    ) -> Result<Vec<(Folder, MessageId)>, StoreError> {
        let account = self.account(mailbox)?;
        let mut found = Vec::new();
        for folder in [Folder::Inbox, Folder::Sent] {
            let ids = account.folder(folder).ids(prefix)?;
            found.extend(ids.into_iter().map(|id| (folder, id)));
        }
        Ok(found)
    }

    /// Returns an entry and its state; with `reader`, only one by that
    /// depositor. Of several receipts, the last.
    pub fn entry(
        &self,
        mailbox: &MailboxName,
        folder: Folder,
        id: MessageId,
        reader: Option<&MailboxName>,
    ) -> Result<Option<(EntryName, State)>, StoreError> {
        Ok(self
            .account(mailbox)?
            .folder(folder)
            .entry(pick(id, reader))?)
    }

    /// Returns the entry in a mailbox's inbox that `sender` deposited as `id`.
    pub fn entry_by_sender(
        &self,
        mailbox: &MailboxName,
        sender: &MailboxName,
        id: MessageId,
    ) -> Result<Option<(EntryName, State)>, StoreError> {
        self.entry(mailbox, Folder::Inbox, id, Some(sender))
    }

    /// Opens a message; picks as `entry` does. Class `Missing` if absent.
    pub fn open_message(
        &self,
        mailbox: &MailboxName,
        folder: Folder,
        id: MessageId,
        reader: Option<&MailboxName>,
    ) -> Result<(EntryName, State, Opened), StoreError> {
        Ok(self
            .account(mailbox)?
            .folder(folder)
            .open(pick(id, reader))?)
    }

    /// Opens the message with this number. Class `Missing` if absent.
    pub fn open_number(
        &self,
        mailbox: &MailboxName,
        folder: Folder,
        number: u64,
    ) -> Result<(EntryName, State, Opened), StoreError> {
        let account = self.account(mailbox)?;
        Ok(account.folder(folder).open(Pick::Number(number))?)
    }

    /// Returns at most the first `length` bytes of the message with this
    /// number. Class `Missing` if absent.
    pub fn peek(
        &self,
        mailbox: &MailboxName,
        folder: Folder,
        number: u64,
        length: u32,
    ) -> Result<Vec<u8>, StoreError> {
        let (entry, state, file) = self.open_number(mailbox, folder, number)?;
        let mut first = Vec::new();
        file.take(length.into())
            .read_to_end(&mut first)
            .map_err(|error| {
                let path = layout::file(mailbox, folder, &entry, state);
                self.disk.io_error("read", &path, &error)
            })?;
        Ok(first)
    }

    /// Records that the reader has fetched a message of his inbox; returns
    /// once that is on disk.
    pub fn mark_fetched(&self, mailbox: &MailboxName, id: MessageId) -> Result<(), StoreError> {
        self.raise(mailbox, Folder::Inbox, Pick::Id(id), State::Fetched)
    }

    /// Records that the reader has read a message of his inbox; returns once
    /// that is on disk.
    pub fn mark_read(&self, mailbox: &MailboxName, id: MessageId) -> Result<(), StoreError> {
        self.raise(mailbox, Folder::Inbox, Pick::Id(id), State::Read)
    }

    /// Raises the state of the entry with this number in any folder; returns
    /// once that is on disk. For receipts, of which one id may have several.
    pub fn mark_number(
        &self,
        mailbox: &MailboxName,
        folder: Folder,
        number: u64,
        state: State,
    ) -> Result<(), StoreError> {
        self.raise(mailbox, folder, Pick::Number(number), state)
    }

    /// Removes a message of inbox or sent folder and leaves a tombstone: its
    /// name stays in the listing and in the head, its bytes go. Returns once
    /// that is on disk; repeating it is safe. Class `Missing` if absent.
    pub fn remove(
        &self,
        mailbox: &MailboxName,
        folder: Folder,
        id: MessageId,
    ) -> Result<(), StoreError> {
        let account = self.account(mailbox)?;
        Ok(account.folder(folder).remove(&self.maker, Pick::Id(id))?)
    }

    /// Returns how many messages an account has and their size, its own copies
    /// and receipts included.
    pub fn usage(&self, mailbox: &MailboxName) -> Result<Usage, StoreError> {
        let account = self.account(mailbox)?;
        Folder::ALL
            .into_iter()
            .try_fold(Usage::default(), |sum, folder| {
                Ok(sum.plus(account.folder(folder).usage()?))
            })
    }

    /// Returns how much of a folder one sender, or reader, deposited.
    pub fn usage_by(
        &self,
        mailbox: &MailboxName,
        folder: Folder,
        sender: &MailboxName,
    ) -> Result<Usage, StoreError> {
        Ok(self.account(mailbox)?.folder(folder).usage_by(sender)?)
    }

    pub(crate) fn account(&self, name: &MailboxName) -> Result<Arc<Account>, StoreError> {
        let account = self.registry.find(name);
        account.ok_or_else(|| StoreError::NoMailbox(name.clone()))
    }

    fn raise(
        &self,
        mailbox: &MailboxName,
        folder: Folder,
        pick: Pick,
        state: State,
    ) -> Result<(), StoreError> {
        let account = self.account(mailbox)?;
        Ok(account.folder(folder).raise(&self.maker, pick, state)?)
    }
}

fn pick(id: MessageId, reader: Option<&MailboxName>) -> Pick<'_> {
    reader.map_or(Pick::Id(id), |reader| Pick::IdFrom(id, reader))
}

impl Drop for Store {
    fn drop(&mut self) {
        self.maker.end();
        self.journal.close();
    }
}

/// Returns what the store's format file says, if it is a format known here.
pub(crate) fn known_format(disk: &Disk, path: &Path) -> Result<Vec<u8>, OpenError> {
    let format = disk.read_file(FORMAT)?;
    let format = format.ok_or_else(|| OpenError::NotAStore(path.to_owned()))?;
    match format == FORMAT_TEXT || format == FORMAT_BEFORE {
        true => Ok(format),
        false => Err(OpenError::Format(path.to_owned())),
    }
}

fn make_sure_of(disk: &Disk, directory: &str) -> Result<(), DiskError> {
    match disk.make_directory(directory) {
        Ok(()) | Err(DiskError::Exists { .. }) => disk.sync_directory(directory),
        Err(error) => Err(error),
    }
}

fn write_format(disk: &Disk) -> Result<(), DiskError> {
    let made = format!("{TMP}/{FORMAT}");
    disk.write_file(&made, FORMAT_TEXT)?;
    disk.rename(&made, FORMAT)?;
    disk.sync_directory(".")
}

struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that another thread has forked, and
        // that has not yet called exec, shares the lock.
        let _ = self.0.unlock();
    }
}

fn lock(disk: &Disk, path: &Path) -> Result<Lock, OpenError> {
    let file = disk.lock_file(LOCK)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(DiskError::Io {
            operation: "lock",
            path: path.join(LOCK),
            source,
        }
        .into()),
    }
}
