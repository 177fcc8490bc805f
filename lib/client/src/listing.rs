//! Listing: what a folder holds, checked against what was seen before.
//!
//! A listing whose head does not extend the one remembered, or the one that a
//! postmark promised, is refused (76).
//! The headers it shows are opened from the first bytes of each message and
//! are not verified: whoever shows them says so.

use std::collections::HashSet;

pub use smr_channel::reply::{Entry, Progress, State, UserLine};
pub use smr_channel::request::Folder;
use smr_evidence::envelope::{self, Headers};
use smr_evidence::postmark::{self, Kind};
use smr_name::{Class, EntryName, Head, MailboxName, MessageId};

use crate::failure::Failure;
use crate::known::Mark;
use crate::proof::Word;
use crate::user::User;

const PAGE: u16 = 200;
// With peeks a page is a few megabytes.
const PEEK_PAGE: u16 = 20;

/// A message in a listing.
pub struct Line {
    /// What smrd says of it.
    pub entry: Entry,
    /// What it says of itself, unverified; none where it cannot be opened.
    pub headers: Option<Headers>,
}

/// Returns all entries of a folder, by number, and remembers how far it has
/// come.
pub fn entries(user: &mut User, folder: Folder) -> Result<Vec<Entry>, Failure> {
    let lines = pages(user, folder, PAGE, 0)?;
    Ok(lines.into_iter().map(|(entry, _)| entry).collect())
}

/// Returns all messages of a folder with their headers.
pub fn lines(user: &mut User, folder: Folder) -> Result<Vec<Line>, Failure> {
    let found = pages(user, folder, PEEK_PAGE, envelope::PEEK)?;
    let mut lines = Vec::with_capacity(found.len());
    for (entry, peek) in found {
        // What cannot be opened is listed all the same, without its subject;
        // so is what says of itself that it is another message.
        let headers = envelope::peek(&peek, &user.keys).ok();
        let headers = headers.filter(|h| h.id == entry.name.id);
        lines.push(Line { entry, headers });
    }
    Ok(lines)
}

fn pages(
    user: &mut User,
    folder: Folder,
    page: u16,
    peek: u32,
) -> Result<Vec<(Entry, Vec<u8>)>, Failure> {
    // Before the first request: what other tools see meanwhile may be further
    // than what this one is about to hear.
    let due = user
        .known
        .due(&user.address.mailbox, &user.repository, folder)?;
    user.session.begin();
    let found = walk(user, folder, due.clone(), page, peek);
    found.map_err(|failure| user.session.prove(failure, &before(user, folder, &due)))
}

/// Returns what must have been met on the way, for whoever is shown a proof:
/// the marks, and the postmark that one of them comes from.
fn before(user: &User, folder: Folder, due: &[Mark]) -> Vec<(String, Vec<u8>)> {
    let line = |mark: &Mark| format!("entry {} has head {}\n", mark.number, hex(&mark.head));
    let heads: String = due.iter().map(line).collect();
    let mut before = vec![("heads".to_owned(), heads.into_bytes())];
    before.retain(|(_, bytes)| !bytes.is_empty());
    let promises = |note: &String| {
        postmark::open(note, &user.server.postmark, &user.repository).is_ok_and(|mark| {
            let here = Mark {
                number: mark.number,
                head: mark.head,
            };
            let own = match folder {
                Folder::Sent => mark.kind == Kind::Copy,
                Folder::Inbox => mark.kind == Kind::Message,
                Folder::Receipts => false,
            };
            own && mark.mailbox == user.address.mailbox && due.contains(&here)
        })
    };
    // Where they cannot be read the marks must do.
    let notes = user.known.all_postmarks().unwrap_or_default();
    let promised = notes.into_iter().find(promises);
    let word = user
        .known
        .word(&user.address.mailbox, &user.repository, folder);
    if let Ok(Some(word)) = word {
        let mut seen = due.iter().filter_map(|mark| Word::kept(&word, &mark.head));
        before.extend(seen.next().unwrap_or_default());
    }
    before.extend(promised.map(|note| ("postmark".to_owned(), note.into_bytes())));
    before
}

fn hex(head: &Head) -> String {
    let bytes = head.as_bytes().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

fn walk(
    user: &mut User,
    folder: Folder,
    due: Vec<Mark>,
    page: u16,
    peek: u32,
) -> Result<Vec<(Entry, Vec<u8>)>, Failure> {
    let mut chain = Chain::new(due.clone(), folder);
    let mut all: Vec<(Entry, Vec<u8>)> = Vec::new();
    loop {
        let listing = user.session.list(folder, chain.number, page, peek)?;
        if listing.entries.is_empty() && listing.more {
            return Err(altered(folder, "an empty page is not the last"));
        }
        for (entry, peek) in listing.entries {
            chain
                .extend(&entry.name)
                .map_err(|why| altered(folder, why))?;
            all.push((entry, peek));
        }
        if !listing.more {
            let mark = chain
                .end(listing.head)
                .map_err(|why| altered(folder, why))?;
            remember(user, folder, &mark)?;
            if mark.number > 0 && !due.contains(&mark) {
                keep_word(user, folder)?;
            }
            return Ok(all);
        }
    }
}

/// Follows a folder from its first entry on.
struct Chain {
    number: u64,
    head: Head,
    // Marks that must still be met on the way.
    due: Vec<Mark>,
    // One message may have several receipts, but comes once.
    met: Option<HashSet<MessageId>>,
}

impl Chain {
    fn new(due: Vec<Mark>, folder: Folder) -> Chain {
        Chain {
            met: (folder != Folder::Receipts).then(HashSet::new),
            number: 0,
            head: Head::default(),
            due: due.into_iter().filter(|mark| mark.number > 0).collect(),
        }
    }

    fn extend(&mut self, name: &EntryName) -> Result<(), &'static str> {
        if Some(name.number) != self.number.checked_add(1) {
            return Err("an entry is missing");
        }
        if self.met.as_mut().is_some_and(|met| !met.insert(name.id)) {
            return Err("a message stands in it twice");
        }
        self.number = name.number;
        self.head = self.head.extend(name);
        let here = Mark {
            number: self.number,
            head: self.head,
        };
        self.due.retain(|mark| *mark != here);
        Ok(())
    }

    /// Ends at the head that smrd told.
    fn end(self, told: Head) -> Result<Mark, &'static str> {
        if self.head != told {
            return Err("the entries do not chain to the head");
        }
        if !self.due.is_empty() {
            return Err("it does not extend what was seen before");
        }
        Ok(Mark {
            number: self.number,
            head: self.head,
        })
    }
}

