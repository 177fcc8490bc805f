//! What a kill leaves: whatever was acknowledged, whole, and nothing half.
//!
//! A kill does not lose what the kernel holds; power cuts are another test's.
//! Needs strace, which kills a process before the Nth call of a kind.

mod ground;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ground::{checked, child, command, content, deposit, examined, facts_of, id, name, store_of};
use smr_name::Head;
use smr_store::{Folder, KeyName, State, Store};

const NAMES: [&str; 4] = ["all", "u0", "u1", "u2"];

const KEY: KeyName = KeyName {
    device: [7; 32],
    epoch: 1,
};

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{text}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn store_path() -> Option<PathBuf> {
    std::env::var_os("SMR_TEST_STORE").map(PathBuf::from)
}

fn tmp_count(store: &Path) -> usize {
    std::fs::read_dir(store.join("tmp")).unwrap().count()
}

#[test]
#[ignore = "the process that the next test kills"]
fn child_deposits_until_killed() {
    let Some(path) = store_path() else {
        return;
    };
    let store = Store::open(&path).unwrap();
    let mut unfinished = store.spool().unwrap();
    unfinished.write(&[7; 70_000]).unwrap();
    let base = u64::from(std::process::id()) << 32;
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let store = &store;
            scope.spawn(move || {
                for n in 0u64.. {
                    let number = base | thread << 24 | n;
                    let sender = NAMES[1 + (thread % 3) as usize];
                    deposit(store, number, sender, &["all"], 20_000).unwrap();
                    store.mark_read(&name("all"), id(number)).unwrap();
                    say(&format!("ack {sender} {number}"));
                }
            });
        }
    });
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let room = tempfile::tempdir().unwrap();
    drop(store_of(room.path(), &NAMES));
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        let mut running = command(&child("child_deposits_until_killed", room.path()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
        let mut read = |acknowledged: &mut Vec<(String, u64)>| {
            let line = lines.next()?.unwrap();
            let mut words = line.split(' ').skip_while(|word| *word != "ack").skip(1);
            if let (Some(sender), Some(number)) = (words.next(), words.next()) {
                acknowledged.push((sender.to_owned(), number.parse().unwrap()));
            }
            Some(())
        };
        let enough = acknowledged.len() + 5 + 17 * round;
        while acknowledged.len() < enough {
            read(&mut acknowledged).expect("the child runs until it is killed");
        }
        running.kill().unwrap();
        while read(&mut acknowledged).is_some() {}
        assert_eq!(running.wait().unwrap().signal(), Some(9));
        assert!(tmp_count(room.path()) > 0);
        check_after_kill(room.path(), &acknowledged);
    }
}

fn check_after_kill(path: &Path, acknowledged: &[(String, u64)]) {
    let store = Store::open(path).unwrap();
    assert_eq!(tmp_count(path), 0);
    for account in NAMES {
        for folder in Folder::ALL {
            checked(&store, account, folder);
        }
    }
    for (sender, number) in acknowledged {
        let (_, state) = store
            .entry_by_sender(&name("all"), &name(sender), id(*number))
            .unwrap()
            .unwrap();
        assert_eq!(state, State::Read);
        assert!(
            store
                .entry(&name(sender), Folder::Sent, id(*number), None)
                .unwrap()
                .is_some()
        );
    }
    assert!(store.findings().is_empty());
}

