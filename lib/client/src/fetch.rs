//! Reading: fetches a message, opens it, and verifies all of it before any of
//! it can be shown.
//!
//! What does not verify is refused whole and stays unread.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

pub use smr_channel::reply::{Entry, State};
pub use smr_channel::request::Folder;
use smr_evidence::envelope;
pub use smr_evidence::envelope::{Emit, Opened, PartInfo, ReceiptWanted};
use smr_evidence::reading::{Grounds, Verified, verify_sender};
use smr_name::{Class, IdPrefix, MessageId};

use crate::deposit::Hashing;
use crate::failure::Failure;
use crate::follow;
use crate::glob::glob;
use crate::heads;
use crate::meter::Stage;
use crate::spool::Spool;
use crate::user::User;

/// A message that was opened and verified.
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The folder it is in.
    pub folder: Folder,
    /// What smrd says of it.
    pub entry: Entry,
    /// What it says of itself, verified.
    pub opened: Opened,
    /// Who signed it.
    pub verified: Verified,
    spool: Spool,
}

/// Finds the message that a person named by id or prefix, in inbox or sent.
pub fn find(user: &mut User, prefix: &IdPrefix) -> Result<(Folder, MessageId), Failure> {
    let matches = matches(user, prefix)?;
    let (first, id) = *matches.first().ok_or_else(|| no_message(prefix))?;
    // A message to oneself is in both folders under one id: the inbox counts.
    match matches.iter().all(|(_, other)| *other == id) {
        true if matches.contains(&(Folder::Inbox, id)) => Ok((Folder::Inbox, id)),
        true => Ok((first, id)),
        false => Err(ambiguous(prefix)),
    }
}

/// Finds the message that a person named by id or prefix, and all folders that
/// it is in.
pub fn find_all(user: &mut User, prefix: &IdPrefix) -> Result<(MessageId, Vec<Folder>), Failure> {
    let matches = matches(user, prefix)?;
    let (_, id) = *matches.first().ok_or_else(|| no_message(prefix))?;
    match matches.iter().all(|(_, other)| *other == id) {
        true => Ok((id, matches.iter().map(|(folder, _)| *folder).collect())),
        false => Err(ambiguous(prefix)),
    }
}

/// Finds the message that a person named by id or prefix, in one folder.
pub fn find_in(user: &mut User, folder: Folder, prefix: &IdPrefix) -> Result<MessageId, Failure> {
    let mut here = matches(user, prefix)?
        .into_iter()
        .filter(|(f, _)| *f == folder);
    match (here.next(), here.next()) {
        (Some((_, id)), None) => Ok(id),
        (None, _) => Err(no_message(prefix)),
        (Some(_), Some(_)) => Err(ambiguous(prefix)),
    }
}

pub(crate) fn matches(
    user: &mut User,
    prefix: &IdPrefix,
) -> Result<Vec<(Folder, MessageId)>, Failure> {
    user.session.begin();
    let mut matches = user.session.find(prefix)?;
    if !matches.iter().all(|(_, id)| prefix.matches(id)) {
        let failure = Failure::new(Class::Untrusted, "smrd found a message nobody asked for");
        return Err(user.session.prove(failure, &[]));
    }
    // A receipt is no message, whatever smrd says.
    matches.retain(|(folder, _)| *folder != Folder::Receipts);
    Ok(matches)
}

fn no_message(prefix: &IdPrefix) -> Failure {
    Failure::new(Class::Missing, format!("no message \"{prefix}\"")).hint("smr-ls")
}

fn ambiguous(prefix: &IdPrefix) -> Failure {
    Failure::new(
        Class::Usage,
        format!("several messages begin with \"{prefix}\""),
    )
    .hint("smr-ls -1")
}

/// Returns the ids of the oldest unread messages, `count` at most, one at least.
pub fn oldest_unread(user: &mut User, count: usize) -> Result<Vec<MessageId>, Failure> {
    let (ids, _) = follow::unread(user, count)?;
    match ids.is_empty() {
        true => Err(Failure::new(Class::Missing, "nothing unread").hint("smr-ls")),
        false => Ok(ids),
    }
}

/// Fetches the sealed file, checked against the size and hash in its entry,
/// and nothing more.
pub fn fetch_sealed(
    user: &mut User,
    folder: Folder,
    id: MessageId,
) -> Result<(Entry, Spool), Failure> {
    let limit = user.settings.max_message;
    fetch_within(user, folder, id, limit)
}

fn fetch_within(
    user: &mut User,
    folder: Folder,
    id: MessageId,
    limit: u64,
) -> Result<(Entry, Spool), Failure> {
    let mut spool = Hashing::new(Spool::create(&user.home)?);
    let mut out = user.meter.over(Stage::Fetching, None, &mut spool);
    let entry = user.session.fetch(folder, id, None, limit, &mut out)?;
    drop(out);
    let (spool, size, sha256) = spool.finish();
    let name = &entry.name;
    if name.id != id || name.size != size || name.sha256 != sha256 {
        return Err(forged(&id, "it is not the file that was deposited"));
    }
    Ok((entry, spool))
}

