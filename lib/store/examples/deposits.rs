//! Measures deposits a second: `deposits DIRECTORY THREADS SECONDS SIZE [one]`.
//!
//! Each deposit goes to one inbox and to the sender's own copy, and is counted
//! once both are on disk. With `one`, every thread writes to the same mailbox.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use smr_name::{MailboxName, MessageId};
use smr_store::{Facts, Store};

fn deposit(store: &Store, number: u64, sender: &MailboxName, to: &MailboxName, body: &[u8]) {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    let mut spool = store.spool().expect("room for a spool file");
    spool.write(body).expect("room for a message");
    let facts = Facts {
        id: MessageId::from_bytes(id),
        sender: sender.clone(),
        sha256: [1; 32],
        cms: [2; 32],
        time: 1_800_000_000,
    };
    let spooled = spool.finish().expect("a disk that syncs");
    let to = std::slice::from_ref(to);
    store
        .deposit(&spooled, &facts, to, true)
        .expect("a deposit");
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise: u64| {
        words
            .get(at)
            .map_or(otherwise, |w| w.parse().expect("a number"))
    };
    let directory = words.first().map_or("deposits.store", String::as_str);
    let (threads, seconds, size) = (number(1, 32), number(2, 5), number(3, 1024));
    let one = words.get(4).is_some_and(|w| w == "one");
    let store = Store::create(Path::new(directory)).expect("an empty directory");
    let name = |n: u64| -> MailboxName { format!("u{n}").parse().expect("a name") };
    for account in 0..threads {
        store
            .create_account(&name(account), b"record")
            .expect("a new account");
    }
    let (body, done) = (vec![7; size as usize], AtomicU64::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (store, body, done) = (&store, &body, &done);
            let (sender, to) = (
                name(thread),
                name(if one { 0 } else { (thread + 1) % threads }),
            );
            scope.spawn(move || {
                while begun.elapsed() < Duration::from_secs(seconds) {
                    let number = done.fetch_add(1, Ordering::Relaxed);
                    deposit(store, number, &sender, &to, body);
                }
            });
        }
    });
    let rate = done.into_inner() as f64 / begun.elapsed().as_secs_f64();
    let line = format!("{rate:.0} deposits/s of {size} bytes by {threads} threads\n");
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("an output");
}
