//! What a reader asks of his own mailbox, and a sender of his own messages.
//!
//! Opens nothing: a message is bytes here.

use std::io;

use smr_channel::reply::{Entry, Progress, Reply, State};
use smr_channel::request::Folder;
use smr_name::{Class, IdPrefix, MailboxName, MessageId};

use super::deposit::MAX_MAILBOXES;
use super::{After, Answer, Body, Visit, account};
use crate::audit::About;
use crate::config::Level;
use crate::house::House;
use crate::refusal::Refusal;

/// Entries in one listing, so that it fits its chunk.
const MAX_ENTRIES: u16 = 256;
/// First bytes of one message that a listing sends along.
// The age header of a thousand devices, and a chunk.
const MAX_PEEK: u32 = (2 << 20) + (128 << 10);
/// First bytes of all messages that a listing sends along.
const MAX_PEEKS: u64 = 8 << 20;
/// Ids that a prefix may name before the answer is cut.
const MAX_FOUND: usize = 64;

pub(super) fn folder_of(folder: Folder) -> smr_store::Folder {
    match folder {
        Folder::Inbox => smr_store::Folder::Inbox,
        Folder::Sent => smr_store::Folder::Sent,
        Folder::Receipts => smr_store::Folder::Receipts,
    }
}

fn word_of(folder: smr_store::Folder) -> Folder {
    match folder {
        smr_store::Folder::Inbox => Folder::Inbox,
        smr_store::Folder::Sent => Folder::Sent,
        smr_store::Folder::Receipts => Folder::Receipts,
    }
}

fn state_of(state: smr_store::State) -> State {
    match state {
        smr_store::State::New => State::New,
        smr_store::State::Fetched => State::Fetched,
        smr_store::State::Read => State::Read,
        _ => State::Removed,
    }
}

/// Lists a folder from a number on, with the first bytes of each message.
pub(super) fn list<'a>(
    house: &'a House,
    visit: &Visit,
    folder: Folder,
    after: u64,
    limit: u16,
    peek: u32,
) -> Result<Answer<'a>, Refusal> {
    let (limit, peek) = (limit.clamp(1, MAX_ENTRIES), peek.min(MAX_PEEK));
    let shelf = folder_of(folder);
    let listing = house
        .store
        .list(&visit.who, shelf, after, usize::from(limit))
        .map_err(|e| house.disk(e))?;
    let (mut entries, mut body, mut sent) = (Vec::new(), Body::default(), 0u64);
    let all = listing.entries.len();
    for (name, state) in listing.entries {
        let peek_len = match state.is_removed() {
            true => 0,
            false => u32::try_from(name.size).unwrap_or(u32::MAX).min(peek),
        };
        sent = sent.saturating_add(peek_len.into());
        if sent > MAX_PEEKS {
            break;
        }
        if peek_len > 0 {
            let (who, number) = (visit.who.clone(), name.number);
            let open = move || opened(house, &who, shelf, number);
            body.later(open, peek_len.into());
        }
        entries.push(Entry {
            name,
            state: state_of(state),
            peek_len,
        });
    }
    let reply = Reply::Listing {
        more: listing.more || entries.len() < all,
        entries,
        count: listing.count,
        head: listing.head,
        before: listing.before,
    };
    Ok(Answer {
        body,
        ..Answer::plain(reply)
    })
}

fn opened(
    house: &House,
    who: &MailboxName,
    folder: smr_store::Folder,
    number: u64,
) -> io::Result<smr_store::Opened> {
    let found = house.store.open_number(who, folder, number);
    found.map(|(_, _, file)| file).map_err(io::Error::other)
}

/// Says in what state every entry of a folder is.
pub(super) fn tally<'a>(
    house: &'a House,
    visit: &Visit,
    folder: Folder,
) -> Result<Answer<'a>, Refusal> {
    let states = house.store.states(&visit.who, folder_of(folder));
    let states = states.map_err(|e| house.disk(e))?;
    let count = states.len() as u64;
    let mut body = Body::default();
    body.bytes(State::pack(states.into_iter().map(state_of)));
    Ok(Answer {
        body,
        ..Answer::plain(Reply::Tally { count })
    })
}

/// Finds messages of the inbox and of those sent by the beginning of their id.
pub(super) fn find<'a>(
    house: &'a House,
    visit: &Visit,
    prefix: &IdPrefix,
) -> Result<Answer<'a>, Refusal> {
    let found = house
        .store
        .find(&visit.who, prefix)
        .map_err(|e| house.disk(e))?;
    let found = found.into_iter().take(MAX_FOUND);
    let matches = found.map(|(folder, id)| (word_of(folder), id)).collect();
    Ok(Answer::plain(Reply::Found { matches }))
}

