//! Deposits: one synced file becomes an entry in several folders, for good.
//!
//! Never acknowledges what a power cut could take back, and stores nothing
//! twice: a repetition is answered with what the first time was placed.

use std::sync::Arc;

use smr_name::{EntryName, Head, MailboxName, MessageId};

use crate::durable::{DiskError, Spooled};
use crate::layout::Folder;
use crate::mailbox::{Mailbox, Slot};
use crate::registry::Account;
use crate::store::{Store, StoreError};

/// What smrd knows of a message that is being deposited, besides its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The sender's id for it.
    pub id: MessageId,
    /// Who deposits: the sender, or the reader who gives a receipt.
    pub sender: MailboxName,
    /// SHA-256 of the sealed file.
    pub sha256: [u8; 32],
    /// SHA-256 of the CMS SignedData inside, as the depositor tells it.
    pub cms: [u8; 32],
    /// Now, in unix seconds; raised to the last entry's where that is later.
    pub time: i64,
}

/// An entry that is on disk for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Whose folder it is in.
    pub mailbox: MailboxName,
    /// Which folder.
    pub folder: Folder,
    /// The entry, with its number and time.
    pub entry: EntryName,
    /// The head of the folder right after this entry.
    pub head: Head,
    /// Whether an earlier deposit placed it, and this one nothing.
    pub repeated: bool,
}

struct Target {
    account: Arc<Account>,
    folder: Folder,
}

impl Target {
    fn mailbox(&self) -> &Mailbox {
        self.account.folder(self.folder)
    }
}

impl Store {
    /// Places a spooled file in the inbox of every mailbox in `to` and, with
    /// `own_copy`, in the sender's sent folder; returns one `Placed` for each,
    /// the own copy last, once all are on disk. Repeating it is safe.
    ///
    /// A mailbox that does not exist (class `NoMailbox`) or where the id names
    /// another message (`Denied`) stops it before anything is placed. After
    /// any other error some may be placed: repeat the call. `Busy`: disk full.
    /// `Io`: a write failed, or one did before; open the store again.
    pub fn deposit(
        &self,
        spooled: &Spooled,
        facts: &Facts,
        to: &[MailboxName],
        own_copy: bool,
    ) -> Result<Vec<Placed>, StoreError> {
        let targets = self.targets(facts, to, own_copy)?;
        self.place_all(spooled, facts, &targets)
    }

    /// Returns what `deposit` returned before for this message of `size`
    /// bytes, all of it on disk; none where any part is not there.
    /// Class `Denied` if the id names another message.
    pub fn deposited(
        &self,
        size: u64,
        facts: &Facts,
        to: &[MailboxName],
        own_copy: bool,
    ) -> Result<Option<Vec<Placed>>, StoreError> {
        let targets = self.targets(facts, to, own_copy)?;
        let slots = before(size, facts, &targets)?;
        let Some(slots) = slots.into_iter().collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        settle_all(&targets, slots).map(Some)
    }

    /// Places a sealed receipt in the receipts folder of `to`, who sent the
    /// message `facts.id`; `facts.sender` is the reader. At most 16 for each
    /// reader and message (class `Denied`). Errors as for `deposit`.
    pub fn place_receipt(
        &self,
        spooled: &Spooled,
        facts: &Facts,
        to: &MailboxName,
    ) -> Result<Placed, StoreError> {
        let target = Target {
            account: self.account(to)?,
            folder: Folder::Receipts,
        };
        let mut placed = self.place_all(spooled, facts, &[target])?;
        Ok(placed.pop().expect("one entry is placed for each target"))
    }

    fn targets(
        &self,
        facts: &Facts,
        to: &[MailboxName],
        own_copy: bool,
    ) -> Result<Vec<Target>, StoreError> {
        let inboxes = to.iter().map(|name| (name, Folder::Inbox));
        let own = own_copy.then_some((&facts.sender, Folder::Sent));
        inboxes
            .chain(own)
            .map(|(name, folder)| {
                let account = self.account(name)?;
                Ok(Target { account, folder })
            })
            .collect()
    }

    fn place_all(
        &self,
        spooled: &Spooled,
        facts: &Facts,
        targets: &[Target],
    ) -> Result<Vec<Placed>, StoreError> {
        if !spooled.belongs_to(self.disk()) {
            return Err(DiskError::Foreign.into());
        }
        if self.has_failed() {
            return Err(DiskError::Failed.into());
        }
        // Refuse all for one before any has it.
        before(spooled.size(), facts, targets)?;
        let mut slots = Vec::with_capacity(targets.len());
        let mut outcome = Ok(());
        for target in targets {
            match target.mailbox().place(spooled, facts) {
                Ok(slot) => slots.push(slot),
                Err(error) => {
                    outcome = Err(error.into());
                    break;
                }
            }
        }
        // What is linked is delivered, even if the rest failed.
        let placed = settle_all(targets, slots)?;
        outcome.map(|()| placed)
    }
}

fn before(size: u64, facts: &Facts, targets: &[Target]) -> Result<Vec<Option<Slot>>, StoreError> {
    targets
        .iter()
        .map(|target| Ok(target.mailbox().placed_before(size, facts)?))
        .collect()
}

fn settle_all(targets: &[Target], slots: Vec<Slot>) -> Result<Vec<Placed>, StoreError> {
    for (target, slot) in targets.iter().zip(&slots) {
        target.mailbox().settle(slot)?;
    }
    Ok(slots.into_iter().map(|slot| slot.placed).collect())
}
