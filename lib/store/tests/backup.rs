//! A copy by `examples/backup.sh` of a store that is in full use: what was
//! acknowledged before the copy began is in it, and it is a sound store.
//!
//! Needs rsync.

mod ground;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ground::{checked, deposit, examined, id, name, store_of};
use smr_store::{Folder, OpenError, Store};

/// Copies, and messages of each sender during one.
const ROUNDS: u64 = 4;
const EACH: u64 = 150;

const NAMES: [&str; 4] = ["all", "u0", "u1", "u2"];

fn script(store: &Path, to: &Path) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/backup.sh");
    let mut command = Command::new(script);
    command.arg(store).arg(to);
    command
}

/// Writes a program. Another process does, for what the other test forks here
/// would have the file open for a moment, and such a file cannot be run.
fn program(path: &Path, text: &str) {
    let mut install = Command::new("install")
        .args(["-m", "755", "/dev/stdin"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("install runs");
    let mut stdin = install.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    assert!(install.wait().unwrap().success());
}

fn backup(store: &Path, to: &Path) {
    let done = script(store, to).output().expect("backup.sh runs");
    assert!(done.status.success(), "{done:?}");
}

/// What everybody does to the store while it is copied: each message goes through
/// all its states, some are large, and the journal comes round.
fn use_fully(store: &Store, sender: usize, most: &AtomicU64, said: &Mutex<Vec<u64>>) {
    let from = NAMES[1 + sender];
    for n in 0..EACH * ROUNDS {
        while n >= most.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let number = (sender as u64) << 32 | n;
        let size = match n % 50 {
            7 => 100_000,
            _ => 3000,
        };
        deposit(store, number, from, &["all"], size).unwrap();
        said.lock().unwrap().push(number);
        // While the copy is made, not all before its second file.
        std::thread::sleep(Duration::from_millis(5));
        // Three states, and a few remain in each.
        let (reader, id) = (name("all"), id(number));
        if n % 5 > 0 {
            store.mark_fetched(&reader, id).unwrap();
        }
        if n % 5 > 1 {
            store.mark_read(&reader, id).unwrap();
        }
        if n % 5 > 2 {
            store.remove(&reader, Folder::Inbox, id).unwrap();
        }
    }
}

/// Fails unless the copy is a sound store that has all of these messages.
fn check(copy: &Path, acknowledged: &[u64]) {
    let (_, findings) = examined(copy);
    assert!(findings.is_empty(), "{findings:?}");
    let store = Store::open(copy).unwrap();
    for account in NAMES {
        for folder in Folder::ALL {
            checked(&store, account, folder);
        }
    }
    let sender = |number: u64| name(NAMES[1 + (number >> 32) as usize]);
    let lost = acknowledged.iter().filter(|number| {
        let inbox = store.entry_by_sender(&name("all"), &sender(**number), id(**number));
        let sent = store.entry(&sender(**number), Folder::Sent, id(**number), None);
        inbox.unwrap().is_none() || sent.unwrap().is_none()
    });
    assert_eq!(lost.count(), 0, "of {}", acknowledged.len());
    assert!(store.findings().is_empty());
    drop(store);
    let (summary, findings) = examined(copy);
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(summary.leftovers, 0);
}

#[test]
fn a_copy_of_a_live_store_has_what_was_acknowledged_before() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("store");
    let store = store_of(&path, &NAMES);
    let (most, said) = (AtomicU64::new(20), Mutex::new(Vec::new()));
    let mut copies: Vec<(PathBuf, Vec<u64>)> = Vec::new();
    std::thread::scope(|scope| {
        for sender in 0..3 {
            let (store, most, said) = (&store, &most, &said);
            scope.spawn(move || use_fully(store, sender, most, said));
        }
        // The last ones bring copies up to date that are there.
        for round in 0..ROUNDS {
            while said.lock().unwrap().is_empty() {
                std::thread::yield_now();
            }
            let before = said.lock().unwrap().clone();
            most.store(EACH * (round + 1), Ordering::Relaxed);
            let to = room.path().join(format!("copy{}", round % 2));
            backup(&path, &to);
            // It must stay as it is, so that a later copy comes upon this one.
            let kept = room.path().join(format!("kept{round}"));
            let kept_by = Command::new("cp").arg("-a").args([&to, &kept]).status();
            assert!(kept_by.unwrap().success());
            copies.push((kept, before));
        }
    });
    for (copy, before) in &copies {
        check(copy, before);
    }
}

#[test]
fn a_copy_that_was_cut_off_is_no_store() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("store");
    let store = store_of(&path, &NAMES);
    deposit(&store, 1, "u0", &["all"], 100).unwrap();
    let to = room.path().join("copy");
    backup(&path, &to);
    // The next one is cut off at its end.
    let rsync = room.path().join("rsync");
    let text = "#!/bin/sh\nPATH=${PATH#*:}\nrsync \"$@\" || exit\n\
                case $* in *delete-excluded*) exit 20 ;; esac\n";
    program(&rsync, text);
    let path_of = format!(
        "{}:{}",
        room.path().display(),
        std::env::var("PATH").unwrap()
    );
    let cut = script(&path, &to).env("PATH", path_of).output().unwrap();
    assert_eq!(cut.status.code(), Some(20), "{cut:?}");
    assert!(matches!(Store::open(&to), Err(OpenError::NotAStore(_))));
    backup(&path, &to);
    check(&to, &[1]);
}
