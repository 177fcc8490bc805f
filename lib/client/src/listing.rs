//! Listing: what a folder holds, checked against what was seen before.
//!
//! A listing whose head does not extend the one remembered, or the one that a
//! postmark promised, or that others tell of, is refused (76).
//! The headers it shows are opened from the first bytes of each message and
//! are not verified: whoever shows them says so.

use std::collections::HashSet;

pub use smr_channel::reply::{Entry, Progress, State, UserLine};
pub use smr_channel::request::Folder;
use smr_evidence::envelope::{self, EnvelopeError, Headers};
use smr_evidence::postmark::{Kind, Postmark};
use smr_name::{Class, EntryName, Head, MailboxName, MessageId};

use crate::failure::Failure;
use crate::heads;
use crate::known::{Heard, Mark};
use crate::proof::{Against, Word};
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

/// Returns all entries of a folder whose messages are there, by number, and
/// remembers how far it has come.
pub fn entries(user: &mut User, folder: Folder) -> Result<Vec<Entry>, Failure> {
    let lines = pages(user, folder, None, PAGE, 0)?;
    Ok(lines.into_iter().map(|(entry, _)| entry).collect())
}

/// Returns the newest `most` entries of a folder, by number; what lies before
/// them is not listed, and where nothing of the folder was seen yet, not
/// verified (smr-session(7)).
pub fn newest_entries(user: &mut User, folder: Folder, most: usize) -> Result<Vec<Entry>, Failure> {
    let lines = pages(user, folder, Some(most), PAGE, 0)?;
    Ok(lines.into_iter().map(|(entry, _)| entry).collect())
}

/// Returns all messages of a folder with their headers.
pub fn lines(user: &mut User, folder: Folder) -> Result<Vec<Line>, Failure> {
    opened(user, folder, None)
}

/// Returns the newest `most` messages of a folder with their headers; else as
/// [`newest_entries`].
pub fn newest_lines(user: &mut User, folder: Folder, most: usize) -> Result<Vec<Line>, Failure> {
    opened(user, folder, Some(most))
}

fn opened(user: &mut User, folder: Folder, most: Option<usize>) -> Result<Vec<Line>, Failure> {
    let found = pages(user, folder, most, PEEK_PAGE, envelope::PEEK)?;
    let mut lines = Vec::with_capacity(found.len());
    for (entry, peek) in found {
        // What cannot be opened is listed all the same, without its subject;
        // so is what says of itself that it is another message.
        let headers = match envelope::peek(&peek, &user.keys) {
            Err(EnvelopeError::Short) if entry.name.size > peek.len() as u64 => {
                envelope::peek(&more(user, folder, &entry)?, &user.keys).ok()
            }
            peeked => peeked.ok(),
        };
        let headers = headers.filter(|h| h.id == entry.name.id);
        lines.push(Line { entry, headers });
    }
    Ok(lines)
}

/// Entries with their first bytes.
type Peeked = Vec<(Entry, Vec<u8>)>;

/// Returns more of a message than a page has room for, which is sealed to a
/// crowd; nothing where it was removed meanwhile.
fn more(user: &mut User, folder: Folder, entry: &Entry) -> Result<Vec<u8>, Failure> {
    let after = entry.name.number - 1;
    let page = user.session.list(folder, after, 1, envelope::LONG_PEEK)?;
    let mut found = page.entries.into_iter();
    let found = found.find(|(other, _)| other.name == entry.name);
    Ok(found.map(|(_, bytes)| bytes).unwrap_or_default())
}

fn pages(
    user: &mut User,
    folder: Folder,
    most: Option<usize>,
    page: u16,
    peek: u32,
) -> Result<Peeked, Failure> {
    let Some(most) = most else {
        return pages_after(user, folder, &[], 0, page, peek);
    };
    let count = user.session.list(folder, u64::MAX, 1, 0)?.count;
    let mut window = most as u64;
    loop {
        let begin = count.saturating_sub(window);
        let mut found = pages_after(user, folder, &[], begin, page, peek)?;
        if found.len() >= most || begin == 0 {
            found.drain(..found.len().saturating_sub(most));
            return Ok(found);
        }
        // Some of them are removed.
        window = window.saturating_mul(2);
    }
}

