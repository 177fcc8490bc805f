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
use smr_evidence::account::Account;
use smr_evidence::envelope::{self, Author, Sealed};
pub use smr_evidence::envelope::{Part, ReceiptWanted};
use smr_evidence::postmark::{Kind, Postmark};
use smr_name::{Address, Class, MailboxName, MessageId};
use smr_seal::Recipient;

use crate::agent::AgentError;
use crate::failure::Failure;
use crate::hand::Hand;
use crate::heads;
use crate::known::{Keeping, KnownError};
use crate::listing;
use crate::meter::Stage;
use crate::once::{again, postmarked};
use crate::outbox;
use crate::proof::Against;
use crate::reached::Reached;
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

/// What became of a letter.
pub enum Sent {
    /// It is in these mailboxes.
    Deposited(Vec<MailboxName>),
    /// It waits in the outbox, because smrd cannot be reached: why.
    Queued(Failure),
}

/// How a letter is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Its id may name a message that was sent before, whole or in part: then
    /// it is that message.
    pub once: bool,
    /// It goes into the outbox where smrd cannot be reached.
    pub queue: bool,
}

/// Sends a letter under `id`, signed by `hand`.
pub fn send(
    user: &mut User,
    letter: Letter,
    id: MessageId,
    hand: &Hand,
    how: How,
) -> Result<Sent, Failure> {
    let mailboxes = addressed(user, &letter)?;
    if how.once && outbox::holds(user, &id) {
        return match unreachable(user) {
            Some(why) if how.queue => Ok(Sent::Queued(why)),
            Some(why) => Err(why),
            None => outbox::flush(user, &id).map(Sent::Deposited),
        };
    }
    if how.once && postmarked(user, &mailboxes, &id)? {
        return Ok(Sent::Deposited(mailboxes));
    }
    if how.queue
        && let Some(why) = unreachable(user)
    {
        outbox::write(user, letter, id, hand)?;
        return Ok(Sent::Queued(why));
    }
    if how.once
        && let Some(there) = again(user, &mailboxes, id)?
    {
        return Ok(Sent::Deposited(there));
    }
    let (spool, offer) = compose(user, letter, id, mailboxes, hand)?;
    let kept = match hand_over(user, &spool, &offer, !how.once) {
        Err(failure) if how.queue && failure.class == Class::Busy => {
            return queue(user, &spool, &id, failure);
        }
        handed => handed?,
    };
    match kept {
        Ok(behind) => {
            hold(user, &behind)?;
            Ok(Sent::Deposited(offer.mailboxes))
        }
        // smrd had begun with it before: the postmarks are of that sealing.
        Err(unkept) if how.once && unkept.failure.class == Class::Untrusted => {
            match again(user, &offer.mailboxes, id) {
                Ok(Some(there)) => Ok(Sent::Deposited(there)),
                _ => Err(unkept.failure),
            }
        }
        Err(unkept) => Err(unkept.proved(user)),
    }
}

/// Lets a message wait that is sealed already, where it is smrd that fails.
fn queue(user: &mut User, spool: &Spool, id: &MessageId, why: Failure) -> Result<Sent, Failure> {
    match unreachable(user) {
        Some(_) => {
            outbox::keep(user, spool, id)?;
            Ok(Sent::Queued(why))
        }
        None => Err(why),
    }
}

/// Returns why smrd cannot be reached, if it cannot.
fn unreachable(user: &mut User) -> Option<Failure> {
    let answer = user.session.ping().map_err(Failure::from);
    answer.err().filter(|failure| failure.class == Class::Busy)
}

/// Returns the mailboxes a letter is for.
fn addressed(user: &User, letter: &Letter) -> Result<Vec<MailboxName>, Failure> {
    let mailboxes = addressees(&full(user, &letter.to)?, &full(user, &letter.cc)?);
    match mailboxes.is_empty() {
        true => Err(Failure::new(Class::Usage, "no addressee").hint("smr-send MAILBOX")),
        false => Ok(mailboxes),
    }
}

