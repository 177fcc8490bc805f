//! Replies to bytes and back: a kind of one byte, then the fields in order.
//!
//! Checks no more than the types demand.

use smr_name::{Class, Head, MessageId};

use super::{Entry, KeyEntry, Listed, Progress, Reply, UserLine};
use crate::codec::{CodecError, Reader, Writer};
use crate::request::Folder;

const WELCOME: u8 = 0x81;
const DONE: u8 = 0x82;
const REFUSED: u8 = 0x83;
const ACCOUNT: u8 = 0x84;
const USERS: u8 = 0x85;
const ACCEPTED: u8 = 0x86;
const POSTMARKS: u8 = 0x87;
const LISTING: u8 = 0x88;
const FOUND: u8 = 0x89;
const MESSAGE: u8 = 0x8a;
const STATES: u8 = 0x8b;
const RENEWED: u8 = 0x8c;
const LISTS: u8 = 0x8d;
const KEYS: u8 = 0x8e;
const NEWS: u8 = 0x8f;
const TALLY: u8 = 0x90;

impl Reply {
    pub(super) fn write(&self, w: &mut Writer) {
        match self {
            Reply::Welcome {
                account,
                until,
                now,
            } => w.u8(WELCOME).text("mailbox", account).i64(*until).i64(*now),
            Reply::Done => w.u8(DONE),
            Reply::Refused { class, text, hint } => w
                .u8(REFUSED)
                .u8(class.code())
                .text("text", text)
                .text("hint", hint),
            Reply::Account {
                name,
                record_len,
                lists,
            } => w.u8(ACCOUNT).text("mailbox", name).u32(*record_len).list(
                "list of lists",
                lists,
                |w, list| list.write(w),
            ),
            Reply::Lists { lens } => w.u8(LISTS).list("list of lengths", lens, |w, len| {
                w.u32(*len);
            }),
            Reply::Keys { keys, more } => w
                .u8(KEYS)
                .list("list of keys", keys, |w, key| key.write(w))
                .flag(*more),
            Reply::Users { users, more } => w
                .u8(USERS)
                .list("list of users", users, |w, user| user.write(w))
                .flag(*more),
            Reply::Accepted { id } => w.u8(ACCEPTED).raw(id.as_bytes()),
            Reply::Postmarks { postmarks } => {
                w.u8(POSTMARKS)
                    .list("list of postmarks", postmarks, |w, note| {
                        w.text("postmark", note);
                    })
            }
            Reply::Listing {
                entries,
                more,
                count,
                head,
                before,
            } => w
                .u8(LISTING)
                .list("listing", entries, |w, entry| entry.write(w))
                .flag(*more)
                .u64(*count)
                .raw(head.as_bytes())
                .raw(before.as_bytes()),
            Reply::Tally { count } => w.u8(TALLY).u64(*count),
            Reply::Found { matches } => {
                w.u8(FOUND).list("list of ids", matches, |w, (folder, id)| {
                    w.u8(folder.code()).raw(id.as_bytes());
                })
            }
            Reply::Message { entry } => {
                entry.write(w.u8(MESSAGE));
                w
            }
            Reply::States { states } => {
                w.u8(STATES)
                    .list("list of states", states, |w, (name, progress)| {
                        w.text("mailbox", name).u8(*progress as u8);
                    })
            }
            Reply::News { count } => w.u8(NEWS).u64(*count),
            Reply::Renewed { x25519, mlkem } => {
                w.u8(RENEWED).raw(x25519).bytes("ML-KEM ciphertext", mlkem)
            }
        };
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Reply, CodecError> {
        let id = |r: &mut Reader<'_>| r.array().map(MessageId::from_bytes);
        Ok(match r.u8()? {
            WELCOME => Reply::Welcome {
                account: r.parse("mailbox")?,
                until: r.i64()?,
                now: r.i64()?,
            },
            DONE => Reply::Done,
            REFUSED => Reply::Refused {
                class: Class::from_code(r.u8()?).ok_or(CodecError::Value("class"))?,
                text: r.text("text")?.to_owned(),
                hint: r.text("hint")?.to_owned(),
            },
            ACCOUNT => Reply::Account {
                name: r.parse("mailbox")?,
                record_len: r.u32()?,
                lists: r.list(Listed::read)?,
            },
            LISTS => Reply::Lists {
                lens: r.list(Reader::u32)?,
            },
            KEYS => Reply::Keys {
                keys: r.list(KeyEntry::read)?,
                more: r.flag("mark of more")?,
            },
            USERS => Reply::Users {
                users: r.list(UserLine::read)?,
                more: r.flag("mark of more")?,
            },
            ACCEPTED => Reply::Accepted { id: id(r)? },
            POSTMARKS => Reply::Postmarks {
                postmarks: r.list(|r| r.text("postmark").map(str::to_owned))?,
            },
            LISTING => Reply::Listing {
                entries: r.list(Entry::read)?,
                more: r.flag("mark of more")?,
                count: r.u64()?,
                head: Head::from_bytes(r.array()?),
                before: Head::from_bytes(r.array()?),
            },
            TALLY => Reply::Tally { count: r.u64()? },
            FOUND => Reply::Found {
                matches: r.list(|r| Ok((Folder::read(r)?, id(r)?)))?,
            },
            MESSAGE => Reply::Message {
                entry: Entry::read(r)?,
            },
            STATES => Reply::States {
                states: r.list(|r| Ok((r.parse("mailbox")?, Progress::read(r)?)))?,
            },
            NEWS => Reply::News { count: r.u64()? },
            RENEWED => Reply::Renewed {
                x25519: r.array()?,
                mlkem: r.bytes()?.to_vec(),
            },
            _ => return Err(CodecError::Value("kind of reply")),
        })
    }
}
