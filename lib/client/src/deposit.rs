//! Sending: signs a message, seals it, deposits it, and keeps the postmarks.
//!
//! Sends nothing unless every addressee's account verifies, and reports an id
//! only when smrd has said, in postmarks that verify, that all of it is on disk.

use std::io::{Read, Seek, SeekFrom, Write};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use rand_core::{OsRng, RngCore};
use sha2::{Digest, Sha256};
use smr_channel::request::Folder;
use smr_evidence::account::Account;
use smr_evidence::envelope::{self, Author};
pub use smr_evidence::envelope::{Part, ReceiptWanted};
use smr_evidence::postmark::{self, Kind, Postmark};
use smr_name::{Address, Class, MailboxName, MessageId};
use smr_seal::Recipient;

use crate::agent::AgentError;
use crate::failure::Failure;
use crate::heads;
use crate::known::Mark;
use crate::session::{Offer, SessionError};
use crate::spool::Spool;
use crate::user::User;

/// A message to send.
pub struct Letter {
    /// The addressees.
    pub to: Vec<Address>,
    /// Further addressees.
    pub cc: Vec<Address>,
    /// The subject; may be empty.
    pub subject: String,
    /// Text and attachments, in order.
    pub parts: Vec<Part<'static>>,
    /// Which receipt is asked for.
    pub receipt: ReceiptWanted,
    /// The message this one answers.
    pub reply: Option<MessageId>,
}

/// Draws a new message id.
pub fn new_id() -> MessageId {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    MessageId::from_bytes(bytes)
}

/// Sends a letter under `id` and returns the mailboxes it is in.
pub fn send(user: &mut User, letter: Letter, id: MessageId) -> Result<Vec<MailboxName>, Failure> {
    let to = full(user, &letter.to)?;
    let cc = full(user, &letter.cc)?;
    let mailboxes = addressees(&to, &cc);
    if mailboxes.is_empty() {
        return Err(Failure::new(Class::Usage, "no addressee").hint("smr-send MAILBOX"));
    }
    let own = user.account(&user.address.mailbox.clone())?;
    let recipients = recipients(user, &mailboxes, &own)?;
    let draft = envelope::Draft {
        from: Author {
            display: own.person.display.clone(),
            address: user.address.clone(),
        },
        to,
        cc,
        date: user.now,
        subject: &letter.subject,
        id,
        reply: letter.reply,
        receipt: letter.receipt,
        told: heads::in_message(user, &mailboxes)?,
    };
    let mut spool = Hashing::new(Spool::create(&user.home)?);
    let device = user.device()?;
    let sealed = envelope::seal(
        &draft,
        letter.parts,
        &recipients,
        &device,
        &mut spool,
        &mut OsRng,
    )?;
    let (spool, size, sha256) = spool.finish();
    let offer = Offer {
        id,
        size,
        sha256,
        cms: sealed.cms_sha256,
        mailboxes,
    };
    deposit(user, spool, offer)
}

/// Deposits a sealed file and keeps its postmarks.
fn deposit(user: &mut User, spool: Spool, offer: Offer) -> Result<Vec<MailboxName>, Failure> {
    user.session.begin();
    let notes = insist(&spool, || {
        spool
            .file()
            .seek(SeekFrom::Start(0))
            .map_err(AgentError::Body)?;
        user.session.deposit(&offer, &mut spool.file())
    })?;
    let kept = keep_postmarks(user, &offer, &notes);
    kept.map_err(|failure| user.session.prove(failure, &[]))?;
    Ok(offer.mailboxes)
}

/// Verifies that each copy has its postmark, and keeps them.
fn keep_postmarks(user: &User, offer: &Offer, notes: &[String]) -> Result<(), Failure> {
    let own = user.address.mailbox.clone();
    let copies = offer.mailboxes.iter().map(|name| (Kind::Message, name));
    let expected: Vec<_> = copies.chain([(Kind::Copy, &own)]).collect();
    if notes.len() != expected.len() {
        return Err(unkept(&format!(
            "{} postmarks for {} copies",
            notes.len(),
            expected.len()
        )));
    }
    for ((kind, mailbox), note) in expected.into_iter().zip(notes) {
        let mark = check_postmark(user, kind, mailbox, note, offer)?;
        promised(user, &mark)?;
        // Of a message to oneself, the postmark of its arrival says it all.
        if kind == Kind::Message || !offer.mailboxes.contains(&own) {
            let kept = user.known.keep_postmark(&offer.id, mailbox, note);
            kept.map_err(|error| {
                let failure = Failure::from(error).about("its postmark was not kept");
                sent_all_the_same(&offer.id, failure)
            })?;
        }
        if kind == Kind::Message {
            let kept = heads::keep(user, note, &mark);
            kept.map_err(|failure| sent_all_the_same(&offer.id, failure))?;
        }
    }
    Ok(())
}

/// Tells of a failure after the deposit: to run the command again would send
/// the message twice, so it is never one that may pass (75).
fn sent_all_the_same(id: &MessageId, failure: Failure) -> Failure {
    let class = match failure.class {
        Class::Busy => Class::Io,
        other => other,
    };
    let text = format!("message \"{id}\" was sent, but {failure}");
    let hint = failure.hint.unwrap_or_else(|| "smr-ls sent".to_owned());
    Failure::new(class, text).hint(hint)
}

