//! Heads: what people tell one another, inside the seal, of how far mailboxes
//! had come, and what becomes of what one is told (smr-envelope(5)).
//!
//! Asks smrd for nothing but a listing, and believes of another's word only
//! what smrd has signed.

use smr_channel::request::Folder;
use smr_evidence::postmark::{Kind, Postmark};
use smr_evidence::receipt::Remark;
use smr_evidence::trace::{MAX_TOLD, Told, Trace};
use smr_name::{Address, Class, EntryName, Head, MailboxName, MessageId};

use crate::deposit::unkept;
use crate::failure::Failure;
use crate::known::{Heard, Keeping};
use crate::listing;
use crate::shelf::Shelf;
use crate::user::User;

// With more than these untold to any listing, one is asked for.
const MAX_HEARD: usize = 256;

pub(crate) fn folder_of(kind: Kind) -> Folder {
    match kind {
        Kind::Message => Folder::Inbox,
        Kind::Copy => Folder::Sent,
        Kind::Receipt => Folder::Receipts,
    }
}

pub(crate) fn kind_of(folder: Folder) -> Kind {
    match folder {
        Folder::Inbox => Kind::Message,
        Folder::Sent => Kind::Copy,
        Folder::Receipts => Kind::Receipt,
    }
}

/// Returns what a message tells: the user's other devices, how far his own
/// folders are; its addressees, how far theirs were by the last postmarks.
pub(crate) fn in_message(user: &User, to: &[MailboxName]) -> Result<Vec<Told>, Failure> {
    let mut all = Vec::new();
    for kind in [Kind::Message, Kind::Copy] {
        all.extend(of_own(user, kind)?);
    }
    for mailbox in to {
        all.extend(of_theirs(user, mailbox)?);
    }
    all.truncate(MAX_TOLD);
    Ok(all)
}

