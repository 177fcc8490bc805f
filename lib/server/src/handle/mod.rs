//! What smrd does about each request, once it came whole and the table
//! permits it.
//!
//! Never asks whose mailbox: everything here acts for the session's account.

mod account;
mod body;
mod deposit;
mod introduce;
mod judge;
mod keys;
mod mailbox;
mod receipt;
mod room;
mod watch;

use std::sync::Weak;

use smr_channel::reply::Reply;
use smr_channel::request::{Offer, Request};
use smr_name::{Class, Fingerprint, MailboxName, MessageId};
use smr_store::{MailboxError, StoreError};

use crate::audit::About;
use crate::config::Level;
use crate::grounds::Grounds;
use crate::house::House;
use crate::online::Presence;
use crate::refusal::Refusal;

pub(crate) use body::{Body, Broken, Intake};
pub(crate) use introduce::introduce;
pub(crate) use judge::{is_behind, judge_card, rejudge};
pub(crate) use watch::{news, news_of, watched};

/// A session's account, and what is pending in it.
pub(crate) struct Visit {
    pub(crate) who: MailboxName,
    pub(crate) device: Fingerprint,
    /// When the session ends, unix seconds.
    pub(crate) until: i64,
    /// No record lists its device yet.
    pub(crate) guest: bool,
    /// The accepted offer whose deposit has not come.
    pub(crate) offered: Option<Offer>,
    /// The message of the inbox that was sent to the reader last.
    pub(crate) fetched: Option<MessageId>,
    /// The card's authorisation by which it was let in, if it was.
    authorisation: Option<Box<[u8]>>,
    /// The grounds and the change of the record on which it was let in; an idle
    /// session must not keep old lists in memory.
    judged: (Weak<Grounds>, u64),
    /// Guests are not seen.
    presence: Option<Presence>,
}

/// A reply and its body.
pub(crate) struct Answer<'a> {
    pub(crate) reply: Reply,
    pub(crate) body: Body<'a>,
    pub(crate) after: After,
}

/// What is to be done once the body was sent whole.
pub(crate) enum After {
    Nothing,
    /// The message of this reader's inbox counts as fetched; or was before.
    Fetched(MailboxName, MessageId, bool),
}

impl Answer<'_> {
    pub(crate) fn plain(reply: Reply) -> Self {
        Answer {
            reply,
            body: Body::default(),
            after: After::Nothing,
        }
    }
}

/// Turns an error of the store into a refusal that tells no path.
pub(crate) fn disk(error: &StoreError) -> Refusal {
    let class = error.class();
    let text = match class {
        Class::Busy => "the repository has no room or is busy",
        Class::Missing => "no such message",
        Class::NoMailbox => "no such mailbox",
        Class::Denied => match error {
            StoreError::Mailbox(MailboxError::TooManyReceipts { .. }) => {
                "too many receipts were given for this message already"
            }
            _ => "the message id names another message already",
        },
        _ => "the repository cannot read or write its store",
    };
    Refusal::new(class, text)
}

impl House {
    /// Logs an error of the store and turns it into a refusal.
    fn disk(&self, error: StoreError) -> Refusal {
        let refusal = disk(&error);
        if !matches!(
            refusal.class,
            Class::Missing | Class::NoMailbox | Class::Denied
        ) {
            let line = self.log.line(Level::Error, "store");
            line.with("why", error).send();
        }
        refusal
    }
}

/// Says what becomes of a request's body, or refuses before it comes.
pub(crate) fn intake(
    house: &House,
    visit: &mut Visit,
    request: &Request,
) -> Result<Intake, Refusal> {
    match request {
        Request::Publish => Ok(Intake::Memory(Vec::new(), account::MAX_RECORD)),
        Request::KeepKey { size, .. } => keys::intake(*size),
        Request::Account { name, .. } if visit.guest && *name != visit.who => {
            Err(judge::stranger())
        }
        Request::Deposit { id } => deposit::intake(house, visit, id),
        Request::Post(offer) => deposit::intake_post(house, visit, offer),
        Request::GiveReceipt {
            id, size, sha256, ..
        } => receipt::intake(house, visit, id, (*size, sha256)),
        _ => Ok(Intake::Nothing),
    }
}

/// Does what a request asks and returns the answer.
pub(crate) fn act<'a>(
    house: &'a House,
    visit: &mut Visit,
    request: &Request,
    intake: Intake,
    now: i64,
) -> Result<Answer<'a>, Refusal> {
    match request {
        Request::Ping | Request::Bye => Ok(Answer::plain(Reply::Done)),
        Request::Account { name, known } => account::account(house, name, known.as_ref()),
        Request::Lists { digests } => account::lists(house, digests),
        Request::KeepKey { epoch, size } => keys::keep(house, visit, *epoch, *size, intake),
        Request::Keys { after, limit } => keys::list(house, visit, *after, *limit),
        Request::Publish => account::publish(house, visit, intake, now),
        Request::Users { after, limit } => account::users(house, after.as_ref(), *limit),
        Request::Offer(offer) => deposit::offer(house, visit, offer),
        Request::Deposit { .. } | Request::Post(_) => deposit::deposit(house, visit, intake, now),
        Request::List {
            folder,
            after,
            limit,
            peek,
        } => mailbox::list(house, visit, *folder, *after, *limit, *peek),
        Request::Tally { folder } => mailbox::tally(house, visit, *folder),
        Request::Find { prefix } => mailbox::find(house, visit, prefix),
        Request::Fetch { folder, id, reader } => {
            mailbox::fetch(house, visit, *folder, id, reader.as_ref())
        }
        Request::MarkRead { id } => mailbox::mark_read(house, visit, id),
        Request::Remove { folder, id } => mailbox::remove(house, visit, *folder, id),
        Request::State { id, mailboxes } => mailbox::state(house, visit, id, mailboxes),
        Request::GiveReceipt {
            id, sha256, cms, ..
        } => receipt::give(house, visit, id, intake, (sha256, cms), now),
        // Answered elsewhere: one concerns the session's keys alone, the other
        // may have to wait.
        Request::Renew { .. } | Request::Watch { .. } => {
            Err(Refusal::new(Class::Broken, "a request went astray"))
        }
    }
}

/// Records that a message of the inbox has been sent to its reader.
pub(crate) fn fetched(house: &House, who: &MailboxName, id: MessageId, again: bool) {
    let about = About::of(again);
    let line = house.log.line_about(about, Level::Info, "fetched");
    line.with("reader", who).with("id", id).send();
    if again {
        return;
    }
    if let Err(error) = house.store.mark_fetched(who, id) {
        // The reader has the message; that it still counts as new is for the
        // operator to know, and `disk` logs it.
        house.disk(error);
    }
}