/// Fetches a message and verifies it: the seal, the signature, the signer, the
/// addressees, and that it is the message that was deposited under this id.
pub fn fetch(user: &mut User, folder: Folder, id: MessageId) -> Result<Message, Failure> {
    let found = fetch_sealed(user, folder, id)?;
    open(user, folder, id, found)
}

/// Fetches one's own copy of what one has sent, of any size, and verifies it.
pub(crate) fn fetch_own(user: &mut User, id: MessageId) -> Result<Message, Failure> {
    let found = fetch_within(user, Folder::Sent, id, u64::MAX)?;
    open(user, Folder::Sent, id, found)
}

fn open(
    user: &mut User,
    folder: Folder,
    id: MessageId,
    (entry, spool): (Entry, Spool),
) -> Result<Message, Failure> {
    let about = |f: Failure| f.about(&format!("message \"{id}\""));
    let size = Some(entry.name.size);
    let sealed = user.meter.over(Stage::Verifying, size, rewound(&spool)?);
    let opened = envelope::verify(sealed, &user.keys).map_err(|error| about(error.into()))?;
    check_delivery(user, folder, &entry, &opened)?;
    let account = user.author(&opened.headers.from.address.mailbox)?;
    let rules = user.rules();
    let grounds = Grounds {
        account: &account,
        store: user.trust(),
        rules: &rules,
        deposited: Some(entry.name.time),
    };
    let verified = verify_sender(&opened.headers.from.address, &opened.signed, &grounds)
        .map_err(|error| about(error.into()))?;
    envelope::check_author(&opened, &verified.person).map_err(|error| about(error.into()))?;
    let told = &opened.headers.told;
    heads::hear(user, told, &verified.address, folder, &entry.name)?;
    Ok(Message {
        id,
        folder,
        entry,
        opened,
        verified,
        spool,
    })
}

/// Verifies that what was signed is what was delivered, to whom it was meant.
fn check_delivery(
    user: &User,
    folder: Folder,
    entry: &Entry,
    opened: &Opened,
) -> Result<(), Failure> {
    let name = &entry.name;
    if opened.headers.id != name.id {
        return Err(forged(&name.id, "it was signed under another id"));
    }
    if opened.cms_sha256 != name.cms {
        return Err(forged(
            &name.id,
            "its signature is not the one its postmark names",
        ));
    }
    if opened.headers.from.address != user.full(&name.sender) {
        return Err(forged(&name.id, "its sender is not who deposited it"));
    }
    if folder == Folder::Sent && opened.headers.from.address != user.address {
        return Err(forged(&name.id, "you are not its sender"));
    }
    envelope::check_addressed(opened, &user.address, &name.id)
        .map_err(|error| Failure::from(error).about(&format!("message \"{}\"", name.id)))
}

fn forged(id: &MessageId, why: &str) -> Failure {
    Failure::new(Class::Forged, format!("message \"{id}\": {why}"))
}

fn rewound(spool: &Spool) -> Result<File, Failure> {
    let wrong = |e: std::io::Error| Failure::new(Class::Io, format!("the spool file failed: {e}"));
    let mut file = spool.file().try_clone().map_err(wrong)?;
    file.seek(SeekFrom::Start(0)).map_err(wrong)?;
    Ok(file)
}

impl Message {
    /// Returns the sealed file.
    pub(crate) fn sealed(&self) -> &Spool {
        &self.spool
    }

    /// Writes what was verified, in a second pass over the sealed file.
    pub fn emit(&self, user: &User, what: Emit<'_>, out: &mut dyn Write) -> Result<(), Failure> {
        let (size, file) = (Some(self.entry.name.size), rewound(&self.spool)?);
        let sealed = user.meter.over(Stage::Writing, size, file);
        envelope::emit(sealed, &user.keys, &self.opened, what, out)
            .map_err(|error| Failure::from(error).about(&format!("message \"{}\"", self.id)))
    }

    /// Finds a part by its number, or by a pattern for its name.
    pub fn part(&self, wanted: &str) -> Result<&str, Failure> {
        let parts = &self.opened.parts;
        let numbered = parts.iter().find(|p| p.number == wanted);
        let named = || {
            let fits = |name: &Option<String>| name.as_ref().is_some_and(|n| glob(wanted, n));
            parts.iter().find(|p| fits(&p.name))
        };
        numbered
            .or_else(named)
            .map(|p| p.number.as_str())
            .ok_or_else(|| {
                Failure::new(
                    Class::Missing,
                    format!("message \"{}\" has no part \"{wanted}\"", self.id),
                )
                .hint(format!("smr-recv --peek --json {} lists them", self.id))
            })
    }
}

/// Writes a sealed file as it is.
pub fn copy_sealed(spool: &Spool, out: &mut dyn Write) -> Result<(), Failure> {
    std::io::copy(&mut rewound(spool)?, out)
        .map(drop)
        .map_err(|e| Failure::new(Class::Io, format!("cannot write the sealed file: {e}")))
}
