//! Deposits: one message becomes an entry in several folders, for good.
//!
//! Never acknowledges what a power cut could take back, and stores nothing
//! twice: a repetition is answered with what the first time was placed.

use std::sync::Arc;

use smr_name::{EntryName, Head, MailboxName, MessageId};

use crate::durable::record::{self, Body, Record};
use crate::durable::{Content, DiskError, Spooled};
use crate::layout::Folder;
use crate::mailbox::{Mailbox, Slot};
use crate::maker::{Room, Work};
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

/// A folder that a message is deposited in.
#[derive(Clone)]
pub(crate) struct Target {
    account: Arc<Account>,
    folder: Folder,
}

impl Target {
    pub(crate) fn mailbox(&self) -> &Mailbox {
        self.account.folder(self.folder)
    }
}

impl Store {
    /// Places a spooled message in the inbox of every mailbox in `to` and, with
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
        let placing = Placing {
            targets: &targets,
            slots,
            on_disk: true,
        };
        placing.settled().map(Some)
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
        let waits = match spooled.content() {
            Content::Held(bytes) => bytes.len(),
            Content::File(_) => 0,
        };
        let room = self.maker().admit(waits)?;
        let mut placing = Placing {
            targets,
            slots: Vec::with_capacity(targets.len()),
            on_disk: false,
        };
        let outcome = self.through_journal(&mut placing, spooled, facts, room);
        if placing.is_lost() {
            return outcome.map(|()| Vec::new());
        }
        // What is placed is delivered, even if the rest failed.
        let placed = placing.settled()?;
        outcome.map(|()| placed)
    }

    // One record for all its entries, one sync for all who deposit at this
    // time; then it is delivered, and its names follow.
    fn through_journal(
        &self,
        placing: &mut Placing,
        spooled: &Spooled,
        facts: &Facts,
        room: Room,
    ) -> Result<(), StoreError> {
        let content = spooled.content();
        let (body, here, beside) = match content {
            Content::Held(bytes) => (Body::Here(bytes.to_vec()), bytes.len(), None),
            Content::File(name) => {
                let beside = self.journal().lay_beside(name, spooled.size())?;
                (beside.body(), 0, Some(beside))
            }
        };
        let turn = self
            .journal()
            .turn(record::longest(placing.targets.len(), here))?;
        // Numbered while it is our turn: in no folder may an entry be on disk
        // whose predecessor is not.
        let outcome = placing.place(spooled.size(), facts, content);
        let record = Record {
            targets: placing.fresh().map(|(_, slot)| slot.target()).collect(),
            body,
        };
        if record.targets.is_empty() {
            return outcome;
        }
        let ticket = turn.append(&record, beside);
        self.journal().sync(&ticket)?;
        placing.settle()?;
        let work = Work::new(placing.taken(), content.clone(), ticket, room);
        self.maker().make(work);
        outcome
    }
}

/// Entries that are being placed. What is neither settled nor found is given
/// up when this is dropped: others wait for it.
struct Placing<'a> {
    targets: &'a [Target],
    slots: Vec<Slot>,
    on_disk: bool,
}

impl Placing<'_> {
    fn place(&mut self, size: u64, facts: &Facts, content: &Content) -> Result<(), StoreError> {
        for target in self.targets {
            let slot = target.mailbox().place(size, facts, content)?;
            self.slots.push(slot);
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = (&Mailbox, &Slot)> {
        let mailboxes = self.targets.iter().map(Target::mailbox);
        mailboxes.zip(&self.slots)
    }

    /// Returns what no earlier deposit placed.
    fn fresh(&self) -> impl Iterator<Item = (&Mailbox, &Slot)> {
        self.all().filter(|(_, slot)| !slot.placed.repeated)
    }

    /// Returns where the fresh ones go.
    fn taken(&self) -> Vec<(Target, Slot)> {
        let all = self.targets.iter().zip(&self.slots);
        let fresh = all.filter(|(_, slot)| !slot.placed.repeated);
        fresh
            .map(|(target, slot)| (target.clone(), slot.clone()))
            .collect()
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        self.on_disk = true;
        for (mailbox, slot) in self.fresh() {
            mailbox.settle(slot)?;
        }
        Ok(())
    }

    /// Tells whether an error left open what is on disk.
    fn is_lost(&self) -> bool {
        !self.on_disk && self.fresh().next().is_some()
    }

    /// Returns once everything that was placed would survive a power cut.
    fn settled(self) -> Result<Vec<Placed>, StoreError> {
        for (mailbox, slot) in self.all() {
            mailbox.settled(slot)?;
        }
        Ok(self.slots.iter().map(|slot| slot.placed.clone()).collect())
    }
}

impl Drop for Placing<'_> {
    fn drop(&mut self) {
        if !self.on_disk {
            self.fresh().for_each(|(mailbox, _)| mailbox.give_up());
        }
    }
}

fn before(size: u64, facts: &Facts, targets: &[Target]) -> Result<Vec<Option<Slot>>, StoreError> {
    targets
        .iter()
        .map(|target| Ok(target.mailbox().placed_before(size, facts)?))
        .collect()
}