/// Returns what a receipt tells the sender of the message, of his mailbox.
pub(crate) fn of_theirs(user: &User, mailbox: &MailboxName) -> Result<Vec<Told>, Failure> {
    let own = &user.address.mailbox;
    // Of a message to oneself there is one's own word already.
    if mailbox == own {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for kind in [Kind::Message, Kind::Receipt] {
        all.extend(user.known.theirs(own, &user.repository, mailbox, kind)?);
    }
    Ok(all)
}

fn of_own(user: &User, kind: Kind) -> Result<Option<Told>, Failure> {
    let own = &user.address.mailbox;
    let due = user.known.due(own, &user.repository, folder_of(kind))?;
    let furthest = due.into_iter().max_by_key(|mark| mark.number);
    let furthest = furthest.filter(|mark| mark.number > 0);
    Ok(furthest.map(|mark| Told {
        address: user.address.clone(),
        kind,
        trace: Trace::of(&mark.head),
        signature: None,
    }))
}

/// Keeps from a postmark that was verified how far a folder is: the next listing
/// of one's own must hold it, and the owner of another may be told later.
pub(crate) fn keep(
    user: &User,
    keeping: &mut Keeping<'_>,
    note: &str,
    postmark: &Postmark,
) -> Result<(), Failure> {
    let mark = postmark.into();
    let own = &user.address.mailbox;
    if postmark.mailbox == *own {
        let folder = folder_of(postmark.kind);
        return Ok(keeping.promise(own, &user.repository, folder, &mark)?);
    }
    let told = user
        .pinned
        .told(note, postmark)
        .map_err(|error| unkept(&error.to_string()))?
        .ok_or_else(|| unkept("the postmark lets nobody compare heads"))?;
    Ok(keeping.theirs(own, &user.repository, &mark, &told)?)
}

/// Hears what somebody tells in a message or receipt that was verified and
/// lies in `folder` as `entry`. What the last listing did not meet is kept for
/// the next one, or is an alarm at once, with proof, where that one should have
/// met it.
pub(crate) fn hear(
    user: &mut User,
    told: &[Told],
    by: &Address,
    folder: Folder,
    entry: &EntryName,
) -> Result<(), Failure> {
    for one in told {
        if one.address == user.address && is_believed(user, one, by) {
            let heard = Heard {
                told: one.clone(),
                by: by.clone(),
                id: entry.id,
            };
            hear_one(user, &heard, folder, entry.number)?;
        }
    }
    Ok(())
}

/// Anybody can say anything of another's mailbox: only what smrd has signed
/// counts, and what one's own device says, signed as a message is.
fn is_believed(user: &User, told: &Told, by: &Address) -> bool {
    match told.signature {
        None => *by == user.address,
        Some(_) => user.pinned.has_signed(told),
    }
}

fn hear_one(user: &mut User, heard: &Heard, seen_in: Folder, number: u64) -> Result<(), Failure> {
    let folder = folder_of(heard.told.kind);
    let mut conclusive = false;
    if let Some(walked) = user.walked(folder) {
        if walked.lacks(&[heard.told.trace])?.is_empty() {
            return Ok(());
        }
        // It was told before this entry was made, so it lies before it.
        conclusive = folder == seen_in && walked.count() >= number;
    }
    let own = user.address.mailbox.clone();
    let waiting = user.known.hear(&own, &user.repository, folder, heard)?;
    if conclusive || waiting > MAX_HEARD {
        // It must meet what was just kept, or proves that it does not.
        listing::walked(user, folder)?;
    }
    match conclusive {
        true => Err(unmet(user, folder, heard)),
        false => Ok(()),
    }
}

/// Compares all heads of a folder with what was told of it before it was walked.
pub(crate) fn compare(
    user: &User,
    folder: Folder,
    walked: &mut Shelf,
    heard: &[Heard],
) -> Result<(), Failure> {
    if heard.is_empty() {
        return Ok(());
    }
    let told: Vec<Trace> = heard.iter().map(|h| h.told.trace).collect();
    let lacking = walked.lacks(&told)?;
    match heard.iter().find(|h| lacking.contains(&h.told.trace)) {
        Some(missing) => Err(unmet(user, folder, missing)),
        None => {
            let own = &user.address.mailbox;
            Ok(user.known.meet(own, &user.repository, folder, heard)?)
        }
    }
}

fn unmet(user: &User, folder: Folder, heard: &Heard) -> Failure {
    let whose = match heard.by == user.address {
        true => "another device of yours".to_owned(),
        false => format!("\"{}\"", heard.by),
    };
    let own = &user.address.mailbox;
    let file = user.known.heard_file(own, &user.repository, folder);
    let why = format!(
        "it does not come past what {whose} tells of it in \"{}\"",
        heard.id
    );
    listing::altered(folder, &why).hint(format!(
        "keep \"{}\"; compare your mailbox with {whose}, and ask the operator",
        file.display()
    ))
}

/// Says where a message stands in the inbox, all of which was walked.
pub(crate) fn place(user: &mut User, entry: &EntryName) -> Result<(u64, Head), Failure> {
    let number = entry.number;
    let walked = user.walked(Folder::Inbox);
    if walked.is_none_or(|shelf| shelf.count() < number) {
        listing::walked(user, Folder::Inbox)?;
    }
    let why = "it lists another message than it serves under one number";
    let another = || listing::altered(Folder::Inbox, why);
    let shelf = user.walked(Folder::Inbox).ok_or_else(another)?;
    let before = shelf.head_at(number.saturating_sub(1))?;
    let here = shelf.head_at(number)?;
    let here = here.filter(|here| before.map(|head| head.extend(entry)) == Some(*here));
    here.map(|head| (number, head)).ok_or_else(another)
}

/// Checks that a message stands in its reader's inbox, as he says in his
/// receipt, where the postmark says that this user was given for it.
pub(crate) fn agree(
    user: &User,
    id: &MessageId,
    reader: &MailboxName,
    remark: &Remark,
) -> Result<(), Failure> {
    // Another device sent it: this one has no postmark to compare.
    let Some(note) = user.known.postmark(id, reader)? else {
        return Ok(());
    };
    let postmark = user
        .pinned
        .postmark(&note)
        .map_err(|error| unkept(&error.to_string()))?;
    if (postmark.number, postmark.head) == (remark.number, remark.head) {
        return Ok(());
    }
    let how = match postmark.number == remark.number {
        true => format!("after other messages than as number {}", postmark.number),
        false => format!("as number {}, not {}", remark.number, postmark.number),
    };
    let failure = Failure::new(
        Class::Untrusted,
        format!("\"{reader}\" was shown the message {how} of his inbox, as its postmark says"),
    )
    .hint(format!(
        "keep your state folder; compare with \"{reader}\" what smrd shows each of you"
    ));
    // smrd's last word has the receipt in it.
    let against = [("postmark".to_owned(), note.into_bytes())];
    Err(user.session.prove(failure, &against))
}
