//! The outbox: messages that wait until smrd can be reached.
//!
//! Each is signed, and sealed to this account's own devices; when it leaves it
//! is sealed anew, to those whom its addressees' records name that day. Deletes
//! none before smrd's postmarks say that it is on disk.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use smr_evidence::envelope::{self, Author};
use smr_name::{Class, IdPrefix, MailboxName, MessageId};

use crate::deposit::{self, Hashing, Letter};
use crate::failure::Failure;
use crate::fresh::Fresh;
use crate::hand::Hand;
use crate::once;
use crate::private::{self, Lock, PrivateError};
use crate::session::Offer;
use crate::spool::Spool;
use crate::succession;
use crate::user::User;

/// Returns the folder of what waits.
pub(crate) fn folder(user: &User) -> PathBuf {
    user.home.outbox().join(user.address.to_string())
}

fn file(user: &User, id: &MessageId) -> PathBuf {
    folder(user).join(format!("{id}.age"))
}

/// Signs a message and puts it into the outbox, sealed to this account alone;
/// needs no smrd, but an account that has met it before.
pub(crate) fn write(
    user: &User,
    letter: Letter,
    id: MessageId,
    hand: &Hand,
) -> Result<(), Failure> {
    let own = &user.address.mailbox;
    let contact = user.known.contact(own, &user.repository)?;
    let record = match &contact {
        Some(contact) => user.known.record(own, &user.repository, contact)?,
        None => None,
    };
    let account =
        record.and_then(|record| succession::reopen(&record, user.trust(), &user.rules()));
    let account = account.ok_or_else(|| {
        let text = "smrd cannot be reached, and nothing is known of this account to seal it by";
        Failure::new(Class::Busy, text).hint("is smrd running? try again later")
    })?;
    let recipients = account.recipients();
    let author = Author {
        display: hand.display(&account),
        address: user.address.clone(),
    };
    let mut spool = Spool::create(&user.home)?;
    deposit::seal(user, author, letter, id, &recipients, hand, &mut spool)?;
    keep(user, &spool, &id)
}

/// Keeps a sealed message in the outbox, durably.
pub(crate) fn keep(user: &User, spool: &Spool, id: &MessageId) -> Result<(), Failure> {
    private::make_dir(&folder(user))?;
    let fresh = match Fresh::beside(&file(user, id)) {
        // The same message: it waits already.
        Err(PrivateError::Exists(_)) => return Ok(()),
        fresh => fresh?,
    };
    let copied = rewound(spool.file()).and_then(|mut sealed| {
        std::io::copy(&mut sealed, &mut fresh.file()).map_err(|e| failed(&file(user, id), &e))
    });
    copied?;
    match fresh.keep() {
        Err(PrivateError::Exists(_)) => Ok(()),
        kept => Ok(kept?),
    }
}

/// Tells whether a message waits.
pub(crate) fn holds(user: &User, id: &MessageId) -> bool {
    file(user, id).exists()
}

/// Returns the messages that wait, by id.
pub fn waiting(user: &User) -> Result<Vec<MessageId>, Failure> {
    let names = private::names(&folder(user))?;
    let ids = names
        .iter()
        .filter_map(|n| n.strip_suffix(".age")?.parse().ok());
    let mut ids: Vec<MessageId> = ids.collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Finds the one message that waits and whose id begins so.
pub fn find(user: &User, prefix: &IdPrefix) -> Result<MessageId, Failure> {
    let mut fit = waiting(user)?.into_iter().filter(|id| prefix.matches(id));
    match (fit.next(), fit.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(Failure::new(
            Class::Missing,
            format!("no message \"{prefix}\" waits in the outbox"),
        )
        .hint("smr-ls sent")),
        (Some(_), Some(_)) => Err(Failure::new(
            Class::Usage,
            format!("several messages in the outbox begin with \"{prefix}\""),
        )
        .hint("smr-send --flush")),
    }
}

/// Sends a message that waits, once, and returns the mailboxes it is in.
pub fn flush(user: &mut User, id: &MessageId) -> Result<Vec<MailboxName>, Failure> {
    let path = file(user, id);
    let about = |f: Failure| f.about(&format!("message \"{id}\" in the outbox"));
    // Two at once would deposit it twice; smrd would take it for one all the same.
    let _turn = Lock::wait(&folder(user).join("lock"))?;
    let mut sealed = match File::open(&path) {
        Ok(sealed) => sealed,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("no message \"{id}\" waits in the outbox");
            return Err(Failure::new(Class::Missing, text).hint("smr-ls sent"));
        }
        Err(e) => return Err(failed(&path, &e)),
    };
    let opened = envelope::verify(&mut sealed, &user.keys).map_err(|e| about(e.into()))?;
    let headers = &opened.headers;
    if headers.id != *id || headers.from.address != user.address {
        return Err(about(Failure::new(Class::Forged, "it is another message")));
    }
    let mut mailboxes: Vec<MailboxName> = Vec::new();
    for address in headers.addressees() {
        let name = user.local(address)?;
        if !mailboxes.contains(&name) {
            mailboxes.push(name);
        }
    }
    // It may have left, and the answer, or this program, been lost.
    let done = match once::again(user, &mailboxes, *id)? {
        Some(mailboxes) => mailboxes,
        None => send(user, &sealed, &opened, mailboxes).map_err(about)?,
    };
    private::remove(&path)?;
    Ok(done)
}

fn send(
    user: &mut User,
    sealed: &File,
    opened: &envelope::Opened,
    mailboxes: Vec<MailboxName>,
) -> Result<Vec<MailboxName>, Failure> {
    let own = user.account(&user.address.mailbox.clone())?;
    let recipients = deposit::recipients(user, &mailboxes, &own)?;
    let mut spool = Hashing::new(Spool::create(&user.home)?);
    envelope::reseal(sealed, &user.keys, opened, &recipients, &mut spool)?;
    let (spool, size, sha256) = spool.finish();
    let offer = Offer {
        id: opened.headers.id,
        size,
        sha256,
        cms: opened.cms_sha256,
        mailboxes,
    };
    deposit::deposit(user, &spool, offer)
}

fn rewound(mut file: &File) -> Result<&File, Failure> {
    file.seek(SeekFrom::Start(0))
        .map_err(|e| Failure::new(Class::Io, format!("the spool file failed: {e}")))?;
    Ok(file)
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    let class = match private::is_full(error) {
        true => Class::Busy,
        false => Class::Io,
    };
    Failure::new(class, format!("\"{}\": {error}", path.display()))
}