/// Walks a folder from after `begin`, or from an earlier number up to which it
/// was seen; it must hold these marks besides.
fn pages_after(
    user: &mut User,
    folder: Folder,
    promised: &[Mark],
    begin: u64,
    page: u16,
    peek: u32,
) -> Result<Peeked, Failure> {
    // Before the first request: what other tools see meanwhile may be further
    // than what this one is about to hear.
    let known = user
        .known
        .due(&user.address.mailbox, &user.repository, folder)?;
    let due = [&known, promised].concat();
    let heard = user
        .known
        .heard(&user.address.mailbox, &user.repository, folder)?;
    // What was told may lie anywhere: only the whole folder can meet it.
    let begin = match heard.is_empty() {
        true => due.iter().map(|m| m.number).fold(begin, u64::min),
        false => 0,
    };
    user.session.begin();
    let chain = Chain::new(due, folder, begin);
    let found = walk(user, folder, chain, &heard, page, peek);
    found.map_err(|failure| {
        let own = &user.address.mailbox;
        // Not what was promised just now: that is part of the contradiction.
        let before = before(user, own, heads::kind_of(folder), &known, &heard);
        user.session.prove(failure, &before)
    })
}

/// Returns what must have been met on the way, for whoever is shown a proof:
/// the marks, what others told, and the postmark that one of the marks comes
/// from.
pub(crate) fn before(
    user: &User,
    mailbox: &MailboxName,
    kind: Kind,
    due: &[Mark],
    heard: &[Heard],
) -> Vec<Against> {
    let line = |mark: &Mark| format!("entry {} has head {}\n", mark.number, hex(&mark.head));
    let heads: String = due.iter().map(line).collect();
    let line = |heard: &Heard| format!("{} by {} in {}\n", heard.told, heard.by, heard.id);
    let told: String = heard.iter().map(line).collect();
    let mut before = vec![
        ("heads".to_owned(), heads.into_bytes()),
        ("told".to_owned(), told.into_bytes()),
    ];
    before.retain(|(_, bytes)| !bytes.is_empty());
    let promises = |note: &String| {
        user.pinned.postmark(note).is_ok_and(|mark| {
            mark.kind == kind && mark.mailbox == *mailbox && due.contains(&Mark::from(&mark))
        })
    };
    // Where they cannot be read the marks must do.
    let notes = user.known.all_postmarks().unwrap_or_default();
    let promised = notes.into_iter().find(promises);
    let folder = heads::folder_of(kind);
    let word = user.known.word(mailbox, &user.repository, folder);
    // Of another's folder there is none.
    if let Ok(Some(word)) = word {
        let mut seen = due.iter().filter_map(|mark| Word::kept(&word, &mark.head));
        before.extend(seen.next().unwrap_or_default());
    }
    before.extend(promised.map(|note| ("postmark".to_owned(), note.into_bytes())));
    before
}

/// Lists a folder of one's own from the entry on that a postmark is of, which
/// must be there with that head.
pub(crate) fn hold(user: &mut User, postmark: &Postmark) -> Result<(), Failure> {
    let folder = heads::folder_of(postmark.kind);
    let begin = postmark.number.saturating_sub(1);
    pages_after(user, folder, &[postmark.into()], begin, PAGE, 0).map(drop)
}

