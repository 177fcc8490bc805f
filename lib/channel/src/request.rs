//! Requests: what a client asks of smrd. Each is the head of a message; some
//! are followed by a body.
//!
//! Says nothing of who may ask what: that is smrd's table.

mod code;
mod folder;

use smr_name::{IdPrefix, MailboxName, MessageId};

use crate::codec::{CodecError, Reader, Writer};

pub(crate) use code::RENEW;
pub use folder::Folder;

/// The most revocation data one request may ask for.
pub const MAX_LISTS: usize = 64;

/// The longest sealed identity that smrd keeps, in bytes.
pub const MAX_SEALED_KEY: u32 = 16 * 1024;

/// The longest message that may come with its offer, in bytes: one chunk.
pub const MAX_POST: u64 = crate::session::MAX_CHUNK as u64;

/// The longest that one watch may wait, in seconds.
pub const MAX_WATCH: u16 = 900;

/// What is about to be deposited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The sender's id for it.
    pub id: MessageId,
    /// Bytes of the sealed file.
    pub size: u64,
    /// SHA-256 of the sealed file.
    pub sha256: [u8; 32],
    /// SHA-256 of the CMS SignedData inside.
    pub cms: [u8; 32],
    /// Into whose mailboxes.
    pub mailboxes: Vec<MailboxName>,
}

/// A request; bodies follow as body chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for a sign of life.
    Ping,
    /// Ends the session.
    Bye,
    /// Asks for an account's record, and which CRLs and OCSP answers go with it.
    Account {
        /// Whose record.
        name: MailboxName,
        /// SHA-256 of the record that the client holds; smrd does not send it
        /// again.
        known: Option<[u8; 32]>,
    },
    /// Asks for CRLs and OCSP answers.
    Lists {
        /// SHA-256 of each, 1 to [`MAX_LISTS`].
        digests: Vec<[u8; 32]>,
    },
    /// Gives an encryption identity of this device into smrd's keeping, sealed
    /// to the account's backup recipient. Body: the age file.
    KeepKey {
        /// The epoch of the identity.
        epoch: u64,
        /// Bytes of the age file, at most [`MAX_SEALED_KEY`].
        size: u32,
    },
    /// Asks for the sealed identities of the own account, by device and epoch.
    Keys {
        /// Begin after this device and epoch; from the first when none.
        after: Option<([u8; 32], u64)>,
        /// At most so many.
        limit: u16,
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
    Offer(Offer),
    /// Brings the message that was offered. Body: the sealed file.
    Deposit {
        /// The id it was offered under.
        id: MessageId,
    },
    /// Brings a message of at most [`MAX_POST`] bytes with its offer. Body: the
    /// sealed file.
    Post(Offer),
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
    /// Asks for the states of all entries of a folder.
    Tally {
        /// Which folder.
        folder: Folder,
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
    /// Removes a message of the inbox or an own copy; the folder keeps its
    /// entry.
    Remove {
        /// Which folder.
        folder: Folder,
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
    /// Waits for news in a folder: answered as soon as it has an entry above
    /// `after`, or when the wait is over.
    Watch {
        /// Which folder.
        folder: Folder,
        /// The number of the last entry that the client knows.
        after: u64,
        /// At most so many seconds, 1 to [`MAX_WATCH`].
        wait: u16,
    },
    /// Renews the session key; made and answered by [`crate::session::Session`].
    Renew {
        /// A fresh X25519 public key.
        x25519: [u8; 32],
        /// A fresh ML-KEM-768 encapsulation key, 1184 bytes.
        mlkem: Vec<u8>,
    },
}

impl Request {
    /// Returns the request as the head of a message.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }

    /// Reads the head of a message.
    pub fn decode(head: &[u8]) -> Result<Request, CodecError> {
        let mut r = Reader::new(head);
        let request = Request::read(&mut r)?;
        r.finish()?;
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use smr_name::{MailboxName, MessageId};

    use super::{Folder, MAX_LISTS, Offer, Request};
    use crate::codec::CodecError;

    fn requests() -> Vec<Request> {
        let id = MessageId::from_bytes([0xab; 16]);
        let rui = || "rui".parse::<MailboxName>().unwrap();
        let ana = || "ana".parse::<MailboxName>().unwrap();
        let offer = || Offer {
            id,
            size: u64::MAX,
            sha256: [1; 32],
            cms: [2; 32],
            mailboxes: vec![rui(), ana()],
        };
        vec![
            Request::Ping,
            Request::Bye,
            Request::Account {
                name: rui(),
                known: None,
            },
            Request::Account {
                name: rui(),
                known: Some([7; 32]),
            },
            Request::Lists {
                digests: vec![[8; 32], [9; 32]],
            },
            Request::KeepKey {
                epoch: u64::MAX,
                size: 400,
            },
            Request::Keys {
                after: None,
                limit: 100,
            },
            Request::Keys {
                after: Some(([1; 32], 3)),
                limit: 1,
            },
            Request::Publish,
            Request::Users {
                after: None,
                limit: 100,
            },
            Request::Users {
                after: Some(rui()),
                limit: 1,
            },
            Request::Offer(offer()),
            Request::Deposit { id },
            Request::Post(offer()),
            Request::List {
                folder: Folder::Inbox,
                after: 7,
                limit: 50,
                peek: 8192,
            },
            Request::Tally {
                folder: Folder::Sent,
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
            Request::Remove {
                folder: Folder::Sent,
                id,
            },
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
            Request::Watch {
                folder: Folder::Receipts,
                after: u64::MAX,
                wait: 900,
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
        assert!(Request::decode(&[21]).is_err());
        // a watch of no folder
        let watch = [&[18, 4][..], &[0; 10]].concat();
        assert!(Request::decode(&watch).is_err());
    }

    #[test]
    fn lists_are_asked_for_by_the_handful() {
        let lists = |count| Request::Lists {
            digests: vec![[1; 32]; count],
        };
        let fits = lists(MAX_LISTS).encode().unwrap();
        assert_eq!(Request::decode(&fits), Ok(lists(MAX_LISTS)));
        for count in [0, MAX_LISTS + 1] {
            let refused = lists(count).encode();
            assert_eq!(refused, Err(CodecError::Size("list of digests")));
            let count = u16::try_from(count).unwrap().to_be_bytes();
            let bytes = [&[15][..], &count, &[1; 32 * (MAX_LISTS + 1)]].concat();
            let refused = Request::decode(&bytes);
            assert_eq!(refused, Err(CodecError::Size("list of digests")));
        }
    }

    #[test]
    fn an_offer_to_a_thousand_mailboxes_fits_one_chunk() {
        let name: MailboxName = "x".repeat(32).parse().unwrap();
        let offer = Request::Offer(Offer {
            id: MessageId::from_bytes([0; 16]),
            size: 0,
            sha256: [0; 32],
            cms: [0; 32],
            mailboxes: vec![name; 1000],
        });
        assert!(offer.encode().unwrap().len() <= crate::session::MAX_CHUNK);
    }
}
