//! Receipts and evidence: gives receipts for what was read, checks those that
//! came back, and exports what a stranger needs to check them himself.
//!
//! Verifies everything before it signs; counts nothing that does not verify.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
pub use smr_channel::reply::Entry;
pub use smr_channel::reply::Progress;
use smr_channel::reply::State;
use smr_channel::request::{Folder, MAX_WATCH};
pub use smr_evidence::bundle::Report;
use smr_evidence::bundle::{self, Bundle, BundleError, Content, Given};
use smr_evidence::envelope::{Emit, Opened, ReceiptWanted};
pub use smr_evidence::note::succession::Chain;
pub use smr_evidence::postmark::Postmark;
use smr_evidence::postmark::{self, Kind};
use smr_evidence::reading::{Grade, Grounds, Verified};
use smr_evidence::receipt::{self, ReceiptError, Remark, SealedReceipt};
use smr_evidence::refusal::{self, Answer};
pub use smr_evidence::trust::TrustStore;
use smr_evidence::trust::{Certificate, Rules};
use smr_name::{Class, Fingerprint, MailboxName, MessageId};
use smr_seal::Recipient;

use crate::deposit::unkept;
use crate::failure::Failure;
use crate::fetch::{self, Message};
use crate::fresh::Fresh;
use crate::hand::Hand;
use crate::heads;
use crate::home::Home;
use crate::known::Known;
use crate::listing;
use crate::private::PrivateError;
use crate::reached::Reached;
use crate::session::Receipt;
use crate::stamps::{Clocks, Stamps};
use crate::user::User;

// A receipt is a signature and its chain; smrd lists no more of a file.
const MAX_RECEIPT: u32 = 256 << 10;

/// How a sent message stands with one of its addressees.
pub struct Standing {
    /// The message.
    pub id: MessageId,
    /// The addressee.
    pub recipient: MailboxName,
    /// How far it has come, as smrd says.
    pub progress: Progress,
    /// When smrd took the receipt, else none; unix seconds.
    pub time: Option<i64>,
    /// The verdict on the receipt: who signed, or why it does not count; none
    /// where there is no receipt.
    pub receipt: Option<Result<Verified, Failure>>,
    /// Why he refuses one, in his words, where he does; `receipt` says who
    /// signed that.
    pub refused: Option<String>,
}

impl Standing {
    /// Tells whether a good receipt is there.
    pub fn is_good(&self) -> bool {
        matches!(self.receipt, Some(Ok(_))) && self.refused.is_none()
    }

    /// Takes one answer more: a good receipt counts before a refusal, and that
    /// before one that does not count.
    fn take(&mut self, time: i64, checked: Result<Received, Failure>) {
        let refused = match &checked {
            Ok(received) => received.refused.clone(),
            Err(_) if self.refused.is_some() => return,
            Err(_) => None,
        };
        self.time = Some(time);
        self.refused = refused;
        self.receipt = Some(checked.map(|received| received.by));
    }

    /// Returns the class of the receipt, `Q` or `D`.
    pub fn grade(&self) -> Option<Grade> {
        self.receipt
            .as_ref()?
            .as_ref()
            .ok()
            .map(|verified| verified.grade)
    }
}

/// Gives a receipt for a message that was read, signed by `hand`.
pub fn give(user: &mut User, id: MessageId, hand: &Hand) -> Result<(), Failure> {
    let message = read(user, id)?;
    give_for(user, &message, hand)
}

/// Refuses the receipt for a message that was read: says so to its sender,
/// signed by `hand`, with a reason that may be empty.
pub fn refuse(user: &mut User, id: MessageId, reason: &str, hand: &Hand) -> Result<(), Failure> {
    let message = read(user, id)?;
    let about = |f: Failure| f.about(&format!("message \"{id}\""));
    let (signer, me) = (hand.signer(), &user.address);
    let der = refusal::write(&message.opened, me, reason, signer, user.now)
        .map_err(|e| about(e.into()))?;
    let sealed = seal(user, &message, |recipients| refusal::seal(&der, recipients))?;
    let sender = &message.entry.name.sender;
    hand_in(user, sender, &offer(id, &sealed), &sealed.bytes, true)
}

