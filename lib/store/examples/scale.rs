//! What a large store costs: `scale DIRECTORY MESSAGES ACCOUNTS`.
//!
//! Makes the names of one mailbox with MESSAGES messages and of ACCOUNTS empty
//! accounts, as smrd would have left them, without going through the journal;
//! then opens the store and measures. Prints one line of JSON for each figure.

#![allow(clippy::print_stdout)]

use std::fs;
use std::path::Path;
use std::time::Instant;

use smr_name::{EntryName, MailboxName, MessageId};
use smr_store::{Facts, Folder, Store};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [directory, messages, accounts] = &words[..] else {
        panic!("scale DIRECTORY MESSAGES ACCOUNTS");
    };
    let path = Path::new(directory);
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let (messages, accounts) = (number(messages), number(accounts));
    fill(path, messages, accounts);
    let began = Instant::now();
    let store = Store::open(path).expect("a store");
    say("start", accounts, began);
    let big = name("big");
    let began = Instant::now();
    let listing = store
        .list(&big, Folder::Inbox, messages, 1)
        .expect("a listing");
    assert_eq!(listing.count, messages);
    say("first use of the mailbox", messages, began);
    println!("{{\"v\":1,\"type\":\"memory\",\"peak_kib\":{}}}", peak());
    measure(&store, &big, messages);
    println!("{{\"v\":1,\"type\":\"memory\",\"peak_kib\":{}}}", peak());
}

fn name(text: &str) -> MailboxName {
    text.parse().expect("a name")
}

fn id(number: u64) -> MessageId {
    let mut bytes = [9; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    MessageId::from_bytes(bytes)
}

fn fill(path: &Path, messages: u64, accounts: u64) {
    let store = Store::create(path).expect("a new store");
    for account in ["big", "rui"] {
        store
            .create_account(&name(account), b"record")
            .expect("an account");
    }
    drop(store);
    let new = path.join("accounts/big/inbox/new");
    for number in 1..=messages {
        let entry = EntryName {
            number,
            time: 1_800_000_000,
            id: id(number),
            sender: name("rui"),
            size: 0,
            sha256: [1; 32],
            cms: [2; 32],
        };
        fs::File::create_new(new.join(entry.to_string())).expect("room on the disk");
    }
    for account in 0..accounts {
        let made = path.join(format!("accounts/a{account}"));
        for folder in [
            "inbox/tmp",
            "inbox/new",
            "inbox/cur",
            "sent/tmp",
            "sent/cur",
            "receipts/tmp",
            "receipts/new",
            "receipts/cur",
            "keys",
        ] {
            fs::create_dir_all(made.join(folder)).expect("room on the disk");
        }
        fs::write(made.join("record"), "record").expect("room on the disk");
    }
}

fn measure(store: &Store, big: &MailboxName, messages: u64) {
    let timed = |what: &str, act: &mut dyn FnMut(u64)| {
        const TIMES: u64 = 200;
        let began = Instant::now();
        (0..TIMES).for_each(act);
        let each = began.elapsed().as_micros() as u64 / TIMES;
        println!(
            "{{\"v\":1,\"type\":\"cost\",\"what\":\"{what}\",\"of\":{messages},\"us\":{each}}}"
        );
    };
    timed("deposit of 1 KiB", &mut |n| {
        let mut spool = store.spool().expect("a spool");
        spool.write(&[b'x'; 1024]).expect("room");
        let facts = Facts {
            id: id(1 << 60 | n),
            sender: name("rui"),
            sha256: [1; 32],
            cms: [2; 32],
            time: 1_800_000_000,
        };
        let spooled = spool.finish().expect("room");
        store
            .deposit(&spooled, &facts, std::slice::from_ref(big), false)
            .expect("a deposit");
    });
    timed("newest 50", &mut |_| {
        let listing = store.list(big, Folder::Inbox, messages + 150, 50);
        assert_eq!(listing.expect("a listing").entries.len(), 50);
    });
    timed("fetch", &mut |n| {
        let found = store.open_message(big, Folder::Inbox, id(1 + n * (messages / 200)), None);
        found.expect("a message");
    });
    let began = Instant::now();
    let mut last = 0;
    loop {
        let listing = store
            .list(big, Folder::Inbox, last, 256)
            .expect("a listing");
        last = listing
            .entries
            .last()
            .map_or(last, |(entry, _)| entry.number);
        if !listing.more {
            break;
        }
    }
    say("list all", messages, began);
}

fn say(what: &str, of: u64, began: Instant) {
    let ms = began.elapsed().as_millis();
    println!("{{\"v\":1,\"type\":\"cost\",\"what\":\"{what}\",\"of\":{of},\"ms\":{ms}}}");
}

fn peak() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("procfs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