/// Signs a letter and seals it to all its addressees, once each of their
/// accounts has verified.
fn compose(
    user: &mut User,
    letter: Letter,
    id: MessageId,
    mailboxes: Vec<MailboxName>,
    hand: &Hand,
) -> Result<(Spool, Offer), Failure> {
    let own = user.account(&user.address.mailbox.clone())?;
    let recipients = recipients(user, &mailboxes, &own)?;
    let author = Author {
        display: hand.display(&own),
        address: user.address.clone(),
    };
    let mut spool = Spool::create(&user.home)?;
    let sealed = seal(user, author, letter, id, &recipients, hand, &mut spool)?;
    let offer = Offer {
        id,
        size: sealed.sealed_bytes,
        sha256: sealed.sealed_sha256,
        cms: sealed.cms_sha256,
        mailboxes,
    };
    Ok((spool, offer))
}

/// Signs a letter and seals it to these recipients.
pub(crate) fn seal(
    user: &User,
    from: Author,
    letter: Letter,
    id: MessageId,
    recipients: &[Recipient],
    hand: &Hand,
    out: &mut dyn Write,
) -> Result<Sealed, Failure> {
    let draft = envelope::Draft {
        from,
        to: full(user, &letter.to)?,
        cc: full(user, &letter.cc)?,
        date: user.now,
        subject: &letter.subject,
        id,
        reply: letter.reply,
        receipt: letter.receipt,
        told: heads::in_message(user, &addressed(user, &letter)?)?,
    };
    let mut out = user.meter.over(Stage::Sealing, None, out);
    let sealed = envelope::seal(
        &draft,
        letter.parts,
        recipients,
        hand.signer(),
        &mut out,
        &mut OsRng,
    )?;
    Ok(sealed)
}

/// Deposits a sealed file that may have been deposited before, and keeps its
/// postmarks.
pub(crate) fn deposit(
    user: &mut User,
    spool: &Spool,
    offer: Offer,
) -> Result<Vec<MailboxName>, Failure> {
    let kept = hand_over(user, spool, &offer, false)?;
    let behind = kept.map_err(|unkept| unkept.proved(user))?;
    hold(user, &behind)?;
    Ok(offer.mailboxes)
}

/// Postmarks that are not what they should be.
struct Unkept {
    failure: Failure,
    /// What they contradict.
    against: Vec<Against>,
}

impl From<Failure> for Unkept {
    fn from(failure: Failure) -> Self {
        Unkept {
            failure,
            against: Vec::new(),
        }
    }
}

impl Unkept {
    fn proved(self, user: &User) -> Failure {
        user.session.prove(self.failure, &self.against)
    }
}

/// Deposits a sealed file; returns whether its postmarks are right and kept,
/// and those of one's own folders that lie behind what was known of them, which
/// only those of a message that is not `new` may.
fn hand_over(
    user: &mut User,
    spool: &Spool,
    offer: &Offer,
    new: bool,
) -> Result<Result<Vec<Postmark>, Unkept>, Failure> {
    let reached = Reached::look(user, copies(user, offer))?;
    user.session.begin();
    let notes = insist(spool, || {
        spool
            .file()
            .seek(SeekFrom::Start(0))
            .map_err(AgentError::Body)?;
        let meter = user.meter.clone();
        let mut sealed = meter.over(Stage::Depositing, Some(offer.size), spool.file());
        user.session.deposit(offer, &mut sealed)
    })?;
    Ok(keep_postmarks(user, offer, &notes, &reached, new))
}

/// Lists what must hold these postmarks.
fn hold(user: &mut User, behind: &[Postmark]) -> Result<(), Failure> {
    behind
        .iter()
        .try_for_each(|postmark| listing::hold(user, postmark))
}

/// Returns where the copies of a message go, in the order of their postmarks.
fn copies<'a>(user: &'a User, offer: &'a Offer) -> Vec<(Kind, &'a MailboxName)> {
    let inboxes = offer.mailboxes.iter().map(|name| (Kind::Message, name));
    inboxes
        .chain([(Kind::Copy, &user.address.mailbox)])
        .collect()
}