/// Fetches and verifies again what was read.
fn read(user: &mut User, id: MessageId) -> Result<Message, Failure> {
    let message = fetch::fetch(user, Folder::Inbox, id)?;
    match message.entry.state {
        State::Read => Ok(message),
        _ => Err(
            Failure::new(Class::Denied, format!("message \"{id}\" was not read"))
                .hint(format!("smr-recv {id}")),
        ),
    }
}

/// Gives a receipt for a message that was just fetched and verified. smrd
/// refuses it as long as the message is not marked read.
pub fn give_for(user: &mut User, message: &Message, hand: &Hand) -> Result<(), Failure> {
    let sealed = write(user, message, hand)?;
    let sender = &message.entry.name.sender;
    let receipt = offer(message.id, &sealed);
    hand_in(user, sender, &receipt, &sealed.bytes, true)
}

/// Signs and seals a receipt for a message that was just fetched and verified.
pub(crate) fn write(
    user: &mut User,
    message: &Message,
    hand: &Hand,
) -> Result<SealedReceipt, Failure> {
    let id = message.id;
    let about = |f: Failure| f.about(&format!("message \"{id}\""));
    if message.opened.headers.receipt == ReceiptWanted::Card && !hand.is_card() {
        return Err(Failure::new(
            Class::Denied,
            format!("message \"{id}\" asks for a receipt signed by the card itself"),
        )
        .hint(format!("smr-receipt --by card {id}")));
    }
    let sender = message.entry.name.sender.clone();
    let (number, head) = heads::place(user, &message.entry.name)?;
    let remark = Remark {
        number,
        head,
        told: heads::of_theirs(user, &sender)?,
    };
    let (signer, me) = (hand.signer(), &user.address);
    let der = receipt::write(&message.opened, me, Some(&remark), signer, user.now)
        .map_err(|e| about(e.into()))?;
    seal(user, message, |recipients| receipt::seal(&der, recipients))
}

/// Seals an answer to the sender's devices.
fn seal(
    user: &mut User,
    message: &Message,
    seal: impl FnOnce(&[Recipient]) -> Result<SealedReceipt, ReceiptError>,
) -> Result<SealedReceipt, Failure> {
    let account = user.account(&message.entry.name.sender)?;
    seal(&account.recipients())
        .map_err(|e| Failure::from(e).about(&format!("message \"{}\"", message.id)))
}

/// Returns how smrd is told of a sealed receipt.
pub(crate) fn offer(id: MessageId, sealed: &SealedReceipt) -> Receipt {
    Receipt {
        id,
        size: sealed.bytes.len() as u64,
        sha256: sealed.sha256,
        cms: sealed.cms_sha256,
    }
}

/// Deposits a sealed receipt for a message of this sender; a `new` one was never
/// deposited before.
pub(crate) fn hand_in(
    user: &mut User,
    sender: &MailboxName,
    receipt: &Receipt,
    sealed: &[u8],
    new: bool,
) -> Result<(), Failure> {
    let reached = Reached::look(user, [(Kind::Receipt, sender)])?;
    user.session.begin();
    let notes = user
        .session
        .give_receipt(receipt, &mut Cursor::new(sealed))?;
    let (note, mark) = check_postmark(user, sender, &notes, receipt)
        .map_err(|failure| user.session.prove(failure, &[]))?;
    let mut keeping = user.known.keeping()?;
    let kept = heads::keep(user, &mut keeping, note, &mark);
    let kept = kept.and_then(|()| Ok(keeping.keep()?));
    let kept = kept.and_then(|()| match new {
        true => Ok(reached.passed_by(&mark)?),
        // It may be its first postmark.
        false => Ok(()),
    });
    kept.map_err(|failure| user.session.prove(failure, &reached.against(user, &mark)))
}

fn check_postmark<'a>(
    user: &User,
    sender: &MailboxName,
    notes: &'a [String],
    receipt: &Receipt,
) -> Result<(&'a str, Postmark), Failure> {
    let [note] = notes else {
        return Err(unkept("a receipt has one postmark"));
    };
    let mark = user
        .pinned
        .postmark(note)
        .map_err(|error| unkept(&error.to_string()))?;
    let holds = mark.kind == Kind::Receipt
        && mark.mailbox == *sender
        && mark.sender == user.address.mailbox
        && mark.id == receipt.id
        && mark.size == receipt.size
        && mark.sha256 == receipt.sha256
        && mark.cms == receipt.cms;
    match holds {
        true => Ok((note, mark)),
        false => Err(unkept("the postmark is another receipt's")),
    }
}

