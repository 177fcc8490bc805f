//! The accounts of a store and their records.
//!
//! An account is its directory with a record in it, renamed into place whole;
//! no half account is ever seen. Never reads a record's content.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use smr_name::MailboxName;

use crate::durable::{Disk, DiskError};
use crate::finding::{Findings, Why};
use crate::group::DirSync;
use crate::layout::{self, ACCOUNTS, Folder, RECORD, TREE};
use crate::look::Found;
use crate::mailbox::Mailbox;
use crate::memory::Memory;
use crate::store::StoreError;

/// Reads the records of the store at `path`, also while a smrd has it open;
/// changes nothing, and passes over what is no account.
pub fn records(path: &Path) -> Result<Vec<(MailboxName, Vec<u8>)>, DiskError> {
    let disk = Disk::open(path)?;
    let mut records = Vec::new();
    for found in disk.names(ACCOUNTS)? {
        let Some(name) = found.name.ok().and_then(|n| n.parse::<MailboxName>().ok()) else {
            continue;
        };
        let record = disk.read_file(&layout::record(&name))?;
        records.extend(record.map(|record| (name, record)));
    }
    Ok(records)
}

/// One account.
pub(crate) struct Account {
    name: MailboxName,
    // Held for writing while a record is replaced, until that is on disk: who
    // has seen a number must never be shown a lower one. Some: the record to
    // show after a replacement whose sync failed.
    record: RwLock<Option<Vec<u8>>>,
    // Held while a sealed key is counted and kept.
    keeping: Mutex<()>,
    inbox: Mailbox,
    sent: Mailbox,
    receipts: Mailbox,
}

impl Account {
    fn new(
        disk: &Arc<Disk>,
        findings: &Arc<Findings>,
        memory: &Arc<Memory>,
        name: MailboxName,
    ) -> Account {
        let folder = |folder| Mailbox::new(disk, findings, memory, &name, folder);
        Account {
            record: RwLock::new(None),
            keeping: Mutex::new(()),
            inbox: folder(Folder::Inbox),
            sent: folder(Folder::Sent),
            receipts: folder(Folder::Receipts),
            name,
        }
    }

    pub(crate) fn folder(&self, folder: Folder) -> &Mailbox {
        match folder {
            Folder::Inbox => &self.inbox,
            Folder::Sent => &self.sent,
            Folder::Receipts => &self.receipts,
        }
    }

    /// Keeps others from giving sealed keys at the same time.
    pub(crate) fn keeping(&self) -> MutexGuard<'_, ()> {
        self.keeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the record.
    pub(crate) fn record(&self, disk: &Disk) -> Result<Vec<u8>, StoreError> {
        let kept = self.record.read().unwrap_or_else(PoisonError::into_inner);
        self.current(disk, &kept)
    }

    fn current(&self, disk: &Disk, kept: &Option<Vec<u8>>) -> Result<Vec<u8>, StoreError> {
        if let Some(record) = kept {
            return Ok(record.clone());
        }
        let record = disk.read_file(&layout::record(&self.name))?;
        record.ok_or_else(|| StoreError::NoMailbox(self.name.clone()))
    }

    /// Replaces the record if it is still `old`; returns once that is on disk.
    pub(crate) fn replace_record(
        &self,
        disk: &Arc<Disk>,
        old: &[u8],
        new: &[u8],
    ) -> Result<(), StoreError> {
        let spooled = disk.write_synced(new)?;
        let mut kept = self.record.write().unwrap_or_else(PoisonError::into_inner);
        let current = self.current(disk, &kept)?;
        if current != old {
            return Err(StoreError::Stale(self.name.clone()));
        }
        disk.rename(spooled.path(), &layout::record(&self.name))?;
        let synced = disk.sync_directory(&layout::account(&self.name));
        if synced.is_err() {
            disk.fail();
            *kept = Some(current);
        }
        Ok(synced?)
    }
}

/// The accounts of a store.
pub(crate) struct Registry {
    disk: Arc<Disk>,
    findings: Arc<Findings>,
    memory: Arc<Memory>,
    accounts: RwLock<BTreeMap<MailboxName, Arc<Account>>>,
    sync: DirSync,
}

impl Registry {
    /// Reads which accounts there are; reports what is none.
    pub(crate) fn load(disk: &Arc<Disk>, findings: &Arc<Findings>) -> Result<Registry, DiskError> {
        let (mut accounts, memory) = (BTreeMap::new(), Arc::default());
        for found in disk.names(ACCOUNTS)? {
            match account_name(disk, &found)? {
                Ok(name) => {
                    let account = Account::new(disk, findings, &memory, name.clone());
                    accounts.insert(name, Arc::new(account));
                }
                Err(why) => findings.add(format!("{ACCOUNTS}/{}", found.shown()), why),
            }
        }
        Ok(Registry {
            disk: Arc::clone(disk),
            findings: Arc::clone(findings),
            memory,
            accounts: RwLock::new(accounts),
            sync: DirSync::default(),
        })
    }

    /// Returns what bounds the memory of all folders.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Returns an account, or none.
    pub(crate) fn find(&self, name: &MailboxName) -> Option<Arc<Account>> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.get(name).cloned()
    }

    /// Returns at most `limit` names after `after`, by name.
    pub(crate) fn names(&self, after: Option<&MailboxName>, limit: usize) -> Vec<MailboxName> {
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let names = accounts.range::<MailboxName, _>((first, Bound::Unbounded));
        names.take(limit).map(|(name, _)| name.clone()).collect()
    }

    /// Makes an account; returns once it is on disk.
    pub(crate) fn create(&self, name: &MailboxName, record: &[u8]) -> Result<(), StoreError> {
        if self.find(name).is_some() {
            return Err(StoreError::Taken(name.clone()));
        }
        let made = self.disk.fresh_directory()?;
        let renamed = self.fill(&made, record).and_then(|()| {
            // At this instant the account exists. A directory that is not
            // empty is never replaced by a rename, so the first one wins.
            self.disk.rename(&made, &layout::account(name))
        });
        if let Err(error) = renamed {
            // What cannot be removed now is removed when the store is opened.
            let _ = self.disk.remove_tree(&made);
            return Err(match error {
                DiskError::Exists { .. } => StoreError::Taken(name.clone()),
                other => other.into(),
            });
        }
        self.disk.sync_shared(&self.sync, ACCOUNTS)?;
        let account = Account::new(&self.disk, &self.findings, &self.memory, name.clone());
        let mut accounts = self
            .accounts
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        accounts.insert(name.clone(), Arc::new(account));
        Ok(())
    }

    // Every directory is synced: a power cut after the rename must not leave
    // an account without a folder.
    fn fill(&self, made: &str, record: &[u8]) -> Result<(), DiskError> {
        for directory in TREE {
            self.disk.make_directory(&format!("{made}/{directory}"))?;
        }
        self.disk.write_file(&format!("{made}/{RECORD}"), record)?;
        for directory in TREE.iter().rev() {
            self.disk.sync_directory(&format!("{made}/{directory}"))?;
        }
        self.disk.sync_directory(made)
    }
}

fn account_name(disk: &Disk, found: &Found) -> Result<Result<MailboxName, Why>, DiskError> {
    let parsed = found.name.as_ref().ok().and_then(|name| name.parse().ok());
    let Some(name): Option<MailboxName> = parsed else {
        return Ok(Err(Why::Name));
    };
    if !found.is_directory() {
        return Ok(Err(Why::Kind));
    }
    let record = disk.open_file(&layout::record(&name))?;
    Ok(record.map(|_| name).ok_or(Why::NoRecord))
}
