//! Receipts: for what was read, and for nothing else.
//!
//! Verifies no receipt: it is sealed for the sender, who does.

use smr_channel::reply::Reply;
use smr_name::{Class, EntryName, MailboxName, MessageId};
use smr_store::{Facts, Folder, State, StoreError};

use super::{Answer, Intake, Visit, deposit, room};
use crate::audit::About;
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
    (size, sha256): (u64, &[u8; 32]),
) -> Result<Intake, Refusal> {
    let message = read_message(house, &visit.who, id)?;
    if !(1..=MAX_RECEIPT).contains(&size) {
        return Err(Refusal::new(Class::Usage, "a receipt has 1 byte to 1 MiB"));
    }
    room_for(house, visit, &message, (size, sha256))?;
    let spool = house.store.spool().map_err(|e| house.disk(e))?;
    Ok(Intake::spool(spool, size))
}

/// Refuses where the sender's mailbox has no room for the receipt.
fn room_for(
    house: &House,
    visit: &Visit,
    message: &EntryName,
    (size, sha256): (u64, &[u8; 32]),
) -> Result<(), Refusal> {
    let (to, reader) = (&message.sender, &visit.who);
    let last = house
        .store
        .entry(to, Folder::Receipts, message.id, Some(reader));
    match last.map_err(|e| house.disk(e))? {
        // A repetition stores nothing.
        Some((entry, _)) if entry.sha256 == *sha256 && entry.size == size => Ok(()),
        _ => room::room_for(house, to, Folder::Receipts, reader, size),
    }
}

/// Finds the message in the reader's own inbox, read.
fn read_message(house: &House, who: &MailboxName, id: &MessageId) -> Result<EntryName, Refusal> {
    let found = house.store.entry(who, Folder::Inbox, *id, None);
    match found.map_err(|e| house.disk(e))? {
        // Also where it was removed since: the reader may have it elsewhere,
        // and a receipt that was written before it.
        Some((entry, state)) if state.reached() == State::Read => Ok(entry),
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
    room_for(house, visit, &message, (taken.spool.size(), sha256))?;
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
        .line_about(About::of(placed.repeated), Level::Info, "receipt")
        .with("reader", &visit.who);
    line.with("sender", &message.sender).with("id", id).send();
    let postmarks = vec![deposit::mark(house, &visit.who, &placed)?];
    Ok(Answer::plain(Reply::Postmarks { postmarks }))
}