#[test]
#[ignore = "the process that the next test kills"]
fn child_does_one_of_each() {
    let Some(path) = store_path() else {
        return;
    };
    let store = Store::open(&path).unwrap();
    say("done 0");
    store.create_account(&name("eva"), b"eva").unwrap();
    say("done 1");
    let placed = deposit(&store, 1, "rui", &["ana", "eva"], 9000).unwrap();
    say("done 2");
    store.mark_fetched(&name("ana"), id(1)).unwrap();
    say("done 3");
    store.mark_read(&name("ana"), id(1)).unwrap();
    say("done 4");
    store
        .replace_record(&name("ana"), b"ana", b"ana 2")
        .unwrap();
    say("done 5");
    let mut spool = store.spool().unwrap();
    spool.write(&content(id(1), 70)).unwrap();
    store
        .place_receipt(
            &spool.finish().unwrap(),
            &facts_of(1, "ana", 5, 70),
            &name("rui"),
        )
        .unwrap();
    say("done 6");
    let again = deposit(&store, 1, "rui", &["ana", "eva"], 9000).unwrap();
    assert!(
        again
            .iter()
            .zip(&placed)
            .all(|(a, p)| a.repeated && a.entry == p.entry)
    );
    deposit(&store, 2, "ana", &["rui"], 10).unwrap();
    say("done 7");
    store.keep_key(&name("ana"), KEY, b"sealed").unwrap();
    say("done 8");
    store.remove(&name("ana"), Folder::Inbox, id(1)).unwrap();
    say("done 9");
    store.remove(&name("eva"), Folder::Inbox, id(1)).unwrap();
    store.remove(&name("ana"), Folder::Inbox, id(1)).unwrap();
    say("done 10");
    // More than goes through the journal, before and behind what does.
    deposit(&store, 3, "rui", &["ana", "eva"], 70_000).unwrap();
    deposit(&store, 4, "ana", &["eva"], 70).unwrap();
    say("done 11");
}

// Runs the child so that it is killed before the Nth call; returns the last
// step it had done, or none where it ended by itself.
fn killed_at(call: &str, nth: usize, path: &Path) -> Option<u32> {
    killed_with("", call, nth, path)
}