/// Verifies that each copy has its postmark, and keeps them; else as
/// [`hand_over`].
fn keep_postmarks(
    user: &User,
    offer: &Offer,
    notes: &[String],
    reached: &Reached,
    new: bool,
) -> Result<Vec<Postmark>, Unkept> {
    let expected = copies(user, offer);
    if notes.len() != expected.len() {
        let text = format!("{} postmarks for {} copies", notes.len(), expected.len());
        return Err(unkept(&text).into());
    }
    let lost = |error| not_kept(&offer.id, error);
    let mut keeping = user.known.keeping().map_err(lost)?;
    let mut behind = Vec::new();
    let checked: Result<(), Unkept> =
        expected
            .into_iter()
            .zip(notes)
            .try_for_each(|(copy, note)| {
                let late = keep_postmark(user, &mut keeping, copy, note, (offer, reached, new))?;
                behind.extend(late);
                Ok(())
            });
    // Those that are right are kept, whatever the next is.
    let kept = keeping.keep().map_err(lost);
    checked?;
    kept?;
    Ok(behind)
}

/// Verifies the postmark of one copy, and lets it be kept; returns one that lies
/// behind what was known of a folder of one's own.
fn keep_postmark(
    user: &User,
    keeping: &mut Keeping<'_>,
    (kind, mailbox): (Kind, &MailboxName),
    note: &str,
    (offer, reached, new): (&Offer, &Reached, bool),
) -> Result<Option<Postmark>, Unkept> {
    let own = &user.address.mailbox;
    let mark = check_postmark(user, kind, mailbox, note, offer)?;
    let contradicts = |failure| Unkept {
        failure: sent_all_the_same(&offer.id, failure),
        against: reached.against(user, &mark),
    };
    // Of a message to oneself, the postmark of its arrival says it all.
    if kind == Kind::Message || !offer.mailboxes.contains(own) {
        let kept = keeping.postmark(&offer.id, mailbox, note);
        kept.map_err(|error| not_kept(&offer.id, error))?;
    }
    heads::keep(user, keeping, note, &mark).map_err(contradicts)?;
    match reached.passed_by(&mark) {
        Ok(()) => Ok(None),
        Err(back) if new => Err(contradicts(back.into())),
        // Its first postmark, as it may be: one's own folder shows it.
        Err(_) => Ok((mailbox == own).then_some(mark)),
    }
}

fn not_kept(id: &MessageId, error: KnownError) -> Failure {
    sent_all_the_same(id, Failure::from(error).about("its postmark was not kept"))
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
    let mark = user
        .pinned
        .postmark(note)
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
pub(crate) fn addressees(to: &[Address], cc: &[Address]) -> Vec<MailboxName> {
    let mut names: Vec<MailboxName> = Vec::new();
    for address in to.iter().chain(cc) {
        if !names.contains(&address.mailbox) {
            names.push(address.mailbox.clone());
        }
    }
    names
}

/// Returns every device of every addressee, and of the sender, each once.
pub(crate) fn recipients(
    user: &mut User,
    mailboxes: &[MailboxName],
    own: &Rc<Account>,
) -> Result<Vec<Recipient>, Failure> {
    let mut recipients = Vec::new();
    add_devices(&mut recipients, own)?;
    for name in mailboxes {
        add_devices(&mut recipients, &*user.account(name)?)?;
    }
    Ok(recipients)
}

/// Adds the keys of an account. One of another kind than the sender's is
/// refused: a message has one kind, and nobody is to get a weaker one unasked.
fn add_devices(recipients: &mut Vec<Recipient>, account: &Account) -> Result<(), Failure> {
    for device in &account.devices {
        let key = &device.recipient;
        let kind = recipients.first().unwrap_or(key).kind();
        if key.kind() != kind {
            let text = format!(
                "{} has a key of the kind \"{}\", and your message would be of the kind \"{kind}\"",
                account.address,
                key.kind()
            );
            return Err(Failure::new(Class::Denied, text)
                .hint("who of you sets [keys] kind in client.toml, and runs smr-login?"));
        }
        if !recipients.contains(key) {
            recipients.push(key.clone());
        }
    }
    Ok(())
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
