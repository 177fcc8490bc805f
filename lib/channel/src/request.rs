//! Requests: what a client asks of smrd. Each is the head of a message; some
//! are followed by a body.
//!
//! Says nothing of who may ask what: that is smrd's table.

use smr_name::{IdPrefix, MailboxName, MessageId};

use crate::codec::{CodecError, Reader, Writer};

/// Names a folder of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Folder {
    /// Messages that came in (1).
    Inbox = 1,
    /// Own copies of messages sent (2).
    Sent = 2,
    /// Receipts that came in (3).
    Receipts = 3,
}

impl Folder {
    /// Returns the code on the wire.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the folder with this code, or none.
    pub fn from_code(code: u8) -> Option<Folder> {
        [Folder::Inbox, Folder::Sent, Folder::Receipts]
            .into_iter()
            .find(|folder| folder.code() == code)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Folder, CodecError> {
        Folder::from_code(reader.u8()?).ok_or(CodecError::Value("folder"))
    }
}

/// A request; bodies follow as body chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for a sign of life.
    Ping,
    /// Ends the session.
    Bye,
    /// Asks for an account's record and the CRLs that go with it.
    Account {
        /// Whose record.
        name: MailboxName,
    },
    /// Brings a new account record. Body: the record.
    Publish,
    /// Asks for the directory of users.
    Users {
        /// Begin after this name; from the first when none.
        after: Option<MailboxName>,
        /// At most so many.
        limit: u16,
    },
    /// Announces a message.
    Offer {
        /// The sender's id for it.
        id: MessageId,
        /// Bytes of the sealed file.
        size: u64,
        /// SHA-256 of the sealed file.
        sha256: [u8; 32],
        /// SHA-256 of the CMS SignedData inside.
        cms: [u8; 32],
        /// Into whose mailboxes.
        mailboxes: Vec<MailboxName>,
    },
    /// Brings the message that was offered. Body: the sealed file.
    Deposit {
        /// The id it was offered under.
        id: MessageId,
    },
    /// Asks what a folder holds.
    List {
        /// Which folder.
        folder: Folder,
        /// Begin after this sequence number.
        after: u64,
        /// At most so many.
        limit: u16,
        /// First bytes of each sealed file to send along, 0 for none.
        peek: u32,
    },
    /// Asks which messages have ids that begin so.
    Find {
        /// The beginning of the id.
        prefix: IdPrefix,
    },
    /// Asks for a message.
    Fetch {
        /// Which folder.
        folder: Folder,
        /// Which message.
        id: MessageId,
        /// Whose receipt, in the receipts folder.
        reader: Option<MailboxName>,
    },
    /// Marks a message of the inbox as read.
    MarkRead {
        /// Which message.
        id: MessageId,
    },
    /// Asks how far a message I sent has come.
    State {
        /// Which message.
        id: MessageId,
        /// In whose mailboxes.
        mailboxes: Vec<MailboxName>,
    },
    /// Gives a receipt for a message I read. Body: the sealed receipt.
    GiveReceipt {
        /// The message.
        id: MessageId,
        /// Bytes of the sealed receipt.
        size: u64,
        /// SHA-256 of the sealed receipt.
        sha256: [u8; 32],
        /// SHA-256 of the CMS SignedData inside.
        cms: [u8; 32],
    },
    /// Renews the session key; made and answered by [`crate::session::Session`].
    Renew {
        /// A fresh X25519 public key.
        x25519: [u8; 32],
        /// A fresh ML-KEM-768 encapsulation key, 1184 bytes.
        mlkem: Vec<u8>,
    },
}

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

impl Request {
    /// Returns the request as the head of a message.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }

    fn write(&self, w: &mut Writer) {
        let name = |w: &mut Writer, name: &MailboxName| {
            w.text("mailbox", name);
        };
        match self {
            Request::Ping => w.u8(PING),
            Request::Bye => w.u8(BYE),
            Request::Account { name } => w.u8(ACCOUNT).text("mailbox", name),
            Request::Publish => w.u8(PUBLISH),
            Request::Users { after, limit } => w.u8(USERS).option(after.as_ref(), name).u16(*limit),
            Request::Offer {
                id,
                size,
                sha256,
                cms,
                mailboxes,
            } => w
                .u8(OFFER)
                .raw(id.as_bytes())
                .u64(*size)
                .raw(sha256)
                .raw(cms)
                .list("list of mailboxes", mailboxes, name),
            Request::Deposit { id } => w.u8(DEPOSIT).raw(id.as_bytes()),
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
            Request::Find { prefix } => w.u8(FIND).text("prefix", prefix),
            Request::Fetch { folder, id, reader } => w
                .u8(FETCH)
                .u8(folder.code())
                .raw(id.as_bytes())
                .option(reader.as_ref(), name),
            Request::MarkRead { id } => w.u8(MARK_READ).raw(id.as_bytes()),
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
            Request::Renew { x25519, mlkem } => w.u8(RENEW).raw(x25519).bytes("ML-KEM key", mlkem),
        };
    }

