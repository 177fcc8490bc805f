//! Requests to bytes and back: a kind of one byte, then the fields in order.
//!
//! Checks no more than the types demand.

use std::ops::RangeInclusive;

use smr_name::{MailboxName, MessageId};

use super::{Folder, MAX_LISTS, Offer, Request};
use crate::codec::{CodecError, Reader, Writer};

const PING: u8 = 1;
const BYE: u8 = 2;
const ACCOUNT: u8 = 3;
const PUBLISH: u8 = 4;
const USERS: u8 = 5;
const OFFER: u8 = 6;
const DEPOSIT: u8 = 7;
const LIST: u8 = 8;
const FIND: u8 = 9;
const FETCH: u8 = 10;
const MARK_READ: u8 = 11;
const STATE: u8 = 12;
const GIVE_RECEIPT: u8 = 13;
pub(crate) const RENEW: u8 = 14;
const LISTS: u8 = 15;
const KEEP_KEY: u8 = 16;
const KEYS: u8 = 17;
const WATCH: u8 = 18;
const REMOVE: u8 = 19;
const POST: u8 = 20;
const TALLY: u8 = 21;

const LISTS_ASKED: RangeInclusive<usize> = 1..=MAX_LISTS;

impl Offer {
    fn write<'a>(&self, w: &'a mut Writer) -> &'a mut Writer {
        w.raw(self.id.as_bytes())
            .u64(self.size)
            .raw(&self.sha256)
            .raw(&self.cms)
            .list("list of mailboxes", &self.mailboxes, name)
    }

    fn read(r: &mut Reader<'_>) -> Result<Offer, CodecError> {
        Ok(Offer {
            id: r.array().map(MessageId::from_bytes)?,
            size: r.u64()?,
            sha256: r.array()?,
            cms: r.array()?,
            mailboxes: r.list(|r| r.parse("mailbox"))?,
        })
    }
}

fn name(w: &mut Writer, name: &MailboxName) {
    w.text("mailbox", name);
}

impl Request {
    pub(super) fn write(&self, w: &mut Writer) {
        match self {
            Request::Ping => w.u8(PING),
            Request::Bye => w.u8(BYE),
            Request::Account { name, known } => {
                w.u8(ACCOUNT)
                    .text("mailbox", name)
                    .option(known.as_ref(), |w, digest| {
                        w.raw(digest);
                    })
            }
            Request::Lists { digests } => {
                w.u8(LISTS)
                    .bounded("list of digests", LISTS_ASKED, digests, |w, digest| {
                        w.raw(digest);
                    })
            }
            Request::KeepKey { epoch, size } => w.u8(KEEP_KEY).u64(*epoch).u32(*size),
            Request::Keys { after, limit } => w
                .u8(KEYS)
                .option(after.as_ref(), |w, (device, epoch)| {
                    w.raw(device).u64(*epoch);
                })
                .u16(*limit),
            Request::Publish => w.u8(PUBLISH),
            Request::Users { after, limit } => w.u8(USERS).option(after.as_ref(), name).u16(*limit),
            Request::Offer(offer) => offer.write(w.u8(OFFER)),
            Request::Deposit { id } => w.u8(DEPOSIT).raw(id.as_bytes()),
            Request::Post(offer) => offer.write(w.u8(POST)),
            Request::List {
                folder,
                after,
                limit,
                peek,
            } => w
                .u8(LIST)
                .u8(folder.code())
                .u64(*after)
                .u16(*limit)
                .u32(*peek),
            Request::Tally { folder } => w.u8(TALLY).u8(folder.code()),
            Request::Find { prefix } => w.u8(FIND).text("prefix", prefix),
            Request::Fetch { folder, id, reader } => w
                .u8(FETCH)
                .u8(folder.code())
                .raw(id.as_bytes())
                .option(reader.as_ref(), name),
            Request::MarkRead { id } => w.u8(MARK_READ).raw(id.as_bytes()),
            Request::Remove { folder, id } => w.u8(REMOVE).u8(folder.code()).raw(id.as_bytes()),
            Request::State { id, mailboxes } => {
                w.u8(STATE)
                    .raw(id.as_bytes())
                    .list("list of mailboxes", mailboxes, name)
            }
            Request::GiveReceipt {
                id,
                size,
                sha256,
                cms,
            } => w
                .u8(GIVE_RECEIPT)
                .raw(id.as_bytes())
                .u64(*size)
                .raw(sha256)
                .raw(cms),
            Request::Watch {
                folder,
                after,
                wait,
            } => w.u8(WATCH).u8(folder.code()).u64(*after).u16(*wait),
            Request::Renew { x25519, mlkem } => w.u8(RENEW).raw(x25519).bytes("ML-KEM key", mlkem),
        };
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Request, CodecError> {
        let name = |r: &mut Reader<'_>| r.parse::<MailboxName>("mailbox");
        let id = |r: &mut Reader<'_>| r.array().map(MessageId::from_bytes);
        Ok(match r.u8()? {
            PING => Request::Ping,
            BYE => Request::Bye,
            ACCOUNT => Request::Account {
                name: name(r)?,
                known: r.option("mark of a record", Reader::array)?,
            },
            LISTS => Request::Lists {
                digests: r.bounded("list of digests", LISTS_ASKED, Reader::array)?,
            },
            KEEP_KEY => Request::KeepKey {
                epoch: r.u64()?,
                size: r.u32()?,
            },
            KEYS => Request::Keys {
                after: r.option("mark of a key", |r| Ok((r.array()?, r.u64()?)))?,
                limit: r.u16()?,
            },
            PUBLISH => Request::Publish,
            USERS => Request::Users {
                after: r.option("mark of a mailbox", name)?,
                limit: r.u16()?,
            },
            OFFER => Request::Offer(Offer::read(r)?),
            DEPOSIT => Request::Deposit { id: id(r)? },
            POST => Request::Post(Offer::read(r)?),
            LIST => Request::List {
                folder: Folder::read(r)?,
                after: r.u64()?,
                limit: r.u16()?,
                peek: r.u32()?,
            },
            TALLY => Request::Tally {
                folder: Folder::read(r)?,
            },
            FIND => Request::Find {
                prefix: r.parse("prefix")?,
            },
            FETCH => Request::Fetch {
                folder: Folder::read(r)?,
                id: id(r)?,
                reader: r.option("mark of a reader", name)?,
            },
            MARK_READ => Request::MarkRead { id: id(r)? },
            REMOVE => Request::Remove {
                folder: Folder::read(r)?,
                id: id(r)?,
            },
            STATE => Request::State {
                id: id(r)?,
                mailboxes: r.list(name)?,
            },
            GIVE_RECEIPT => Request::GiveReceipt {
                id: id(r)?,
                size: r.u64()?,
                sha256: r.array()?,
                cms: r.array()?,
            },
            WATCH => Request::Watch {
                folder: Folder::read(r)?,
                after: r.u64()?,
                wait: r.u16()?,
            },
            RENEW => Request::Renew {
                x25519: r.array()?,
                mlkem: r.bytes()?.to_vec(),
            },
            _ => return Err(CodecError::Value("kind of request")),
        })
    }
}
