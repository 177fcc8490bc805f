//! smrd --fsck: explains every file of a store, or reports it.
//!
//! Reads only, takes no lock, and may run beside a smrd that serves: what is
//! wrong is looked at again before it is told. Heals nothing; opening a store
//! does, and the rest is for whoever runs the repository to decide.

mod content;
mod folder;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use smr_name::MailboxName;

use crate::durable::record::Target;
use crate::durable::{Disk, DiskError, replay};
use crate::finding::{Finding, Why};
use crate::keys::MAX_KEY;
use crate::layout::{self, ACCOUNTS, FORMAT, Folder, JOURNAL, LOCK, RECORD, TMP};
use crate::look::Found;
use crate::store::{OpenError, known_format};

use content::Seen;

/// The longest account record, in bytes (smr-store(5)).
const MAX_RECORD: u64 = 64 << 10;

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Accounts.
    pub accounts: u64,
    /// Messages and receipts, in all folders.
    pub messages: u64,
    /// Tombstones.
    pub removed: u64,
    /// Bytes of messages that were read and hashed, each file once.
    pub bytes: u64,
    /// Files being written, or that the next start removes.
    pub leftovers: u64,
    /// Findings told.
    pub findings: u64,
}

/// Examines the store at `path` and calls `tell` with each finding. Names in
/// `others` are somebody else's and are passed over.
///
/// # Errors
///
/// `Config` where there is no store of a known format; else as the disk says.
/// What cannot be read within the store is a finding.
pub fn fsck(
    path: &Path,
    others: &[&str],
    tell: &mut dyn FnMut(Finding),
) -> Result<Summary, OpenError> {
    let disk = Disk::open(path)?;
    known_format(&disk, path)?;
    let mut fsck = Fsck {
        accounts: BTreeSet::new(),
        journal: HashSet::new(),
        seen: HashMap::new(),
        summary: Summary::default(),
        disk: &disk,
        tell,
    };
    fsck.root(others)?;
    fsck.tmp();
    fsck.journal();
    fsck.accounts();
    Ok(fsck.summary)
}

/// An examination under way.
struct Fsck<'a> {
    disk: &'a Disk,
    tell: &'a mut dyn FnMut(Finding),
    accounts: BTreeSet<MailboxName>,
    /// Entries whose files may not be whole: the next start makes them.
    journal: HashSet<Target>,
    /// What files with several names are.
    seen: HashMap<content::Inode, Seen>,
    summary: Summary,
}

impl Fsck<'_> {
    fn tell(&mut self, path: String, why: Why) {
        self.summary.findings += 1;
        (self.tell)(Finding { path, why });
    }

    /// Lists a directory; one that is not there or cannot be read is told.
    fn names(&mut self, path: &str) -> Vec<Found> {
        match self.disk.names(path) {
            Ok(names) => names,
            Err(error) => {
                self.tell(path.to_owned(), reason(&error));
                Vec::new()
            }
        }
    }

    fn root(&mut self, others: &[&str]) -> Result<(), DiskError> {
        for found in self.disk.names(".")? {
            let name = found.shown();
            let fits = match name.as_str() {
                ACCOUNTS | JOURNAL | TMP => found.is_directory(),
                FORMAT | LOCK => found.is_file(),
                other if others.contains(&other) => true,
                _ => {
                    self.tell(name, Why::Name);
                    continue;
                }
            };
            if !fits {
                self.tell(name, Why::Kind);
            }
        }
        Ok(())
    }

    fn tmp(&mut self) {
        for found in self.names(TMP) {
            let name = found.shown();
            let numbered = |kind: &str| {
                let number = name.strip_prefix(kind).unwrap_or_default();
                !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
            };
            let ours = numbered("spool.") && found.is_file()
                || numbered("account.") && found.is_directory()
                || name == FORMAT && found.is_file();
            match ours {
                true => self.summary.leftovers += 1,
                false => self.tell(format!("{TMP}/{name}"), Why::Name),
            }
        }
    }

    fn journal(&mut self) {
        // A store of before has none until it is opened.
        if matches!(self.disk.open_file(JOURNAL), Ok(None)) {
            return;
        }
        for found in self.names(JOURNAL) {
            let path = format!("{JOURNAL}/{}", found.shown());
            let large = layout::is_large(&path);
            match large || (0..2).any(|file| layout::journal(file) == path) {
                true if found.is_file() => self.summary.leftovers += u64::from(large),
                true => self.tell(path, Why::Kind),
                false => self.tell(path, Why::Name),
            }
        }
        self.held();
    }

    /// Adds what the journal holds now.
    fn held(&mut self) {
        let held = &mut self.journal;
        let read = replay::each(self.disk, |record| {
            held.extend(record.targets);
            Ok(())
        });
        if let Err(error) = read {
            self.tell(JOURNAL.to_owned(), reason(&error));
        }
    }

    fn accounts(&mut self) {
        let mut accounts = Vec::new();
        for found in self.names(ACCOUNTS) {
            let path = format!("{ACCOUNTS}/{}", found.shown());
            let name = found.name.as_ref().ok().and_then(|name| name.parse().ok());
            match name {
                Some(name) if found.is_directory() => accounts.push(name),
                Some(_) => self.tell(path, Why::Kind),
                None => self.tell(path, Why::Name),
            }
        }
        accounts.sort();
        self.accounts = accounts.iter().cloned().collect();
        for name in accounts {
            self.account(&name);
        }
    }

    fn account(&mut self, name: &MailboxName) {
        let path = layout::account(name);
        self.summary.accounts += 1;
        self.small(&layout::record(name), MAX_RECORD, Why::NoRecord);
        for found in self.names(&path) {
            let shown = found.shown();
            let folder = Folder::ALL.into_iter().find(|f| f.as_str() == shown);
            let fits = match shown.as_str() {
                RECORD => found.is_file(),
                "keys" => found.is_directory(),
                _ if folder.is_some() => found.is_directory(),
                _ => {
                    self.tell(format!("{path}/{shown}"), Why::Name);
                    continue;
                }
            };
            if !fits {
                self.tell(format!("{path}/{shown}"), Why::Kind);
            }
        }
        self.keys(name);
        for folder in Folder::ALL {
            self.folder(name, folder);
        }
    }

    fn keys(&mut self, name: &MailboxName) {
        let path = layout::keys(name);
        for found in self.names(&path) {
            let file = format!("{path}/{}", found.shown());
            let parsed = found.name.as_ref().ok().and_then(|n| layout::parse_key(n));
            match parsed {
                Some(_) if found.is_file() => self.small(&file, MAX_KEY as u64, Why::Size),
                Some(_) => self.tell(file, Why::Kind),
                None => self.tell(file, Why::Name),
            }
        }
    }

    /// Reads a file that may have 1 to `most` bytes.
    fn small(&mut self, path: &str, most: u64, absent: Why) {
        match self.disk.read_file(path) {
            Ok(None) => self.tell(path.to_owned(), absent),
            Ok(Some(content)) if content.is_empty() || content.len() as u64 > most => {
                self.tell(path.to_owned(), Why::Size);
            }
            Ok(Some(_)) => {}
            Err(error) => self.tell(path.to_owned(), reason(&error)),
        }
    }
}

fn reason(error: &DiskError) -> Why {
    use rustix::io::Errno;
    match error {
        DiskError::Io { source, .. } => match Errno::from_io_error(source) {
            Some(Errno::NOENT) => Why::Absent,
            Some(Errno::LOOP | Errno::NOTDIR | Errno::ISDIR) => Why::Kind,
            _ => Why::Unreadable,
        },
        _ => Why::Unreadable,
    }
}