/// Keeps what smrd has signed of a folder: should it say something else later,
/// that contradicts its own word.
fn keep_word(user: &User, folder: Folder) -> Result<(), Failure> {
    let mailbox = &user.address.mailbox;
    match user.session.last_word() {
        Some(word) => Ok(user
            .known
            .keep_word(mailbox, &user.repository, folder, &word)?),
        None => Ok(()),
    }
}

fn remember(user: &User, folder: Folder, mark: &Mark) -> Result<(), Failure> {
    let mailbox = &user.address.mailbox;
    Ok(user
        .known
        .see_mark(mailbox, &user.repository, folder, mark)?)
}

fn altered(folder: Folder, why: &str) -> Failure {
    let name = match folder {
        Folder::Inbox => "inbox",
        Folder::Sent => "sent folder",
        Folder::Receipts => "receipts folder",
    };
    Failure::new(
        Class::Untrusted,
        format!("smrd has altered the {name}: {why}"),
    )
    .hint("keep your state folder; ask the operator what happened")
}

/// Returns how far a sent message has come in each of its mailboxes.
pub fn progress(user: &mut User, line: &Line) -> Result<Vec<(MailboxName, Progress)>, Failure> {
    let Some(headers) = &line.headers else {
        return Ok(Vec::new());
    };
    let mut mailboxes: Vec<MailboxName> = Vec::new();
    for address in headers.to.iter().chain(&headers.cc) {
        let name = &address.mailbox;
        if address.repository.as_ref() == Some(&user.repository) && !mailboxes.contains(name) {
            mailboxes.push(name.clone());
        }
    }
    Ok(user.session.state(line.entry.name.id, &mailboxes)?)
}

/// Returns the users of the repository, by name.
pub fn users(user: &mut User) -> Result<Vec<UserLine>, Failure> {
    Ok(user.session.users()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u64) -> EntryName {
        EntryName {
            number,
            time: 1_800_000_000,
            id: MessageId::from_bytes([number as u8; 16]),
            sender: "ana".parse().unwrap(),
            size: 4,
            sha256: [1; 32],
            cms: [2; 32],
        }
    }

    fn heads(count: u64) -> Vec<Mark> {
        let mut head = Head::default();
        let mark = |number| {
            head = head.extend(&name(number));
            Mark { number, head }
        };
        (1..=count).map(mark).collect()
    }

    fn follow(due: &[Mark], numbers: &[u64], told: Head) -> Result<Mark, &'static str> {
        let mut chain = Chain::new(due.to_vec(), Folder::Inbox);
        numbers.iter().try_for_each(|n| chain.extend(&name(*n)))?;
        chain.end(told)
    }

    #[test]
    fn a_folder_that_grew_is_fine() {
        let marks = heads(3);
        let last = marks[2];
        for due in [&[][..], &marks[..1], &marks[1..], &marks] {
            assert_eq!(follow(due, &[1, 2, 3], last.head), Ok(last));
        }
        let empty = Mark {
            number: 0,
            head: Head::default(),
        };
        assert_eq!(follow(&[empty], &[], Head::default()), Ok(empty));
    }

    #[test]
    fn a_message_comes_once_and_may_have_two_receipts() {
        let twice = |folder| {
            let mut chain = Chain::new(Vec::new(), folder);
            let again = EntryName {
                number: 2,
                ..name(1)
            };
            chain
                .extend(&name(1))
                .and_then(|()| chain.extend(&again))
                .is_ok()
        };
        assert!(!twice(Folder::Inbox));
        assert!(!twice(Folder::Sent));
        assert!(twice(Folder::Receipts));
    }

    #[test]
    fn a_folder_that_shrank_or_changed_is_not() {
        let marks = heads(3);
        let other = Mark {
            number: 2,
            head: marks[0].head,
        };
        for (due, numbers, told) in [
            (&marks[2..], &[1, 2][..], marks[1].head),
            (&[other], &[1, 2, 3], marks[2].head),
            (&[other, marks[2]], &[1, 2, 3], marks[2].head),
            (&[], &[1, 3], marks[1].head),
            (&[], &[2], marks[0].head),
            (&[], &[1, 1], marks[1].head),
            (&[], &[1, 2], marks[2].head),
            (&marks[..1], &[], Head::default()),
        ] {
            assert!(follow(due, numbers, told).is_err(), "{numbers:?}");
        }
    }
}