/// Sends a message; one of the inbox counts as fetched once it was sent whole.
pub(super) fn fetch<'a>(
    house: &'a House,
    visit: &Visit,
    folder: Folder,
    id: &MessageId,
    reader: Option<&MailboxName>,
) -> Result<Answer<'a>, Refusal> {
    if (folder == Folder::Receipts) != reader.is_some() {
        return Err(Refusal::new(
            Class::Usage,
            "a reader is named for receipts, and for nothing else",
        ));
    }
    let found = house
        .store
        .open_message(&visit.who, folder_of(folder), *id, reader);
    let (name, state, file) = found.map_err(|e| house.disk(e))?;
    // Said before the first byte: a reply cut short would look like the network's fault.
    if file.size().ok() != Some(name.size) {
        let text = format!("message \"{id}\" is damaged in the store");
        return Err(Refusal::new(Class::Forged, text)
            .hint("can the operator restore it? its sender has a copy"));
    }
    let mut body = Body::default();
    body.file(file, name.size);
    let entry = Entry {
        name,
        state: state_of(state),
        peek_len: 0,
    };
    Ok(Answer {
        reply: Reply::Message { entry },
        body,
        after: match folder {
            Folder::Inbox => {
                let again = state.reached() != smr_store::State::New;
                After::Fetched(visit.who.clone(), *id, again)
            }
            Folder::Sent | Folder::Receipts => After::Nothing,
        },
    })
}

/// Marks a message of the inbox as read; refuses one that was never fetched.
pub(super) fn mark_read<'a>(
    house: &'a House,
    visit: &Visit,
    id: &MessageId,
) -> Result<Answer<'a>, Refusal> {
    let found = house
        .store
        .entry(&visit.who, smr_store::Folder::Inbox, *id, None);
    let state = found.map_err(|e| house.disk(e))?.map(|(_, state)| state);
    // One that this session fetched may still count as new: the disk was full.
    if state == Some(smr_store::State::New) && visit.fetched != Some(*id) {
        let text = format!("message {id} was not fetched");
        return Err(Refusal::new(Class::Denied, text).hint(format!("read it first: smr-recv {id}")));
    }
    house
        .store
        .mark_read(&visit.who, *id)
        .map_err(|e| house.disk(e))?;
    Ok(Answer::plain(Reply::Done))
}

/// Removes a message of the inbox or an own copy; its entry stays.
pub(super) fn remove<'a>(
    house: &'a House,
    visit: &Visit,
    folder: Folder,
    id: &MessageId,
) -> Result<Answer<'a>, Refusal> {
    if folder == Folder::Receipts {
        return Err(Refusal::new(
            Class::Usage,
            "receipts are evidence and stay where they are",
        ));
    }
    let shelf = folder_of(folder);
    let before = house.store.entry(&visit.who, shelf, *id, None);
    let before = before.map_err(|e| house.disk(e))?;
    let repeated = before.is_some_and(|(_, state)| state.is_removed());
    house
        .store
        .remove(&visit.who, shelf, *id)
        .map_err(|e| house.disk(e))?;
    let line = house
        .log
        .line_about(About::of(repeated), Level::Info, "remove");
    line.with("account", &visit.who)
        .with("folder", shelf.as_str())
        .with("id", id)
        .send();
    Ok(Answer::plain(Reply::Done))
}

/// Says how far a message of the session's account has come with each reader.
pub(super) fn state<'a>(
    house: &'a House,
    visit: &Visit,
    id: &MessageId,
    mailboxes: &[MailboxName],
) -> Result<Answer<'a>, Refusal> {
    if mailboxes.len() > MAX_MAILBOXES {
        let text = format!("ask for {MAX_MAILBOXES} mailboxes at a time");
        return Err(Refusal::new(Class::Usage, text));
    }
    let mut states = Vec::new();
    for name in mailboxes {
        // Whose message it is follows from the session: nobody learns about
        // another's.
        if !house.store.has_account(name) {
            return Err(account::no_mailbox(std::slice::from_ref(name)));
        }
        let found = house.store.entry_by_sender(name, &visit.who, *id);
        // Whether he keeps it is his reader's affair.
        let state = found.map_err(|e| house.disk(e))?;
        let progress = match state.map(|(_, state)| state.reached()) {
            None => Progress::Unknown,
            Some(smr_store::State::New) => Progress::Deposited,
            Some(smr_store::State::Fetched) => Progress::Fetched,
            Some(_) => Progress::Read,
        };
        states.push((name.clone(), progress));
    }
    Ok(Answer::plain(Reply::States { states }))
}
