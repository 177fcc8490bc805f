//! One half of scripts/powercut: deposits until the disk is gone, and says what
//! it acknowledged; or examines what is left.
//!
//! `powercut write STORE` prints a line for each act that was acknowledged;
//! `powercut check STORE < LINES` ends with 0 if all of them are there.

use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use sha2::{Digest, Sha256};
use smr_name::{Head, MailboxName, MessageId};
use smr_store::{Facts, Folder, State, Store, fsck};

const MAILBOXES: u64 = 3;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [act, store] if act == "write" => write(Path::new(store)),
        [act, store] if act == "check" => check(Path::new(store)),
        _ => panic!("powercut write|check STORE"),
    }
}

fn name(kind: &str, number: u64) -> MailboxName {
    format!("{kind}{number}").parse().expect("a name")
}

fn id(number: u64) -> MessageId {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    MessageId::from_bytes(bytes)
}

fn content(number: u64) -> Vec<u8> {
    // Some too large for the journal.
    let size = if number % 16 == 5 {
        100_000
    } else {
        100 + number as usize % 3000
    };
    id(number)
        .as_bytes()
        .iter()
        .copied()
        .cycle()
        .take(size)
        .collect()
}

fn say(line: &str) {
    // One write, so that a line is whole or not there.
    let line = format!("{line}\n");
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("a reader");
}

/// Deposits, marks and removes in eight threads until the first error.
fn write(path: &Path) -> ExitCode {
    let store = Store::open(path)
        .or_else(|_| Store::create(path))
        .expect("a store");
    let begun = std::process::id();
    for account in 0..MAILBOXES {
        let _ = store.create_account(&name("m", account), b"record");
    }
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let store = &store;
            scope.spawn(move || {
                let _ = store.create_account(&name("s", thread), b"record");
                for n in 0u64.. {
                    let number = u64::from(begun) << 40 | thread << 32 | n;
                    if act(store, thread, number).is_err() {
                        return;
                    }
                }
            });
        }
    });
    ExitCode::SUCCESS
}

fn act(store: &Store, thread: u64, number: u64) -> Result<(), smr_store::StoreError> {
    let (mailbox, body) = (name("m", number % MAILBOXES), content(number));
    let mut spool = store.spool()?;
    spool.write(&body)?;
    let facts = Facts {
        id: id(number),
        sender: name("s", thread),
        sha256: Sha256::digest(&body).into(),
        cms: [1; 32],
        time: 1_800_000_000,
    };
    let to = std::slice::from_ref(&mailbox);
    let placed = store.deposit(&spool.finish()?, &facts, to, true)?;
    for place in placed {
        let head = place.head.as_bytes().iter().map(|b| format!("{b:02x}"));
        let (folder, entry) = (place.folder.as_str(), place.entry.number);
        say(&format!(
            "deposited {} {folder} {entry} {} {number}",
            place.mailbox,
            head.collect::<String>()
        ));
    }
    if number.is_multiple_of(3) {
        store.mark_read(&mailbox, id(number))?;
        say(&format!("read {mailbox} {number}"));
    }
    if number.is_multiple_of(7) {
        store.remove(&mailbox, Folder::Inbox, id(number))?;
        say(&format!("removed {mailbox} {number}"));
    }
    Ok(())
}

/// What is in a folder: state and head by number.
type Contents = BTreeMap<u64, (State, Head)>;

fn check(path: &Path) -> ExitCode {
    let mut wrong = 0;
    let mut complain = |text: String| {
        wrong += 1;
        say(&format!("WRONG {text}"));
    };
    let examined = fsck(path, &[], &mut |finding| {
        complain(format!("before: {finding}"))
    });
    examined.expect("a store");
    let store = Store::open(path).expect("a store that opens by itself");
    let mut folders: BTreeMap<(String, String), Contents> = BTreeMap::new();
    let mut lines = 0;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("lines");
        let words: Vec<&str> = line.split(' ').collect();
        let good = match words[..] {
            ["deposited", mailbox, folder, number, head, _] => {
                let key = (mailbox.to_owned(), folder.to_owned());
                let there = folders
                    .entry(key)
                    .or_insert_with(|| contents(&store, mailbox, folder, &mut complain));
                let at = number
                    .parse()
                    .ok()
                    .and_then(|number: u64| there.get(&number));
                at.is_some_and(|(_, there)| {
                    let text = there.as_bytes().iter().map(|b| format!("{b:02x}"));
                    text.collect::<String>() == head
                })
            }
            ["read", mailbox, number] => {
                state(&store, mailbox, number).is_some_and(|s| s.reached() == State::Read)
            }
            ["removed", mailbox, number] => {
                state(&store, mailbox, number).is_some_and(State::is_removed)
            }
            // The last line may be cut short.
            _ => true,
        };
        lines += 1;
        if !good {
            complain(format!("lost: {line}"));
        }
    }
    drop(store);
    let examined = fsck(path, &[], &mut |finding| {
        complain(format!("after: {finding}"))
    });
    let summary = examined.expect("a store");
    say(&format!(
        "{lines} acknowledged, {} messages, {wrong} wrong",
        summary.messages
    ));
    ExitCode::from(u8::from(wrong > 0))
}

fn state(store: &Store, mailbox: &str, number: &str) -> Option<State> {
    let (mailbox, number) = (mailbox.parse().ok()?, number.parse().ok()?);
    let found = store
        .entry(&mailbox, Folder::Inbox, id(number), None)
        .ok()??;
    Some(found.1)
}

fn contents(
    store: &Store,
    mailbox: &str,
    folder: &str,
    complain: &mut dyn FnMut(String),
) -> Contents {
    let mailbox = mailbox.parse().expect("a name");
    let folder = Folder::ALL.into_iter().find(|f| f.as_str() == folder);
    let folder = folder.expect("a folder");
    let (mut all, mut head, mut last) = (Contents::new(), Head::default(), 0);
    loop {
        let listing = store.list(&mailbox, folder, last, 256).expect("a listing");
        for (entry, state) in listing.entries {
            if entry.number != last + 1 {
                complain(format!("a gap before {entry}"));
            }
            (head, last) = (head.extend(&entry), entry.number);
            all.insert(last, (state, head));
            if !state.is_removed() && !is_whole(store, &mailbox, folder, last, &entry.sha256) {
                complain(format!("not whole: {entry}"));
            }
        }
        if !listing.more {
            return all;
        }
    }
}

fn is_whole(store: &Store, mailbox: &MailboxName, folder: Folder, n: u64, sha: &[u8; 32]) -> bool {
    let Ok((_, _, mut file)) = store.open_number(mailbox, folder, n) else {
        return false;
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).is_ok() && <[u8; 32]>::from(Sha256::digest(&bytes)) == *sha
}
