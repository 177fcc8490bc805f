//! What the tests of a store stand on: made-up messages and how to check them.
#![allow(dead_code)] // each test file uses a part

use std::io::Read;
use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};
use smr_name::{Class, EntryName, Head, MailboxName, MessageId};
use smr_store::{Facts, Finding, Folder, Placed, Store, StoreError, Summary, fsck};

/// Returns a checked name.
pub(crate) fn name(text: &str) -> MailboxName {
    text.parse().unwrap()
}

/// Returns the id of message `number`.
pub(crate) fn id(number: u64) -> MessageId {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    MessageId::from_bytes(bytes)
}

/// Returns the content of a message, which its id decides.
pub(crate) fn content(id: MessageId, size: usize) -> Vec<u8> {
    id.as_bytes().iter().copied().cycle().take(size).collect()
}

/// Returns what a server would know of message `number`.
pub(crate) fn facts(number: u64, sender: &str, time: i64) -> Facts {
    Facts {
        id: id(number),
        sender: name(sender),
        sha256: [number as u8; 32],
        cms: [1; 32],
        time,
    }
}

/// Returns the same, with the hash of a message of `size` bytes.
pub(crate) fn facts_of(number: u64, sender: &str, time: i64, size: usize) -> Facts {
    Facts {
        sha256: Sha256::digest(content(id(number), size)).into(),
        ..facts(number, sender, time)
    }
}

/// Deposits message `number`.
pub(crate) fn deposit(
    store: &Store,
    number: u64,
    sender: &str,
    to: &[&str],
    size: usize,
) -> Result<Vec<Placed>, StoreError> {
    let mut spool = store.spool()?;
    for part in content(id(number), size).chunks(4096) {
        spool.write(part)?;
    }
    let to: Vec<_> = to.iter().map(|to| name(to)).collect();
    let facts = facts_of(number, sender, 1000, size);
    store.deposit(&spool.finish()?, &facts, &to, true)
}

/// Makes a store with these accounts.
pub(crate) fn store_of(path: &Path, accounts: &[&str]) -> Store {
    let store = Store::create(path).unwrap();
    for account in accounts {
        store
            .create_account(&name(account), account.as_bytes())
            .unwrap();
    }
    store
}

/// Returns every entry of a folder and its last head, after checking what must
/// hold of any folder: numbers without a gap, times that do not fall, every
/// file whole, and a head that follows from the names.
pub(crate) fn checked(store: &Store, account: &str, folder: Folder) -> (Vec<EntryName>, Head) {
    let account = name(account);
    let (mut entries, mut head, mut time) = (Vec::new(), Head::default(), 0);
    loop {
        let after = entries.len() as u64;
        let listing = store.list(&account, folder, after, 100).unwrap();
        for (entry, state) in listing.entries {
            assert_eq!(entry.number, entries.len() as u64 + 1);
            assert!(entry.time >= time);
            time = entry.time;
            head = head.extend(&entry);
            let opened = store.open_number(&account, folder, entry.number);
            if state.is_removed() {
                assert_eq!(opened.unwrap_err().class(), Class::Missing);
            } else {
                let mut bytes = Vec::new();
                opened.unwrap().2.read_to_end(&mut bytes).unwrap();
                assert!(
                    bytes == content(entry.id, entry.size as usize),
                    "{entry} is not whole"
                );
            }
            entries.push(entry);
        }
        if !listing.more {
            assert_eq!(listing.count, entries.len() as u64);
            assert_eq!(listing.head, head);
            return (entries, head);
        }
    }
}

/// Examines a store, and returns what was found.
pub(crate) fn examined(path: &Path) -> (Summary, Vec<Finding>) {
    let mut findings = Vec::new();
    let summary = fsck(path, &[], &mut |finding| findings.push(finding)).unwrap();
    assert_eq!(summary.findings, findings.len() as u64);
    (summary, findings)
}

/// Returns the command that runs the test `test` of this file alone, as a
/// process of its own that finds `directory` in the variable `SMR_TEST_STORE`.
pub(crate) fn child(test: &str, directory: &Path) -> Vec<String> {
    let program = std::env::current_exe().unwrap();
    let words = [
        "--exact",
        test,
        "--nocapture",
        "--ignored",
        "--test-threads=1",
    ];
    let mut command = vec![
        "env".to_owned(),
        format!("SMR_TEST_STORE={}", directory.display()),
        program.display().to_string(),
    ];
    command.extend(words.map(str::to_owned));
    command
}

/// Returns the command of a list of words.
pub(crate) fn command(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}
