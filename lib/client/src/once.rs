//! Once: a message that may have been sent before, by a program that was
//! killed, or whose answer was lost, is known again by its id.
//!
//! Believes postmarks kept here, and one's own verified copy at smrd; never
//! smrd's bare word.

use smr_channel::request::Folder;
use smr_name::{Class, MailboxName, MessageId};

use crate::deposit::{addressees, deposit, unkept};
use crate::failure::Failure;
use crate::fetch;
use crate::session::Offer;
use crate::user::User;

/// Derives the message id that belongs to a key, the same each time.
pub fn id(user: &mut User, key: &str) -> Result<MessageId, Failure> {
    Ok(user.session.derive(key)?)
}

/// Tells whether every postmark of a message is kept here: then all of it is
/// on disk there.
pub(crate) fn postmarked(
    user: &User,
    mailboxes: &[MailboxName],
    id: &MessageId,
) -> Result<bool, Failure> {
    let kept = user.known.postmarked(id)?;
    if kept.is_empty() {
        return Ok(false);
    }
    let own = &user.address.mailbox;
    let of_others = |name: &&MailboxName| !mailboxes.contains(name) && *name != own;
    if let Some(other) = kept.iter().find(of_others) {
        return Err(other_message(id, other));
    }
    for name in mailboxes.iter().chain([own]) {
        let Some(note) = user.known.postmark(id, name)? else {
            return Ok(false);
        };
        let mark = user
            .pinned
            .postmark(&note)
            .map_err(|error| unkept(&error.to_string()))?;
        if mark.id != *id || mark.mailbox != *name || mark.sender != *own {
            return Err(unkept("a postmark kept here is another message's"));
        }
    }
    Ok(true)
}

/// Says that the id belongs to a message for somebody else.
fn other_message(id: &MessageId, other: &MailboxName) -> Failure {
    Failure::new(
        Class::Denied,
        format!("message \"{id}\" was sent before, to other mailboxes such as \"{other}\""),
    )
    .hint("--once with another KEY, for another message")
}

/// Looks for a message that was sent before under this id, and deposits that
/// very file again: smrd answers with the postmarks of the first time, or
/// completes what was begun.
pub(crate) fn again(
    user: &mut User,
    mailboxes: &[MailboxName],
    id: MessageId,
) -> Result<Option<Vec<MailboxName>>, Failure> {
    let found = fetch::matches(user, &id.into())?;
    if !found.contains(&(Folder::Sent, id)) {
        return Ok(None);
    }
    let message = fetch::fetch_own(user, id)?;
    let headers = &message.opened.headers;
    let sent = addressees(&headers.to, &headers.cc);
    let other = sent.iter().find(|name| !mailboxes.contains(name));
    let missing = mailboxes.iter().find(|name| !sent.contains(name));
    if let Some(name) = other.or(missing) {
        return Err(other_message(&id, name));
    }
    let name = &message.entry.name;
    let offer = Offer {
        id,
        size: name.size,
        sha256: name.sha256,
        cms: name.cms,
        mailboxes: sent,
    };
    deposit(user, message.sealed(), offer).map(Some)
}