fn hex(head: &Head) -> String {
    let bytes = head.as_bytes().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

fn walk(
    user: &mut User,
    folder: Folder,
    mut chain: Chain,
    heard: &[Heard],
    page: u16,
    peek: u32,
) -> Result<Peeked, Failure> {
    let (due, begin) = (chain.due.clone(), chain.number);
    let mut heads: Vec<Head> = Vec::new();
    let mut all: Peeked = Vec::new();
    loop {
        let listing = user.session.list(folder, chain.number, page, peek)?;
        chain
            .joins(listing.before)
            .map_err(|why| altered(folder, why))?;
        if listing.entries.is_empty() && listing.more {
            return Err(altered(folder, "an empty page is not the last"));
        }
        for (entry, peek) in listing.entries {
            chain
                .extend(&entry.name)
                .map_err(|why| altered(folder, why))?;
            heads.extend(chain.head);
            all.push((entry, peek));
        }
        if !listing.more {
            let mark = chain
                .end(listing.head)
                .map_err(|why| altered(folder, why))?;
            heads::compare(user, folder, &heads, heard)?;
            remember(user, folder, &mark)?;
            if mark.number > 0 && !due.contains(&mark) {
                keep_word(user, folder)?;
            }
            if begin == 0 {
                user.walk(folder, heads);
            }
            all.retain(|(entry, _)| entry.state != State::Removed);
            return Ok(all);
        }
    }
}

/// Follows a folder from one of its entries on.
struct Chain {
    number: u64,
    // None until smrd has told the head to begin at.
    head: Option<Head>,
    // Marks that must still be met on the way.
    due: Vec<Mark>,
    // One message may have several receipts, but comes once.
    met: Option<HashSet<MessageId>>,
}

impl Chain {
    fn new(due: Vec<Mark>, folder: Folder, begin: u64) -> Chain {
        Chain {
            met: (folder != Folder::Receipts).then(HashSet::new),
            number: begin,
            head: (begin == 0).then(Head::default),
            due: due.into_iter().filter(|mark| mark.number > 0).collect(),
        }
    }

    /// Goes on from where the last page ended, or begins where smrd says.
    fn joins(&mut self, before: Head) -> Result<(), &'static str> {
        if *self.head.get_or_insert(before) != before {
            return Err("a page does not continue what is before it");
        }
        self.pass();
        Ok(())
    }

    fn pass(&mut self) {
        let here = self.head.map(|head| Mark {
            number: self.number,
            head,
        });
        self.due.retain(|mark| Some(*mark) != here);
    }

    fn extend(&mut self, name: &EntryName) -> Result<(), &'static str> {
        if Some(name.number) != self.number.checked_add(1) {
            return Err("an entry is missing");
        }
        if self.met.as_mut().is_some_and(|met| !met.insert(name.id)) {
            return Err("a message stands in it twice");
        }
        self.number = name.number;
        self.head = self.head.map(|head| head.extend(name));
        self.pass();
        Ok(())
    }

    /// Ends at the head that smrd told.
    fn end(self, told: Head) -> Result<Mark, &'static str> {
        if self.head != Some(told) {
            return Err("the entries do not chain to the head");
        }
        if !self.due.is_empty() {
            return Err("it does not extend what was seen before");
        }
        Ok(Mark {
            number: self.number,
            head: told,
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

/// Says that a folder is not what it was.
pub(crate) fn altered(folder: Folder, why: &str) -> Failure {
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
        follow_from(0, Head::default(), due, numbers, told)
    }

    fn follow_from(
        begin: u64,
        before: Head,
        due: &[Mark],
        numbers: &[u64],
        told: Head,
    ) -> Result<Mark, &'static str> {
        let mut chain = Chain::new(due.to_vec(), Folder::Inbox, begin);
        chain.joins(before)?;
        numbers.iter().try_for_each(|n| chain.extend(&name(*n)))?;
        chain.end(told)
    }

    #[test]
    fn a_listing_may_begin_at_a_mark_or_before_it() {
        let marks = heads(4);
        let (seen, last) = (marks[1], marks[3]);
        for (begin, numbers) in [(2, &[3, 4][..]), (1, &[2, 3, 4])] {
            let before = marks[begin - 1].head;
            let walked = follow_from(begin as u64, before, &[seen], numbers, last.head);
            assert_eq!(walked, Ok(last));
            // Whoever saw nothing yet believes where it begins.
            assert_eq!(
                follow_from(begin as u64, before, &[], numbers, last.head),
                Ok(last)
            );
            let other = marks[0].head.extend(&name(9));
            assert!(follow_from(begin as u64, other, &[seen], numbers, last.head).is_err());
        }
        // From the first entry on there is nothing to believe.
        let begun = follow_from(0, marks[0].head, &[], &[1], marks[0].head);
        assert!(begun.is_err());
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
            let mut chain = Chain::new(Vec::new(), folder, 0);
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
