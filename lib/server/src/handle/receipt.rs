//! Receipts: for what was read, and for nothing else.
//!
//! Verifies no receipt: it is sealed for the sender, who does.

use smr_channel::reply::Reply;
use smr_name::{Class, EntryName, MailboxName, MessageId};
use smr_store::{Facts, Folder, State, StoreError};

use super::{Answer, Intake, Visit, deposit};
use crate::config::Level;
use crate::house::House;
use crate::refusal::Refusal;

/// Bytes of a sealed receipt.
const MAX_RECEIPT: u64 = 1 << 20;

/// Prepares for the body, unless no receipt may be given.
pub(super) fn intake(
    house: &House,
    visit: &Visit,
    id: &MessageId,
    size: u64,
) -> Result<Intake, Refusal> {
    read_message(house, &visit.who, id)?;
    if !(1..=MAX_RECEIPT).contains(&size) {
        return Err(Refusal::new(Class::Usage, "a receipt has 1 byte to 1 MiB"));
    }
    let spool = house.store.spool().map_err(|e| house.disk(e))?;
    Ok(Intake::spool(spool, size))
}

/// Finds the message in the reader's own inbox, read.
fn read_message(house: &House, who: &MailboxName, id: &MessageId) -> Result<EntryName, Refusal> {
    let found = house.store.entry(who, Folder::Inbox, *id, None);
    match found.map_err(|e| house.disk(e))? {
        Some((entry, State::Read)) => Ok(entry),
        Some(_) => Err(
            Refusal::new(Class::Denied, format!("message {id} is not read"))
                .hint(format!("read it first: smr-recv {id}")),
        ),
        None => Err(Refusal::new(
            Class::Missing,
            format!("no message {id} in the inbox"),
        )),
    }
}

/// Files the receipt with the sender of the message.
pub(super) fn give<'a>(
    house: &'a House,
    visit: &Visit,
    id: &MessageId,
    intake: Intake,
    (sha256, cms): (&[u8; 32], &[u8; 32]),
    now: i64,
) -> Result<Answer<'a>, Refusal> {
    let Intake::Spool(taken) = intake else {
        return Err(Refusal::new(Class::Usage, "a receipt is missing"));
    };
    let message = read_message(house, &visit.who, id)?;
    let spooled = taken
        .finish(sha256)?
        .finish()
        .map_err(|e| house.disk(StoreError::from(e)))?;
    let facts = Facts {
        id: *id,
        sender: visit.who.clone(),
        sha256: *sha256,
        cms: *cms,
        time: now,
    };
    let placed = house
        .store
        .place_receipt(&spooled, &facts, &message.sender)
        .map_err(|e| house.disk(e))?;
    house.news.ring(&placed.mailbox, placed.folder);
    let line = house
        .log
        .line(Level::Info, "receipt")
        .with("reader", &visit.who);
    line.with("sender", &message.sender).with("id", id).send();
    let postmarks = vec![deposit::mark(house, &visit.who, &placed)?];
    Ok(Answer::plain(Reply::Postmarks { postmarks }))
}
