//! Offers and deposits: what comes in from a sender.
//!
//! Never signs a postmark before the message is durable.

use std::collections::HashSet;
use std::io::Read;

use smr_channel::reply::Reply;
use smr_channel::request::{MAX_POST, Offer};
use smr_evidence::postmark::{self, Kind, Postmark};
use smr_name::{Class, EntryName, MailboxName, MessageId};
use smr_store::{Facts, Folder, Opened, Placed, Spool};

use super::{Answer, Intake, Visit, account, room};
use crate::audit::About;
use crate::config::{Level, size_text};
use crate::house::House;
use crate::refusal::Refusal;

/// Mailboxes in one offer; with the sender's own copy their postmarks fit one
/// chunk.
pub(super) const MAX_MAILBOXES: usize = 64;

/// Judges an offer and remembers it until its deposit.
pub(super) fn offer<'a>(
    house: &'a House,
    visit: &mut Visit,
    offer: &Offer,
) -> Result<Answer<'a>, Refusal> {
    consider(house, visit, offer)?;
    Ok(Answer::plain(Reply::Accepted { id: offer.id }))
}

fn consider(house: &House, visit: &mut Visit, offer: &Offer) -> Result<(), Refusal> {
    visit.offered = None;
    well_formed(house, offer)?;
    house.rates.deposits.take(visit.who.clone())?;
    let unknown = |name: &&MailboxName| !house.store.has_account(name);
    let missing: Vec<MailboxName> = offer.mailboxes.iter().filter(unknown).cloned().collect();
    if !missing.is_empty() {
        return Err(account::no_mailbox(&missing));
    }
    room_for_all(house, &visit.who, offer, offer.size)?;
    visit.offered = Some(offer.clone());
    Ok(())
}

fn well_formed(house: &House, offer: &Offer) -> Result<(), Refusal> {
    let limit = house.config.store.max_message;
    if offer.size > limit {
        let text = format!("a message here has at most {} sealed", size_text(limit));
        return Err(Refusal::new(Class::Denied, text).hint("send it in parts"));
    }
    let names: HashSet<&MailboxName> = offer.mailboxes.iter().collect();
    match offer.mailboxes.len() {
        _ if offer.size == 0 => Err(Refusal::new(Class::Usage, "an empty message was offered")),
        0 => Err(Refusal::new(Class::Usage, "the message is for nobody")),
        n if n > MAX_MAILBOXES => {
            let text = format!("a message may have {MAX_MAILBOXES} recipients here, not {n}");
            Err(Refusal::new(Class::Usage, text).hint("send it in parts"))
        }
        n if n > names.len() => Err(Refusal::new(Class::Usage, "a mailbox is named twice")),
        _ => Ok(()),
    }
}

/// Refuses where any of the folders it goes to has no room for it, or the disk
/// for so many bytes of it that are to come.
fn room_for_all(
    house: &House,
    sender: &MailboxName,
    offer: &Offer,
    to_come: u64,
) -> Result<(), Refusal> {
    let inboxes = offer.mailboxes.iter().map(|name| (name, Folder::Inbox));
    let mut places = inboxes.chain([(sender, Folder::Sent)]);
    let new = places.try_fold(false, |new, (name, folder)| {
        Ok(new | fits(house, name, folder, sender, offer)?)
    })?;
    match new {
        true => room::reserve_left(house, to_come),
        // A repetition stores nothing.
        false => Ok(()),
    }
}

/// Refuses where the mailbox is full, or another sender's message has the id;
/// tells whether it is new there.
fn fits(
    house: &House,
    name: &MailboxName,
    folder: Folder,
    sender: &MailboxName,
    offer: &Offer,
) -> Result<bool, Refusal> {
    let there = house
        .store
        .entry(name, folder, offer.id, None)
        .map_err(|e| house.disk(e))?;
    match there {
        Some((entry, _)) if entry.sender == *sender => return Ok(false),
        // Within a mailbox an id names one message: whoever has seen an id
        // cannot put another message beside it.
        Some(_) => return Err(Refusal::new(Class::Denied, "the message id is taken")),
        None => {}
    }
    room::room_for(house, name, folder, sender, offer.size).map(|()| true)
}

/// Prepares for the body of the message that was offered.
pub(super) fn intake(house: &House, visit: &Visit, id: &MessageId) -> Result<Intake, Refusal> {
    let offer = visit.offered.as_ref().filter(|offer| offer.id == *id);
    let offer = offer
        .ok_or_else(|| Refusal::new(Class::Usage, "a deposit came without an accepted offer"))?;
    let spool = house.store.spool().map_err(|e| house.disk(e))?;
    Ok(Intake::spool(spool, offer.size))
}

/// Judges an offer, and prepares for its body, which comes with it.
pub(super) fn intake_post(
    house: &House,
    visit: &mut Visit,
    offer: &Offer,
) -> Result<Intake, Refusal> {
    if offer.size > MAX_POST {
        let text = "a message so large is offered before it comes";
        return Err(Refusal::new(Class::Usage, text));
    }
    consider(house, visit, offer)?;
    intake(house, visit, &offer.id)
}