/// Returns the ids of all sent messages, by sending.
pub fn sent(user: &mut User) -> Result<Vec<MessageId>, Failure> {
    let entries = listing::entries(user, Folder::Sent)?;
    Ok(entries.iter().map(|e| e.name.id).collect())
}

/// Returns what lies in the folder of receipts.
pub fn given(user: &mut User) -> Result<Vec<Entry>, Failure> {
    listing::entries(user, Folder::Receipts)
}

/// Waits until there are more receipts than these, which [`given`] has
/// returned, or for `time`, 15 minutes at most; returns how many there are.
pub fn await_more(user: &mut User, receipts: &[Entry], time: Duration) -> Result<u64, Failure> {
    let known = receipts.last().map_or(0, |entry| entry.name.number);
    // Rounded up: a watch has whole seconds.
    let wait = u16::try_from(time.as_secs().saturating_add(1)).unwrap_or(MAX_WATCH);
    let wait = wait.min(MAX_WATCH);
    Ok(user.session.watch(Folder::Receipts, known, wait)?)
}

/// Says how a sent message stands with each of its addressees; `receipts` are
/// those of [`given`].
pub fn standing(
    user: &mut User,
    id: MessageId,
    receipts: &[Entry],
) -> Result<Vec<Standing>, Failure> {
    let original = fetch::fetch(user, Folder::Sent, id)?;
    let mut mailboxes: Vec<MailboxName> = Vec::new();
    for address in original.opened.headers.addressees() {
        if !mailboxes.contains(&address.mailbox) {
            mailboxes.push(address.mailbox.clone());
        }
    }
    let states = user.session.state(id, &mailboxes)?;
    let mut found = Vec::with_capacity(mailboxes.len());
    for mailbox in mailboxes {
        let told = states.iter().find(|(name, _)| *name == mailbox);
        let progress = told.map_or(Progress::Unknown, |(_, progress)| *progress);
        // There may be several: the best one counts, and the last failure is told.
        let mine = receipts
            .iter()
            .filter(|e| e.name.id == id && e.name.sender == mailbox);
        let mut standing = Standing {
            id,
            recipient: mailbox.clone(),
            progress,
            time: None,
            receipt: None,
            refused: None,
        };
        for entry in mine {
            if !standing.is_good() {
                let deposited = Some(entry.name.time);
                let checked = received(user, &original.opened, entry, deposited);
                standing.take(entry.name.time, checked);
            }
        }
        found.push(standing);
    }
    Ok(found)
}

/// Fetches the sealed bytes of one receipt, that of this entry and no other of
/// the same reader, by way of a listing that shows it whole.
fn sealed(user: &mut User, entry: &Entry) -> Result<Vec<u8>, Failure> {
    let name = &entry.name;
    let about = |class, why: &str| {
        let whose = format!("the receipt by \"{}\"", name.sender);
        Failure::new(class, format!("{whose} for \"{}\": {why}", name.id))
    };
    let size = u32::try_from(name.size)
        .ok()
        .filter(|size| *size <= MAX_RECEIPT);
    let size = size.ok_or_else(|| about(Class::Forged, "it is too large for one"))?;
    user.session.begin();
    let page = user
        .session
        .list(Folder::Receipts, name.number - 1, 1, size)?;
    let found = page
        .entries
        .into_iter()
        .find(|(other, _)| other.name == *name);
    let (_, bytes) = found.ok_or_else(|| {
        let gone = about(Class::Untrusted, "smrd no longer has it");
        user.session.prove(gone, &[])
    })?;
    match <[u8; 32]>::from(Sha256::digest(&bytes)) == name.sha256 {
        true => Ok(bytes),
        false => Err(about(
            Class::Forged,
            "it is not the file that was deposited",
        )),
    }
}

/// An answer of a reader's that counts.
struct Received {
    der: Vec<u8>,
    by: Verified,
    /// Why he refuses a receipt, where it is a refusal.
    refused: Option<String>,
}

