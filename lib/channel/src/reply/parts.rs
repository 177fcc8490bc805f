//! What replies list: users, messages, revocation data, sealed identities.
//!
//! Carries no proof, like the replies it stands in.

use smr_name::{EntryName, MailboxName};

use crate::codec::{CodecError, Reader, Writer};

/// One user in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLine {
    /// The mailbox.
    pub name: MailboxName,
    /// The person's name, as the certificate has it.
    pub person: String,
    /// Whether a session of theirs is open.
    pub online: bool,
}

/// How far a message in a mailbox has come, for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Deposited, not yet fetched (1).
    New = 1,
    /// Fetched, not marked read (2).
    Fetched = 2,
    /// Marked read (3).
    Read = 3,
    /// Removed (4): only the entry is left.
    Removed = 4,
}

/// How far a message has come, for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Progress {
    /// Not there (0).
    Unknown = 0,
    /// Deposited (1).
    Deposited = 1,
    /// Fetched (2).
    Fetched = 2,
    /// Marked read (3).
    Read = 3,
}

/// One message in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the store, which says all that smrd knows of it.
    pub name: EntryName,
    /// How far it has come.
    pub state: State,
    /// Bytes of it in the body of the listing, 0 for none.
    pub peek_len: u32,
}

/// What a list of revocations is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ListKind {
    /// A CRL, DER (1; RFC 5280, 5).
    Crl = 1,
    /// An OCSP response, DER (2; RFC 6960, 4.2).
    Ocsp = 2,
}

/// A list that goes with an account's record; [`Request::Lists`] brings it.
///
/// [`Request::Lists`]: crate::request::Request::Lists
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it is.
    pub kind: ListKind,
    /// SHA-256 of it.
    pub digest: [u8; 32],
    /// Bytes of it.
    pub len: u32,
}

/// A sealed identity that smrd keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// Fingerprint of the device whose identity it is.
    pub device: [u8; 32],
    /// The epoch of the identity.
    pub epoch: u64,
    /// Bytes of the age file.
    pub len: u32,
}

impl State {
    /// Returns states in two bits each, one less than their codes, the first in
    /// the lowest bits of the first byte; the last byte is filled up with zeros
    /// (smr-session(7), REPLIES).
    pub fn pack(states: impl IntoIterator<Item = State>) -> Vec<u8> {
        let mut packed = Vec::new();
        for (at, state) in states.into_iter().enumerate() {
            if at % 4 == 0 {
                packed.push(0);
            }
            if let Some(last) = packed.last_mut() {
                *last |= (state as u8 - 1) << (at % 4 * 2);
            }
        }
        packed
    }

    /// Reads `count` states in two bits each, and nothing else.
    pub fn unpack(packed: &[u8], count: u64) -> Result<Vec<State>, CodecError> {
        let wrong = || CodecError::Value("list of states");
        let count = usize::try_from(count).map_err(|_| wrong())?;
        let each = packed
            .iter()
            .flat_map(|byte| [0, 2, 4, 6].map(|at| byte >> at & 3));
        let mut states = each.map(|bits| match bits {
            0 => State::New,
            1 => State::Fetched,
            2 => State::Read,
            _ => State::Removed,
        });
        let all: Vec<State> = states.by_ref().take(count).collect();
        let filled = states.all(|state| state == State::New);
        match all.len() == count && packed.len() == count.div_ceil(4) && filled {
            true => Ok(all),
            false => Err(wrong()),
        }
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<State, CodecError> {
        match r.u8()? {
            1 => Ok(State::New),
            2 => Ok(State::Fetched),
            3 => Ok(State::Read),
            4 => Ok(State::Removed),
            _ => Err(CodecError::Value("state")),
        }
    }
}

impl Progress {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Progress, CodecError> {
        match r.u8()? {
            0 => Ok(Progress::Unknown),
            1 => Ok(Progress::Deposited),
            2 => Ok(Progress::Fetched),
            3 => Ok(Progress::Read),
            _ => Err(CodecError::Value("progress")),
        }
    }
}

impl Entry {
    pub(super) fn write(&self, w: &mut Writer) {
        w.text("entry", &self.name)
            .u8(self.state as u8)
            .u32(self.peek_len);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Entry, CodecError> {
        Ok(Entry {
            name: r.parse("entry")?,
            state: State::read(r)?,
            peek_len: r.u32()?,
        })
    }
}

impl UserLine {
    pub(super) fn write(&self, w: &mut Writer) {
        w.text("mailbox", &self.name)
            .text("person", &self.person)
            .flag(self.online);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<UserLine, CodecError> {
        Ok(UserLine {
            name: r.parse("mailbox")?,
            person: r.text("person")?.to_owned(),
            online: r.flag("mark of presence")?,
        })
    }
}

impl Listed {
    pub(super) fn write(&self, w: &mut Writer) {
        w.u8(self.kind as u8).raw(&self.digest).u32(self.len);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Listed, CodecError> {
        Ok(Listed {
            kind: match r.u8()? {
                1 => ListKind::Crl,
                2 => ListKind::Ocsp,
                _ => return Err(CodecError::Value("kind of list")),
            },
            digest: r.array()?,
            len: r.u32()?,
        })
    }
}

impl KeyEntry {
    pub(super) fn write(&self, w: &mut Writer) {
        w.raw(&self.device).u64(self.epoch).u32(self.len);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<KeyEntry, CodecError> {
        Ok(KeyEntry {
            device: r.array()?,
            epoch: r.u64()?,
            len: r.u32()?,
        })
    }
}