/// Delivers the message and answers with its postmarks.
pub(super) fn deposit<'a>(
    house: &'a House,
    visit: &mut Visit,
    intake: Intake,
    now: i64,
) -> Result<Answer<'a>, Refusal> {
    let (Intake::Spool(taken), Some(offer)) = (intake, visit.offered.take()) else {
        return Err(Refusal::new(
            Class::Usage,
            "a deposit came without an accepted offer",
        ));
    };
    let spool = taken.finish(&offer.sha256)?;
    let _turn = house.underway.enter(&visit.who, offer.id);
    let placed = match earlier(house, &visit.who, &offer)? {
        Some(placed) => placed,
        None => {
            // Others may have filled the mailbox, or the disk, while the body
            // came, which is on the disk already.
            room_for_all(house, &visit.who, &offer, 0)?;
            place(house, &visit.who, &offer, spool, now)?
        }
    };
    for place in &placed {
        house.news.ring(&place.mailbox, place.folder);
    }
    let postmarks = placed
        .iter()
        .map(|place| mark(house, &visit.who, place))
        .collect::<Result<_, _>>()?;
    let repeated = placed.iter().all(|p| p.repeated);
    let line = house
        .log
        .line_about(About::of(repeated), Level::Info, "deposit")
        .with("sender", &visit.who);
    line.with("id", offer.id)
        .with("size", offer.size)
        .with("mailboxes", offer.mailboxes.len())
        .with("repeated", repeated)
        .send();
    Ok(Answer::plain(Reply::Postmarks { postmarks }))
}

/// Places the message, or what was placed of it before a crash.
fn place(
    house: &House,
    sender: &MailboxName,
    offer: &Offer,
    spool: Spool,
    now: i64,
) -> Result<Vec<Placed>, Refusal> {
    let (spool, sha256, cms) = match begun(house, sender, offer)? {
        Some((spool, entry)) => (spool, entry.sha256, entry.cms),
        None => (spool, offer.sha256, offer.cms),
    };
    let spooled = spool.finish().map_err(|e| house.disk(e.into()))?;
    let facts = Facts {
        id: offer.id,
        sender: sender.clone(),
        sha256,
        cms,
        time: now,
    };
    let placed = house
        .store
        .deposit(&spooled, &facts, &offer.mailboxes, true);
    placed.map_err(|e| house.disk(e))
}

/// Returns a copy of the message, and its entry, where an earlier deposit of
/// it reached some inbox and was cut off before the own copy, which comes last:
/// sealed anew it has other bytes, and a reader may have the first already.
fn begun(
    house: &House,
    sender: &MailboxName,
    offer: &Offer,
) -> Result<Option<(Spool, EntryName)>, Refusal> {
    let entry = |name: &MailboxName, folder| {
        let found = house.store.entry(name, folder, offer.id, Some(sender));
        found.map_err(|e| house.disk(e))
    };
    if entry(sender, Folder::Sent)?.is_some() {
        return Ok(None);
    }
    for name in &offer.mailboxes {
        if let Some((there, state)) = entry(name, Folder::Inbox)? {
            if state.is_removed() {
                // Its bytes are gone; only the same ones may follow it.
                continue;
            }
            if (there.sha256, there.cms) == (offer.sha256, offer.cms) {
                return Ok(None);
            }
            let found = house
                .store
                .open_message(name, Folder::Inbox, offer.id, Some(sender));
            let (entry, _, mut file) = found.map_err(|e| house.disk(e))?;
            let mut spool = house.store.spool().map_err(|e| house.disk(e))?;
            copy(house, &mut file, &mut spool)?;
            return Ok(Some((spool, entry)));
        }
    }
    Ok(None)
}

fn copy(house: &House, file: &mut Opened, spool: &mut Spool) -> Result<(), Refusal> {
    let mut part = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut part).map_err(|error| {
            let line = house.log.line(Level::Error, "store");
            line.with("why", error).send();
            Refusal::new(Class::Io, "the repository cannot read its store")
        })?;
        match part.get(..count) {
            None | Some([]) => return Ok(()),
            Some(bytes) => spool.write(bytes).map_err(|e| house.disk(e.into()))?,
        }
    }
}

/// Returns where the sender put a message of this id before, in all the same
/// places: sealed anew it has other bytes, and is the same message.
fn earlier(
    house: &House,
    sender: &MailboxName,
    offer: &Offer,
) -> Result<Option<Vec<Placed>>, Refusal> {
    let inboxes = offer.mailboxes.iter().map(|name| (name, Folder::Inbox));
    let places = inboxes.chain([(sender, Folder::Sent)]);
    places
        .map(|(name, folder)| earlier_in(house, sender, offer.id, name, folder))
        .collect()
}

fn earlier_in(
    house: &House,
    sender: &MailboxName,
    id: MessageId,
    name: &MailboxName,
    folder: Folder,
) -> Result<Option<Placed>, Refusal> {
    let found = house
        .store
        .entry(name, folder, id, Some(sender))
        .map_err(|e| house.disk(e))?;
    let Some((entry, _)) = found else {
        return Ok(None);
    };
    let facts = Facts {
        id,
        sender: sender.clone(),
        sha256: entry.sha256,
        cms: entry.cms,
        time: entry.time,
    };
    let own = folder == Folder::Sent;
    let to = if own {
        &[][..]
    } else {
        std::slice::from_ref(name)
    };
    let placed = house.store.deposited(entry.size, &facts, to, own);
    Ok(placed
        .map_err(|e| house.disk(e))?
        .and_then(|mut all| all.pop()))
}

/// Signs the postmark of what the store has made durable in one place.
pub(super) fn mark(house: &House, sender: &MailboxName, place: &Placed) -> Result<String, Refusal> {
    let entry = &place.entry;
    let postmark = Postmark {
        repository: house.config.name.clone(),
        mailbox: place.mailbox.clone(),
        kind: match place.folder {
            Folder::Inbox => Kind::Message,
            Folder::Sent => Kind::Copy,
            Folder::Receipts => Kind::Receipt,
        },
        number: entry.number,
        sender: sender.clone(),
        id: entry.id,
        size: entry.size,
        sha256: entry.sha256,
        cms: entry.cms,
        time: entry.time,
        head: place.head,
    };
    postmark::sign(&postmark, &house.postmarks)
        .map_err(|e| Refusal::new(e.class(), "the postmark cannot be signed"))
}