/// Fetches one receipt or refusal and verifies it against the original, judged
/// as of its deposit, or as of now where nothing is to prove that to others.
fn received(
    user: &mut User,
    original: &Opened,
    entry: &Entry,
    deposited: Option<i64>,
) -> Result<Received, Failure> {
    let name = &entry.name;
    let sealed = sealed(user, entry)?;
    let answer = refusal::open(&sealed, &user.keys)?;
    let account = user.author(&name.sender)?;
    let rules = user.rules();
    let grounds = Grounds {
        account: &account,
        store: user.trust(),
        rules: &rules,
        deposited,
    };
    let der = match answer {
        Answer::Receipt(der) => der,
        Answer::Refusal(der) => {
            let refused = refusal::check(&original.cms, &der, &grounds)?;
            return Ok(Received {
                der,
                by: refused.by,
                refused: Some(refused.reason),
            });
        }
    };
    let checked = receipt::check(&original.signed, original.headers.receipt, &der, &grounds)?;
    if let Some(remark) = &checked.remark {
        heads::agree(user, &name.id, &name.sender, remark)?;
        let by = &checked.by.address;
        heads::hear(user, &remark.told, by, Folder::Receipts, name)?;
    }
    Ok(Received {
        der,
        by: checked.by,
        refused: None,
    })
}

/// Fetches one receipt or refusal that is good here, and to whoever verifies a
/// bundle: that has no postmark of it, and he judges it as of its time stamp, or
/// else of the bundle's day.
fn evidence(
    user: &mut User,
    original: &Opened,
    entry: &Entry,
    clocks: &Clocks,
) -> Result<Received, Failure> {
    let here = received(user, original, entry, Some(entry.name.time))?;
    let kept = Stamps::new(&user.home, clocks, user.rules()).kept(&here.der)?;
    received(user, original, entry, kept.map(|(_, stamp)| stamp.time))
}

/// Writes the evidence for a sent message into a new zip file, without its
/// content where that is to stay secret (`redact`), with the time stamps that
/// are kept, and new ones where an authority is asked; returns why receipts
/// were left out that do not count, and time stamps that were not to be had.
pub fn export(
    user: &mut User,
    id: MessageId,
    file: &Path,
    redact: bool,
    clocks: &Clocks,
) -> Result<Vec<Failure>, Failure> {
    let message = fetch::fetch(user, Folder::Sent, id)?;
    if redact && message.opened.signed.receipt_request().is_none() {
        let text = format!(
            "message \"{id}\" asks for no receipt: without its content nothing says whose it is"
        );
        return Err(Failure::new(Class::Usage, text).hint("leave --redact out"));
    }
    let (mut bundle, mut left_out) = collect(user, &message, clocks)?;
    left_out.extend(put_stamps(user, &mut bundle, clocks)?);
    // It holds the message in the clear: mode 0600, and nothing half written.
    let fresh = Fresh::beside(file).map_err(uncreated)?;
    let mut emit = |mut out: &mut dyn std::io::Write| {
        message
            .emit(user, Emit::Raw, &mut out)
            .map_err(|failure| std::io::Error::other(failure.to_string()))
    };
    let content = match redact {
        true => Content::Redacted,
        false => Content::Whole(&mut emit),
    };
    bundle::write(&bundle, content, fresh.file())?;
    fresh.keep().map_err(uncreated)?;
    Ok(left_out)
}

fn uncreated(error: PrivateError) -> Failure {
    let full = error.class() == Class::Busy;
    let failure = Failure::from(error);
    match full {
        true => failure,
        false => Failure {
            class: Class::CannotCreate,
            ..failure
        },
    }
    .hint("--export another FILE")
}

