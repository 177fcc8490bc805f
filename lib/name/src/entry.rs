//! Names of messages in a mailbox, and the head that chains them.
//!
//! The directory is the index: all that smrd says of a message follows from
//! its file's name (smr-store(5)).

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::{MailboxName, MessageId};

const SEQ_DIGITS: usize = 12;
const TIME_DIGITS: usize = 11;

/// Names one message of one mailbox:
/// `SEQ.TIME.ID.SENDER,S=SIZE,H=SHA256,C=CMS`, at most 205 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntryName {
    /// Position in the mailbox, from 1; 12 digits.
    pub number: u64,
    /// Arrival in unix seconds, never negative; 11 digits.
    pub time: i64,
    /// The sender's id for the message.
    pub id: MessageId,
    /// Who deposited it: the sender, or the reader who gave a receipt.
    pub sender: MailboxName,
    /// Size of the sealed file in bytes.
    pub size: u64,
    /// SHA-256 of the sealed file.
    pub sha256: [u8; 32],
    /// SHA-256 of the CMS SignedData inside, as the depositor told it.
    pub cms: [u8; 32],
}

/// Says that a file name is not a message's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not the name of a message in a mailbox")]
pub struct EntryError;

impl EntryName {
    /// Tells whether every field fits its place in the name.
    pub fn is_writable(&self) -> bool {
        self.number < 10u64.pow(SEQ_DIGITS as u32)
            && (0..10i64.pow(TIME_DIGITS as u32)).contains(&self.time)
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:0SEQ_DIGITS$}.{:0TIME_DIGITS$}.{}.{},S={},H={},C={}",
            self.number,
            self.time,
            self.id,
            self.sender,
            self.size,
            URL_SAFE_NO_PAD.encode(self.sha256),
            URL_SAFE_NO_PAD.encode(self.cms),
        )
    }
}

fn digits<T: FromStr>(text: &str, width: usize) -> Result<T, EntryError> {
    let plain = text.len() == width && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten().ok_or(EntryError)
}

fn hash(field: Option<&str>, key: &str) -> Result<[u8; 32], EntryError> {
    let text = field.and_then(|f| f.strip_prefix(key)).ok_or(EntryError)?;
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| EntryError)?;
    bytes.try_into().map_err(|_| EntryError)
}

impl FromStr for EntryName {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        let mut fields = text.split(',');
        let mut unique = fields.next().ok_or(EntryError)?.splitn(4, '.');
        let mut next = || unique.next().ok_or(EntryError);
        let (number, time, id, sender) = (next()?, next()?, next()?, next()?);
        let size = fields
            .next()
            .and_then(|f| f.strip_prefix("S="))
            .ok_or(EntryError)?;
        let entry = EntryName {
            number: digits(number, SEQ_DIGITS)?,
            time: digits(time, TIME_DIGITS)?,
            id: id.parse().map_err(|_| EntryError)?,
            sender: sender.parse().map_err(|_| EntryError)?,
            size: digits(size, size.len())?,
            sha256: hash(fields.next(), "H=")?,
            cms: hash(fields.next(), "C=")?,
        };
        // One spelling only: a name that means the same as another is a stranger.
        (fields.next().is_none() && entry.number > 0 && entry.to_string() == text)
            .then_some(entry)
            .ok_or(EntryError)
    }
}

/// The head of a mailbox: a hash chain over its entries, 32 bytes; all zero
/// for an empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Head([u8; 32]);

impl Head {
    /// Wraps a digest read from elsewhere.
    pub fn from_bytes(digest: [u8; 32]) -> Self {
        Head(digest)
    }

    /// Returns the digest, 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the head after `entry`: SHA-256 of `smr head 1`, a zero byte,
    /// the head before it, and the entry's name.
    #[must_use]
    pub fn extend(&self, entry: &EntryName) -> Head {
        let mut hash = Sha256::new();
        hash.update(b"smr head 1\0");
        hash.update(self.0);
        hash.update(entry.to_string().as_bytes());
        Head(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::{EntryName, Head};

    fn entry() -> EntryName {
        EntryName {
            number: 7,
            time: 1_800_000_000,
            id: "00ff0123456789abcdef0123456789ab".parse().unwrap(),
            sender: "rui.silva".parse().unwrap(),
            size: 5321,
            sha256: [1; 32],
            cms: [2; 32],
        }
    }

    #[test]
    fn name_comes_back() {
        let text = entry().to_string();
        assert!(text.starts_with(
            "000000000007.01800000000.00ff0123456789abcdef0123456789ab.rui.silva,S=5321,H=AQEB"
        ));
        assert_eq!(text.parse(), Ok(entry()));
        assert!(text.len() < 180);
    }

    #[test]
    fn strangers_are_refused() {
        let text = entry().to_string();
        let cases = [
            String::new(),
            text.replace("000000000007", "7"),
            text.replace("000000000007", "000000000000"),
            text.replace("S=5321", "S=05321"),
            text.replace("rui.silva", "../silva"),
            text.clone() + ",X=1",
            text.clone() + ":2,S",
            text[..text.len() - 1].to_owned(),
        ];
        for case in cases {
            assert!(case.parse::<EntryName>().is_err(), "{case}");
        }
    }

    #[test]
    fn names_sort_as_they_arrived() {
        let (mut a, mut b) = (entry(), entry());
        (a.number, b.number) = (9, 10);
        assert!(a.to_string() < b.to_string());
    }

    #[test]
    fn head_commits_to_every_field() {
        let base = Head::default().extend(&entry());
        let mut other = entry();
        other.cms[31] ^= 1;
        assert_ne!(Head::default().extend(&other), base);
        assert_ne!(base.extend(&entry()), base);
    }

    #[test]
    fn oversized_fields_are_seen() {
        assert!(entry().is_writable());
        assert!(
            !EntryName {
                number: 10u64.pow(12),
                ..entry()
            }
            .is_writable()
        );
        assert!(
            !EntryName {
                time: -1,
                ..entry()
            }
            .is_writable()
        );
    }
}