    /// Reads the head of a message.
    pub fn decode(head: &[u8]) -> Result<Request, CodecError> {
        let mut r = Reader::new(head);
        let request = Request::read(&mut r)?;
        r.finish()?;
        Ok(request)
    }

    fn read(r: &mut Reader<'_>) -> Result<Request, CodecError> {
        let name = |r: &mut Reader<'_>| r.parse::<MailboxName>("mailbox");
        let id = |r: &mut Reader<'_>| r.array().map(MessageId::from_bytes);
        Ok(match r.u8()? {
            PING => Request::Ping,
            BYE => Request::Bye,
            ACCOUNT => Request::Account { name: name(r)? },
            PUBLISH => Request::Publish,
            USERS => Request::Users {
                after: r.option("mark of a mailbox", name)?,
                limit: r.u16()?,
            },
            OFFER => Request::Offer {
                id: id(r)?,
                size: r.u64()?,
                sha256: r.array()?,
                cms: r.array()?,
                mailboxes: r.list(name)?,
            },
            DEPOSIT => Request::Deposit { id: id(r)? },
            LIST => Request::List {
                folder: Folder::read(r)?,
                after: r.u64()?,
                limit: r.u16()?,
                peek: r.u32()?,
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
            RENEW => Request::Renew {
                x25519: r.array()?,
                mlkem: r.bytes()?.to_vec(),
            },
            _ => return Err(CodecError::Value("kind of request")),
        })
    }
}

#[cfg(test)]
mod tests {
    use smr_name::{MailboxName, MessageId};

    use super::{Folder, Request};
    use crate::codec::CodecError;

    fn requests() -> Vec<Request> {
        let id = MessageId::from_bytes([0xab; 16]);
        let rui = || "rui".parse::<MailboxName>().unwrap();
        let ana = || "ana".parse::<MailboxName>().unwrap();
        vec![
            Request::Ping,
            Request::Bye,
            Request::Account { name: rui() },
            Request::Publish,
            Request::Users {
                after: None,
                limit: 100,
            },
            Request::Users {
                after: Some(rui()),
                limit: 1,
            },
            Request::Offer {
                id,
                size: u64::MAX,
                sha256: [1; 32],
                cms: [2; 32],
                mailboxes: vec![rui(), ana()],
            },
            Request::Deposit { id },
            Request::List {
                folder: Folder::Inbox,
                after: 7,
                limit: 50,
                peek: 8192,
            },
            Request::Find {
                prefix: "abababab".parse().unwrap(),
            },
            Request::Fetch {
                folder: Folder::Receipts,
                id,
                reader: Some(ana()),
            },
            Request::Fetch {
                folder: Folder::Sent,
                id,
                reader: None,
            },
            Request::MarkRead { id },
            Request::State {
                id,
                mailboxes: vec![],
            },
            Request::GiveReceipt {
                id,
                size: 9,
                sha256: [3; 32],
                cms: [4; 32],
            },
            Request::Renew {
                x25519: [5; 32],
                mlkem: vec![6; 1184],
            },
        ]
    }

    #[test]
    fn requests_come_back() {
        for request in requests() {
            let head = request.encode().unwrap();
            assert_eq!(Request::decode(&head), Ok(request));
        }
    }

    #[test]
    fn cut_and_extended_requests_are_refused() {
        for request in requests() {
            let head = request.encode().unwrap();
            for end in 0..head.len() {
                assert!(Request::decode(&head[..end]).is_err(), "{request:?} {end}");
            }
            let long = [&head[..], &[0]].concat();
            assert_eq!(Request::decode(&long), Err(CodecError::Long));
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        assert!(Request::decode(&[3, 0, 2, b'.', b'.']).is_err());
        assert!(Request::decode(&[9, 0, 1, b'a']).is_err());
        assert!(Request::decode(&[8, 4, 0, 0]).is_err());
        assert!(Request::decode(&[0]).is_err());
        assert!(Request::decode(&[15]).is_err());
    }

    #[test]
    fn an_offer_to_a_thousand_mailboxes_fits_one_chunk() {
        let name: MailboxName = "x".repeat(32).parse().unwrap();
        let offer = Request::Offer {
            id: MessageId::from_bytes([0; 16]),
            size: 0,
            sha256: [0; 32],
            cms: [0; 32],
            mailboxes: vec![name; 1000],
        };
        assert!(offer.encode().unwrap().len() <= crate::session::MAX_CHUNK);
    }
}
