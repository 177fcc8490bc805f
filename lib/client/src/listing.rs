//! Listing: what a folder holds, checked against what was seen before.
//!
//! A listing whose head does not extend the one remembered, or the one that a
//! postmark promised, or that others tell of, is refused (76).
//! The headers it shows are opened from the first bytes of each message and
//! are not verified: whoever shows them says so.

use std::collections::HashSet;

pub use smr_channel::reply::{Entry, Progress, State, UserLine};
pub use smr_channel::request::Folder;
use smr_evidence::envelope::{self, EnvelopeError};
use smr_evidence::postmark::{Kind, Postmark};
use smr_name::{Class, EntryName, Head, MailboxName, MessageId};

use crate::failure::Failure;
use crate::heads;
use crate::known::{Heard, Mark};
use crate::proof::{Against, Word};
pub use crate::shelf::Shown;
use crate::shelf::{Kept, Shelf};
use crate::user::User;

const PAGE: u16 = 200;
// With peeks a page is a few megabytes.
const PEEK_PAGE: u16 = 20;

/// A message in a listing.
pub struct Line {
    /// What smrd says of it.
    pub entry: Entry,
    /// What it says of itself, unverified; none where it cannot be opened.
    pub headers: Option<Shown>,
}

/// A folder that was walked to its end: what is in it is looked at one by one,
/// by number.
pub struct View {
    folder: Folder,
    states: Vec<State>,
}

/// Walks a folder on from where it is remembered, and asks for the states of all
/// its entries.
pub fn view(user: &mut User, folder: Folder) -> Result<View, Failure> {
    walked(user, folder)?;
    let mut states = user.session.tally(folder)?;
    let count = user.walked(folder).map_or(0, |shelf| shelf.count());
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if states.len() < count {
        let failure = altered(folder, "it counts fewer entries than it lists");
        return Err(user.session.prove(failure, &[]));
    }
    // What came since is for the next walk.
    states.truncate(count);
    Ok(View { folder, states })
}

impl View {
    /// Returns the number of the last entry.
    pub fn last(&self) -> u64 {
        self.states.len() as u64
    }

    /// Returns the numbers of the messages that are there, and their states.
    pub fn there(&self) -> impl Iterator<Item = (u64, State)> + '_ {
        let numbered = (1..).zip(self.states.iter().copied());
        numbered.filter(|(_, state)| *state != State::Removed)
    }

    /// Returns the id of a message.
    pub fn id(&self, user: &mut User, number: u64) -> Result<MessageId, Failure> {
        let id = self.shelf(user)?.id(number)?;
        id.ok_or_else(|| no_entry(number))
    }

    /// Returns an entry.
    pub fn entry(&self, user: &mut User, number: u64) -> Result<Entry, Failure> {
        let kept = self.kept(user, number)?;
        Ok(self.entry_of(kept.name))
    }

    /// Returns a message with its headers, which it is opened for the first time.
    pub fn line(&self, user: &mut User, number: u64) -> Result<Line, Failure> {
        let kept = self.kept(user, number)?;
        let headers = match kept.shown {
            Some(shown) => Some(shown),
            None => self.open(user, number)?,
        };
        let entry = self.entry_of(kept.name);
        Ok(Line { entry, headers })
    }

    /// Remembers the headers of the messages that were opened.
    pub fn close(&self, user: &mut User) -> Result<(), Failure> {
        self.shelf(user)?.save()
    }

    fn shelf<'a>(&self, user: &'a mut User) -> Result<&'a mut Shelf, Failure> {
        let shelf = user.walked(self.folder);
        shelf.ok_or_else(|| Failure::new(Class::Broken, "a folder was not walked"))
    }

    fn kept(&self, user: &mut User, number: u64) -> Result<Kept, Failure> {
        let kept = self.shelf(user)?.kept(number)?;
        kept.ok_or_else(|| no_entry(number))
    }

    fn entry_of(&self, name: EntryName) -> Entry {
        let place = usize::try_from(name.number).unwrap_or(0).checked_sub(1);
        let state = place.and_then(|place| self.states.get(place).copied());
        Entry {
            name,
            state: state.unwrap_or(State::Removed),
            peek_len: 0,
        }
    }

    /// Opens a message for its headers, and those that come with it in a page.
    fn open(&self, user: &mut User, number: u64) -> Result<Option<Shown>, Failure> {
        user.session.begin();
        let page = user
            .session
            .list(self.folder, number - 1, PEEK_PAGE, envelope::PEEK)?;
        let mut wanted = None;
        for (entry, peek) in page.entries {
            let at = entry.name.number;
            // Of what came since nothing is verified.
            let Some(kept) = self.shelf(user)?.kept(at)? else {
                break;
            };
            if kept.name != entry.name {
                let why = "it lists another message than before under one number";
                return Err(user.session.prove(altered(self.folder, why), &[]));
            }
            if kept.shown.is_some() || entry.state == State::Removed {
                continue;
            }
            let shown = headers(user, self.folder, &entry, &peek)?;
            if let Some(shown) = &shown {
                self.shelf(user)?.show(at, shown)?;
            }
            if at == number {
                wanted = shown;
            }
        }
        Ok(wanted)
    }
}