// Between tries of a deposit whose outcome is not known: long enough for smrd to
// be started anew, in milliseconds.
const PAUSES: [u64; 8] = [0, 100, 200, 400, 800, 1600, 3200, 3200];

/// Runs a deposit, and again where its reply may have been lost: the id makes it
/// the same message. Before anything of it has left, once more is enough; after
/// that the message may be there, and to give up would have it sent twice.
fn insist<T>(
    spool: &Spool,
    mut run: impl FnMut() -> Result<T, SessionError>,
) -> Result<T, Failure> {
    let mut begun = false;
    for (number, pause) in PAUSES.into_iter().enumerate() {
        let error = match run() {
            Err(error) if is_cut(&error) => error,
            other => return Ok(other?),
        };
        begun |= spool.file().stream_position().is_ok_and(|at| at > 0);
        let last = number + 1 == PAUSES.len();
        if last && begun {
            let failure = Failure::from(error).hint("smr-ls sent: is it there? else send again");
            return Err(failure.about("whether the message was taken is not known"));
        }
        if last || (number > 0 && !begun) {
            return Err(error.into());
        }
        thread::sleep(Duration::from_millis(pause));
    }
    // The last number has returned.
    Err(Failure::new(Class::Broken, "a deposit without a try"))
}

// Not a refusal: smrd did not say anything.
fn is_cut(error: &SessionError) -> bool {
    matches!(error, SessionError::Agent(error) if error.class() == Class::Busy)
}

fn check_postmark(
    user: &User,
    kind: Kind,
    mailbox: &MailboxName,
    note: &str,
    offer: &Offer,
) -> Result<Postmark, Failure> {
    let mark = postmark::open(note, &user.server.postmark, &user.repository)
        .map_err(|error| unkept(&error.to_string()))?;
    let holds = mark.kind == kind
        && mark.mailbox == *mailbox
        && mark.sender == user.address.mailbox
        && mark.id == offer.id
        && mark.size == offer.size
        && mark.sha256 == offer.sha256
        && mark.cms == offer.cms;
    match holds {
        true => Ok(mark),
        false => Err(unkept(&format!(
            "the postmark for \"{mailbox}\" is another message's"
        ))),
    }
}

/// Remembers how far a postmark says that a folder of one's own is: the next
/// listing must hold it.
fn promised(user: &User, postmark: &Postmark) -> Result<(), Failure> {
    let own = &user.address.mailbox;
    let folder = match postmark.kind {
        Kind::Copy => Folder::Sent,
        Kind::Message if postmark.mailbox == *own => Folder::Inbox,
        _ => return Ok(()),
    };
    let mark = Mark {
        number: postmark.number,
        head: postmark.head,
    };
    user.known
        .see_promise(own, &user.repository, folder, &mark)?;
    Ok(())
}

/// Says that what smrd signed is not what it was to sign.
pub(crate) fn unkept(why: &str) -> Failure {
    Failure::new(
        Class::Untrusted,
        format!("smrd did not keep its word: {why}"),
    )
    .hint("keep your state folder; ask the operator what happened")
}

fn full(user: &User, addresses: &[Address]) -> Result<Vec<Address>, Failure> {
    addresses
        .iter()
        .map(|a| user.local(a).map(|name| user.full(&name)))
        .collect()
}

/// Returns the mailboxes in order, each once.
fn addressees(to: &[Address], cc: &[Address]) -> Vec<MailboxName> {
    let mut names: Vec<MailboxName> = Vec::new();
    for address in to.iter().chain(cc) {
        if !names.contains(&address.mailbox) {
            names.push(address.mailbox.clone());
        }
    }
    names
}

/// Returns every device of every addressee, and of the sender, each once.
fn recipients(
    user: &mut User,
    mailboxes: &[MailboxName],
    own: &Rc<Account>,
) -> Result<Vec<Recipient>, Failure> {
    let mut texts: Vec<String> = Vec::new();
    let mut add = |account: &Account| {
        for device in &account.devices {
            if !texts.contains(&device.recipient) {
                texts.push(device.recipient.clone());
            }
        }
    };
    add(own);
    for name in mailboxes {
        add(&*user.account(name)?);
    }
    texts
        .iter()
        .map(|text| {
            Recipient::parse(text).map_err(|error| Failure::new(Class::Forged, error.to_string()))
        })
        .collect()
}

/// Counts and hashes what is written through it.
pub(crate) struct Hashing<W> {
    inner: W,
    size: u64,
    hash: Sha256,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Hashing {
            inner,
            size: 0,
            hash: Sha256::new(),
        }
    }

    /// Returns the writer, the bytes written, and their SHA-256.
    pub(crate) fn finish(self) -> (W, u64, [u8; 32]) {
        (self.inner, self.size, self.hash.finalize().into())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Names an attachment by the last part of its path.
pub fn attachment(path: &std::path::Path, read: Box<dyn Read>) -> Part<'static> {
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    Part::Attachment { name, read }
}
