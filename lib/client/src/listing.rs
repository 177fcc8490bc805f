//! Listing: what a folder holds, checked against what was seen before.
//!
//! A listing whose head does not extend the one remembered is refused (76).
//! The headers it shows are opened from the first bytes of each message and
//! are not verified: whoever shows them says so.

pub use smr_channel::reply::{Entry, Progress, State, UserLine};
pub use smr_channel::request::Folder;
use smr_evidence::envelope::{self, Headers};
use smr_name::{Class, Head, MailboxName};

use crate::failure::Failure;
use crate::known::Mark;
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
        // What cannot be opened is listed all the same, without its subject.
        let headers = envelope::peek(&peek, &user.keys).ok();
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
    let mut all: Vec<(Entry, Vec<u8>)> = Vec::new();
    loop {
        let after = all.last().map_or(0, |(entry, _)| entry.name.number);
        let listing = user.session.list(folder, after, page, peek)?;
        let grown = !listing.entries.is_empty();
        all.extend(listing.entries);
        if !listing.more {
            check_head(user, folder, &all, listing.head)?;
            return Ok(all);
        }
        if !grown {
            return Err(altered(folder, "an empty page is not the last"));
        }
    }
}

/// Verifies that the entries chain to the head, and that they extend what was
/// seen before.
fn check_head(
    user: &User,
    folder: Folder,
    all: &[(Entry, Vec<u8>)],
    told: Head,
) -> Result<(), Failure> {
    let mailbox = &user.address.mailbox;
    let before = user.known.mark(mailbox, &user.repository, folder)?;
    let mut head = Head::default();
    let mut last = 0;
    let mut met = before.as_ref().is_none_or(|mark| mark.number == 0);
    for (entry, _) in all {
        if entry.name.number != last + 1 {
            return Err(altered(folder, "an entry is missing"));
        }
        last = entry.name.number;
        head = head.extend(&entry.name);
        met |= before
            .as_ref()
            .is_some_and(|mark| mark.number == last && mark.head == head);
    }
    if head != told {
        return Err(altered(folder, "the entries do not chain to the head"));
    }
    if !met {
        return Err(altered(folder, "it does not extend what was seen before"));
    }
    let mark = Mark { number: last, head };
    // Another tool may have seen further meanwhile: that is no rollback.
    let now = user.known.mark(mailbox, &user.repository, folder)?;
    if now.is_none_or(|seen| seen.number <= last) {
        user.known
            .see_mark(mailbox, &user.repository, folder, &mark)?;
    }
    Ok(())
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