fn no_entry(number: u64) -> Failure {
    Failure::new(Class::Broken, format!("a listing has no entry {number}"))
}

/// Returns what a message says of itself; none for what cannot be opened, and
/// for what says that it is another message.
fn headers(
    user: &mut User,
    folder: Folder,
    entry: &Entry,
    peek: &[u8],
) -> Result<Option<Shown>, Failure> {
    let peeked = match envelope::peek(peek, &user.keys) {
        Err(EnvelopeError::Short) if entry.name.size > peek.len() as u64 => {
            envelope::peek(&more(user, folder, entry)?, &user.keys)
        }
        peeked => peeked,
    };
    let opened = peeked.ok().filter(|opened| opened.id == entry.name.id);
    Ok(opened.map(|opened| Shown {
        to: opened.to,
        cc: opened.cc,
        subject: opened.subject,
    }))
}

/// Returns all entries of a folder whose messages are there, by number, and
/// remembers how far it has come.
pub fn entries(user: &mut User, folder: Folder) -> Result<Vec<Entry>, Failure> {
    let view = view(user, folder)?;
    let there = view.there().map(|(number, _)| view.entry(user, number));
    there.collect()
}

/// Returns the newest `most` entries of a folder, by number; what lies before
/// them is not listed, and where nothing of the folder was seen yet, not
/// verified (smr-session(7)).
pub fn newest_entries(user: &mut User, folder: Folder, most: usize) -> Result<Vec<Entry>, Failure> {
    let lines = newest(user, folder, most, PAGE, 0)?;
    Ok(lines.into_iter().map(|(entry, _)| entry).collect())
}

