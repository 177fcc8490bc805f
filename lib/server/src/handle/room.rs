//! Room: what a mailbox may hold, in all and from one sender.
//!
//! Compares with what is there now; deposits that come at the same time may
//! each find room, so that a mailbox may end up a few messages over its limit.

use smr_name::{Class, MailboxName};
use smr_store::{Folder, Usage};

use crate::config::Level;
use crate::house::House;
use crate::refusal::Refusal;

/// Refuses `size` more bytes by `sender` in a folder whose mailbox has no room
/// for them.
pub(super) fn room_for(
    house: &House,
    name: &MailboxName,
    folder: Folder,
    sender: &MailboxName,
    size: u64,
) -> Result<(), Refusal> {
    let limits = &house.config.store;
    let more = Usage {
        count: 1,
        bytes: size,
    };
    let all = house.store.usage(name).map_err(|e| house.disk(e))?;
    let all = all.plus(more);
    if all.bytes > limits.quota || all.count > limits.messages {
        return Err(full(format!("mailbox \"{name}\" is full")));
    }
    // What people send is their own mailbox's matter, bounded above.
    if folder == Folder::Sent {
        return Ok(());
    }
    let theirs = house.store.usage_by(name, folder, sender);
    let theirs = theirs.map_err(|e| house.disk(e))?.plus(more);
    if theirs.bytes > limits.per_sender || theirs.count > limits.per_sender_messages {
        let text = format!("mailbox \"{name}\" holds no more from \"{sender}\"");
        return Err(full(text));
    }
    Ok(())
}

/// Refuses `size` more bytes where they would leave less of the disk free than
/// the operator wants: what is taken must always find room for its receipts.
pub(super) fn reserve_left(house: &House, size: u64) -> Result<(), Refusal> {
    let (free, _) = house.disk_bytes().map_err(|error| {
        let line = house.log.line(Level::Error, "store");
        line.with("why", error).send();
        Refusal::new(Class::Io, "the repository cannot read or write its store")
    })?;
    match free.checked_sub(size) {
        Some(left) if left >= house.config.store.reserve => Ok(()),
        _ => {
            let text = "the repository's disk is nearly full";
            Err(Refusal::new(Class::Busy, text).hint("try again later"))
        }
    }
}

fn full(text: String) -> Refusal {
    Refusal::new(Class::Busy, text).hint("try again later; its owner can remove messages")
}