/// Puts a bundle together, and says which receipts do not count.
fn collect(
    user: &mut User,
    message: &Message,
    clocks: &Clocks,
) -> Result<(Bundle, Vec<Failure>), Failure> {
    let id = message.id;
    let mut people = vec![user.address.mailbox.clone()];
    for address in message.opened.headers.addressees() {
        if !people.contains(&address.mailbox) {
            people.push(address.mailbox.clone());
        }
    }
    let (mut accounts, mut left_out) = (Vec::new(), Vec::new());
    let (mut receipts, mut refusals) = (Vec::new(), Vec::new());
    for name in &people {
        match user.record(name) {
            Ok(record) => accounts.push((user.full(name), record)),
            Err(failure) if *name == user.address.mailbox => return Err(failure),
            // Nothing of his will be there; what is of others holds.
            Err(failure) => left_out.push(failure),
        }
    }
    for entry in listing::entries(user, Folder::Receipts)? {
        // Nobody else was asked for one; what smrd puts here beside them is
        // no evidence.
        if entry.name.id == id && people.contains(&entry.name.sender) {
            match evidence(user, &message.opened, &entry, clocks) {
                Ok(received) => {
                    let of_its_kind = match received.refused {
                        Some(_) => &mut refusals,
                        None => &mut receipts,
                    };
                    of_its_kind.push(Given {
                        by: user.full(&entry.name.sender),
                        der: received.der,
                    });
                }
                // One reader must not be able to spoil the evidence of all.
                Err(failure) => left_out.push(failure),
            }
        }
    }
    let mut postmarks = Vec::new();
    for mailbox in user.known.postmarked(&id)? {
        postmarks.extend(user.known.postmark(&id, &mailbox)?);
    }
    let trust = user.trust();
    let anchors: Vec<Certificate> = trust
        .realms
        .iter()
        .flat_map(|realm| realm.anchors.iter().cloned())
        .collect();
    let bundle = Bundle {
        id,
        sender: user.address.clone(),
        time: user.now,
        signature: message.opened.cms.clone(),
        receipts,
        refusals,
        postmarks,
        identity: Some(user.pinned.chain().to_string()),
        accounts,
        anchors,
        intermediates: [&trust.intermediates[..], &clocks.intermediates(trust)].concat(),
        crls: [&trust.crls[..], &clocks.lists(trust)].concat(),
        ocsp: trust.ocsp.clone(),
        stamps: BTreeMap::new(),
        clocks: clocks.anchors(trust),
    };
    Ok((bundle, left_out))
}

/// Puts time stamps on receipts, refusals and postmarks: what authority and
/// network do not give is told, and takes nothing from the evidence.
fn put_stamps(user: &User, bundle: &mut Bundle, clocks: &Clocks) -> Result<Vec<Failure>, Failure> {
    let mut stamps = Stamps::new(&user.home, clocks, user.rules());
    let mut failures = Vec::new();
    for (name, bytes) in bundle::dated(bundle) {
        match stamps.on(&bytes) {
            Ok(Some(token)) => {
                bundle
                    .stamps
                    .insert(*Fingerprint::of(&bytes).as_bytes(), token);
            }
            Ok(None) => {}
            Err(failure) => failures.push(failure.about(&format!("time stamp on {name}"))),
        }
    }
    Ok(failures)
}

/// Verifies a bundle offline, by the reader's own anchors, and those for time
/// stamps.
pub fn verify(
    zip: impl Read + Seek,
    store: &TrustStore,
    clocks: &TrustStore,
    rules: &Rules,
) -> Result<Report, BundleError> {
    bundle::verify(zip, store, clocks, rules)
}

/// Verifies a lone postmark by the identity of its repository, one document or
/// a chain of successions: the one given, else the one that this user has met.
/// Returns the fingerprint of its present keys too.
pub fn verify_postmark(
    home: &Home,
    note: &str,
    identity: Option<&str>,
) -> Result<(Postmark, Fingerprint), Failure> {
    let repository = postmark::repository_in(note)
        .ok_or_else(|| Failure::new(Class::Forged, "neither a bundle nor a postmark"))?;
    let met = match identity {
        Some(_) => None,
        None => Known::new(home).server(&repository)?,
    };
    let forged = |why: String| Failure::new(Class::Forged, why);
    let chain = match (identity, met) {
        (Some(text), _) => Some(Chain::parse(text).map_err(|error| forged(error.to_string()))?),
        (None, Some(server)) => Some(Known::new(home).chain(&server)?),
        (None, None) => None,
    };
    let chain = chain.ok_or_else(|| {
        Failure::new(
            Class::Forged,
            format!("the key of repository \"{repository}\" is not known"),
        )
        .hint("--identity FILE, its identity document from elsewhere")
    })?;
    let mark = postmark::open_by(note, &chain).map_err(|error| forged(error.to_string()))?;
    Ok((mark, chain.tip().fingerprint()))
}

/// Returns the time a bundle says it was made at, unix seconds; nothing of it
/// is verified.
pub fn made_at(zip: impl Read + Seek) -> Result<i64, BundleError> {
    Ok(bundle::read(zip)?.0.time)
}
