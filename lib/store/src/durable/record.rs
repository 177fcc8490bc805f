//! Records of the journal: bytes in, bytes out.
//!
//! Touches no disk. What does not hash to what it says is no record.

use std::io::Read;

use sha2::{Digest, Sha256};
use smr_name::{EntryName, MailboxName};

use crate::layout::Folder;

const LABEL: &[u8] = b"smr journal 1\0";
const HEADER: usize = 32 + 8 + 8 + 4 + 4;
/// The longest target in a record: a name, a folder, an entry.
pub(crate) const TARGET: usize = 32 + 1 + 8 + 1 + 205 + 1;
/// More names and bytes than any record has.
const LIMIT: u64 = 1 << 20;

/// One entry that comes about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) mailbox: MailboxName,
    pub(crate) folder: Folder,
    pub(crate) entry: EntryName,
}

/// What a record says: this message lies in these folders.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) targets: Vec<Target>,
    pub(crate) body: Body,
}

/// Where a record has the message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// In itself.
    Here(Vec<u8>),
    /// In a file beside the journal, by its number, from 1.
    Beside(u64),
}

/// Returns how long a record of this message may be.
pub(crate) fn longest(targets: usize, body: usize) -> usize {
    HEADER + targets * TARGET + body
}

/// Appends a record of the given pass.
pub(crate) fn write(record: &Record, pass: u64, to: &mut Vec<u8>) {
    let mut names = String::new();
    for target in &record.targets {
        let (mailbox, folder) = (&target.mailbox, target.folder.as_str());
        names.push_str(&format!("{mailbox}/{folder}/{}\n", target.entry));
    }
    let (large, body) = match &record.body {
        Body::Here(body) => (0, body.as_slice()),
        Body::Beside(number) => (*number, &[][..]),
    };
    let mut head = [0; HEADER - 32];
    head[..8].copy_from_slice(&pass.to_be_bytes());
    head[8..16].copy_from_slice(&large.to_be_bytes());
    head[16..20].copy_from_slice(&(names.len() as u32).to_be_bytes());
    head[20..].copy_from_slice(&(body.len() as u32).to_be_bytes());
    to.extend_from_slice(&hash(&head, names.as_bytes(), body));
    to.extend_from_slice(&head);
    to.extend_from_slice(names.as_bytes());
    to.extend_from_slice(body);
}

fn hash(head: &[u8], names: &[u8], body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(LABEL);
    hash.update(head);
    hash.update(names);
    hash.update(body);
    hash.finalize().into()
}

/// Reads the next record and its pass; none where the records end, be it
/// because the last one was cut off.
pub(crate) fn read(from: &mut impl Read) -> std::io::Result<Option<(u64, Record)>> {
    let mut header = [0; HEADER];
    if !fill(from, &mut header)? {
        return Ok(None);
    }
    let (told, head) = header.split_at(32);
    let number = |from: usize, to: usize| {
        let digits = head[from..to].iter();
        digits.fold(0, |number: u64, byte| number << 8 | u64::from(*byte))
    };
    let (pass, large) = (number(0, 8), number(8, 16));
    let (names, body) = (number(16, 20), number(20, 24));
    if names > LIMIT || body > LIMIT {
        return Ok(None);
    }
    let mut names = vec![0; names as usize];
    let mut body = vec![0; body as usize];
    if !fill(from, &mut names)? || !fill(from, &mut body)? || hash(head, &names, &body) != told {
        return Ok(None);
    }
    let body = match large {
        0 => Body::Here(body),
        number => Body::Beside(number),
    };
    let targets = parse(&names);
    Ok(targets.map(|targets| (pass, Record { targets, body })))
}

fn fill(from: &mut impl Read, bytes: &mut [u8]) -> std::io::Result<bool> {
    match from.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn parse(names: &[u8]) -> Option<Vec<Target>> {
    let text = std::str::from_utf8(names).ok()?.strip_suffix('\n')?;
    text.split('\n').map(target).collect()
}

fn target(line: &str) -> Option<Target> {
    let mut parts = line.splitn(3, '/');
    let (mailbox, folder, entry) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Target {
        mailbox: mailbox.parse().ok()?,
        folder: Folder::ALL.into_iter().find(|f| f.as_str() == folder)?,
        entry: entry.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Body, Record, Target, longest, read, write};
    use crate::layout::Folder;
    use smr_name::{EntryName, MessageId};

    fn record() -> Record {
        let target = |mailbox: &str, folder, number| Target {
            mailbox: mailbox.parse().unwrap(),
            folder,
            entry: EntryName {
                number,
                time: 5,
                id: MessageId::from_bytes([3; 16]),
                sender: "rui".parse().unwrap(),
                size: 4,
                sha256: [1; 32],
                cms: [2; 32],
            },
        };
        Record {
            targets: vec![
                target("ana", Folder::Inbox, 7),
                target("rui", Folder::Sent, 1),
            ],
            body: Body::Here(b"text".to_vec()),
        }
    }

    fn large() -> Record {
        Record {
            body: Body::Beside(7),
            ..record()
        }
    }

    #[test]
    fn records_come_back_in_order() {
        let mut bytes = Vec::new();
        write(&record(), 9, &mut bytes);
        assert!(bytes.len() <= longest(2, 4));
        write(&large(), 9, &mut bytes);
        write(&record(), 10, &mut bytes);
        let mut rest = &bytes[..];
        assert_eq!(read(&mut rest).unwrap(), Some((9, record())));
        assert_eq!(read(&mut rest).unwrap(), Some((9, large())));
        assert_eq!(read(&mut rest).unwrap(), Some((10, record())));
        assert_eq!(read(&mut rest).unwrap(), None);
    }

    #[test]
    fn what_was_cut_off_or_changed_is_no_record() {
        let mut bytes = Vec::new();
        write(&record(), 9, &mut bytes);
        for end in 0..bytes.len() {
            assert_eq!(read(&mut &bytes[..end]).unwrap(), None, "{end}");
            let mut other = bytes.clone();
            other[end] ^= 1;
            assert_eq!(read(&mut &other[..]).unwrap(), None, "{end}");
        }
        assert_eq!(read(&mut &[0; 4096][..]).unwrap(), None);
    }
}
