//! Receipts that are owed: each is signed, sealed and on disk before what it is
//! for is handed out, and given once that is marked read.
//!
//! So nobody has read under `receipt = "always"` without a receipt, wherever the
//! process ends. Holds sealed bytes only.

use std::path::PathBuf;

use sha2::{Digest, Sha256};
use smr_name::{Class, Fingerprint, MailboxName, MessageId};

use crate::failure::Failure;
use crate::fetch::Message;
use crate::hand::Hand;
use crate::outbox;
use crate::private;
use crate::receipts;
use crate::session::Receipt;
use crate::user::User;

const LIMIT: u64 = 1 << 20;
const ENDING: &str = ".receipt";

/// A receipt that waits in the outbox.
pub struct Owed {
    path: PathBuf,
    /// Who wrote the message.
    sender: MailboxName,
    receipt: Receipt,
    sealed: Vec<u8>,
    /// Another process may have given it already.
    waited: bool,
}

/// Writes down the receipt for a message that was fetched and verified, durably;
/// one for the same message that waits already makes way.
pub fn owe(user: &mut User, message: &Message, hand: &Hand) -> Result<Owed, Failure> {
    let sealed = receipts::write(user, message, hand)?;
    let owed = Owed {
        path: outbox::folder(user).join(format!("{}{ENDING}", message.id)),
        sender: message.entry.name.sender.clone(),
        receipt: receipts::offer(message.id, &sealed),
        sealed: sealed.bytes,
        waited: false,
    };
    let cms = Fingerprint::from_bytes(owed.receipt.cms);
    let mut file = format!("{} {cms}\n", owed.sender).into_bytes();
    file.extend_from_slice(&owed.sealed);
    private::replace(&owed.path, &file)?;
    Ok(owed)
}

/// Returns the receipts that wait.
pub fn waiting(user: &User) -> Result<Vec<Owed>, Failure> {
    let folder = outbox::folder(user);
    let mut waiting = Vec::new();
    for name in private::names(&folder)? {
        let id = name.strip_suffix(ENDING).and_then(|id| id.parse().ok());
        if let Some(id) = id {
            waiting.extend(read(folder.join(name), id)?);
        }
    }
    Ok(waiting)
}

/// Reads one; none where another process was faster, or it is none of ours.
fn read(path: PathBuf, id: MessageId) -> Result<Option<Owed>, Failure> {
    let Some(bytes) = private::read(&path, LIMIT)? else {
        return Ok(None);
    };
    let owed = || {
        let end = bytes.iter().position(|b| *b == b'\n')?;
        let (sender, cms) = std::str::from_utf8(&bytes[..end]).ok()?.split_once(' ')?;
        let sealed = bytes[end + 1..].to_vec();
        let receipt = Receipt {
            id,
            size: sealed.len() as u64,
            sha256: Sha256::digest(&sealed).into(),
            cms: *cms.parse::<Fingerprint>().ok()?.as_bytes(),
        };
        let sender = sender.parse().ok()?;
        Some(Owed {
            path,
            sender,
            receipt,
            sealed,
            waited: true,
        })
    };
    Ok(owed())
}

impl Owed {
    /// Returns the message that it is for.
    pub fn id(&self) -> MessageId {
        self.receipt.id
    }

    /// Gives it to the repository, which takes it once the message is marked
    /// read; then it waits no more.
    pub fn give(self, user: &mut User) -> Result<(), Failure> {
        let (sender, receipt) = (&self.sender, &self.receipt);
        receipts::hand_in(user, sender, receipt, &self.sealed, !self.waited)?;
        self.forget()
    }

    /// Gives one that has waited; false where it goes on waiting, because the
    /// message is still unread and will be handed out again.
    pub fn settle(self, user: &mut User) -> Result<bool, Failure> {
        let path = self.path.clone();
        match self.give(user) {
            Ok(()) => Ok(true),
            Err(failure) if failure.class == Class::Denied => Ok(false),
            // The message is gone, and nobody can be given anything for it.
            Err(failure) if failure.class == Class::Missing => {
                private::remove(&path)?;
                Err(failure)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Takes it back: the message was not handed out.
    pub fn forget(self) -> Result<(), Failure> {
        Ok(private::remove(&self.path)?)
    }
}