fn killed_with(fault: &str, call: &str, nth: usize, path: &Path) -> Option<u32> {
    let output = Command::new("strace")
        .env("SMR_PLANTED", fault)
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
        ])
        .args(["-e", &format!("inject={call}:signal=KILL:when={nth}")])
        .args(child("child_does_one_of_each", path))
        .output()
        .expect("strace is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text
        .lines()
        .rev()
        .find_map(|line| line.split_once("done ")?.1.parse().ok());
    if output.status.success() {
        assert_eq!(last, Some(11), "{text}");
        return None;
    }
    assert_eq!(
        output.status.signal(),
        Some(9),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(last.unwrap_or(0))
}

#[test]
fn a_kill_before_any_call_leaves_all_or_nothing_of_it() {
    let mut kills = 0;
    for call in [
        "linkat",
        "unlinkat",
        "renameat",
        "renameat2",
        "openat",
        "mkdirat",
        "fsync",
        "fdatasync",
        "syncfs",
        "write",
        "pwrite64",
        "ftruncate",
    ] {
        for nth in 1.. {
            let room = tempfile::tempdir().unwrap();
            drop(store_of(room.path(), &["ana", "rui"]));
            let Some(step) = killed_at(call, nth, room.path()) else {
                break;
            };
            kills += 1;
            check_steps(room.path(), step, &format!("{call} {nth}"));
        }
    }
    // As many as the calls of one run, or nothing was tested.
    assert!(kills > 120, "{kills}");
}

#[cfg(feature = "planted")]
#[test]
fn planted_writing_in_place_is_seen() {
    let mut caught = 0;
    for nth in 1.. {
        let room = tempfile::tempdir().unwrap();
        drop(store_of(room.path(), &["ana", "rui"]));
        let Some(step) = killed_with("in-place", "write", nth, room.path()) else {
            break;
        };
        let checked = || check_steps(room.path(), step, "in place");
        caught += u32::from(std::panic::catch_unwind(checked).is_err());
    }
    assert!(caught > 0);
}

fn check_steps(path: &Path, step: u32, at: &str) {
    // Already before it is healed there is nothing that is not explained.
    let (_, findings) = examined(path);
    assert!(findings.is_empty(), "{at}: {findings:?}");
    let store = Store::open(path).unwrap();
    assert_eq!(tmp_count(path), 0, "{at}");
    let (ana, eva, rui) = (name("ana"), name("eva"), name("rui"));
    let folders = |store: &Store| -> Vec<Head> {
        let accounts = store.accounts(None, 9);
        let of =
            |name: &smr_name::MailboxName| Folder::ALL.map(|f| checked(store, name.as_str(), f).1);
        accounts.iter().flat_map(of).collect()
    };
    folders(&store);
    let keys = store.keys(&ana, None, 9).unwrap();
    assert!(
        keys.iter().all(|key| *key == (KEY, b"sealed".to_vec())),
        "{at}"
    );
    assert!(step < 8 || keys.len() == 1, "{at}");
    // Repeated, whether or not it was there.
    store.keep_key(&ana, KEY, b"sealed").unwrap();
    let state = |mailbox| {
        let there = store.has_account(mailbox);
        let entry = there.then(|| store.entry_by_sender(mailbox, &rui, id(1)).unwrap());
        entry.flatten().map(|(_, state)| state)
    };
    if store.has_account(&eva) {
        assert_eq!(store.record(&eva).unwrap().unwrap(), b"eva", "{at}");
    }
    if step >= 1 {
        assert!(store.has_account(&eva), "{at}");
    }
    if step >= 2 {
        assert!(state(&ana).is_some() && state(&eva).is_some(), "{at}");
        assert!(
            store
                .entry(&rui, Folder::Sent, id(1), None)
                .unwrap()
                .is_some(),
            "{at}"
        );
    }
    if step >= 3 {
        assert!(state(&ana) >= Some(State::Fetched), "{at}");
    }
    if step >= 4 {
        assert_eq!(state(&ana).unwrap().reached(), State::Read, "{at}");
    }
    let removed = |name| state(name).is_some_and(State::is_removed);
    assert!(step < 9 || removed(&ana), "{at}");
    assert!(step < 10 || removed(&eva), "{at}");
    assert!(step >= 8 || !removed(&ana) && !removed(&eva), "{at}");
    if step >= 11 {
        for (number, to) in [(3, &ana), (3, &eva), (4, &eva)] {
            let there = store.entry(to, Folder::Inbox, id(number), None);
            assert!(there.unwrap().is_some(), "{at}");
        }
    }
    let record = store.record(&ana).unwrap().unwrap();
    assert!(record == b"ana 2" || record == b"ana" && step < 5, "{at}");
    if step >= 6 {
        assert!(
            store
                .entry(&rui, Folder::Receipts, id(1), Some(&ana))
                .unwrap()
                .is_some(),
            "{at}"
        );
    }
    // Whatever happened, going on works, and repeating is harmless.
    if !store.has_account(&eva) {
        store.create_account(&eva, b"eva").unwrap();
    }
    deposit(&store, 1, "rui", &["ana", "eva"], 9000).unwrap();
    if !removed_in(&store, "ana") {
        store.mark_read(&ana, id(1)).unwrap();
        store.remove(&ana, Folder::Inbox, id(1)).unwrap();
    }
    assert!(removed_in(&store, "ana"), "{at}");
    deposit(&store, 3, "rui", &["ana", "eva"], 70_000).unwrap();
    assert_eq!(checked(&store, "ana", Folder::Inbox).0.len(), 2, "{at}");
    assert!(store.findings().is_empty(), "{at}");
    let before = folders(&store);
    drop(store);
    let (summary, findings) = examined(path);
    assert!(findings.is_empty(), "{at}: {findings:?}");
    assert_eq!((summary.accounts, summary.leftovers), (3, 0), "{at}");
    assert_eq!(folders(&Store::open(path).unwrap()), before, "{at}");
}

fn removed_in(store: &Store, mailbox: &str) -> bool {
    let there = store.entry(&name(mailbox), Folder::Inbox, id(1), None);
    there.unwrap().is_some_and(|(_, state)| state.is_removed())
}

#[test]
fn a_killed_process_frees_the_store() {
    let room = tempfile::tempdir().unwrap();
    drop(store_of(room.path(), &NAMES));
    let mut running = command(&child("child_deposits_until_killed", room.path()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(running.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("ack") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0);
    }
    assert!(Store::open(room.path()).is_err());
    running.kill().unwrap();
    out.read_to_end(&mut Vec::new()).unwrap();
    running.wait().unwrap();
    assert!(Store::open(room.path()).is_ok());
}
