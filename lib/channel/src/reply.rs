//! Replies: what smrd answers. Each is the head of a message; some are
//! followed by a body.
//!
//! Carries no proof: the warrant stands in the close of the message.

mod code;
mod parts;

use smr_name::{Class, Head, MailboxName, MessageId};

use crate::codec::{CodecError, Reader, Writer};
use crate::request::Folder;

pub use parts::{Entry, KeyEntry, ListKind, Listed, Progress, State, UserLine};

/// A reply; bodies follow as body chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The introduction is accepted: the session is the account's.
    Welcome {
        /// Whose session it is.
        account: MailboxName,
        /// When smrd will ask for a new login, unix seconds.
        until: i64,
        /// smrd's clock, unix seconds.
        now: i64,
    },
    /// The request is done.
    Done,
    /// The request is refused.
    Refused {
        /// What kind of refusal; one byte, its exit code.
        class: Class,
        /// What is wrong.
        text: String,
        /// What may help; empty for nothing.
        hint: String,
    },
    /// An account. Body: the record.
    Account {
        /// Whose.
        name: MailboxName,
        /// Bytes of the record, 0 where it is the one that the client knows.
        record_len: u32,
        /// The CRLs and OCSP answers that go with it.
        lists: Vec<Listed>,
    },
    /// CRLs and OCSP answers. Body: one after the other.
    Lists {
        /// Bytes of each, in the order asked; 0 where smrd no longer has it.
        /// At least one, and fewer than asked where a reply holds no more.
        lens: Vec<u32>,
    },
    /// A page of the sealed identities of an account. Body: the age files.
    Keys {
        /// Whose each is, by device and epoch.
        keys: Vec<KeyEntry>,
        /// Whether more follow the last.
        more: bool,
    },
    /// A page of the directory.
    Users {
        /// The users, by name.
        users: Vec<UserLine>,
        /// Whether more follow the last.
        more: bool,
    },
    /// The offer is accepted: deposit it now.
    Accepted {
        /// The id it was offered under.
        id: MessageId,
    },
    /// The deposit is durable.
    Postmarks {
        /// One signed note for each mailbox, in the order offered, then one for
        /// the sender's own copy.
        postmarks: Vec<String>,
    },
    /// What a folder holds. Body: the peeks, one after the other.
    Listing {
        /// The messages, by rising number.
        entries: Vec<Entry>,
        /// Whether more follow the last.
        more: bool,
        /// Messages in the folder.
        count: u64,
        /// The folder's head after all of them.
        head: Head,
        /// The folder's head before the first entry listed, or after the last
        /// one that was passed over.
        before: Head,
    },
    /// The states of a folder. Body: two bits an entry, as [`State::pack`]
    /// makes them.
    Tally {
        /// Entries in the folder.
        count: u64,
    },
    /// The messages that a prefix names.
    Found {
        /// Folder and id of each.
        matches: Vec<(Folder, MessageId)>,
    },
    /// A message. Body: the sealed file.
    Message {
        /// Its entry.
        entry: Entry,
    },
    /// How far a message has come.
    States {
        /// Mailbox and progress, in the order asked.
        states: Vec<(MailboxName, Progress)>,
    },
    /// What a watch has seen.
    News {
        /// How many entries the folder has had, which is the number of the
        /// last; no more than the client knew where the wait was over.
        count: u64,
    },
    /// The other half of a renewal; made by [`crate::session::Session`].
    Renewed {
        /// smrd's fresh X25519 public key.
        x25519: [u8; 32],
        /// ML-KEM-768 ciphertext to the client's fresh key, 1088 bytes.
        mlkem: Vec<u8>,
    },
}

impl Reply {
    /// Returns the reply as the head of a message.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }

    /// Reads the head of a message.
    pub fn decode(head: &[u8]) -> Result<Reply, CodecError> {
        let mut r = Reader::new(head);
        let reply = Reply::read(&mut r)?;
        r.finish()?;
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use smr_name::{Class, EntryName, Head, MessageId};

    use super::{Entry, KeyEntry, ListKind, Listed, Progress, Reply, State, UserLine};
    use crate::codec::CodecError;
    use crate::request::Folder;

    fn entry(state: State) -> Entry {
        Entry {
            name: EntryName {
                number: 7,
                time: 1_800_000_000,
                id: MessageId::from_bytes([0xab; 16]),
                sender: "ana".parse().unwrap(),
                size: 1234,
                sha256: [1; 32],
                cms: [2; 32],
            },
            state,
            peek_len: 99,
        }
    }

    fn listed(kind: ListKind) -> Listed {
        Listed {
            kind,
            digest: [kind as u8; 32],
            len: 40_000,
        }
    }

    fn key(epoch: u64) -> KeyEntry {
        KeyEntry {
            device: [3; 32],
            epoch,
            len: 400,
        }
    }

    fn replies() -> Vec<Reply> {
        let id = MessageId::from_bytes([0xab; 16]);
        let user = UserLine {
            name: "rui".parse().unwrap(),
            person: "Rui Conceição".to_owned(),
            online: true,
        };
        let progress = [
            Progress::Unknown,
            Progress::Deposited,
            Progress::Fetched,
            Progress::Read,
        ];
        vec![
            Reply::Welcome {
                account: "rui".parse().unwrap(),
                until: -1,
                now: 1_800_000_000,
            },
            Reply::Tally { count: 100_000 },
            Reply::Done,
            Reply::Refused {
                class: Class::Denied,
                text: "no".to_owned(),
                hint: String::new(),
            },
            Reply::Account {
                name: "rui".parse().unwrap(),
                record_len: 40_000,
                lists: [ListKind::Crl, ListKind::Ocsp].map(listed).to_vec(),
            },
            Reply::Account {
                name: "rui".parse().unwrap(),
                record_len: 0,
                lists: vec![],
            },
            Reply::Lists {
                lens: vec![1, 0, u32::MAX],
            },
            Reply::Keys {
                keys: vec![key(1), key(u64::MAX)],
                more: true,
            },
            Reply::Users {
                users: vec![user],
                more: true,
            },
            Reply::Accepted { id },
            Reply::Postmarks {
                postmarks: vec!["note\n".to_owned(), String::new()],
            },
            Reply::Listing {
                entries: [State::New, State::Fetched, State::Read, State::Removed]
                    .map(entry)
                    .to_vec(),
                more: false,
                count: 4,
                head: Head::from_bytes([4; 32]),
                before: Head::from_bytes([5; 32]),
            },
            Reply::Found {
                matches: vec![(Folder::Inbox, id), (Folder::Sent, id)],
            },
            Reply::Message {
                entry: entry(State::New),
            },
            Reply::States {
                states: progress.map(|p| ("ana".parse().unwrap(), p)).to_vec(),
            },
            Reply::Renewed {
                x25519: [5; 32],
                mlkem: vec![6; 1088],
            },
            Reply::News { count: u64::MAX },
        ]
    }

    #[test]
    fn replies_come_back() {
        for reply in replies() {
            let head = reply.encode().unwrap();
            assert_eq!(Reply::decode(&head), Ok(reply));
        }
    }

    #[test]
    fn cut_and_extended_replies_are_refused() {
        for reply in replies() {
            let head = reply.encode().unwrap();
            for end in 0..head.len() {
                assert!(Reply::decode(&head[..end]).is_err(), "{reply:?} {end}");
            }
            let long = [&head[..], &[0]].concat();
            assert_eq!(Reply::decode(&long), Err(CodecError::Long));
        }
    }

    #[test]
    fn values_that_are_none_are_refused() {
        // a refusal of class 0, a mark that is neither, a kind that is none
        assert!(Reply::decode(&[0x83, 0, 0, 0, 0, 0]).is_err());
        assert!(Reply::decode(&[0x85, 0, 0, 2]).is_err());
        // a list that is neither CRL nor OCSP answer
        let mut list = vec![0x84, 0, 1, b'a', 0, 0, 0, 0, 0, 1, 2];
        list.extend([0; 36]);
        assert!(Reply::decode(&list).is_ok());
        list[10] = 3;
        assert!(Reply::decode(&list).is_err());
        assert!(Reply::decode(&[0x80]).is_err());
        assert!(Reply::decode(&[0x90]).is_err());
        assert!(Reply::decode(&[1]).is_err());
    }

    #[test]
    fn a_refusal_too_long_to_say_is_refused_here() {
        let reply = Reply::Refused {
            class: Class::Busy,
            text: "x".repeat(65_536),
            hint: String::new(),
        };
        assert_eq!(reply.encode(), Err(CodecError::Size("text")));
    }

    #[test]
    fn states_are_packed_four_to_a_byte() {
        use State::{Fetched, New, Read, Removed};
        for (states, packed) in [
            (&[][..], &[][..]),
            (&[New], &[0]),
            (&[Removed], &[3]),
            (&[New, Fetched, Read, Removed], &[0b11_10_01_00]),
            (&[Read, Read, Read, Read, Fetched], &[0b10_10_10_10, 1]),
        ] {
            assert_eq!(State::pack(states.iter().copied()), packed);
            let count = states.len() as u64;
            assert_eq!(State::unpack(packed, count).unwrap(), states);
            // Neither more nor less, and nothing in what is left of a byte.
            let other = |bytes: &[u8], count| State::unpack(bytes, count).is_err();
            assert!(other(&[packed, &[0]].concat(), count));
            assert!(other(packed, count + 4));
            assert!(count == 0 || other(&packed[1..], count));
            assert!(other(packed, u64::MAX));
        }
        assert!(State::unpack(&[0b01_00], 1).is_err());
    }
}