/// Returns the newest `most` messages of a folder with their headers; else as
/// [`newest_entries`].
pub fn newest_lines(user: &mut User, folder: Folder, most: usize) -> Result<Vec<Line>, Failure> {
    let found = newest(user, folder, most, PEEK_PAGE, envelope::PEEK)?;
    let mut lines = Vec::with_capacity(found.len());
    for (entry, peek) in found {
        // What cannot be opened is listed all the same, without its subject.
        let headers = headers(user, folder, &entry, &peek)?;
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

fn newest(
    user: &mut User,
    folder: Folder,
    most: usize,
    page: u16,
    peek: u32,
) -> Result<Peeked, Failure> {
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

/// What a folder must hold, as it was known before smrd is asked: what other
/// tools see meanwhile may be further than what this one is about to hear.
struct Due {
    marks: Vec<Mark>,
    heard: Vec<Heard>,
}

impl Due {
    fn look(user: &User, folder: Folder) -> Result<Due, Failure> {
        let own = &user.address.mailbox;
        Ok(Due {
            marks: user.known.due(own, &user.repository, folder)?,
            heard: user.known.heard(own, &user.repository, folder)?,
        })
    }

    /// Proves that smrd contradicts it.
    fn proved(&self, user: &User, folder: Folder, failure: Failure) -> Failure {
        let (own, kind) = (&user.address.mailbox, heads::kind_of(folder));
        let before = before(user, own, kind, &self.marks, &self.heard);
        user.session.prove(failure, &before)
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
    let mut due = Due::look(user, folder)?;
    if !due.heard.is_empty() {
        // What was told may lie anywhere: only the whole folder can meet it.
        walked(user, folder)?;
        due = Due::look(user, folder)?;
    }
    let marks = [&due.marks[..], promised].concat();
    let begin = marks.iter().map(|m| m.number).fold(begin, u64::min);
    user.session.begin();
    let chain = Chain::new(marks, folder, begin);
    let found = walk(user, folder, chain, page, peek);
    // Not what was promised just now: that is part of the contradiction.
    found.map_err(|failure| due.proved(user, folder, failure))
}

/// Walks all of a folder, from where it is remembered on.
pub(crate) fn walked(user: &mut User, folder: Folder) -> Result<(), Failure> {
    let due = Due::look(user, folder)?;
    let mut shelf = user.take_shelf(folder)?;
    user.session.begin();
    let remembered = shelf.count();
    let mut outcome = walk_on(user, folder, &mut shelf, &due);
    if matches!(&outcome, Err(failure) if failure.class == Class::Untrusted) && remembered > 0 {
        // What is remembered decides no alarm, and a proof needs the whole.
        shelf.forget()?;
        user.session.begin();
        outcome = walk_on(user, folder, &mut shelf, &due);
    }
    outcome.map_err(|failure| due.proved(user, folder, failure))?;
    user.walk(folder, shelf);
    Ok(())
}

/// Walks a folder on from the end of what is remembered of it, and remembers
/// what is new.
fn walk_on(user: &mut User, folder: Folder, shelf: &mut Shelf, due: &Due) -> Result<(), Failure> {
    let begin = shelf.count();
    let altered = |why| altered(folder, why);
    let (passed, ahead): (Vec<Mark>, _) = due.marks.iter().partition(|m| m.number <= begin);
    for mark in passed {
        if shelf.head_at(mark.number)? != Some(mark.head) {
            return Err(altered("it does not extend what was seen before"));
        }
    }
    let mut chain = Chain::new(ahead, folder, begin);
    chain.head = Some(shelf.head());
    let mut ids = HashSet::new();
    loop {
        let listing = user.session.list(folder, chain.number, PAGE, 0)?;
        chain.joins(listing.before).map_err(altered)?;
        if listing.entries.is_empty() && listing.more {
            return Err(altered("an empty page is not the last"));
        }
        for (entry, _) in listing.entries {
            let name = entry.name;
            let head = chain.extend(&name).map_err(altered)?;
            ids.insert(name.id);
            let (head, shown) = (head.unwrap_or_default(), None);
            shelf.push(&Kept { head, name, shown })?;
        }
        if !listing.more {
            let mark = chain.end(listing.head).map_err(altered)?;
            if folder != Folder::Receipts && !ids.is_empty() && shelf.holds(&ids, begin)? {
                return Err(altered(TWICE));
            }
            heads::compare(user, folder, shelf, &due.heard)?;
            remember(user, folder, &mark, &due.marks)?;
            return shelf.save();
        }
    }
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
    page: u16,
    peek: u32,
) -> Result<Peeked, Failure> {
    let due = chain.due.clone();
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
            all.push((entry, peek));
        }
        if !listing.more {
            let mark = chain
                .end(listing.head)
                .map_err(|why| altered(folder, why))?;
            remember(user, folder, &mark, &due)?;
            all.retain(|(entry, _)| entry.state != State::Removed);
            return Ok(all);
        }
    }
}

const TWICE: &str = "a message stands in it twice";

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

    /// Goes on to the next entry; returns the head after it, where that is known.
    fn extend(&mut self, name: &EntryName) -> Result<Option<Head>, &'static str> {
        if Some(name.number) != self.number.checked_add(1) {
            return Err("an entry is missing");
        }
        if self.met.as_mut().is_some_and(|met| !met.insert(name.id)) {
            return Err(TWICE);
        }
        self.number = name.number;
        self.head = self.head.map(|head| head.extend(name));
        self.pass();
        Ok(self.head)
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

/// Remembers how far a folder has come, and smrd's word on it where it came
/// further than what was `due`.
fn remember(user: &User, folder: Folder, mark: &Mark, due: &[Mark]) -> Result<(), Failure> {
    let mailbox = &user.address.mailbox;
    let known = &user.known;
    known.see_mark(mailbox, &user.repository, folder, mark)?;
    match mark.number > 0 && !due.contains(mark) {
        true => keep_word(user, folder),
        false => Ok(()),
    }
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
    for address in headers.addressees() {
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
        numbers
            .iter()
            .try_for_each(|n| chain.extend(&name(*n)).map(drop))?;
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
                .and_then(|_| chain.extend(&again))
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
